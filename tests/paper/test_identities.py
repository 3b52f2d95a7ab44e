"""Both sides of the paper's identities against one gradient for each sample, in float64."""

from dataclasses import replace

import pytest
import torch

from lib.data import DataConfig, load
from lib.experiments import Experiment, generator
from lib.gradients import model_derivatives
from lib.models import ModelConfig, build
from lib.noise import NoiseConfig, symmetric
from lib.paper.identities import Identities, equated, tangent_sum
from lib.train import Machine, TrainConfig

DATA = DataConfig("digits", classes=(7, 9), train_size=60, test_size=20)


@pytest.fixture(scope="module")
def ready():
    task = load(DATA, None, 0)
    labels = symmetric(task.train_labels, 0.3, 2, generator(0, "noise"))
    return build(ModelConfig((8, 8)), task.input_shape, 1, generator(0, "weights")), task, labels


def test_the_identities_are_those_of_single_gradients(ready):
    model, task, labels = ready
    each = model_derivatives(model, task.train_images, white=task.white).double()
    with torch.no_grad():
        f = model(task.train_images / task.white).sigmoid()[:, 0].double()
    given, true = ((f - some)[:, None] * each for some in (labels.given, labels.true))
    clean, noise, truth = given[~labels.is_noisy].sum(0), given[labels.is_noisy].sum(0), true.sum(0)
    apart = []
    for c in (0, 1):
        for noisy in (False, True):
            of = (labels.true == c) & (labels.is_noisy == noisy)
            mean, product = given[of].mean(0), (f - labels.given)[of].mean() * each[of].mean(0)
            apart.append((mean - product).norm() / mean.norm())
    losses = -torch.where(labels.true == 1, f, 1 - f).log()
    assert equated(model, task, labels) == pytest.approx(
        {
            "alpha": (noise.norm() / clean.norm()).item(),
            "noise_share": (noise @ truth / (truth @ truth)).item(),
            "clean_loss": losses[~labels.is_noisy].mean().item(),
            "truth_loss": losses.mean().item(),
            "product": (sum(apart) / 4).item(),
        },
        rel=1e-3,
    )
    assert torch.allclose(tangent_sum(model, task.train_images, task.white), each.sum(0).float(), rtol=1e-4, atol=1e-4)


def test_a_training_is_that_of_the_experiment_with_the_same_settings():
    settings = Identities(
        data=DATA, noise=NoiseConfig(0.3), model=ModelConfig((8, 8)), train=TrainConfig(lr=0.1, epochs=2, batch_size=20)
    )
    machine = Machine("cpu", threads=1)
    rows = settings.run(machine=machine, folder=None, resume=False, made_by="", progress=False).history
    same = Experiment(settings.data, settings.noise, settings.model, settings.train)
    theirs = same.run(machine=machine, resume=False, progress=False).history
    assert [row["alpha"] for row in rows] == pytest.approx([row["alpha"] for row in theirs], rel=1e-5)
    assert [row["clean_loss"] for row in rows] == pytest.approx([row["clean_loss"] for row in theirs], rel=1e-5)


def test_an_antisymmetric_start_makes_the_product_of_means_exact(ready):
    _, task, labels = ready
    wide = build(ModelConfig((8, 8), init="ntk", antisymmetric=True), task.input_shape, 1, generator(0, "weights"))
    assert equated(wide, task, labels)["product"] < 1e-5


def test_more_than_two_classes_are_refused():
    settings = Identities(data=DATA, noise=NoiseConfig(0.3), model=ModelConfig((8,)), train=TrainConfig(0.1, 1))
    with pytest.raises(ValueError, match="two classes"):
        replace(settings, data=DataConfig("digits")).validate()
