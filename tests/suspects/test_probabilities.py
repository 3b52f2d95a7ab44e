"""Labels judged by probabilities that somebody's own model gave, beside cleanlab on the same."""

import doctest
import json

import numpy as np
import pandas as pd
import pytest
from cleanlab.count import compute_confident_joint
from cleanlab.rank import get_label_quality_scores

from lib.__main__ import main
from lib.suspects import find_label_issues, from_arrays, judge_probabilities, probabilities
from lib.suspects.probabilities import SCORES, confident_joint, label_scores


def drawn(seed: int = 0, n: int = 400, classes: int = 4, rate: float = 0.15, sharp: float = 3.0):
    """Given labels, which are wrong, and probabilities of a model that is mostly right."""
    draws = np.random.default_rng(seed)
    true = draws.integers(classes, size=n)
    wrong = draws.random(n) < rate
    given = np.where(wrong, (true + draws.integers(1, classes, n)) % classes, true)
    h = draws.normal(size=(n, classes)) + sharp * np.eye(classes)[true]
    p = np.exp(h) / np.exp(h).sum(1, keepdims=True)
    return given, wrong, p


@pytest.mark.parametrize("seed", range(6))
def test_confident_joint_and_scores_are_cleanlabs(seed):
    given, _, p = drawn(seed, rate=0.05 * seed, sharp=1 + seed / 2)
    ours = confident_joint(given, p)
    theirs = compute_confident_joint(given, p, calibrate=True)  # in whole samples
    assert np.abs(ours - theirs).max() <= 1
    assert ours.sum(1) == pytest.approx(np.bincount(given, minlength=4))
    labelled = from_arrays(p, given, kind="pred_probs")
    for method in SCORES[1:]:
        assert label_scores(labelled, method) == pytest.approx(get_label_quality_scores(given, p, method=method))
    own, rest = p[np.arange(400), given], np.where(np.eye(4)[given] > 0, 0, p).max(1)
    assert np.array_equal(np.argsort(label_scores(labelled)), np.argsort(np.log(own / rest)))


def test_wrong_labels_are_found_and_counted():
    given, wrong, p = drawn()
    issues = find_label_issues(given, p)
    assert issues.dtype == bool
    assert wrong[issues].mean() > 0.8
    assert issues[wrong].mean() > 0.8
    for by in SCORES:
        ranked = find_label_issues(given, pred_probs=p, return_indices_ranked_by=by)
        assert sorted(ranked) == np.flatnonzero(issues).tolist()
        scores = label_scores(from_arrays(p, given, kind="pred_probs"), by)[ranked]
        assert (np.diff(scores) >= 0).all()
    found = judge_probabilities(from_arrays(p, given, kind="pred_probs"))
    assert found.noise_rate.low < wrong.mean() < found.noise_rate.high
    assert found.table["probability_wrong"].mean() == pytest.approx(found.noise_rate.estimate, abs=1e-6)
    assert found.table["is_label_issue"].sum() == round(found.noise_rate.estimate * 400)
    assert not any("training" in line for line in found.lines())
    with pytest.raises(ValueError, match="ranked by log_margin, self_confidence, normalized_margin, not by 'loss'"):
        find_label_issues(given, p, return_indices_ranked_by="loss")


def test_labels_are_matched_with_columns():
    given, _, p = drawn(classes=4)
    expected = find_label_issues(given, p)
    names = np.array(["10", "9", "bee", "cow"])  # as numpy and scikit-learn sort them
    assert np.array_equal(find_label_issues(names[given], p), expected)
    frame = pd.DataFrame(p, columns=names)[["cow", "9", "10", "bee"]]
    assert np.array_equal(find_label_issues(names[given], frame), expected)
    numbers = pd.DataFrame(p, columns=[7, 1, 3, 5])
    assert np.array_equal(find_label_issues(np.array([7, 1, 3, 5])[given], numbers), expected)
    series = pd.Series(given, index=np.arange(400) + 5)
    assert judge_probabilities(from_arrays(p, series, kind="pred_probs")).table.index[0] == 5
    never = np.c_[p * 0.9, np.full(400, 0.1)]  # a class that no label names
    assert np.array_equal(find_label_issues(given, never), expected)


def test_rows_that_are_alike_are_no_copies():
    hard = np.eye(3)[np.arange(60) % 3]
    found = from_arrays(hard, np.where(np.arange(60) < 3, 0, np.arange(60) % 3), kind="pred_probs")
    assert not found.conflicts.any()
    assert judge_probabilities(found).table["is_label_issue"].to_numpy().nonzero()[0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, y: (np.log(p), y), r"run from -.*softmax of logits"),
        (lambda p, y: (p * 2, y), "rows sum to 2 ... 2"),
        (lambda p, y: (p[:, 0], y), r"pred_probs have shape \[400\]"),
        (lambda p, y: (np.where(p > 0.9, np.nan, p), y), "NaN or infinity"),
        (lambda p, y: (p, y + 1), r"labels are out of range: 4, .*allowed: 0 \.\.\. 3"),
        (lambda p, y: (p, np.array(list("abcde"))[np.arange(400) % 5]), "4 columns; the labels have 5 classes"),
        (lambda p, y: (pd.DataFrame(p, columns=list("abcd")), y), "labels are out of range"),
        (lambda p, y: (p[:-1], y), "399 inputs but 400 labels"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    given, _, p = drawn()
    p, given = change(p, given)
    with pytest.raises(ValueError, match=message):
        find_label_issues(given, p)


def test_the_docstrings_example_runs():
    assert doctest.testmod(probabilities).failed == 0


@pytest.mark.parametrize("pictures", [False, True])
def test_from_the_command_line_nothing_is_trained(tmp_path, monkeypatch, capsys, pictures):
    monkeypatch.setattr("lib.suspects.command.judge", lambda *_, **__: pytest.fail("something was trained"))
    given, wrong, p = drawn()
    shown = {"images": np.random.default_rng(0).integers(0, 255, (400, 4, 4), np.uint8)} if pictures else {}
    np.savez(tmp_path / "p.npz", pred_probs=p, labels=np.array(list("abcd"))[given], **shown)
    assert main(["suspects", str(tmp_path / "p.npz"), "--out", str(tmp_path / "out")]) == 0
    assert "400 samples with probabilities of 4 classes; nothing is trained" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "out" / "suspects.csv", index_col="index")
    assert wrong[table.index[:40]].mean() > 0.9
    noise = json.loads((tmp_path / "out" / "noise.json").read_text(encoding="utf-8"))
    assert noise["noise_rate"]["estimate"] == pytest.approx(wrong.mean(), abs=0.05)
    assert ("<img" in (tmp_path / "out" / "suspects.html").read_text(encoding="utf-8")) == pictures


def test_numbers_as_text_are_asked_about_where_their_order_is_not_that_of_words():
    given, _, p = drawn(classes=12)
    with pytest.raises(ValueError, match=r"which come as 0, 1, 10 \.\.\. in the order of words: name the columns"):
        find_label_issues(given.astype(str), p)
    expected = find_label_issues(given, p)
    assert np.array_equal(find_label_issues(given.astype(str), pd.DataFrame(p)), expected)
    named = from_arrays(p, given.astype(str), [str(k) for k in range(12)], kind="pred_probs")
    assert np.array_equal(judge_probabilities(named).table["is_label_issue"], expected)


def test_samples_without_probabilities_are_named():
    with pytest.raises(ValueError, match='kind="pred_probs"'):
        judge_probabilities(from_arrays(np.eye(4), [0, 1, 0, 1]))
