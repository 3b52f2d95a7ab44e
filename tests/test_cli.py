import json
import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from lib.__main__ import main
from lib.paths import ROOT
from lib.press.chapters import jobs, names


@pytest.fixture(autouse=True)
def _environment_back(monkeypatch):
    """`--data` sets the variable for the process: put back after each test."""
    monkeypatch.setenv("CLEAN_PRIORITY_DATA", os.environ.get("CLEAN_PRIORITY_DATA", ""))


def test_help_names_the_verbs():
    done = subprocess.run([sys.executable, "-m", "lib", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    for verb in ("book", "run", "records", "data", "test", "bench", "parameters", "keep", "sweep"):
        assert verb in done.stdout


def test_every_verb_of_the_makefile_is_one_of_ours():
    makefile = (ROOT / "Makefile").read_text()
    for verb in ("book", "test", "bench"):
        assert f"$(RUN) -m lib {verb}" in makefile


def test_importing_lib_needs_nothing_heavy():
    heavy = ("torch", "papermill", "dask", "distributed", "sphinx")
    code = f"import sys, lib; print([m for m in sys.modules if m.split('.')[0] in {heavy}])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "99"], "unknown chapter '99'"),
        (["run", "mine.ipynb"], "mine.ipynb is not there; the book's own chapters are: "),
        (["run", "2", "--record"], "at smoke nothing is recorded"),
        (["run", "2", "--record", "--profile", "best"], "best trains at smoke: name another profile by --profile"),
        (["run", "2", "--script", "--output", "out"], "--script writes no notebooks: leave --output out"),
        (["run", "2", "-p", "nose_rate", "0.2"], "no parameter 'nose_rate'"),
        (["run", "2", "-p", "noise_rate", "much"], "noise_rate cannot be 'much'"),
        (["run", "1", "--profile", "paper"], "profile cannot be 'paper'"),
        (["records", "verify", "no-such-record"], "no record fits"),
        (["records", "verfy", "circle"], "say what to do with verfy, circle: list, verify, wanted, unwanted or make"),
        (["run", "--profile", "cup"], "no chapter has a profile 'cup'; there are: best, smoke, cpu, paper"),
        (["sweep", "mine.yml"], "mine.yml is not there; the book's own sweeps are: "),
        (["data", "minst"], "unknown data set 'minst'"),
        (["keep", "99"], "unknown chapter"),
        (["book", "--repository", "nowhere"], "must look like"),
        (["run", "1", "-p", "profile", "cpu"], "name the profile by --profile"),
    ],
)
def test_mistakes_get_a_line_not_a_traceback(arguments, message, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize(("folder", "message"), [("", "it names no folder"), ("README.md", "is a file")])
def test_a_data_folder_that_is_none_is_refused(folder, message, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["--data", folder, "data"]) == 2
    assert message in capsys.readouterr().err


def test_the_folder_that_one_stands_in_is_a_data_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["--data", ".", "data"]) == 0
    assert f"data folder: {tmp_path}" in capsys.readouterr().out


def test_any_notebooks_parameters_are_shown(tmp_path, capsys):
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": ["x: float = 1.0  # a number"]}
    (tmp_path / "single_run.ipynb").write_text(json.dumps({"cells": [cell]}), encoding="utf-8")
    assert main(["parameters", str(tmp_path / "single_run.ipynb")]) == 0
    assert capsys.readouterr().out == "x: float = 1.0  # a number\n"


def test_parameters_are_a_chapters_help(capsys):
    assert main(["parameters", "2"]) == 0
    assert "noise_rate: float = 0.4  # delta" in capsys.readouterr().out


def test_records_are_listed_with_their_state(capsys):
    assert main(["records", "mnist79-512x512-lr0.1-seed0"]) == 0
    assert "rows, 2" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["wanted", "make"])
def test_a_chapter_without_the_profile_says_where_it_has_records(verb, capsys):
    assert main(["records", verb, "3"]) == 0
    assert capsys.readouterr().out == "03_model_derivative has no profile cpu: say --profile paper\n"


def test_all_chapters_at_best_are_those_that_have_it(tmp_path, capsys):
    made = jobs((), "best", (), tmp_path)
    left_out = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert left_out == ["01_phenomenon_in_a_minute", "16_running_sweeps"]
    assert sorted([*left_out, *(one.path.stem for one in made)]) == names()


def test_an_interrupt_is_a_sentence(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lib.press.chapters.find", interrupted)
    assert main(["parameters", "2"]) == 130
    assert "goes on from the last checkpoint" in capsys.readouterr().err


def test_verify_names_what_it_could_not_check_and_goes_on(tmp_path, capsys, monkeypatch):
    import torchvision

    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setattr("lib.press.recording.RECORDS", tmp_path)
    for pattern in ("circle*seed0*", "mnist*seed0*"):  # the first is measured alike on every processor
        whole = min((ROOT / "book" / "records").glob(pattern))
        (tmp_path / whole.name).write_bytes(whole.read_bytes())
    kept = []
    for _ in range(2):  # the first may note a check of what older code has recorded
        assert main(["--data", str(tmp_path / "none"), "records", "verify", "--epochs", "1"]) == 1
        shown = capsys.readouterr().out
        assert "agrees  circle" in shown
        assert "NOT CHECKED mnist" in shown
        assert "1 of 2 agree" in shown
        kept.append({path.name: path.read_bytes() for path in tmp_path.glob("*.parquet")})
    assert kept[0] == kept[1]  # what is checked by today's code is not written again


def test_a_damaged_record_is_named_and_the_others_are_listed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("lib.press.recording.RECORDS", tmp_path)
    whole = next((ROOT / "book" / "records").glob("digits79-*.parquet"))
    (tmp_path / "a.parquet").write_bytes(whole.read_bytes()[:500])
    (tmp_path / "b.parquet").write_bytes(whole.read_bytes())
    (tmp_path / ".part-x.parquet").write_bytes(b"half written")
    monkeypatch.setenv("CLEAN_PRIORITY_DATA", str(tmp_path / "none"))
    assert main(["records"]) == 1
    shown = capsys.readouterr().out
    assert "DAMAGED a.parquet" in shown
    assert f"b: {pq.read_metadata(whole).num_rows} rows" in shown
    assert "part" not in shown


def test_the_data_flag_names_the_folder(tmp_path, capsys):
    assert main(["--data", str(tmp_path), "data"]) == 0
    assert f"data folder: {tmp_path}" in capsys.readouterr().out
    assert main(["data", "--data", str(tmp_path), "digits"]) == 0  # before or after the verb
    assert "digits: 1201 training and 596 test images of 1x8x8" in capsys.readouterr().out


@pytest.mark.slow
def test_a_script_run_records_what_papermill_replays(tmp_path, monkeypatch):
    """The way of a GPU machine without Jupyter: run the twin, keep the records."""
    env = os.environ | {"CLEAN_PRIORITY_DATA": str(tmp_path)}
    command = [
        sys.executable,
        "-m",
        "lib",
        "run",
        "1",
        "--profile",
        "cpu",
        "-p",
        "seeds",
        "2",
        "-p",
        "noise_rate",
        "0.3",
    ]
    first = subprocess.run([*command, "--script"], cwd=ROOT, capture_output=True, text=True, env=env)
    assert first.returncode == 0, first.stderr
    assert "Trained live" in first.stdout
    assert len(list((tmp_path / "records").glob("*.parquet"))) == 2
    second = subprocess.run(
        [*command, "--output", str(tmp_path / "out")], cwd=ROOT, capture_output=True, text=True, env=env
    )
    assert second.returncode == 0, second.stderr
    (made,) = (tmp_path / "out").glob("*.ipynb")
    assert made.name == "01_phenomenon_in_a_minute-seeds=2-noise_rate=0.3.ipynb"
    notebook = json.loads(made.read_text())
    assert "Recorded on" in json.dumps(notebook)
