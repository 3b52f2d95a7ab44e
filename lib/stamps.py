"""What a result is stamped with: the code and the machine that made it. Needs nothing but Python."""

import ast
import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from lib.paths import ROOT


def code_id(hashes: dict[str, str]) -> str:
    """Eight digits for all rooms together."""
    return hashlib.sha256("".join(hashes[room] for room in sorted(hashes)).encode()).hexdigest()[:8]


def code_hash(source: str) -> str:
    """Comments, docstrings and layout do not count; the same in every Python version."""
    return hashlib.sha256(_dump(ast.parse(source)).encode()).hexdigest()[:12]


def _dump(node: Any) -> str:
    """A syntax tree as text, without what differs between Python versions (empty fields, kinds, type parameters)."""
    if isinstance(node, list):
        return f"[{','.join(map(_dump, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(value, list) and value and _is_text(value[0]):
            value = value[1:]  # a docstring
        if name not in ("kind", "type_comment", "type_ignores", "type_params") and value not in (None, []):
            parts.append(f"{name}={_dump(value)}")
    return f"{type(node).__name__}({','.join(parts)})"


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def notebook_code(path: Path) -> dict[str, str]:
    """A hash of the code cells of a notebook, and of each room of `lib` that they import, directly or not.

    Keys are "notebook" and the rooms' names. ValueError if the file is no notebook.
    """
    try:
        cells = json.loads(Path(path).read_text())["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no notebook ({type(error).__name__})") from error
    trees = [_tree(source) for source in sources]
    known = [tree for tree in trees if tree is not None]
    hashes = [_hash(_dump(tree)) if tree is not None else _hash(s) for tree, s in zip(trees, sources, strict=True)]
    found: dict[str, str] = {"notebook": _hash(" ".join(hashes))}
    waiting = {room for tree in known for room in _imported(tree)}
    while waiting:
        room = waiting.pop()
        file = ROOT / "lib" / f"{room}.py"
        state = file.stat()
        found[room], further = _room(file, state.st_mtime_ns, state.st_size)
        waiting |= further - found.keys()
    return found


def _tree(source: str) -> ast.AST | None:
    try:
        return ast.parse(source)
    except SyntaxError:  # a cell with a magic, which is no Python
        return None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def _room(file: Path, changed: int, size: int) -> tuple[str, frozenset[str]]:
    """A room's hash and the rooms it imports; read again when the file was changed."""
    source = file.read_text()
    return code_hash(source), frozenset(_imported(ast.parse(source)))


def _imported(tree: ast.AST) -> Iterable[str]:
    """The rooms of `lib` that a piece of code imports, anywhere in it."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "lib" and len(parts) > 1 and (ROOT / "lib" / f"{parts[1]}.py").exists():
                yield parts[1]


@cache
def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def cards() -> list[str]:
    """Numbers or names of the graphics cards that this process may use, as CUDA_VISIBLE_DEVICES would list them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [card.strip() for card in named.split(",") if card.strip() not in ("", "-1")]
    return [number for number, _ in _listed_cards()]


def card_name(card: str) -> str:
    """What the driver calls a card; the number alone where it does not say."""
    return dict(_listed_cards()).get(card, f"card {card}")


@cache
def _listed_cards() -> list[tuple[str, str]]:
    command = ["nvidia-smi", "--query-gpu=index,name", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [(line[1], line[2].strip()) for line in map(re.compile(r"(\d+), (.+)").match, listed.splitlines()) if line]
