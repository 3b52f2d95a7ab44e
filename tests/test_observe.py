import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lib.data import DataConfig, load, pixels
from lib.experiments import Experiment, generator, prepare, with_seeds
from lib.gradients import own_class_subsets, subset_gradients
from lib.models import ModelConfig, build
from lib.noise import NoiseConfig, NoisyLabels, symmetric
from lib.observe import ObserveConfig, Observer, predictions, sample_losses
from lib.press.own_images import task_from_arrays
from lib.train import TrainConfig, train


class Fixed(torch.nn.Module):
    """Answers each image with logits written into its pixels."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, images):
        return images.flatten(1)[:, : self.outputs] * 8 - 4 + self.unused


def fixed_setting(classes: int):
    rng = np.random.default_rng(classes)
    images = rng.random((60, 4, 4), dtype=np.float32)
    true, given = rng.integers(0, classes, 60), rng.integers(0, classes, 60)
    task = task_from_arrays(images, true, images[:30], true[:30], class_names=list("abcdefghij")[:classes])
    labels = NoisyLabels(torch.from_numpy(given), torch.from_numpy(true), classes)
    logits = images.reshape(60, -1)[:, : task.outputs].astype(np.float64) * 8 - 4
    return task, labels, logits, given, true


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_errors_losses_and_residuals_in_plain_numpy(classes):
    task, labels, logits, given, true = fixed_setting(classes)
    model = Fixed(task.outputs)
    row = Observer(ObserveConfig(gradients=False), model, task, labels, torch.Generator())(model)
    if classes == 2:
        p1 = 1 / (1 + np.exp(-logits[:, 0]))
        f = np.stack([1 - p1, p1], 1)
        residual = abs(p1 - given)
    else:
        f = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        residual = np.sqrt(((f - np.eye(classes)[given]) ** 2).sum(1))
    wrong, loss = f.argmax(1) != given, -np.log(f[np.arange(60), given])
    noisy = given != true
    expected = {
        "train_error": wrong.mean(),
        "train_loss": loss.mean(),
        "clean_error": wrong[~noisy].mean(),
        "noisy_error": wrong[noisy].mean(),
        "clean_loss": loss[~noisy].mean(),
        "noisy_loss": loss[noisy].mean(),
        "clean_residual": residual[~noisy].mean(),
        "noisy_residual": residual[noisy].mean(),
        "test_error": (f.argmax(1) != true)[:30].mean(),
        "test_loss": -np.log(f[np.arange(30), true[:30]]).mean(),
    }
    assert row == pytest.approx(expected, rel=1e-5)


def test_ratios_cosines_and_factors_follow_from_the_gradients(quick):
    ready = prepare(quick)
    row = ready.observer(ready.model)
    parts = subset_gradients(
        ready.model, ready.task.train_images, ready.labels, own_class_subsets(ready.labels), white=16.0, truth=True
    )
    g = {key: value.double().numpy() for key, value in parts.gradients.items()}
    truth = {c: value.double().numpy() for c, value in parts.truth.items()}
    norm = np.linalg.norm
    for c in (0, 1):
        clean, noise, hat = g["clean", c], g["noise", c], g["clean", c] + truth[c]
        assert row[f"ratio_{c}"] == pytest.approx(norm(clean) / norm(noise), rel=1e-5)
        assert row[f"cos_noise_clean_{c}"] == pytest.approx(clean @ noise / norm(clean) / norm(noise), rel=1e-5)
        assert row[f"truth_share_{c}"] == pytest.approx(clean @ hat / (hat @ hat), rel=1e-5)
        assert row[f"cos_clean_truth_{c}"] == pytest.approx(clean @ hat / norm(clean) / norm(hat), rel=1e-5)
    assert row["ratio"] == pytest.approx(np.sqrt(row["ratio_0"] * row["ratio_1"]))
    clean, noise = g["clean", 0] + g["clean", 1], g["noise", 0] + g["noise", 1]
    full, hat = clean + noise, clean + truth[0] + truth[1]
    assert row["alpha"] == pytest.approx(norm(noise) / norm(clean), rel=1e-5)
    assert row["cos_truth"] == pytest.approx(full @ hat / norm(full) / norm(hat), rel=1e-5)
    assert row["step_factor"] == pytest.approx(full @ hat / (hat @ hat), rel=1e-5)
    assert row["cos_tangent"] == pytest.approx(1, abs=1e-5)


def test_shares_along_the_full_gradient_follow_from_each_samples_own(quick):
    """One sample after the other, in double precision, after a little training."""
    ready = prepare(replace(quick, observe=ObserveConfig(gradients=False, projections=True)))
    little = TrainConfig(lr=0.01, epochs=3, batch_size=32)
    train(ready.model, ready.task, ready.labels, little, lambda model: {}, generator(0, "order"), progress=False)
    row = ready.observer(ready.model)
    model = copy.deepcopy(ready.model).double()
    each = []
    for image, label in zip(ready.task.train_images, ready.labels.given, strict=True):
        loss = sample_losses(model(pixels(image[None], ready.task.white).double()), label[None]).sum()
        each.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))]))
    each = torch.stack(each)
    along = each @ each.sum(0) > 0
    noisy = ready.labels.is_noisy
    assert row["clean_along"] == pytest.approx(along[~noisy].double().mean().item(), abs=1.5 / int((~noisy).sum()))
    assert row["noisy_along"] == pytest.approx(along[noisy].double().mean().item(), abs=1.5 / int(noisy.sum()))
    assert along.any()
    assert not along.all()


def test_projections_are_left_out_unless_asked_for_and_leave_the_key_alone(quick):
    assert ObserveConfig() == ObserveConfig(projections=False)
    assert not any(name.endswith("_along") for name in prepare(quick).observer(prepare(quick).model))
    asked = replace(quick, observe=replace(quick.observe, projections=True))
    assert asked.key != quick.key


def test_with_f_at_one_half_the_ratio_is_that_of_the_counts(quick):
    """Eq. 8 where every residual is 1/2 and every image of a class the same: the ratio is exact."""
    images = np.stack([np.full((4, 4), 50 if c == 0 else 200, np.uint8) for c in (0, 1) for _ in range(100)])
    true = np.repeat([0, 1], 100)
    task = task_from_arrays(images, true, images, true)
    given = true.copy()
    given[:30], given[100:130] = 1, 0
    labels = NoisyLabels(torch.from_numpy(given), torch.from_numpy(true), 2)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 1))
    torch.nn.init.zeros_(model[1].weight)
    torch.nn.init.zeros_(model[1].bias)
    row = Observer(ObserveConfig(truth=True), model, task, labels, torch.Generator())(model)
    assert row["ratio_0"] == pytest.approx(7 / 3)
    assert row["ratio_1"] == pytest.approx(7 / 3)
    assert row["cos_noise_clean_0"] == pytest.approx(-1)
    assert row["truth_share_0"] == pytest.approx(0.7)  # 1 - delta, which is 1 / (1 + alpha) here
    assert row["cos_truth"] == pytest.approx(1)
    assert row["step_factor"] == pytest.approx((1 - 3 / 7) / (1 + 3 / 7))


def test_watched_images_are_flipped_ones_drawn_before_training(quick):
    ready = prepare(quick)
    watched = ready.observer.watched
    assert len(set(watched.tolist())) == 5
    assert ready.labels.is_noisy[watched].all()
    assert torch.equal(ready.watched_images, ready.task.train_images[watched])
    row = ready.observer(ready.model)
    answers = ready.model(ready.watched_images.float() / 16).sigmoid()[:, 0]
    assert [row[f"watched_{k}"] for k in range(5)] == pytest.approx(answers.tolist(), rel=1e-5)


def test_where_few_are_flipped_all_of_them_are_watched(quick):
    ready = prepare(replace(quick, noise=NoiseConfig(0.02), observe=ObserveConfig(watched=24)))
    assert ready.observer.watched.sort().values.tolist() == ready.labels.is_noisy.nonzero().flatten().tolist()


def test_observing_changes_nothing(quick):
    ready = prepare(quick)
    before = {name: value.clone() for name, value in ready.model.state_dict().items()}
    assert ready.observer(ready.model) == ready.observer(ready.model)
    assert all(torch.equal(before[name], value) for name, value in ready.model.state_dict().items())


def test_a_logit_of_zero_predicts_the_first_class():
    assert predictions(torch.tensor([[0.0], [1e-9], [-1.0]])).tolist() == [0, 1, 0]
    assert sample_losses(torch.zeros(2, 1), torch.tensor([0, 1])).tolist() == pytest.approx([np.log(2)] * 2)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ObserveConfig(watched=-1), "watched must be at least 0"),
        (ObserveConfig(gradients=False, truth=True), "truth needs gradients"),
    ],
)
def test_impossible_observations_are_refused(quick, config, message):
    ready = prepare(quick)
    with pytest.raises(ValueError, match=message):
        Observer(config, ready.model, ready.task, ready.labels, generator(0, "watch"))


def test_seeds_move_noise_weights_and_watch_apart(quick):
    a, b = (prepare(one) for one in with_seeds(quick, 2))
    assert not torch.equal(a.labels.given, b.labels.given)
    assert not torch.equal(a.model[1].weight, b.model[1].weight)
    assert not torch.equal(a.task.train_images, b.task.train_images)


def test_observing_a_batchnorm_network_leaves_its_training_as_it_was():
    """The same weights and running statistics, bit for bit, with and without an observer after every epoch."""
    experiment = Experiment(
        DataConfig("digits"),
        NoiseConfig(0.3),
        ModelConfig((2,), kind="resnet9"),
        TrainConfig(lr=0.05, epochs=2, batch_size=64),
        ObserveConfig(residual_l1=True),
    )
    states = []
    for observed in (True, False):
        ready = prepare(experiment)
        look = ready.observer if observed else (lambda model: {})
        train(ready.model, ready.task, ready.labels, experiment.train, look, generator(0, "order"), progress=False)
        states.append(ready.model.state_dict())
    assert any("running_mean" in name for name in states[0])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_batchnorm_gradients_are_those_of_eval_mode_one_by_one():
    """Each image alone: in train mode its gradient would depend on the others."""
    task, c = load(DataConfig("digits", train_size=60)), 3
    labels = symmetric(task.train_labels, 0.3, 10, generator(0, "noise"))
    model = build(ModelConfig((2,), kind="resnet9"), task.input_shape, 10, generator(0, "weights"))
    model(torch.rand(64, 1, 8, 8))  # statistics that are not the initial ones
    exact = subset_gradients(model, task.train_images, labels, own_class_subsets(labels), white=task.white)
    model.eval()
    expected = 0
    for i in ((labels.true == c) & ~labels.is_noisy).nonzero()[:, 0]:
        h = model(pixels(task.train_images[i : i + 1], task.white))
        residual = (h.softmax(1)[0, c] - 1).detach()
        grads = torch.autograd.grad(residual * h[0, c], list(model.parameters()))
        expected = expected + torch.cat([g.flatten() for g in grads])
    assert torch.allclose(exact.gradients["clean", c], expected, rtol=1e-3, atol=1e-5)


def test_the_sum_norm_of_the_residual_is_twice_the_missing_probability():
    """Closed form: the outputs sum to one."""
    experiment = Experiment(
        DataConfig("digits", train_size=100),
        NoiseConfig(0.3),
        ModelConfig((16,)),
        TrainConfig(lr=0.1, epochs=1),
        ObserveConfig(gradients=False, residual_l1=True),
    )
    ready = prepare(experiment)
    row = ready.observer(ready.model)
    f = ready.model(pixels(ready.task.train_images, ready.task.white)).softmax(1)
    missing = 2 * (1 - f.gather(1, ready.labels.given[:, None])[:, 0])
    assert math.isclose(row["noisy_residual_l1"], missing[ready.labels.is_noisy].mean().item(), rel_tol=1e-5)
    assert math.isclose(row["clean_residual_l1"], missing[~ready.labels.is_noisy].mean().item(), rel_tol=1e-5)
