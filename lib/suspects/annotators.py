"""Labels by several annotators: what they agree on, how sure that is, and how good each of them is."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .arrays import as_probabilities
from .classes import some

ROUNDS = 200  # of expectation and maximisation, at most
SMALL = 1e-8  # a change of all probabilities below which they have settled


@dataclass(frozen=True)
class Consensus:
    """What annotators say together.

    ``samples``, indexed as the labels are: ``consensus_label``, ``consensus_quality`` (its probability), ``agreement``
    (share of the sample's labels that are it) and ``annotations`` (how many there are). ``annotators``:
    ``quality`` (probability that a label of theirs is right), ``agreement`` with the consensus and ``annotations``.
    ``probabilities`` [n, classes], in the order of ``class_names``.
    """

    samples: pd.DataFrame
    annotators: pd.DataFrame
    probabilities: np.ndarray
    class_names: tuple


def consensus(labels: Any, pred_probs: Any = None) -> Consensus:
    """The most probable class of each sample, and the quality of each annotator.

    ``labels`` [n, annotators], an array or a DataFrame whose columns name them; NaN or None where somebody gave none.
    ``pred_probs`` [n, classes], if there are: a model's out-of-sample probabilities of the classes in order, or as the
    columns of a DataFrame name them, which count as one opinion more.

    An annotator is right with one probability, the same for all classes, and otherwise names any other class alike
    (Dawid & Skene 1979 with one parameter an annotator), estimated by expectation and maximisation from the
    majority's labels, with one right and one wrong label more for each, so that who gave few is not believed blindly.
    That an annotator takes one class for another more often than for the rest is not described.

    Raises ValueError for no samples, samples without a label, fewer than two classes, and probabilities of others.

    >>> found = consensus([["a", "a", "b"], ["b", "b", "b"], ["a", "a", "b"], ["b", None, "b"]])
    >>> found.samples["consensus_label"].tolist()
    ['a', 'b', 'a', 'b']
    """
    frame = pd.DataFrame(labels)
    if not frame.size:
        raise ValueError(f"labels have shape {list(frame.shape)}; allowed: [n, annotators], nothing empty")
    values = frame.astype(object).to_numpy().ravel()
    codes, names = pd.factorize(_without_points(values, frame.notna().to_numpy().ravel()), sort=True)
    codes = codes.reshape(frame.shape)  # -1: none
    given = codes[:, :, None] == np.arange(len(names))  # [n, annotators, classes]
    there = codes >= 0
    if len(empty := np.flatnonzero(~there.any(1))):
        raise ValueError(f"{len(empty)} samples have no label, the first at positions {some(empty.tolist())}")
    if len(names) < 2:
        raise ValueError(f"all labels are {names[0]!r}: two classes are needed to tell apart")
    prior = np.ones((len(frame), len(names)))
    if pred_probs is not None:
        prior = as_probabilities(_in_order(pred_probs, names, frame.index))
        if prior.shape != (len(frame), len(names)):
            raise ValueError(f"pred_probs have shape {prior.shape}; these labels need {(len(frame), len(names))}")
    believed = given.sum(1) / there.sum(1, keepdims=True)
    for _ in range(ROUNDS):
        right = np.einsum("nac,nc->a", given, believed)
        quality = (right + 1) / (there.sum(0) + 2)
        odds = np.log(quality * (len(names) - 1) / (1 - quality))  # what a label adds to its class
        evidence = np.log(np.maximum(prior, 1e-300)) + np.einsum("nac,a->nc", given, odds)
        new = np.exp(evidence - evidence.max(1, keepdims=True))
        new /= new.sum(1, keepdims=True)
        settled, believed = np.abs(new - believed).max() < SMALL, new
        if settled:
            break
    best = believed.argmax(1)
    agrees = (codes == best[:, None]) & there
    samples = pd.DataFrame(
        {
            "consensus_label": np.asarray(names)[best],
            "consensus_quality": believed.max(1),
            "agreement": agrees.sum(1) / there.sum(1),
            "annotations": there.sum(1),
        },
        index=frame.index,
    )
    annotators = pd.DataFrame(
        {"quality": quality, "agreement": agrees.sum(0) / np.maximum(there.sum(0), 1), "annotations": there.sum(0)},
        index=frame.columns,
    )
    return Consensus(samples, annotators, believed, tuple(names))


def _without_points(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Whole numbers as integers: NumPy has no gaps among these, so that labels 0, 1 and none come as 0.0, 1.0, NaN."""
    values = np.where(there, values, None)
    floats = np.array([isinstance(value, (float, np.floating)) for value in values])
    if all(value.is_integer() for value in values[floats]):
        values[floats] = [int(value) for value in values[floats]]
    return values


def _in_order(pred_probs: Any, names: np.ndarray, index: pd.Index) -> Any:
    """Probabilities with their columns in the order of ``names``, where a DataFrame says which is which."""
    if not isinstance(pred_probs, pd.DataFrame):
        return pred_probs
    if len(pred_probs) == len(index) and not pred_probs.index.equals(index):
        raise ValueError("the indexes of labels and pred_probs differ: bring both into one order")
    columns = pred_probs.set_axis(pred_probs.columns.map(str), axis=1)
    wanted = [str(name) for name in names]
    if sorted(columns.columns) != sorted(wanted):
        raise ValueError(f"pred_probs have columns {', '.join(columns.columns)}; the labels are {', '.join(wanted)}")
    return columns[wanted]
