"""A penalty on directional derivatives of the loss, for the samples of some classes, and what it does to boundaries."""

import copy
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..data import DataConfig, Task, load, pixels, sent
from ..experiments import Outcome, Recordable, check_labels, data_slug, generator
from ..gradients import eval_mode
from ..models import ModelConfig, build
from ..noise import NoiseConfig, NoisyLabels, symmetric
from ..observe import Row, sample_losses
from ..progress import bar
from ..train import Machine, TrainConfig, TrainingDiverged
from .derivatives import (
    ORDERS,
    NoBoundary,
    Pair,
    boundary_points,
    cumulants,
    directional,
    growth_rate,
    outputs,
    pair_slopes,
    unit_directions,
)

UNCERTAIN = (0.2, 0.8)  # largest softmax probability of the points at which the original experiment measures
FEWEST = 10  # such points, below which it measures nothing
LOGS = tuple(f"log_d{n}" for n in range(1, ORDERS + 1))
PAIRS: tuple[Pair, ...] = ((4, 9), (3, 8), (5, 6))
CONDITIONS: dict[str, tuple[int, ...] | None] = {  # classes whose samples are penalised; None: all
    "baseline": (),
    "global": None,
    "selective_49": (4, 9),
    "selective_38": (3, 8),
}
MASKS = ("given", "true", "predicted")  # which labels say what a sample's class is


def sizes(logits: Tensor, a: Tensor, labels: Tensor, orders: int) -> Tensor:
    """Mean of |D^n| over directions and samples, ``[orders]``: their mean is the penalty."""
    return cumulants(logits, a, labels, orders).abs().mean((1, 2))


def penalty_sizes(
    model: nn.Module, images: Tensor, labels: Tensor, directions: Tensor, orders: int = 3, chosen: Tensor | None = None
) -> Tensor:
    """`sizes` of the model without dropout, ``[orders]``; with ``chosen`` those of some samples, 0 for none.

    ``chosen`` are positions among the n samples, or bool ``[n]``: on a card a mask makes the host wait for its count.

    Without dropout the network that is penalised is the one that is measured,
    and no direction has a mask of its own.
    """
    if orders not in range(1, ORDERS + 1):
        raise ValueError(f"orders must lie in 1 to {ORDERS}, not {orders}")
    if chosen is not None:
        images, labels, directions = images[chosen], labels[chosen], directions[:, chosen]
    if len(labels) == 0:
        return images.new_zeros(orders)
    with eval_mode(model):
        return sizes(*directional(model, images, directions), labels, orders)


def penalty(
    model: nn.Module, images: Tensor, labels: Tensor, directions: Tensor, orders: int = 3, chosen: Tensor | None = None
) -> Tensor:
    """The original experiment's penalty, a scalar: mean of |D^n| over orders, directions, samples (`penalty_sizes`)."""
    return penalty_sizes(model, images, labels, directions, orders, chosen).mean()


def logits_and_sizes(
    model: nn.Sequential, images: Tensor, labels: Tensor, directions: Tensor, orders: int = 3
) -> tuple[Tensor, Tensor]:
    """The model's logits in its mode, and `penalty_sizes` of all samples: one pass up to the first dropout."""
    layers = list(model)
    first = next((i for i, layer in enumerate(layers) if isinstance(layer, nn.Dropout)), len(layers))
    trunk, head = nn.Sequential(*layers[:first]), nn.Sequential(*layers[first:])
    features, carried = directional(trunk, images, directions)
    logits = head(features)
    with eval_mode(head):
        # by the chain rule the derivatives of the features are the directions in which the head is followed
        return logits, sizes(*directional(head, features, carried), labels, orders)


def members(labels: Tensor, classes: tuple[int, ...] | None) -> Tensor:
    """Where a label is one of ``classes`` (None: any), bool ``[n]``."""
    if classes is None:
        return torch.ones_like(labels, dtype=torch.bool)
    return torch.isin(labels, torch.tensor(classes, dtype=labels.dtype, device=labels.device))


@dataclass(frozen=True, kw_only=True)
class SelectiveTraining(Recordable):
    """A training with the penalty on the samples of some classes, measured at class boundaries.

    Adam with the learning rate of ``train`` on cross-entropy + ``strength``
    times `penalty`; ``condition`` names the classes, ``mask`` the labels that
    say what a sample's class is ("predicted": the model's own at that step).
    Only the choice of samples depends on the mask: D^1 is always that of the
    given label. Images may be averaged over squares of ``pool`` pixels.

    A row for each epoch and pair of classes: ``epoch``, ``pair_a``,
    ``pair_b``; ``tried``, ``misclassified``, ``third`` and ``points`` of
    `boundary_points`; there, NaN without any, ``slope`` (log of the root mean
    square of `pair_slopes`), ``growth`` (`growth_rate`) and ``log_d1`` to
    ``log_d4``. ``uncertain`` points of the original experiment (images of the two classes
    with largest probability in .2 to .8), the share ``top_two`` of them where the
    pair has the two largest logits, and ``growth_uncertain`` there (NaN for fewer than 10).
    Alike for the pairs of an epoch: ``test_accuracy`` and ``accuracy_c`` of
    each class; over the epoch's steps the mean ``cross_entropy``, ``penalty_d1`` ...
    (mean |D^n| on the chosen samples), ``share`` of strength times penalty in
    the cross-entropy, and ``chosen``, the share of samples penalised.
    """

    kind: ClassVar[str] = "selective"
    counts: ClassVar[tuple[str, ...]] = ("points", "misclassified", "third", "uncertain")
    data: DataConfig
    noise: NoiseConfig
    model: ModelConfig
    train: TrainConfig
    condition: str
    strength: float
    mask: str = "given"
    orders: int = 3
    directions: int = 2
    pool: int = 1
    points: int = 200  # pairs of images tried for each boundary, and most points of the original
    measured: int = 4  # directions at each of them
    seed: int = 0

    def validate(self) -> None:
        """Also: the penalty can be meant for such data and networks."""
        super().validate()
        for name, allowed in (("condition", tuple(CONDITIONS)), ("mask", MASKS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"unknown {name} {getattr(self, name)!r}; there are: {', '.join(allowed)}")
        if self.mask != "given" and not CONDITIONS[self.condition]:
            raise ValueError(f"mask {self.mask!r} is for selective conditions; {self.condition!r} has: given")
        if self.data.classes is not None or self.data.name == "clusters":
            raise ValueError("the pairs 4 and 9, 3 and 8, 5 and 6 need a data set of ten classes: leave classes out")
        if self.model.kind not in ("cnn", "fcn") or self.model.batch_norm:
            raise ValueError("the identity needs piecewise-linear logits: 'cnn', or 'fcn' without batch_norm")
        if self.train.momentum or self.train.precision != "float32":
            raise ValueError("trained by Adam in float32: momentum and precision stay at their defaults")
        if not 0 <= self.strength < math.inf:
            raise ValueError(f"strength must be at least 0, not {self.strength}")
        if self.orders not in range(1, ORDERS + 1):
            raise ValueError(f"orders must lie in 1 to {ORDERS}, not {self.orders}")
        if self.model.antisymmetric:
            raise ValueError("antisymmetric networks are not trained here")
        for name in ("directions", "pool", "points", "measured"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")

    def preflight(self, folder: str | Path | None = None) -> None:
        """Load the data, flip the labels, and build the network for images of their size."""
        check_labels(self.data, self.noise, folder, self.seed)
        channels, height, width = load(self.data, folder, self.seed).input_shape
        if min(height, width) < self.pool:
            raise ValueError(f"pool {self.pool} leaves nothing of images of {height} x {width} pixels")
        build(self.model, (channels, height // self.pool, width // self.pool), 10, torch.Generator())

    @property
    def slug(self) -> str:
        """Key with a readable beginning, for file names."""
        return f"{data_slug(self.data)}-{self.condition.replace('_', '')}-{self.mask}-seed{self.seed}-{self.key}"

    def short(self, epochs: int = 2) -> "SelectiveTraining":
        """Its first epochs: their rows come first."""
        return replace(self, train=replace(self.train, epochs=min(epochs, self.train.epochs)))

    def run(
        self, *, machine: Machine, folder: str | Path | None, resume: bool, made_by: str, progress: bool
    ) -> Outcome:
        """Train and measure; a run is short, so that there is nothing to resume. Raises TrainingDiverged."""
        begun = time.perf_counter()
        self.validate()
        device = machine.resolve()
        task = load(self.data, folder, self.seed)
        labels = symmetric(task.train_labels, self.noise.noise_rate, 10, generator(self.seed, "noise")).to(device)
        task = self._pooled(task).to(device)
        model = build(self.model, task.input_shape, 10, generator(self.seed, "weights")).to(device)
        positions = math.prod(task.input_shape[1:])
        batch = self.train.batch_size or len(labels.given)
        rows: list[Row] = []
        with machine.cpu_threads(model, batch, positions) as threads, torch.random.fork_rng():
            # dropout knows no generator of its own
            torch.manual_seed(generator(self.seed, "dropout").initial_seed())
            optimizer = torch.optim.Adam(model.parameters(), lr=self.train.lr)
            order, drawn = generator(self.seed, "order"), generator(self.seed, "directions")
            said = f"{self.condition}, seed {self.seed}"
            for epoch in bar(range(1, self.train.epochs + 1), said, "epoch", progress):
                alike = self._epoch(model, task, labels, optimizer, order, drawn)
                if not math.isfinite(alike["cross_entropy"] + alike["share"]):
                    raise TrainingDiverged(epoch, rows)
                rows += self._measure(model, task, epoch, alike)
        return Outcome(rows, time.perf_counter() - begun, threads)

    def _pooled(self, task: Task) -> Task:
        """Images as float32 in [0, 1], averaged over squares of ``pool`` pixels."""
        train, test = (
            nn.functional.avg_pool2d(pixels(images, task.white), self.pool)
            for images in (task.train_images, task.test_images)
        )
        return replace(task, train_images=train, test_images=test, white=1.0)

    def _epoch(
        self,
        model: nn.Module,
        task: Task,
        labels: NoisyLabels,
        optimizer: torch.optim.Optimizer,
        order: torch.Generator,
        drawn: torch.Generator,
    ) -> Row:
        """One pass over the training set; what it cost on average."""
        model.train()
        n, device = len(labels.given), labels.given.device
        totals = torch.zeros(2 + self.orders, device=device)  # cross-entropy, chosen, sizes
        penalised = self._penalised(labels)
        for mine in torch.randperm(n, generator=order).split(self.train.batch_size or n):
            batch = sent(mine, device)
            images, given = task.train_images[batch], labels.given[batch]
            some = None if penalised is None else sent(penalised[mine].nonzero().squeeze(1), device)
            logits, each, chosen = self._step(model, images, given, some, drawn)
            loss = sample_losses(logits, given).mean()
            optimizer.zero_grad(set_to_none=True)
            (loss + self.strength * each.mean()).backward()
            optimizer.step()
            totals += torch.cat([torch.stack([loss.detach() * len(batch), chosen]), each.detach() * len(batch)])
        cross_entropy, chosen, *found = (totals / n).tolist()
        row = {"cross_entropy": cross_entropy, "share": self.strength * sum(found) / len(found) / cross_entropy}
        return row | {"chosen": chosen} | {f"penalty_d{i}": size for i, size in enumerate(found, 1)}

    def _penalised(self, labels: NoisyLabels) -> Tensor | None:
        """Which samples are to be penalised, bool ``[n]`` on the host; None: all, none, or the model's own choice."""
        classes = CONDITIONS[self.condition]
        if not classes or self.mask == "predicted":
            return None
        return members({"given": labels.given, "true": labels.true}[self.mask].cpu(), classes)

    def _step(
        self, model: nn.Module, images: Tensor, given: Tensor, chosen: Tensor | None, drawn: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits ``[n, C]``, mean |D^n| on the samples to be penalised ``[orders]``, and how many they are.

        ``chosen`` are their positions; None where the condition or the model says which they are.
        """
        classes = CONDITIONS[self.condition]
        if classes == ():
            return model(images), images.new_zeros(self.orders), images.new_zeros(())
        directions = sent(unit_directions(tuple(images.shape), self.directions, drawn), images.device)
        if classes is None:
            found = logits_and_sizes(model, images, given, directions, self.orders)
            return *found, images.new_full((), len(given))
        if chosen is None:  # the model chooses: here the host must wait for it
            chosen = members(outputs(model, images).argmax(1), classes).nonzero().squeeze(1)
        each = penalty_sizes(model, images, given, directions, self.orders, chosen)
        return model(images), each, images.new_full((), len(chosen))

    def _measure(self, model: nn.Module, task: Task, epoch: int, alike: Row) -> list[Row]:
        """The rows of an epoch, one a pair of classes."""
        images, labels = task.test_images, task.test_labels
        z = outputs(model, images)
        right = (z.argmax(1) == labels).double()
        alike = alike | {"test_accuracy": right.mean().item()}
        alike |= {f"accuracy_{c}": right[labels == c].mean().item() for c in range(10)}
        # in float64: D^4 is a difference of nearly equal numbers
        exact = copy.deepcopy(model).double().requires_grad_(False)
        return [
            {"epoch": epoch, "pair_a": pair[0], "pair_b": pair[1]}
            | self._at_boundary(model, exact, images, labels, pair)
            | self._where_uncertain(exact, images, labels, z, pair)
            | alike
            for pair in PAIRS
        ]

    def _at_boundary(self, model: nn.Module, exact: nn.Module, images: Tensor, labels: Tensor, pair: Pair) -> Row:
        """Slope, growth rate and sizes at boundary points; the same pairs of images and directions in every epoch."""
        name = f"{pair[0]}v{pair[1]}"
        directions = unit_directions((self.points, *images.shape[1:]), self.measured, generator(self.seed, f"u {name}"))
        try:
            found = boundary_points(model, images, labels, pair, generator(self.seed, f"boundary {name}"), self.points)
        except NoBoundary as none:
            row = {"tried": none.tried, "misclassified": none.misclassified, "third": none.third, "points": 0}
            return row | dict.fromkeys(("slope", "growth", *LOGS), math.nan)
        row = {"tried": found.tried, "misclassified": found.misclassified, "third": found.third}
        directions = directions.to(images.device)[:, found.index]
        with eval_mode(exact):
            z, a = directional(exact, found.points.double(), directions.double())
        # the label enters D^1 alone, and where z_a = z_b either of the two gives the same |D^1|, but for third classes
        growth, logs = growth_rate(cumulants(z, a, torch.full_like(found.index, pair[0]), ORDERS))
        slope = pair_slopes(a, pair).square().mean().sqrt().log().item()
        return row | {"points": len(z), "slope": slope, "growth": growth} | dict(zip(LOGS, logs, strict=True))

    def _where_uncertain(self, exact: nn.Module, images: Tensor, labels: Tensor, z: Tensor, pair: Pair) -> Row:
        """What the original measures: the growth rate where no class is sure, whichever the classes are."""
        largest = z.softmax(1).max(1).values
        near = members(labels, pair) & (largest >= UNCERTAIN[0]) & (largest <= UNCERTAIN[1])
        index = near.nonzero().squeeze(1)
        drawn = generator(self.seed, f"uncertain {pair[0]}v{pair[1]}")
        index = index[torch.randperm(len(index), generator=drawn)[: self.points].to(index.device)]
        row = {"uncertain": len(index), "top_two": math.nan, "growth_uncertain": math.nan}
        if len(index):
            two = z[index].topk(2).indices.sort(1).values
            row["top_two"] = (two == two.new_tensor(sorted(pair))).all(1).double().mean().item()
        if len(index) >= FEWEST:
            some = images[index].double()
            directions = unit_directions(tuple(some.shape), self.measured, drawn).to(some)
            with eval_mode(exact):
                found = directional(exact, some, directions)
            row["growth_uncertain"], _ = growth_rate(cumulants(*found, labels[index], ORDERS))
        return row
