"""The networks that are timed, on random images: the work is the same."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lib.beyond import scans
from lib.beyond.replicas import together
from lib.beyond.two_gradients import Dual, Member, Samples
from lib.data import Task
from lib.experiments import Experiment, Prepared, prepare
from lib.observe import ObserveConfig
from lib.paper import presets
from lib.train import Machine
from tests.cuda.campaign import Settings

# A narrower one writes past its memory on a CPU when its images have their channels last, as augmented ones do:
# oneDNN's gradient of a strided 1 × 1 convolution with fewer input channels than a vector has numbers
# (uxlfoundation/oneDNN, issue 6035).
TINY_RESNET18 = 16


@dataclass(frozen=True)
class Case:
    """A network at the paper's scale, on random images: the work is the same."""

    name: str
    experiment: Experiment
    images: int
    shape: tuple[int, int, int]
    goal: float  # seconds of an epoch
    observing: bool  # whether the goal holds for training and observing together


@dataclass(frozen=True)
class Way:
    """How it is carried out."""

    name: str
    precision: str = "float32"
    compile: bool = False
    channels_last: bool = False
    played: bool = False  # from a CUDA graph
    tf32: bool = False


WAYS = {
    "fcn": (Way("fp32"), Way("played from a graph", played=True), Way("compiled", compile=True)),
    "cnn": (
        Way("fp32"), Way("bf16", "bfloat16"), Way("bf16, channels last", "bfloat16", channels_last=True),
        Way("bf16, channels last, graph", "bfloat16", channels_last=True, played=True), Way("tf32", tf32=True),
    ),
    "resnet9": (
        Way("fp32"), Way("tf32", tf32=True), Way("bf16", "bfloat16"),
        Way("bf16, channels last", "bfloat16", channels_last=True),
        Way("bf16, channels last, compiled", "bfloat16", compile=True, channels_last=True),
        Way("bf16, channels last, graph", "bfloat16", channels_last=True, played=True),
    ),
    "resnet18, mixed step": (
        Way("fp32"), Way("tf32", tf32=True), Way("bf16", "bfloat16"),
        Way("bf16, channels last", "bfloat16", channels_last=True),
        Way("bf16, channels last, compiled", "bfloat16", compile=True, channels_last=True),
    ),
}  # fmt: skip


def cases(settings: Settings) -> list[Case]:
    """The three networks that are trained; at --dry the digits' own."""
    profile = settings.pick("paper", "smoke")
    photographs = settings.pick((3, 32, 32), (3, 8, 8))
    digits = settings.pick((1, 28, 28), (1, 8, 8))
    sizes = settings.pick((12_214, 60_000, 25_000), (128, 128, 128))
    return [
        Case("fcn", presets.binary(profile), sizes[0], digits, 0.015, True),
        Case("cnn", presets.mnist(profile), sizes[1], digits, 0.6, True),
        Case("resnet9", presets.cifar10(profile), sizes[2], photographs, 1.0, False),
    ]


def random_task(n: int, shape: tuple[int, ...], classes: int) -> Task:
    """Random images and labels, an eighth as many to test."""
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n + n // 8, *shape), dtype=torch.uint8, generator=draws)
    labels = torch.randint(0, classes, (len(images),), generator=draws)
    return Task(images[:n], labels[:n], images[n:], labels[n:], tuple(map(str, range(classes))))


def made(case: Case, way: Way, settings: Settings) -> tuple[Experiment, Prepared]:
    """A case ready to be trained in a way."""
    one = replace(case.experiment, train=replace(case.experiment.train, precision=way.precision))
    one = replace(one, observe=ObserveConfig(residual_l1=one.observe.residual_l1))
    task = random_task(case.images, case.shape, len(one.data.classes or range(10)))
    return one, prepare(one, Machine(settings.device.type, channels_last=way.channels_last), task=task)


class ChannelsLast(nn.Module):
    """Images in the memory layout that convolutions on a card like; the layers after it keep to it."""

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return x.contiguous(memory_format=torch.channels_last)


def dual_of(
    runs: scans.DualRuns, members: list[Member], task: Task, device: torch.device, way: Way = Way("fp32")
) -> Dual:
    """The members' networks before their first step on images of our own."""
    networks = scans.networks_of(runs, members, task)
    if way.channels_last:
        networks = [nn.Sequential(ChannelsLast(), *network) for network in networks]
    module = together(networks).to(device)
    module = torch.compile(module) if way.compile else module
    tasks = dict.fromkeys((member.seed for member in members), task.to(device))
    return Dual(module, runs.dual, Samples(tasks, members, runs.dual, runs.pool, runs.augment))
