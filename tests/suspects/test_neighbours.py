"""Near duplicates, samples far from all, and classes that overlap."""

import numpy as np
import pandas as pd
import pytest

from lib.suspects import from_arrays, judge_features, neighbours

NAMES = ("a", "b", "c")


@pytest.fixture
def clouds():
    """Three classes, of which the first two share a middle."""
    draws = np.random.default_rng(0)
    given = np.arange(300) % 3
    middles = np.array([[0.0] * 6, [0.0] * 6, [8.0] * 6])
    return middles[given] + draws.normal(size=(300, 6)), given


def look(values, given):
    return neighbours.neighbourhood(values, given, NAMES, pd.Index([f"s{k}" for k in range(len(given))]))


def test_a_near_duplicate_is_named_and_its_other_label_seen(clouds):
    values, given = clouds
    values = np.r_[values, values[[4, 7]] + 1e-3]
    given = np.r_[given, given[4], (given[7] + 1) % 3]
    found = look(values, given).columns
    assert found["near_duplicate"][found["near_duplicate"] != ""].to_dict() == {
        "s4": "s300", "s300": "s4", "s7": "s301", "s301": "s7",
    }  # fmt: skip
    assert found.index[found["near_conflict"]].tolist() == ["s7", "s301"]


def test_exact_copies_are_near_duplicates_however_many(clouds):
    values, given = clouds
    found = look(np.r_[values, values[:200]], np.r_[given, given[:200]]).columns
    assert (found["near_duplicate"] != "").sum() == 400


def test_a_sample_far_from_all_is_an_outlier(clouds):
    values, given = clouds
    values[5] = 40.0
    assert look(values, given).columns["outlier"].to_numpy().nonzero()[0].tolist() == [5]


def test_classes_that_share_a_place_overlap(clouds):
    overlaps = look(*clouds).overlaps
    assert {pair[:2] for pair in overlaps} == {("a", "b"), ("b", "a")}
    assert all(0.35 < share < 0.65 for *_, share in overlaps)
    assert "Classes that overlap: " in look(*clouds).lines()[-1]


def test_too_few_and_too_many_are_not_looked_at(clouds, monkeypatch):
    values, given = clouds
    assert look(values[:8], given[:8]).lines() == []
    monkeypatch.setattr(neighbours, "MOST", 299)
    assert look(values, given).lines() == []


def test_wide_features_are_looked_at_by_their_main_parts(clouds):
    values, given = clouds
    wide = np.random.default_rng(1).normal(size=(6, 100))
    assert {pair[:2] for pair in look(values @ wide, given).overlaps} == {("a", "b"), ("b", "a")}


def test_the_table_and_the_summary_say_it(clouds):
    values, given = clouds
    values = np.r_[values, values[[7]] + 1e-3]
    found = judge_features(from_arrays(values.astype(np.float32), np.r_[given, (given[7] + 1) % 3]))
    assert found.table["near_conflict"].to_numpy().nonzero()[0].tolist() == [7, 300]
    assert found.table.loc[7, "near_duplicate"] == "300"
    assert any("2 samples have a near duplicate, 2 of them with another label." in line for line in found.lines())
