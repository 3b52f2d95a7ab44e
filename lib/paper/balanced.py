"""Kernel machines on as many images of one class as of the other (§ 6, Fig. 9).

A random draw has a majority, and the first step of descent sums all labels:
what a larger class does to it is told apart by draws without one.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from ..data import load, pixels
from ..experiments import generator
from ..noise import symmetric
from ..observe import Row
from .kernels import CODINGS, Descent, KernelMachine, kernel_matrix, steps_between


@dataclass(frozen=True, kw_only=True)
class BalancedKernelMachine(KernelMachine):
    """A `KernelMachine` whose training images are half of one class, half of the other, drawn by the seed.

    ``data.train_size`` images, or twice the smaller class. A row for each number of steps: ``epoch`` (steps),
    ``train_error`` and ``test_error``.
    """

    kind: ClassVar[str] = "balanced kernel"

    def preflight(self, folder: str | Path | None = None) -> None:
        """Also: each class has enough images."""
        super().preflight(folder)
        halves(load(replace(self.data, train_size=None), folder, self.seed).train_labels, self.data.train_size)

    def rows(self, device: torch.device, folder: str | Path | None) -> list[Row]:
        """The table."""
        task = load(replace(self.data, train_size=None), folder, self.seed)
        index = halves(task.train_labels, self.data.train_size, generator(self.seed, "images"))
        true = task.train_labels[index]
        given = symmetric(true, self.noise.noise_rate, task.classes, generator(self.seed, "noise")).given.to(device)
        images = (task.train_images[index], task.test_images)
        train, test = (pixels(x, task.white).flatten(1).double().to(device) for x in images)
        low, high = CODINGS[self.coding]
        matrix = kernel_matrix(train, train, self.kernel, self.scale)
        across = kernel_matrix(test, train, self.kernel, self.scale)
        descent = Descent.of(matrix, low + (high - low) * given.double())
        threshold = (low + high) / 2
        rows: list[Row] = []
        for steps in steps_between(self.points, self.decades):
            alpha = descent.coefficients(steps)
            answers = ((matrix @ alpha > threshold).long(), (across @ alpha > threshold).long())
            errors = (
                (answer != labels).double().mean().item()
                for answer, labels in zip(answers, (given, task.test_labels.to(device)), strict=True)
            )
            rows.append(dict(zip(("epoch", "train_error", "test_error"), (steps, *errors), strict=True)))
        return rows


def halves(labels: Tensor, size: int | None, drawn: torch.Generator | None = None) -> Tensor:
    """Indices of half of ``size`` samples of each of two classes, in any order; None: as many as the smaller has.

    ValueError where a class has fewer.
    """
    places = [(labels == c).nonzero().flatten() for c in (0, 1)]
    each = min(map(len, places)) if size is None else size // 2
    if each > min(map(len, places)):
        raise ValueError(f"{each} images of each class are asked for, and a class has {min(map(len, places))}")
    chosen = torch.cat([some[torch.randperm(len(some), generator=drawn)[:each]] for some in places])
    return chosen[torch.randperm(len(chosen), generator=drawn)]
