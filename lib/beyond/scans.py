"""Scans of the mix, and paths through several: many trainings with two gradients, recorded as one table."""

import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from ..checkpoint import Blocks
from ..data import DataConfig, Task, load
from ..experiments import Outcome, Recordable, data_slug, generator
from ..models import ModelConfig, build
from ..noise import NoiseConfig, symmetric
from ..observe import Row
from ..paths import data_folder
from ..progress import bar
from ..train import Machine
from .replicas import together
from .two_gradients import Dual, DualConfig, Member, Samples, Stage, follow


def start(
    settings: "DualRuns", members: Sequence[Member], device: torch.device, folder: str | Path | None = None
) -> Dual:
    """The members' networks before their first step."""
    tasks = tasks_of(settings, members, folder)
    module = together(networks_of(settings, members, next(iter(tasks.values())))).to(device)
    on_device = {id(task): task.to(device) for task in tasks.values()}
    tasks = {seed: on_device[id(task)] for seed, task in tasks.items()}
    return Dual(module, settings.dual, Samples(tasks, members, settings.dual, settings.pool, settings.augment))


def tasks_of(settings: "DualRuns", members: Sequence[Member], folder: str | Path | None = None) -> dict[int, Task]:
    """The images of each member's seed: one task for all of them where nothing is drawn."""
    whole = None if settings.data.drawn else load(settings.data, folder)
    return {member.seed: whole or load(settings.data, folder, member.seed) for member in members}


def networks_of(settings: "DualRuns", members: Sequence[Member], task: Task) -> list[nn.Sequential]:
    """A network for each member; members of one seed begin with equal weights."""
    channels, height, width = task.input_shape
    shape = (channels, height // settings.pool, width // settings.pool)
    return [
        build(settings.model, shape, task.classes, generator(member.seed, "weights")) for member in members
    ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DualRuns(Recordable):
    """Many trainings with two gradients, recorded as one table.

    They are run in blocks, each kept when it is done: an interrupted run goes
    on with the first block that is missing.
    """

    data: DataConfig
    model: ModelConfig
    dual: DualConfig
    seeds: int  # how many, counted from `seed`
    pool: int = 1  # pixels a side that are averaged into one
    augment: bool = False  # shift and mirror training images
    seed: int = 0

    @property
    @abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """What all members go through."""

    @abstractmethod
    def members(self, seed: int) -> list[Member]:
        """The networks of one seed."""

    @property
    def rates(self) -> tuple[float, ...]:
        """All noise rates that occur."""
        return tuple(dict.fromkeys(member.noise_rate for member in self.members(self.seed)))

    @property
    def alone(self) -> bool:
        """Whether the networks are trained singly, being large."""
        return self.model.kind != "fcn"

    def blocks(self) -> list[list[Member]]:
        """The networks that are trained together: those of one seed, which see the images in one order."""
        blocks = [self.members(seed) for seed in range(self.seed, self.seed + self.seeds)]
        return [[member] for block in blocks for member in block] if self.alone else blocks

    def validate(self) -> None:
        """Also: there is something to train, and each mix, rate and stage can be meant."""
        super().validate()
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, not {self.seeds}")
        if self.pool < 1:
            raise ValueError(f"pool must be at least 1, not {self.pool}")
        if self.augment and not self.alone:
            raise ValueError("augment is for networks that are trained singly")
        members = self.members(self.seed)
        if not members or not self.stages:
            raise ValueError("there is nothing to train: name at least one mix, one noise rate and one epoch")
        for member in members:
            NoiseConfig(member.noise_rate).validate()
            outside = [mix for mix in member.mixes if not 0 <= mix <= 1]
            if outside:
                raise ValueError(f"mix (lambda) must lie in [0, 1], not {outside[0]}")
        for stage in self.stages:
            if stage.epochs < 1 or not stage.lr > 0:
                raise ValueError(f"a stage needs at least 1 epoch and an lr above 0, not {stage}")

    def preflight(self, folder: str | Path | None = None) -> None:
        """Load the data; ValueError for a trusted set without images or a rate that flips a whole class."""
        task = load(self.data, folder, self.seed)
        apart = round(self.dual.trusted * len(task.train_labels))
        if self.dual.trusted and not 2 <= apart <= len(task.train_labels) - 2:
            raise ValueError(
                f"a trusted share of {self.dual.trusted} is {apart} of {len(task.train_labels)} images; at least 2 "
                "must be trusted, and 2 left to train on"
            )
        for rate in self.rates:
            symmetric(task.train_labels, rate, task.classes, torch.Generator())

    @property
    def slug(self) -> str:
        """Key with a readable beginning, for file names."""
        widths = "x".join(map(str, self.model.widths))
        return f"{data_slug(self.data)}-{self.model.kind}{widths}-{self.kind}-K{self.dual.refresh}-{self.key}"

    def run(
        self, *, machine: Machine, folder: str | Path | None, resume: bool, made_by: str, progress: bool
    ) -> Outcome:
        """Train block by block; blocks that an interrupted run has finished are read."""
        self.validate()
        device = machine.resolve()
        rounds = "-tf32" if machine.tf32 else ""
        name = f"{self.slug}-{made_by or 'unnamed'}-{device.type}{rounds}"
        kept = Blocks(data_folder(folder) / "checkpoints" / name)
        rows: list[Row] = []
        seconds, threads = 0.0, 1
        blocks = self.blocks()
        for number, block in enumerate(bar(blocks, self.slug[:-17], "block", progress)):
            done = kept.read(number, ("rows", "seconds", "threads")) if resume else None
            if done is None:
                begun = time.perf_counter()
                dual = start(self, block, device, folder)
                work = self.dual.batch_size * len(block)
                with machine.cpu_threads(dual.module, work if not self.alone else self.dual.batch_size, 256) as threads:
                    found = follow(dual, block, self.stages)
                done = {"rows": found, "seconds": time.perf_counter() - begun, "threads": threads}
                if resume:
                    kept.write(number, done)
            rows += done["rows"]
            seconds, threads = seconds + done["seconds"], done["threads"]
        if resume:
            kept.discard()
        rows.sort(key=lambda row: (row["seed"], row["epoch"]))  # stable: members stay in their order
        return Outcome(rows, seconds, threads)


@dataclass(frozen=True, kw_only=True)
class DualScan(DualRuns):
    """Every noise rate with every mix, each over all seeds."""

    kind: ClassVar[str] = "scan"
    noise_rates: tuple[float, ...]
    mixes: tuple[float, ...]
    epochs: int
    milestones: tuple[int, ...] = ()  # epochs after which the learning rate is a tenth

    def __post_init__(self) -> None:
        for name in ("noise_rates", "mixes"):  # 0 and 0.0 are the same setting, and must have the same key
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The epochs between milestones."""
        ends = [*(m for m in self.milestones if m < self.epochs), self.epochs]
        return tuple(
            Stage(end - begin, self.dual.lr * 0.1**number)
            for number, (begin, end) in enumerate(zip([0, *ends], ends, strict=False))
        )

    def members(self, seed: int) -> list[Member]:
        """Noise rates and mixes in their order."""
        return [
            Member(seed, rate, (mix,) * len(self.stages)) for rate in self.noise_rates for mix in self.mixes
        ]  # fmt: skip

    def validate(self) -> None:
        """Also: milestones rise and are above 0."""
        if list(self.milestones) != sorted(set(self.milestones)) or min(self.milestones, default=1) < 1:
            raise ValueError(f"milestones must be different epochs from 1 on, in order, not {self.milestones}")
        super().validate()

    def short(self, epochs: int = 2) -> "DualScan":
        """The first epochs of the first seed."""
        return replace(self, seeds=1, epochs=min(epochs, self.epochs))


@dataclass(frozen=True, kw_only=True)
class DualPath(DualRuns):
    """The same networks led through one mix after the other.

    ``path``: for each stage its mix, its epochs and its learning rate.
    ``afresh`` names the stage before which momentum and clean gradient are
    dropped, as the original experiment does between training and sweep.
    """

    kind: ClassVar[str] = "path"
    noise_rate: float
    path: tuple[tuple[float, int, float], ...]
    afresh: int | None = None

    def __post_init__(self) -> None:
        path = tuple((float(mix), int(epochs), float(lr)) for mix, epochs, lr in self.path)
        object.__setattr__(self, "path", path)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """As the path says."""
        return tuple(Stage(epochs, lr, k == self.afresh) for k, (_, epochs, lr) in enumerate(self.path))

    def members(self, seed: int) -> list[Member]:
        """One network a seed."""
        return [Member(seed, self.noise_rate, tuple(mix for mix, _, _ in self.path))]

    def blocks(self) -> list[list[Member]]:
        """Small networks all at once."""
        blocks = super().blocks()
        return blocks if self.alone else [[member for block in blocks for member in block]]

    def short(self, epochs: int = 2) -> "DualPath":
        """The first seed, the first stage."""
        mix, count, lr = self.path[0]
        return replace(self, seeds=1, path=((mix, min(epochs, count), lr),), afresh=None)


def led_along(scan: DualScan, path: Sequence[tuple[float, int, float]], afresh: int | None = None) -> DualPath:
    """The networks, data and step of a scan, at its first noise rate, led along a path."""
    return DualPath(
        data=scan.data, model=scan.model, dual=scan.dual, seeds=scan.seeds, pool=scan.pool, augment=scan.augment,
        noise_rate=scan.noise_rates[0], path=tuple(path), afresh=afresh,
    )  # fmt: skip


def closed_loop(mixes: Sequence[float], dwell: int, lr: float, *, warm_up: int) -> tuple[tuple[float, int, float], ...]:
    """A path that trains at the first mix, goes up through all of them and back down, ``dwell`` epochs at each.

    ValueError for fewer than two mixes or mixes that do not rise.
    """
    if len(mixes) < 2 or list(mixes) != sorted(set(mixes)):
        raise ValueError(f"a loop needs two or more rising mixes, not {tuple(mixes)}")
    up = [(float(mix), dwell, lr) for mix in mixes]
    return ((float(mixes[0]), warm_up, lr), *up, *reversed(up))
