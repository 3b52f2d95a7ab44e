"""The page of sweeps and its figures, drawn from tables that were collected here."""

import re
from dataclasses import replace

import pandas as pd
import pytest

from lib.paths import SWEEPS
from lib.site import sweeps_page
from lib.sweeps.code import code_of_notebook
from lib.sweeps.grid import find_sweep, load_sweep, sweep_names
from lib.sweeps.table import collect, write_table
from tests.sweeps.tiny import fake


def published(stored, tiny, figure: str = "") -> sweeps_page.Collected:
    store, one, _ = stored
    fake(store, one, {"x": 3.0}, "failed")
    fake(store, one, {"x": 2.0})
    one = tiny.sweep(f"title: Some squares\ngrid: {{product: {{x: [1.0, 2.0, 3.0, 4.0]}}}}\n{figure}")
    write_table(collect(store, one), tiny.folder / "made.parquet", one)
    return sweeps_page.read_sweep(tiny.folder / "made.parquet")


FIGURE = "figure: {name: c, quantity: q, x: x, ylabel: height, caption: They rise., alt: A line that rises.}\n"


def test_a_figure_shows_what_the_table_has(stored, tiny):
    drawn = sweeps_page.draw(published(stored, tiny, FIGURE))
    (axes,) = drawn.axes
    (line,) = axes.lines
    assert line.get_xydata().tolist() == [[1.0, 1.5], [2.0, 2.5]]  # values of a point: x and x + 1
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x", "height")
    sweeps_page.plt.close(drawn)


def test_a_figure_has_a_panel_and_a_curve_for_each_value(tiny):
    tiny.store.open(create=True)
    axes = "grid: {product: {x: [1.0, 8.0], n: [3, 5], kind: [a, b]}}\n"
    one = tiny.sweep(f"{axes}figure: {{name: c, quantity: q, x: x, by: kind, panel: n, xscale: log}}\n")
    for given in one.points:
        if given != {"x": 8.0, "n": 5, "kind": "b"}:  # a sweep may also be drawn before it is whole
            fake(tiny.store, one, given)
    write_table(collect(tiny.store, one), tiny.folder / "made.parquet", one)
    drawn = sweeps_page.draw(sweeps_page.read_sweep(tiny.folder / "made.parquet"))
    assert [one.get_ylabel() for one in drawn.axes] == ["n 3\nq", "n 5\nq"]
    curves = [{line.get_gid(): line.get_xydata().tolist() for line in axes.lines} for axes in drawn.axes]
    both = [[1.0, 1.5], [8.0, 8.5]]
    assert curves == [{"a": both, "b": both}, {"a": both, "b": both[:1]}]
    assert len({line.get_marker() for line in drawn.axes[0].lines}) == 2  # told apart without colours
    assert drawn.axes[0].get_xscale() == "log"
    sweeps_page.plt.close(drawn)


def test_a_figure_of_nothing_is_said(stored, tiny):
    with pytest.raises(ValueError, match="no 'volume' of 'c' to draw"):
        sweeps_page.draw(published(stored, tiny, FIGURE.replace("quantity: q", "quantity: volume")))


def test_the_status_page_counts_points_and_names_failures(stored, tiny):
    made = published(stored, tiny, FIGURE)
    text = sweeps_page.page([made], tiny.folder / "pictures")
    assert "| `tiny` | 4 | 2 done, 1 failed, 1 missing |" in text
    assert re.search(r"\*`tiny`: 4 points of {doc}`/notebooks/tiny`; 0 s in all on .*CPU.*, 20\d\d-", text)
    assert "## Some squares" in text
    assert ":::{figure} pictures/tiny.png\n:name: fig-sweep-tiny\n:alt: A line that rises.\nThey rise.\n:::" in text
    assert (tiny.folder / "pictures" / "tiny.png").read_bytes().startswith(b"\x89PNG")
    assert "- `x=3.0` failed: <code>ValueError: no</code>" in text
    assert sweeps_page.page([], tiny.folder / "none").startswith("No sweep has been published")


def test_the_status_page_says_whether_the_code_is_todays(stored, tiny, monkeypatch):
    made = published(stored, tiny, FIGURE)
    monkeypatch.setattr(sweeps_page, "NOTEBOOKS", tiny.folder)
    code = code_of_notebook(tiny.folder / "tiny.ipynb").id
    assert f"; code {code} (today's code).*" in sweeps_page.page([made], tiny.folder / "pictures")
    tiny.write("1 + 1\n")
    assert f"; code {code} (older code).*" in sweeps_page.page([made], tiny.folder / "pictures")


def test_a_notebook_that_is_no_chapter_has_no_link(tiny):
    one = load_sweep(find_sweep("two_gradients"))
    write_table(collect(tiny.store, one), tiny.folder / "made.parquet", one)
    made = sweeps_page.read_sweep(tiny.folder / "made.parquet")
    assert made.notebook == "sweeps/single_mix"
    assert "36 points of `notebooks/sweeps/single_mix.ipynb`; not run yet" in sweeps_page.page(
        [replace(made, figure={})], tiny.folder / "pictures"
    )


def test_what_is_no_collected_table_is_refused(tiny):
    pd.DataFrame({"a": [1]}).to_parquet(tiny.folder / "other.parquet")
    with pytest.raises(ValueError, match=r"other.parquet is no collected table \(KeyError\)"):
        sweeps_page.read_sweep(tiny.folder / "other.parquet")


@pytest.mark.parametrize("path", sorted(SWEEPS.glob("*.parquet")), ids=lambda path: path.stem)
def test_published_tables_are_whole(path):
    one = sweeps_page.read_sweep(path)
    assert one.points["state"].isin(["done", "failed"]).all()
    assert one.name == path.stem in sweep_names()
    assert not one.figure or sweeps_page.plt.close(sweeps_page.draw(one)) is None
