"""A sweep from the command line."""

import json
import re

import pandas as pd

from lib.__main__ import main
from lib.sweeps import command, run
from lib.sweeps.command import sweep_command
from lib.sweeps.grid import load_sweep, sweep_names
from lib.sweeps.store import NOTEBOOK
from tests.sweeps.tiny import FAILING, SQUARES, fake, truth, values


def test_a_point_in_the_grid_twice_is_run_once_and_said(tiny, capsys):
    path = tiny.yaml("grid: {list: [{x: 1}, {x: 2}, {x: 1}]}\n")
    assert [point["x"] for point in load_sweep(path).points] == [1, 2]
    assert main(["sweep", str(path), "--plan", "--store", str(tiny.store.folder)]) == 0
    shown = capsys.readouterr().out
    assert "1 that stood in the grid more than once" in shown
    assert "2 would run; 2 missing" in shown


def test_mistakes_on_the_command_line_get_a_line(tiny, capsys):
    path = str(tiny.yaml(SQUARES))
    for arguments, message in (
        (["sweep", "nosuch"], "unknown sweep 'nosuch'; there are: "),
        (["sweep", path, "--scheduler", "tcp://127.0.0.1:1", "--workers", "2"], "the scheduler has its own workers"),
        (["sweep", path, "--retries", "-1"], "retries must be 0 or more"),
    ):
        assert main(arguments) == 1
        assert message in capsys.readouterr().err
    assert main(["sweep", path, "--workers", "0"]) == 2
    assert "'--workers': 0 is not in the range x>=1" in capsys.readouterr().err


def test_the_help_explains_grid_store_and_cluster(capsys):
    assert main(["sweep", "--help"]) == 0
    shown = capsys.readouterr().out
    for word in ("product:", "zip:", "list:", "seeds:", "--plan", "--scheduler", "Exit status", "go", "examples:"):
        assert word in shown


def test_without_a_name_the_books_sweeps_are_listed():
    said = []
    assert sweep_command(tell=said.append) == 0
    assert [line.partition(":")[0] for line in said] == sweep_names()
    assert all(re.search(r": \d+ points of \w+\. \w", line) for line in said)


def test_a_whole_sweep_is_collected_and_published_without_running_anything(tiny, monkeypatch):
    monkeypatch.setattr(command, "SWEEPS", tiny.folder / "book")
    monkeypatch.setattr(run, "connected", None)  # nothing is to be run
    path = tiny.yaml("grid: {product: {x: [1.0, 2.0]}}\n")
    tiny.store.open(create=True)
    for given in load_sweep(path).points:
        fake(tiny.store, load_sweep(path), given)
    said, own = [], tiny.folder / "own.parquet"
    where = {"store": tiny.store.folder, "table": own, "publish": True}
    assert sweep_command(str(path), **where, tell=said.append) == 0
    assert pd.read_parquet(own)["value"].tolist() == [1.0, 2.0, 2.0, 3.0]
    assert (tiny.folder / "book" / "tiny.parquet").read_bytes() == own.read_bytes()
    assert "2 points: 2 done (2 before, 0 now), 0 failed" in "\n".join(said)
    assert f"table: {own} (4 rows)" in said[-1]


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
    kept = json.loads((tiny.store.folder / folder / NOTEBOOK).read_text(encoding="utf-8"))
    outputs = [output for cell in kept["cells"] for output in cell.get("outputs", [])]
    assert {output["output_type"] for output in outputs} == {"stream", "error"}
    assert len([line for line in tiny.events("start") if line[1] == "13"]) == 1  # it would raise again: no second try
