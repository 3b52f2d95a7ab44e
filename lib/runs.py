"""Runs of experiments and what is read off them: early stops, columns over seeds, where the numbers come from."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from . import identity
from .experiments import Recordable
from .identity import Identity
from .words import count, listed


def code_of(experiment: Recordable) -> Identity:
    """The identity of the code that makes the numbers of an experiment of this kind, as it stood when first asked."""
    return _code_of(type(experiment))


@cache
def _code_of(kind: type[Recordable]) -> Identity:
    return identity.of_definition(kind.__module__.partition(".")[2], kind.__name__)


@dataclass(frozen=True)
class Run:
    """A history and where it comes from.

    ``history``: one row an epoch, the columns of `lib.observe`. ``provenance``
    holds settings, key, device, date, seconds, versions and the identity of
    the code. ``check``: what the store says of today's code, see `lib.records`.
    ``live``: trained in this process rather than read.
    """

    experiment: Recordable
    history: pd.DataFrame
    provenance: dict[str, Any]
    live: bool = False
    check: Mapping[str, Any] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """The identity of the code that made, or last checked, these numbers."""
        made_by = self.provenance.get("identity", "unknown")
        return made_by if made_by == code_of(self.experiment).id else self.check.get("identity", made_by)

    @property
    def state(self) -> str:
        """ "today's code", "checked by today's code" or "older code"."""
        today = code_of(self.experiment).id
        if self.provenance.get("identity") == today:
            return "today's code"
        if self.check.get("identity") != today:
            return "older code"
        return "today's code" if self.check.get("made") else "checked by today's code"

    @property
    def early_stop(self) -> int:
        """The epoch of least test error, the first of several: the paper's early stopping point."""
        return int(self.history.loc[self.history["test_error"].idxmin(), "epoch"])

    def at(self, epoch: int) -> pd.Series:
        """The row of one epoch."""
        return self.history.set_index("epoch").loc[epoch]

    def until_stop(self, column: str) -> np.ndarray:
        """A column from the start to the early stop, without epochs in which it was not measured."""
        return self.history.loc[self.history["epoch"] <= self.early_stop, column].dropna().to_numpy()

    def after_stop(self, column: str) -> np.ndarray:
        """A column from the early stop to the end."""
        return self.history.loc[self.history["epoch"] >= self.early_stop, column].to_numpy()


class Runs(Sequence[Run]):
    """The runs of one experiment over several seeds."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._runs = list(runs)

    def __getitem__(self, index):
        return self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    @property
    def seeds(self) -> list[int]:
        """The seed of each run."""
        return [run.experiment.seed for run in self]

    @property
    def table(self) -> pd.DataFrame:
        """All histories below each other, with a column ``seed``."""
        return pd.concat([run.history.assign(seed=run.experiment.seed) for run in self], ignore_index=True)

    def wide(self, column: str) -> pd.DataFrame:
        """One column of the histories: a row an epoch, a column a seed."""
        return self.table.pivot(index="epoch", columns="seed", values=column)

    @property
    def early_stops(self) -> np.ndarray:
        """The early stopping epoch of each run."""
        return np.array([run.early_stop for run in self])

    def at_early_stop(self, column: str) -> np.ndarray:
        """The value of a column at each run's early stop."""
        return np.array([run.at(run.early_stop)[column] for run in self])

    def until(self, epoch: int) -> "Runs":
        """The same runs, cut after an epoch: without a schedule that is what a shorter training gives."""
        return Runs(replace(run, history=run.history[run.history["epoch"] <= epoch]) for run in self)

    def each(self, measure: Callable[[Run], float]) -> list[float]:
        """A number for each run."""
        return [float(measure(run)) for run in self]

    def provenance_line(self) -> str:
        """Where these numbers come from, in a line."""
        seconds = sum(run.provenance["seconds"] for run in self)
        took = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
        devices = listed({run.provenance["device"] for run in self})
        dates = sorted({run.provenance["date"][:10] for run in self})
        when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
        code = listed({run.code for run in self})
        states = {run.state for run in self}
        if {"today's code", "checked by today's code"} <= states:
            states = states - {"today's code", "checked by today's code"} | {"made or checked by today's code"}
        lives = {run.live for run in self}
        how = {(True,): "Trained live", (False,): "Recorded"}.get(tuple(lives), "Trained live and recorded")
        return f"{how} on {devices}, {when}; {self._seeds_in_words()}, {took} in all; code {code} ({listed(states)})"

    def _seeds_in_words(self) -> str:
        """How many different seeds, and of how many runs where a seed was run more than once."""
        run = [seed for one in self for seed in range(one.experiment.seed, one.experiment.seed + _seeds_of(one))]
        seeds = count(len(set(run)), "seed")
        return seeds if len(set(run)) == len(run) else f"{count(len(run), 'run')} of {seeds}"


def _seeds_of(run: Run) -> int:
    """How many seeds, counted from its own, a run holds: most hold one."""
    return getattr(run.experiment, "seeds", 1)
