"""Which code a notebook's points rest on: its own, the book's that it reaches, and modules that lie beside it."""

import ast
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from .. import identity
from ..identity import Identity
from ..paths import NOTEBOOKS
from ..press.parameters import UNREADABLE, parsed, without_magics
from .shown import ends_in_a_value

NO_NUMBERS = True
RUN = re.compile(r"""(?m)^\s*%run\s+(?:-\S+\s+)*["']?([^\s"']+)""")  # a file that a magic runs
IMPORT = re.compile(r"(?m)^\s*(?:from|import)\s+(\w+)")
STAR = re.compile(r"(?m)^\s*from\s+\S+\s+import\s+\*")


def code_of_notebook(notebook: Path, folder: Path | None = None) -> Identity:
    """Of a notebook whose kernel works in ``folder`` (None: where it lies). ValueError or OSError if it cannot be read.

    Modules and packages that it imports from that folder count file by file,
    and what they import from there. Installed packages and data do not. Of a notebook that is not the book's own, which
    cells show a value, the cells' tags and the kernel count too: they decide what is collected.
    """
    try:
        found = _followed(notebook, _state(notebook))
    except (RecursionError, MemoryError, SyntaxError) as error:
        raise ValueError(f"{notebook} cannot be read as a notebook ({type(error).__name__})") from None
    if notebook.is_relative_to(NOTEBOOKS):  # the book's own: identity has followed all of it
        return found
    whole = json.loads(notebook.read_text(encoding="utf-8"))
    more = {"cells": _digest(json.dumps(_layout(whole)).encode())} | {
        f"./{path.as_posix()}": _digest(content) for path, content in sorted(_beside(whole, folder or notebook.parent))
    }
    return Identity(_digest(json.dumps([found.id, more]).encode()), {**found.parts, **more})


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def _layout(notebook: Mapping[str, Any]) -> list[Any]:
    """What decides which values a notebook shows, besides its code: display, tags, all of a module, the kernel."""
    told: list[Any] = [notebook.get("metadata", {}).get("kernelspec", {}).get("name")]
    for cell in notebook["cells"]:
        source, tags = "".join(cell["source"]), sorted(cell.get("metadata", {}).get("tags", []))
        shows = cell["cell_type"] == "code" and ends_in_a_value(source)
        if shows or tags:
            told.append([tags, shows])
        if cell["cell_type"] == "code":
            told += STAR.findall(source)
    return told


@cache
def _followed(notebook: Path, _state: object) -> Identity:
    """By `identity`, once for each state of the files: a worker asks twice a point, and following takes a while."""
    return identity.of_notebook(notebook)


def _state(notebook: Path) -> tuple:
    files = [notebook, *identity.PACKAGE.rglob("*.py")]
    return tuple((file, state.st_mtime_ns, state.st_size) for file in files for state in [file.stat()])


def _beside(notebook: Mapping[str, Any], folder: Path) -> Iterator[tuple[Path, bytes]]:
    """The files in a folder that a notebook imports or runs, with their contents, by their paths from there."""
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    waiting = [name for source in cells for name in _imported(source)]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for file in _files(name, folder):
            content = file.read_bytes()
            yield file.relative_to(folder), content
            waiting += _imported(content.decode(errors="replace"))


def _files(name: str, folder: Path) -> list[Path]:
    """Those of a module, a package or a file that is run; none where the folder has no such thing."""
    if "/" in name or "." in name:
        found = [place for place in (folder / name, folder / f"{name}.py") if place.is_file()][:1]
        return [file for file in found if file.resolve().is_relative_to(folder.resolve())]
    if (folder / f"{name}.py").is_file() and not (folder / name / "__init__.py").is_file():  # as Python chooses
        return [folder / f"{name}.py"]
    return sorted((folder / name).rglob("*.py"))


def _imported(source: str) -> list[str]:
    """The packages and modules that a text imports, by their first names, and the files that it runs by a magic."""
    ran = [name if "." in name or "/" in name else f"{name}.py" for name in RUN.findall(source)]
    for text in (source, without_magics(source)):
        try:
            return ran + _names(list(ast.walk(parsed(text))))
        except UNREADABLE:
            continue
    return ran + IMPORT.findall(source)  # no Python: what looks like an import


def _names(nodes: list[ast.AST]) -> list[str]:
    found = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    calls = [node for node in nodes if isinstance(node, ast.Call) and node.args]
    found += [
        str(call.args[0].value)
        for call in calls
        if getattr(call.func, "attr", getattr(call.func, "id", "")) in ("import_module", "__import__")
        and isinstance(call.args[0], ast.Constant)
    ]
    found += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    found += [
        alias.name for node in nodes if isinstance(node, ast.ImportFrom) and not node.module for alias in node.names
    ]
    return [name.partition(".")[0] for name in found]
