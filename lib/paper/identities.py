"""What the paper equates on the way to its update rule, measured along a training of two classes.

Eq. 10 and Eq. 30 set multiples of subset gradients equal to the gradient with true labels, Appendix A.4 one loss to
another, and the line before Eq. 8 the mean of a product to the product of means.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..data import DataConfig, Task, pixels
from ..experiments import Experiment, Outcome, Recordable, check_labels, data_slug, generator, prepare
from ..gradients import eval_mode, images_at_once, own_class_subsets, parameters, probabilities, subset_gradients
from ..models import ModelConfig
from ..noise import NoiseConfig, NoisyLabels
from ..observe import Row, sample_losses
from ..train import Machine, TrainConfig, train


def equated(model: nn.Module, task: Task, labels: NoisyLabels) -> Row:
    """Both sides of each identity at one point of a training.

    ``alpha``: ||sum_c g_noise|| / ||sum_c g_clean||. ``noise_share``: length of sum_c g_noise along the gradient with
    true labels, over that one's length (Eq. 30). ``clean_loss`` and ``truth_loss``: mean losses with true labels, on
    the clean subset and on all images (A.4). ``product``: ||E[(f - y) grad h] - E[f - y] E[grad h]|| over
    ||E[(f - y) grad h]||, the mean over the clean and noisy subsets of both classes (before Eq. 8).
    """
    subsets = own_class_subsets(labels)
    exact = subset_gradients(model, task.train_images, labels, subsets, white=task.white, truth=True)
    clean, noise = (sum(exact.gradients[kind, c] for c in (0, 1)) for kind in ("clean", "noise"))
    truth = clean + sum(exact.truth.values())
    loss = sample_losses(exact.logits, labels.true)
    residual = probabilities(exact.logits)[:, 0] - labels.given.float()
    apart = []
    for subset in subsets:
        found = exact.gradients[subset.kind, subset.c]
        product = residual[subset.index].mean() * tangent_sum(model, task.train_images[subset.index], task.white)
        apart.append(((found - product).norm() / found.norm()).item())
    return {
        "alpha": (noise.norm() / clean.norm()).item(),
        "noise_share": (noise @ truth / (truth @ truth)).item(),
        "clean_loss": loss[~labels.is_noisy].mean().item(),
        "truth_loss": loss.mean().item(),
        "product": sum(apart) / len(apart),
    }


def tangent_sum(model: nn.Module, images: Tensor, white: float = 255.0) -> Tensor:
    """Sum of grad h(w; x) over images, flat ``[parameters]``, of a model with one output in eval mode."""
    weights = parameters(model)
    total = torch.zeros(sum(p.numel() for p in weights), device=images.device)
    with eval_mode(model), torch.enable_grad():
        for some in images.split(images_at_once(model, pixels(images[:1], white))):
            grads = torch.autograd.grad(model(pixels(some, white)).sum(), weights)
            total += torch.cat([gradient.flatten() for gradient in grads])
    return total


@dataclass(frozen=True, kw_only=True)
class Identities(Recordable):
    """`equated` along a training of two classes: a row an epoch, the first before any step."""

    kind: ClassVar[str] = "identities"
    data: DataConfig
    noise: NoiseConfig
    model: ModelConfig
    train: TrainConfig
    seed: int = 0

    def validate(self) -> None:
        """Also: two classes."""
        super().validate()
        if self.data.name != "clusters" and len(self.data.classes or ()) != 2:
            raise ValueError("the identities are of two classes: name them in data.classes")

    def preflight(self, folder: str | Path | None = None) -> None:
        """Load the data and flip the labels."""
        check_labels(self.data, self.noise, folder, self.seed)

    @property
    def slug(self) -> str:
        """Key with a readable beginning, for file names."""
        widths = "x".join(map(str, self.model.widths))
        return f"{data_slug(self.data)}-identities-{widths}-seed{self.seed}-{self.key}"

    def short(self, epochs: int = 2) -> "Identities":
        """Its first epochs."""
        return replace(self, train=replace(self.train, epochs=min(epochs, self.train.epochs)))

    def run(
        self, *, machine: Machine, folder: str | Path | None, resume: bool, made_by: str, progress: bool
    ) -> Outcome:
        """Train and measure; a run is short, so that there is nothing to resume. Raises TrainingDiverged."""
        begun = time.perf_counter()
        self.validate()
        ready = prepare(
            Experiment(self.data, self.noise, self.model, self.train, seed=self.seed), machine, folder
        )  # the same images, labels, weights and order as a training of these settings
        batch = self.train.batch_size or len(ready.labels.given)
        with machine.cpu_threads(ready.model, batch) as threads:
            rows = train(
                ready.model,
                ready.task,
                ready.labels,
                self.train,
                lambda model: equated(model, ready.task, ready.labels),
                generator(self.seed, "order"),
                machine=machine,
                description=f"identities, seed {self.seed}",
                progress=progress,
            )
        return Outcome(rows, time.perf_counter() - begun, threads)
