"""Labels that people gave: what is drawn in their likeness, what a record says of them, by hand on made-up files."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from lib.data import DataDamaged, DataUnavailable
from lib.experiments import as_dict, generator
from lib.models import ModelConfig, build
from lib.noise import NoisyLabels
from lib.records import experiment_from
from lib.suspects import human
from lib.suspects.human import (
    METHODS,
    STAND_IN,
    HumanFinders,
    HumanTraining,
    by_doubt,
    confusion,
    doubt,
    human_labels,
    in_likeness,
    scores,
)
from lib.train import TrainConfig

CPU = torch.device("cpu")
TRAINING = HumanTraining(
    labels=STAND_IN, model=ModelConfig((8,)), train=TrainConfig(lr=0.05, epochs=2, batch_size=32), seed=3
)
PEOPLE = NoisyLabels(
    given=torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 0] * 10),
    true=torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2] * 10),
    classes=3,
)


def test_confusion_by_hand():
    expected = torch.tensor([[0.75, 0.25, 0], [0, 0.5, 0.5], [0.25, 0, 0.75]], dtype=torch.float64)
    assert torch.equal(confusion(PEOPLE), expected)
    absent = NoisyLabels(torch.tensor([0, 2]), torch.tensor([0, 0]), 3)
    assert confusion(absent).tolist() == [[0.5, 0, 0.5], [0, 1, 0], [0, 0, 1]]


def test_the_same_classes_are_the_same_counts_on_other_samples():
    found = in_likeness(PEOPLE, "classes", generator(0, "noise"))
    assert torch.equal(found.true, PEOPLE.true)
    for true in range(3):
        for given in range(3):
            counted = [((one.true == true) & (one.given == given)).sum() for one in (found, PEOPLE)]
            assert counted[0] == counted[1]
    both = (found.is_noisy & PEOPLE.is_noisy).sum() / PEOPLE.is_noisy.sum()
    assert 0.1 < both < 0.7  # a third of a class is wrong, wherever
    assert not torch.equal(found.given, in_likeness(PEOPLE, "classes", generator(1, "noise")).given)


def test_uniform_noise_has_the_rate_in_each_class_and_any_other_label():
    assert PEOPLE.is_noisy.double().mean() == pytest.approx(4 / 12)
    found = in_likeness(PEOPLE, "uniform", generator(0, "noise"))
    assert found.realised_rate() == pytest.approx([13 / 40] * 3)
    assert ((confusion(found) > 0.05).sum(1) == 3).all()
    assert in_likeness(PEOPLE, "human", generator(0, "noise")) is PEOPLE


def test_doubt_by_hand():
    p = np.array([[0.6, 0.3, 0.1], [0.0, 1.0, 0.0], [0.2, 0.2, 0.6], [0.0, 0.0, 1.0]])
    found = doubt(p, np.array([1, 1, 0, 0]), np.array([0, 0, 1, 1]))
    assert found == pytest.approx([1 / 3, 1, 1 / 2, 0])


def test_scores_by_hand():
    """Wrong at the first and third place of five; the first two and the last are flagged."""
    quality, wrong = np.array([0.9, 0.1, 0.5, 0.3, 1.0]), np.array([False, True, True, False, False])
    row = scores(2, quality, wrong, np.array([False, True, False, True, True]))
    assert row["method"] == 2
    assert row["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert row["best_f1"] == pytest.approx(2 * 2 / (3 + 2))  # of the first three
    assert row["f1"] == pytest.approx(2 * 1 / (3 + 2))
    assert row["chance_f1"] == pytest.approx(2 * 3 * 0.4 / (3 + 2))
    plain = scores(3, quality, wrong)
    assert np.isnan(plain["f1"])
    assert plain["best_f1"] == row["best_f1"]
    assert set(plain) == set(row) == {*plain, "noise_rate", "low", "high", "calibration_error"}


# Made-up files ---------------------------------------------------------------------------------------------------


def test_labels_are_those_of_the_images_whose_features_are_there(human_files):
    features, true, given, place = human_labels("random_label1", human_files)
    with np.load(human_files / "cifar10.npz") as images, np.load(human_files / human.FEATURES_FILE) as found:
        assert (place == found["index"]).all()
        assert (true == images["train_labels"][place]).all()
        assert ((given != true) == ((found["index"] % 10 == 0) | (found["index"] % 23 == 7))).all()
    assert features.shape == (360, 10)
    assert features.dtype == np.float32


@pytest.mark.parametrize("name", [human.LABELS_FILE, human.FEATURES_FILE])
def test_what_is_not_there_or_damaged_is_said(human_files, name):
    path = human_files / name
    whole = path.read_bytes()
    path.unlink()
    with pytest.raises(DataUnavailable, match=rf"{name} is not in .*Put it there, with .*cifar10\.npz"):
        human_labels("random_label1", human_files)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataDamaged, match=f"{name} is damaged"):
        human_labels("random_label1", human_files)


def test_labels_in_another_order_or_pickled_are_refused(human_files):
    path = human_files / human.LABELS_FILE
    with np.load(path) as file:
        given = file["random_label1"]
    np.savez(path, random_label1=given[::-1])
    with pytest.raises(DataDamaged, match="not in the order of the images"):
        human_labels("random_label1", human_files)
    np.savez(path, random_label1=given.astype(object))
    with pytest.raises(DataDamaged, match="damaged"):
        human_labels("random_label1", human_files)
    with pytest.raises(DataDamaged, match="damaged"):  # another one of the sets
        human_labels("aggre_label", human_files)


MADE_UP = replace(TRAINING, labels="random_label1", train_size=200)


def test_a_run_trains_tests_and_judges_on_different_images(human_files):
    seen, other = MADE_UP.samples(human_files), replace(MADE_UP, seed=4).samples(human_files)
    assert [len(seen.raw), len(seen.task.test_labels), len(seen.reference)] == [200, 60, 60]
    x = seen.task.train_images.flatten(1)
    assert x.mean(0).abs().max() < 1e-5
    assert (x.std(0, correction=0) - 1).abs().max() < 1e-4
    mean, deviation = seen.raw.mean(0), seen.raw.std(0)
    back = [part * deviation + mean for part in (seen.task.test_images.flatten(1).numpy(), seen.reference)]
    rows = {tuple(row.round(2)) for part in (seen.raw, *back) for row in part}
    assert len(rows) > 315  # 320 drawn without repetition, but for rounding
    assert not np.array_equal(seen.raw, other.raw)
    with pytest.raises(ValueError, match="but there are 360"):
        replace(MADE_UP, train_size=241).samples(human_files)


def test_images_are_those_whose_features_are_seen(human_files):
    """The made-up images hold their own number, from which their features follow."""
    images, task = MADE_UP.samples(human_files).images, MADE_UP.samples(human_files).task
    number = images.train_images[:, 0, 0, 0].long() + 250 * images.train_images[:, 0, 0, 1].long()
    assert len(set(number.tolist())) == 200
    corner = task.train_images.flatten(1).argmax(1)
    assert torch.equal(corner, (images.train_labels + (number % 10 == 0)) % 10)
    assert len(images.test_images) == len(task.test_labels)
    assert (images.white, images.train_images.dtype) == (255.0, torch.uint8)


def test_the_first_row_on_pixels_by_hand():
    """Errors before any step of a network on the digits' images, recomputed from its weights."""
    run = replace(TRAINING, model=ModelConfig((4, 4, 8), kind="cnn"), pixels=True)
    seen, first = run.samples(), run.rows(CPU, None)[0]
    model = build(run.model, (1, 8, 8), 10, generator(3, "weights"))
    with torch.no_grad():
        says, tested = (
            model(part / seen.images.white).argmax(1) for part in (seen.images.train_images, seen.images.test_images)
        )
    given, wrong = seen.labels.given, seen.labels.is_noisy
    assert first["noisy_error"] == pytest.approx((says != given)[wrong].double().mean().item())
    assert first["test_error"] == pytest.approx((tested != seen.images.test_labels).double().mean().item())
    for k, group in enumerate(by_doubt(seen)):
        learnt = (says == given)[group].double().mean().item() if len(group) else np.nan
        assert first[f"learnt_{k}"] == pytest.approx(learnt, nan_ok=True)
    assert run.key != replace(run, pixels=False).key


def test_the_judge_leans_to_labels_of_images_that_look_like_them(human_files):
    seen = MADE_UP.samples(human_files)
    groups = by_doubt(seen)
    wrong = seen.labels.is_noisy
    assert sorted(torch.cat(groups).tolist()) == wrong.nonzero().squeeze(1).tolist()
    like_given = (seen.labels.given - seen.labels.true) % 10 == 1  # the hard ones lie at the next class's corner
    leaning = torch.cat(groups[2:])
    assert like_given[leaning].all()
    assert len(leaning) >= 0.9 * (like_given & wrong).sum() > 0
    assert len(groups[0]) > 0


def test_the_first_row_by_hand(human_files):
    """Errors of the network before any step, recomputed with numpy from its weights."""
    seen, rows = MADE_UP.samples(human_files), MADE_UP.rows(CPU, human_files)
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    model = build(MADE_UP.model, (1, 1, 10), 10, generator(3, "weights"))
    (w1, b1, w2, b2) = (p.detach().double().numpy() for p in model.parameters())

    def predicted(images):
        return (np.maximum(images.flatten(1).double().numpy() @ w1.T + b1, 0) @ w2.T + b2).argmax(1)

    says, given, wrong = predicted(seen.task.train_images), seen.labels.given.numpy(), seen.labels.is_noisy.numpy()
    first = rows[0]
    assert first["noisy_error"] == pytest.approx((says != given)[wrong].mean())
    assert first["clean_error"] == pytest.approx((says != given)[~wrong].mean())
    assert first["test_error"] == pytest.approx(
        (predicted(seen.task.test_images) != seen.task.test_labels.numpy()).mean()
    )
    for k, group in enumerate(by_doubt(seen)):
        assert first[f"wrong_{k}"] == len(group)
        if len(group):
            assert first[f"learnt_{k}"] == pytest.approx((says == given)[group.numpy()].mean())
        else:
            assert np.isnan(first[f"learnt_{k}"])
    counts, shares = (np.array([first[f"{name}_{k}"] for k in range(4)]) for name in ("wrong", "learnt"))
    assert np.nansum(counts * shares) / counts.sum() == pytest.approx(1 - first["noisy_error"])
    assert first["ratio"] > 1


def test_short_gives_the_first_rows_of_the_whole(human_files):
    long = replace(MADE_UP, train=replace(MADE_UP.train, epochs=4))
    pd.testing.assert_frame_equal(
        pd.DataFrame(long.short().rows(CPU, human_files)),
        pd.DataFrame(long.rows(CPU, human_files)[:3]),
        check_exact=True,
    )


def test_plain_errors_are_found_by_all_and_hard_ones_by_none(human_files):
    """On corners far apart a wrong label is a wrong neighbour, unless the image itself lies at the wrong corner."""
    finders = HumanFinders(labels="random_label1", train_size=200, seed=3)
    table = pd.DataFrame(finders.rows(CPU, human_files)).set_index("method")
    labels = finders.samples(human_files).labels
    wrong = labels.is_noisy
    plain = ((labels.given - labels.true) % 10 == 2).sum().item()
    assert sorted(table.index) == list(range(len(METHODS)))
    assert (table["samples"] == 200).all()
    assert (table["true_rate"] == wrong.double().mean().item()).all()
    assert (table["best_f1"] >= 2 * plain / (plain + wrong.sum().item()) - 0.02).all()
    assert (table["average_precision"] < 0.8).all()  # the hard ones look right
    ours = table.loc[0]
    assert ours["low"] <= ours["noise_rate"] <= ours["high"]
    assert table["calibration_error"].isna().tolist() == [False, False, False, True]
    drawn = pd.DataFrame(replace(finders, noise="uniform").rows(CPU, human_files))
    better = drawn["average_precision"].to_numpy() - table.sort_index()["average_precision"].to_numpy()
    assert (better > 0.1).all()  # on images drawn at random, few look right


# On the digits ---------------------------------------------------------------------------------------------------


def test_the_stand_in_errs_where_images_are_hard():
    shares = []
    for seed in range(3):
        seen = replace(TRAINING, seed=seed).samples()
        wrong = seen.labels.is_noisy.numpy()
        assert 0.05 < wrong.mean() < 0.35
        drawn = replace(TRAINING, seed=seed, noise="uniform").samples()
        assert drawn.labels.is_noisy.double().mean() == pytest.approx(wrong.mean(), abs=0.01)
        leaning = [sum(len(group) for group in by_doubt(some)[2:]) / wrong.sum() for some in (seen, drawn)]
        shares.append(leaning)
    people, uniform = np.mean(shares, axis=0)
    assert people > uniform + 0.1


@pytest.mark.parametrize("run", [TRAINING, HumanFinders(labels="aggre_label", noise="classes", seed=2)])
def test_a_run_is_read_back_from_its_settings(run):
    again = experiment_from(as_dict(run), run.kind)
    assert again == run
    assert again.key == run.key != replace(run, noise="uniform").key
    assert run.slug.startswith("digits-human-training" if run is TRAINING else "cifar10-human-finders-aggre_label")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": "worse_label"}, "unknown labels 'worse_label'; there are: aggre_label"),
        ({"noise": "pairs"}, "unknown noise 'pairs'; there are: human, classes, uniform"),
        ({"train_size": 0}, "train_size must be at least 1"),
        ({"seed": -1}, "seed must lie in"),
    ],
)
def test_settings_that_cannot_be_meant_are_named(changed, message):
    TRAINING.validate()
    with pytest.raises(ValueError, match=message):
        replace(TRAINING, **changed).validate()
