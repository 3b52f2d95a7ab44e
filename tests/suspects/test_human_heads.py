"""Heads on labels that people gave: margins, corrected labels and what they gain, by hand on made-up files."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from lib.experiments import as_dict, generator
from lib.models import ModelConfig, build
from lib.records import experiment_from
from lib.suspects.human import METHODS, STAND_IN
from lib.suspects.human_heads import CHOICES, HumanCorrection, HumanMargins, corrected, margins
from lib.train import TrainConfig

CPU = torch.device("cpu")
HEAD = {"model": ModelConfig((16,)), "train": TrainConfig(lr=0.05, epochs=20, batch_size=20), "seed": 3}
CORRECTION = HumanCorrection(labels="random_label1", train_size=200, **HEAD)
AUM = HumanMargins(labels="random_label1", train_size=200, **HEAD)


def test_margins_by_hand():
    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0], [1.0, 1.0, 0.0]])
    assert margins(logits, torch.tensor([0, 2, 1])).tolist() == [1, -1, 0]


def test_aum_before_any_step_is_the_margin_of_the_first_network(human_files):
    """Without a step that moves a weight, the mean over epochs is what the weights at the start say."""
    still = replace(AUM, train=TrainConfig(lr=1e-30, epochs=2, batch_size=20))
    seen = still.samples(human_files)
    model = build(still.model, (1, 1, 10), 10, generator(3, "weights"))
    with torch.no_grad():
        expected = margins(model(seen.task.train_images), seen.labels.given).numpy()
    wrong = seen.labels.is_noisy.numpy()
    order = np.argsort(expected, kind="stable")
    hits = wrong[order].cumsum() / np.arange(1, len(wrong) + 1)
    (row,) = still.rows(CPU, human_files)
    assert row["average_precision"] == pytest.approx(hits[wrong[order]].mean(), abs=0.02)  # ties
    assert (row["method"], row["samples"]) == (len(METHODS), 200)
    assert row["true_rate"] == wrong.mean()


def test_aum_finds_plain_errors_and_not_hard_ones(human_files):
    (people,) = AUM.rows(CPU, human_files)
    (uniform,) = replace(AUM, noise="uniform").rows(CPU, human_files)
    assert 0.9 > uniform["average_precision"] > people["average_precision"] + 0.1  # right labels of hard ones accuse
    assert people["average_precision"] > people["true_rate"] + 0.1


def test_each_choice_changes_what_it_says(human_files):
    seen = CORRECTION.samples(human_files)
    given, true = seen.labels.given, seen.labels.true
    told = dict(zip(CHOICES, corrected(seen, CORRECTION.seed), strict=True))
    flagged = ~told["flagged left out"][1]
    assert 0 < flagged.sum() < 60
    assert (seen.labels.is_noisy & flagged).sum() > 0.8 * flagged.sum()
    assert torch.equal(told["as given"][0], given)
    assert torch.equal(told["all true"][0], true)
    assert torch.equal(told["flagged looked at"][0], torch.where(flagged, true, given))
    assert torch.equal(told["flagged relabelled"][0][~flagged], given[~flagged])
    others = told["others looked at"][0]
    moved = others != given
    assert torch.equal(others[moved], true[moved])
    assert moved.sum() < (told["flagged looked at"][0] != given).sum()
    assert all(kept.all() for name, (_, kept) in told.items() if name != "flagged left out")


def test_what_correcting_gains(human_files):
    table = pd.DataFrame(CORRECTION.rows(CPU, human_files), index=list(CHOICES))
    seen = CORRECTION.samples(human_files)
    assert table["choice"].tolist() == list(range(len(CHOICES)))
    assert table.loc["as given", "wrong"] == seen.labels.is_noisy.double().mean().item()
    assert table.loc["as given", "changed"] == table.loc["all true", "wrong"] == 0
    assert table.loc["all true", "changed"] == seen.labels.is_noisy.sum().item()
    assert table.loc["flagged left out", "samples"] + table.loc["flagged left out", "changed"] == 200
    flagged = ~corrected(seen, CORRECTION.seed)[1][1]
    left = (seen.labels.is_noisy & ~flagged).double()
    assert table.loc["flagged looked at", "wrong"] == left.mean().item()
    assert table.loc["flagged left out", "wrong"] == left[~flagged].mean().item()
    assert table.loc["flagged looked at", "wrong"] < table.loc["others looked at", "wrong"]
    assert (table["least_test_error"] <= table["test_error"]).all()
    hard = seen.task.test_images.flatten(1).argmax(1) != seen.task.test_labels  # which no label of others teaches
    assert table.loc["all true", "test_error"] == pytest.approx(hard.double().mean().item(), abs=0.06)


@pytest.mark.parametrize("run", [CORRECTION, AUM])
def test_a_run_is_read_back_from_its_settings(run):
    again = experiment_from(as_dict(run), run.kind)
    assert again == run
    assert again.key == run.key != replace(run, labels=STAND_IN).key
