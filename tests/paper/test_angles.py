"""Angles against gradients formed one by one and against closed forms."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from lib.data import DataConfig, circle, clusters, pixels
from lib.experiments import generator, load, symmetric
from lib.gradients import model_derivatives, probabilities, targets
from lib.models import ModelConfig, build
from lib.noise import NoiseConfig
from lib.paper.angles import (
    BatchDirections,
    CircleAngles,
    PairAngles,
    StartAngles,
    separation,
)


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
    task = load(settings.data, seed=1)
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
