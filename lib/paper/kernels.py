"""Kernel machines trained by gradient descent, exactly for every number of steps (§ 6, Fig. 9).

Descent on the squared loss in function space, f <- f + eta K (y - f) from
f = 0, decouples in the eigenbasis of the kernel matrix: after t steps the
component along an eigenvector of eigenvalue lambda is 1 - (1 - eta lambda)^t
of the target's. So step 100 million costs what step 1 costs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from ..data import DataConfig, load, pixels
from ..experiments import Measurement, check_labels, data_slug, generator
from ..noise import NoiseConfig, symmetric
from ..observe import Row

KERNELS = ("laplacian", "gaussian")
CODINGS = {"zero-one": (0.0, 1.0), "plus-minus": (-1.0, 1.0)}  # targets of the two classes


def kernel_matrix(x: Tensor, z: Tensor, kernel: str, scale: float) -> Tensor:
    """exp(-|x - z| / s) ("laplacian") or exp(-|x - z|^2 / 2 s^2) ("gaussian"), Euclidean; ``[len(x), len(z)]``."""
    distances = torch.cdist(x, z)
    return (-distances / scale).exp() if kernel == "laplacian" else (-distances.square() / (2 * scale**2)).exp()


@dataclass(frozen=True)
class Descent:
    """Gradient descent from 0 on the squared loss, in the eigenbasis of the kernel matrix.

    ``values`` [n] and ``vectors`` [n, n] of the matrix, ``target`` [n] in the
    eigenbasis, ``step`` the learning rate (1 / the largest eigenvalue unless said).
    """

    values: Tensor
    vectors: Tensor
    target: Tensor
    step: float

    @staticmethod
    def of(matrix: Tensor, targets: Tensor, step: float | None = None) -> "Descent":
        """Decompose a kernel matrix ``[n, n]`` for targets ``[n]``. ValueError for a step that diverges."""
        values, vectors = torch.linalg.eigh(matrix)
        values = values.clamp(min=0)  # rounding leaves some slightly below
        largest = values[-1].item()
        step = 1 / largest if step is None else step
        if not 0 < step * largest < 2:
            raise ValueError(f"step must lie between 0 and {2 / largest:g}, or descent diverges; not {step}")
        return Descent(values, vectors, vectors.T @ targets, step)

    def coefficients(self, steps: int) -> Tensor:
        """Alpha [n] after some steps: the machine is f(x) = sum_i alpha_i k(x, x_i)."""
        rates = self.step * self.values
        # (1 - (1 - r)^t) / r without loss of digits for small r; r above 1 alternates in sign
        small = rates < 1
        share = torch.where(
            small,
            -torch.expm1(steps * torch.log1p(-torch.where(small, rates, 0.0))),
            1 - (1 - rates) ** steps,
        )
        flat = rates == 0
        return self.vectors @ (self.step * torch.where(flat, float(steps), share / rates.where(~flat, 1)) * self.target)


@dataclass(frozen=True, kw_only=True)
class KernelMachine(Measurement):
    """Errors of a kernel machine over the steps of its training (Fig. 9).

    A row for each of ``points`` numbers of steps, spaced evenly on a
    logarithmic axis up to 10^``decades``: ``epoch`` (steps), ``train_error``,
    ``clean_error``, ``noisy_error``, ``clean_residual``, ``noisy_residual``
    (|f - y| with targets 0 and 1), ``test_error``. Float64. Up to step
    ``explicit`` descent is also carried out step by step, and
    ``difference`` is the relative distance of the two machines' outputs.
    """

    kind: ClassVar[str] = "kernel"
    data: DataConfig
    noise: NoiseConfig
    kernel: str
    scale: float  # width of the kernel, in pixel values of [0, 1]
    coding: str = "zero-one"
    points: int = 90
    decades: float = 9.0
    explicit: int = 0

    def validate(self) -> None:
        """Also: the kernel and its descent can be meant."""
        super().validate()
        for name, value, allowed in (("kernel", self.kernel, KERNELS), ("coding", self.coding, tuple(CODINGS))):
            if value not in allowed:
                raise ValueError(f"unknown {name} {value!r}; there are: {', '.join(allowed)}")
        if not self.scale > 0:
            raise ValueError(f"scale must be above 0, not {self.scale}")
        if self.explicit < 0:
            raise ValueError(f"explicit must be at least 0, not {self.explicit}")
        if self.points < 2 or not 0 < self.decades <= 15:
            raise ValueError(f"at least 2 points over up to 15 decades, not {self.points} over {self.decades}")

    def preflight(self, folder: str | Path | None = None) -> None:
        """Load the data and flip the labels; ValueError for more than two classes."""
        check_labels(self.data, self.noise, folder, self.seed)
        if load(self.data, folder, self.seed).classes != 2:
            raise ValueError("the kernel machine is for two classes")

    @property
    def slug(self) -> str:
        """Key with a readable beginning, for file names."""
        return f"{data_slug(self.data)}-{self.kernel}-seed{self.seed}-{self.key}"

    def rows(self, device: torch.device, folder: str | Path | None) -> list[Row]:
        """The table."""
        task = load(self.data, folder, self.seed).to(device)
        labels = symmetric(
            task.train_labels.cpu(), self.noise.noise_rate, task.classes, generator(self.seed, "noise")
        ).to(device)
        train, test = (pixels(x, task.white).flatten(1).double() for x in (task.train_images, task.test_images))
        low, high = CODINGS[self.coding]
        matrix = kernel_matrix(train, train, self.kernel, self.scale)
        across = kernel_matrix(test, train, self.kernel, self.scale)
        descent = Descent.of(matrix, low + (high - low) * labels.given.double())
        stepwise = explicit_outputs(matrix, low + (high - low) * labels.given.double(), descent.step)
        subsets = (("clean", ~labels.is_noisy), ("noisy", labels.is_noisy))
        rows: list[Row] = []
        for steps in steps_between(self.points, self.decades):
            alpha = descent.coefficients(steps)
            outputs = matrix @ alpha
            f, f_test = ((some - low) / (high - low) for some in (outputs, across @ alpha))  # in targets 0 and 1
            wrong = ((f > 0.5).long() != labels.given).double()
            residual = (f - labels.given).abs()
            row = {"epoch": steps, "train_error": wrong.mean().item()}
            for name, chosen in subsets:
                row |= {
                    f"{name}_error": wrong[chosen].mean().item(),
                    f"{name}_residual": residual[chosen].mean().item(),
                }
            row["test_error"] = ((f_test > 0.5).long() != task.test_labels).double().mean().item()
            if self.explicit:
                row["difference"] = float("nan")
                if 0 < steps <= self.explicit:
                    other = stepwise(steps)
                    row["difference"] = ((outputs - other).norm() / other.norm()).item()
            rows.append(row)
        return rows


def explicit_outputs(matrix: Tensor, targets: Tensor, step: float) -> Callable[[int], Tensor]:
    """Descent carried out: a function of the number of steps, to be called with growing numbers; outputs ``[n]``."""
    alpha, done = torch.zeros_like(targets), 0

    def outputs(steps: int) -> Tensor:
        nonlocal alpha, done
        while done < steps:
            alpha = alpha + step * (targets - matrix @ alpha)
            done += 1
        return matrix @ alpha

    return outputs


def steps_between(points: int, decades: float) -> list[int]:
    """Different whole numbers from 0 to 10^decades, even on a logarithmic axis as far as whole numbers are."""
    return [0, *sorted({round(10 ** (decades * k / (points - 1))) for k in range(points)})]
