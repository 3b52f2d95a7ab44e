"""A notebook executed in a kernel of its own: what it is given, what it says, what it leaves alone."""

import os
from pathlib import Path

import nbformat
import pytest

from lib.press.chapters import PAPERMILL_CELL
from lib.press.execute import cells_seconds, execute_notebook, prepared

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python"}}


def notebook(folder: Path, *sources: str) -> Path:
    """A file of code cells, the first of them the parameters."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[0].metadata["tags"] = ["parameters"]
    cells[0].outputs = [nbformat.v4.new_output("stream", text="of an earlier run")]
    nbformat.write(nbformat.v4.new_notebook(metadata=KERNEL, cells=cells), folder / "one.ipynb")
    return folder / "one.ipynb"


def printed(node) -> str:
    return "".join(output.get("text", "") for cell in node.cells for output in cell.get("outputs", []))


def test_values_stand_in_a_cell_after_the_parameters_and_old_outputs_are_gone(tmp_path):
    node = prepared(notebook(tmp_path, "x = 1", "print(x)"), {"x": 2.5, "many": None})
    assert [cell.metadata.get("tags") for cell in node.cells] == [["parameters"], ["injected-parameters"], []]
    assert node.cells[1].source.startswith(PAPERMILL_CELL)
    assert printed(node) == ""
    assert execute_notebook(node, folder=tmp_path) is None
    assert printed(node) == "2.5\n"


def test_nothing_given_leaves_the_notebook_as_it_is(tmp_path):
    node = prepared(notebook(tmp_path, "x = 1", "print(x)"), {})
    assert len(node.cells) == 2
    execute_notebook(node, folder=tmp_path)
    assert printed(node) == "1\n"
    assert not any("execution" in cell.metadata for cell in node.cells)  # the same each time it is run


def test_a_kernel_has_its_own_folder_and_environment_and_the_process_keeps_its(tmp_path, monkeypatch):
    monkeypatch.setenv("SHADE", "here")
    before = os.getcwd(), dict(os.environ)
    node = prepared(notebook(tmp_path, "import os", "print(os.getcwd(), os.environ.get('SHADE'))"), {})
    (tmp_path / "inside").mkdir()
    execute_notebook(node, folder=tmp_path / "inside", env=os.environ | {"SHADE": "there"})
    assert printed(node) == f"{tmp_path / 'inside'} there\n"
    execute_notebook(node, folder=tmp_path)
    assert printed(node) == f"{tmp_path} here\n"
    assert (os.getcwd(), dict(os.environ)) == before


def test_a_cell_that_raises_ends_it_and_is_told_without_colours(tmp_path):
    raised = execute_notebook(prepared(notebook(tmp_path, "x = 1", "print(x)\n1 / 0", "print(2)"), {}), folder=tmp_path)
    assert (raised.name, raised.value, str(raised)) == (
        "ZeroDivisionError", "division by zero", "ZeroDivisionError: division by zero",
    )  # fmt: skip
    assert "1 / 0" in raised.traceback
    assert "\x1b" not in raised.traceback


def test_a_cell_that_may_raise_and_one_that_ends_the_notebook_are_no_errors(tmp_path):
    node = prepared(notebook(tmp_path, "1 / 0", "print(1)\nimport sys\nsys.exit(0)", "print(2)"), {})
    node.cells[0].metadata["tags"] += ["raises-exception"]
    assert execute_notebook(node, folder=tmp_path) is None
    assert printed(node).startswith("1\n")
    assert "2\n" not in printed(node)
    raised = execute_notebook(prepared(notebook(tmp_path, "import sys; sys.exit(3)"), {}), folder=tmp_path)
    assert str(raised) == "SystemExit: 3"


def test_seconds_are_those_of_cells(tmp_path):
    node = prepared(notebook(tmp_path, "import time", "time.sleep(0.5)", "print(1)"), {})
    assert cells_seconds(node) == 0
    execute_notebook(node, folder=tmp_path, timed=True)
    assert cells_seconds(node) >= 0.5
    node.cells[1].metadata["execution"] = {
        "iopub.execute_input": "2026-01-01T00:00:01.000000Z", "shell.execute_reply": "2026-01-01T00:01:01.500000Z",
    }  # fmt: skip
    del node.cells[0].metadata["execution"], node.cells[2].metadata["execution"]
    assert cells_seconds(node) == 60.5


def test_a_bar_counts_cells(tmp_path, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    counted = []

    def counting(cells, description, unit, show):
        for cell in cells:
            counted.append((cell, description, unit, show))
            yield cell

    monkeypatch.setattr("lib.press.execute.bar", counting)
    execute_notebook(prepared(notebook(tmp_path, "1", "2"), {}), folder=tmp_path, progress="one")
    assert counted == [(0, "one", "cell", True), (1, "one", "cell", True)]


def test_a_kernel_that_dies_is_a_runtime_error(tmp_path):
    node = prepared(notebook(tmp_path, "import os", "os._exit(1)"), {})
    with pytest.raises(RuntimeError, match="Kernel died"):
        execute_notebook(node, folder=tmp_path)
