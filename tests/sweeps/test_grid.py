"""Sweeps: what their YAML means, what the store keeps, and that nothing is lost or run twice whatever is killed."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import nbformat
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lib import identity
from lib.__main__ import main
from lib.identity import Identity
from lib.paths import NOTEBOOKS, ROOT, SWEEPS
from lib.press import chapters, show
from lib.press.chapters import ParameterError
from lib.site import sweeps_page
from lib.sweeps import cluster, grid, point
from lib.sweeps.cluster import Cluster, ClusterLost
from lib.sweeps.grid import SweepError
from lib.sweeps.point import Store, StoreFailed, StoreProblem, Task

BIN = Path(sys.executable).parent
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python"}}
PARAMETERS = """\
x: float = 1.0  # a number
n: int = 0  # another
kind: str = "a"  # one of a, b
many: Optional[int] = None  # or none
pause: float = 0.0  # seconds"""
# What a chapter's claims and tables look like from outside, without the seconds that importing them takes.
BODY = """\
import os, time
from pathlib import Path
from typing import ClassVar
from IPython.display import display
events = Path(r"{events}")
print("x is", x)
with events.open("a") as file:
    file.write(f"{{x}} {{n}} start {{os.getpid()}} {{os.getppid()}}\\n")
time.sleep(pause)
if n == 13:
    raise ValueError("thirteen was given")
claim = {{"id": "squares", "passes": [True, n == 0], "measured": [["square", [x * x, x * x + n]], ["cube", [x**3, n]]]}}
display({{"text/plain": "claim"}}, raw=True, metadata={{"clean-priority-claim": claim}})
told = {{"name": "machine", "columns": [["threads", [int(os.environ["OMP_NUM_THREADS"])]]]}}
display({{"text/plain": "table"}}, raw=True, metadata={{"clean-priority-result": told}})
with events.open("a") as file:
    file.write(f"{{x}} {{n}} end {{os.getpid()}} {{os.getppid()}}\\n")
"""


class Tiny:
    """A notebook of three cells, a sweep of it, and what its kernels did."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.events_file = folder, folder / "events.txt"
        self.store = Store(folder / "store")
        self.write()

    def write(self, extra: str = "", parameters: str = PARAMETERS) -> None:
        notebook = nbformat.v4.new_notebook(metadata=KERNEL)
        notebook.cells = [
            nbformat.v4.new_code_cell("from typing import Optional"),
            nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(BODY.format(events=self.events_file) + extra),
        ]
        nbformat.write(notebook, self.folder / "tiny.ipynb")

    def yaml(self, text: str, name: str = "tiny") -> Path:
        path = self.folder / f"{name}.yml"
        path.write_text("notebook: tiny.ipynb\n" + text)
        return path

    def sweep(self, text: str) -> grid.Sweep:
        return grid.load(self.yaml(text))

    def events(self, what: str) -> list[list[str]]:
        lines = self.events_file.read_text().splitlines() if self.events_file.exists() else []
        return [line.split() for line in lines if line.split()[2] == what]

    def command(self, *arguments: str) -> list[str]:
        where = ["--store", str(self.store.folder)]
        return [sys.executable, "-m", "lib", "sweep", str(self.folder / "tiny.yml"), *where, *arguments]

    def start(self, *arguments: str) -> subprocess.Popen:
        command = self.command(*arguments)
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def go(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(self.command(*arguments), cwd=ROOT, capture_output=True, text=True)

    def table(self) -> pd.DataFrame:
        return pd.read_parquet(self.store.folder / "table.parquet")


@pytest.fixture
def tiny(tmp_path):
    return Tiny(tmp_path)


@pytest.fixture(scope="module")
def address():
    """The scheduler of two workers that several tests share."""
    with cluster._local_cluster(cluster.Local(2, 1, (None, None))) as started:
        yield started.scheduler_address


def values(table: pd.DataFrame) -> dict[tuple, float]:
    """The numbers of a table by what they are; an error if two are the same."""
    table = table[table["state"] == "done"]
    keys = list(zip(table["x"], table["n"], table["source_name"], table["quantity"], table["row"], strict=True))
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, table["value"], strict=True))


def truth(given: list[tuple[float, int]], threads: int = 1) -> dict[tuple, float]:
    """What `values` must be for these x and n, from the formulas in BODY."""
    found = {}
    for x, n in given:
        for name, column in (("square", [x * x, x * x + n]), ("cube", [x**3, n])):
            found |= {(x, n, "squares", name, row): value for row, value in enumerate(column)}
        found[(x, n, "machine", "threads", 0)] = threads
    return found


def wait_for(condition, what: str, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


SQUARES = "grid: {product: {x: [1.0, 2.0], n: [0, 3]}}\ncollect: {tables: [machine]}\n"
GIVEN = [(1.0, 0), (1.0, 3), (2.0, 0), (2.0, 3)]


# what a YAML means


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        ("product: {x: [1, 2], n: [3, 4]}", [(1, 3), (1, 4), (2, 3), (2, 4)]),
        ("zip: {x: [1, 2], n: [3, 4]}", [(1, 3), (2, 4)]),
        ("list: [{x: 1, n: 3}, {x: 2, n: 9}]", [(1, 3), (2, 9)]),
        ("{product: {x: [0.5]}, seeds: {parameter: n, count: 3, first: 2}}", [(0.5, 2), (0.5, 3), (0.5, 4)]),
        ("{zip: {x: [1, 2]}, list: [{n: 1}, {n: 2}]}", [(1, 1), (1, 2), (2, 1), (2, 2)]),
    ],
)
def test_a_grid_means_its_points(tiny, grid, expected):
    one = tiny.sweep(f"parameters: {{kind: b}}\ngrid: {grid if grid[0] == '{' else '{' + grid + '}'}\n")
    assert [(point["x"], point["n"]) for point in one.points] == expected
    assert {point["kind"] for point in one.points} == {"b"}


def test_seeds_are_the_parameter_seed(tiny):
    tiny.write(parameters="seed: int = 0  # which")
    assert tiny.sweep("grid: {seeds: 3}\n").points == ({"seed": 0}, {"seed": 1}, {"seed": 2})


def test_a_point_in_the_grid_twice_is_run_once_and_said(tiny, capsys):
    path = tiny.yaml("grid: {list: [{x: 1}, {x: 2}, {x: 1}]}\n")
    assert [point["x"] for point in grid.load(path).points] == [1, 2]
    assert main(["sweep", str(path), "--plan", "--store", str(tiny.store.folder)]) == 0
    shown = capsys.readouterr().out
    assert "1 that stood in the grid more than once" in shown
    assert "2 would run; 2 missing" in shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("notebook: nowhere\ngrid: {product: {x: [1]}}", "unknown chapter 'nowhere'; there are: 01_"),
        ("notebook: tiny.ipynb\ngrid: {product: {y: [1]}}", r"no parameter 'y'. It has:\n  x: float = 1.0  # a number"),
        ("notebook: tiny.ipynb\ngrid: {product: {x: [1, much]}}", r"x cannot be 'much' \(str\)"),
        ("notebook: tiny.ipynb\ngrid: {product: {x: [1e-3]}}", "YAML reads 1e-3 as text: write 0.001"),
        ("notebook: tiny.ipynb\ngrid: {product: {n: [0.5]}}", r"n cannot be 0.5 \(float\)"),
        ("notebook: tiny.ipynb\ngrid: {product: {kind: [c]}}", "kind cannot be 'c'"),
        ("notebook: tiny.ipynb\ngrid: {product: {x: [2020-01-01]}}", "x cannot be datetime.date"),
        ("notebook: tiny.ipynb\ngrid: {product: {x: [.nan]}}", "x cannot be nan"),
        ("notebook: tiny.ipynb\ngrid: {product: {x: []}}", "the grid is empty: product has no value for 'x'"),
        ("notebook: tiny.ipynb\ngrid: {list: []}", "the grid is empty: list"),
        ("notebook: tiny.ipynb\ngrid:", "the grid is empty; it needs one of product, zip, list, seeds"),
        ("notebook: tiny.ipynb", "has no 'grid'; a sweep has: title, notebook, parameters"),
        ("notebook: tiny.ipynb\ngrid: {products: {x: [1]}}", "unknown 'products'; allowed: product, zip, list, seeds"),
        ("notebook: tiny.ipynb\ngird: {x: [1]}\ngrid: {}", "unknown 'gird'; allowed"),
        ("notebook: tiny.ipynb\ngrid: {zip: {x: [1], n: [1, 2]}}", "of one length, got {'x': 1, 'n': 2}"),
        ("notebook: tiny.ipynb\ngrid: {product: {x: 1}}", "product needs a list for 'x', not 1"),
        ("notebook: tiny.ipynb\ngrid: {seeds: 0}", "seeds needs a count of 1 or more"),
        ("notebook: tiny.ipynb\ngrid: {seeds: 2}", "no parameter 'seed'"),
        ("notebook: tiny.ipynb\nparameters: {x: 1}\ngrid: {product: {x: [1]}}", "'x' is given in two places"),
        ("notebook: tiny.ipynb\ngrid: {product: {x: [1], x: [2]}}", "x is given twice"),
        ("notebook: [tiny.ipynb\ngrid: {}", "is no YAML"),
        ("- 1", "must be lines of"),
        ("notebook: tiny.ipynb\ngrid: {product: {x: [1]}}\ncollect: {tables: all}", "a list of names, not 'all'"),
        ("notebook: tiny.ipynb\ngrid: {product: {x: [1]}}\nfigure: {name: a}", "the figure lacks quantity, x"),
        (
            "notebook: tiny.ipynb\ngrid: {product: {x: [1]}}\nfigure: {name: a, quantity: b, x: z}",
            "the figure's x must be one of x",
        ),
        (
            "notebook: tiny.ipynb\ngrid: {product: {x: [1], n: [1, 2, 3, 4, 5, 6, 7]}}\n"
            "figure: {name: a, quantity: b, x: x, by: n}",
            "the figure has room for 6 curves; n has more values",
        ),
        (
            "notebook: tiny.ipynb\ngrid: {product: {x: [1]}}\nfigure: {name: a, quantity: b, x: x, xscale: lin}",
            "xscale must be linear or log, not 'lin'",
        ),
        ("notebook: tiny.ipynb\ngrid: {product: {x: [!!python/object/apply:os.getcwd []]}}", "is no YAML"),
    ],
)
def test_what_is_wrong_with_a_sweep_is_named_before_anything_starts(tiny, text, message):
    path = tiny.folder / "wrong.yml"
    path.write_text(text)
    with pytest.raises((SweepError, ParameterError), match=message):
        grid.load(path)


def test_a_parameter_may_not_be_called_like_a_column(tiny):
    tiny.write(parameters="value: int = 0  # x")
    with pytest.raises(SweepError, match="columns of its own called value"):
        tiny.sweep("grid: {product: {value: [1]}}\n")


def test_mistakes_on_the_command_line_get_a_line(tiny, capsys):
    path = str(tiny.yaml(SQUARES))
    for arguments, message in (
        (["sweep", "nosuch"], "unknown sweep 'nosuch'; there are: "),
        (["sweep", path, "--scheduler", "tcp://127.0.0.1:1", "--workers", "2"], "the scheduler has its own workers"),
        (["sweep", path, "--retries", "-1"], "retries must be 0 or more"),
    ):
        assert main(arguments) == 1
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["sweep", path, "--workers", "0"])


def test_the_help_explains_grid_store_and_cluster(capsys):
    with pytest.raises(SystemExit):
        main(["sweep", "--help"])
    shown = capsys.readouterr().out
    for word in ("product:", "zip:", "list:", "seeds:", "--plan", "--scheduler", "Exit status", "go", "examples:"):
        assert word in shown


@pytest.mark.parametrize("name", grid.names())
def test_the_books_own_sweeps_are_right(name):
    one = grid.load(grid.find(name))
    assert len(one.points) > 1
    assert str(one.notebook.relative_to(NOTEBOOKS).with_suffix("")) in [*chapters.names(), *chapters.singles()]
    assert one.merged == 0
    assert one.figure
    assert one.figure.caption
    assert one.figure.alt


# the store


def fake(store: Store, one: grid.Sweep, given: dict, state: str = "done", code: Identity | None = None) -> str:
    """Put a point into the store as a worker would, without running anything."""
    code = code or identity.of_notebook(one.notebook)
    name = f"{point.point_id(one.notebook.stem, given)}-{code.id}"
    task = Task(str(store.folder), name, str(one.notebook), given, code, 1)
    rows = [
        {
            "source": "claim",
            "source_name": "c",
            "quantity": "q",
            "row": row,
            "value": given["x"] + row,
            "verdict": "holds",
        }
        for row in range(2)
    ]
    numbers = pa.Table.from_pylist(rows if state == "done" else [], schema=point.ROWS)
    error = {"error": "ValueError: no", "traceback": "line 1"} if state == "failed" else {}
    with store.claim(name) as mine:
        assert mine
        store.put(name, point._mark(task, state, **error), '{"cells": []}', numbers)
    return name


@pytest.fixture
def stored(tiny):
    """A store with one point of four done."""
    tiny.store.open(create=True)
    one = tiny.sweep("grid: {product: {x: [1.0, 2.0, 3.0, 4.0]}}\n")
    return tiny.store, one, fake(tiny.store, one, {"x": 1.0})


def states(store, one):
    return [point.state for point in grid.plan(one, store)]


def test_only_what_is_missing_would_run(stored):
    store, one, _ = stored
    fake(store, one, {"x": 3.0}, "failed")
    assert states(store, one) == ["done", "missing", "failed", "missing"]
    planned = grid.plan(one, store)
    assert [point.runs for point in planned] == [False, True, True, True]
    assert planned[2].why == "failed before: ValueError: no"


def test_changed_code_is_named_and_its_old_points_are_kept(stored, tiny):
    store, one, name = stored
    tiny.write("# only a comment\n")
    assert states(store, one)[0] == "done"
    tiny.write("1 + 1\n")
    assert grid.plan(one, store)[0].why == "changed since: notebook"
    assert store.look(name)[0]["given"] == {"x": 1.0}


@pytest.mark.parametrize("file", [point.MARK, point.NUMBERS, point.NOTEBOOK])
@pytest.mark.parametrize("how", ["truncated", "altered", "gone"])
def test_a_damaged_file_is_found(stored, file, how):
    store, one, name = stored
    path = store.points / name / file
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "altered":
        where = content.index(b"holds") if file == point.NUMBERS else len(content) // 2
        path.write_bytes(content[:where] + bytes([content[where] ^ 1]) + content[where + 1 :])
    else:
        path.unlink()
    found = grid.plan(one, store)[0]
    # without its mark a point counts as never finished: that is what the mark is for
    assert found.state == ("missing" if (file, how) == (point.MARK, "gone") else "damaged")
    assert found.state == "missing" or file in found.why
    assert grid.collect(store, one)["state"].tolist()[0] == found.state


def test_a_store_of_a_newer_version_is_not_touched(stored):
    store, one, _ = stored
    (store.folder / "store.json").write_text(json.dumps({"format": point.FORMAT + 1, "book": "9.9"}))
    with pytest.raises(StoreProblem, match="made by a newer version"):
        grid.plan(one, store)
    with pytest.raises(StoreProblem, match="newer"):
        grid.run(one, store)
    with pytest.raises(StoreProblem, match="newer"):
        grid.collect(store)


def test_folders_that_are_no_store_are_refused(tiny):
    one = tiny.sweep(SQUARES)
    with pytest.raises(StoreProblem, match="holds other things"):
        grid.run(one, Store(tiny.folder))
    with pytest.raises(StoreProblem, match="is a file"):
        grid.plan(one, Store(tiny.folder / "tiny.yml"))
    tiny.store.open(create=True)
    (tiny.store.folder / "store.json").write_text("{")
    with pytest.raises(StoreProblem, match=r"store.json is damaged"):
        grid.plan(one, tiny.store)


def test_two_sweeps_may_make_one_store_at_once(tiny, monkeypatch):
    whole = point.atomic

    @contextmanager
    def meanwhile(path):
        with whole(path) as part:
            monkeypatch.setattr(point, "atomic", whole)
            Store(tiny.store.folder).open(create=True)  # while the other one has written half of its first file
            yield part

    monkeypatch.setattr(point, "atomic", meanwhile)
    tiny.store.open(create=True)
    assert states(tiny.store, tiny.sweep(SQUARES)) == ["missing"] * 4


def test_an_older_failure_is_replaced_by_that_of_its_rerun_and_a_newer_result_is_not(tiny):
    tiny.store.open(create=True)
    one = tiny.sweep("grid: {product: {x: [1.0]}}\n")
    code = identity.of_notebook(one.notebook)
    name = fake(tiny.store, one, {"x": 1.0}, "failed")
    seen = point.seal_of(tiny.store.look(name)[0])
    task = Task(str(tiny.store.folder), name, str(one.notebook), {"x": 1.0}, code, 1, seen)
    tiny.store.fail(task, "KilledWorker: too little memory?")
    assert tiny.store.look(name)[0]["error"] == "KilledWorker: too little memory?"
    fake(tiny.store, one, {"x": 1.0})  # another sweep
    tiny.store.fail(task, "KilledWorker: too little memory?")
    assert states(tiny.store, one) == ["done"]


def test_the_claim_of_a_live_process_holds_and_that_of_a_dead_one_does_not(tiny):
    tiny.store.open(create=True)
    hold = f"with Store(Path({str(tiny.store.folder)!r})).claim('p'): print('mine', flush=True); time.sleep(600)"
    code = f"from lib.sweeps.point import *\n{hold}"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "mine\n"
        with tiny.store.claim("p") as mine:
            assert not mine
        with tiny.store.claim("q") as mine:
            assert mine
        holder.kill()
    with tiny.store.claim("p") as mine:
        assert mine


def test_a_writer_that_finds_no_room_leaves_the_store_as_it_was(stored, monkeypatch):
    store, one, _ = stored

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("lib.files.os.replace", full)
        with pytest.raises(StoreFailed, match="No space left on device"):
            fake(store, one, {"x": 2.0})
    assert states(store, one) == ["done", "missing", "missing", "missing"]
    fake(store, one, {"x": 2.0})
    assert states(store, one)[1] == "done"
    assert not list(store.points.glob("*/.part-*"))


# the table


def test_the_table_has_every_point_with_its_parameters_and_error(stored):
    store, one, name = stored
    fake(store, one, {"x": 3.0}, "failed")
    table = grid.collect(store, one)
    assert table["x"].tolist() == [1.0, 1.0, 2.0, 3.0, 4.0]
    assert table["state"].tolist() == ["done", "done", "missing", "failed", "missing"]
    assert table["value"].tolist()[:2] == [1.0, 2.0]
    assert table["value"].isna().tolist() == [False, False, True, True, True]
    failed = table[table["state"] == "failed"].iloc[0]
    assert (failed["error"], failed["traceback"]) == ("ValueError: no", "line 1")
    assert set(grid.collect(store)["point"]) == set(table[table["state"].isin(["done", "failed"])]["point"])
    assert table["point"][0] == name


def test_without_a_sweep_each_point_is_there_once_as_it_was_made_last(stored):
    store, one, name = stored
    older = fake(store, one, {"x": 1.0}, code=Identity("older", {"notebook": "older"}))
    mark = store.look(older)[0]
    mark["date"] = "2000-01-01T00:00:00+00:00"
    with store.claim(older):
        store.put(older, mark, '{"cells": []}', store.numbers(older))
    assert set(grid.collect(store)["point"]) == {name}


def test_what_a_notebook_shows_as_a_result_is_collected_and_what_is_not_finite_is_missing(monkeypatch):
    shown = []
    monkeypatch.setattr(show, "show", lambda mimes, metadata: shown.append(metadata))
    show.result("heights", {"z": [1, float("nan")], "a": np.array([True, 2.5], dtype=object)})
    outputs = json.loads(json.dumps([{"metadata": told} for told in shown], allow_nan=False))
    rows = point.numbers_of({"cells": [{"outputs": outputs}]}).to_pylist()
    assert [(row["source_name"], row["quantity"], row["row"], row["value"]) for row in rows] == [
        ("heights", "z", 0, 1.0), ("heights", "z", 1, None), ("heights", "a", 0, 1.0), ("heights", "a", 1, 2.5),
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"of one length, got \[1, 2\]"):
        show.result("heights", {"z": [1], "a": [1, 2]})


def test_what_is_collected_is_what_the_sweep_asks_for(stored, tiny):
    store, _, _ = stored
    text = "grid: {product: {x: [1.0]}}\n"
    assert grid.collect(store, tiny.sweep(text + "collect: {claims: [c]}\n"))["source_name"].tolist() == ["c", "c"]
    none = grid.collect(store, tiny.sweep(text + "collect: {claims: [other]}\n"))
    assert none["state"].tolist() == ["done"]  # the point is there, its numbers were not asked for
    assert none["value"].isna().all()
    with pytest.raises(SweepError, match="no point shows a table t; there are: none"):
        grid.collect(store, tiny.sweep(text + "collect: {tables: [t]}\n"))


def test_parameters_of_several_types_make_a_column(tiny):
    tiny.store.open(create=True)
    one = tiny.sweep("parameters: {x: 1}\ngrid: {list: [{many: 3}, {many: null}, {kind: b}]}\n")
    for given in one.points:
        fake(tiny.store, one, given)
    table = grid.collect(tiny.store, one).drop_duplicates("point")
    assert table["many"].tolist()[0] == 3
    assert table["many"].isna().tolist() == [False, True, True]
    assert table["kind"].isna().tolist() == [True, True, False]
    assert grid._column([1, "a", None]).to_pylist() == ["1", '"a"', None]


def simulate(folder: Path, count: int) -> tuple[Store, grid.Sweep]:
    """A store with all but every tenth of ``count`` points done, and every hundredth failed."""
    tiny = Tiny(folder)
    side = int(count**0.5)
    one = tiny.sweep(f"grid: {{product: {{x: {[i / 8 for i in range(side)]}, n: {list(range(side))}}}}}\n")
    tiny.store.open(create=True)
    for number, given in enumerate(one.points):
        if number % 10:
            fake(tiny.store, one, given, "failed" if number % 100 == 1 else "done")
    return tiny.store, one


def test_ten_thousand_points_are_planned_and_collected_right(tmp_path, monkeypatch):
    monkeypatch.setattr("lib.files.os.fsync", lambda _: None)  # this many takes minutes, and nothing is killed here
    store, one = simulate(tmp_path, 10_000)
    found = pd.Series(states(store, one)).value_counts().to_dict()
    assert found == {"done": 8900, "failed": 100, "missing": 1000}
    table = grid.collect(store, one)
    assert len(table) == 2 * 8900 + 100 + 1000
    assert table["point"].nunique() == 10_000
    done = table[table["state"] == "done"]
    assert np.array_equal(done["value"], done["x"] + done["row"])
    assert table[["x", "n"]].drop_duplicates().to_numpy().tolist() == [[p["x"], p["n"]] for p in one.points]


# how this machine is divided


def test_cores_are_shared_out_and_not_oversubscribed(monkeypatch):
    monkeypatch.setattr("dask.system.CPU_COUNT", 8)
    monkeypatch.setattr(cluster, "cards", list)
    assert Cluster().sized(100) == cluster.Local(8, 1, (None,) * 8)
    assert Cluster().sized(2) == cluster.Local(2, 4, (None,) * 2)
    assert Cluster(workers=3).sized(100) == cluster.Local(3, 2, (None,) * 3)
    assert Cluster(workers=3, threads=5).sized(100).threads == 5


def test_every_card_gets_as_many_points_as_asked(monkeypatch):
    monkeypatch.setattr("dask.system.CPU_COUNT", 8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    assert Cluster().sized(100) == cluster.Local(2, 4, ("0", "3"))
    assert Cluster(per_card=2).sized(100) == cluster.Local(4, 2, ("0", "3", "0", "3"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert Cluster(workers=1).sized(100).cards == (None,)


# runs


def run(tiny, text, address, **settings):
    said = []
    one = tiny.sweep(text)
    summary = grid.run(one, tiny.store, Cluster(scheduler=address, **settings), tell=said.append)
    return summary, grid.collect(tiny.store, one), "\n".join(said)


def test_a_sweep_runs_every_point_and_a_rerun_none(tiny, address):
    summary, table, _ = run(tiny, SQUARES, address)
    assert (summary.done, summary.failed) == (4, {})
    assert values(table) == truth(GIVEN)
    verdicts = table[table["source"] == "claim"].groupby("n")["verdict"].unique().to_dict()
    assert {n: list(found) for n, found in verdicts.items()} == {0: ["holds"], 3: ["partly"]}
    for name, x in zip(table["point"], table["x"], strict=True):
        assert f"x is {x}" in (tiny.store.points / name / point.NOTEBOOK).read_text()
    assert (table["attempts"] == 1).all()
    again, same, _ = run(tiny, SQUARES, address)
    assert (again.already, again.done) == (4, 0)
    assert same.equals(table)
    assert len(tiny.events("start")) == 4


def test_a_bigger_grid_runs_only_what_is_new(tiny, address):
    run(tiny, SQUARES, address)
    summary, table, _ = run(tiny, SQUARES.replace("[0, 3]", "[0, 3, 5]"), address)
    assert (summary.already, summary.done) == (4, 2)
    assert values(table) == truth([*GIVEN, (1.0, 5), (2.0, 5)])


def test_threads_are_set_for_the_kernel_and_recorded(tiny, address):
    _, table, _ = run(tiny, SQUARES, address, threads=3)
    assert values(table) == truth(GIVEN, threads=3)
    assert set(table["ran_threads"]) == {3}


def test_changed_code_is_run_again(tiny, address):
    run(tiny, SQUARES, address)
    tiny.write("1 + 1\n")
    summary, table, _ = run(tiny, SQUARES, address)
    assert (summary.already, summary.done) == (0, 4)
    assert values(table) == truth(GIVEN)


def test_an_altered_file_is_computed_anew_and_said(tiny, address):
    _, before, _ = run(tiny, SQUARES, address)
    one = tiny.sweep(SQUARES)
    name = grid.plan(one, tiny.store)[2].name
    path = tiny.store.points / name / point.NUMBERS
    path.write_bytes(path.read_bytes()[:100])
    summary, after, said = run(tiny, SQUARES, address)
    assert (summary.already, summary.done) == (3, 1)
    assert f"DAMAGED x=2.0, n=0: {point.NUMBERS} was truncated or altered" in said
    assert values(after) == values(before)
    assert [p.name for p in path.parent.glob("*.damaged-*")] == [f"{point.NUMBERS}.damaged-1"]


FAILING = "grid: {product: {x: [1.0], n: [0, 13, 3]}}\ncollect: {tables: [machine]}\n"


def test_a_raising_cell_is_named_kept_and_leaves_the_others(tiny, address, capsys):
    tiny.yaml(FAILING)
    assert main(tiny.command("--scheduler", address)[3:]) == 1
    shown = capsys.readouterr().out
    assert "x" not in re.findall(r"\] (\w)=.*FAILED ValueError: thirteen was given", shown)
    assert "n=13: FAILED ValueError: thirteen was given" in shown
    assert "3 points: 2 done (0 before, 2 now), 1 failed" in shown
    table = tiny.table()
    assert values(table) == truth([(1.0, 0), (1.0, 3)])
    (failed,) = table[table["state"] == "failed"].to_dict("records")
    assert failed["n"] == 13
    assert failed["error"] == "ValueError: thirteen was given"
    assert 'raise ValueError("thirteen was given")' in failed["traceback"]
    assert "\x1b" not in failed["traceback"]
    (folder,) = re.findall(r"FAILED n=13: ValueError: thirteen was given \((\S+)\)", shown)
    assert folder == f"points/{failed['point']}"
    kept = json.loads((tiny.store.folder / folder / point.NOTEBOOK).read_text())
    outputs = [output for cell in kept["cells"] for output in cell.get("outputs", [])]
    assert {output["output_type"] for output in outputs} == {"stream", "error"}
    assert len([line for line in tiny.events("start") if line[1] == "13"]) == 1  # it would raise again: no second try


def test_a_rerun_tries_what_failed_again(tiny, address):
    run(tiny, FAILING, address)
    summary, _, _ = run(tiny, FAILING, address)
    assert (summary.already, summary.done, len(summary.failed)) == (2, 0, 1)
    assert len([line for line in tiny.events("start") if line[1] == "13"]) == 2


def test_a_worker_with_other_code_refuses(tiny, address, monkeypatch):
    here = identity.of_notebook
    other = lambda path: Identity("elsewhere", {**here(path).parts, "data": "elsewhere"})  # noqa: E731
    monkeypatch.setattr(identity, "of_notebook", other)
    with pytest.raises(RuntimeError, match=r"data on .* is not what the sweep was planned with"):
        run(tiny, SQUARES, address)
    assert not tiny.events("start")


def test_an_unreachable_scheduler_says_what_to_check(tiny):
    tiny.yaml(SQUARES)
    with pytest.raises(ClusterLost, match=r"no Dask scheduler answers at tcp://127.0.0.1:1 within 1 s .*Check that"):
        grid.run(tiny.sweep(SQUARES), tiny.store, Cluster("tcp://127.0.0.1:1", timeout=1.0), tell=str)
    assert Cluster("tcp://127.0.0.1:1").timeout <= 15


def test_what_is_no_scheduler_is_no_scheduler(tiny):
    """A web server, as Dask's own dashboard is one: its answer, read as Dask's, asks for exabytes of memory."""
    page = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            with server.accept()[0] as caller:
                caller.sendall(page)
                caller.recv(1000)

        threading.Thread(target=answer, daemon=True).start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        begun = time.monotonic()
        with pytest.raises(ClusterLost, match=r"no Dask scheduler answers .*8787 is its dashboard"):
            grid.run(tiny.sweep(SQUARES), tiny.store, Cluster(address, timeout=5.0), tell=str)
        assert time.monotonic() - begun < 15


@contextmanager
def small_disk(folder: Path, size: str):
    """A file system of its own that is soon full; skipped where that is not allowed."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs is not permitted")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_said_the_store_stays_readable_and_a_rerun_completes(tiny, address):
    _, undisturbed, _ = run(tiny, SQUARES, address)
    disk = tiny.folder / "disk"
    with small_disk(disk, "96k"):
        tiny.store = Store(disk / "store")
        ballast = disk / "ballast"
        tiny.store.open(create=True)
        ballast.write_bytes(bytes(40 * 1024))
        with pytest.raises(StoreFailed, match=r"No space left on device.*make room, and the same command goes on"):
            run(tiny, SQUARES, address)
        one = tiny.sweep(SQUARES)
        before = grid.collect(tiny.store, one)
        assert set(before["state"]) <= {"done", "missing"}
        assert "missing" in set(before["state"])
        ballast.unlink()
        summary, after, _ = run(tiny, SQUARES, address)
        assert summary.already == before[before["state"] == "done"]["point"].nunique()
        assert values(after) == values(undisturbed)
        assert not list(disk.rglob(".part-*"))


# killed in mid-run; each with a machine's own processes


SLOW = "parameters: {pause: 1.0}\ngrid: {product: {x: [1.0, 2.0, 3.0], n: [0, 3]}}\ncollect: {tables: [machine]}\n"
SLOW_GIVEN = [(x, n) for x in (1.0, 2.0, 3.0) for n in (0, 3)]


def running(tiny) -> list[tuple[int, int]]:
    """Kernels in mid-point, and their workers."""
    ended = {line[3] for line in tiny.events("end")}
    return [(int(line[3]), int(line[4])) for line in tiny.events("start") if line[3] not in ended]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def check_whole(tiny, again):
    """The table of a disturbed sweep after its rerun: every point once, the numbers those of the formulas."""
    assert again.returncode == 0, again.stdout + again.stderr
    table = tiny.table()
    assert set(table["state"]) == {"done"}
    assert len(table.drop_duplicates(["x", "n"])) == len(table.drop_duplicates("point")) == len(SLOW_GIVEN)
    assert values(table) == truth(SLOW_GIVEN)


@pytest.mark.slow
def test_a_killed_kernel_is_started_again(tiny):
    tiny.yaml(SLOW)
    with tiny.start("--workers", "2", "--threads", "1") as process:
        wait_for(lambda: tiny.events("end") and running(tiny), "a point in mid-run")
        os.kill(running(tiny)[0][0], signal.SIGKILL)
        shown, errors = process.communicate()
    assert process.returncode == 0, shown + errors
    assert "6 points: 6 done (0 before, 6 now), 0 failed" in shown
    assert tiny.table().drop_duplicates("point")["attempts"].value_counts().to_dict() == {1: 5, 2: 1}
    ends = len(tiny.events("end"))
    again = tiny.go()
    check_whole(tiny, again)
    assert "(6 before, 0 now)" in again.stdout
    assert len(tiny.events("end")) == ends == 6


@pytest.mark.slow
def test_a_kernel_that_always_dies_is_a_failure_after_its_retries(tiny, address):
    tiny.write("import signal\nif n == 3: os.kill(os.getpid(), signal.SIGKILL)\n")
    summary, table, _ = run(tiny, "grid: {product: {n: [0, 3]}, list: [{x: 1.0}]}\n", address)
    assert summary.done == 1
    (error,) = summary.failed.values()
    assert "the kernel died 3 times" in error
    assert len([line for line in tiny.events("start") if line[1] == "3"]) == 3
    assert table.loc[table["n"] == 3, "state"].tolist() == ["failed"]


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(tiny):
    tiny.yaml(SLOW)
    with tiny.start("--workers", "2", "--threads", "1") as process:
        wait_for(lambda: tiny.events("end") and running(tiny), "a point in mid-run")
        kernel, worker = running(tiny)[0]
        os.kill(worker, signal.SIGKILL)
        shown, errors = process.communicate()
    assert process.returncode == 0, shown + errors
    assert "6 points: 6 done (0 before, 6 now), 0 failed" in shown
    wait_for(lambda: not alive(kernel), "the kernel of the dead worker to end", 30)
    again = tiny.go()
    check_whole(tiny, again)
    assert "(6 before, 0 now)" in again.stdout


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was(tiny):
    tiny.yaml(SLOW)
    with tiny.start("--workers", "2", "--threads", "1") as process:
        wait_for(lambda: len(tiny.events("end")) >= 2 and running(tiny), "a point in mid-run")
        left = running(tiny)
        process.kill()
        process.wait()
    wait_for(lambda: not any(alive(one) for pair in left for one in pair), "workers and kernels to end", 30)
    done = [point for point in grid.plan(tiny.sweep(SLOW), tiny.store) if point.state == "done"]
    assert 1 <= len(done) < 6
    again = tiny.go("--workers", "2", "--threads", "1")
    check_whole(tiny, again)
    assert f"({len(done)} before, {6 - len(done)} now)" in again.stdout


@pytest.mark.slow
def test_a_point_that_kills_its_workers_fails_and_the_others_are_done(tiny):
    """Not the points that waited for the worker that died."""
    tiny.write("import signal\nif n == 3: time.sleep(3); os.kill(os.getppid(), signal.SIGKILL); time.sleep(600)\n")
    tiny.yaml("grid: {product: {n: [3, 0, 1, 2]}, list: [{x: 1.0}]}\ncollect: {tables: [machine]}\n")
    done = tiny.go("--workers", "1", "--threads", "1")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "4 points: 3 done (0 before, 3 now), 1 failed" in done.stdout
    table = tiny.table()
    assert values(table) == truth([(1.0, 0), (1.0, 1), (1.0, 2)])
    (error,) = table.loc[table["n"] == 3, "error"]
    assert error.startswith("KilledWorker: every worker that ran this point died")


@pytest.mark.slow
def test_an_interrupt_is_a_sentence_and_no_failure_of_a_point(tiny):
    tiny.yaml(SLOW)
    # A test run in the background may have been told to ignore interrupts, and would pass that on.
    heed = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", heed, *tiny.command("--workers", "2", "--threads", "1")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        wait_for(lambda: tiny.events("end") and running(tiny), "a point in mid-run")
        left = running(tiny)
        os.killpg(process.pid, signal.SIGINT)  # what a terminal does
        _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "The same command goes on" in errors
    assert "Traceback" not in errors
    wait_for(lambda: not any(alive(one) for pair in left for one in pair), "workers and kernels to end", 30)
    assert {point.state for point in grid.plan(tiny.sweep(SLOW), tiny.store)} == {"done", "missing"}
    check_whole(tiny, tiny.go())


@contextmanager
def dask_processes(folder: Path):
    """A scheduler and two workers as one would start them by hand: the address and the scheduler's process."""
    file, processes = folder / f"scheduler-{time.monotonic_ns()}.json", []
    quiet = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [BIN / "dask", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    try:
        processes.append(subprocess.Popen([*command, "--scheduler-file", file], **quiet))
        wait_for(file.exists, "the scheduler")
        address = json.loads(file.read_text())["address"]
        worker = [BIN / "dask", "worker", address, "--nthreads", "1", "--no-dashboard", "--memory-limit", "0"]
        processes += [subprocess.Popen([*worker, "--local-directory", folder], **quiet) for _ in range(2)]
        yield address, processes[0]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


@pytest.mark.slow
def test_a_real_scheduler_gives_the_same_as_local_and_its_death_loses_nothing(tiny, tmp_path):
    tiny.yaml(SLOW)
    with dask_processes(tmp_path) as (address, scheduler), tiny.start("--scheduler", address) as process:
        wait_for(lambda: len(tiny.events("end")) >= 2 and running(tiny), "a point in mid-run")
        scheduler.kill()
        shown, errors = process.communicate(timeout=120)
        assert process.returncode == 1, shown + errors
        assert "the scheduler went away" in errors
    done = [point for point in grid.plan(tiny.sweep(SLOW), tiny.store) if point.state == "done"]
    assert 1 <= len(done) < 6
    with dask_processes(tmp_path) as (address, _):
        again = tiny.go("--scheduler", address)
        assert f"workers of {address}: " in again.stdout
    check_whole(tiny, again)
    workers = {line[4] for line in tiny.events("end")}
    assert str(os.getpid()) not in workers
    remote = values(tiny.table())
    tiny.store = Store(tmp_path / "local")
    local = tiny.go("--workers", "2", "--threads", "1")
    check_whole(tiny, local)
    assert values(tiny.table()) == remote


@pytest.mark.slow
def test_two_sweeps_on_one_store_run_each_point_once(tiny):
    tiny.yaml(SLOW)
    with tiny.start("--workers", "1", "--threads", "1") as one, tiny.start("--workers", "1", "--threads", "1") as other:
        shown = [process.communicate()[0] for process in (one, other)]
    assert [one.returncode, other.returncode] == [0, 0], shown
    assert sorted((float(line[0]), int(line[1])) for line in tiny.events("start")) == SLOW_GIVEN
    now = [int(re.search(r"(\d+) now", text)[1]) for text in shown]
    assert sum(now) == 6
    assert min(now) > 0  # they shared the work
    check_whole(tiny, tiny.go())


@pytest.mark.slow
def test_each_worker_sees_its_own_card(tiny):
    tiny.write(
        'display({"text/plain": ""}, raw=True, metadata={"clean-priority-result": '
        '{"name": "card", "columns": [["card", [float(os.environ["CUDA_VISIBLE_DEVICES"])]]]}})\n'
    )
    tiny.yaml(SLOW.replace("machine", "card"))
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "2,5"}
    done = subprocess.run(tiny.command(), cwd=ROOT, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert "workers on this machine: 2; threads of each: 1; cards: 2, 5" in done.stdout
    table = tiny.table()
    assert set(table.loc[table["source_name"] == "card", "value"]) == {2.0, 5.0}
    assert table["ran_on"].str.match("card [25]|NVIDIA").all()


@pytest.mark.parametrize(
    ("room", "without"),
    [
        ("sweeps.grid", ("dask", "distributed", "papermill")),
        ("sweeps.point", ("dask", "distributed", "papermill", "torch")),
    ],
)
def test_nothing_is_imported_before_it_is_needed(room, without):
    code = f"import sys, lib.{room}; print([m for m in sys.modules if m.split('.')[0] in {without}])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_without_dask_a_sweep_can_be_planned_and_says_what_to_install(tiny, monkeypatch):
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    one = tiny.sweep(SQUARES)
    assert states(tiny.store, one) == ["missing"] * 4
    with pytest.raises(RuntimeError, match=r"sweeps need Dask: pip install -e '.\[sweep\]'"):
        grid.run(one, tiny.store)


# to look at


def published(stored, tiny, figure: str = "") -> sweeps_page.Collected:
    store, one, _ = stored
    fake(store, one, {"x": 3.0}, "failed")
    fake(store, one, {"x": 2.0})
    one = tiny.sweep(f"title: Some squares\ngrid: {{product: {{x: [1.0, 2.0, 3.0, 4.0]}}}}\n{figure}")
    grid.write_table(grid.collect_table(store, one), tiny.folder / "made.parquet", one)
    return sweeps_page.read(tiny.folder / "made.parquet")


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
    grid.write_table(grid.collect_table(tiny.store, one), tiny.folder / "made.parquet", one)
    drawn = sweeps_page.draw(sweeps_page.read(tiny.folder / "made.parquet"))
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
    code = identity.of_notebook(tiny.folder / "tiny.ipynb").id
    assert f"; code {code} (today's code).*" in sweeps_page.page([made], tiny.folder / "pictures")
    tiny.write("1 + 1\n")
    assert f"; code {code} (older code).*" in sweeps_page.page([made], tiny.folder / "pictures")


def test_a_notebook_that_is_no_chapter_has_no_link(tiny):
    one = grid.load(grid.find("two_gradients"))
    grid.write_table(grid.collect_table(tiny.store, one), tiny.folder / "made.parquet", one)
    made = sweeps_page.read(tiny.folder / "made.parquet")
    assert made.notebook == "sweeps/single_mix"
    assert "36 points of `notebooks/sweeps/single_mix.ipynb`; not run yet" in sweeps_page.page(
        [replace(made, figure={})], tiny.folder / "pictures"
    )


def test_what_is_no_collected_table_is_refused(tiny):
    pd.DataFrame({"a": [1]}).to_parquet(tiny.folder / "other.parquet")
    with pytest.raises(ValueError, match=r"other.parquet is no collected table \(KeyError\)"):
        sweeps_page.read(tiny.folder / "other.parquet")


@pytest.mark.parametrize("path", sorted(SWEEPS.glob("*.parquet")), ids=lambda path: path.stem)
def test_published_tables_are_whole(path):
    one = sweeps_page.read(path)
    assert one.points["state"].isin(["done", "failed"]).all()
    assert one.name == path.stem in grid.names()
    assert not one.figure or sweeps_page.plt.close(sweeps_page.draw(one)) is None


# clusters of others, as the chapter says to start them


def documented(word: str) -> str:
    """The code block of the chapter that has this word."""
    text = re.sub(r"(?m)^# ?", "", (ROOT / "notebooks" / "16_running_sweeps.py").read_text())
    (found,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if word in block]
    return found


def test_the_documented_slurm_cluster_asks_for_what_it_says():
    jobqueue = pytest.importorskip("dask_jobqueue")
    code = documented("SLURMCluster").replace(
        '{"port": 8786}', '{"port": 0, "host": "127.0.0.1", "dashboard_address": ":0"}'
    )
    asked = []

    class Cluster(jobqueue.SLURMCluster):
        def adapt(self, **how):  # sbatch is not here
            asked.append(how)

    jobqueue_names = {"SLURMCluster": Cluster}
    exec(code.replace("from dask_jobqueue import SLURMCluster", ""), jobqueue_names)
    with jobqueue_names["cluster"] as made:
        script = made.job_script()
    for line in ("#SBATCH --cpus-per-task=8", "#SBATCH -t 04:00:00", "#SBATCH --gres=gpu:1", "--nthreads 1"):
        assert line in script
    assert asked == [{"maximum_jobs": 32}]


def test_the_documented_kubernetes_cluster_mounts_the_data():
    pytest.importorskip("dask_kubernetes.operator")
    code = documented("KubeCluster")
    names: dict = {}
    exec(code[: code.index("cluster = KubeCluster")], names)
    worker = names["spec"]["spec"]["worker"]["spec"]
    assert names["spec"]["spec"]["worker"]["replicas"] == 16
    (container,) = worker["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["volumeMounts"] == [{"name": "data", "mountPath": "/data"}]
    assert {"name": "CLEAN_PRIORITY_DATA", "value": "/data"} in container["env"]
    assert container["args"][:4] == ["dask", "worker", "--nthreads", "1"]


def test_a_cluster_of_ones_own_that_lost_its_workers_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 0.1)

    class Nothing:
        workers: ClassVar[dict] = {}

        def is_empty(self):
            return False

        def has_ready(self):
            return False

        def scheduler_info(self, n_workers):
            return {"workers": self.workers}

    with pytest.raises(ClusterLost, match="no worker is left on this machine"):
        next(cluster._watched(Nothing(), Nothing(), local=True))
