import math

import numpy as np
import pandas as pd
import pytest

from lib.press.readings import Scan, loop_area, paired_interval


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
