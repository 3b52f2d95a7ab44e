"""The page of costs: what it sums is what the records say, and its exponents are those of power laws."""

import json
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
    (said,) = re.findall(r"^All recorded runs .*$", told, re.M)
    hours = [float(one) for one in re.findall(r"([\d.]+) hours on", said)]
    assert sum(seconds) / 3600 == pytest.approx(sum(hours), abs=0.6)
    rows = re.findall(r"^\| .* \| ([\d,]+) runs? \| [\d.]+ \|$", told, re.M)
    assert sum(int(row.replace(",", "")) for row in rows) == len(seconds)


def test_each_growth_is_measured_at_three_sizes_and_more():
    told = costs.page()
    for what in costs.WHAT.values():
        table = told[told.index(f": {what} |") :].split("\n\n")[0]
        assert len(table.splitlines()) >= 3 + 3


def test_a_core_and_a_card_are_compared_on_the_same_training():
    """Each row's seconds are those of records that differ in seed and device alone."""
    for what, n, seconds, on, m, fast in costs.beside():
        assert min(n, m, seconds, fast) > 0, what
        assert "CPU" not in on


def test_what_a_card_missed_is_said():
    card = costs.on_card(json.loads(costs.CARD.read_text(encoding="utf-8")))
    told = costs.page()
    for row in (*card["speeds"], *card["right"]):
        (line,) = [line for line in told.splitlines() if line.startswith(f"| {row['what']} |")]
        too_slow = "observing" in row and row["seconds"] + row["observing"] > row["goal"] and row["what"][:3] != "res"
        too_far = "relative error" in row and row["relative error"] > row["goal"]
        assert ("missed" in line) == (not row["met"])
        assert row["met"] or too_slow or too_far or row["seconds"] > row["goal"]
