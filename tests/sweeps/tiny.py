"""A notebook of three cells that several tests of sweeps run."""

import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd
import pyarrow as pa

from lib.identity import Identity
from lib.paths import ROOT
from lib.sweeps.cluster import Cluster
from lib.sweeps.code import code_of_notebook
from lib.sweeps.grid import Sweep, load_sweep
from lib.sweeps.point import PointTask, _mark
from lib.sweeps.run import plan_sweep, run_sweep
from lib.sweeps.store import ROWS, PointStore, point_name
from lib.sweeps.table import collect

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
claim = dict.fromkeys(["chapter", "profile", "says", "source", "figure"], "")
part = {{"says": "never beyond 0", "edges": [None, 0.0], "by": "always"}}
parts = [["one", part | {{"effect": [0.0, 0.0]}}], ["other", part | {{"effect": [0.0, abs(n)]}}]]
claim |= {{"id": "squares", "parts": parts, "seeds": 2, "live": True, "each": "seed"}}
claim |= {{"measured": [["square", [x * x, x * x + n]], ["cube", [x**3, n]]]}}
display({{"text/plain": "claim"}}, raw=True, metadata={{"clean-priority-claim": claim}})
told = {{"name": "machine", "columns": [["threads", [int(os.environ["OMP_NUM_THREADS"])]]]}}
display({{"text/plain": "table"}}, raw=True, metadata={{"clean-priority-result": told}})
with events.open("a") as file:
    file.write(f"{{x}} {{n}} end {{os.getpid()}} {{os.getppid()}}\\n")
"""

# Sweeps of it: of four points, with one that fails, and of six that take a second each.
SQUARES = "grid: {product: {x: [1.0, 2.0], n: [0, 3]}}\ncollect: {tables: [machine]}\n"
GIVEN = [(1.0, 0), (1.0, 3), (2.0, 0), (2.0, 3)]
FAILING = "grid: {product: {x: [1.0], n: [0, 13, 3]}}\ncollect: {tables: [machine]}\n"
SLOW = "parameters: {pause: 1.0}\ngrid: {product: {x: [1.0, 2.0, 3.0], n: [0, 3]}}\ncollect: {tables: [machine]}\n"


class Tiny:
    """A notebook of three cells, a sweep of it, and what its kernels did."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.events_file = folder, folder / "events.txt"
        self.store = PointStore(folder / "store")
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
        path.write_text("notebook: tiny.ipynb\n" + text, encoding="utf-8")
        return path

    def sweep(self, text: str) -> Sweep:
        return load_sweep(self.yaml(text))

    def events(self, what: str) -> list[list[str]]:
        lines = self.events_file.read_text(encoding="utf-8").splitlines() if self.events_file.exists() else []
        return [line.split() for line in lines if line.split()[2] == what]

    def command(self, *arguments: str) -> list[str]:
        where = ["--store", str(self.store.folder)]
        return [sys.executable, "-m", "lib", "sweep", str(self.folder / "tiny.yml"), *where, *arguments]

    def start(self, *arguments: str) -> subprocess.Popen:
        command = self.command(*arguments)
        return subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def go(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(self.command(*arguments), cwd=ROOT, capture_output=True, text=True, encoding="utf-8")

    def table(self) -> pd.DataFrame:
        return pd.read_parquet(self.store.folder / "table.parquet")


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


def fake(store: PointStore, one: Sweep, given: dict, state: str = "done", code: Identity | None = None) -> str:
    """Put a point into the store as a worker would, without running anything."""
    code = code or code_of_notebook(one.notebook)
    name = point_name(one.notebook, given, code)
    task = PointTask(store.folder, name, one.notebook, given, code, 1)
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
    numbers = pa.Table.from_pylist(rows if state == "done" else [], schema=ROWS)
    error = {"error": "ValueError: no", "traceback": "line 1"} if state == "failed" else {}
    with store.claim(name) as mine:
        assert mine
        store.put(name, _mark(task, state, **error), '{"cells": []}', numbers)
    return name


def states(store, one):
    return [point.state for point in plan_sweep(one, store)]


def simulate(folder: Path, count: int) -> tuple[PointStore, Sweep]:
    """A store with all but every tenth of ``count`` points done, and every hundredth failed."""
    tiny = Tiny(folder)
    side = int(count**0.5)
    one = tiny.sweep(f"grid: {{product: {{x: {[i / 8 for i in range(side)]}, n: {list(range(side))}}}}}\n")
    tiny.store.open(create=True)
    code = code_of_notebook(one.notebook)
    for number, given in enumerate(one.points):
        if number % 10:
            fake(tiny.store, one, given, "failed" if number % 100 == 1 else "done", code)
    return tiny.store, one


def run(tiny, text, address, **settings):
    said = []
    one = tiny.sweep(text)
    summary = run_sweep(one, tiny.store, Cluster(scheduler=address, **settings), tell=said.append)
    return summary, frame(tiny.store, one), "\n".join(said)


def frame(store: PointStore, one: Sweep | None = None) -> pd.DataFrame:
    return collect(store, one).to_pandas()
