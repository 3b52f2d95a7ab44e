"""Heads trained on labels that people gave: AUM's ranking of them, and what correcting the flagged ones gains."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ..data import Task, pixels
from ..experiments import generator
from ..models import ModelConfig, build
from ..noise import NoisyLabels
from ..observe import Row
from ..train import Machine, TrainConfig, train
from .features import judge_features
from .human import METHODS, OnHumanLabels, Samples, scores
from .read import Labelled

CHOICES = {
    "as given": "all labels as people gave them",
    "flagged left out": "without the samples that the finder flags",
    "flagged relabelled": "the flagged ones with the label that the finder suggests",
    "flagged looked at": "the flagged ones with their true label, as somebody who looks at each would give it",
    "others looked at": "as many, drawn at random, with their true label: what looking costs without a finder",
    "all true": "every label true",
}


@dataclass(frozen=True, kw_only=True)
class OnHeads(OnHumanLabels):
    """A head that is trained on features with these labels."""

    model: ModelConfig
    train: TrainConfig

    def trained(
        self, task: Task, labels: NoisyLabels, device: torch.device, observe: Callable[[nn.Module], Row]
    ) -> list[Row]:
        """Train one; ``observe`` says what of the network is kept each epoch, from before the first step on."""
        task, labels = task.to(device), labels.to(device)
        model = build(self.model, task.input_shape, task.outputs, generator(self.seed, "weights")).to(device)
        machine = Machine(device.type)
        with machine.cpu_threads(model, self.train.batch_size or len(labels.given)):
            order = generator(self.seed, "order")
            return train(model, task, labels, self.train, observe, order, machine=machine, progress=False)


@dataclass(frozen=True, kw_only=True)
class HumanMargins(OnHeads):
    """How well AUM (Pleiss et al. 2020, arXiv 2001.10528) finds the wrong labels: the mean margin over all epochs.

    One row, with the columns of `scores`, as a method after those of `METHODS`, ``samples`` and ``true_rate``.
    """

    kind: ClassVar[str] = "human margins"

    def rows(self, device: torch.device, folder: str | Path | None) -> list[Row]:
        """The table."""
        seen = self.samples(folder)
        images, given = pixels(seen.task.train_images, seen.task.white).to(device), seen.labels.given.to(device)
        total = torch.zeros(len(given), dtype=torch.float64, device=device)

        def observe(network: nn.Module) -> Row:
            with torch.no_grad():
                total.add_(margins(network(images), given).double())
            return {}

        epochs = len(self.trained(seen.task, seen.labels, device, observe))
        wrong = seen.labels.is_noisy.numpy()
        alike = {"samples": len(wrong), "true_rate": float(wrong.mean())}
        return [scores(len(METHODS), (total / epochs).cpu().numpy(), wrong) | alike]


def margins(logits: Tensor, given: Tensor) -> Tensor:
    """The logit of each given label less the largest of the others; ``[n]``."""
    own = logits.gather(1, given[:, None]).squeeze(1)
    others = logits.scatter(1, given[:, None], -torch.inf)
    return own - others.amax(1)


@dataclass(frozen=True, kw_only=True)
class HumanCorrection(OnHeads):
    """What a network gains by being trained again once the finder's flagged labels are dealt with.

    A row for each of `CHOICES`: ``choice`` (its place), ``samples`` trained on, ``wrong`` (share of their labels),
    ``changed`` (how many labels, or left out), ``test_error`` after the last epoch, ``least_test_error`` of any.
    """

    kind: ClassVar[str] = "human correction"

    def rows(self, device: torch.device, folder: str | Path | None) -> list[Row]:
        """The table."""
        seen = self.samples(folder)
        told = []
        for place, (given, kept) in enumerate(corrected(seen, self.seed)):
            labels = NoisyLabels(given[kept], seen.labels.true[kept], seen.labels.classes)
            task = Task(
                seen.task.train_images[kept], labels.true, seen.task.test_images, seen.task.test_labels,
                seen.task.class_names, seen.task.white,
            )  # fmt: skip
            shown, answers = pixels(task.test_images, task.white).to(device), task.test_labels.to(device)

            def observe(network: nn.Module, shown: Tensor = shown, answers: Tensor = answers) -> Row:
                with torch.no_grad():
                    return {"error": (network(shown).argmax(1) != answers).double().mean().item()}

            errors = [row["error"] for row in self.trained(task, labels, device, observe)]
            changed = int((given != seen.labels.given).sum()) + int((~kept).sum())
            told.append(
                {
                    "choice": place,
                    "samples": len(labels.given),
                    "wrong": labels.is_noisy.double().mean().item(),
                    "changed": changed,
                    "test_error": errors[-1],
                    "least_test_error": min(errors),
                }
            )
        return told


def corrected(seen: Samples, seed: int) -> list[tuple[Tensor, Tensor]]:
    """For each of `CHOICES` the labels, int64 [n], and which samples are kept, bool [n]."""
    given, true = seen.labels.given, seen.labels.true
    labelled = Labelled(torch.from_numpy(seen.raw), given, seen.task.class_names, pd.RangeIndex(len(given)))
    table = judge_features(labelled, seed).table
    flagged = torch.from_numpy(table["is_label_issue"].to_numpy(copy=True))
    numbers = {name: number for number, name in enumerate(seen.task.class_names)}
    suggested = torch.from_numpy(table["predicted_label"].map(numbers).to_numpy(dtype=np.int64, copy=True))
    others = torch.zeros_like(flagged)
    others[torch.randperm(len(given), generator=generator(seed, "looked at"))[: int(flagged.sum())]] = True
    everything = torch.ones_like(flagged)
    return [
        (given, everything),
        (given, ~flagged),
        (torch.where(flagged, suggested, given), everything),
        (torch.where(flagged, true, given), everything),
        (torch.where(others, true, given), everything),
        (true, everything),
    ]
