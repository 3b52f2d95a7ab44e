"""Answers for every sample from all the others, by one decomposition: ridge regression with each sample left out.

Regressing the classes on the features by least squares with a penalty has an exact answer for what each sample would
have been told had it not been there (Allen's PRESS, 1974): no folds, and no label is known by heart.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp

PENALTIES = 10.0 ** np.arange(-2, 2, 0.5)  # in units of the mean square of a feature
TEMPERATURES = 2.0 ** np.arange(0, 8, 0.5)  # by which answers in [0, 1] become logits
WAVES = 1024  # random cosines of all features: a Gaussian kernel in place of a plane
WIDEST = 4096  # features; more are projected at random
JUDGES = 10_000  # samples by whose errors penalty and temperature are chosen
CHUNK = 2**23  # numbers at once
SAME = 1e-6  # of their size: a feature that varies by less is constant, but for rounding


@dataclass(frozen=True)
class LeftOut:
    """Regression of labels [n] on features, in the coordinates in which the penalty acts on each alone.

    ``z`` [n, r] and its mean squares ``spread`` [r]; ``weights`` [r, classes] and ``shares`` [classes] (the classes'
    own); ``leverage`` [n]: how far a sample's own label moves its answer, below 1. ``temperature`` makes logits of it.
    """

    z: np.ndarray
    spread: np.ndarray
    weights: np.ndarray
    shares: np.ndarray
    leverage: np.ndarray
    penalty: float
    temperature: float = 1.0
    error: float = np.inf  # mean square, over the judges

    def log_probabilities(self, targets: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows and their log probabilities [b, classes], each sample left out; ``targets`` are what it was fitted to.

        ``targets``: int labels [n], or probabilities [n, classes].
        """
        for rows in _slices(len(self.z), self.weights.shape[1]):
            h = self.temperature * self._answers(rows, targets[rows])
            yield rows, h - logsumexp(h, axis=1, keepdims=True)

    def _answers(self, rows: slice | np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Of some rows: a - h (y - a) / (1 - h), where a is the answer with the sample and h its leverage."""
        lever = self.leverage[rows, None]
        answers = (self.z[rows] @ self.weights + self.shares) / (1 - lever)
        away = lever / (1 - lever)
        if targets.ndim == 1:
            answers[np.arange(len(answers)), targets] -= away[:, 0]
            return answers
        return answers - away * targets


def left_out(features: np.ndarray, given: np.ndarray, classes: int, seed: int = 0) -> LeftOut:
    """The best of the penalties, on the features or on `WAVES` of them, by squared error on samples left out.

    ``features`` float [n, d]: brought to mean 0 and deviation 1, projected at random where there are more than
    `WIDEST`. ``given`` int [n], 0 ... classes - 1.
    """
    draws = np.random.default_rng(seed)
    some = np.unique(np.linspace(0, len(given) - 1, min(JUDGES, len(given))).round().astype(int))
    features = standardised(features)
    if features.shape[1] > WIDEST:
        features = standardised(features @ draws.standard_normal((features.shape[1], WIDEST)).astype(np.float32))
    found = _best(*_decomposed(features), given, classes, some)
    other = _best(*_decomposed(_waves(features, draws)), given, classes, some)
    return min(found, other, key=lambda one: one.error)


def refitted(before: LeftOut, targets: np.ndarray) -> LeftOut:
    """The same regression on other targets, probabilities [n, classes], with the temperature that suits them."""
    shares = targets.mean(0)
    products = before.z.T @ (targets - shares).astype(np.float32) / len(targets)
    weights = _shrunk(products, before.spread, before.penalty)
    some = np.unique(np.linspace(0, len(targets) - 1, min(JUDGES, len(targets))).round().astype(int))
    new = replace(before, weights=weights, shares=shares)
    answers = new._answers(some, targets[some])
    fits = [np.mean((targets[some] * _log_softmax(t * answers)).sum(1)) for t in TEMPERATURES]
    return replace(new, temperature=float(TEMPERATURES[np.argmax(fits)]))


def standardised(features: np.ndarray) -> np.ndarray:
    """Float32 features of mean 0 and deviation 1; constant ones are 0."""
    mean = features.mean(0, dtype=np.float64)
    deviation = features.std(0, dtype=np.float64)
    size = np.sqrt(mean**2 + deviation**2)
    scale = np.where(deviation > SAME * size, deviation, np.inf)
    return ((features - mean) / scale).astype(np.float32)


def _waves(features: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """Random Fourier features (Rahimi & Recht 2007) of a Gaussian kernel as wide as the typical distance."""
    pairs = draws.integers(len(features), size=(2, 1000))
    square = ((features[pairs[0]] - features[pairs[1]]) ** 2).sum(1)
    typical = np.median(square[square > 0]) if (square > 0).any() else 1.0
    directions = draws.standard_normal((features.shape[1], WAVES)) * np.sqrt(2 / typical)
    phases = draws.uniform(0, 2 * np.pi, WAVES)
    waves = np.cos(features @ directions.astype(np.float32) + phases.astype(np.float32))
    return np.sqrt(2).astype(np.float32) * (waves - waves.mean(0))


def _decomposed(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``z`` [n, r], features turned so that no two are correlated, and their mean squares [r]."""
    n, d = features.shape
    if d <= n:
        spread, ways = np.linalg.eigh((features.T @ features).astype(np.float64) / n)
        return features @ ways.astype(np.float32), spread.clip(0)
    spread, ways = np.linalg.eigh((features @ features.T).astype(np.float64) / n)
    return (ways * np.sqrt(n * spread.clip(0))).astype(np.float32), spread.clip(0)


def _best(z: np.ndarray, spread: np.ndarray, given: np.ndarray, classes: int, some: np.ndarray) -> LeftOut:
    n = len(given)
    shares = np.bincount(given, minlength=classes) / n
    sums = np.zeros((classes, z.shape[1]))
    order = np.argsort(given, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(given[order]) > 0])
    sums[given[order][starts]] = np.add.reduceat(z[order], starts, axis=0)
    products = (sums.T / n).astype(np.float32)  # z has mean 0: the classes' shares play no part
    best: LeftOut | None = None
    for penalty in PENALTIES:
        lever = (z**2 @ (1 / (spread + penalty)).astype(np.float32) / n + 1 / n).clip(max=1 - SAME)
        one = LeftOut(z, spread, _shrunk(products, spread, penalty), shares, lever, float(penalty))
        parts = [some[rows] for rows in _slices(len(some), classes)]
        error = sum(_errors(one._answers(part, given[part]), given[part]).sum() for part in parts) / len(some)
        if best is None or error < best.error:
            best = replace(one, error=float(error))
    fits = np.zeros(len(TEMPERATURES))
    for part in parts:
        answers, mine = best._answers(part, given[part]), given[part]
        own = answers[np.arange(len(mine)), mine]
        fits += [np.sum(t * own - logsumexp(t * answers, axis=1)) for t in TEMPERATURES]
    return replace(best, temperature=float(TEMPERATURES[np.argmax(fits)]))


def _shrunk(products: np.ndarray, spread: np.ndarray, penalty: float) -> np.ndarray:
    return products / (spread + penalty)[:, None].astype(np.float32)


def _errors(answers: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Squared distance of answers [b, classes] from the labels."""
    own = answers[np.arange(len(given)), given]
    return (answers**2).sum(1) - 2 * own + 1


def _log_softmax(h: np.ndarray) -> np.ndarray:
    return h - logsumexp(h, axis=1, keepdims=True)


def _slices(n: int, classes: int) -> list[slice]:
    step = max(1, CHUNK // (8 * classes))
    return [slice(k, min(n, k + step)) for k in range(0, n, step)]
