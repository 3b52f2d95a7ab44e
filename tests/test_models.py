import math
from itertools import pairwise

import pytest
import torch
import torchvision
from torch import nn

from lib.gradients import model_derivatives
from lib.models import ModelConfig, build, fully_connected, ntk_fully_connected


def test_the_papers_network_has_its_size(generator):
    model = build(ModelConfig((512, 512)), (1, 28, 28), 1, generator)
    assert sum(p.numel() for p in model.parameters()) == 785 * 512 + 513 * 512 + 513


def test_default_init_is_pytorchs_distribution(generator):
    ours = fully_connected((400, 600, 1), generator)[1]
    theirs = nn.Linear(400, 600)
    assert ours.weight.abs().max() <= 1 / 20
    for mine, reference in ((ours.weight, theirs.weight), (ours.bias, theirs.bias)):
        assert math.isclose(mine.std().item(), reference.std().item(), rel_tol=0.1)
        assert abs(mine.mean().item()) < 3e-3


def test_the_generator_alone_decides():
    made = [build(ModelConfig((8,)), (4,), 1, torch.Generator().manual_seed(s)).state_dict() for s in (0, 0, 1)]
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])
    assert not torch.equal(made[0]["1.weight"], made[2]["1.weight"])


def test_antisymmetric_starts_at_zero_with_one_copys_tangent_kernel(generator):
    images = torch.rand(5, 1, 4, 4, generator=generator)
    network = build(ModelConfig((64,), init="ntk"), (1, 4, 4), 1, torch.Generator().manual_seed(3))
    doubled = build(ModelConfig((64,), init="ntk", antisymmetric=True), (1, 4, 4), 1, torch.Generator().manual_seed(3))
    assert torch.equal(doubled(images), torch.zeros(5, 1))
    one, both = (model_derivatives(m, images, white=1.0) for m in (network, doubled))
    assert torch.allclose(one @ one.T, both @ both.T, rtol=1e-5)


def test_the_copies_are_trained_apart(generator):
    model = build(ModelConfig((8,), antisymmetric=True), (4,), 1, generator)
    assert model.plus[1].weight.data_ptr() != model.minus[1].weight.data_ptr()


@pytest.mark.parametrize("degrees", [0, 20, 60, 90, 140, 180])
def test_two_layer_ntk_kernel_is_theorem_3_1(degrees):
    """Against the closed form of the infinitely wide network."""
    theta = math.radians(degrees)
    inputs = torch.tensor([[1.0, 0.0], [math.cos(theta), math.sin(theta)]])
    h = model_derivatives(ntk_fully_connected((2, 40_000, 1), torch.Generator().manual_seed(0)), inputs, white=1.0)
    cosine = (h[0] @ h[1] / (h[0].norm() * h[1].norm())).item()
    closed = (math.pi - theta) / math.pi * math.cos(theta) + math.sin(theta) / (2 * math.pi)
    assert abs(cosine - closed) < 0.02  # sampling error is about .6 / sqrt(width) = .003


def test_a_linear_ntk_network_keeps_angles():
    theta = math.radians(50)
    inputs = torch.tensor([[1.0, 0.0], [math.cos(theta), math.sin(theta)]])
    network = ntk_fully_connected((2, 40_000, 1), torch.Generator().manual_seed(0), activation=nn.Identity)
    h = model_derivatives(network, inputs, white=1.0)
    assert abs((h[0] @ h[1] / (h[0].norm() * h[1].norm())).item() - math.cos(theta)) < 0.02


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ModelConfig(init="xavier"), "unknown init 'xavier'; there are: default, ntk"),
        (ModelConfig(()), "one or more hidden layers"),
        (ModelConfig((8, 0)), "at least 1 neuron"),
    ],
)
def test_impossible_networks_are_refused(config, message, generator):
    with pytest.raises(ValueError, match=message):
        build(config, (4,), 1, generator)


def test_the_cnn_and_the_resnet_have_the_sizes_that_the_paper_and_its_source_give(generator):
    cnn = build(ModelConfig((32, 64, 64), kind="cnn"), (1, 28, 28), 10, generator)
    resnet = build(ModelConfig((64,), kind="resnet9"), (3, 32, 32), 10, generator)
    convolutions = (9 * 1 + 1) * 32 + (9 * 32 + 1) * 64
    assert sum(p.numel() for p in cnn.parameters()) == convolutions + (12 * 12 * 64 + 1) * 64 + 65 * 10
    assert sum(p.numel() for p in resnet.parameters()) == 2_449_418
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in resnet.modules()) == 9
    assert cnn(torch.rand(2, 1, 28, 28)).shape == resnet(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_padding_keeps_the_size_of_the_image(generator):
    model = build(ModelConfig((4, 4, 8), kind="cnn", padding=1), (1, 8, 8), 10, generator)
    assert model[6].in_features == 4 * 4 * 4


@pytest.mark.parametrize("kind", ["cnn", "resnet9"])
def test_convolutional_layers_start_as_pytorchs_do(kind, generator):
    """Uniform within 1/sqrt(fan_in): compared with layers that PyTorch made itself."""
    widths = (32, 64, 64) if kind == "cnn" else (32,)
    for layer in build(ModelConfig(widths, kind=kind), (3, 16, 16), 10, generator).modules():
        if isinstance(layer, nn.Conv2d):
            theirs = nn.Conv2d(layer.in_channels, layer.out_channels, 3)
            assert layer.weight.abs().max() <= theirs.weight.abs().max() * 1.05
            assert math.isclose(layer.weight.std().item(), theirs.weight.std().item(), rel_tol=0.1)


def test_standardised_pixels_are_those_of_a_network_fed_so(generator):
    plain = build(ModelConfig((8,)), (4,), 1, torch.Generator().manual_seed(1))
    standardised = build(ModelConfig((8,), standardise=(0.3, 0.2)), (4,), 1, torch.Generator().manual_seed(1))
    images = torch.rand(5, 4, generator=generator)
    assert torch.allclose(standardised(images), plain((images - 0.3) / 0.2))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ModelConfig((8,), kind="vit"), "fcn, cnn, resnet9"),
        (ModelConfig((8, 8), kind="cnn"), "channels, channels, neurons"),
        (ModelConfig((8,), kind="resnet9", init="ntk"), "for 'fcn' only"),
        (ModelConfig((8,), padding=1), "0 but for 'cnn'"),
        (ModelConfig((8,), standardise=(0.1, 0.0)), "above 0"),
    ],
)
def test_networks_there_are_not_are_named(config, message):
    with pytest.raises(ValueError, match=message):
        config.validate()


def test_images_that_are_too_small_are_refused(generator):
    for config, shape in (
        (ModelConfig((4, 4, 8), kind="cnn"), (1, 5, 5)),
        (ModelConfig((4,), kind="resnet9"), (3, 4, 4)),
    ):
        with pytest.raises(ValueError, match=r"small|at least 8"):
            build(config, shape, 10, generator)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_resnet18_is_torchvisions_for_small_images(activation, generator):
    model = build(ModelConfig((64,), kind="resnet18", activation=activation), (3, 32, 32), 10, generator)
    reference = torchvision.models.resnet18(weights=None, num_classes=10)
    reference.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    reference.maxpool = nn.Identity()
    if activation == "leaky_relu":
        for module in list(reference.modules()):
            if hasattr(module, "relu"):
                module.relu = nn.LeakyReLU()
    ours, theirs = model.state_dict(), reference.state_dict()
    assert [v.shape for v in ours.values()] == [v.shape for v in theirs.values()]
    reference.load_state_dict(dict(zip(theirs, ours.values(), strict=True)))
    images = torch.rand(4, 3, 32, 32, generator=generator)
    for mode in (True, False):
        assert torch.allclose(model.train(mode)(images), reference.train(mode)(images), atol=1e-5)


def test_resnet18_scales_with_its_width(generator):
    counts = [
        sum(p.numel() for p in build(ModelConfig((w,), kind="resnet18"), (3, 32, 32), 10, generator).parameters())
        for w in (32, 64, 128)
    ]
    assert counts[1] == 11_173_962  # the usual one for CIFAR-10
    assert counts[0] < counts[1] / 3.9 < counts[1] < counts[2] / 3.9


def test_batch_norm_and_activation_stand_between_the_linear_layers(generator):
    config = ModelConfig((7, 5), batch_norm=True, activation="leaky_relu")
    kinds = [type(layer).__name__ for layer in build(config, (4,), 3, generator)]
    assert kinds == ["Flatten", *["Linear", "BatchNorm1d", "LeakyReLU"] * 2, "Linear"]


def test_dropout_stands_before_the_linear_layers_and_draws_no_weights():
    plain, dropped = (
        build(ModelConfig((2, 3, 4), kind="cnn", dropout=d), (1, 8, 8), 3, torch.Generator().manual_seed(0)).eval()
        for d in (0.0, 0.5)
    )
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(plain(images), dropped(images))
    before = [type(b).__name__ for a, b in pairwise(dropped) if isinstance(a, nn.Dropout)]
    assert before == ["Flatten", "Linear"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "gelu"}, "there are: relu, leaky_relu"),
        ({"kind": "resnet9", "widths": (4,), "activation": "leaky_relu"}, "is for 'fcn'"),
        ({"init": "ntk", "batch_norm": True}, "batch_norm is for 'fcn'"),
        ({"dropout": 0.5}, "0 but for 'cnn'"),
        ({"kind": "resnet18", "widths": (4, 4)}, r"\(channels\)"),
    ],
)
def test_settings_of_the_later_networks_that_do_not_fit(settings, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig(**settings).validate()
