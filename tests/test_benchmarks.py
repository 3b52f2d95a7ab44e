"""The benchmarks can be run: names that they use are there, and their stand-in for MNIST has ten classes."""

import ast
import importlib
from pathlib import Path

import pytest

from lib.data import DataConfig, load
from tests import benchmarks

MODULES = sorted(path.stem for path in Path(benchmarks.__file__).parent.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", MODULES)
def test_every_name_that_a_benchmark_uses_is_there(name):
    """Also in the programs that it runs in processes of their own, which are texts."""
    module = importlib.import_module(f"tests.benchmarks.{name}")
    texts = [value for value in vars(module).values() if isinstance(value, str) and "import" in value]
    for source in (Path(module.__file__).read_text(encoding="utf-8"), *texts):
        try:
            tree = ast.parse(source)
        except SyntaxError:  # a docstring
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in ("lib", "tests"):
                there = importlib.import_module(node.module)
                for alias in node.names:
                    if not hasattr(there, alias.name):
                        importlib.import_module(f"{node.module}.{alias.name}")
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                used = vars(module).get(node.value.id)
                if getattr(used, "__name__", "").startswith("lib."):
                    assert hasattr(used, node.attr), f"{node.value.id}.{node.attr}"


def test_the_stand_in_for_mnist_has_its_ten_classes(tmp_path):
    importlib.import_module("tests.benchmarks.__main__").random_mnist(tmp_path)
    task = load(DataConfig("mnist"), tmp_path)
    assert len(task.train_labels) == 60_000
    assert len(task.test_labels) == 10_000
    assert task.train_labels.bincount().tolist()[:2] == [5923, 6742]
    assert task.train_labels.unique().tolist() == list(range(10))
