"""The penalty against that of nested autograd; selective trainings."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lib import records
from lib.beyond.derivatives import cumulants, nested_derivatives
from lib.beyond.penalties import CONDITIONS, SelectiveTraining, logits_and_sizes, members, penalty, penalty_sizes
from lib.data import DataConfig
from lib.experiments import as_dict
from lib.gradients import eval_mode
from lib.models import ModelConfig
from lib.noise import NoiseConfig
from lib.train import Machine, TrainConfig, TrainingDiverged
from tests.beyond.test_derivatives import CNN, DROPPED, MLP, made


@pytest.mark.parametrize("config", [CNN, MLP, DROPPED], ids=["cnn", "mlp", "dropout"])
def test_the_penalty_has_the_gradient_of_the_nested_one(config, samples):
    images, labels, directions = samples
    ours, theirs = made(config), made(config)
    penalty(ours, images, labels, directions, 3).backward()
    with eval_mode(theirs):
        nested_derivatives(theirs, images, labels, directions, 3).abs().mean().backward()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        # a bias of the last layer moves p and so has one too; the softmax makes its entries sum to 0
        assert (one.grad - other.grad).norm() <= 1e-5 * other.grad.norm()
        assert other.grad.norm() > 0


@pytest.mark.parametrize("config", [CNN, DROPPED, MLP], ids=["cnn", "dropout", "mlp"])
def test_one_pass_for_logits_and_penalty_gives_the_gradient_of_two(config, samples):
    """With dropout too: logits with the mask of this pass, penalty without any."""
    images, labels, directions = samples
    together, apart = made(config), made(config)
    torch.manual_seed(3)
    logits, sizes = logits_and_sizes(together, images, labels, directions)
    torch.manual_seed(3)
    expected = apart(images), penalty_sizes(apart, images, labels, directions)
    assert together.training
    assert torch.allclose(logits, expected[0], atol=1e-6)
    assert torch.allclose(sizes, expected[1], rtol=1e-5)
    for some in ((logits, sizes), expected):
        (nn.functional.cross_entropy(some[0], labels) + 5 * some[1].mean()).backward()
    for one, other in zip(together.parameters(), apart.parameters(), strict=True):
        assert (one.grad - other.grad).norm() <= 1e-5 * other.grad.norm()


@pytest.mark.parametrize("orders", [0, 5, -1])
def test_orders_without_a_formula_are_refused(orders, samples):
    logits, a = torch.zeros(12, 10), torch.zeros(3, 12, 10)
    with pytest.raises(ValueError, match="1 to 4"):
        cumulants(logits, a, samples[1], orders)
    with pytest.raises(ValueError, match="1 to 4"):
        penalty(made(CNN), *samples, orders, torch.zeros(12, dtype=torch.bool))


def test_a_mask_takes_its_samples_and_an_empty_one_gives_zero(samples):
    model, (images, labels, directions) = made(CNN), samples
    chosen = members(labels, (int(labels[0]), int(labels[1])))
    assert 0 < chosen.sum() < len(labels)
    alone = penalty(model, images[chosen], labels[chosen], directions[:, chosen])
    assert torch.allclose(penalty(model, images, labels, directions, chosen=chosen), alone)
    assert not torch.allclose(penalty(model, images, labels, directions), alone)
    nothing = penalty(model, images, labels, directions, chosen=members(labels, ()))
    assert nothing.item() == 0
    assert members(labels, None).all()


TINY = SelectiveTraining(
    data=DataConfig("digits", test_size=300),
    noise=NoiseConfig(0.2),
    model=ModelConfig((4, 6, 16), kind="cnn"),
    train=TrainConfig(lr=1e-2, epochs=6, batch_size=64),
    condition="selective_49",
    strength=2.0,
    points=40,
    measured=2,
)


def trained(settings: SelectiveTraining) -> list[dict]:
    return settings.run(
        machine=Machine("cpu", threads=1), folder=None, resume=False, made_by="", progress=False
    ).history


def same(one: list[dict], other: list[dict]) -> bool:
    return all(
        np.array_equal(list(a.values()), list(b.values()), equal_nan=True) for a, b in zip(one, other, strict=True)
    )


def test_a_selective_training_is_a_table_of_numbers_alike_for_a_seed():
    rows = trained(TINY)
    assert [(row["epoch"], row["pair_a"], row["pair_b"]) for row in rows[:4]] == [
        (1, 4, 9), (1, 3, 8), (1, 5, 6), (2, 4, 9),
    ]  # fmt: skip
    assert len(rows) == 18
    assert all(isinstance(value, int | float) for row in rows for value in row.values())
    assert all(row["points"] + row["misclassified"] + row["third"] == row["tried"] == 40 for row in rows)
    assert all(math.isnan(row["slope"]) == (row["points"] == 0) for row in rows)
    last = rows[-1]
    assert last["test_accuracy"] > 0.3
    assert last["points"] > 0
    assert math.isfinite(last["slope"])
    expected = np.polyfit(range(1, 5), [last[f"log_d{n}"] for n in range(1, 5)], 1)[0]
    assert last["growth"] == pytest.approx(expected)
    sizes = [last[f"penalty_d{n}"] for n in (1, 2, 3)]
    assert last["share"] == pytest.approx(2.0 * np.mean(sizes) / last["cross_entropy"])
    assert last["chosen"] == pytest.approx(0.2, abs=0.03)
    assert same(rows, trained(TINY))
    assert not same(rows, trained(replace(TINY, seed=1)))
    assert same(rows[:6], trained(TINY.short(2)))


def test_conditions_start_alike_and_differ_in_what_they_penalise():
    """At strength 0 none of them changes a weight, and yet each counts its own samples."""
    idle = [
        trained(replace(TINY, condition=name, strength=0.0, train=replace(TINY.train, epochs=1))) for name in CONDITIONS
    ]
    losses = [[row["cross_entropy"] for row in rows] for rows in idle]
    assert np.allclose(losses, losses[0], rtol=1e-4)
    chosen = [rows[0]["chosen"] for rows in idle]
    assert chosen[:2] == [0.0, 1.0]
    assert 0.1 < chosen[2] < 0.3


def test_the_penalty_flattens():
    heavy = replace(TINY, condition="global", noise=NoiseConfig(0.0))
    plain, flat = (trained(replace(heavy, strength=s))[-1] for s in (0.0, 10.0))
    assert sum(flat[f"penalty_d{n}"] for n in (1, 2, 3)) < 0.7 * sum(plain[f"penalty_d{n}"] for n in (1, 2, 3))


def test_masks_read_the_labels_they_name():
    """With 40 % wrong labels the three masks choose different samples; without noise given and true are one."""
    noisy = replace(TINY, noise=NoiseConfig(0.4), train=replace(TINY.train, epochs=1))
    given, true, predicted = (trained(replace(noisy, mask=mask)) for mask in ("given", "true", "predicted"))
    assert not same(given, true)
    assert not same(given, predicted)
    clean = replace(noisy, noise=NoiseConfig(0.0))
    assert same(trained(clean), trained(replace(clean, mask="true")))


def test_dropout_and_pooling_are_drawn_from_the_seed_and_leave_the_global_state():
    settings = replace(
        TINY,
        model=ModelConfig((16, 16), kind="fcn"),
        pool=2,
        train=replace(TINY.train, epochs=1),
    )
    assert len(trained(settings)) == 3
    dropped = replace(TINY, model=replace(TINY.model, dropout=0.5), train=replace(TINY.train, epochs=1))
    before = torch.get_rng_state()
    torch.manual_seed(1)
    first = trained(dropped)
    torch.manual_seed(2)
    assert same(first, trained(dropped))
    torch.set_rng_state(before)
    trained(dropped)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_record_gives_the_settings_back(monkeypatch):
    other = replace(TINY, mask="true", pool=2, model=replace(TINY.model, standardise=(0.1, 0.3)))
    for settings in (TINY, other):
        stored = json.loads(json.dumps(as_dict(settings)))
        assert records.experiment_from(stored, "selective") == settings
    assert len({TINY.key, other.key, replace(TINY, condition="selective_38").key}) == 3


def test_a_diverging_training_keeps_its_rows():
    with pytest.raises(TrainingDiverged, match="not finite in epoch 1"):
        trained(replace(TINY, train=TrainConfig(lr=1e30, epochs=1)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"condition": "local"}, "baseline, global, selective_49, selective_38"),
        ({"mask": "clean"}, "given, true, predicted"),
        ({"condition": "global", "mask": "true"}, "selective conditions"),
        ({"data": DataConfig("digits", classes=(4, 9))}, "ten classes"),
        ({"model": ModelConfig((4,), kind="resnet9")}, "piecewise-linear"),
        ({"model": ModelConfig((8,), batch_norm=True)}, "piecewise-linear"),
        ({"model": ModelConfig((8,), antisymmetric=True)}, "antisymmetric"),
        ({"train": TrainConfig(lr=0.1, epochs=1, momentum=0.9)}, "Adam"),
        ({"strength": -1.0}, "strength"),
        ({"strength": math.inf}, "strength"),
        ({"orders": 5}, "1 to 4"),
        ({"directions": 0}, "directions must be at least 1"),
        ({"points": 0}, "points must be at least 1"),
        ({"noise": NoiseConfig(1.0)}, "noise_rate"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_settings_are_named_before_any_compute(change, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **change).validate()


@pytest.mark.parametrize(("change", "message"), [({"pool": 9}, "pool 9"), ({"pool": 2}, "too small for the CNN")])
def test_images_that_pooling_leaves_too_small_are_refused_before_any_compute(change, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **change).preflight()
