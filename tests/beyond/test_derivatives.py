"""Directional derivatives against nested autograd and closed forms; boundaries of known place."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from lib.beyond.derivatives import (
    NoBoundary,
    boundary_points,
    cumulants,
    directional,
    growth_rate,
    nested_derivatives,
    outputs,
    pair_slopes,
    unit_directions,
)
from lib.experiments import generator as purpose
from lib.models import ModelConfig, build

CNN = ModelConfig((4, 6, 12), kind="cnn", standardise=(0.13, 0.31))
DROPPED = replace(CNN, dropout=0.5)
MLP = ModelConfig((20, 12))


def made(config: ModelConfig) -> nn.Module:
    return build(config, (1, 8, 8), 10, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("config", [CNN, MLP], ids=["cnn", "mlp"])
def test_cumulants_are_nested_derivatives(config, samples):
    model = made(config).double()
    images, labels, directions = samples[0].double(), samples[1], samples[2].double()
    directions = 30 * directions  # so that the fourth order is not tiny
    ours = cumulants(*directional(model, images, directions), labels, 4)
    theirs = nested_derivatives(model, images, labels, directions, 4)
    assert ours.shape == (4, 3, 12)
    assert (ours - theirs).abs().max() <= 1e-10
    assert (theirs.abs().amax((1, 2)) > 1e-6).all()  # there was something to agree on


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


@pytest.mark.parametrize("length", [2.0, 0.1])
def test_directions_c_times_as_long_add_log_c_to_the_growth_rate(length, samples):
    """Its absolute value says in which unit pixels are measured: D^n is homogeneous of degree n."""
    images, labels, directions = samples[0].double(), samples[1], 30 * samples[2].double()
    logits, a = directional(made(MLP).double(), images, directions)
    first, other = (growth_rate(cumulants(logits, c * a, labels, 4))[0] for c in (1.0, length))
    assert other - first == pytest.approx(math.log(length))


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


def test_outputs_and_purposes_are_the_houses(samples):
    """Eval mode, and a generator for each purpose."""
    model = made(DROPPED)
    assert torch.equal(outputs(model, samples[0]), outputs(model, samples[0]))
    assert model.training
    assert purpose(0, "directions").initial_seed() != purpose(0, "boundary 4v9").initial_seed()
