"""Angles against gradients formed one by one, against forward-mode derivatives, and against closed forms."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from lib.data import DataConfig, circle, clusters, pixels
from lib.experiments import generator, load, symmetric
from lib.gradients import model_derivatives, parameters, probabilities, targets
from lib.models import ModelConfig, build, ntk_fully_connected
from lib.noise import NoiseConfig
from lib.paper.angles import (
    BatchDirections,
    CircleAngles,
    PairAngles,
    StartAngles,
    derivative_gram,
    sample_gradients,
    separation,
)

NETWORKS = {
    "fully connected": ModelConfig((20, 10)),
    "ntk": ModelConfig((20, 10), init="ntk", antisymmetric=True),
    "standardised": ModelConfig((20,), standardise=(0.3, 0.2)),
    "cnn": ModelConfig((4, 6, 8), kind="cnn"),
    "padded cnn": ModelConfig((4, 6, 8), kind="cnn", padding=1),
    "resnet": ModelConfig((2,), kind="resnet9"),
}


def network_with_statistics(config: ModelConfig) -> nn.Module:
    """In float64, with BatchNorm statistics that are not the initial ones."""
    model = build(config, (1, 8, 8), 3, torch.Generator().manual_seed(1)).double()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.2, 0.2, generator=torch.Generator().manual_seed(2))
            layer.running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(3))
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_norms_products_and_sums_are_those_of_the_gradients_formed_one_by_one(name, generator):
    model = network_with_statistics(NETWORKS[name])
    images = torch.rand(11, 1, 8, 8, generator=generator)
    size = sum(p.numel() for p in parameters(model))
    directions = torch.randn(2, size, generator=generator).double()
    weights = torch.randn(11, 2, generator=generator).double()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = sample_gradients(model, images, [0, 2], directions, lambda index, h: weights[index], white=1.0, chunk=4)
    for k, logit in enumerate((0, 2)):
        each = model_derivatives(model, images, white=1.0, logit=logit)
        assert torch.allclose(found.norms[:, k], each.norm(dim=1), rtol=1e-9)
        assert torch.allclose(found.products[:, k], each @ directions[k], rtol=1e-9, atol=1e-12)
        assert torch.allclose(found.sums[k], weights[:, k] @ each, rtol=1e-9, atol=1e-12)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert model.training


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")  # torch's own, on its first JVP
def test_products_are_forward_mode_derivatives(generator):
    """One JVP gives the inner products of all images with a direction: an independent way to the same numbers."""
    model = network_with_statistics(NETWORKS["cnn"]).eval()
    images = torch.rand(7, 1, 8, 8, generator=generator)
    direction = torch.randn(sum(p.numel() for p in parameters(model)), generator=generator).double()
    tangents, start = {}, 0
    for name, p in model.named_parameters():
        tangents[name] = direction[start : start + p.numel()].reshape(p.shape)
        start += p.numel()
    primal = {name: p.detach() for name, p in model.named_parameters()}
    _, expected = torch.func.jvp(
        lambda some: torch.func.functional_call(model, some, (images.double(),)), (primal,), (tangents,)
    )
    found = sample_gradients(model, images, [1], direction[None], lambda index, h: h.new_zeros(len(index), 1), white=1)
    assert torch.allclose(found.products[:, 0], expected[:, 1], rtol=1e-9)


def test_an_unknown_layer_is_refused_by_name():
    model = nn.Sequential(nn.Flatten(), nn.LayerNorm(4), nn.Linear(4, 1))
    with pytest.raises(TypeError, match="LayerNorm"):
        sample_gradients(model, torch.rand(2, 4), [0], torch.zeros(1, 13), lambda index, h: h, white=1)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Identity])
def test_tangent_kernel_is_the_gram_matrix_of_the_derivatives(activation):
    network = ntk_fully_connected((2, 30, 20, 1), torch.Generator().manual_seed(0), activation).double()
    points = circle(torch.arange(0, 180, 30))
    each = model_derivatives(network, points, white=1.0)
    assert torch.allclose(derivative_gram(network, points), each @ each.T, rtol=1e-6)


def test_theorem_3_1_in_a_very_wide_network():
    """The closed form within the sampling error of 32,768 neurons."""
    settings = CircleAngles(layers=2, activation="relu", widths=(32_768,), bases=1, step=10)
    theta = np.radians(np.arange(0, 181, 10))
    closed = (np.pi - theta) / np.pi * np.cos(theta) + np.sin(theta) / (2 * np.pi)
    measured = [row["cos_h"] for row in settings.rows(torch.device("cpu"), None)]
    assert np.abs(measured - closed).max() < 0.02


def test_circle_and_clusters_lie_where_they_should(generator):
    points = circle(torch.tensor([0.0, 90.0, 180.0])).flatten(1)
    assert torch.allclose(points, torch.tensor([[1.0, 0], [0, 1], [-1, 0]]).double(), atol=1e-12)
    task = clusters(generator, size=4000, radius=3.0, spread=0.5, degrees=90.0)
    centres = torch.stack([task.train_images[task.train_labels == c].flatten(1).mean(0) for c in (0, 1)])
    assert torch.allclose(centres.norm(dim=1), torch.full((2,), 3.0), atol=0.05)
    assert abs((centres[0] @ centres[1]).item()) < 0.15  # 90 degrees apart
    spread = task.test_images[task.test_labels == 0].flatten(1).std(0)
    assert torch.allclose(spread, torch.full((2,), 0.5), atol=0.03)
    for wrong in ({"size": 0}, {"radius": 0.0}, {"spread": -1.0}):
        with pytest.raises(ValueError, match="positive"):
            clusters(generator, **wrong)


def test_separation_is_the_auc(generator):
    small, large = torch.randn(300, generator=generator), torch.randn(200, generator=generator) + 0.7
    small[:20] = large[:20]  # ties
    labels = np.r_[np.zeros(300), np.ones(200)]
    assert math.isclose(separation(small, large), roc_auc_score(labels, torch.cat([small, large])), rel_tol=1e-9)


def test_start_angles_count_every_sample_once_and_agree_with_brute_force():
    settings = StartAngles(
        data=DataConfig("digits"), noise=NoiseConfig(0.3), model=ModelConfig((4, 6, 8), kind="cnn"), seed=1
    )
    rows = settings.rows(torch.device("cpu"), None)
    task = load(settings.data)
    labels = symmetric(task.train_labels, 0.3, 10, generator(1, "noise"))
    model = build(settings.model, task.input_shape, 10, generator(1, "weights"))
    c = 4
    mine = [row for row in rows if row["class"] == c]
    subsets = {
        "clean": (labels.true == c) & ~labels.is_noisy,
        "noise": (labels.true == c) & labels.is_noisy,
        "other": (labels.true != c) & ~labels.is_noisy,
    }
    h = model(pixels(task.train_images, task.white)).detach()
    residual = (probabilities(h) - targets(labels.given, 10))[:, c]
    each = residual[:, None] * model_derivatives(model, task.train_images, white=task.white, logit=c)
    clean = each[subsets["clean"]].sum(0)
    for name, chosen in subsets.items():
        counted = sum(row[name] for row in mine)
        assert counted == int(chosen.sum())
        cosines = torch.nn.functional.cosine_similarity(each[chosen], clean[None])
        mean = sum((row["degree"] + 0.5) * row[name] for row in mine) / counted
        assert abs(mean - torch.rad2deg(cosines.clamp(-1, 1).arccos()).mean().item()) < 0.5
    noise, other = each[subsets["noise"]].sum(0), each[subsets["other"]].sum(0)
    assert math.isclose(mine[0]["ratio"], (clean.norm() / noise.norm()).item(), rel_tol=1e-3)
    for name, g in (("angle_noise", noise), ("angle_other", other)):
        cosine = torch.nn.functional.cosine_similarity(g, clean, dim=0).item()
        assert math.isclose(mine[0][name], math.degrees(math.acos(cosine)), abs_tol=0.05)


def test_batch_directions_of_the_whole_set_without_noise_agree():
    settings = BatchDirections(
        data=DataConfig("digits", classes=(7, 9)),
        noise=NoiseConfig(0.0),
        model=ModelConfig((8,)),
        batch_sizes=(240,),
        draws=1,
    )
    (row,) = settings.rows(torch.device("cpu"), None)
    assert row["wrong"] == 0
    assert math.isclose(row["cosine"], 1, rel_tol=1e-5)
    assert math.isclose(row["share"], 1, rel_tol=1e-5)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: CircleAngles(layers=1, activation="relu"), "at least 2 layers"),
        (lambda: CircleAngles(layers=2, activation="tanh"), "linear, relu"),
        (lambda: PairAngles(data=DataConfig("clusters"), width=0), "width of at least 1"),
        (lambda: PairAngles(data=DataConfig("clusters", classes=(0, 1))), "leave classes out"),
        (
            lambda: StartAngles(data=DataConfig("digits"), noise=NoiseConfig(0.0), model=ModelConfig()),
            "without wrong labels",
        ),
    ],
)
def test_bad_settings_are_named(made, message):
    with pytest.raises(ValueError, match=message):
        made().validate()
