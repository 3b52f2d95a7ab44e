"""Every name that notebooks, tests and benchmarks take from `lib` is there: a renamed one is found without running."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from lib.paths import NOTEBOOKS, ROOT

FILES = [*sorted(NOTEBOOKS.glob("*.py")), *sorted((ROOT / "tests").rglob("*.py"))]


def missing(text: str) -> list[str]:
    """Names that a file takes from the book's own packages and that they lack, as `module.name`, in its order."""
    tree = ast.parse(text)
    bound: dict[str, ModuleType] = {}
    absent = []
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ImportFrom)
            and not node.level
            and (node.module or "").split(".")[0] in ("lib", "tests")
        ):
            module = importlib.import_module(node.module)
            for alias in node.names:
                found = member(module, alias.name)
                if found is None:
                    absent.append(f"{node.module}.{alias.name}")
                elif isinstance(found, ModuleType):
                    bound[alias.asname or alias.name] = found
    for name in assigned(tree):
        bound.pop(name, None)  # what the file binds itself may be anything
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in bound:
            module = bound[node.value.id]
            if member(module, node.attr) is None:
                absent.append(f"{module.__name__}.{node.attr}")
    return absent


def programs(text: str) -> Iterator[str]:
    """A benchmark's text, and the programs in it that are strings: it runs them in processes of their own."""
    yield text
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "from lib" in node.value:
            try:
                ast.parse(node.value)
            except SyntaxError:  # prose
                continue
            yield node.value


def member(module: ModuleType, name: str) -> object:
    """The module that a module has by this name, or True for anything else; None where there is neither."""
    if hasattr(module, name):
        found = getattr(module, name)
        return found if isinstance(found, ModuleType) else True
    try:
        return importlib.import_module(f"{module.__name__}.{name}")
    except ModuleNotFoundError:
        return None


def assigned(tree: ast.AST) -> Iterator[str]:
    """Names a file binds itself, anywhere: by assignment, as a parameter, as a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_taken_from_lib_are_there(path: Path):
    text = path.read_text(encoding="utf-8")
    texts = programs(text) if path.parent.name == "benchmarks" else [text]
    assert [name for one in texts for name in missing(one)] == []


def test_a_name_that_is_gone_is_found():
    assert missing("from lib import records\nrecords.device_name(1)\nrecords.Store") == ["lib.records.device_name"]
    assert missing("from lib.records import Store, Shop") == ["lib.records.Shop"]
    assert missing("from lib import press, shop") == ["lib.shop"]
    assert missing("from lib import records\ndef f(records):\n    return records.anything") == []
