"""What is said about a data set makes sense, whatever was found."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch

from lib.suspects import judgement
from lib.suspects.judgement import affordable, estimate_noise, judge, shares
from lib.suspects.read import from_arrays
from lib.suspects.report import MATRIX, Interval, Suspects


def found(counts: np.ndarray, rate: Interval) -> Suspects:
    """What ``counts`` [believed, given] say, with a row a sample."""
    names = tuple(f"class{k}" for k in range(len(counts)))
    believed, given = (np.repeat(axis, counts.ravel()) for axis in np.indices(counts.shape).reshape(2, -1))
    table = pd.DataFrame(
        {
            "given_label": np.take(names, given),
            "predicted_label": np.take(names, believed),
            "label_quality": np.linspace(0, 1, len(given)),
            "is_label_issue": believed != given,
            "held_out": np.arange(len(given)) % 10 == 0,
        }
    )
    cost = {"epochs": 1, "stop_epoch": 1, "train_seconds": 1.0, "signal_seconds": 0.1}
    return Suspects(table, rate, *shares(counts), names, (), [], cost)


@pytest.mark.parametrize("seed", range(20))
def test_sentences_are_about_two_classes_with_samples_enough(seed):
    draws = np.random.default_rng(seed)
    classes = int(draws.integers(2, 8))
    counts = draws.integers(0, 40, classes)[:, None] * np.eye(classes, dtype=int)
    counts += draws.integers(0, 1 + seed % 4, (classes, classes))
    rate = Interval(1 - np.trace(counts) / max(1, counts.sum()), 0.0, 1.0)
    for line in found(counts, rate).lines():
        for share, row, column in re.findall(r"^([\d.]+)% of class class(\d+) were labelled class(\d+)", line):
            assert row != column
            assert float(share) > 0
            assert counts[int(row)].sum() >= 10


def test_one_is_no_plural_and_little_is_said_only_where_it_is_sure():
    counts = np.array([[49, 1], [0, 50]])
    said = found(counts, Interval(0.01, 0.0, 0.05)).lines()
    assert said[0].endswith("1 suspect. Little is wrong.")
    assert said[-1].startswith("One training of 1 epoch,")
    assert "Little" not in found(counts, Interval(0.01, 0.0, 0.9)).lines()[0]


@pytest.mark.parametrize("seed", range(30))
def test_an_estimate_lies_in_its_interval(seed):
    draws = torch.Generator().manual_seed(seed)
    n, share = int(torch.randint(2, 60, (1,), generator=draws)), torch.rand(2, generator=draws)
    issues = torch.rand(n, generator=draws) < share[0]
    against = torch.rand(n, 3, generator=draws) < share[1]
    given, other = torch.arange(n) % 2, (torch.arange(n) + 1) % 2
    rate, counts = estimate_noise(issues, against, given, other, 2)
    assert 0 <= rate.low <= rate.estimate <= rate.high <= 1
    assert counts.sum() == n


def test_the_noise_of_many_classes_is_written_by_what_there_is(tmp_path):
    classes = MATRIX + 1
    counts = 12 * np.eye(classes, dtype=int)
    counts[3, 7] = 4
    many = found(counts, Interval(0.01, 0.0, 0.05))
    many.save(tmp_path)
    noise = json.loads((tmp_path / "noise.json").read_text(encoding="utf-8"))
    assert "transition" not in noise
    (flow,) = noise["flows"]
    assert (flow["class"], flow["label"], flow["share"]) == ("class3", "class7", 0.25)
    assert flow["low"] < 0.25 < flow["high"]
    assert (tmp_path / "noise.json").stat().st_size < 10_000


def test_as_many_layers_are_looked_at_as_have_room(monkeypatch):
    monkeypatch.setattr(judgement, "MOST_WAYS", 1000)
    assert affordable([90, 90, 50], 10) == 2  # 5 for the last one, 90 for each other
    assert affordable([90, 90, 49], 1) == 3
    assert affordable([900, 900, 50], 10) == 1
    assert affordable([10**6], 10) == 1
    draws = np.random.default_rng(0)
    labels = np.arange(60) % 3
    samples = from_arrays(draws.normal(size=(60, 4)) + 4 * np.eye(3, 4)[labels], labels)
    whole = judge(samples, judgement.Recipe(epochs=1, device="cpu"), layers=1, progress=False)
    limited = judge(samples, judgement.Recipe(epochs=1, device="cpu"), progress=False)
    pd.testing.assert_frame_equal(whole.table, limited.table)
    assert limited.notes[-1] == "With 3 classes the last 1 layer alone can be looked at, not 3."
    assert "alone" not in str(whole.notes)
    monkeypatch.setattr(judgement, "COPIES", 1e12)
    with pytest.raises(ValueError, match=r"3 classes need .* GB for their transition matrix"):
        judge(samples, progress=False)
