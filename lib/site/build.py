"""The static book: staged, checked, built strictly.

The book is built from a copy in ``_build/source``, so that what is written in
for a build (the ledger, the repository's address) never changes the sources.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from ..files import whole_files
from ..paths import BUILD, ROOT, SWEEPS
from . import bars, captions, costs, explorers, finish, front, ledger, playground, sweeps_page
from .criteria import changes
from .notebooks import Published, SiteProblem, check_notebooks, copy_notebooks, write_notebook

RUNS = BUILD / "ledger"  # chapters as `make book` ran them: ledger/<profile>/<chapter>.ipynb
SOURCE = BUILD / "source"
SWEEPS_MARK = "<!-- sweeps -->"
CRITERIA_MARK = "<!-- criteria -->"


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


def stage(source: Path, published: Published | None = None, runs: Path | None = None) -> None:
    """Copy what the book is made of to ``source``, with ledger and address written in."""
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "book", source / "book", ignore=shutil.ignore_patterns("records", "*.parquet"))
    copy_notebooks(source / "notebooks", published)
    for path in whole_files(source / "notebooks", "*.ipynb"):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        captions.complete_captions(notebook)
        bars.name_bars(notebook)
        write_notebook(path, notebook)
    tables = [sweeps_page.read_sweep(path) for path in whole_files(SWEEPS, "*.parquet")]
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


def _write_buttons(config: Path, published: Published) -> None:
    text = config.read_text(encoding="utf-8")
    wanted = 'url: ""  # written in when the book is published\n'
    if wanted not in text:
        raise SiteProblem("_config.yml has lost the line of the repository's address")
    buttons = (
        f"url: {published.repository}\n  branch: {json.dumps(published.branch)}\n\n"
        'launch_buttons:\n  colab_url: "https://colab.research.google.com"\n'
    )
    text = text.replace(wanted, buttons)
    for button in ("repository", "issues", "edit_page"):
        text = text.replace(f"use_{button}_button: false", f"use_{button}_button: true")
    config.write_text(text, encoding="utf-8")
