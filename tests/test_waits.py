"""No hidden waits: in its inner loops the book's code never asks a card for a number (`tests.cuda.waits`)."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from lib.beyond import penalties, scans
from lib.beyond.derivatives import unit_directions
from lib.beyond.replicas import Replicas, Single
from lib.beyond.scans import DualScan
from lib.beyond.two_gradients import Dual, DualConfig
from lib.data import DataConfig, Task, load
from lib.models import ModelConfig, build
from lib.noise import NoisyLabels, symmetric
from lib.observe import ObserveConfig, Observer, sample_losses
from lib.suspects.early_stop import Inputs, Recipe, _Training
from lib.train import TrainConfig, run_epoch
from tests.cuda.waits import CHOICE, IN, OUT, READ, Waits

META = torch.device("meta")
NETWORKS = {
    "fcn": ModelConfig((16, 16)),
    "cnn": ModelConfig((4, 4, 8), kind="cnn"),
    "resnet9": ModelConfig((4,), kind="resnet9"),
    "resnet18": ModelConfig((4,), kind="resnet18"),
}
CLASSES = 10


def a_task(n: int, classes: int = CLASSES) -> tuple[Task, NoisyLabels]:
    """Black images of 8 x 8 pixels and noisy labels."""
    images, labels = torch.zeros(n, 1, 8, 8, dtype=torch.uint8), torch.arange(n) % classes
    names = tuple(map(str, range(classes)))
    noisy = symmetric(labels, 0.3, classes, torch.Generator().manual_seed(0))
    return Task(images, labels, images[:20], labels[:20], names), noisy


def a_network(kind: str, outputs: int = CLASSES) -> nn.Module:
    return build(NETWORKS[kind], (1, 8, 8), outputs, torch.Generator().manual_seed(0))


def waits_of_training(kind: str, steps: int, monkeypatch) -> Waits:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # knows no device without numbers
    task, labels = a_task(16 * steps)
    model = a_network(kind).to(META)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    config = TrainConfig(lr=0.1, epochs=1, batch_size=16, momentum=0.9)
    task, given = task.to(META), labels.given.to(META)
    with Waits() as waits:
        run_epoch(model, task, given, config, optimizer, torch.Generator())
    return waits


def test_every_kind_of_wait_is_counted():
    """What the tests below rest on: the mode sees numbers, choices and copies, and nothing where there is none."""
    x, mask = torch.zeros(4, 3, device=META), torch.zeros(4, dtype=torch.bool, device=META)
    asked = {
        READ: [lambda: x.sum().item(), lambda: bool(x.sum() > 0), lambda: float(x[0, 0])],
        CHOICE: [lambda: mask.nonzero(), lambda: x[mask], lambda: x.masked_select(mask[:, None])],
        OUT: [lambda: x.cpu(), lambda: x.tolist()],
        IN: [lambda: torch.zeros(3).to(META), lambda: torch.tensor([1, 2], device=META)],
    }
    for kind, questions in asked.items():
        for question in questions:
            with Waits() as waits:
                question()
            assert dict(waits.counts) == {kind: 1}
    with Waits() as waits:
        torch.where(mask[:, None], x, 0.0).norm().clamp(min=1) + x[torch.arange(2, device=META)].sum()
    assert waits.total == 0


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_a_training_step_waits_for_nothing(kind, monkeypatch):
    """An epoch reads one number, its loss, however many steps it has."""
    few, many = (waits_of_training(kind, steps, monkeypatch) for steps in (2, 5))
    assert few.counts == many.counts == {READ: 1}


def observed(n: int, monkeypatch, config: ObserveConfig = ObserveConfig(), classes: int = 2) -> Waits:
    """Waits of observing n images, sixteen in a pass."""
    monkeypatch.setattr("lib.gradients.ACTIVATIONS", {"cpu": 0, "meta": 0})  # the fewest images at once: 16
    task, labels = a_task(n, classes)
    model = a_network("fcn", task.outputs)
    observer = Observer(config, model, task, labels, torch.Generator())
    observer.task, observer.labels = task.to(META), labels.to(META)
    observer.subsets = [replace(one, index=one.index.to(META)) for one in observer.subsets]
    model = model.to(META)
    with Waits() as waits:
        observer(model)
    return waits


def test_observing_waits_no_more_for_more_images(monkeypatch):
    few, many = observed(64, monkeypatch), observed(320, monkeypatch)
    assert few.counts == many.counts


def test_observing_reads_the_device_once(monkeypatch):
    waits = observed(64, monkeypatch)
    assert waits.counts[READ] + waits.counts[OUT] <= 1
    assert waits.counts[CHOICE] == 0


def a_dual(config: DualConfig, *, augment: bool = False, alone: bool = False) -> Dual:
    """Two networks (or one) before their first step, on the device that holds no numbers."""
    model = NETWORKS["resnet18" if alone else "fcn"]
    settings = DualScan(
        data=DataConfig("digits"), model=model, dual=config, seeds=1, augment=augment, epochs=1, noise_rates=(0.4,),
        mixes=(0.3,) if alone else (0.3, 0.5),
    )  # fmt: skip
    members = settings.members(0)
    dual = scans.start(settings, members, torch.device("cpu"))
    assert isinstance(dual.module, Single if alone else Replicas)
    samples = dual.samples
    for name, value in vars(samples).items():
        if isinstance(value, Tensor):
            setattr(samples, name, value.to(META))
    return Dual(dual.module.to(META), config, samples)


def waits_of_steps(dual: Dual, steps: int = 4) -> Waits:
    mix = torch.zeros(len(dual.samples.given), 1, device=META)
    batch = torch.zeros(1, 16, dtype=torch.long, device=META)
    dual.module.train()
    with Waits() as waits:
        for _ in range(steps):
            dual.step(batch, mix, 0.1)
    return waits


@pytest.mark.parametrize("alone", [False, True])
def test_a_mixed_step_waits_for_nothing(alone):
    assert waits_of_steps(a_dual(DualConfig(refresh=2), alone=alone)).total == 0


def test_a_mixed_epoch_waits_once_whatever_its_steps():
    """For the order of the images."""
    dual = a_dual(DualConfig(refresh=2, batch_size=64))
    counts = []
    for size in (64, 300):
        with Waits() as waits:
            for batch in dual.samples.batches(size):
                dual.samples.images(batch)
        counts.append(waits.counts)
    assert counts[0] == counts[1] == {IN: 1}


def test_augmented_images_are_made_without_a_wait():
    assert waits_of_steps(a_dual(DualConfig(refresh=2), augment=True, alone=True)).total == 0


def test_another_clean_batch_is_drawn_without_a_wait():
    assert waits_of_steps(a_dual(DualConfig(refresh=2, clean_batch="other"))).total == 0


def a_penalty(chosen: bool) -> Waits:
    model = a_network("cnn")
    images, labels = torch.zeros(16, 1, 8, 8), torch.arange(16) % CLASSES
    directions = unit_directions(tuple(images.shape), 2, torch.Generator()).to(META)
    model, images, labels = model.to(META), images.to(META), labels.to(META)
    some = torch.arange(0, 16, 5).to(META) if chosen else None
    penalties.penalty(model, images, labels, directions)  # torch loads its formulas for forward mode
    with Waits() as waits:
        penalties.penalty(model, images, labels, directions, chosen=some).backward()
    return waits


def test_the_penalty_waits_for_nothing():
    assert a_penalty(chosen=False).total == 0


def test_the_penalty_on_some_samples_waits_for_nothing():
    assert a_penalty(chosen=True).total == 0


def test_a_step_with_a_penalty_waits_for_nothing():
    task, labels = a_task(32)
    task = replace(task.to(META), train_images=torch.zeros(32, 1, 8, 8, device=META), white=1.0)
    labels = labels.to(META)
    settings = penalties.SelectiveTraining(
        data=DataConfig("digits"), noise=penalties.NoiseConfig(0.3), model=NETWORKS["cnn"],
        train=TrainConfig(lr=0.1, epochs=1), condition="global", strength=1.0,
    )  # fmt: skip
    model = a_network("cnn").to(META)
    with Waits() as waits:
        settings._step(model, task.train_images, labels.given, None, torch.Generator())
    assert waits.total == 0


def test_a_step_of_the_finder_of_wrong_labels_waits_for_nothing():
    """An epoch hands over the order of the samples and reads the loss, however many steps it has."""
    counts = []
    for n in (160, 320):
        task, labels = a_task(n)
        training = _Training(
            a_network("fcn"), Inputs(task.train_images, torch.device("cpu")), labels.given, Recipe(batch_size=16)
        )
        training.model.to(META)
        training.averaged.module.to(META)  # its count of steps lies on the host, as it does beside a card
        for name, value in vars(training).items():
            if isinstance(value, Tensor):
                setattr(training, name, value.to(META))
        for name, value in vars(training.inputs).items():
            if isinstance(value, Tensor):
                setattr(training.inputs, name, value.to(META))
        training.optimizer = torch.optim.SGD(training.model.parameters(), lr=0.1, momentum=0.9)
        with Waits() as waits:
            training._epoch()
        counts.append(waits.counts)
    assert counts[0] == counts[1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(NETWORKS))
def test_a_step_is_one_graph(kind):
    """No Python in a training step depends on what a tensor holds: the compiler sees the whole of it."""
    model, labels = a_network(kind), torch.arange(16) % CLASSES
    images = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        return sample_losses(model(images), labels).mean()

    whole = torch.compile(loss, fullgraph=True, backend="aot_eager")
    assert whole(images, labels).item() == pytest.approx(loss(images, labels).item(), rel=1e-5)


@pytest.mark.slow
def test_replicas_are_one_graph():
    networks = [build(ModelConfig((16, 16), batch_norm=True), (1, 8, 8), CLASSES, torch.Generator()) for _ in range(3)]
    module = Replicas(networks)
    images = load(DataConfig("digits")).test_images[:32].float() / 16
    whole = torch.compile(module, fullgraph=True, backend="aot_eager")
    assert torch.allclose(whole(images), module(images), atol=1e-5)
