"""Sample-wise gradients against gradients formed one by one, and against forward-mode derivatives."""

import pytest
import torch
from torch import nn

from lib.data import circle
from lib.gradients import model_derivatives, parameters
from lib.models import ModelConfig, build, ntk_fully_connected
from lib.paper.sample_gradients import derivative_gram, sample_gradients

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
