"""Which labels are wrong, by the probabilities of a model that somebody else trained: nothing is trained here.

The probabilities must be out of sample, from cross-validation for example: a
model that has seen a label knows it. How many labels are wrong, and which
class was taken for which, is counted by confident joint counts (Northcutt,
Jiang & Chuang 2021, "Confident Learning"), as cleanlab does.
"""

import time
from typing import Any

import numpy as np
import pandas as pd

from .judgement import calibrated, shares, wilson
from .read import Labelled, from_arrays
from .report import Interval, Suspects

TOLERANCE = 1e-6  # of a probability against a threshold
SCORES = ("log_margin", "self_confidence", "normalized_margin")


def find_label_issues(labels: Any, pred_probs: Any, *, return_indices_ranked_by: str | None = None) -> np.ndarray:
    """Which labels are probably wrong: bool ``[n]``, or the positions of those that are, the most suspicious first.

    ``labels``: integers 0 ... C - 1, or names in the order of `numpy.unique`, or those of ``pred_probs``' columns if
    it is a DataFrame. ``pred_probs`` [n, C]: out-of-sample probabilities of each class. As many labels as
    `judge_probabilities` counts are issues. ``return_indices_ranked_by``: one of `SCORES`; then positions are given.
    ValueError for what is no probability, and labels that do not fit the columns.

    >>> find_label_issues([0, 0, 0, 1, 1, 1], [[.9, .1], [.8, .2], [.1, .9], [.2, .8], [.1, .9], [.3, .7]])
    array([False, False,  True, False, False, False])
    """
    labelled = from_arrays(pred_probs, labels, kind="pred_probs")
    issues = judge_probabilities(labelled).table["is_label_issue"].to_numpy()
    if return_indices_ranked_by is None:
        return issues
    order = np.argsort(label_scores(labelled, return_indices_ranked_by), kind="stable")
    return order[issues[order]]


def label_scores(labelled: Labelled, by: str = SCORES[0]) -> np.ndarray:
    """How little speaks against each given label, in [0, 1]; ``[n]``.

    With p its probability and q that of the best other class: p / (p + q), which orders as log p - log q does
    (``log_margin``), p (``self_confidence``), or (1 + p - q) / 2 (``normalized_margin``).
    """
    if by not in SCORES:
        raise ValueError(f"labels are ranked by {', '.join(SCORES)}, not by {by!r}")
    own, other, _ = _best(labelled)
    if by == "self_confidence":
        return own
    return (1 + own - other) / 2 if by == "normalized_margin" else own / np.maximum(own + other, 1e-300)


def judge_probabilities(labelled: Labelled) -> Suspects:
    """Judge every label by the probabilities that ``labelled`` holds (``from_arrays(..., kind="pred_probs")``).

    Labels are ranked by log margin. The noise rate is that of the confident joint, and its interval that of
    sampling alone: how far the model errs where labels are right is not known from these numbers. A label's
    ``probability_wrong`` is 1 less its probability, smoothed over the ranks and moved so that the mean is the noise
    rate.
    """
    if labelled.pred_probs is None:
        raise ValueError('there are no probabilities: read them by from_arrays(pred_probs, labels, kind="pred_probs")')
    begun = time.perf_counter()
    given, n = labelled.labels.numpy(), len(labelled)
    joint = confident_joint(given, labelled.pred_probs)
    rate = 1 - float(np.trace(joint) / joint.sum())
    low, high = wilson(rate, n)
    own, other, best = _best(labelled)
    order = np.argsort(label_scores(labelled), kind="stable")
    quality, issue = np.empty(n), np.zeros(n, dtype=bool)
    quality[order] = np.arange(n) / max(1, n - 1)
    issue[order[: round(rate * n)]] = True
    names = np.array(labelled.class_names, dtype=object)
    table = pd.DataFrame(
        {
            "given_label": names[given],
            "predicted_label": names[np.where(issue, best, given)],
            "label_quality": quality,
            "probability_wrong": calibrated(1 - own, quality, rate),
            "is_label_issue": issue,
            "own_probability": own,
            "margin": np.log(np.maximum(own, 1e-300)) - np.log(np.maximum(other, 1e-300)),
            "held_out": True,
            "conflict": labelled.conflicts.numpy(),
        },
        index=labelled.index,
    )
    cost = {"train_seconds": 0.0, "signal_seconds": time.perf_counter() - begun}
    interval = Interval(rate, float(low), float(high))
    return Suspects(table, interval, *shares(joint.T), labelled.class_names, labelled.notes, [], cost)


def confident_joint(given: np.ndarray, pred_probs: np.ndarray) -> np.ndarray:
    """How many samples of each given label (row) are of each class (column); rows sum to the labels' counts.

    A sample is counted as the most probable of the classes whose probability is at least the mean of it over the
    samples that were given that class; as none if there is no such class. At least one of each label is right.
    """
    classes = pred_probs.shape[1]
    sizes = np.bincount(given, minlength=classes)
    own = np.bincount(given, weights=pred_probs[np.arange(len(given)), given], minlength=classes)
    threshold = np.where(sizes > 0, own / np.maximum(sizes, 1), np.inf)
    confident = np.where(pred_probs >= threshold - TOLERANCE, pred_probs, -1.0)
    best, some = confident.argmax(1), confident.max(1) >= 0
    counts = np.bincount(given[some] * classes + best[some], minlength=classes**2).reshape(classes, classes)
    np.fill_diagonal(counts, counts.diagonal().clip(min=1))
    return counts / counts.sum(1, keepdims=True) * sizes[:, None]


def _best(labelled: Labelled) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The given label's probability, that of the best other class, and which class that is."""
    rows, given = np.arange(len(labelled)), labelled.labels.numpy()
    others = labelled.pred_probs.copy()
    others[rows, given] = -1
    best = others.argmax(1)
    return labelled.pred_probs[rows, given], others[rows, best], best
