"""What is taken out of an executed notebook: claims, results, what scrapbook glued, pandas tables on display."""

import base64
import io

import nbformat
import numpy as np
import pandas as pd
import pytest

from lib.press.execute import execute_notebook, prepared
from lib.sweeps.in_kernel import MIME, told
from lib.sweeps.point import TOLD
from lib.sweeps.shown import numbers_of, shows_nothing
from tests.sweeps.tiny import KERNEL


def rows(*data: dict) -> list[tuple]:
    """The numbers in outputs with these data: source, name, quantity, row, value."""
    outputs = [{"output_type": "display_data", "metadata": {}, "data": one} for one in data]
    found = numbers_of({"cells": [{"cell_type": "code", "outputs": outputs}]}).to_pylist()
    return [(one["source"], one["source_name"], one["quantity"], one["row"], one["value"]) for one in found]


def glued(name, data, encoder="json"):
    payload = {"name": name, "data": data, "encoder": encoder, "version": 1}
    return {f"application/scrapbook.scrap.{encoder}+json": payload}


def test_what_scrapbook_glued_is_collected_by_its_name():
    assert rows(glued("score", 0.5)) == [("glue", "score", "value", 0, 0.5)]
    assert rows(glued("all", [1, None, 3])) == [
        ("glue", "all", "value", row, one) for row, one in enumerate([1, None, 3])
    ]
    nested = {"train": 0.5, "test": {"a": [1, 2]}, "word": "x"}
    assert rows(glued("d", nested)) == [
        ("glue", "d", "train", 0, 0.5), ("glue", "d", "test, a", 0, 1.0), ("glue", "d", "test, a", 1, 2.0),
    ]  # fmt: skip
    assert rows(glued("t", "text", "text")) == rows(glued("b", "###", "pandas")) == []
    assert rows({"application/papermill.record+json": {"old": 3}}) == [("glue", "old", "value", 0, 3.0)]
    file = io.BytesIO()
    pd.DataFrame({"a": [0.1, np.nan], "b": ["x", "y"]}).to_parquet(file)
    encoded = base64.b64encode(file.getvalue()).decode()
    assert rows(glued("frame", encoded, "pandas")) == [("glue", "frame", "a", 0, 0.1), ("glue", "frame", "a", 1, None)]


def test_scrapbooks_own_glue_is_understood(monkeypatch):
    scrapbook = pytest.importorskip("scrapbook")
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **_: shown.append(data))
    monkeypatch.setattr("scrapbook.utils.is_kernel", lambda: True)
    for name, value in (("number", 3), ("list", [1.5]), ("dict", {"a": 1}), ("frame", pd.DataFrame({"x": [2.0]}))):
        scrapbook.glue(name, value)
    assert [row[1:] for row in rows(*shown)] == [
        ("number", "value", 0, 3.0), ("list", "value", 0, 1.5), ("dict", "a", 0, 1.0), ("frame", "x", 0, 2.0),
    ]  # fmt: skip


def test_a_pandas_table_travels_with_all_digits():
    table = pd.DataFrame({"k": [1, 2], "error": [1 / 3, np.nan], "name": ["a", "b"], "on": [True, False]})
    assert rows({MIME: told(table)}) == [
        ("table", "table 1", "k", 0, 1.0), ("table", "table 1", "k", 1, 2.0),
        ("table", "table 1", "error", 0, 1 / 3), ("table", "table 1", "error", 1, None),
        ("table", "table 1", "on", 0, 1.0), ("table", "table 1", "on", 1, 0.0),
    ]  # fmt: skip
    named = pd.DataFrame({"error": [0.1, 0.2]}, index=["train", "test"])
    series = named["error"].groupby(named.index).mean()
    levels = pd.DataFrame(
        [[1.0]], index=pd.MultiIndex.from_tuples([("a", 1)]), columns=pd.MultiIndex.from_tuples([("b", 2)])
    )
    found = rows({MIME: told(named)}, {MIME: told(series)}, {MIME: told(levels)}, {MIME: told(table[["name"]])})
    assert found == [
        ("table", "table 1", "error, train", 0, 0.1), ("table", "table 1", "error, test", 0, 0.2),
        ("table", "table 2", "error, test", 0, 0.2), ("table", "table 2", "error, train", 0, 0.1),
        ("table", "table 3", "b, 2, a, 1", 0, 1.0),
    ]  # fmt: skip
    assert rows({MIME: told(pd.DataFrame({"a": range(10_001)}))}) == [
        ("table", "table 1", "left out: 10,001 rows", 0, None)
    ]


def test_every_table_counts_so_that_one_keeps_its_number_at_all_points():
    empty, words = pd.DataFrame({"a": []}), pd.DataFrame({"a": ["x"]})
    found = rows(*({MIME: told(table)} for table in (empty, words, pd.DataFrame({"a": [1.5]}))))
    assert found == [("table", "table 3", "a", 0, 1.5)]


def test_columns_of_one_name_are_told_apart_and_none_is_lost():
    both = pd.concat([pd.DataFrame({"v": [1.0]}), pd.DataFrame({"v": [2.0]})], axis=1)
    assert rows({MIME: told(both)}) == [("table", "table 1", "v", 0, 1.0), ("table", "table 1", "v (2)", 0, 2.0)]
    assert rows({MIME: told(pd.DataFrame({1: [1.0], "1": [2.0]}))})[1][2:] == ("1 (2)", 0, 2.0)
    reset = pd.DataFrame({"v": [0.5]}, index=[7]).reset_index()
    assert rows({MIME: told(reset)}) == [("table", "table 1", "index", 0, 7.0), ("table", "table 1", "v", 0, 0.5)]
    named = pd.DataFrame({"v": [0.5], "index": [7]}, index=["train"])
    assert [row[2:] for row in rows({MIME: told(named)})] == [("v, train", 0, 0.5), ("index, train", 0, 7.0)]


def test_a_table_that_cannot_be_told_fails_nothing():
    import math

    class Odd:
        dtype = "mine"

        def __float__(self):
            raise RuntimeError("no number")

    assert rows({MIME: told(pd.DataFrame({"f": [math.factorial(200)], "g": [1.0]}))})[0][2:] == ("g", 0, 1.0)
    assert rows({MIME: told(pd.DataFrame({"o": pd.Series([Odd()], dtype=object)}))}) == []


def test_the_last_of_what_was_glued_under_one_name_counts():
    scrap = "application/scrapbook.scrap.json+json"
    glued = [
        {scrap: {"name": name, "data": value, "encoder": "json"}} for name, value in (("a", 0.1), ("b", 1), ("a", 0.9))
    ]
    assert rows(*glued) == [("glue", "b", "value", 0, 1.0), ("glue", "a", "value", 0, 0.9)]


def test_what_pandas_itself_writes_as_table_schema_is_read():
    import json

    theirs = json.loads(pd.DataFrame({"a": [0.5, 1.5]}).to_json(orient="table"))
    assert rows({MIME: theirs}) == [("table", "table 1", "a", 0, 0.5), ("table", "table 1", "a", 1, 1.5)]


@pytest.mark.parametrize("hostile", [None, [], {"schema": 1}, {"schema": {"fields": [1]}, "data": [2]}, {"data": 3}])
def test_what_is_no_table_after_all_is_left_out(hostile):
    assert rows({MIME: hostile}, {"application/scrapbook.scrap.json+json": hostile}) == []


def test_an_ordinary_notebook_is_told_to_show_its_tables(tmp_path):
    """A kernel without the book in it; and its own names stay its own."""
    cells = [
        "import pandas as pd\nx = 2",
        "pd.DataFrame({'a': [x / 3], 'b': ['word']})",
        "display(pd.Series([1.5, 2.5], name='s'))\nprint([n for n in dir() if n in ('told', 'listen', 'MIME')])",
        "x",
    ]
    made = nbformat.v4.new_notebook(metadata=KERNEL, cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(made, tmp_path / "plain.ipynb")
    node = prepared(tmp_path / "plain.ipynb", {})
    assert execute_notebook(node, folder=tmp_path, told=TOLD) is None
    found = numbers_of(node).to_pylist()
    assert [(one["source_name"], one["quantity"], one["value"]) for one in found] == [
        ("table 1", "a", 2 / 3), ("table 2", "s", 1.5), ("table 2", "s", 2.5),
    ]  # fmt: skip
    assert "[]" in str(node.cells[2].outputs)
    assert [cell.execution_count for cell in node.cells] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("source", "nothing"),
    [
        ("x = 1\nprint(x)", True),
        ("plt.plot(x);", True),
        ("'''a text'''", True),
        ("def f(): pass", True),
        ("df", False),
        ("print(1)\ndf.head()", False),
        ("sb.glue('a', 1)\nx = 1", False),
        ("if a:\n    display(b)", False),
        ("ledger.check('a')", False),
        ("%run other.py", False),
        ("x <- 3 4", False),
    ],
)
def test_a_notebook_that_surely_shows_nothing_is_seen_before_it_runs(tmp_path, source, nothing):
    path = tmp_path / "a.ipynb"
    cells = [nbformat.v4.new_code_cell("x = 1"), nbformat.v4.new_code_cell(source)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    assert shows_nothing(path) is nothing
