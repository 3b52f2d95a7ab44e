"""Readings of published tables: what is kept of them, and where they come from."""

import urllib.error

import numpy as np
import pandas as pd
import pytest

from lib.beyond import published

AS_PUBLISHED = {
    "hysteresis": "seed,branch,lambda,error\n5,low_error,0.4,0.45809999999999995\n",
    "trusted": "seed,trusted_ratio,branch,lambda,error\n0,0.01,ordered_up,0.3,0.3348\n",
}


def test_a_table_is_reduced_to_its_columns_under_our_names():
    found = published.reduced("hysteresis", [AS_PUBLISHED["hysteresis"]] * 2)
    assert found.to_dict("list") == {
        "branch": ["low_error"] * 2, "mix": [0.4] * 2, "seed": [5] * 2, "test_error": [0.4581] * 2
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"table 'trusted' as published has no column 'lambda': it has seed, error"):
        published.reduced("trusted", ["seed,error,trusted_ratio,branch\n"])


@pytest.mark.parametrize(
    ("name", "rows"),
    [("finite_size", 300), ("learning_rate", 150), ("loops", 2400), ("hysteresis", 54), ("trusted", 132)],
)
def test_the_recorded_readings_are_whole(name, rows):
    """Every condition has every seed once, and errors are shares."""
    table = published.read(name)
    assert len(table) == rows
    assert list(table.columns) == list(published.TABLES[name].columns.values())
    measured = ["test_error", *(column for column in ("best_error", "cosine") if column in table)]
    conditions = [column for column in table if column not in measured]
    assert not table.duplicated(conditions).any()
    assert table["test_error"].between(0, 1).all()
    assert table.notna().all(axis=None)


def test_the_source_and_its_licence_are_named_beside_the_readings():
    """The licence asks for its notice in all copies."""
    text = (published.FOLDER / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("MIT License\n\nCopyright (c) 2025 HIDEKI\n")
    assert "The above copyright notice and this permission notice shall be included" in text
    assert published.COMMIT in (published.FOLDER / "README.md").read_text(encoding="utf-8")
    assert published.COMMIT[:8] in published.credit()
    assert "MIT" in published.credit()


def test_fresh_readings_come_from_where_they_are_published(monkeypatch, capsys):
    asked = []

    def answer(address):
        asked.append(address)
        return AS_PUBLISHED["trusted"]

    monkeypatch.setattr(published, "fetched", answer)
    assert len(published.read("trusted", fresh=True)) == 1
    assert asked == [f"{published.RAW}/{published.TABLES['trusted'].files[0]}"]
    assert published.COMMIT in asked[0]
    assert len(published.read("trusted")) == 132  # the recorded ones need no network
    assert len(asked) == 1

    def nothing(address):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(published, "fetched", nothing)
    pd.testing.assert_frame_equal(published.read("trusted", fresh=True), published.read("trusted"))
    assert "recorded readings are used" in "".join(capsys.readouterr())
    with pytest.raises(ValueError, match="unknown table 'loop'; there are: finite_size"):
        published.read("loop")


def test_both_ways_of_a_loop_stand_at_the_mixes_of_the_way_back():
    rows = [("up", 0.2, 0.8), ("up", 0.3, 0.6), ("up", 0.5, 0.2), ("down", 0.4, 0.5), ("down", 0.3, 0.7)]
    table = pd.DataFrame(rows, columns=["direction", "mix", "test_error"])
    table = pd.concat([table.assign(seed=seed, test_error=table["test_error"] + 0.1 * seed) for seed in (0, 1)])
    table = table.assign(noise_rate=0.4, pace="slow")
    other = table.assign(noise_rate=0.8, test_error=0.0)
    at, there, back = published.ways(pd.concat([table, other]), 0.4, "slow")
    assert at.tolist() == [0.3, 0.4]
    assert np.allclose(there, [[0.6, 0.7], [0.4, 0.5]])  # at 0.4 half-way between 0.6 and 0.2
    assert np.allclose(back, [[0.7, 0.8], [0.5, 0.6]])
