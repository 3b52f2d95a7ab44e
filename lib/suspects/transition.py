"""How labels go wrong, class by class, by maximum likelihood on answers of which each is for a sample left out.

Two models. Wrong labels may be *any* class alike (`lib.suspects.rate`), or each class has its own: a label j is then
given to class i with probability T_ij. In both, the answers' sharpness is free, since a fit to wrong labels is less
sure than it should be. The second has classes² numbers to explain the same labels, so it counts where it is worth them
(Akaike 1974).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from .rate import MOST, likelihood

SHARPNESS = 2.0 ** np.arange(-1, 3.5, 0.5)  # by which log probabilities are multiplied
ROUNDS = 100  # of expectation and maximisation, at most
SETTLED = 0.05  # of the log-likelihood: a round that gains less is the last
NUMBERS = 2**22  # of answers that are looked at


@dataclass(frozen=True)
class Noise:
    """``rate`` of wrong labels; ``least`` and ``any_rate``: of the model in which any class is alike, its lower bound
    and estimate. ``transition`` [classes, classes] and ``sharpness`` of the model by class, None where it is not worth
    its numbers.
    """

    rate: float
    least: float
    any_rate: float
    transition: np.ndarray | None = None
    sharpness: float = 1.0

    def posterior(self, log_p: np.ndarray, given: np.ndarray) -> np.ndarray:
        """Log probability of each true class, given answers [n, classes] and label [n], by the model by class."""
        evidence = log_p + np.log(self.transition[:, given].T)
        return evidence - logsumexp(evidence, axis=1, keepdims=True)


def sample(n: int, classes: int) -> np.ndarray:
    """Positions of as many labels, evenly spaced, as an estimate needs and memory allows."""
    most = min(n, MOST, max(classes, NUMBERS // classes))
    return np.unique(np.linspace(0, n - 1, most).round().astype(int))


def estimate(log_p: np.ndarray, given: np.ndarray) -> Noise:
    """From log probabilities [n, classes] of samples left out and their labels [n]."""
    n, classes = log_p.shape
    alike = likelihood(log_p, given)
    alone = alike.estimate()
    if classes * (classes - 1) > n:
        return Noise(alone.estimate, alone.low, alone.estimate)
    fits = [_by_class(sharp, log_p, given) for sharp in SHARPNESS]
    fit, transition, rate, sharp = max(fits, key=lambda one: one[0])
    if fit - alike.at(alone.estimate) <= classes * (classes - 1) - 1:
        return Noise(alone.estimate, alone.low, alone.estimate)
    return Noise(rate, min(alone.low, rate), alone.estimate, transition, sharp)


def _by_class(sharp: float, log_p: np.ndarray, given: np.ndarray) -> tuple[float, np.ndarray, float, float]:
    """Log-likelihood, transition matrix and noise rate for a sharpness, by expectation and maximisation."""
    n, classes = log_p.shape
    p = np.exp(sharp * log_p - logsumexp(sharp * log_p, axis=1, keepdims=True))
    transition = np.full((classes, classes), 0.1 / (classes - 1))
    np.fill_diagonal(transition, 0.9)
    before, order = -np.inf, np.argsort(given, kind="stable")
    p, sorted_given = p[order], given[order]
    starts = np.flatnonzero(np.r_[True, np.diff(sorted_given) > 0])
    for _ in range(ROUNDS):
        joint = p * transition[:, sorted_given].T
        chance = np.maximum(joint.sum(1, keepdims=True), 1e-300)
        fit = float(np.log(chance).sum())
        counts = np.zeros((classes, classes))
        counts[:, sorted_given[starts]] = np.add.reduceat(joint / chance, starts, axis=0).T
        transition = counts + 1 / classes  # one sample more of each class, that may be given any label
        transition /= transition.sum(1, keepdims=True)
        if fit - before < SETTLED:
            break
        before = fit
    return fit, transition, float(1 - np.trace(counts) / n), sharp
