"""The kept notebooks as the site has them: checked, and copied with the address of the book's code for Colab.

On its own, because Colab has little of what the site is built with.
"""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..files import whole_files
from ..paths import NOTEBOOKS
from ..press import chapters
from .render import rendered

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
        if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+(?<!\.git)", self.repository):  # all that Colab opens
            raise ValueError(f"the address must look like https://github.com/owner/name, not {self.repository!r}")


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


def copy_notebooks(folder: Path, published: Published | None = None) -> None:
    """Copy the chapters to a new ``folder``; with an address their setup cells fetch the book's code in Colab.

    SiteProblem if a chapter has no cell that begins with SETUP.
    """
    folder.mkdir(parents=True)
    for path in whole_files(NOTEBOOKS, "*.ipynb"):
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
        write_notebook(folder / path.name, notebook)


def write_notebook(path: Path, notebook: dict) -> None:
    """Write a notebook as Jupyter does."""
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
