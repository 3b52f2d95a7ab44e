"""A sweep from the command line."""

import json
import re

from lib.__main__ import main
from lib.sweeps.grid import load_sweep
from lib.sweeps.store import NOTEBOOK
from tests.sweeps.tiny import FAILING, SQUARES, truth, values


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
