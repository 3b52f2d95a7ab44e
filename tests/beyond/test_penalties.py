"""Directional derivatives against nested autograd and closed forms; boundaries of known place; selective trainings."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lib import records
from lib.beyond.penalties import (
    CONDITIONS,
    NoBoundary,
    SelectiveTraining,
    boundary_points,
    cumulants,
    directional,
    growth_rate,
    logits_and_sizes,
    members,
    outputs,
    pair_slopes,
    paired_interval,
    penalty,
    penalty_sizes,
    unit_directions,
)
from lib.data import DataConfig
from lib.experiments import as_dict
from lib.experiments import generator as purpose
from lib.gradients import eval_mode
from lib.models import ModelConfig, build
from lib.noise import NoiseConfig
from lib.train import Machine, TrainConfig, TrainingDiverged

CNN = ModelConfig((4, 6, 12), kind="cnn", standardise=(0.13, 0.31))
DROPPED = replace(CNN, dropout=0.5)
MLP = ModelConfig((20, 12))


@pytest.fixture
def samples(generator):
    """Images [12, 1, 8, 8], labels of ten classes, and three directions for each image."""
    images = torch.rand((12, 1, 8, 8), generator=generator)
    labels = torch.randint(10, (12,), generator=generator)
    return images, labels, unit_directions(tuple(images.shape), 3, generator)


def made(config: ModelConfig) -> nn.Module:
    return build(config, (1, 8, 8), 10, torch.Generator().manual_seed(1))


def nested(model, images, labels, directions, orders):
    """D^1 to D^orders, ``[orders, k, n]``, by a backward pass for each."""
    images = images.clone().requires_grad_(True)
    found = []
    for direction in directions:
        value = nn.functional.cross_entropy(model(images), labels, reduction="none")
        for _ in range(orders):
            (gradient,) = torch.autograd.grad(value.sum(), images, create_graph=True)
            value = (gradient * direction).flatten(1).sum(1)
            found.append(value)
    return torch.stack(found).unflatten(0, (len(directions), orders)).transpose(0, 1)


@pytest.mark.parametrize("config", [CNN, MLP], ids=["cnn", "mlp"])
def test_cumulants_are_nested_derivatives(config, samples):
    model = made(config).double()
    images, labels, directions = samples[0].double(), samples[1], samples[2].double()
    directions = 30 * directions  # so that the fourth order is not tiny
    ours = cumulants(*directional(model, images, directions), labels, 4)
    theirs = nested(model, images, labels, directions, 4)
    assert ours.shape == (4, 3, 12)
    assert (ours - theirs).abs().max() <= 1e-10
    assert (theirs.abs().amax((1, 2)) > 1e-6).all()  # there was something to agree on


@pytest.mark.parametrize("config", [CNN, MLP, DROPPED], ids=["cnn", "mlp", "dropout"])
def test_the_penalty_has_the_gradient_of_the_nested_one(config, samples):
    images, labels, directions = samples
    ours, theirs = made(config), made(config)
    penalty(ours, images, labels, directions, 3).backward()
    with eval_mode(theirs):
        nested(theirs, images, labels, directions, 3).abs().mean().backward()
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


def test_two_classes_have_the_bernoulli_cumulants():
    """With q = p(1 - p) and d = a_1 - a_0: D^2 = q d^2, D^3 = q (1 - 2p) d^3, D^4 = q (1 - 6q) d^4."""
    h = torch.tensor([-1.3, 0.0, 0.4, 2.0]).double()
    logits = torch.stack([torch.zeros_like(h), h], 1)
    a = torch.tensor([[0.2, -0.7], [1.0, 0.5], [0.0, 3.0], [-0.4, -0.1]]).double().unsqueeze(0)
    labels = torch.tensor([0, 1, 0, 1])
    p, d = h.sigmoid(), a[0, :, 1] - a[0, :, 0]
    q = p * (1 - p)
    expected = [(p - labels) * d, q * d**2, q * (1 - 2 * p) * d**3, q * (1 - 6 * q) * d**4]
    assert torch.allclose(cumulants(logits, a, labels, 4)[:, 0], torch.stack(expected), atol=1e-14)


def test_the_third_order_is_zero_where_two_classes_meet():
    logits, a = torch.zeros(1, 2).double(), torch.tensor([[[0.3, -1.1]]]).double()
    d1, d2, d3, _ = cumulants(logits, a, torch.tensor([0]), 4).flatten().tolist()
    assert abs(d3) < 1e-16 < d2
    assert abs(d1) == pytest.approx(0.7)


@pytest.mark.parametrize("orders", [0, 5, -1])
def test_orders_without_a_formula_are_refused(orders, samples):
    logits, a = torch.zeros(12, 10), torch.zeros(3, 12, 10)
    with pytest.raises(ValueError, match="1 to 4"):
        cumulants(logits, a, samples[1], orders)
    with pytest.raises(ValueError, match="1 to 4"):
        penalty(made(CNN), *samples, orders, torch.zeros(12, dtype=torch.bool))


def test_shapes_that_do_not_fit_are_refused(samples):
    images, labels, directions = samples
    with pytest.raises(ValueError, match="do not fit"):
        directional(made(CNN), images, directions[:, :5])
    with pytest.raises(ValueError, match="C >= 2"):
        cumulants(torch.zeros(12, 1), torch.zeros(3, 12, 1), labels, 2)
    with pytest.raises(ValueError, match="labels of shape"):
        cumulants(torch.zeros(12, 10), torch.zeros(3, 12, 10), labels[:4], 2)
    with pytest.raises(ValueError, match="at least 1"):
        unit_directions((4, 1, 8, 8), 0, torch.Generator())


def test_directions_have_unit_length_and_come_from_their_generator():
    first, again, other = (unit_directions((5, 1, 4, 4), 3, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert first.shape == (3, 5, 1, 4, 4)
    assert torch.allclose(first.flatten(2).norm(dim=2), torch.ones(3, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


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


def test_growth_rate_of_a_geometric_series_and_its_floor():
    series = torch.stack([torch.full((2, 5), 7 * 0.3**n) for n in range(1, 5)]).double()
    rate, logs = growth_rate(-series)
    assert rate == pytest.approx(math.log(0.3))
    assert logs == pytest.approx([math.log(7) + n * math.log(0.3) for n in range(1, 5)])
    assert growth_rate(torch.zeros(4, 2, 5))[1] == pytest.approx([math.log(1e-12)] * 4)
    with pytest.raises(ValueError, match="two orders"):
        growth_rate(series[:1])
    with pytest.raises(ValueError, match="a point"):
        growth_rate(series[:, :, :0])


class Plane(nn.Module):
    """Logits of points [n, 2]: x, y, and that of a third class, which may be everywhere the largest."""

    def __init__(self, third: float = -9.0) -> None:
        super().__init__()
        self.third = third

    def forward(self, points):
        return torch.cat([points, torch.full_like(points[:, :1], self.third)], 1)


@pytest.fixture
def halves(generator):
    """Points right of and above the diagonal x = y, in [0, 1], with labels 0 and 1."""
    points = torch.rand((200, 2), generator=generator)
    return points, (points[:, 1] > points[:, 0]).long()


def test_bisection_ends_on_a_known_boundary(halves, generator):
    found = boundary_points(Plane(), *halves, (0, 1), generator, most=50)
    assert found.points.shape == (50, 2)
    assert (found.points[:, 0] - found.points[:, 1]).abs().max() < 1e-6
    assert (found.tried, found.misclassified, found.third) == (50, 0, 0)
    slopes = pair_slopes(torch.tensor([[[1.0, 3.0, 5.0]]]), (0, 1))
    assert slopes.tolist() == [[-2.0]]


def test_points_where_a_third_class_is_above_are_refused_and_counted(halves, generator):
    """The third logit is .5: of the diagonal only its upper half is a boundary of the two classes."""
    points, labels = halves
    sure = points.max(1).values > 0.5
    found = boundary_points(Plane(0.5), points[sure], labels[sure], (0, 1), generator, most=100)
    assert 0 < found.third < 100
    assert len(found.points) == 100 - found.third - found.misclassified
    assert (found.points > 0.5).all()
    assert found.index.unique().numel() == len(found.points)


def test_misclassified_ends_are_refused_and_counted(halves, generator):
    points, labels = halves
    wrong = labels.clone()
    wrong[:100] = 1 - wrong[:100]
    found = boundary_points(Plane(), points, wrong, (0, 1), generator, most=80)
    assert found.misclassified > 0
    assert len(found.points) == 80 - found.misclassified


def test_the_pairs_of_images_are_the_same_for_every_model(halves):
    first, other = (boundary_points(Plane(t), *halves, (0, 1), torch.Generator().manual_seed(5)) for t in (-9.0, 0.4))
    kept = torch.isin(first.index, other.index)
    assert 0 < len(other.points) < len(first.points)
    assert torch.equal(first.points[kept], other.points)


@pytest.mark.parametrize(
    ("third", "flip", "counts"), [(9.0, False, (20, 20, 0)), (-9.0, True, (20, 20, 0))], ids=["third", "all wrong"]
)
def test_no_boundary_names_the_pair_and_says_why(halves, generator, third, flip, counts):
    points, labels = halves
    with pytest.raises(NoBoundary, match="classes 0 and 1: of 20 pairs") as raised:
        boundary_points(Plane(third), points, 1 - labels if flip else labels, (0, 1), generator, most=20)
    assert (raised.value.tried, raised.value.misclassified, raised.value.third) == counts
    assert raised.value.pair == (0, 1)


def test_a_third_class_above_the_whole_boundary_is_no_boundary(generator):
    """Both ends are right, but between them the third class wins."""
    points, labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
    with pytest.raises(NoBoundary, match="7 meet where a third class") as raised:
        boundary_points(Plane(0.8), points, labels, (0, 1), generator, most=7)
    assert raised.value.third == 7


def test_a_class_without_images_and_a_pair_of_one_class_are_refused(halves, generator):
    with pytest.raises(NoBoundary, match="of 0 pairs"):
        boundary_points(Plane(), *halves, (0, 2), generator)
    with pytest.raises(ValueError, match="two different classes"):
        boundary_points(Plane(), *halves, (1, 1), generator)


def test_paired_intervals_are_students():
    """Differences 1, 2, 3: standard error 1 / sqrt 3 with two degrees of freedom, whose quantile is 4.3027."""
    mean, low, high = paired_interval([1.0, 2.0, 3.0])
    assert mean == 2
    assert high - mean == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert mean - low == pytest.approx(high - mean)
    for bad in ([1.0], [1.0, math.nan]):
        with pytest.raises(ValueError, match="two or more finite"):
            paired_interval(bad)


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


def test_outputs_and_purposes_are_the_houses(samples):
    """Eval mode, and a generator for each purpose."""
    model = made(DROPPED)
    assert torch.equal(outputs(model, samples[0]), outputs(model, samples[0]))
    assert model.training
    assert purpose(0, "directions").initial_seed() != purpose(0, "boundary 4v9").initial_seed()
