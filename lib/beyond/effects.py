"""What a penalty did to the boundaries: differences to the baseline of the same seed, read off recorded trainings."""

from collections.abc import Callable, Mapping

import numpy as np

from ..press.claims import Ledger
from ..press.rule import Part
from ..press.show import markdown
from ..runs import Runs
from .penalties import CONDITIONS, PAIRS, SelectiveTraining

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

    def _settings(self, name: str) -> SelectiveTraining:
        return self._runs[name][0].experiment


def check_where_found(
    ledger: Ledger,
    id: str,
    measured: Mapping[str, np.ndarray],
    judged: Callable[[Mapping[str, np.ndarray]], Mapping[str, Part]],
    **said: str,
) -> None:
    """Check a claim over the seeds that have all of these boundaries; without any, say that it is not judged.

    ``measured``: arrays ``[seeds]``, NaN where there is none; ``judged`` makes the claim's parts of what is left of
    them; ``said``: the words of `Ledger.check`.
    """
    there = np.isfinite(list(measured.values())).all(0)
    if not there.any():
        markdown(f"*No seed has all the boundaries that the claim `{id}` needs: it is not judged.*")
        return
    measured = {name: values[there] for name, values in measured.items()}
    ledger.check(id, measured=measured, parts=judged(measured), **said)
