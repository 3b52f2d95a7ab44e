"""The page of costs: what it sums is what the records say, and its exponents are those of power laws."""

import json
import re
from statistics import median

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
    """The widest comparison by hand: two layers of 512 on all sevens and nines, 400 epochs, noise rate .4."""
    took = {True: [], False: []}
    for path in RECORDS.glob("mnist79-512x512-lr0.1-*.parquet"):
        told = read_record(path)[1]
        alike = {name: told["settings"][name] for name in ("data", "noise", "model", "train")}
        if alike == {
            "data": {"name": "mnist", "classes": [7, 9]}, "noise": {"noise_rate": 0.4}, "model": {},
            "train": {"lr": 0.1, "epochs": 400},
        }:  # fmt: skip
            took["CPU" in told["device"]].append(told["seconds"])
    (row,) = [row for row in costs.beside() if row[0] == "FCN 512 × 512, MNIST 7 v 9, 400 epochs"]
    assert row[1:3] == (len(took[True]), median(took[True]))
    assert row[4:6] == (len(took[False]), median(took[False]))


def test_what_a_card_missed_is_said():
    """Whatever the file says was met: seconds and errors against their goals."""
    told = json.loads(costs.CARD.read_text(encoding="utf-8"))
    page = costs.page()
    for name, row in (told["rates"] | told["correct"]).items():
        if "goal" not in row or not ("share" in row or "relative error" in row):
            continue
        with_observing = name.startswith(("fcn", "cnn"))
        reached = row.get(
            "relative error", row["seconds"] + (row["observing"] if with_observing and "share" in row else 0)
        )
        missed = reached > row["goal"] and row.get("of the matrix rate", 0) < 0.35
        (line,) = [line for line in page.splitlines() if line.startswith(f"| {name} |")]
        assert ("missed" in line) == missed, name
