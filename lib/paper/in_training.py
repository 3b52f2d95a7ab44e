"""What § 3 and Remark 4.3 say of the start, measured while a network is trained."""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import scipy
import torch
from torch import Tensor, nn

from ..data import DataConfig, pixels
from ..experiments import Experiment, Measurement, Prepared, check_labels, data_slug, generator, prepare
from ..gradients import cosine, eval_mode, parameters
from ..models import ModelConfig
from ..noise import NoiseConfig
from ..observe import ObserveConfig, Row, sample_losses
from ..train import Machine, TrainConfig, TrainingDiverged, run_epoch
from .angles import degrees_of
from .sample_gradients import derivative_gram

BIN = 5  # degrees of the angle between inputs
START, STOP, END = 0, 1, 2  # the times at which angles are measured


def epochs_of(
    experiment: Experiment, device: torch.device, folder: str | Path | None
) -> Iterator[tuple[Prepared, Row]]:
    """Train, and give after each epoch, the start included, what is trained and its errors. TrainingDiverged."""
    machine, config = Machine(device.type), experiment.train
    ready = prepare(experiment, machine, folder)
    optimizer = torch.optim.SGD(ready.model.parameters(), lr=config.lr, momentum=config.momentum, fused=True)
    order = generator(experiment.seed, "order")
    rows: list[Row] = [{"epoch": 0, **ready.observer(ready.model)}]
    yield ready, rows[0]
    batch = config.batch_size or len(ready.labels.given)
    for epoch in range(1, config.epochs + 1):
        with machine.cpu_threads(ready.model, batch):
            loss = run_epoch(ready.model, ready.task, ready.labels.given, config, optimizer, order)
            rows.append({"epoch": epoch, **ready.observer(ready.model)})
        if not math.isfinite(loss) or not math.isfinite(rows[-1]["train_loss"]):
            raise TrainingDiverged(epoch, rows)
        yield ready, rows[-1]


@dataclass(frozen=True, kw_only=True)
class AnglesInTraining(Measurement):
    """cos theta_h of pairs of test images against theta_d, before, during and after training (Remark 3.3).

    Two-layer ReLU networks in the paper's parameterisation, antisymmetric so
    that f(w_0) = 1/2, one for each width. A row for each width, time (``when``:
    0 the start, 1 the early stop, 2 the end: the epoch in which at most
    ``fitted`` of the training labels are missed, or the last) and bin of
    theta_d: ``theta_d`` in degrees and ``cos_h``, means over its ``pairs``.
    Alike in all rows of a width and time: ``epoch``, ``train_error``,
    ``test_error``; ``off``, the root mean square over pairs of cos_h minus the
    closed form of Theorem 3.1, and ``off_level``, that of cos_h minus its mean;
    ``change``, that of cos_h minus its value at the start; ``order``, Kendall's
    rank correlation of theta_h with theta_d.
    """

    kind: ClassVar[str] = "angles in training"
    counts: ClassVar[tuple[str, ...]] = ("pairs",)
    data: DataConfig
    noise: NoiseConfig
    train: TrainConfig
    widths: tuple[int, ...] = (512,)
    images: int = 100
    fitted: float = 0.01

    def validate(self) -> None:
        """Also: there are such networks, and pairs."""
        super().validate()
        if not self.widths or min(self.widths) < 1:
            raise ValueError(f"widths are at least 1, not {self.widths}")
        if self.images < 3:
            raise ValueError(f"pairs of at least 3 images are compared, not of {self.images}")

    def preflight(self, folder: str | Path | None = None) -> None:
        """Load the data and flip the labels."""
        check_labels(self.data, self.noise, folder, self.seed)

    def short(self, epochs: int = 2) -> "AnglesInTraining":
        """The first width."""
        return replace(self, widths=self.widths[:1])

    @property
    def slug(self) -> str:
        """Key with a readable beginning, for file names."""
        return f"{data_slug(self.data)}-training-angles-seed{self.seed}-{self.key}"

    def rows(self, device: torch.device, folder: str | Path | None) -> list[Row]:
        """The table."""
        return [row for width in self.widths for row in self._of_width(width, device, folder)]

    def _of_width(self, width: int, device: torch.device, folder: str | Path | None) -> list[Row]:
        model = ModelConfig((width,), init="ntk", antisymmetric=True)
        experiment = Experiment(self.data, self.noise, model, self.train, ObserveConfig(gradients=False), self.seed)
        kept: dict[int, tuple[Row, nn.Module]] = {}
        for ready, row in epochs_of(experiment, device, folder):
            if not kept:
                inputs = pixels(ready.task.test_images[: self.images], ready.task.white).double()
            if not kept or row["test_error"] < kept[STOP][0]["test_error"]:
                kept[STOP] = row, copy.deepcopy(ready.model)
            kept.setdefault(START, kept[STOP])
            kept[END] = row, ready.model
            if row["train_error"] <= self.fitted:
                break
        upper = torch.ones(len(inputs), len(inputs), device=device).triu(1) > 0
        theta_d = degrees_of(_cosines(inputs.flatten(1) @ inputs.flatten(1).T))[upper]
        form = closed_form(theta_d)
        rows, first = [], None
        for when, (row, network) in sorted(kept.items()):
            cos_h = _cosines(derivative_gram(copy.deepcopy(network).double(), inputs))[upper]
            first = cos_h if first is None else first
            alike = {name: row[name] for name in ("epoch", "train_error", "test_error")} | {
                "off": _rms(cos_h - form),
                "off_level": _rms(cos_h - cos_h.mean()),
                "change": _rms(cos_h - first),
                "order": float(scipy.stats.kendalltau(theta_d.cpu(), -cos_h.cpu()).statistic),
            }
            for degree in range(0, 180, BIN):
                inside = (theta_d >= degree) & (theta_d < degree + BIN)
                if inside.any():
                    means = {"theta_d": theta_d[inside].mean().item(), "cos_h": cos_h[inside].mean().item()}
                    rows.append({"width": width, "when": when, "pairs": int(inside.sum()), **means, **alike})
        return rows


def closed_form(theta_d: Tensor) -> Tensor:
    """Cosine of theta_h in Theorem 3.1 (ReLU) for angles theta_d in degrees."""
    theta = torch.deg2rad(theta_d)
    return (math.pi - theta) / math.pi * theta.cos() + theta.sin() / (2 * math.pi)


def _cosines(gram: Tensor) -> Tensor:
    norms = gram.diagonal().sqrt()
    return gram / norms.outer(norms)


def _rms(values: Tensor) -> float:
    return values.square().mean().sqrt().item()


@dataclass(frozen=True, kw_only=True)
class BatchesInTraining(Measurement):
    """Mini-batch gradients with the given labels against those with the true ones, epoch by epoch (Remark 4.3).

    A row for each epoch and batch size (0 stands for all images): means over
    ``draws`` batches of ``cosine``, of the batch's gradient with its given
    labels and with its true ones, and of ``to_truth``, of the first and of the
    gradient of all images with their true labels; ``against``, the share of
    batches with a cosine below 0. Alike in all rows of an epoch: ``test_error``.
    """

    kind: ClassVar[str] = "batches in training"
    data: DataConfig
    noise: NoiseConfig
    model: ModelConfig
    train: TrainConfig
    batch_sizes: tuple[int, ...] = (8, 32, 256)
    draws: int = 20

    def validate(self) -> None:
        """Also: there is something to draw."""
        super().validate()
        if self.draws < 1 or not self.batch_sizes or min(self.batch_sizes) < 1:
            raise ValueError(f"batch sizes and draws are at least 1, not {self.batch_sizes} and {self.draws}")

    def preflight(self, folder: str | Path | None = None) -> None:
        """Load the data and flip the labels."""
        check_labels(self.data, self.noise, folder, self.seed)

    def short(self, epochs: int = 2) -> "BatchesInTraining":
        """Its first epochs."""
        return replace(self, train=replace(self.train, epochs=min(epochs, self.train.epochs)))

    @property
    def slug(self) -> str:
        """Key with a readable beginning, for file names."""
        return f"{data_slug(self.data)}-training-batches-seed{self.seed}-{self.key}"

    def rows(self, device: torch.device, folder: str | Path | None) -> list[Row]:
        """The table."""
        observe = ObserveConfig(gradients=False)
        experiment = Experiment(self.data, self.noise, self.model, self.train, observe, self.seed)
        draw = generator(self.seed, "batches")
        rows: list[Row] = []
        for ready, row in epochs_of(experiment, device, folder):
            everything = torch.arange(len(ready.labels.given), device=device)
            given, truth = _two_gradients(ready, everything)
            all_images = {"cosine": cosine(given, truth), "to_truth": cosine(given, truth)}
            alike = {"epoch": row["epoch"], "test_error": row["test_error"]}
            rows.append(alike | {"batch_size": 0} | all_images | {"against": float(all_images["cosine"] < 0)})
            for size in self.batch_sizes:
                found = []
                for _ in range(self.draws):
                    index = torch.randperm(len(everything), generator=draw)[:size].to(device)
                    batch_given, batch_truth = _two_gradients(ready, index)
                    found.append((cosine(batch_given, batch_truth), cosine(batch_given, truth)))
                own, whole = torch.tensor(found, dtype=torch.float64).T
                means = {"cosine": own.mean().item(), "to_truth": whole.mean().item()}
                rows.append(alike | {"batch_size": size} | means | {"against": (own < 0).double().mean().item()})
        return rows


def _two_gradients(ready: Prepared, index: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of the summed loss of these images with their given and with their true labels, flat."""
    task, labels, weights = ready.task, ready.labels, parameters(ready.model)
    with eval_mode(ready.model), torch.enable_grad():
        h = ready.model(pixels(task.train_images[index], task.white))
        given, truth = (
            torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights, retain_graph=True)])
            for loss in (sample_losses(h, some[index]).sum() for some in (labels.given, labels.true))
        )
    return given, truth
