"""Angles of sample-wise gradients (§ 3, App. C.1)."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..data import DataConfig, Task, circle, load, pixels
from ..experiments import Measurement, check_labels, data_slug, generator
from ..gradients import (
    SubsetGradients,
    cosine,
    eval_mode,
    own_class_subsets,
    parameters,
    probabilities,
    subset_gradients,
    targets,
)
from ..models import ModelConfig, build, ntk_fully_connected
from ..noise import NoiseConfig, NoisyLabels, symmetric
from ..observe import Row, sample_losses
from .sample_gradients import derivative_gram, sample_gradients

ACTIVATIONS = {"linear": nn.Identity, "relu": nn.ReLU}
BINS = 180  # histograms have bins of one degree


def histogram(degrees: Tensor) -> list[int]:
    """How many angles lie in each of `BINS` bins of one degree."""
    return torch.histc(degrees.double().clamp(0, 180), BINS, 0, 180).long().tolist()


def degrees_of(cosines: Tensor) -> Tensor:
    """Angles in degrees; same shape."""
    return torch.rad2deg(cosines.clamp(-1, 1).arccos())


@dataclass(frozen=True, kw_only=True)
class StartAngles(Measurement):
    """Sample-wise gradients at initialisation: their angles to g_clean^(c), and the subset gradients (Figs. 4, 10).

    A row for each class and degree: how many samples of the clean, the noise
    and the other subset make that angle (``clean``, ``noise``, ``other``);
    and, alike in all rows of a class, ``angle_noise`` and ``angle_other`` of
    the subset gradients, their ``ratio`` (Eqs. 8 and 14), the lengths of
    g_noise and g_clean along g-hat over its length (``noise_share``,
    ``clean_share``; Eq. 14), their cosines with it, and the mean output
    ``f`` on the class with its ``f_extreme``, the share beyond .1 and .9.
    """

    kind: ClassVar[str] = "angles"
    counts: ClassVar[tuple[str, ...]] = ("clean", "noise", "other")
    data: DataConfig
    noise: NoiseConfig
    model: ModelConfig
    only: int | None = None  # the first classes only; None: all

    def validate(self) -> None:
        """Also: there is noise."""
        super().validate()
        if self.noise.noise_rate == 0:
            raise ValueError("noise_rate is 0: without wrong labels there is no noise subset to compare")

    def preflight(self, folder: str | Path | None = None) -> None:
        """Load the data and flip the labels; ValueError if a class would have no wrong label."""
        check_labels(self.data, self.noise, folder, self.seed)
        sizes = load(self.data, folder, self.seed).train_labels.bincount()
        if round(self.noise.noise_rate * sizes.min().item()) == 0:
            raise ValueError(
                f"noise_rate {self.noise.noise_rate} leaves a class of {sizes.min().item()} images "
                "without a wrong label"
            )

    def short(self, epochs: int = 2) -> "StartAngles":
        """The first class."""
        return replace(self, only=1)

    @property
    def slug(self) -> str:
        """Key with a readable beginning, for file names."""
        return f"{data_slug(self.data)}-{self.model.kind}-angles-seed{self.seed}-{self.key}"

    def rows(self, device: torch.device, folder: str | Path | None) -> list[Row]:
        """The table."""
        task, labels, model = _start(self, device, folder)
        exact = subset_gradients(
            model, task.train_images, labels, own_class_subsets(labels), white=task.white, truth=True
        )
        classes = list(range(labels.classes))[: self.only]
        chosen = [0 if task.outputs == 1 else c for c in classes]
        directions = torch.stack([exact.gradients["clean", c] for c in classes])
        others = torch.stack([~labels.is_noisy & (labels.true != c) for c in classes], dim=1)

        def residual(index: Tensor, h: Tensor) -> Tensor:
            return (probabilities(h) - targets(labels.given[index], task.outputs).to(h.dtype))[:, chosen]

        found = sample_gradients(
            model,
            task.train_images,
            chosen,
            directions,
            lambda index, h: residual(index, h) * others[index],
            white=task.white,
        )
        # f - y is negative where y = 1, also where rounding has made it 0
        signs = 1 - 2 * targets(labels.given, task.outputs)[:, chosen]
        cosines = signs * found.products / (found.norms * directions.norm(dim=1))
        angles = degrees_of(cosines)
        rows: list[Row] = []
        for k, c in enumerate(classes):
            mine = labels.true == c
            counts = {
                "clean": histogram(angles[mine & ~labels.is_noisy, k]),
                "noise": histogram(angles[mine & labels.is_noisy, k]),
                "other": histogram(angles[others[:, k], k]),
            }
            f = probabilities(found.logits)[mine][:, chosen[k]]
            alike = _of_class(exact, c, found.sums[k]) | {
                "f": f.mean().item(),
                "f_extreme": ((f < 0.1) | (f > 0.9)).double().mean().item(),
            }
            for degree in range(BINS):
                rows.append({"class": c, "degree": degree} | {name: counts[name][degree] for name in counts} | alike)
        return rows


def _of_class(exact: SubsetGradients, c: int, other: Tensor) -> Row:
    """What the subset gradients of a class say."""
    clean, noise = exact.gradients["clean", c], exact.gradients["noise", c]
    truth = clean + exact.truth[c]
    return {
        "angle_noise": math.degrees(math.acos(cosine(noise, clean))),
        "angle_other": math.degrees(math.acos(cosine(other, clean))),
        "ratio": (clean.norm() / noise.norm()).item(),
        "noise_share": (noise @ truth / (truth @ truth)).item(),
        "clean_share": (clean @ truth / (truth @ truth)).item(),
        "cos_noise_truth": cosine(noise, truth),
        "cos_clean_truth": cosine(clean, truth),
    }


def _start(
    settings: "StartAngles | BatchDirections", device: torch.device, folder: str | Path | None
) -> tuple[Task, NoisyLabels, nn.Module]:
    """Data, labels and network as a training with these settings and this seed begins."""
    task = load(settings.data, folder, settings.seed)
    labels = symmetric(task.train_labels, settings.noise.noise_rate, task.classes, generator(settings.seed, "noise"))
    model = build(settings.model, task.input_shape, task.outputs, generator(settings.seed, "weights"))
    return task.to(device), labels.to(device), model.to(device)


@dataclass(frozen=True, kw_only=True)
class CircleAngles(Measurement):
    """cos theta_h against theta_d on the unit circle, for networks in the paper's parameterisation (§ 3.1, Fig. 2).

    A row for each width, base point and angle: ``width``, ``base`` and
    ``theta_d`` in degrees, ``cos_h``. Float64.
    """

    kind: ClassVar[str] = "circle"
    layers: int  # of weights: 2 is one hidden layer
    activation: str  # "linear" or "relu"
    widths: tuple[int, ...] = (512,)  # of every hidden layer, one network each
    bases: int = 4  # base points, evenly on the circle
    step: int = 2  # degrees from one angle to the next

    def validate(self) -> None:
        """Also: there are such networks."""
        super().validate()
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"unknown activation {self.activation!r}; there are: {', '.join(ACTIVATIONS)}")
        if self.layers < 2 or not self.widths or min(self.widths) < 1:
            raise ValueError(f"at least 2 layers and widths of at least 1, not {self.layers} and {self.widths}")
        if self.bases < 1 or not 1 <= self.step <= 90:
            raise ValueError(f"at least 1 base and a step of 1 to 90 degrees, not {self.bases} and {self.step}")

    @property
    def slug(self) -> str:
        """Key with a readable beginning, for file names."""
        return f"circle-{self.layers}-{self.activation}-seed{self.seed}-{self.key}"

    def rows(self, device: torch.device, folder: str | Path | None) -> list[Row]:
        """The table."""
        theta = torch.arange(0, 181, self.step)
        rows: list[Row] = []
        for width in self.widths:
            sizes = (2, *[width] * (self.layers - 1), 1)
            drawn = generator(self.seed, f"weights {width}")
            network = ntk_fully_connected(sizes, drawn, ACTIVATIONS[self.activation]).double().to(device)
            for b in range(self.bases):
                base = 360.0 * b / self.bases
                gram = derivative_gram(network, circle(theta, base).to(device))
                cosines = gram[0] / (gram[0, 0] * gram.diagonal()).sqrt()
                rows += [
                    {"width": width, "base": base, "theta_d": int(degree), "cos_h": value}
                    for degree, value in zip(theta, cosines.tolist(), strict=True)
                ]
        return rows


@dataclass(frozen=True, kw_only=True)
class PairAngles(Measurement):
    """Angles theta_h of pairs of points within and between two clusters (§ 3.1, Fig. 3).

    A row a degree: ``within``, ``between`` (counts); alike in all rows their
    means in degrees and the ``auc``, the probability that a pair within makes
    a smaller angle than one between.
    """

    kind: ClassVar[str] = "pairs"
    counts: ClassVar[tuple[str, ...]] = ("within", "between")
    data: DataConfig
    layers: int = 3
    width: int = 512

    def validate(self) -> None:
        """Also: there are such networks."""
        super().validate()
        if self.layers < 2 or self.width < 1:
            raise ValueError(f"at least 2 layers and a width of at least 1, not {self.layers} and {self.width}")

    @property
    def slug(self) -> str:
        """Key with a readable beginning, for file names."""
        return f"{self.data.name}-pairs-seed{self.seed}-{self.key}"

    def rows(self, device: torch.device, folder: str | Path | None) -> list[Row]:
        """The table."""
        task = load(self.data, folder, self.seed)
        points = task.train_images.double().to(device)
        sizes = (math.prod(task.input_shape), *[self.width] * (self.layers - 1), 1)
        network = ntk_fully_connected(sizes, generator(self.seed, "weights")).double().to(device)
        gram = derivative_gram(network, points)
        norms = gram.diagonal().sqrt()
        angles = degrees_of(gram / norms.outer(norms))
        same = task.train_labels.unsqueeze(0) == task.train_labels.unsqueeze(1)
        pairs = torch.ones_like(same).triu(1)
        within, between = angles[same & pairs], angles[~same & pairs]
        counts = histogram(within), histogram(between)
        alike = {
            "mean_within": within.mean().item(),
            "mean_between": between.mean().item(),
            "auc": separation(within, between),
        }
        return [{"degree": d, "within": counts[0][d], "between": counts[1][d]} | alike for d in range(BINS)]


def separation(small: Tensor, large: Tensor) -> float:
    """Probability that a value of the first is below one of the second, ties counted half (the AUC)."""
    ordered = large.sort().values
    below = torch.searchsorted(ordered, small, right=False)
    at_most = torch.searchsorted(ordered, small, right=True)
    return 1 - ((below + at_most).double().mean() / (2 * len(large))).item()


@dataclass(frozen=True, kw_only=True)
class BatchDirections(Measurement):
    """Mini-batch gradients with the given labels against those with the true ones, at the start (Remark 4.3).

    A row for each batch size and draw: ``batch_size``, ``draw``, ``cosine``,
    ``share`` (length along the true-label gradient over its length) and
    ``wrong``, the share of wrong labels in the batch.
    """

    kind: ClassVar[str] = "batches"
    data: DataConfig
    noise: NoiseConfig
    model: ModelConfig
    batch_sizes: tuple[int, ...] = (8, 32, 128, 512)
    draws: int = 40

    def validate(self) -> None:
        """Also: there is something to draw."""
        super().validate()
        if self.draws < 1 or not self.batch_sizes or min(self.batch_sizes) < 1:
            raise ValueError(f"batch sizes and draws are at least 1, not {self.batch_sizes} and {self.draws}")

    def preflight(self, folder: str | Path | None = None) -> None:
        """Load the data and flip the labels."""
        check_labels(self.data, self.noise, folder, self.seed)

    @property
    def slug(self) -> str:
        """Key with a readable beginning, for file names."""
        return f"{data_slug(self.data)}-batches-seed{self.seed}-{self.key}"

    def rows(self, device: torch.device, folder: str | Path | None) -> list[Row]:
        """The table."""
        task, labels, model = _start(self, device, folder)
        weights = parameters(model)
        order = generator(self.seed, "order")
        rows: list[Row] = []
        for size in self.batch_sizes:
            for draw in range(self.draws):
                index = torch.randperm(len(labels.given), generator=order)[:size].to(device)
                with eval_mode(model), torch.enable_grad():
                    h = model(pixels(task.train_images[index], task.white))
                    noisy, truth = (
                        torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights, retain_graph=True)])
                        for loss in (sample_losses(h, some[index]).sum() for some in (labels.given, labels.true))
                    )
                rows.append(
                    {
                        "batch_size": size,
                        "draw": draw,
                        "cosine": cosine(noisy, truth),
                        "share": (noisy @ truth / (truth @ truth)).item(),
                        "wrong": labels.is_noisy[index].double().mean().item(),
                    }
                )
        return rows
