"""How many labels are wrong, by maximum likelihood on labels that the network was not trained on.

A network's answers for samples whose labels it has not learnt differ from
those labels for two reasons: the label is wrong, or the network is. If wrong
labels may be any other class alike, whatever the sample, the two can be told
apart without a clean label: its own errors come where it is unsure, the wrong
labels everywhere alike.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from .report import Interval

SHARPNESS = np.geomspace(0.05, 50, 49)  # by which all logits are multiplied, in units of their typical distance
RATES = 61  # between 0 and 1 - 1 / classes, among which the best is looked for first
MOST = 20_000  # labels: the standard error is then well below .01
CHUNK = 2**22  # numbers at once
Z = 1.96  # standard errors between the middle and the bounds of a 95 % interval
LIKELY = Z**2  # twice the log-likelihood that these bounds lose
UNLIKELY = 9.0  # and that a rate loses which is three standard errors away


@dataclass(frozen=True)
class Likelihood:
    """Of the noise rate.

    ``given`` [len(SHARPNESS), n]: the network's probability of each given
    label, its logits multiplied by each sharpness. ``classes``: of the labels.
    """

    given: np.ndarray
    classes: int

    def at(self, rate: float) -> float:
        """Log-likelihood of a rate with the sharpness that suits it best, interpolated by a parabola.

        A label is the network's answer j, and with probability ``rate``
        any other class alike: P(j) = (1 - rate) p_j + rate (1 - p_j) / (classes - 1).
        """
        chance = (1 - rate) * self.given + rate / (self.classes - 1) * (1 - self.given)
        each = np.log(np.maximum(chance, 1e-300)).sum(1)
        k = each.argmax()
        if k in (0, len(each) - 1):
            return float(each[k])
        left, middle, right = each[k - 1 : k + 2]
        bend = 2 * middle - left - right
        return float(middle + ((left - right) ** 2 / (8 * bend) if bend > 0 else 0))

    def loss(self, rate: float, best: float) -> float:
        """Twice the log-likelihood that ``rate`` loses against ``best``."""
        return 2 * (self.at(best) - self.at(min(rate, self.highest)))

    @property
    def highest(self) -> float:
        """A rate at which labels say nothing."""
        return 1 - 1 / self.classes

    def estimate(self) -> Interval:
        """The most likely rate, and those of a 95 % interval of the likelihood ratio."""
        rates = np.linspace(0, self.highest, RATES)
        k = int(np.argmax([self.at(rate) for rate in rates]))
        near = rates[max(0, k - 1)], rates[min(k + 1, RATES - 1)]
        found = minimize_scalar(lambda rate: -self.at(rate), bounds=near, method="bounded", options={"xatol": 1e-5}).x
        best = max((float(found), float(rates[k])), key=self.at)

        def bound(end: float) -> float:
            if self.loss(end, best) <= LIKELY:
                return end
            return float(brentq(lambda rate: self.loss(rate, best) - LIKELY, best, end, xtol=1e-5))

        return Interval(best, bound(0.0), bound(self.highest))


def likelihood(h: np.ndarray, given: np.ndarray) -> Likelihood:
    """From logits [n, classes] of samples that were not trained on, and their given labels int [n].

    `MOST` of them, evenly spaced, are used. Raises ValueError for none, or fewer than two classes.
    """
    if len(given) != len(h) or not len(given) or h.shape[1] < 2:
        raise ValueError(f"a label for each row of logits, one at least, of two classes or more, not {h.shape}")
    some = np.unique(np.linspace(0, len(given) - 1, min(MOST, len(given))).round().astype(int))
    h, given = np.asarray(h, dtype=float)[some], np.asarray(given)[some]
    h = h - h.max(1, keepdims=True)
    typical = -np.sort(h, axis=1)[:, -2].mean()
    below = (h[np.arange(len(h)), given][:, None] - h) / (typical or 1.0)  # the given label's logit
    share = np.empty((len(SHARPNESS), len(h)))
    step = max(1, CHUNK // h.size)
    for k in range(0, len(SHARPNESS), step):
        with np.errstate(over="ignore"):
            share[k : k + step] = 1 / np.exp(-SHARPNESS[k : k + step, None, None] * below).sum(2)
    return Likelihood(share, h.shape[1])


def instead_of(counted: float, judged: Likelihood) -> Interval | None:
    """The most likely rate, where the labels need one and it is surely below that which was ``counted``; else None.

    They need one if none is unlikely: where wrong labels always are one
    class's partner, or lie where classes meet, they look like the network's own
    errors, no rate is needed to explain them, and this likelihood knows nothing of them.
    Never one above: a count is too low where a network learnt its labels by
    heart, and such a network is sure where it errs, so that the likelihood
    takes its errors for wrong labels and is further off.
    """
    rate = judged.estimate()
    needed = judged.loss(0.0, rate.estimate) > UNLIKELY
    fewer = rate.estimate < counted and judged.loss(counted, rate.estimate) > UNLIKELY
    return rate if needed and fewer else None
