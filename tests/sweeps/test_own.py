"""Sweeps of notebooks that people bring: plain, with magics, computed defaults, other kernels, strange places."""

import json
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from lib.__main__ import main
from lib.press.execute import NoKernel, cells_seconds, kernel_of, prepared
from lib.press.parameters import ParameterError
from lib.sweeps.code import code_of_notebook
from lib.sweeps.grid import SweepError, load_sweep
from lib.sweeps.run import plan_sweep
from lib.sweeps.store import PointStore
from tests.sweeps.tiny import KERNEL

GRID = "grid:\n  product: {alpha: [0.25, 0.5]}\n"
TABLE = "import pandas as pd\npd.DataFrame({'v': [alpha]})"


def own(folder: Path, parameters: str, *cells: str, grid: str = GRID, metadata: dict | None = None) -> Path:
    """The YAML of a sweep of a notebook with these cells."""
    folder.mkdir(parents=True, exist_ok=True)
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    made = [first, *map(nbformat.v4.new_code_cell, cells or [TABLE])]
    nbformat.write(
        nbformat.v4.new_notebook(metadata=KERNEL if metadata is None else metadata, cells=made), folder / "own.ipynb"
    )
    (folder / "own.yml").write_text(f"notebook: own.ipynb\n{grid}", encoding="utf-8")
    return folder / "own.yml"


def go(path: Path, *arguments: str) -> int:
    return main(["sweep", str(path), "--store", str(path.parent / "store"), *arguments])


def numbers(path: Path) -> list[tuple]:
    table = pd.read_parquet(path.parent / "store" / "table.parquet")
    return list(zip(table["alpha"], table["source_name"], table["quantity"], table["value"], strict=True))


FORMS = (
    "alpha = 0.1",
    "%matplotlib inline\nalpha: float = 0.1",
    "alpha: float = 1/10",
    "alpha: float",
    "alpha: Rate = 1",
)


@pytest.mark.parametrize("parameters", FORMS)
def test_any_form_of_papermill_is_planned(tmp_path, parameters, capsys):
    assert go(own(tmp_path, parameters), "--plan") == 0
    shown = capsys.readouterr()
    assert "2 would run; 2 missing" in shown.out
    assert shown.err == ""
    said = {0: "type is that of the default: alpha: number", 4: "not known here, and not fully checked: alpha: Rate"}
    number = FORMS.index(parameters)
    assert shown.out.count("alpha: ") == (number in said)
    assert said.get(number, "") in shown.out


@pytest.mark.parametrize("parameters", FORMS[:3])
def test_any_form_of_papermill_is_run(tmp_path, parameters, address, capsys):
    """In a folder with a blank and letters of other alphabets, from anywhere."""
    path = own(tmp_path / "mes données 数据", parameters)
    assert go(path, "--scheduler", address) == 0, capsys.readouterr()
    assert numbers(path) == [(0.25, "table 1", "v", 0.25), (0.5, "table 1", "v", 0.5)]


def test_a_parameter_without_default_must_be_given(tmp_path):
    path = own(tmp_path, "alpha: float = 1.0\nbeta: int\ngamma: int")
    with pytest.raises(
        ParameterError, match=r"own: beta, gamma has no default, and a point of the sweep gives it none|no value"
    ):
        load_sweep(path)


def test_what_is_glued_and_shown_is_collected_without_asking(tmp_path, address, capsys):
    glue = (
        "display({'application/scrapbook.scrap.json+json': {'name': 'score', 'data': alpha * 2, "
        "'encoder': 'json', 'version': 1}}, raw=True)"
    )
    path = own(tmp_path, "alpha = 0.1", TABLE, glue)
    assert go(path, "--scheduler", address) == 0, capsys.readouterr()
    assert {found[1:3] for found in numbers(path)} == {("table 1", "v"), ("score", "value")}
    for told, expected in (("{tables: false}", {"score"}), ("{glue: [score], tables: []}", {"score"})):
        path.write_text(f"notebook: own.ipynb\n{GRID}collect: {told}\n", encoding="utf-8")
        assert go(path, "--scheduler", "tcp://127.0.0.1:1") == 0
        assert {found[1] for found in numbers(path)} == expected
    path.write_text(f"notebook: own.ipynb\n{GRID}collect: {{glue: [scores]}}\n", encoding="utf-8")
    assert go(path) == 1
    assert "no point shows a glue scores; there are: score" in capsys.readouterr().err


def test_a_sweep_that_collects_nothing_says_so_before_and_after(tmp_path, address, capsys):
    path = own(tmp_path, "alpha = 0.1", "print(alpha)")
    assert go(path, "--plan") == 0
    assert "this sweep will collect nothing: own shows no claim" in capsys.readouterr().out
    assert go(path, "--scheduler", address) == 0
    assert "NOTHING COLLECTED" in capsys.readouterr().out
    path.write_text(
        f"notebook: own.ipynb\n{GRID}collect: {{claims: false, tables: [], glue: false}}\n", encoding="utf-8"
    )
    assert go(path, "--plan") == 0
    assert "this sweep collects nothing: its collect leaves out" in capsys.readouterr().out


def test_a_kernel_works_beside_its_notebook_or_where_cwd_says(tmp_path, address, capsys):
    (tmp_path / "own folder").mkdir()
    (tmp_path / "own folder" / "number.txt").write_text("7", encoding="utf-8")
    (tmp_path / "number.txt").write_text("5", encoding="utf-8")
    read = "from pathlib import Path\nimport pandas as pd\npd.Series([float(Path('number.txt').read_text())], name='v')"
    path = own(tmp_path, "alpha = 0.1", read)
    assert go(path, "--scheduler", address) == 0, capsys.readouterr()
    assert {found[3] for found in numbers(path)} == {5.0}
    path.write_text(f"notebook: own.ipynb\ncwd: own folder\n{GRID}", encoding="utf-8")
    assert go(path, "--scheduler", address) == 0, capsys.readouterr()
    assert {found[3] for found in numbers(path)} == {7.0}
    path.write_text(f"notebook: own.ipynb\ncwd: nowhere\n{GRID}", encoding="utf-8")
    with pytest.raises(SweepError, match="cwd is no folder"):
        load_sweep(path)


def test_modules_beside_a_notebook_are_part_of_its_code(tmp_path):
    path = own(tmp_path, "alpha = 0.1", "import helper\nfrom tools import a\nimport json")
    (tmp_path / "tools").mkdir()
    (tmp_path / "helper.py").write_text("from . import deeper\nimport deep\n", encoding="utf-8")
    for name in ("deep.py", "tools/__init__.py", "tools/b.py", "json.txt", "other.py"):
        (tmp_path / name).write_text("x = 1\n", encoding="utf-8")
    before = code_of_notebook(tmp_path / "own.ipynb")
    assert {part for part in before.parts if part[:2] == "./"} == {
        "./helper.py", "./deep.py", "./tools/__init__.py", "./tools/b.py",
    }  # fmt: skip
    store = PointStore(tmp_path / "store").open(create=True)
    one = load_sweep(path)
    (tmp_path / "other.py").write_text("x = 2\n", encoding="utf-8")
    assert code_of_notebook(tmp_path / "own.ipynb") == before
    from tests.sweeps.tiny import fake

    fake(store, one, {"alpha": 0.25} | {"x": 1}, code=before)
    (tmp_path / "deep.py").write_text("x = 2\n", encoding="utf-8")
    assert code_of_notebook(tmp_path / "own.ipynb").differing(before.parts) == ["./deep.py"]
    assert plan_sweep(one, store)[0].state == "missing"


SHELL = """\
import subprocess
from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel


class Shell(Kernel):
    implementation, implementation_version, banner = "shell", "1", "a shell"
    language_info = {"name": "bash", "mimetype": "text/x-sh", "file_extension": ".sh"}
    told = ""

    def do_execute(self, code, silent, store_history=True, user_expressions=None, allow_stdin=False):
        self.told += code + "\\n"
        done = subprocess.run(["bash", "-c", self.told], capture_output=True, text=True)
        self.send_response(self.iopub_socket, "stream", {"name": "stdout", "text": done.stdout})
        if "GLUE" in code:
            scrap = {"name": "score", "data": float(done.stdout.split()[-1]), "encoder": "json", "version": 1}
            data = {"application/scrapbook.scrap.json+json": scrap}
            self.send_response(self.iopub_socket, "display_data", {"data": data, "metadata": {}})
        return {"status": "ok", "execution_count": 1, "payload": [], "user_expressions": {}}


IPKernelApp.launch_instance(kernel_class=Shell)
"""


def test_a_notebook_of_another_kernel_is_named_and_run(tmp_path, monkeypatch, capsys):
    spec = tmp_path / "jupyter" / "kernels" / "shell"
    spec.mkdir(parents=True)
    (spec / "shell_kernel.py").write_text(SHELL, encoding="utf-8")
    argv = [sys.executable, str(spec / "shell_kernel.py"), "-f", "{connection_file}"]
    told = {"argv": argv, "display_name": "Shell", "language": "bash"}
    (spec / "kernel.json").write_text(json.dumps(told), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    metadata = {"kernelspec": {"name": "shell", "display_name": "Shell"}, "language_info": {"name": "bash"}}
    path = own(tmp_path, "alpha=0.1", "echo GLUE $alpha", metadata=metadata)
    assert go(path, "--plan") == 0
    assert "own is in bash: names and types of its parameters are not checked" in capsys.readouterr().out
    assert go(path, "--workers", "1") == 0, capsys.readouterr()
    assert numbers(path) == [(0.25, "score", "value", 0.25), (0.5, "score", "value", 0.5)]


def test_what_papermill_cannot_prepare_is_a_failure_of_its_points(tmp_path, address, capsys):
    metadata = {"kernelspec": {"name": "nosuch", "display_name": "n"}, "language_info": {"name": "nosuch"}}
    path = own(tmp_path, "alpha 0.1", "show alpha", metadata=metadata)
    assert go(path, "--scheduler", address) == 1
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err
    assert "2 points: 0 done (0 before, 0 now), 2 failed" in shown.out
    assert "FAILED papermill cannot prepare it: PapermillException" in shown.out


def test_a_kernel_that_is_not_there_is_a_sentence(tmp_path):
    def asked(name, language):
        told = {"kernelspec": {"name": name, "display_name": name}, "language_info": {"name": language}}
        return nbformat.v4.new_notebook(metadata=told)

    assert kernel_of(asked("somebodys-environment", "python")) == ("python3", True)
    assert kernel_of(nbformat.v4.new_notebook()) == ("python3", True)
    with pytest.raises(NoKernel, match="there is no kernel 'ir' here; `jupyter kernelspec list` shows"):
        kernel_of(asked("ir", "R"))


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(9))
MANY = ", ".join(f"p{i}: [1, 2, 3, 4]" for i in range(30))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "more than 1,000,000 values"),
        ("a: &a [*a]", "or for itself"),
        ("grid: " + "[" * 3000 + "]" * 3000, "no YAML"),
        ("notebook: own.ipynb\ngrid: {seeds: 1000000000000}", "a count of 1 to 1,000,000"),
        (f"notebook: own.ipynb\ngrid: {{product: {{{MANY}}}}}", "points; a sweep has room for"),
        ("notebook: own.ipynb\ngrid: {product: {alpha: [2020-99-99]}}", "no YAML"),
        ("notebook: own.ipynb\ngrid: {product: {alpha: [!!python/object/apply:os.system ['touch x']]}}", "no YAML"),
        ("notebook: own.ipynb\ngrid: {product: {? [alpha] : [1]}}", "lines of `name: value`|no YAML"),
        ("notebook: ../../../etc/passwd\ngrid: {product: {alpha: [1]}}", "unknown chapter"),
        ("\x00", "no YAML"),
    ],
)
def test_a_hostile_yaml_is_a_sentence(tmp_path, text, message, capsys):
    path = own(tmp_path, "alpha = 0.1")
    path.write_text(text, encoding="utf-8")
    assert go(path, "--plan") == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("SweepError: own.yml: ")
    with pytest.raises(SweepError, match=message):
        load_sweep(path)


def test_a_value_with_signs_of_the_terminal_is_shown_harmlessly(tmp_path, capsys):
    path = own(tmp_path, "alpha = 'a'", grid='grid: {product: {alpha: ["\\e[2J", "two\\nlines"]}}\n')
    assert go(path, "--plan") == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "two\\nlines" in shown


@pytest.mark.parametrize(
    "cell", ["x = " + "(" * 5000 + ")" * 5000, "x = " + "-" * 20000 + "1", "x = 1\x00", "%%bash\nrm x"]
)
def test_code_that_breaks_a_parser_is_planned_or_a_sentence(tmp_path, cell, capsys):
    status = go(own(tmp_path, "alpha = 0.1", cell), "--plan")
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    assert "2 would run" in shown.out if status == 0 else len(shown.err.splitlines()) == 1


def test_a_default_of_a_mapping_takes_mappings(tmp_path, address, capsys):
    path = own(tmp_path, "alpha = {'a': 1}", "import pandas as pd\npd.Series([alpha['a']], name='v')")
    grid = "grid: {product: {alpha: [{a: 3}, {a: 4, b: [1]}]}}\n"
    path.write_text(f"notebook: own.ipynb\n{grid}", encoding="utf-8")
    assert go(path, "--scheduler", address) == 0, capsys.readouterr()
    assert [found[0::3] for found in numbers(path)] == [('{"a": 3}', 3.0), ('{"a": 4, "b": [1]}', 4.0)]


def why(path: Path, store: PointStore) -> str:
    return plan_sweep(load_sweep(path), store)[0].why


def test_two_projects_with_one_notebooks_name_share_nothing(tmp_path, address, capsys, monkeypatch):
    monkeypatch.setenv("CLEAN_PRIORITY_DATA", str(tmp_path / "data"))
    grid, cell = "grid: {list: [{alpha: 0.25}]}\n", "import pandas as pd\npd.read_csv('data.csv')"
    for name, value in (("a", 1.5), ("b", 2.5)):
        path = own(tmp_path / name, "alpha = 0.1", cell, grid=grid)
        (tmp_path / name / "data.csv").write_text(f"v\n{value}\n")
        for more in ([], ["--store", str(tmp_path / "one store")]):
            table = tmp_path / name / "t.parquet"
            assert main(["sweep", str(path), "--scheduler", address, "--table", str(table), *more]) == 0
            assert pd.read_parquet(table)["value"].tolist() == [value]
    assert len(list((tmp_path / "data" / "sweeps").iterdir())) == 2
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["df = 1\ndf\nprint(1)"], ["df = 1\ndf", "print(1)"]),
        (["df = 1\ndf;"], ["df = 1\ndf"]),
        (["from math import *\nx = sin(0)"], ["from cmath import *\nx = sin(0)"]),
    ],
)
def test_what_decides_what_is_shown_is_part_of_the_code(tmp_path, before, after):
    codes = [code_of_notebook(own(tmp_path, "alpha = 0.1", *cells).with_suffix(".ipynb")) for cells in (before, after)]
    assert "cells" in codes[1].differing(codes[0].parts)


def test_tags_and_kernel_are_part_of_the_code_and_comments_are_not(tmp_path):
    notebook = own(tmp_path, "alpha = 0.1", "x = 1").with_suffix(".ipynb")
    code = code_of_notebook(notebook)
    assert code_of_notebook(own(tmp_path, "alpha = 0.1", "x = 1  # one").with_suffix(".ipynb")) == code
    node = nbformat.read(notebook, 4)
    node.cells[1].metadata["tags"] = ["skip-execution"]
    nbformat.write(node, notebook)
    assert code_of_notebook(notebook) != code
    own(tmp_path, "alpha = 0.1", "x = 1", metadata=KERNEL | {"kernelspec": {"name": "other", "display_name": "O"}})
    assert code_of_notebook(notebook) != code


@pytest.mark.parametrize(
    "cell",
    [
        "from helper import f\nfiles = !ls",
        "helper?\nimport helper",
        "import helper\ntry:\n    %load_ext x\nexcept Exception: pass",
        "%run helper.py",
        "%run -i helper",
        "import importlib\nimportlib.import_module('helper')",
    ],
)
def test_modules_are_followed_however_they_are_brought_in(tmp_path, cell):
    notebook = own(tmp_path, "alpha = 0.1", cell).with_suffix(".ipynb")
    (tmp_path / "helper.py").write_text("text = '%d' \\\n    % (1)\nimport deeper\nf = 1\n")
    (tmp_path / "deeper.py").write_text("x = 1\n")
    code = code_of_notebook(notebook)
    assert {"./helper.py", "./deeper.py"} <= code.parts.keys()


def test_of_a_package_and_a_module_of_one_name_the_package_counts(tmp_path):
    notebook = own(tmp_path, "alpha = 0.1", "import helper").with_suffix(".ipynb")
    (tmp_path / "helper.py").write_text("x = 1\n")
    (tmp_path / "helper").mkdir()
    assert "./helper.py" in code_of_notebook(notebook).parts  # a folder without __init__.py comes last
    (tmp_path / "helper" / "__init__.py").write_text("x = 2\n")
    assert "./helper/__init__.py" in code_of_notebook(notebook).parts
    assert "./helper.py" not in code_of_notebook(notebook).parts


def test_a_package_of_ones_own_may_be_called_like_ours(tmp_path):
    notebook = own(tmp_path, "alpha = 0.1", "from lib.helpers import *\nfrom lib import *").with_suffix(".ipynb")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "helpers.py").write_text("x = 1\n")
    assert "./lib/helpers.py" in code_of_notebook(notebook).parts


@pytest.mark.parametrize(
    ("parameters", "value", "message"),
    [
        ("from typing import Optional\nalpha: Optional[str] = None", "None", r"text 'None': YAML writes null"),
        ("alpha = None", "None", r"text 'None': YAML writes null.*declare `alpha: str`"),
        ("alpha = None", "1e-3", r"would be the text '1e-3'.*write 0\.001"),
        ("alpha = 10**-3", "1e-3", r"would be the text '1e-3'"),
        ("alpha = 1", "010", r"YAML reads 010 as 8"),
        ("alpha = 1", "1:30", r"YAML reads 1:30 as 90"),
        ("alpha = None", "{on: 1, lr: 2}", "mappings of texts"),
    ],
)
def test_what_yaml_reads_otherwise_than_it_looks_is_refused(tmp_path, parameters, value, message):
    path = own(tmp_path, parameters, grid=f"grid: {{product: {{alpha: [{value}]}}}}\n")
    with pytest.raises((SweepError, ParameterError), match=f"(?s){message}"):
        load_sweep(path)


def test_texts_that_are_meant_pass(tmp_path):
    path = own(tmp_path, "alpha: str = 'x'", grid="grid: {product: {alpha: [None, '1e-3', '010', \"1:30\"]}}\n")
    assert [point["alpha"] for point in load_sweep(path).points] == ["None", "1e-3", "010", "1:30"]


def test_a_mapping_lent_by_another_is_read(tmp_path):
    grid = "parameters: &c {beta: 1}\ngrid: {list: [{alpha: {<<: *c, b: 2}}]}\n"
    path = own(tmp_path, "alpha = {}\nbeta = 0", grid=grid)
    assert load_sweep(path).points == ({"beta": 1, "alpha": {"beta": 1, "b": 2}},)


def test_a_default_that_is_computed_from_a_given_value_is_noted(tmp_path):
    notes = load_sweep(own(tmp_path, "alpha = 10\nbeta = alpha * 2\ngamma = beta + 1")).notes
    assert any("beta = alpha * 2 is computed before values are given" in note for note in notes)
    assert not any("gamma" in note and "before values" in note for note in notes)


def test_choices_are_read_as_people_write_them(tmp_path):
    for comment in ("adam, sgd or rmsprop", "adam, sgd, rmsprop (see the docs)", "adam, sgd, and rmsprop: a choice"):
        path = own(tmp_path, f"alpha = 'adam'  # one of {comment}", grid="grid: {product: {alpha: [sgd, rmsprop]}}\n")
        assert len(load_sweep(path).points) == 2
        with pytest.raises(ParameterError, match="adamw"):
            load_sweep(own(tmp_path, f"alpha = 'adam'  # one of {comment}", grid="grid: {product: {alpha: [adamw]}}\n"))


def test_a_table_that_cannot_be_written_is_refused_before_anything_runs(tmp_path, capsys):
    (tmp_path / "a.parquet").mkdir()
    for place in ("out.csv", "a.parquet"):
        assert go(own(tmp_path, "alpha = 0.1"), "--table", str(tmp_path / place)) == 1
        assert "ends in .parquet" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def test_points_that_look_alike_are_told_apart_and_great_numbers_collected(tmp_path, address, capsys):
    path = own(tmp_path, "alpha = None", "raise ValueError(alpha)", grid="grid: {product: {alpha: [1, '1', 2.5]}}\n")
    assert go(path, "--scheduler", address) == 1
    out = capsys.readouterr().out
    assert "3 points: 0 done (0 before, 0 now), 3 failed" in out
    assert "alpha='1'" in out
    path = own(tmp_path, "alpha = 0", grid=f"grid: {{product: {{alpha: [{2**64 - 1}]}}}}\n")
    assert go(path, "--scheduler", address) == 0
    assert pd.read_parquet(tmp_path / "store" / "table.parquet")["value"].tolist() == [2.0**64]


def test_seconds_of_an_earlier_run_do_not_count(tmp_path):
    notebook = own(tmp_path, "alpha = 0.1").with_suffix(".ipynb")
    node = nbformat.read(notebook, 4)
    node.cells[1].metadata["execution"] = {
        "iopub.execute_input": "2020-01-01T00:00:00Z", "shell.execute_reply": "2020-01-01T05:00:00Z",
    }  # fmt: skip
    nbformat.write(node, notebook)
    assert cells_seconds(prepared(notebook, {"alpha": 0.5})) == 0
