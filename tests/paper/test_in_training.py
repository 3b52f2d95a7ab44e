"""What is measured while a network is trained, against the library's own training and gradients formed one by one."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy
import torch

from lib.data import DataConfig, pixels
from lib.experiments import Experiment, Machine, generator, prepare, run
from lib.gradients import model_derivatives
from lib.models import ModelConfig, build
from lib.noise import NoiseConfig
from lib.observe import ObserveConfig, sample_losses
from lib.paper.in_training import AnglesInTraining, BatchesInTraining, closed_form, epochs_of
from lib.train import TrainConfig

CPU = torch.device("cpu")
DATA, NOISE = DataConfig("digits", classes=(7, 9), train_size=60), NoiseConfig(0.4)
ANGLES = AnglesInTraining(
    data=DATA, noise=NOISE, train=TrainConfig(lr=0.1, epochs=60, batch_size=20, momentum=0.9), widths=(24, 48), images=9
)
BATCHES = BatchesInTraining(
    data=DATA,
    noise=NOISE,
    model=ModelConfig((16,)),
    train=TrainConfig(lr=0.1, epochs=3, batch_size=20),
    batch_sizes=(5, 60),
    draws=4,
)


def test_the_epochs_are_those_of_the_library_s_training():
    experiment = Experiment(DATA, NOISE, ModelConfig((16,)), BATCHES.train, ObserveConfig(gradients=False), seed=2)
    expected = run(experiment, machine=Machine("cpu"), resume=False, progress=False).history
    assert [row for _, row in epochs_of(experiment, CPU, None)] == expected


def angles_by_hand(model, ready, images):
    """Cosines of theta_h of all pairs from derivatives that are formed, and theta_d in degrees."""
    inputs = pixels(ready.task.test_images[:images], ready.task.white).double()
    each = model_derivatives(model.double(), ready.task.test_images[:images], white=ready.task.white)
    upper = np.triu_indices(images, 1)
    cos_h = torch.nn.functional.cosine_similarity(each[:, None], each[None], dim=2).numpy()[upper]
    flat = inputs.flatten(1)
    theta_d = torch.nn.functional.cosine_similarity(flat[:, None], flat[None], dim=2).arccos().rad2deg().numpy()[upper]
    return cos_h, theta_d


def test_angles_at_the_start_and_the_stop_are_those_of_derivatives_one_by_one():
    rows = ANGLES.rows(CPU, None)
    model = ModelConfig((24,), init="ntk", antisymmetric=True)
    experiment = Experiment(DATA, NOISE, model, ANGLES.train, ObserveConfig(gradients=False))
    history = [row for _, row in epochs_of(experiment, CPU, None)]
    errors = [row["test_error"] for row in history]
    first_fit = next((row["epoch"] for row in history if row["train_error"] <= 0.01), 60)
    stop = int(np.argmin(errors[: first_fit + 1]))
    ready = prepare(experiment, Machine("cpu"))
    start, theta_d = angles_by_hand(ready.model, ready, 9)
    for trained, _ in epochs_of(experiment, CPU, None):
        if _["epoch"] == stop:
            at_stop, _ = angles_by_hand(trained.model, trained, 9)
            break
    theta = np.radians(theta_d)
    form = (np.pi - theta) / np.pi * np.cos(theta) + np.sin(theta) / (2 * np.pi)
    for when, cos_h, epoch in ((0, start, 0), (1, at_stop, stop)):
        mine = [row for row in rows if row["width"] == 24 and row["when"] == when]
        assert {row["epoch"] for row in mine} == {epoch}
        assert sum(row["pairs"] for row in mine) == 36
        mean = sum(row["pairs"] * row["cos_h"] for row in mine) / 36
        assert math.isclose(mean, cos_h.mean(), rel_tol=1e-5)
        assert math.isclose(mine[0]["off"], np.sqrt(np.mean((cos_h - form) ** 2)), rel_tol=1e-4)
        assert math.isclose(mine[0]["off_level"], cos_h.std(), rel_tol=1e-4)
        assert math.isclose(mine[0]["change"], np.sqrt(np.mean((cos_h - start) ** 2)), rel_tol=1e-3, abs_tol=1e-9)
        assert math.isclose(mine[0]["order"], scipy.stats.kendalltau(theta_d, np.arccos(cos_h)).statistic, abs_tol=0.01)
    ends = {row["width"]: row for row in rows if row["when"] == 2}
    assert set(ends) == {24, 48}
    assert ends[24]["epoch"] == first_fit


def test_the_closed_form_is_that_of_a_very_wide_network():
    theta = torch.tensor([30.0, 90.0, 150.0])
    points = torch.stack([torch.ones(4), torch.zeros(4)])
    points[:, 1:] = torch.stack([theta.deg2rad().cos(), theta.deg2rad().sin()])
    network = build(ModelConfig((60_000,), init="ntk"), (2,), 1, generator(0, "weights"))
    each = model_derivatives(network, points.T, white=1.0)
    measured = torch.nn.functional.cosine_similarity(each[1:], each[:1])
    assert torch.allclose(measured, closed_form(theta), atol=0.015)


def test_batches_of_the_whole_set_are_the_whole_set():
    rows = BATCHES.rows(CPU, None)
    assert [(row["epoch"], row["batch_size"]) for row in rows] == [(e, size) for e in range(4) for size in (0, 5, 60)]
    for whole, _, same in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
        assert math.isclose(whole["cosine"], same["cosine"], rel_tol=1e-4)
        assert math.isclose(whole["to_truth"], same["to_truth"], rel_tol=1e-4)


def test_the_cosine_of_all_images_is_that_of_the_two_loss_gradients():
    row = BATCHES.rows(CPU, None)[0]
    ready = prepare(Experiment(DATA, NOISE, BATCHES.model, BATCHES.train), Machine("cpu"))
    flat = []
    for labels in (ready.labels.given, ready.labels.true):
        loss = sample_losses(ready.model(pixels(ready.task.train_images, ready.task.white)), labels).mean()
        flat.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(ready.model.parameters()))]))
    expected = torch.nn.functional.cosine_similarity(*flat, dim=0).item()
    assert math.isclose(row["cosine"], expected, rel_tol=1e-4)


def test_without_noise_every_batch_has_the_true_direction():
    for row in replace(BATCHES, noise=NoiseConfig(0.0)).rows(CPU, None):
        assert math.isclose(row["cosine"], 1, rel_tol=1e-5)
        assert row["against"] == 0


def test_what_is_run_again_as_a_check_is_the_beginning():
    for settings in (ANGLES, BATCHES):
        short, whole = settings.short().rows(CPU, None), settings.rows(CPU, None)
        assert len(short) < len(whole)
        assert short == whole[: len(short)]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: replace(ANGLES, widths=()), "widths are at least 1"),
        (lambda: replace(ANGLES, images=2), "at least 3 images"),
        (lambda: replace(BATCHES, draws=0), "at least 1"),
        (lambda: replace(BATCHES, batch_sizes=()), "at least 1"),
    ],
)
def test_bad_settings_are_named(made, message):
    with pytest.raises(ValueError, match=message):
        made().validate()
