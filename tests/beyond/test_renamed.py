"""The penalty on other pairs: digits are renumbered alike in training and in test."""

from dataclasses import replace

import pytest
import torch

from lib.beyond import presets
from lib.beyond.penalties import CONDITIONS, PAIRS
from lib.beyond.renamed import DIGITS, NUMBERS, renamed, renumbered
from lib.data import load
from lib.experiments import generator
from lib.noise import symmetric
from lib.train import Machine, TrainConfig


def test_the_pairs_stand_where_they_are_said_to():
    assert sorted(NUMBERS) == sorted(NUMBERS.values()) == list(range(10))
    assert [tuple(DIGITS[c] for c in pair) for pair in PAIRS] == [(6, 7), (0, 1), (3, 8)]
    assert renumbered(torch.tensor([6, 7, 0, 1, 3, 8])).tolist() == [4, 9, 3, 8, 5, 6]


def test_the_penalty_is_on_six_and_seven_and_the_test_labels_fit():
    settings = presets.selective("smoke", "selective_49", 0.2, 1.0)
    settings = replace(renamed(settings), train=TrainConfig(lr=0.01, epochs=3, batch_size=128))
    assert settings.key != replace(presets.selective("smoke", "selective_49", 0.2, 1.0), train=settings.train).key
    done = settings.run(machine=Machine("cpu", threads=1), folder=None, resume=False, made_by="", progress=False)
    task = load(settings.data, None, 0)
    given = symmetric(task.train_labels, 0.2, 10, generator(0, "noise")).given
    share = torch.isin(given, torch.tensor([6, 7])).double().mean().item()
    assert CONDITIONS["selective_49"] == (4, 9)
    assert done.history[-1]["chosen"] == pytest.approx(share, abs=1e-6)
    assert done.history[-1]["test_accuracy"] > 0.5  # one in ten if test labels were numbered otherwise
