"""The one table that a sweep collects."""

import numpy as np
import pandas as pd
import pytest

from lib.identity import Identity
from lib.sweeps.grid import SweepError
from lib.sweeps.table import _column
from tests.sweeps.tiny import fake, frame, simulate, states


def test_the_table_has_every_point_with_its_parameters_and_error(stored):
    store, one, name = stored
    fake(store, one, {"x": 3.0}, "failed")
    table = frame(store, one)
    assert table["x"].tolist() == [1.0, 1.0, 2.0, 3.0, 4.0]
    assert table["state"].tolist() == ["done", "done", "missing", "failed", "missing"]
    assert table["value"].tolist()[:2] == [1.0, 2.0]
    assert table["value"].isna().tolist() == [False, False, True, True, True]
    failed = table[table["state"] == "failed"].iloc[0]
    assert (failed["error"], failed["traceback"]) == ("ValueError: no", "line 1")
    assert set(frame(store)["point"]) == set(table[table["state"].isin(["done", "failed"])]["point"])
    assert table["point"][0] == name


def test_without_a_sweep_each_point_is_there_once_as_it_was_made_last(stored):
    store, one, name = stored
    older = fake(store, one, {"x": 1.0}, code=Identity("older", {"notebook": "older"}))
    mark = store.look(older)[0]
    mark["date"] = "2000-01-01T00:00:00+00:00"
    with store.claim(older):
        store.put(older, mark, '{"cells": []}', store.numbers(older))
    assert set(frame(store)["point"]) == {name}


def test_what_is_collected_is_what_the_sweep_asks_for(stored, tiny):
    store, _, _ = stored
    text = "grid: {product: {x: [1.0]}}\n"
    assert frame(store, tiny.sweep(text + "collect: {claims: [c]}\n"))["source_name"].tolist() == ["c", "c"]
    none = frame(store, tiny.sweep(text + "collect: {claims: [other]}\n"))
    assert none["state"].tolist() == ["done"]  # the point is there, its numbers were not asked for
    assert none["value"].isna().all()
    with pytest.raises(SweepError, match="no point shows a table t; there are: none"):
        frame(store, tiny.sweep(text + "collect: {tables: [t]}\n"))


def test_parameters_of_several_types_make_a_column(tiny):
    tiny.store.open(create=True)
    one = tiny.sweep("parameters: {x: 1}\ngrid: {list: [{many: 3}, {many: null}, {kind: b}]}\n")
    for given in one.points:
        fake(tiny.store, one, given)
    table = frame(tiny.store, one).drop_duplicates("point")
    assert table["many"].tolist()[0] == 3
    assert table["many"].isna().tolist() == [False, True, True]
    assert table["kind"].isna().tolist() == [True, True, False]
    assert _column([1, "a", None]).to_pylist() == ["1", '"a"', None]


def test_ten_thousand_points_are_planned_and_collected_right(tmp_path, monkeypatch):
    monkeypatch.setattr("lib.files.os.fsync", lambda _: None)  # this many takes minutes, and nothing is killed here
    store, one = simulate(tmp_path, 10_000)
    found = pd.Series(states(store, one)).value_counts().to_dict()
    assert found == {"done": 8900, "failed": 100, "missing": 1000}
    table = frame(store, one)
    assert len(table) == 2 * 8900 + 100 + 1000
    assert table["point"].nunique() == 10_000
    done = table[table["state"] == "done"]
    assert np.array_equal(done["value"], done["x"] + done["row"])
    assert table[["x", "n"]].drop_duplicates().to_numpy().tolist() == [[p["x"], p["n"]] for p in one.points]
