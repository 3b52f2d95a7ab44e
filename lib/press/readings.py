"""What several chapters read off recorded tables."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import scipy

from ..runs import Runs
from .claims import number
from .figures import SUBSETS

# The original experiments with two gradients call a network ordered below the one test error, collapsed from the other.
ORDERED_BELOW, COLLAPSED_FROM = 0.3, 0.5


def steadiness(values: Sequence[float] | np.ndarray) -> float:
    """Net rise over the sum of all changes: 1 if it never falls, 0 if it goes nowhere, -1 if it never rises."""
    changes = np.diff(values)
    moved = np.abs(changes).sum()
    return float(changes.sum() / moved) if moved else 0.0


class Angles:
    """Reads the tables of `angles.StartAngles`: arrays have one entry a seed."""

    def __init__(self, runs: Runs) -> None:
        self._table = runs.table
        self._alike = self._table.groupby(["class", "seed"]).first()

    @property
    def classes(self) -> list[int]:
        """The classes measured."""
        return sorted(self._table["class"].unique())

    def counts(self, c: int) -> dict[str, pd.DataFrame]:
        """Histograms of the three subsets of a class: a row a degree, a column a seed."""
        rows = self._table[self._table["class"] == c]
        return {kind: rows.pivot(index="degree", columns="seed", values=kind) for kind in SUBSETS}

    def shares(self, c: int) -> dict[str, np.ndarray]:
        """The same as shares of the subset, ``[degree, seed]``."""
        return {kind: (table / table.sum()).to_numpy() for kind, table in self.counts(c).items()}

    def of(self, column: str, c: int) -> np.ndarray:
        """A quantity of a class that is alike in all its rows."""
        return self._alike.loc[c][column].to_numpy()

    def mean_angle(self, kind: str, c: int) -> np.ndarray:
        """Mean angle of a subset in degrees."""
        shares = self.shares(c)[kind]
        return ((np.arange(len(shares)) + 0.5)[:, None] * shares).sum(0)

    def auc(self, low: str, high: str, c: int) -> np.ndarray:
        """Probability that an angle of subset ``low`` is below one of ``high``, ties of a bin counted half."""
        shares = self.shares(c)
        return (shares[low] * (1 - shares[high].cumsum(0) + shares[high] / 2)).sum(0)


class Scan:
    """Reads the table of `scans.DualRuns`: arrays have one entry a seed."""

    def __init__(self, runs: Runs) -> None:
        self.table = runs.table if len(runs) > 1 else runs[0].history
        self.last = int(self.table["epoch"].max())

    @property
    def mixes(self) -> list[float]:
        """All mixes that occur, in order."""
        return sorted(self.table["mix"].unique())

    def at(self, column: str, mix: float, noise_rate: float | None = None, epoch: int | None = None) -> np.ndarray:
        """A column at one mix (and one noise rate, where there are several) after an epoch, by default the last."""
        epoch = self.last if epoch is None else epoch
        rows = self.table[np.isclose(self.table["mix"], mix) & (self.table["epoch"] == epoch)]
        if noise_rate is not None:
            rows = rows[np.isclose(rows["noise_rate"], noise_rate)]
        found = rows.sort_values("seed")
        if found.empty or found["seed"].duplicated().any():
            raise ValueError(f"mix {mix}, noise rate {noise_rate}: {len(found)} rows, not one a seed")
        return found[column].to_numpy()

    def over_mixes(self, column: str, noise_rate: float | None = None) -> np.ndarray:
        """A column in the last epoch, ``[mixes, seeds]``."""
        return np.stack([self.at(column, mix, noise_rate) for mix in self.mixes])


def stage_ends(table: pd.DataFrame, column: str = "test_error") -> np.ndarray:
    """A column of a path's table at the end of each stage, ``[stages, seeds]``."""
    return table.sort_values("epoch").groupby(["stage", "seed"])[column].last().unstack().to_numpy()


def there_and_back(table: pd.DataFrame, column: str = "test_error") -> tuple[np.ndarray, np.ndarray]:
    """A column of a closed loop's table on the way up and on the way back, both over rising mixes, ``[mixes, seeds]``.

    The first stage is the warm-up. ValueError if the rest does not make two ways of one length.
    """
    ends = stage_ends(table, column)[1:]
    if len(ends) % 2:
        raise ValueError(f"a loop has as many stages up as back after its warm-up, not {len(ends)} in all")
    return ends[: len(ends) // 2], ends[len(ends) // 2 :][::-1]


def loop_area(mixes: Sequence[float], up: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Area between the way down and the way up of an error, ``[points, ...]`` over rising mixes; trapezoids."""
    return np.trapezoid(down - up, mixes, axis=0)


def passage(mixes: Sequence[float], errors: np.ndarray, level: float) -> np.ndarray:
    """The mix at which an error, past its least value, gets to ``level``, by straight lines; ``errors`` [mixes, seeds].

    A value a seed: NaN where it does not, and where the least error lies above the level that error's mix.
    """
    found = np.full(errors.shape[1], np.nan)
    for seed, curve in enumerate(errors.T):
        least = int(curve.argmin())
        beyond = np.flatnonzero(curve[least:] >= level)
        if len(beyond) and beyond[0] == 0:
            found[seed] = mixes[least]
        elif len(beyond):
            k = least + int(beyond[0])
            share = (level - curve[k - 1]) / (curve[k] - curve[k - 1])
            found[seed] = mixes[k - 1] + share * (mixes[k] - mixes[k - 1])
    return found


def each_condition(
    runs: Mapping[str, Runs], conditions: Sequence[float], measure: Callable[[Runs], Sequence[float]], prefix: str = ""
) -> dict[float, np.ndarray]:
    """A measure of each condition of a sweep (width, noise rate): an array over seeds under the condition.

    Runs stand in ``runs`` under ``prefix`` and the condition in words ("width 32", "0.4").
    """
    return {value: np.asarray(measure(runs[f"{prefix}{value:g}"]), dtype=float) for value in conditions}


def paired_interval(differences: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean of paired differences and Student's interval (ddof 1): mean, low, high. ValueError for fewer than two."""
    values = np.asarray(differences, dtype=float)
    if len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"a paired interval needs two or more finite differences, not {differences}")
    half = float(scipy.stats.t.ppf((1 + level) / 2, len(values) - 1) * scipy.stats.sem(values))
    mean = float(values.mean())
    return mean, mean - half, mean + half


def interval_in_words(values: np.ndarray) -> str:
    """Mean and Student's 95 % interval of paired differences, and of how many seeds where some are NaN."""
    there = values[np.isfinite(values)]
    if len(there) < 2:
        return f"too few ({len(there)})"
    mean, low, high = map(number, paired_interval(there))
    return f"{mean} [{low}, {high}]" + ("" if len(there) == len(values) else f" ({len(there)} seeds)")


def smooth(history: pd.DataFrame | pd.Series) -> pd.DataFrame | pd.Series:
    """Running median of nine epochs, centred: single spikes do not count."""
    return history.rolling(9, center=True, min_periods=1).median()


def first_balance(history: pd.DataFrame) -> float:
    """The first epoch with a ratio of clean to noisy gradient of at most 1; NaN if there is none."""
    reached = history.loc[history["ratio"] <= 1, "epoch"]
    return float(reached.iloc[0]) if len(reached) else float("nan")
