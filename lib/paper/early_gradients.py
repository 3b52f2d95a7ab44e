"""A training whose subset gradients are measured in its early stage: § 4 and § 5 ask for them there (Figs. 6 and 8).

Measuring them takes about as long as an epoch of training. Errors, losses and residuals are measured after every epoch.
"""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from torch import nn

from ..checkpoint import Checkpoint
from ..experiments import Experiment, Outcome, generator, prepare
from ..observe import Observer, Row
from ..paths import data_folder
from ..train import Machine, TrainingDiverged, train

EVERY = 5  # epochs between measurements of the gradients after the early stage


@dataclass(frozen=True, kw_only=True)
class EarlyGradients(Experiment):
    """An `Experiment` that measures its gradients in the early stage, and seldom after it.

    It does so up to epoch ``early``, then in every fifth, and wherever the test error is the least so far: they are
    known at the early stop, however late that is. In the other rows their columns are NaN.
    """

    kind: ClassVar[str] = "early gradients"
    early: int

    def validate(self) -> None:
        """Also: gradients are measured, up to some epoch."""
        super().validate()
        if self.early < 0:
            raise ValueError(f"early must be at least 0, not {self.early}")
        if not self.observe.gradients:
            raise ValueError("gradients are to be measured early: set observe.gradients=True")

    def run(
        self, *, machine: Machine, folder: str | Path | None, resume: bool, made_by: str, progress: bool
    ) -> Outcome:
        """Train, from where an interrupted run stopped. TrainingDiverged."""
        begun, device = time.perf_counter(), machine.resolve()
        done_by = f"{device.type} {machine.compile} {machine.channels_last} {machine.tf32}"
        path = data_folder(folder) / "checkpoints" / f"{self.slug}.pt"
        checkpoint = Checkpoint(path, f"{self.key} {made_by} {done_by}") if resume else None
        ready = prepare(self, machine, folder)
        saved = checkpoint.restore(device) if checkpoint else None
        without = replace(self.observe, gradients=False)
        watch = generator(self.seed, "watch")
        observer = _EarlyObserver(
            ready.observer,
            Observer(without, ready.model, ready.task, ready.labels, watch),
            self.early,
            saved["history"] if saved else [],
        )
        batch = self.train.batch_size or len(ready.labels.given)
        try:
            with machine.cpu_threads(ready.model, batch, math.prod(ready.task.input_shape[1:])) as threads:
                history = train(
                    ready.model,
                    ready.task,
                    ready.labels,
                    self.train,
                    observer,
                    generator(self.seed, "order"),
                    machine=machine,
                    checkpoint=checkpoint,
                    description=f"{self.data.name}, seed {self.seed}",
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


class _EarlyObserver:
    """Measures everything up to an epoch, and less after it; ``history``: what an interrupted run has measured."""

    def __init__(self, everything: Observer, without: Observer, early: int, history: list[Row]) -> None:
        self.everything, self.without, self.early = everything, without, early
        self.epoch = len(history)
        self.least = min((row["test_error"] for row in history), default=math.inf)

    def __call__(self, model: nn.Module) -> Row:
        whole = self.epoch <= self.early or self.epoch % EVERY == 0
        row = (self.everything if whole else self.without)(model)
        if not whole and row["test_error"] < self.least:
            row = self.everything(model)
        self.epoch += 1
        self.least = min(self.least, row["test_error"])
        return row
