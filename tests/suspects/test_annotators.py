"""Several annotators: what is true is known here, since it is drawn."""

import doctest

import numpy as np
import pandas as pd
import pytest

from lib.suspects import annotators, consensus

QUALITY = np.array([0.95, 0.85, 0.55, 0.5, 0.45])


def drawn(seed: int, n: int = 600, classes: int = 4, share: float = 0.7):
    draws = np.random.default_rng(seed)
    true = draws.integers(classes, size=n)
    right = draws.random((n, len(QUALITY))) < QUALITY
    labels = np.where(right, true[:, None], (true[:, None] + draws.integers(1, classes, right.shape)) % classes)
    there = draws.random(right.shape) < share
    there[np.arange(n), draws.integers(len(QUALITY), size=n)] = True
    return true, pd.DataFrame(np.where(there, labels, np.nan), columns=list("abcde"))


@pytest.mark.parametrize("seed", range(3))
def test_qualities_are_found_and_beat_the_majority(seed):
    true, labels = drawn(seed)
    found = consensus(labels)
    assert list(found.annotators.index) == list("abcde")
    assert found.annotators["quality"].to_numpy() == pytest.approx(QUALITY, abs=0.07)
    assert found.annotators["annotations"].tolist() == labels.notna().sum().tolist()
    right = found.samples["consensus_label"].to_numpy() == true
    majority = labels.mode(axis=1)[0].to_numpy() == true
    assert right.mean() > majority.mean() + 0.03
    quality = found.samples["consensus_quality"].to_numpy()
    assert quality.mean() == pytest.approx(right.mean(), abs=0.05)  # calibrated
    assert right[quality > 0.9].mean() > right[quality < 0.6].mean() + 0.2
    assert found.probabilities.sum(1) == pytest.approx(1)


def test_a_model_is_one_opinion_more():
    true, labels = drawn(0)
    p = np.full((600, 4), 0.05)
    p[np.arange(600), true] = 0.85
    helped = consensus(labels, p).samples["consensus_label"].to_numpy() == true
    alone = consensus(labels).samples["consensus_label"].to_numpy() == true
    assert helped.mean() > alone.mean() + 0.02


def test_words_gaps_and_one_annotator():
    found = consensus([["x", None], ["y", "y"], ["x", np.nan]])
    assert found.samples["consensus_label"].tolist() == ["x", "y", "x"]
    assert found.samples["annotations"].tolist() == [1, 2, 1]
    assert found.samples["agreement"].tolist() == [1, 1, 1]
    assert found.class_names == ("x", "y")
    index = pd.DataFrame({"ann": ["x", "y"]}, index=["s", "t"])
    assert consensus(index).samples.index.tolist() == ["s", "t"]


@pytest.mark.parametrize(
    ("labels", "p", "message"),
    [
        ([["a", "b"], [None, None]], None, "1 samples have no label, the first at positions 1"),
        ([["a", "a"], ["a", None]], None, "all labels are 'a'"),
        ([["a", "b"], ["b", "b"]], [[1.0]], r"pred_probs have shape \(1, 1\); these labels need \(2, 2\)"),
    ],
)
def test_what_says_nothing_is_named(labels, p, message):
    with pytest.raises(ValueError, match=message):
        consensus(labels, p)


def test_the_docstrings_example_runs():
    assert doctest.testmod(annotators).failed == 0


def test_probabilities_are_matched_by_their_columns_names():
    labels = pd.DataFrame({"one": ["dog", "dog", "cat", "cat"]}, index=list("abcd"))
    sure = pd.DataFrame({"dog": [0.99, 0.99, 0.01, 0.01], "cat": [0.01, 0.01, 0.99, 0.99]}, index=labels.index)
    found = consensus(labels, sure)
    assert found.samples["consensus_label"].tolist() == ["dog", "dog", "cat", "cat"]
    assert (found.samples["agreement"] == 1).all()
    with pytest.raises(ValueError, match="columns dog, cow; the labels are cat, dog"):
        consensus(labels, sure.rename(columns={"cat": "cow"}))
    with pytest.raises(ValueError, match="indexes of labels and pred_probs differ"):
        consensus(labels, sure[::-1])


@pytest.mark.parametrize("kind", ["array", "float32", "frame", "nullable"])
def test_whole_numbers_with_gaps_are_still_whole_numbers(kind):
    labels = np.array([[0, 0, np.nan], [1, np.nan, 1], [np.nan, 2, 2], [1, 1, 1]])
    given = {
        "array": labels,
        "float32": labels.astype(np.float32),
        "frame": pd.DataFrame({"a": labels[:, 0], "b": labels[:, 1], "c": [None, 1, 2, 1]}),
        "nullable": pd.DataFrame(labels).astype("Int64"),
    }[kind]
    sure = pd.DataFrame(np.eye(3)[[0, 1, 2, 1]], columns=[0, 1, 2])
    for found in (consensus(given), consensus(given, sure)):
        assert list(map(str, found.samples["consensus_label"])) == ["0", "1", "2", "1"]
        assert list(map(str, found.class_names)) == ["0", "1", "2"]
        assert found.samples["annotations"].tolist() == [2, 2, 2, 3]


def test_numbers_that_are_not_whole_stay_as_they_are():
    found = consensus([[0.5, 0.5], [1.0, np.nan]])
    assert found.samples["consensus_label"].tolist() == [0.5, 1.0]
    assert str(found.class_names[1]) == "1.0"


@pytest.mark.parametrize("labels", [[], np.empty((0, 3)), np.empty((3, 0))])
def test_nothing_is_refused(labels):
    with pytest.raises(ValueError, match="nothing empty"):
        consensus(labels)
