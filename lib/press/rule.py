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
from dataclasses import dataclass

import numpy as np
from scipy import stats

NO_NUMBERS = True
LEVEL = 0.95
HALF, TENTH = 0.5, 0.1
OUTCOMES = ("holds", "does not hold", "undecided")
Values = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Part:
    """One statement of a claim, judged.

    ``effect`` has one entry a seed: what is compared with the edges. ``low``
    and ``high`` are the interval of its mean, None where there is none.
    """

    says: str  # the rule's words for it
    effect: list[float]
    low: float | None
    high: float | None
    outcome: str  # one of OUTCOMES

    @property
    def mean(self) -> float:
        """Of the effect over seeds."""
        return float(np.mean(self.effect))


def above(values: Values, rival: Values | float, name: str = "") -> Part:
    """Larger than ``rival`` (one value, or one a seed), by whatever amount. ``name``: what the rival is."""
    return _judged(_array(values) - _array(rival), 0.0, np.inf, f"above {name or _said(rival)}, by")


def below(values: Values, rival: Values | float, name: str = "") -> Part:
    """Smaller than ``rival``, by whatever amount."""
    return _judged(_array(rival) - _array(values), 0.0, np.inf, f"below {name or _said(rival)}, by")


def towards(values: Values, claimed: Values | float, rival: Values | float, name: str = "") -> Part:
    """Past half of the way from ``rival`` to ``claimed``; what is past the claimed value counts as well."""
    says = f"past half of the way {name or _way(rival, claimed)}: share of it"
    return _judged(1 - _off(values, claimed, rival), HALF, np.inf, says)


def about(values: Values, claimed: Values | float, rival: Values | float, name: str = "") -> Part:
    """Off from ``claimed`` by less than half of the distance to ``rival``, on either side."""
    says = f"off by less than half of the way {name or _way(claimed, rival)}: share of it"
    return _judged(_off(values, claimed, rival), -HALF, HALF, says)


def equal(values: Values, claimed: Values | float, rival: Values | float, name: str = "") -> Part:
    """Off from ``claimed`` by less than a tenth of the distance to ``rival``, on either side."""
    says = f"off by less than a tenth of the way {name or _way(claimed, rival)}: share of it"
    return _judged(_off(values, claimed, rival), -TENTH, TENTH, says)


def always(worst: Values, error: Values | float, name: str) -> Part:
    """No exception: in no seed is the ``worst`` case beyond the ``error`` of measuring.

    ``name``: what it is the worst of. ``error`` is that of arithmetic or of sampling (standard
    errors), known before the outcome. One seed with an exception is enough for "does not hold".
    """
    excess = np.atleast_1d(_array(worst))
    _some(excess)
    outcome = "holds" if (excess <= _array(error)).all() else "does not hold"
    says = f"{name}: never beyond {_array(error).max():.3g}; worst"
    return Part(says, excess.tolist(), None, None, outcome)


def mostly(yes: Iterable[bool], name: str) -> Part:
    """True of more seeds than not: Wilson's interval of their share lies above one half."""
    counted = np.array([bool(one) for one in yes], dtype=float)
    _some(counted)
    found = stats.binomtest(int(counted.sum()), len(counted)).proportion_ci(LEVEL, method="wilson")
    says = f"{name}, in more than half of the seeds: share"
    return _outcome(says, counted, (found.low, found.high), HALF, np.inf)


def verdict(outcomes: Sequence[str]) -> str:
    """Of a claim from those of its parts: "partly" if some hold; "undecided" if none does and one may."""
    if all(outcome == "holds" for outcome in outcomes):
        return "holds"
    if "holds" in outcomes:
        return "partly"
    return "undecided" if "undecided" in outcomes else "does not hold"


def _judged(effect: np.ndarray, low_edge: float, high_edge: float, says: str) -> Part:
    effect = np.atleast_1d(effect)
    _some(effect)
    if len(effect) == 1:  # one seed alone has no interval
        return Part(says, effect.tolist(), None, None, "undecided")
    half = stats.t.ppf((1 + LEVEL) / 2, len(effect) - 1) * effect.std(ddof=1) / np.sqrt(len(effect))
    return _outcome(says, effect, (effect.mean() - half, effect.mean() + half), low_edge, high_edge)


def _outcome(says: str, effect: np.ndarray, interval: tuple[float, float], low_edge: float, high_edge: float) -> Part:
    low, high = map(float, interval)
    if low > low_edge and high < high_edge:
        outcome = "holds"
    elif high <= low_edge or low >= high_edge:
        outcome = "does not hold"
    else:
        outcome = "undecided"
    return Part(says, effect.tolist(), low, high, outcome)


def _off(values: Values, claimed: Values | float, rival: Values | float) -> np.ndarray:
    distance = _array(rival) - _array(claimed)
    if (distance == 0).any():
        raise ValueError("a claim needs a rival of another value: claimed and rival are the same")
    return (_array(values) - _array(claimed)) / distance


def _some(values: np.ndarray) -> None:
    if not len(values) or np.isnan(values).any():
        raise ValueError(f"a part needs one number a seed, got {values.tolist()}")


def _array(values: Values | float) -> np.ndarray:
    return np.asarray(values, dtype=float)


def _way(start: Values | float, end: Values | float) -> str:
    return f"from {_said(start)} to {_said(end)}"


def _said(value: Values | float) -> str:
    return f"{float(np.mean(_array(value))):.3g}"
