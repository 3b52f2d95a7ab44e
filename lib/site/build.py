"""The static book: staged, checked, built strictly.

The book is built from a copy in ``_build/source``, so that what is written in
for a build (the ledger, the repository's address) never changes the sources.
"""

import html
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..paths import BUILD, NOTEBOOKS, ROOT, SWEEPS
from ..press import chapters
from ..press.chapters import PROFILES
from ..press.claims import VERDICTS, Claim, gather
from ..words import count
from . import sweeps_page

RUNS = BUILD / "ledger"  # chapters as `make book` ran them: ledger/<profile>/<chapter>.ipynb
SOURCE = BUILD / "source"
LEDGER_MARK = "<!-- ledger -->"
SWEEPS_MARK = "<!-- sweeps -->"
REPOSITORY_LINE = 'REPOSITORY, COMMIT = "", ""'


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
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SiteProblem(f"jupyter-book failed:\n{done.stdout}\n{done.stderr}")
    index = BUILD / "html" / "index.html"
    if not index.exists():
        raise SiteProblem(f"jupyter-book made no {index}:\n{done.stdout}\n{done.stderr}")
    return index


def check_notebooks() -> None:
    """SiteProblem for a kept notebook with a traceback, a cell never run, or a figure without caption or alt text."""
    problems = []
    for name in chapters.names():
        notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())
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
    page = source / "book" / "ledger.md"
    page.write_text(page.read_text().replace(LEDGER_MARK, ledger(all_claims(runs))))
    page = source / "book" / "sweeps.md"
    tables = [sweeps_page.read_table(path) for path in sorted(SWEEPS.glob("*.parquet"))]
    page.write_text(page.read_text().replace(SWEEPS_MARK, sweeps_page.page(tables, source / "book" / "sweeps")))
    if published:
        _write_buttons(source / "_config.yml", published)


def copy_notebooks(folder: Path, published: Published | None = None) -> None:
    """Copy the chapters to a new ``folder``, with the repository's address in their setup cells if there is one."""
    folder.mkdir(parents=True)
    for path in NOTEBOOKS.glob("*.ipynb"):
        text = path.read_text()
        line = json.dumps(REPOSITORY_LINE)[1:-1]
        if line not in text:
            raise SiteProblem(f"{path.name} has no line {REPOSITORY_LINE!r} in its setup cell")
        if published:
            filled = f'REPOSITORY, COMMIT = "{published.repository}", "{published.commit}"'
            text = text.replace(line, json.dumps(filled)[1:-1])
        (folder / path.name).write_text(text)


def _write_buttons(config: Path, published: Published) -> None:
    text = config.read_text()
    wanted = 'url: ""  # written in when the book is published\n'
    if wanted not in text:
        raise SiteProblem("_config.yml has lost the line of the repository's address")
    buttons = (
        f"url: {published.repository}\n  branch: {published.branch}\n\n"
        'launch_buttons:\n  colab_url: "https://colab.research.google.com"\n'
    )
    text = text.replace(wanted, buttons).replace("use_repository_button: false", "use_repository_button: true")
    config.write_text(text)


def all_claims(runs: Path | None = None) -> list[Claim]:
    """Claims of the kept chapters, and of those in ``runs``, which come before what was kept."""
    kept = [NOTEBOOKS / f"{name}.ipynb" for name in chapters.names()]
    made = [path for profile in PROFILES for path in sorted(runs.glob(f"{profile}/[0-9][0-9]_*.ipynb"))] if runs else []
    made = [path for path in made if not path.stem.endswith(".failed")]
    claims = {(claim.chapter, claim.id, claim.profile): claim for claim in [*gather(kept), *gather(made)]}
    return list(claims.values())


def kept_profiles(path: Path) -> set[str]:
    """The profiles at which the kept chapter's claims were checked."""
    return {claim.profile for claim in gather([path])}


def ledger(claims: Sequence[Claim]) -> str:
    """The ledger as MyST: a count for each profile, then every claim by chapter with its verdicts."""
    counts = []
    for profile in PROFILES:
        of_profile = [claim.verdict for claim in claims if claim.profile == profile]
        cells = " | ".join(str(of_profile.count(verdict)) for verdict in VERDICTS)
        counts.append(f"| `{profile}` | {cells} | {len(of_profile)} |")
    head = " | ".join(f"{sign} {verdict}" for verdict, sign in VERDICTS.items())
    parts = [f"| profile | {head} | claims |", "| --- | --- | --- | --- | --- |", *counts, ""]
    for chapter in sorted({claim.chapter for claim in claims}):
        parts += [f"## {_title(chapter)}", "", f"Checked in {{doc}}`/notebooks/{chapter}`.", ""]
        of_chapter = [claim for claim in claims if claim.chapter == chapter]
        for id in dict.fromkeys(claim.id for claim in of_chapter):
            parts += _entry([claim for claim in of_chapter if claim.id == id])
    return "\n".join(parts)


def _title(chapter: str) -> str:
    """A chapter's own heading."""
    cells = json.loads((NOTEBOOKS / f"{chapter}.ipynb").read_text())["cells"]
    return next(line for line in "".join(cells[0]["source"]).splitlines() if line.startswith("# "))[2:]


def _entry(claims: list[Claim]) -> list[str]:
    """One claim at all profiles."""
    first = claims[0]
    rows = []
    for claim in sorted(claims, key=lambda claim: PROFILES.index(claim.profile)):
        how = "live" if claim.live else "recorded"
        rows.append(
            f'<div class="verdict"><strong>{claim.sign}</strong> at <code>{claim.profile}</code> '
            f"({claim.passed}, {count(claim.seeds, claim.each)}, {how}): {html.escape(claim.values())}</div>"
        )
    return [
        f":::{{admonition}} {first.source}",
        ":class: ledger-entry",
        f"{first.says} ({{numref}}`{first.figure}`)",
        "",
        *rows,
        "",
        f"Counted as true: {first.criterion}.",
        ":::",
        "",
    ]


def summary(claims: Sequence[Claim]) -> str:
    """A few lines for the terminal: how many claims hold, and which do not."""
    lines = []
    for chapter in sorted({claim.chapter for claim in claims}):
        of_chapter = [claim for claim in claims if claim.chapter == chapter]
        counts = ", ".join(f"{verdict} {sum(claim.verdict == verdict for claim in of_chapter)}" for verdict in VERDICTS)
        lines.append(f"{chapter} at {of_chapter[0].profile}: {counts}")
        lines += [
            f"  {claim.sign} ({claim.passed}): {claim.source}: {claim.says}"
            for claim in of_chapter
            if claim.verdict != "holds"
        ]
    return "\n".join(lines)
