"""The tools where they are installed from outside: as ``clean_priority``, with a command, and without the book."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from lib.paths import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("installed")]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """An environment that has the wheel, and of the book's own environment the libraries alone."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"  # setuptools builds beside what it reads, and keeps what it built before
    shutil.copytree(ROOT / "lib", source / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = ["wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), str(source)]
    command = [sys.executable, "-m", "pip", *build]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    where = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True
    ).stdout.strip()
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel], check=True)
    # a path in a .pth file: what lies there is found, and its own .pth files (the book's) are not read
    Path(where, "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "env" / "bin"


def run(*command, cwd):
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, env=env)


def test_nobodys_environment_gets_a_package_called_lib(installed, tmp_path):
    done = run(installed / "python", "-c", "import lib", cwd=tmp_path)
    assert "No module named 'lib'" in done.stderr
    done = run(installed / "python", "-c", "import clean_priority; print(clean_priority.__version__)", cwd=tmp_path)
    assert done.stdout.count(".") == 2, done.stderr


def test_the_finder_works_from_python(installed, tmp_path):
    code = """
import numpy as np
from clean_priority.suspects import from_arrays, judge
labels = np.arange(90) % 3
points = np.random.default_rng(0).normal(size=(90, 4)).astype("float32")
points[:, :3] += 4 * np.eye(3)[labels]
print(len(judge(from_arrays(points, labels), progress=False).table))
"""
    done = run(installed / "python", "-c", code, cwd=tmp_path)
    assert done.stdout.strip() == "90", done.stderr


def test_the_command_finds_suspects_in_a_folder_and_shows_them(installed, tmp_path):
    images, labels = load_digits(return_X_y=True)
    for number, (image, label) in enumerate(zip(images[:200], labels[:200], strict=True)):
        (tmp_path / "photos" / f"class {label}").mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray((image.reshape(8, 8) * 15).astype(np.uint8))
        picture.save(tmp_path / "photos" / f"class {label}" / f"{number}.png")
    done = run(installed / "clean-priority", "suspects", "photos", "--epochs", "5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "suspects" / "noise.json").read_text(encoding="utf-8"))["classes"]
    assert "</html>" in (tmp_path / "suspects" / "suspects.html").read_text(encoding="utf-8")  # templates travel along


def test_a_sweep_of_ones_own_notebook_runs_anywhere(installed, tmp_path):
    import nbformat

    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_code_cell("x: float = 1.0  # a number", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("from clean_priority.press import show\nshow.result('square', {'value': [x * x]})"),
    ]
    nbformat.write(notebook, tmp_path / "mine.ipynb")
    (tmp_path / "mine.yml").write_text(
        "notebook: mine.ipynb\ngrid: {product: {x: [2.0, 3.0]}}\ncollect: {tables: [square]}\n", encoding="utf-8"
    )
    done = run(installed / "clean-priority", "sweep", "mine.yml", "--store", "store", "--workers", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "2 points: 2 done" in done.stdout


@pytest.mark.parametrize("verb", ["book", "run", "keep", "records", "bench", "test", "test-all"])
def test_a_verb_that_needs_the_book_says_so(installed, tmp_path, verb):
    done = run(installed / "clean-priority", verb, cwd=tmp_path)
    assert done.returncode == 1
    assert f"`{verb}` needs the book's folder" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "verb",
    [("parameters", "2"), ("records", "circle-2-relu-seed0"), ("data",), ("sweep",), ("sweep", "minute", "--plan")],
)
def test_no_process_knows_the_code_by_two_names(verb, tmp_path):
    """Both ways to call a verb inside the book: what is imported has one name."""
    for first, other in (("lib", "clean_priority"), ("clean_priority", "lib")):
        code = (
            f"import sys; from {first}.__main__ import main; main({list(verb)!r}); assert {other!r} not in sys.modules"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    code = "import lib; import clean_priority"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "was imported as lib already" in done.stderr
