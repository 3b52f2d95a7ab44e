"""A configuration, and how it becomes a history.

An `Experiment` says everything that determines the numbers, and nothing else;
its `key` is how a recorded run is found again.
"""

import hashlib
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from .checkpoint import Checkpoint
from .data import DataConfig, Task, load
from .models import ModelConfig, build
from .noise import NoiseConfig, NoisyLabels, symmetric
from .observe import ObserveConfig, Observer, Row
from .paths import data_folder
from .train import Machine, TrainConfig, TrainingDiverged, train


class Recordable(ABC):
    """What can be run once and replayed for ever: settings that determine a table of numbers, and nothing else.

    Subclasses are frozen dataclasses with a field ``seed``.
    """

    kind: ClassVar[str] = ""  # named in the key; "" for trainings
    seed: int

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that name these settings, in every version of the book.

        Fields that stand at their default are left out, so that a new field
        whose default means what was done before changes no key. It follows
        that a default may never be changed.
        """
        settings = as_dict(self) | ({"kind": self.kind} if self.kind else {})
        text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    @abstractmethod
    def slug(self) -> str:
        """Key with a readable beginning, for file names."""

    def validate(self) -> None:
        """Raise ValueError for what can be known wrong before any compute; subclasses add what their fields need."""
        for item in fields(self):
            part = getattr(self, item.name)
            if is_dataclass(part):
                part.validate()
        check_seed(self.seed)

    def preflight(self, folder: str | Path | None = None) -> None:  # noqa: B027 - many measurements need nothing
        """Raise what running would raise for want of data, or for data that do not fit."""

    @abstractmethod
    def short(self, epochs: int = 2) -> "Recordable":
        """The part that is run again to check a record: its rows are the first rows of the whole."""

    @abstractmethod
    def run(
        self, *, machine: Machine, folder: str | Path | None, resume: bool, made_by: str, progress: bool
    ) -> "Outcome":
        """Make the numbers."""


@dataclass(frozen=True)
class Experiment(Recordable):
    """One training with label noise.

    ``seed`` drives five separate generators: which images of a larger set are
    used, which labels are wrong, the weights at the start, the order of the
    images, and which images are watched.
    """

    data: DataConfig
    noise: NoiseConfig
    model: ModelConfig
    train: TrainConfig
    observe: ObserveConfig = field(default_factory=ObserveConfig)
    seed: int = 0

    def preflight(self, folder: str | Path | None = None) -> None:
        """Load the data and flip the labels."""
        check_labels(self.data, self.noise, folder, self.seed)

    @property
    def slug(self) -> str:
        """Key with a readable beginning, for file names."""
        kind = "" if self.model.kind == "fcn" else f"{self.model.kind}-"
        widths = "x".join(map(str, self.model.widths))
        return f"{data_slug(self.data)}-{kind}{widths}-lr{self.train.lr:g}-seed{self.seed}-{self.key}"

    def short(self, epochs: int = 2) -> "Experiment":
        """Its first epochs."""
        return replace(self, train=replace(self.train, epochs=min(epochs, self.train.epochs)))

    def run(self, **settings: Any) -> "Outcome":
        """Train: `run` of this module."""
        return run(self, **settings)


@dataclass(frozen=True)
class Measurement(Recordable):
    """Something measured without training: subclasses say what, in `rows`."""

    seed: int = 0

    @abstractmethod
    def rows(self, device: torch.device, folder: str | Path | None) -> list[Row]:
        """The table, a row a dictionary."""

    def short(self, epochs: int = 2) -> "Measurement":
        """All of it, unless a subclass says otherwise."""
        return self

    def run(
        self, *, machine: Machine, folder: str | Path | None, resume: bool, made_by: str, progress: bool
    ) -> "Outcome":
        """Measure; it is done at once, so that there is nothing to resume."""
        self.validate()
        begun = time.perf_counter()
        rows = self.rows(machine.resolve(), folder)
        return Outcome(rows, time.perf_counter() - begun, torch.get_num_threads())


def check_seed(seed: int) -> None:
    """ValueError for a seed that no generator takes."""
    if not 0 <= seed < 2**31:
        raise ValueError(f"seed must lie in 0 to 2**31 - 1, not {seed}")


def check_labels(data: DataConfig, noise: NoiseConfig, folder: str | Path | None = None, seed: int = 0) -> None:
    """Raise now what loading this data and flipping its labels would raise."""
    task = load(data, folder, seed)
    symmetric(task.train_labels, noise.noise_rate, task.classes, torch.Generator())


def data_slug(data: DataConfig) -> str:
    """Data set and classes, for file names."""
    return data.name + "".join(map(str, data.classes or ()))


def as_dict(config: Any) -> dict[str, Any]:
    """The settings of a dataclass that differ from their defaults, nested, fit for JSON."""
    settings = {}
    for item in fields(config):
        value = getattr(config, item.name)
        if item.type is float:
            value = float(value)  # 1 and 1.0 are the same setting
        default = item.default_factory() if item.default_factory is not MISSING else item.default
        if value == default:
            continue
        settings[item.name] = (
            as_dict(value) if is_dataclass(value) else list(value) if isinstance(value, tuple) else value
        )
    return settings


Some = TypeVar("Some", bound=Recordable)


def with_seeds(experiment: Some, seeds: int | Iterable[int]) -> list[Some]:
    """The same experiment once for each seed (a number n stands for 0 to n - 1). ValueError for none."""
    if isinstance(seeds, int) and seeds < 1:
        raise ValueError(f"seeds must be at least 1, not {seeds}")
    return [replace(experiment, seed=seed) for seed in (range(seeds) if isinstance(seeds, int) else seeds)]


def generator(seed: int, purpose: str) -> torch.Generator:
    """A generator of its own for each purpose, so that none shifts another's draws."""
    digest = hashlib.sha256(f"{purpose}:{seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


@dataclass(frozen=True)
class Prepared:
    """An experiment ready to be trained: everything on its device."""

    task: Task
    labels: NoisyLabels
    model: nn.Module
    observer: Observer

    @property
    def watched_images(self) -> Tensor:
        """The watched flipped images, ``[watched, channels, height, width]``."""
        return self.task.train_images[self.observer.watched]


@dataclass(frozen=True)
class Outcome:
    """A finished run: one row an epoch, the seconds it took (interrupted parts included), the CPU threads used."""

    history: list[Row]
    seconds: float
    threads: int


def preflight(wanted: Iterable[Recordable], machine: Machine = Machine(), folder: str | Path | None = None) -> None:
    """Raise now what running any of these would raise: before the first one is run."""
    machine.resolve()
    seen = set()
    for experiment in wanted:
        experiment.validate()
        seedless = replace(experiment, seed=0).key
        if seedless not in seen:
            experiment.preflight(folder)
        seen.add(seedless)


def prepare(
    experiment: Experiment, machine: Machine = Machine(), folder: str | Path | None = None, task: Task | None = None
) -> Prepared:
    """Check the configuration, then make data, labels, model and observer.

    ``task`` replaces the data set that ``experiment.data`` names (one's own
    arrays, for example). Raises what the configuration's parts raise.
    """
    experiment.validate()
    device = machine.resolve()
    task = task or load(experiment.data, folder, experiment.seed)
    labels = symmetric(
        task.train_labels, experiment.noise.noise_rate, task.classes, generator(experiment.seed, "noise")
    )
    model = build(experiment.model, task.input_shape, task.outputs, generator(experiment.seed, "weights")).to(device)
    if machine.channels_last:
        model = model.to(memory_format=torch.channels_last)
    task, labels = task.to(device), labels.to(device)
    observer = Observer(experiment.observe, model, task, labels, generator(experiment.seed, "watch"))
    return Prepared(task, labels, model, observer)


def run(
    experiment: Experiment,
    *,
    machine: Machine = Machine(),
    folder: str | Path | None = None,
    task: Task | None = None,
    resume: bool = True,
    made_by: str = "",
    checkpoint_seconds: float = 10.0,
    progress: bool = True,
) -> Outcome:
    """Train from the start, or from where an interrupted run stopped.

    ``made_by`` names the code: a checkpoint of other code, or of another kind
    of device, is not continued.

    Checkpoints lie in the data folder and are deleted when the run is done
    (`run` with one's own ``task`` makes none: the configuration does not name
    its data). A run that diverges leaves its history beside them, as JSON.
    """
    begun = time.perf_counter()
    checkpoint = None
    if resume and task is None:
        path = data_folder(folder) / "checkpoints" / f"{experiment.slug}.pt"
        done_by = f"{machine.resolve().type} {machine.compile} {machine.channels_last} {machine.tf32}"
        key = f"{experiment.key} {made_by} {done_by}"
        checkpoint = Checkpoint(path, key, checkpoint_seconds)
    ready = prepare(experiment, machine, folder, task)
    batch = experiment.train.batch_size or len(ready.labels.given)
    positions = math.prod(ready.task.input_shape[1:])
    try:
        with machine.cpu_threads(ready.model, batch, positions) as threads:
            history = train(
                ready.model,
                ready.task,
                ready.labels,
                experiment.train,
                ready.observer,
                generator(experiment.seed, "order"),
                machine=machine,
                checkpoint=checkpoint,
                description=f"{experiment.data.name}, seed {experiment.seed}",
                progress=progress,
            )
    except TrainingDiverged as divergence:
        if checkpoint:
            checkpoint.keep_history(divergence, divergence.history)
            checkpoint.discard()
        raise
    seconds = time.perf_counter() - begun
    if checkpoint:
        seconds += checkpoint.spent_before
        checkpoint.discard()
    return Outcome(history, seconds, threads)
