"""Subset gradients against per-sample brute force and a closed form."""

import copy

import pytest
import torch
from torch import nn

from lib.data import pixels
from lib.gradients import (
    along_full_gradient,
    cosine,
    images_at_once,
    model_derivatives,
    own_class_subsets,
    subset_gradients,
)
from lib.models import ModelConfig, build, fully_connected
from lib.noise import symmetric


def setting(classes: int, dtype: torch.dtype = torch.float32, n: int = 300):
    g = torch.Generator().manual_seed(classes)
    images = torch.randint(0, 256, (n, 1, 6, 6), generator=g, dtype=torch.uint8)
    true = torch.randint(0, classes, (n,), generator=g)
    labels = symmetric(true, 0.4, classes, g)
    model = fully_connected((36, 40, 30, 1 if classes == 2 else classes), g).to(dtype)
    return model, images, labels


def brute_force(model, images, labels, answers, chosen, c):
    """Sum of (f_c - y_c) grad h_c, one sample after the other, through torch.func."""
    weights = {name: p.detach() for name, p in model.named_parameters()}

    def single(weights, image, answer):
        h = torch.func.functional_call(model, weights, (image.unsqueeze(0),))[0]
        if h.shape[0] == 1:
            return nn.functional.binary_cross_entropy_with_logits(h[0], answer.to(h.dtype))
        probability = h.detach().softmax(0)[c]  # the single-logit loss, whose gradient is Eq. 13
        return (probability - (answer == c).to(h.dtype)) * h[c]

    each = torch.func.vmap(torch.func.grad(single), in_dims=(None, 0, 0))(
        weights, pixels(images[chosen], 255).to(next(model.parameters()).dtype), answers[chosen]
    )
    return torch.cat([each[name].sum(0).flatten() for name in weights])


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 5e-6), (torch.float64, 1e-12)])
def test_subset_gradients_are_exact(classes, dtype, bound):
    model, images, labels = setting(classes, dtype)
    found = subset_gradients(model, images, labels, own_class_subsets(labels), truth=classes == 2, chunk=64)
    assert set(found.gradients) == {(kind, c) for kind in ("clean", "noise") for c in range(classes)}
    for (kind, c), gradient in found.gradients.items():
        chosen = (labels.true == c) & (labels.is_noisy == (kind == "noise"))
        exact = brute_force(model, images, labels, labels.given, chosen, c)
        assert (gradient - exact).norm() <= bound * exact.norm()
    for c, gradient in found.truth.items():
        chosen = (labels.true == c) & labels.is_noisy
        exact = brute_force(model, images, labels, labels.true, chosen, c)
        assert (gradient - exact).norm() <= bound * exact.norm()


def loss_gradients(model, images, given):
    """The gradient of each sample's own loss, one after the other: ``[n, parameters]``."""
    each = []
    for image, label in zip(images, given, strict=True):
        h = model(pixels(image.unsqueeze(0), 255).to(next(model.parameters()).dtype))
        if h.shape[1] == 1:
            loss = nn.functional.binary_cross_entropy_with_logits(h[0], label.to(h.dtype)[None])
        else:
            loss = nn.functional.cross_entropy(h, label[None])
        each.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))]))
    return torch.stack(each)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_products_with_the_full_gradient_are_those_of_brute_force(classes):
    """In float64; with the gradient on all logits, not on each sample's own class alone."""
    model, images, labels = setting(classes, torch.float64, n=60)
    found = along_full_gradient(model, images, labels.given, chunk=17)
    each = loss_gradients(model, images, labels.given)
    assert torch.allclose(found, each @ each.sum(0), rtol=1e-10, atol=1e-10)
    assert (found > 0).any()
    assert (found < 0).any()  # so that a sign can go wrong


@pytest.mark.parametrize("kind", ["cnn", "resnet9"])
def test_products_with_the_full_gradient_of_convolutions(kind):
    """Max pooling, BatchNorm in eval mode and Mish, by forward mode; the network is left as it was."""
    g = torch.Generator().manual_seed(5)
    images = torch.randint(0, 256, (20, 1, 8, 8), generator=g, dtype=torch.uint8)
    given = torch.randint(0, 10, (20,), generator=g)
    widths = {"cnn": (3, 4, 8), "resnet9": (2,)}[kind]
    model = build(ModelConfig(widths, kind=kind), (1, 8, 8), 10, g).double()
    model(pixels(images, 255).double())  # statistics that are not the initial ones
    before = copy.deepcopy(model.state_dict())
    found = along_full_gradient(model, images, given, chunk=7)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    each = loss_gradients(model.eval(), images, given)
    assert torch.allclose(found, each @ each.sum(0), rtol=1e-9, atol=1e-10)


def test_logits_are_the_models_in_the_order_of_the_images():
    model, images, labels = setting(3)
    found = subset_gradients(model, images, labels, own_class_subsets(labels))
    assert torch.allclose(found.logits, model(pixels(images, 255)), atol=1e-6)


def test_two_classes_sum_to_the_full_gradient():
    """Eq. 11, with n times the gradient of the mean loss on the right."""
    model, images, labels = setting(2, torch.float64)
    parts = subset_gradients(model, images, labels, own_class_subsets(labels)).gradients
    loss = nn.functional.binary_cross_entropy_with_logits(
        model(pixels(images, 255).double())[:, 0], labels.given.double(), reduction="sum"
    )
    full = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])
    assert torch.allclose(sum(parts.values()), full, rtol=1e-10)


def test_logistic_regression_in_closed_form():
    """For h = w x + b the sample-wise gradient is (sigmoid(h) - y) (x, 1)."""
    g = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (50, 1, 3, 3), generator=g, dtype=torch.uint8)
    labels = symmetric(torch.arange(50) % 2, 0.2, 2, g)
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 1)).double()
    x = images.flatten(1).double() / 255
    h = x @ model[1].weight[0] + model[1].bias
    found = subset_gradients(model, images, labels, own_class_subsets(labels)).gradients
    for (kind, c), gradient in found.items():
        chosen = (labels.true == c) & (labels.is_noisy == (kind == "noise"))
        residual = (1 / (1 + torch.exp(-h)) - labels.given)[chosen]
        by_hand = torch.cat([(residual[:, None] * x[chosen]).sum(0), residual.sum()[None]])
        # pixels are float32 until they meet the model
        assert torch.allclose(gradient, by_hand, rtol=1e-6)


def test_batch_statistics_are_neither_used_nor_changed():
    model, images, labels = setting(2)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1))
    model[2].running_mean.uniform_(-1, 1)
    model[2].running_var.uniform_(0.5, 2)
    model.train()
    before = copy.deepcopy(model.state_dict())
    small = subset_gradients(model, images, labels, own_class_subsets(labels), chunk=7)
    large = subset_gradients(model, images, labels, own_class_subsets(labels), chunk=300)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    for key, gradient in small.gradients.items():  # batch statistics would differ from chunk to chunk
        assert torch.allclose(gradient, large.gradients[key], rtol=1e-4, atol=1e-4)


def test_subsets_partition_the_training_set_and_leave_out_empty_ones():
    _, _, labels = setting(3)
    subsets = own_class_subsets(labels)
    assert torch.equal(torch.cat([s.index for s in subsets]).sort().values, torch.arange(300))
    clean = symmetric(labels.true, 0.0, 3, torch.Generator())
    assert {s.kind for s in own_class_subsets(clean)} == {"clean"}


def test_model_derivatives_are_autograds():
    model, images, _ = setting(3)
    found = model_derivatives(model, images[:4], logit=2)
    for i in range(4):
        h = model(pixels(images[i : i + 1], 255))[0, 2]
        by_autograd = torch.cat([g.flatten() for g in torch.autograd.grad(h, list(model.parameters()))])
        assert torch.allclose(found[i], by_autograd, atol=1e-6)


def test_cosine_of_known_vectors():
    assert cosine(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])) == pytest.approx(0.5**0.5)
    assert cosine(torch.tensor([1.0, 0.0]), torch.tensor([-2.0, 0.0])) == -1
    assert cosine(torch.zeros(2), torch.ones(2)) != cosine(torch.zeros(2), torch.ones(2))  # NaN


def test_networks_with_large_activations_take_fewer_images_at_once():
    generator = torch.Generator().manual_seed(0)
    small = build(ModelConfig((8,)), (1, 8, 8), 1, generator)
    convolutions = build(ModelConfig((32, 64, 64), kind="cnn"), (1, 28, 28), 10, generator)
    few = images_at_once(convolutions, torch.zeros(1, 1, 28, 28))
    # two convolutions and their ReLUs, a pooling and its flat view, two linear layers and a ReLU, in float32
    each = 4 * (2 * 32 * 26 * 26 + 2 * 64 * 24 * 24 + 2 * 64 * 12 * 12 + 2 * 64 + 10)
    assert few == 2**26 // each
    assert images_at_once(small, torch.zeros(1, 1, 8, 8)) == 4096
    huge = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3_000_000))
    assert images_at_once(huge, torch.zeros(1, 1, 8, 8)) == 16
    assert not any(module._forward_hooks for module in convolutions.modules())
