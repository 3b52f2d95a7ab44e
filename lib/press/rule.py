"""When a claim counts as true: one rule for all of them.

A claim sets a value against a *rival*, the value that would be there were the
claim untrue: no effect, chance, the start. What a seed measured is placed on
the way between the two: off = (value - claimed) / (rival - claimed), 0 as
claimed and 1 as the rival has it. How far off it may be follows from the
claim's own words alone:

    above, below        falls, grows, larger than: on the claimed side of the rival
    towards             towards, far below, mostly, concentrates: past half of the way, off < 1/2
    about               about, similar, nearly: off within 1/2 on either side
    equal               equals, is, the same: off within 1/10 on either side
    always              in every step, never, a theorem: no exception beyond the error of measuring
    mostly              yes or no a seed: more often than not

All but `always` are judged on the mean over seeds, with its 95 % interval. A
part holds if the interval lies where it should, does not hold if it lies
outside, and is undecided if it reaches over the edge. So tolerance comes from
the spread over seeds and their number, and from nothing else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

NO_NUMBERS = True
LEVEL = 0.95
HALF, TENTH = 0.5, 0.1
WAYS = ("mean", "share", "always")
OUTCOMES = ("holds", "does not hold", "undecided")
Values = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Part:
    """One statement of a claim, judged.

    ``effect`` has one entry a seed; its mean, or with ``by`` "always" its
    largest value, must lie between the ``edges`` (None: no edge there).
    """

    says: str  # the rule's words for it
    effect: list[float]
    edges: tuple[float | None, float | None]
    by: str = "mean"  # how it is judged: one of WAYS

    @property
    def mean(self) -> float:
        """Of the effect over seeds."""
        return float(np.mean(self.effect))

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of the mean effect, at 95 %: Student's, or Wilson's for a share. None for one seed, and for "always"."""
        n = len(self.effect)
        if self.by == "share":
            found = stats.binomtest(int(sum(self.effect)), n).proportion_ci(LEVEL, method="wilson")
            return float(found.low), float(found.high)
        if self.by == "always" or n == 1:
            return None
        half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1) * np.std(self.effect, ddof=1) / np.sqrt(n))
        return self.mean - half, self.mean + half

    @property
    def outcome(self) -> str:
        """One of OUTCOMES."""
        low_edge, high_edge = (-np.inf if self.edges[0] is None else self.edges[0]), self.edges[1]
        high_edge = np.inf if high_edge is None else high_edge
        if self.by == "always":
            return "holds" if max(self.effect) <= high_edge else "does not hold"
        if self.interval is None:  # one seed alone
            return "undecided"
        low, high = self.interval
        if low > low_edge and high < high_edge:
            return "holds"
        return "does not hold" if high <= low_edge or low >= high_edge else "undecided"

    def among(self, seeds: Sequence[int]) -> "Part":
        """The same judged on some of the seeds, by their places."""
        return replace(self, effect=[self.effect[seed] for seed in seeds])


def above(values: Values, rival: Values | float, name: str = "") -> Part:
    """Larger than ``rival`` (one value, or one a seed), by whatever amount. ``name``: what the rival is."""
    _check_pairs(values, rival)
    return _part(f"above {name or _said(rival)}, by", _array(values) - _array(rival), (0.0, None))


def below(values: Values, rival: Values | float, name: str = "") -> Part:
    """Smaller than ``rival``, by whatever amount."""
    _check_pairs(values, rival)
    return _part(f"below {name or _said(rival)}, by", _array(rival) - _array(values), (0.0, None))


def towards(values: Values, claimed: Values | float, rival: Values | float, name: str = "") -> Part:
    """Past half of the way from ``rival`` to ``claimed``; what is past the claimed value counts as well."""
    says = f"past half of the way {name or _way(rival, claimed)}: share of it"
    return _part(says, 1 - _off(values, claimed, rival), (HALF, None))


def about(values: Values, claimed: Values | float, rival: Values | float, name: str = "") -> Part:
    """Off from ``claimed`` by less than half of the distance to ``rival``, on either side."""
    says = f"off by less than half of the way {name or _way(claimed, rival)}: share of it"
    return _part(says, _off(values, claimed, rival), (-HALF, HALF))


def equal(values: Values, claimed: Values | float, rival: Values | float, name: str = "") -> Part:
    """Off from ``claimed`` by less than a tenth of the distance to ``rival``, on either side."""
    says = f"off by less than a tenth of the way {name or _way(claimed, rival)}: share of it"
    return _part(says, _off(values, claimed, rival), (-TENTH, TENTH))


def always(worst: Values, error: float, name: str) -> Part:
    """No exception: in no seed is the ``worst`` case beyond the ``error`` of measuring.

    ``name``: what it is the worst of. ``error`` is that of arithmetic or of sampling (standard
    errors), known before the outcome. One seed with an exception is enough for "does not hold".
    """
    return _part(f"{name}: never beyond {error:.3g}; found", worst, (None, float(error)), "always")


def mostly(yes: Iterable[bool], name: str, of: str = "seeds") -> Part:
    """True of more of them than not, whatever they are: Wilson's interval of their share lies above one half."""
    says = f"{name}, in more than half of the {of}: share"
    return _part(says, [float(one) for one in yes], (HALF, None), "share")


def verdict(outcomes: Sequence[str]) -> str:
    """Of a claim from those of its parts: "partly" if some hold; "undecided" if none does and one may."""
    if all(outcome == "holds" for outcome in outcomes):
        return "holds"
    if "holds" in outcomes:
        return "partly"
    return "undecided" if "undecided" in outcomes else "does not hold"


def _part(says: str, effect: Values, edges: tuple[float | None, float | None], by: str = "mean") -> Part:
    effect = np.atleast_1d(_array(effect))
    if not len(effect) or np.isnan(effect).any():
        raise ValueError(f"a part needs one number a seed, and none that is NaN, got {effect.tolist()}")
    return Part(says, effect.tolist(), edges, by)


def _off(values: Values, claimed: Values | float, rival: Values | float) -> np.ndarray:
    _check_pairs(values, claimed)
    _check_pairs(values, rival)
    distance = _array(rival) - _array(claimed)
    if (distance == 0).any():
        raise ValueError("a claim needs a rival of another value: claimed and rival are the same")
    return (_array(values) - _array(claimed)) / distance


def _check_pairs(values: Values, other: Values | float) -> None:
    """ValueError where what is compared seed by seed has other seeds; one value stands for all."""
    seeds, others = np.atleast_1d(_array(values)).size, _array(other)
    if others.ndim and others.size not in (1, seeds):
        raise ValueError(f"values of {seeds} seeds are compared with {others.size}: one each is needed, or one for all")


def _array(values: Values | float) -> np.ndarray:
    return np.asarray(values, dtype=float)


def _way(start: Values | float, end: Values | float) -> str:
    return f"from {_said(start)} to {_said(end)}"


def _said(value: Values | float) -> str:
    return f"{float(np.mean(_array(value))):.3g}"
