"""What a penalty did to the boundaries: differences to the baseline of the same seed, read off recorded trainings."""

from collections.abc import Mapping

import numpy as np

from ..runs import Runs
from .penalties import CONDITIONS, PAIRS

LABELS = tuple(f"{a} v {b}" for a, b in PAIRS)


class Effects:
    """Reads the tables of `penalties.SelectiveTraining` after the last epoch.

    ``runs``: for each group its runs, one a seed. A group's baseline is
    another, under "baseline, " and the noise rate ("baseline, 0.2"). Values
    are NaN where a network has no boundary.
    """

    def __init__(self, runs: Mapping[str, Runs]) -> None:
        self._runs = runs

    def last(self, name: str, column: str) -> np.ndarray:
        """A column, ``[seeds, pairs]``."""
        table = self._runs[name].table
        table = table[table["epoch"] == table["epoch"].max()]
        return table.pivot(index="seed", columns="pair_a", values=column)[[a for a, _ in PAIRS]].to_numpy(float)

    def of(self, name: str, column: str) -> np.ndarray:
        """Difference to the baseline of the same seed and noise rate, ``[seeds, pairs]``."""
        return self.last(name, column) - self.last(f"baseline, {self._settings(name).noise.noise_rate:g}", column)

    def contrast(self, name: str, column: str) -> np.ndarray:
        """Effect on the pair that is penalised less the mean effect on the other two, ``[seeds]``.

        ValueError for a condition that is not about one of the pairs.
        """
        condition = self._settings(name).condition
        if CONDITIONS[condition] not in PAIRS:
            raise ValueError(f"a contrast is of a condition that penalises one pair of classes, not {condition!r}")
        found, k = self.of(name, column), PAIRS.index(CONDITIONS[condition])
        return found[:, k] - np.delete(found, k, axis=1).mean(1)

    def _settings(self, name: str):
        return self._runs[name][0].experiment
