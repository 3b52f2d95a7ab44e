"""The static book: staged, checked, built strictly.

The book is built from a copy in ``_build/source``, so that what is written in
for a build (the ledger, the repository's address) never changes the sources.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ..paths import BUILD, NOTEBOOKS, ROOT, SWEEPS
from ..press import chapters
from . import bars, captions, costs, explorers, finish, front, ledger, playground, sweeps_page
from .criteria import changes
from .render import rendered

RUNS = BUILD / "ledger"  # chapters as `make book` ran them: ledger/<profile>/<chapter>.ipynb
SOURCE = BUILD / "source"
SWEEPS_MARK = "<!-- sweeps -->"
CRITERIA_MARK = "<!-- criteria -->"
SETUP = 'import sys; sys.path += [".", "..", "../.."]  # the book\'s folder: run this inside it  # fmt: skip'


class SiteProblem(RuntimeError):
    """Something that must not be published; the message names it."""


@dataclass(frozen=True)
class Published:
    """Where the book's repository is, for launch buttons and the Colab cell."""

    repository: str  # https address
    branch: str = "main"
    commit: str = "HEAD"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", self.repository):  # all that Colab opens
            raise ValueError(f"the address must look like https://github.com/owner/name, not {self.repository!r}")


def build(published: Published | None = None, runs: Path | None = None) -> Path:
    """Stage and build the book with warnings as errors; returns the path of index.html.

    ``runs``: folder of chapters that were run for this build (<profile>/<chapter>.ipynb); their claims stand in the
    ledger in place of the kept ones.
    """
    check_notebooks()
    stage(SOURCE, published, runs)
    options = ["--all", "--quiet", "-W", "-n", "--keep-going"]
    program = "from jupyter_book.cli.main import main; main()"  # the package has no __main__
    command = [sys.executable, "-c", program, "build", str(SOURCE), "--path-output", str(BUILD.parent), *options]
    found = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])  # docstrings are this book's
    environment = os.environ | {"PYTHONPATH": found}
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment)
    if done.returncode:
        raise SiteProblem(f"jupyter-book failed:\n{done.stdout}\n{done.stderr}")
    index = BUILD / "html" / "index.html"
    if not index.exists():
        raise SiteProblem(f"jupyter-book made no {index}:\n{done.stdout}\n{done.stderr}")
    finish.finish(index.parent, *([published.repository, published.branch] if published else []))
    return index


def check_notebooks() -> None:
    """SiteProblem for a kept notebook with a traceback, a cell never run, or a figure without caption or alt text."""
    problems = []
    for name in chapters.names():
        notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
        for number, cell in enumerate(notebook["cells"]):
            problems += [f"{name}, cell {number}: {problem}" for problem in cell_problems(cell)]
    if problems:
        raise SiteProblem("\n".join(problems))


def cell_problems(cell: dict) -> list[str]:
    """What is wrong with a kept cell; an empty list if nothing is."""
    if cell["cell_type"] != "code" or not "".join(cell["source"]).strip():
        return []
    found = []
    if cell["execution_count"] is None:
        found.append("never executed")
    if any(output["output_type"] == "error" for output in cell["outputs"]):
        found.append("stored traceback")
    if any("image/png" in output.get("data", {}) for output in cell["outputs"]):
        wanted = cell["metadata"].get("mystnb", {})
        if not wanted.get("figure", {}).get("caption") or not wanted.get("figure", {}).get("name"):
            found.append("a figure without caption or name")
        if not wanted.get("image", {}).get("alt"):
            found.append("a figure without alt text")
    return found


def stage(source: Path, published: Published | None = None, runs: Path | None = None) -> None:
    """Copy what the book is made of to ``source``, with ledger and address written in."""
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "book", source / "book", ignore=shutil.ignore_patterns("records", "*.parquet"))
    copy_notebooks(source / "notebooks", published)
    for path in sorted((source / "notebooks").glob("*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        captions.complete_captions(notebook)
        bars.name_bars(notebook)
        _write_notebook(path, notebook)
    tables = [sweeps_page.read_table(path) for path in sorted(SWEEPS.glob("*.parquet"))]
    claims = ledger.all_claims(runs)
    ledger.write_in(source / "book", claims)
    front.write_in(source / "book")
    _write_in(source / "book" / "criteria.md", CRITERIA_MARK, changes(claims))
    _write_in(source / "book" / "sweeps.md", SWEEPS_MARK, sweeps_page.page(tables, source / "book" / "sweeps"))
    sweeps_page.write_results(tables, source / "book" / "static" / "sweeps")
    _write_in(source / "book" / "costs.md", costs.MARK, costs.page())
    playground.write_in(source / "book", source / "book" / "static")
    explorers.write_in(source / "book", source / "book" / "static")
    if published:
        _write_buttons(source / "_config.yml", published)


def _write_in(page: Path, mark: str, text: str) -> None:
    told = page.read_text(encoding="utf-8")
    page.write_text(told.replace(mark, text), encoding="utf-8")


def copy_notebooks(folder: Path, published: Published | None = None) -> None:
    """Copy the chapters to a new ``folder``; with an address their setup cells fetch the book's code in Colab.

    SiteProblem if a chapter has no cell that begins with SETUP.
    """
    folder.mkdir(parents=True)
    for path in NOTEBOOKS.glob("*.ipynb"):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        setup = [cell for cell in notebook["cells"] if "".join(cell["source"]).splitlines()[:1] == [SETUP]]
        if not setup:
            raise SiteProblem(f"{path.name} has no cell whose first line is {SETUP!r}")
        if not published:
            shutil.copy(path, folder)
            continue
        fetch = rendered("colab.py.j2", repository=published.repository, commit=published.commit)
        source = "".join(setup[0]["source"]).replace(SETUP, fetch, 1)
        setup[0]["source"] = source.splitlines(keepends=True)
        _write_notebook(folder / path.name, notebook)


def _write_notebook(path: Path, notebook: dict) -> None:
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_buttons(config: Path, published: Published) -> None:
    text = config.read_text(encoding="utf-8")
    wanted = 'url: ""  # written in when the book is published\n'
    if wanted not in text:
        raise SiteProblem("_config.yml has lost the line of the repository's address")
    buttons = (
        f"url: {published.repository}\n  branch: {published.branch}\n\n"
        'launch_buttons:\n  colab_url: "https://colab.research.google.com"\n'
    )
    text = text.replace(wanted, buttons)
    for button in ("repository", "issues", "edit_page"):
        text = text.replace(f"use_{button}_button: false", f"use_{button}_button: true")
    config.write_text(text, encoding="utf-8")
