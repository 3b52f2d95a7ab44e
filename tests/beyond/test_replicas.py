"""Networks trained together against the same networks one by one."""

import pytest
import torch
from torch import nn

from lib.beyond.replicas import Flat, Replicas, Single, together
from lib.models import ModelConfig, build

SHAPE, CLASSES = (1, 4, 4), 5


def networks(count: int, **settings) -> list[nn.Sequential]:
    config = ModelConfig(**({"widths": (12, 9)} | settings))
    return [build(config, SHAPE, CLASSES, torch.Generator().manual_seed(s)) for s in range(count)]


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
@pytest.mark.parametrize("shared", [False, True])
def test_outputs_are_those_of_each_network(batch_norm, activation, shared, generator):
    singles = networks(3, batch_norm=batch_norm, activation=activation)
    stacked = Replicas(singles)
    images = torch.rand(3, 20, *SHAPE, generator=generator)
    own = [images[0]] * 3 if shared else list(images)
    for training in (True, False):  # the second time with the statistics of the first
        stacked.train(training)
        found = stacked(images[0] if shared else images)
        expected = torch.stack([one.train(training)(x) for one, x in zip(singles, own, strict=True)])
        assert torch.allclose(found, expected, atol=1e-6)
    features = torch.stack([one[:-1](x).T for one, x in zip(singles, own, strict=True)])
    assert torch.allclose(stacked.features(images[0] if shared else images), features, atol=1e-6)
    assert torch.equal(stacked.read_out(stacked.features(images[0] if shared else images)), found)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_32_replicas_learn_what_each_learns_alone(batch_norm, generator):
    """Against plain PyTorch: its own modules, loss and SGD; momentum and weight decay included."""
    count = 32
    singles = networks(count, batch_norm=batch_norm)
    stacked = Replicas(singles)
    flat = Flat(stacked)
    velocity = torch.zeros_like(flat.values)
    images = torch.rand(200, *SHAPE, generator=generator)
    labels = torch.randint(0, CLASSES, (count, 200), generator=generator)
    optimizers = [torch.optim.SGD(one.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4) for one in singles]
    for batch in torch.randperm(200, generator=generator).split(20):
        losses = nn.functional.cross_entropy(stacked(images[batch]).transpose(1, 2), labels[:, batch], reduction="none")
        gradient = flat.gradient(losses.mean(1).sum())
        velocity = 0.9 * velocity + gradient + 5e-4 * flat.values
        flat.values -= 0.05 * velocity
        for one, optimizer, mine in zip(singles, optimizers, labels, strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(one(images[batch]), mine[batch]).backward()
            optimizer.step()
    rows = torch.stack([torch.cat([p.detach().flatten() for p in one.parameters()]) for one in singles])
    assert (flat.values - rows).abs().max() <= 1e-5
    assert rows.std(0).max() > 1e-2  # the replicas differ, so that mixing them up would show
    copies = networks(count, batch_norm=batch_norm)
    stacked.copy_into(copies)
    for copy, one in zip(copies, singles, strict=True):
        for mine, theirs in zip(copy.state_dict().values(), one.state_dict().values(), strict=True):
            if mine.is_floating_point():
                assert torch.allclose(mine, theirs, atol=1e-5)


def test_replicas_do_not_touch_each_other(generator):
    stacked = Replicas(networks(3))
    flat = Flat(stacked)
    loss = nn.functional.cross_entropy(stacked(torch.rand(8, *SHAPE))[1], torch.zeros(8, dtype=torch.long))
    norms = flat.gradient(loss).norm(dim=1)
    assert norms[0] == norms[2] == 0 < norms[1]


def test_one_network_of_any_kind_has_the_same_interface(generator):
    network = build(ModelConfig((4,), kind="resnet18"), (3, 8, 8), CLASSES, generator)
    single = together([network])
    images = torch.rand(6, 3, 8, 8, generator=generator)
    before = network(images).detach()
    assert isinstance(single, Single)
    flat = Flat(single)
    assert flat.values.shape == (1, sum(p.numel() for p in network.parameters()))
    assert torch.equal(single(images)[0], before)
    assert single.features(images).shape == (1, 32, 6)
    assert torch.equal(single.read_out(single.features(images))[0], before)
    flat.values.zero_()
    assert torch.equal(network(images), torch.zeros(6, CLASSES))


def test_what_cannot_be_stacked_is_refused(generator):
    with pytest.raises(ValueError, match="one shape"):
        Replicas([*networks(1), *networks(1, widths=(12, 8))])
    with pytest.raises(ValueError, match="at least one"):
        Replicas([])
    convolutions = [build(ModelConfig((2, 2, 3), kind="cnn"), (1, 8, 8), CLASSES, generator) for _ in range(2)]
    with pytest.raises(TypeError, match="Conv2d"):
        Replicas(convolutions)
