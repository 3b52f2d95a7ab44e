"""Label errors that are made on purpose, and how well they are found: counts, scores and records."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score

from lib import records
from lib.data import DataConfig, load
from lib.experiments import as_dict
from lib.models import ModelConfig
from lib.records import Store, experiment_from
from lib.suspects.compare import (
    METHODS,
    PAIRS,
    FindWrongLabels,
    _at_count,
    _row,
    boundary,
    by_class,
    calibration_error,
    pairs,
    thinned,
)
from lib.suspects.early_stop import Recipe
from lib.train import Machine

CPU = torch.device("cpu")
CELL = FindWrongLabels(
    data=DataConfig("digits", train_size=300), setting="symmetric", noise_rate=0.2, model=ModelConfig((24,)),
    recipe=Recipe(epochs=16, batch_size=32),
)  # fmt: skip


def labels_of(sizes: list[int], generator: torch.Generator) -> torch.Tensor:
    true = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return true[torch.randperm(len(true), generator=generator)]


# What each kind of noise flips ---------------------------------------------------------------------------------


def test_pairs_become_their_partners(generator):
    sizes = [50, 60, 70, 80, 90, 100, 110, 120, 130, 140]
    found = pairs(labels_of(sizes, generator), 0.3, "mnist", tuple(range(10)), generator)
    partner = {a: b for one in PAIRS["mnist"] for a, b in (one, one[::-1])}
    assert sorted(partner) == list(range(10))
    for c, size in enumerate(sizes):
        given = found.given[found.true == c]
        assert int((given == partner[c]).sum()) == round(0.3 * size)
        assert int((given == c).sum()) == size - round(0.3 * size)


def test_pairs_among_some_classes_are_numbered_as_the_task_numbers_them(generator):
    """CIFAR-10's classes 0, 1, 8, 9 are 0 to 3 here: 1 and 9 are partners, and 0 and 8."""
    found = pairs(labels_of([40] * 4, generator), 0.25, "cifar10", (0, 1, 8, 9), generator)
    for c, becomes in {0: 2, 1: 3, 2: 0, 3: 1}.items():
        assert torch.bincount(found.given[found.true == c], minlength=4).tolist() == [
            30 * (k == c) + 10 * (k == becomes) for k in range(4)
        ]
    with pytest.raises(ValueError, match="class 9 is there without its partner"):
        pairs(labels_of([40] * 3, generator), 0.25, "cifar10", (0, 8, 9), generator)


@pytest.mark.parametrize("classes", [4, 5])
def test_odd_classes_become_the_next_four_times_as_often(classes, generator):
    sizes = [200 + 10 * c for c in range(classes)]
    found = by_class(labels_of(sizes, generator), 0.25, classes, generator)
    for c, size in enumerate(sizes):
        given = found.given[found.true == c]
        flipped = int((given == (c + 1) % classes).sum())
        assert flipped == round((0.4 if c % 2 else 0.1) * size)
        assert int((given == c).sum()) == size - flipped


def test_boundary_prefers_hard_samples_and_gives_their_second_choice(generator):
    task = load(DataConfig("digits"))
    images, true = task.train_images, task.train_labels
    found = boundary(images, true, 0.2, 10, generator)
    flipped = found.is_noisy.numpy()
    assert flipped.sum() == round(0.2 * len(true))
    x = images.flatten(1).double().numpy()
    other = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(x, true.numpy())
    scores = other.decision_function(x)
    rows = np.arange(len(true))
    own = scores[rows, true.numpy()]
    scores[rows, true.numpy()] = -np.inf
    assert roc_auc_score(flipped, scores.max(1) - own) > 0.65
    agreed = (scores.argmax(1) == found.given.numpy())[flipped].mean()
    assert agreed > 0.5  # 1 / 9 by chance


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [([1000, 1000, 1000], [1000, 316, 100]), ([400, 50], [400, 10]), ([300, 300, 300, 5], [300, 139, 65, 5])],
)
def test_thinned_classes_have_sizes_in_proportion(sizes, expected, generator):
    true = labels_of(sizes, generator)
    kept = thinned(true, len(sizes), generator)
    assert torch.bincount(true[kept]).tolist() == expected
    assert (kept.diff() > 0).all()


@pytest.mark.parametrize("setting", ["symmetric", "pairs", "classes", "imbalanced", "boundary"])
def test_a_setting_flips_as_many_as_it_says(setting):
    cell = replace(CELL, data=DataConfig("digits"), setting=setting, noise_rate=0.25)
    images, labels, task = cell.flipped()
    again = cell.flipped()[1]
    assert torch.equal(labels.given, again.given)
    assert not torch.equal(replace(cell, seed=1).flipped()[1].given, labels.given)
    assert len(images) == len(labels.true)
    assert labels.is_noisy.double().mean() == pytest.approx(0.25, abs=0.01)
    counts = torch.bincount(labels.true)
    if setting == "imbalanced":
        assert counts[9] / counts[0] == pytest.approx(0.1, abs=0.03)
    else:
        assert torch.equal(labels.true, task.train_labels)
        assert torch.equal(images, task.train_images)
    assert not replace(cell, noise_rate=0.0).flipped()[1].is_noisy.any()


def test_pooled_images_are_means_of_squares():
    images, labels, _ = replace(CELL, pool=2).flipped()
    plain = CELL.flipped()
    assert torch.equal(labels.given, plain[1].given)
    assert images.shape[2:] == (4, 4)
    assert images[7, 0, 1, 3].item() == pytest.approx(plain[0][7, 0, 2:4, 6:8].float().mean().item())


# Scores --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("probability", "wrong", "expected"),
    [
        ([0.05, 0.05, 0.95, 1.0], [0, 1, 1, 1], 0.5 * 0.45 + 0.5 * 0.025),
        ([0.0, 1.0], [0, 1], 0.0),
        ([0.0, 1.0], [1, 0], 1.0),
        ([0.12, 0.18, 0.15, 0.72], [0, 0, 1, 0], 0.75 * (1 / 3 - 0.15) + 0.25 * 0.72),
    ],
)
def test_calibration_error_by_hand(probability, wrong, expected):
    assert calibration_error(np.array(probability), np.array(wrong, dtype=bool)) == pytest.approx(expected)


def test_scores_of_a_ranking_by_hand():
    """Wrong labels at the first and third place of four."""
    wrong = np.array([False, True, True, False])
    quality = pd.Series([0.5, 0.0, 0.7, 0.9], index=list("dcba"))
    row = _row("AUM", quality, wrong, 1.0, 1, 2.0)
    assert row["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert row["auroc"] == pytest.approx(3 / 4)
    assert METHODS[row["method"]] == "AUM"
    assert [_at_count(quality, wrong, k)["precision_at_count"] for k in (1, 2, 3)] == pytest.approx([1, 1 / 2, 2 / 3])
    assert math.isnan(_at_count(quality, wrong, 0)["precision_at_count"])
    assert math.isnan(_row("AUM", quality, np.zeros(4, dtype=bool), 1.0, 1, 2.0)["auroc"])


# A cell --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole() -> list[dict]:
    return CELL.rows(CPU, None)


def test_a_cell_has_a_row_a_method(whole):
    table = pd.DataFrame(whole)
    assert sorted(table["method"]) == list(range(len(METHODS)))
    table = table.set_index(table["method"].map(METHODS.__getitem__))
    labels = CELL.flipped()[1]
    assert (table["samples"] == len(labels.true)).all()
    assert (table["true_rate"] == labels.is_noisy.double().mean().item()).all()
    ours = table.loc[["suspects", "suspects, last layer", "AUM", "margin", "small loss", "agreement alone"]]
    assert (ours["trainings"] == 1).all()
    assert (ours["epochs"] <= 16).all()
    rivals = table.loc[["cleanlab, self confidence", "cleanlab, normalized margin"]]
    assert (rivals["trainings"] == 5).all()
    assert (table["average_precision"] > 2 * labels.is_noisy.double().mean().item()).all()
    assert table["average_precision"].le(1).all()
    said = table.loc["suspects"]
    assert said["low"] <= said["noise_rate"] <= said["high"]
    assert said["count"] == pytest.approx(said["noise_rate"] * said["samples"])
    assert table["calibration_error"].notna().sum() == 3
    assert table["seconds"].gt(0).all()


def test_short_gives_the_first_rows_of_the_whole(whole):
    first = CELL.short().rows(CPU, None)
    assert 0 < len(first) < len(whole)

    def untimed(rows: list[dict]) -> pd.DataFrame:
        return pd.DataFrame(rows).drop(columns=list(FindWrongLabels.timed))

    pd.testing.assert_frame_equal(untimed(first), untimed(whole[: len(first)]), check_exact=True)


def test_a_cell_without_wrong_labels_has_no_scores_but_a_rate():
    rows = replace(CELL, noise_rate=0.0, rivals=False).rows(CPU, None)
    assert all(math.isnan(row["average_precision"]) and row["true_rate"] == 0 for row in rows)
    (said,) = [row for row in rows if METHODS[row["method"]] == "suspects"]
    assert said["noise_rate"] < 0.1


def test_a_cell_is_recorded_and_read_back(tmp_path):
    cell = replace(CELL, rivals=False, recipe=Recipe(epochs=4, lr=0.05), pool=2, seed=3)
    again = experiment_from(as_dict(cell), "suspects")
    assert again == cell
    assert again.key == cell.key != replace(cell, pool=1).key
    run = records.run_now(cell, machine=Machine("cpu"), progress=False)
    store = Store(tmp_path)
    store.put(run)
    read = store.get(again)
    pd.testing.assert_frame_equal(read.history, run.history, check_exact=True)
    assert read.provenance == run.provenance
    assert set(read.provenance["parts"]) >= {
        "suspects.early_stop",
        "suspects.tangents",
        "suspects.judgement",
        "suspects.compare",
        "layers",
    }


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"setting": "random"}, "unknown setting 'random'; there are: symmetric, pairs, classes, imbalanced, boundary"),
        ({"noise_rate": 0.6}, "noise_rate must lie in"),
        ({"noise_rate": -0.1}, "noise_rate must lie in"),
        ({"pool": 0}, "pool must be at least 1"),
        ({"seed": -1}, "seed must lie in"),
        ({"recipe": Recipe(held_out=0.9)}, "held_out must lie in"),
        ({"data": DataConfig("letters")}, "unknown data set 'letters'"),
        ({"model": ModelConfig((0,))}, "width"),
    ],
)
def test_settings_that_no_part_takes_are_named(changed, message):
    CELL.validate()
    with pytest.raises(ValueError, match=message):
        replace(CELL, **changed).validate()
