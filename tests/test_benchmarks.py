"""The benchmarks' stand-in for MNIST has ten classes."""

import importlib

from lib.data import DataConfig, load


def test_the_stand_in_for_mnist_has_its_ten_classes(tmp_path):
    importlib.import_module("tests.benchmarks.__main__").random_mnist(tmp_path)
    task = load(DataConfig("mnist"), tmp_path)
    assert len(task.train_labels) == 60_000
    assert len(task.test_labels) == 10_000
    assert task.train_labels.bincount().tolist()[:2] == [5923, 6742]
    assert task.train_labels.unique().tolist() == list(range(10))
