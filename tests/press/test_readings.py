import math

import numpy as np
import pandas as pd
import pytest

from lib.press.readings import (
    Scan,
    each_condition,
    interval_in_words,
    loop_area,
    paired_interval,
    passage,
    stage_ends,
    steadiness,
    there_and_back,
)


class OneRun:
    """As much of a recorded scan as is read."""

    def __init__(self, rows):
        self.history = pd.DataFrame(rows, columns=["seed", "noise_rate", "mix", "epoch", "test_error"])


def test_a_scan_is_read_by_mix_and_rate_in_the_order_of_seeds():
    rows = [
        (seed, rate, mix, epoch, 100 * epoch + 10 * mix + rate + seed)
        for epoch in (0, 1, 2) for seed in (1, 0) for rate in (0.4, 0.8) for mix in (0.5, 0.1 + 0.2)
    ]  # fmt: skip
    scan = Scan([OneRun(rows)])
    assert scan.last == 2
    assert scan.at("test_error", 0.3, 0.4).tolist() == pytest.approx([203.4, 204.4])
    assert scan.at("test_error", 0.5, 0.8, epoch=1).tolist() == pytest.approx([105.8, 106.8])
    assert scan.over_mixes("test_error", 0.4).shape == (2, 2)
    with pytest.raises(ValueError, match="not one a seed"):
        scan.at("test_error", 0.3)  # two noise rates
    with pytest.raises(ValueError, match="0 rows"):
        scan.at("test_error", 0.7, 0.4)


def test_the_row_before_training_can_be_read():
    assert Scan([OneRun([(0, 0.4, 0.5, 0, 0.9), (0, 0.4, 0.5, 1, 0.1)])]).at("test_error", 0.5, epoch=0).tolist() == [
        0.9
    ]


def test_a_loop_is_read_at_the_end_of_its_stages_without_the_warm_up():
    """Warm-up, up through two mixes, and back: the values are 10 times the stage, plus the seed; two epochs each."""
    rows = [(epoch // 2, seed, epoch, 10 * (epoch // 2) + seed - epoch % 2) for epoch in range(10) for seed in (1, 0)]
    table = pd.DataFrame(rows, columns=["stage", "seed", "epoch", "test_error"])
    assert stage_ends(table).tolist() == [[10 * k - 1, 10 * k] for k in range(5)]
    there, back = there_and_back(table)
    assert there.tolist() == [[9, 10], [19, 20]]
    assert back.tolist() == [[39, 40], [29, 30]]  # over rising mixes
    with pytest.raises(ValueError, match="not 3 in all"):
        there_and_back(table[table["stage"] < 4])


def test_a_measure_of_each_condition_stands_under_its_value():
    found = each_condition({"δ 0.1": [1, 2], "δ 0.4": [3, 4]}, (0.1, 0.4), lambda some: [10 * v for v in some], "δ ")
    assert {rate: values.tolist() for rate, values in found.items()} == {0.1: [10, 20], 0.4: [30, 40]}


def test_the_area_of_a_known_loop():
    mixes = np.linspace(0, 1, 101)
    up, down = mixes**2, mixes  # area 1/2 - 1/3
    both = loop_area(mixes.tolist(), np.stack([up, down], axis=1), np.stack([down, up], axis=1))
    assert both == pytest.approx([1 / 6, -1 / 6], abs=1e-4)
    assert loop_area(mixes.tolist(), up, up) == 0


def test_paired_intervals_are_students():
    """Differences 1, 2, 3: standard error 1 / sqrt 3 with two degrees of freedom, whose quantile is 4.3027."""
    mean, low, high = paired_interval([1.0, 2.0, 3.0])
    assert mean == 2
    assert high - mean == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert mean - low == pytest.approx(high - mean)
    for bad in ([1.0], [1.0, math.nan]):
        with pytest.raises(ValueError, match="two or more finite"):
            paired_interval(bad)
    assert paired_interval(np.array([0.5, 0.5])) == (0.5, 0.5, 0.5)


def test_an_interval_in_words_counts_only_what_there_is():
    assert interval_in_words(np.array([1.0, 2.0, 3.0])) == "2.00 [-0.484, 4.48]"
    assert interval_in_words(np.array([1.0, np.nan, 3.0])) == "2.00 [-10.7, 14.7] (2 seeds)"
    assert interval_in_words(np.array([1.0, np.nan])) == "too few (1)"


def test_steadiness_is_one_for_a_rise_without_a_turn():
    assert steadiness([1, 2, 4, 4, 9]) == 1
    assert steadiness([9, 4, 1]) == -1
    assert steadiness([0, 3, 2]) == pytest.approx(0.5)
    assert steadiness([5, 5]) == 0


def test_the_place_where_an_error_gets_past_a_level_after_its_least():
    """By hand: at the first mix the error is above the level, too, but before its least."""
    mixes = [0.0, 0.2, 0.4, 0.8]
    curves = np.array([[0.6, 0.1, 0.3, 0.7], [0.1, 0.2, 0.3, 0.4], [0.9, 0.8, 0.7, 0.9], [0.2, 0.5, 0.1, 0.5]]).T
    found = passage(mixes, curves, 0.5)
    assert found[0] == pytest.approx(0.6)
    assert np.isnan(found[1])
    assert found[2] == 0.4  # the least error is above the level
    assert found[3] == pytest.approx(0.8)
