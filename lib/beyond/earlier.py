"""The residual network of an earlier notebook that set out to validate the paper, trained as it is trained there.

Three blocks without biases, weight decay, images that are shifted and mirrored anew in every epoch, and a rate that
falls along a cosine. Its other networks are plain `lib.experiments.Experiment`s.
"""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..data import DataConfig, Task, load
from ..experiments import Outcome, Recordable, check_labels, data_slug, generator
from ..models import Block, convolution, linear
from ..noise import NoiseConfig, NoisyLabels, symmetric
from ..observe import ObserveConfig, Observer, Row
from ..progress import bar
from ..train import Machine, TrainConfig, TrainingDiverged, run_epoch

PIXELS = {  # mean and deviation of each channel, as that notebook has them; those of the digits are ours
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "digits": ((0.305,), (0.376,)),
}
BLOCKS = ((1, 1, 1), (1, 2, 2), (2, 4, 2))  # channels in and out in widths, stride: three, where four are named there
SEEN = ("clean_error", "noisy_error", "clean_loss", "noisy_loss")


class ByChannel(nn.Module):
    """(x - mean) / deviation of the pixels, channel by channel."""

    def __init__(self, mean: tuple[float, ...], deviation: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return (x - self.mean) / self.deviation


def three_blocks(
    input_shape: tuple[int, ...], width: int, outputs: int, generator: torch.Generator, name: str = "cifar10"
) -> nn.Sequential:
    """The network: a convolution, three residual blocks of ``width``, twice and four times as many channels, a mean.

    Eight layers of weights on its longest way. ``name``: the data set whose pixels it standardises.
    """
    blocks = [Block(fan_in * width, fan_out * width, stride, generator, nn.ReLU) for fan_in, fan_out, stride in BLOCKS]
    return nn.Sequential(
        ByChannel(*PIXELS[name]),
        convolution(input_shape[0], width, generator, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        linear(4 * width, outputs, generator),
    )


def shifted_and_mirrored(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image shifted by up to an eighth of its height either way, black coming in, and half of them mirrored."""
    n, channels, height, breadth = images.shape
    pad = height // 8
    padded = nn.functional.pad(images, (pad, pad, pad, pad))
    down, right = torch.randint(2 * pad + 1, (2, n, 1), generator=generator)
    rows, columns = down + torch.arange(height), right + torch.arange(breadth)
    columns = torch.where(torch.rand((n, 1), generator=generator) < 0.5, columns.flip(1), columns)
    which = torch.arange(n)[:, None, None, None], torch.arange(channels)[:, None, None]
    where = (*which, rows[:, None, :, None], columns[:, None, None, :])
    return padded[tuple(index.to(images.device) for index in where)]


@dataclass(frozen=True, kw_only=True)
class EarlierResNet(Recordable):
    """A training of `three_blocks` with label noise.

    A row an epoch, the first before any step: the columns of `lib.observe` with ratios, on the images as they are;
    and ``seen_clean_error``, ``seen_noisy_error``, ``seen_clean_loss``, ``seen_noisy_loss`` on images augmented anew,
    on which that notebook measures.
    """

    kind: ClassVar[str] = "earlier"
    data: DataConfig
    noise: NoiseConfig
    width: int
    train: TrainConfig
    augment: bool = True
    annealed: int = 0  # epochs over which the rate falls to 0 along a cosine; 0: constant
    weight_decay: float = 5e-4
    seed: int = 0

    def validate(self) -> None:
        """Also: the network and its schedule can be meant."""
        super().validate()
        if self.data.name not in PIXELS:
            raise ValueError(f"pixels are known of {', '.join(PIXELS)}, not of {self.data.name!r}")
        if self.width < 1 or self.weight_decay < 0:
            raise ValueError("width must be at least 1, and weight_decay at least 0")
        if self.annealed and self.annealed < self.train.epochs:
            raise ValueError(f"the rate is 0 after {self.annealed} epochs, before the last of {self.train.epochs}")

    def preflight(self, folder: str | Path | None = None) -> None:
        """Load the data and flip the labels."""
        check_labels(self.data, self.noise, folder, self.seed)

    @property
    def slug(self) -> str:
        """Key with a readable beginning, for file names."""
        return f"{data_slug(self.data)}-threeblocks{self.width}-seed{self.seed}-{self.key}"

    def short(self, epochs: int = 2) -> "EarlierResNet":
        """Its first epochs, at the rates that they have in the whole."""
        return replace(self, train=replace(self.train, epochs=min(epochs, self.train.epochs)))

    def run(
        self, *, machine: Machine, folder: str | Path | None, resume: bool, made_by: str, progress: bool
    ) -> Outcome:
        """Train and measure; a run is short, so that there is nothing to resume. Raises TrainingDiverged."""
        begun = time.perf_counter()
        self.validate()
        device = machine.resolve()
        task = load(self.data, folder, self.seed)
        labels = symmetric(task.train_labels, self.noise.noise_rate, task.classes, generator(self.seed, "noise"))
        weights = generator(self.seed, "weights")
        model = three_blocks(task.input_shape, self.width, task.outputs, weights, self.data.name).to(device)
        task, labels = task.to(device), labels.to(device)
        order, moves, looks = (generator(self.seed, what) for what in ("order", "moves", "looks"))
        optimizer = torch.optim.SGD(
            model.parameters(), self.train.lr, self.train.momentum, weight_decay=self.weight_decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.annealed) if self.annealed else None
        observer = Observer(ObserveConfig(), model, task, labels, generator(self.seed, "watch"))
        rows: list[Row] = []
        batch, positions = self.train.batch_size or len(labels.given), math.prod(task.input_shape[1:])
        with machine.cpu_threads(model, batch, positions) as threads:
            for epoch in bar(range(self.train.epochs + 1), f"three blocks, seed {self.seed}", "epoch", progress):
                if epoch:
                    run_epoch(model, self._moved(task, moves), labels.given, self.train, optimizer, order)
                    if schedule:
                        schedule.step()
                row = {"epoch": epoch, **observer(model), **self._seen(model, self._moved(task, looks), labels)}
                if not math.isfinite(row["train_loss"]):
                    raise TrainingDiverged(epoch, rows)
                rows.append(row)
        return Outcome(rows, time.perf_counter() - begun, threads)

    def _moved(self, task: Task, drawn: torch.Generator) -> Task:
        return replace(task, train_images=shifted_and_mirrored(task.train_images, drawn)) if self.augment else task

    @staticmethod
    def _seen(model: nn.Module, task: Task, labels: NoisyLabels) -> Row:
        few = replace(task, test_images=task.test_images[:1], test_labels=task.test_labels[:1])
        row = Observer(ObserveConfig(gradients=False), model, few, labels, torch.Generator())(model)
        return {f"seen_{name}": row[name] for name in SEEN}
