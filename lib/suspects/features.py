"""Which labels are wrong, by features of a network that somebody else trained, or columns of numbers.

Each sample is judged by all the others (`lib.suspects.ridge`); how labels go wrong follows from the answers
(`lib.suspects.transition`); and a label is as suspicious as it is improbable, by Bayes' rule where each class has its
own wrong label. No network is trained, no sample has seen its own label, and held-out and trained samples need no
common scale.
"""

import time
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from .early_stop import Recipe
from .judgement import calibrated, concentration, shares, wilson
from .neighbours import neighbourhood
from .read import Labelled
from .report import Interval, Suspects
from .ridge import LeftOut, left_out, refitted
from .tangents import TAIL
from .transition import Noise, estimate, sample

OWN_WAY = 0.5  # a concentration above which a class has a wrong label of its own: half of what there is to be known
DOUBT = 0.1  # labels contradicted beyond those that are wrong: more, and the features are called weak


@dataclass(frozen=True)
class Verdicts:
    """``log_own`` [n]: log probability of each given label; ``other`` [n]: the best other class, and its ``log_other``.

    All of samples left out.
    """

    log_own: np.ndarray
    other: np.ndarray
    log_other: np.ndarray

    @property
    def margin(self) -> np.ndarray:
        """What the given label is ahead of the best other one; ``[n]``."""
        return self.log_own - self.log_other


def judge_features(labelled: Labelled, seed: int = 0) -> Suspects:
    """Judge every label by regression on the inputs, embeddings or pixels, each sample left out.

    The noise rate is that of the likelier model of noise. Its interval goes from the least noise that these labels
    need, if all that is doubtful is the features' fault, to the share that is contradicted, if none of it is: human
    errors on hard samples look like features that are too weak for them, and labels alone cannot tell which. The table
    also has the columns of `neighbourhood`.
    """
    begun = time.perf_counter()
    given, classes, n = labelled.labels.numpy(), labelled.classes, len(labelled)
    values = labelled.inputs.flatten(1).float().numpy()
    fit = left_out(values, given, classes, seed)
    first = _verdicts(fit, given)
    some = sample(n, classes)
    noise = estimate(_rows(fit, given, some), given[some])
    contradicted = float((first.margin < 0).mean())
    verdicts = first
    if noise.transition is not None and concentration(_meetings(noise)) > OWN_WAY:
        verdicts = _by_class(fit, noise, given)
    high = float(wilson(contradicted, n)[1])
    rate = Interval(noise.rate, noise.least, max(high, noise.rate))
    table = _table(labelled, verdicts, rate.estimate)
    near = neighbourhood(values, given, labelled.class_names, labelled.index)
    table = pd.concat([table, near.columns], axis=1)
    believed = np.where(table["is_label_issue"], verdicts.other, given)
    counts = np.bincount(believed * classes + given, minlength=classes**2).reshape(classes, classes)
    found = Suspects(
        table, rate, *shares(counts), labelled.class_names, labelled.notes, [],
        {"train_seconds": 0.0, "signal_seconds": time.perf_counter() - begun},
    )  # fmt: skip
    return replace(found, remarks=(*_remarks(rate, contradicted), *near.lines()))


def _table(labelled: Labelled, verdicts: Verdicts, rate: float) -> pd.DataFrame:
    """A row a sample, as `Suspects` describes it; the share ``rate`` that is most suspicious are issues."""
    n, given = len(labelled), labelled.labels.numpy()
    order = np.argsort(verdicts.log_own, kind="stable")
    quality, issue = np.empty(n), np.zeros(n, dtype=bool)
    quality[order] = np.arange(n) / max(1, n - 1)
    issue[order[: round(rate * n)]] = True
    names = np.array(labelled.class_names, dtype=object)
    own = np.exp(verdicts.log_own)
    return pd.DataFrame(
        {
            "given_label": names[given],
            "predicted_label": names[np.where(issue, verdicts.other, given)],
            "label_quality": quality,
            "probability_wrong": calibrated(1 - own, quality, rate),
            "is_label_issue": issue,
            "own_probability": own,
            "margin": verdicts.margin,
            "held_out": True,
            "conflict": labelled.conflicts.numpy(),
        },
        index=labelled.index,
    )


def asks_for_training(recipe: Recipe, layers: int) -> bool:
    """Whether settings were changed that only a training has: embeddings then are learnt by a network."""
    return layers != TAIL or recipe != replace(Recipe(), seed=recipe.seed, device=recipe.device)


def _remarks(rate: Interval, contradicted: float) -> tuple[str, ...]:
    """What the labels alone cannot say, where it is much."""
    if contradicted - rate.estimate <= DOUBT:
        return ()
    return (
        f"The features contradict {contradicted:.1%} of the labels, more than are taken to be wrong: either the "
        "features are weak, or labels are wrong where samples are hard, and labels alone cannot tell which. Take the "
        f"noise rate as anything from {rate.low:.1%} to {rate.high:.1%}.",
    )


def _meetings(noise: Noise) -> torch.Tensor:
    """Labels by class as `concentration` counts them, of a thousand samples a class."""
    return torch.from_numpy(1000 * noise.transition)


def _rows(fit: LeftOut, given: np.ndarray, some: np.ndarray) -> np.ndarray:
    """Log probabilities of some samples, by position."""
    parts, at = [], 0
    for rows, log_p in fit.log_probabilities(given):
        end = int(np.searchsorted(some, rows.stop))
        parts.append(log_p[some[at:end] - rows.start])
        at = end
    return np.concatenate(parts)


def _verdicts(fit: LeftOut, given: np.ndarray) -> Verdicts:
    parts = [_best(log_p, given[rows]) for rows, log_p in fit.log_probabilities(given)]
    return Verdicts(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _best(log_p: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = np.arange(len(given))
    own = log_p[rows, given]
    rest = log_p.copy()
    rest[rows, given] = -np.inf
    other = rest.argmax(1)
    return own.astype(np.float64), other, rest[rows, other].astype(np.float64)


def _by_class(fit: LeftOut, noise: Noise, given: np.ndarray) -> Verdicts:
    """By Bayes' rule, after the regression was taught what each label is believed to have been."""
    believed = np.concatenate(
        [np.exp(noise.posterior(noise.sharpness * log_p, given[rows])) for rows, log_p in fit.log_probabilities(given)]
    )
    again = refitted(fit, believed)
    parts = [
        _best(noise.posterior(log_p, given[rows]), given[rows]) for rows, log_p in again.log_probabilities(believed)
    ]
    return Verdicts(*(np.concatenate(part) for part in zip(*parts, strict=True)))
