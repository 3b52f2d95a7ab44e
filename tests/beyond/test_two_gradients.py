"""The mixed step against plain PyTorch, one network at a time."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from lib.beyond import two_gradients
from lib.beyond.scans import DualPath, DualScan, start, tasks_of
from lib.beyond.two_gradients import DualConfig, Member, Samples, follow, mixed
from lib.data import DataConfig, load
from lib.experiments import generator as make_generator
from lib.models import ModelConfig, build
from tests.cuda.cases import TINY_RESNET18

CPU = torch.device("cpu")
SMALL = DualScan(
    data=DataConfig("digits", train_size=200, test_size=100), model=ModelConfig((16, 12), batch_norm=True),
    dual=DualConfig(refresh=3, batch_size=32), seeds=2, noise_rates=(0.4,), mixes=(0.1, 0.6), epochs=2, milestones=(1,),
)  # fmt: skip


def test_the_mix_of_known_vectors():
    noisy, clean = torch.tensor([[3.0, 4.0], [0.0, 2.0]]), torch.tensor([[0.0, 5.0], [1.0, 0.0]])
    mix = torch.tensor([[0.25], [0.5]])
    each = torch.tensor([[0.75 * 0.6, 0.75 * 0.8 + 0.25], [0.5, 0.5]])
    assert torch.allclose(mixed(noisy, clean, mix), each)
    assert torch.allclose(mixed(noisy, clean, mix, "mix"), each / each.norm(dim=1, keepdim=True))
    assert torch.allclose(mixed(noisy, clean, mix, "none"), torch.tensor([[2.25, 4.25], [0.5, 1.0]]))


def one_by_one(settings: DualScan, member: Member, batches: list[torch.Tensor]) -> nn.Sequential:
    """The same training by PyTorch's own modules and optimizer, one network."""
    tasks = tasks_of(settings, [member])
    samples = Samples(tasks, [member], settings.dual, 1, False)
    network = build(settings.model, tasks[member.seed].input_shape, 10, make_generator(member.seed, "weights"))
    optimizer = torch.optim.SGD(
        network.parameters(), lr=settings.dual.lr, momentum=settings.dual.momentum, weight_decay=5e-4
    )
    vector = nn.utils.parameters_to_vector
    clean = None
    for step, batch in enumerate(batches):
        logits = network(samples.images(batch[None]))
        losses = [nn.functional.cross_entropy(logits, labels[batch]) for labels in (samples.given[0], samples.true)]
        noisy, right = (
            vector(torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)) for loss in losses
        )
        if step % settings.dual.refresh == 0:
            clean = right
        lam = member.mixes[0]
        nn.utils.vector_to_parameters(vector(network.parameters()), network.parameters())
        step_direction = (1 - lam) * noisy / noisy.norm() + lam * clean / clean.norm()
        at = 0
        for p in network.parameters():
            p.grad = step_direction[at : at + p.numel()].view(p.shape).clone()
            at += p.numel()
        optimizer.step()
    return network


@pytest.mark.parametrize("refresh", [1, 3])
def test_the_step_is_plain_pytorchs(refresh):
    settings = replace(SMALL, dual=replace(SMALL.dual, refresh=refresh), milestones=(), epochs=1)
    members = settings.members(5)
    dual = start(settings, members, CPU)
    samples = Samples(tasks_of(settings, members), members, settings.dual, 1, False)
    batches = [batch[0] for batch in samples.batches(32)]
    follow(dual, members, settings.stages)
    assert len(batches) == 7
    assert sorted(torch.cat(batches).tolist()) == list(range(200))
    for row, member in zip(dual.flat.values, members, strict=True):
        alone = nn.utils.parameters_to_vector(one_by_one(settings, member, batches).parameters())
        assert (row - alone).abs().max() <= 1e-5
    assert (dual.flat.values[0] - dual.flat.values[1]).abs().max() > 1e-2


def test_each_step_counts_one_batch_whatever_the_clean_gradient_comes_from():
    """BatchNorm sees a batch once: its running mean is that of one network trained with one forward a step."""
    task = load(SMALL.data)
    for clean_batch, trusted in (("same", 0.0), ("other", 0.0), ("trusted", 0.2)):
        dual = DualConfig(refresh=1, batch_size=32, clean_batch=clean_batch, trusted=trusted)
        settings = replace(
            SMALL, dual=dual, model=ModelConfig((4,), kind="resnet18"), mixes=(0.5,), epochs=1, milestones=()
        )
        (member,) = settings.members(0)
        running = start(settings, [member], CPU)
        batches = [b[0] for b in Samples({0: task}, [member], dual, 1, False).batches(32)]
        first = running.module.network[0](running.samples.images(batches[0][None])).detach()
        running.module.train()
        running.step(batches[0][None], torch.tensor([[0.5]]), 0.1)
        norm = running.module.network[1]
        assert norm.num_batches_tracked == 1
        assert torch.allclose(norm.running_mean, 0.1 * first.mean((0, 2, 3)), atol=1e-6)


def test_a_trusted_set_lies_apart_and_is_right():
    task = load(SMALL.data)
    config = replace(SMALL.dual, clean_batch="trusted", trusted=0.25)
    members = [Member(seed, 0.4, (0.5,)) for seed in (0, 1)]
    samples = Samples({0: task, 1: task}, members, config, 1, False)
    trained = torch.cat(list(samples.batches(64)), dim=1)
    for row, given in zip(trained, samples.given, strict=True):
        apart = set(range(200)) - set(row.tolist())
        assert len(apart) == 50
        assert len(row) == 150
        assert (given[list(apart)] == task.train_labels[list(apart)]).all()
        wrong = (given != task.train_labels)[row]
        for c in range(10):
            mine = task.train_labels[row] == c
            assert wrong[mine].sum() == round(0.4 * mine.sum().item())
    zero = samples.clean_batch(64, True)[0]
    assert set(zero.tolist()) <= set(range(200)) - set(trained[0].tolist())
    assert not torch.equal(trained[0], trained[1])


def test_networks_led_together_see_the_images_of_their_own_seeds():
    """Together or one at a time, each seed has its own images for training and for testing."""
    path = DualPath(
        data=SMALL.data, model=SMALL.model, dual=SMALL.dual, seeds=3, noise_rate=0.4, path=((0.5, 2, 0.1),)
    )  # fmt: skip
    ((*members,),) = path.blocks()
    together = start(path, members, CPU)
    rows = follow(together, members, path.stages)
    batch = next(iter(together.samples.batches(32)))
    for row, member in enumerate(members):
        task = load(path.data, seed=member.seed)
        mine = batch[row] - row * len(task.train_labels)
        assert torch.equal(together.samples.true[batch[row]], task.train_labels[mine])
        alone = start(path, [member], CPU)
        images = task.train_images[mine].float() / task.white
        expected = alone.samples._standardised(images)
        assert torch.equal(together.samples.images(batch)[row], expected)
        assert torch.equal(together.samples.test_labels[row], task.test_labels)
        found = [one for one in rows if one["seed"] == member.seed]
        for one, other in zip(found, follow(alone, [member], path.stages), strict=True):
            assert one["test_error"] == pytest.approx(other["test_error"], abs=0.011)
            assert one["test_loss"] == pytest.approx(other["test_loss"], rel=1e-3)
    first, second = (load(path.data, seed=seed).train_images for seed in (0, 1))
    assert not torch.equal(first, second)


def test_shifted_and_mirrored_images_are_among_the_possible_ones(generator):
    images = torch.rand(12, 2, 6, 6, generator=generator)
    cropped = two_gradients._cropped(images, generator, margin=2)
    padded = nn.functional.pad(images, [2] * 4)
    seen = set()
    for image, result in zip(padded, cropped, strict=True):
        possible = {
            (down, right, flip): image[:, down : down + 6, right : right + 6].flip(*([2] if flip else []))
            if flip
            else image[:, down : down + 6, right : right + 6]
            for down in range(5) for right in range(5) for flip in (False, True)
        }  # fmt: skip
        matches = [place for place, candidate in possible.items() if torch.equal(candidate, result)]
        assert matches
        seen.add(matches[0])
    assert len(seen) > 6


def test_dead_units_and_spread_of_known_networks():
    settings = replace(SMALL, mixes=(0.5, 0.5), milestones=(), epochs=1)
    members = settings.members(0)
    dual = start(settings, members, CPU)
    before = dual.measure()
    with torch.no_grad():  # the second network: all its last hidden units pushed far below zero
        dual.module.layers[4].bias[1] = -100.0
        dual.module.layers[-1].bias[1] = torch.arange(10.0)
    found = dual.measure()
    assert found["dead"][1] == 1
    assert found["dead"][0] == before["dead"][0] < 1
    assert found["spread"][1] == 0 < found["spread"][0]
    constant = nn.functional.cross_entropy(torch.arange(10.0).expand(100, -1), dual.samples.test_labels[0])
    assert found["test_loss"][1] == pytest.approx(constant.item(), rel=1e-5)
    assert found["test_error"][1] == (dual.samples.test_labels != 9).float().mean()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
@pytest.mark.parametrize("kind", ["fcn", "resnet18"])
def test_a_card_gives_the_steps_of_a_cpu(kind):
    model = SMALL.model if kind == "fcn" else ModelConfig((TINY_RESNET18,), kind="resnet18")
    settings = replace(SMALL, model=model, mixes=(0.3,), epochs=1, milestones=(), augment=kind != "fcn")
    members = settings.members(0)
    rows = {}
    for device in ("cpu", "cuda"):
        dual = start(settings, members, torch.device(device))
        for batch in list(dual.samples.batches(32))[:3]:
            dual.step(batch, torch.full((1, 1), 0.3, device=device), 0.1)
        rows[device] = dual.flat.values.cpu()
    assert (rows["cuda"] - rows["cpu"]).norm() / rows["cpu"].norm() <= 1e-4
