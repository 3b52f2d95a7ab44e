"""When to stop without clean labels: what rules see, and what the test error then is (§ 4.2).

A training goes on long after its best moment while everything that a rule
could look at is written down; the rules themselves are read off the table.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import pandas as pd
import torch
from torch import Tensor, nn

from ..data import DataConfig, load
from ..experiments import Measurement, check_labels, data_slug, generator
from ..gradients import eval_mode, images_at_once, parameters
from ..models import ModelConfig, build
from ..noise import NoiseConfig, symmetric
from ..observe import Row
from .early_stop import Inputs, Recipe, answers, margin, train_until_stop

FEW = 1000  # samples, of which a round takes more than six epochs
RULES = {
    "best of all": "the round with the least test error: known to nobody",
    "held-out labels": "the most right answers on a tenth held out with its given labels, three rounds averaged",
    "estimated ratio": "the first round in which the suspects' gradient is as long as the others'",
    "true ratio": "the same with the labels that really are wrong: known to nobody",
    "never": "the last round",
}


@dataclass(frozen=True, kw_only=True)
class StopRules(Measurement):
    """One training with what stopping rules look at.

    A row a round: ``epoch``, ``train_loss``, ``held_out_accuracy``,
    ``test_error`` of the network and ``test_error_averaged`` of its averaged
    weights; ``ratio`` and ``ratio_estimated``, lengths of the gradient of the
    right labels over that of the wrong ones, with the true partition and with
    the one that the averaged network suggests; ``suspected``, the share of labels it contradicts.
    """

    kind: ClassVar[str] = "stopping"
    data: DataConfig
    noise: NoiseConfig
    model: ModelConfig
    recipe: Recipe = field(default_factory=Recipe)  # its seed is the measurement's, and it is never stopped

    def preflight(self, folder: str | Path | None = None) -> None:
        """Load the data and flip the labels."""
        check_labels(self.data, self.noise, folder, self.seed)

    def short(self, epochs: int = 2) -> "StopRules":
        """Its first epochs; all of them where a round has so few samples that it takes many."""
        few = self.data.train_size is not None and self.data.train_size < FEW
        count = self.recipe.epochs if few else min(max(epochs, 6), self.recipe.epochs)
        return replace(self, recipe=replace(self.recipe, epochs=count))

    @property
    def slug(self) -> str:
        """Key with a readable beginning, for file names."""
        return f"{data_slug(self.data)}-stopping{self.noise.noise_rate:g}-seed{self.seed}-{self.key}"

    def rows(self, device: torch.device, folder: str | Path | None) -> list[Row]:
        """The table."""
        task = load(self.data, folder, self.seed)
        labels = symmetric(
            task.train_labels, self.noise.noise_rate, task.classes, generator(self.seed, "noise")
        ).to(device)  # fmt: skip
        inputs = Inputs(task.train_images, device)
        tested, answer = Inputs.like(inputs, task.test_images), task.test_labels.to(device)
        everything = torch.arange(len(inputs), device=device)
        model = build(self.model, inputs.shape, task.classes, generator(self.seed, "weights")).to(device)

        def error(network: nn.Module) -> float:
            h = answers(network, tested, torch.arange(len(tested), device=device))
            return (h.argmax(1) != answer).double().mean().item()

        def watch(network: nn.Module, averaged: nn.Module) -> dict[str, float]:
            suspected = margin(answers(averaged, inputs, everything), labels.given) < 0
            return {
                "test_error": error(network),
                "test_error_averaged": error(averaged),
                "ratio": dominance(network, inputs, labels.given, labels.is_noisy),
                "ratio_estimated": dominance(network, inputs, labels.given, suspected),
                "suspected": suspected.double().mean().item(),
            }

        recipe = replace(self.recipe, seed=self.seed, device=device.type, patience=self.recipe.epochs)
        stopped = train_until_stop(model, inputs, labels.given, recipe, watch=watch, progress=False)
        return [{k: v for k, v in row.items() if "seconds" not in k} for row in stopped.history]


def dominance(model: nn.Module, inputs: Inputs, given: Tensor, wrong: Tensor) -> float:
    """Length of the loss gradient of the samples that are not ``wrong`` over that of those that are (§ 4).

    Eval mode; NaN where none is wrong, 0 where all are.
    """
    lengths = []
    for some in ((~wrong).nonzero().squeeze(1), wrong.nonzero().squeeze(1)):
        lengths.append(_gradient(model, inputs, given, some).norm().item() if len(some) else 0.0)
    return lengths[0] / lengths[1] if lengths[1] > 0 else float("nan")


def _gradient(model: nn.Module, inputs: Inputs, given: Tensor, index: Tensor) -> Tensor:
    """Of the sum of losses over some samples: flat."""
    weights = parameters(model)
    total = torch.zeros(sum(p.numel() for p in weights), device=given.device)
    with eval_mode(model), torch.enable_grad():
        for some in index.split(images_at_once(model, inputs(index[:1]))):
            loss = nn.functional.cross_entropy(model(inputs(some)), given[some], reduction="sum")
            total += torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)])
    return total


def chosen(history: pd.DataFrame) -> dict[str, int]:
    """The row at which each of `RULES` stops; a rule that never says stop goes on to the last."""
    held = history["held_out_accuracy"].rolling(3, center=True, min_periods=1).mean()

    def first(low: pd.Series) -> int:
        return int(low.to_numpy().argmax()) if low.any() else len(history) - 1

    found: dict[str, Callable[[], int]] = {
        "best of all": lambda: int(history["test_error"].to_numpy().argmin()),
        "held-out labels": lambda: int(held.to_numpy().argmax()),
        "estimated ratio": lambda: first(history["ratio_estimated"] <= 1),
        "true ratio": lambda: first(history["ratio"] <= 1),
        "never": lambda: len(history) - 1,
    }
    return {rule: found[rule]() for rule in RULES}
