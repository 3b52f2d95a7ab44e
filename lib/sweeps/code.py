"""Which code a notebook's points rest on: its own, the book's that it reaches, and modules that lie beside it."""

import ast
import hashlib
import json
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from .. import identity
from ..identity import Identity
from ..paths import NOTEBOOKS

NO_NUMBERS = True
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


def code_of_notebook(notebook: Path, folder: Path | None = None) -> Identity:
    """Of a notebook whose kernel works in ``folder`` (None: where it lies). ValueError or OSError if it cannot be read.

    Modules and packages that it imports from that folder count file by file,
    and what they import from there. Installed packages and data do not.
    """
    try:
        found = _followed(notebook, _state(notebook))
    except (RecursionError, MemoryError, SyntaxError) as error:
        raise ValueError(f"{notebook} cannot be read as a notebook ({type(error).__name__})") from None
    if notebook.is_relative_to(NOTEBOOKS):  # the book's own: identity has followed all of it
        return found
    beside = {
        f"./{path.as_posix()}": hashlib.sha256(content).hexdigest()[:12]
        for path, content in sorted(_beside(notebook, folder or notebook.parent))
    }
    if not beside:
        return found
    told = json.dumps([found.id, beside])
    return Identity(hashlib.sha256(told.encode()).hexdigest()[:12], {**found.parts, **beside})


@cache
def _followed(notebook: Path, _state: object) -> Identity:
    """By `identity`, once for each state of the files: a worker asks twice a point, and following takes a while."""
    return identity.of_notebook(notebook)


def _state(notebook: Path) -> tuple:
    files = [notebook, *identity.PACKAGE.rglob("*.py")]
    return tuple((file, state.st_mtime_ns, state.st_size) for file in files for state in [file.stat()])


def _beside(notebook: Path, folder: Path) -> Iterator[tuple[Path, bytes]]:
    """The files in a folder that a notebook imports, with their contents, by their paths from there."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    waiting = [name for cell in cells if cell["cell_type"] == "code" for name in _imported("".join(cell["source"]))]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        files = [folder / f"{name}.py"] if (folder / f"{name}.py").is_file() else sorted((folder / name).rglob("*.py"))
        for file in files:
            content = file.read_bytes()
            yield file.relative_to(folder), content
            waiting += _imported(content.decode(errors="replace"))


def _imported(source: str) -> list[str]:
    """The packages and modules that a text imports, by their first names; lines that are no Python are left out."""
    lines = [line for line in source.splitlines() if line.lstrip()[:1] not in ("%", "!", "?")]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nodes = list(ast.walk(ast.parse("\n".join(lines))))
    except UNREADABLE:
        return []
    found = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    found += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    found += [
        alias.name for node in nodes if isinstance(node, ast.ImportFrom) and not node.module for alias in node.names
    ]
    return [name.partition(".")[0] for name in found]
