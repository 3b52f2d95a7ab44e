"""The page of costs: what it sums is what the records say, and its exponents are those of power laws."""

import re

import pytest

from lib.paths import RECORDS
from lib.records import read_record
from lib.site import costs


def test_an_exponent_is_that_of_a_power_law():
    some = [{"size": size, "training": 0.3 * size**1.5, "observing": 2.0} for size in (1, 2, 8)]
    assert costs.exponent(some, "training") == pytest.approx(1.5)
    assert costs.exponent(some, "observing") == pytest.approx(0.0)


def test_the_hours_are_those_of_all_records():
    """Each record's own seconds, read here one by one."""
    seconds = [read_record(path)[1]["seconds"] for path in RECORDS.glob("*.parquet")]
    told = costs.page()
    (hours,) = re.findall(r"took (\d+) hours", told)
    assert abs(sum(seconds) / 3600 - int(hours)) <= 0.5
    rows = re.findall(r"^\| .* \| ([\d,]+) runs? \| [\d.]+ \|$", told, re.M)
    assert sum(int(row.replace(",", "")) for row in rows) == len(seconds)


def test_each_growth_is_measured_at_three_sizes_and_more():
    told = costs.page()
    for what in costs.WHAT.values():
        table = told[told.index(f": {what} |") :].split("\n\n")[0]
        assert len(table.splitlines()) >= 3 + 3
