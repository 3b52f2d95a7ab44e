"""The training loop: tensors on the device, no per-sample Python, resumable.

Mini-batch SGD (Eq. 4) with everything on one device. On a CPU a run is
deterministic, and a run that was killed and resumed gives the same numbers as
one that was not.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from .checkpoint import Checkpoint
from .data import Task, pixels, sent
from .graphs import Player, changed_by_steps, playable
from .noise import NoisyLabels
from .observe import Row, sample_losses
from .progress import bar

PRECISIONS = ("float32", "bfloat16")
SMALL_STEP = 50_000_000  # images times multiplications of a step that one CPU thread does best alone


@dataclass(frozen=True)
class TrainConfig:
    """What determines the numbers of a training."""

    lr: float
    epochs: int
    batch_size: int | None = 256  # None: the full batch, so that an epoch is one step of Eq. 4
    momentum: float = 0.0
    precision: str = "float32"  # of the training passes; observing is always float32

    def validate(self) -> None:
        """Raise ValueError for settings that cannot be meant."""
        if not self.lr > 0:
            raise ValueError(f"lr must be above 0, not {self.lr}")
        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, not {self.epochs}")
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, or None for the full batch, not {self.batch_size}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), not {self.momentum}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"unknown precision {self.precision!r}; there are: {', '.join(PRECISIONS)}")


@dataclass(frozen=True)
class Machine:
    """Where and how a training is carried out: it changes the speed, not the experiment."""

    device: str = "auto"  # auto: CUDA where there is one
    compile: bool = False  # torch.compile of the training step's forward pass
    channels_last: bool = False  # memory layout of convolutional networks
    tf32: bool = False  # let a card round float32 products and convolutions to ten bits
    graph: bool = True  # play training steps from a CUDA graph, where there is a card and nothing is compiled
    threads: int | None = None  # of the CPU; None: one for small networks, else as many as PyTorch chooses

    @contextmanager
    def cpu_threads(self, model: nn.Module, batch: int, positions: int = 1) -> Iterator[int]:
        """Set the CPU threads that a training step on ``batch`` images is worth; gives their number.

        ``positions``: pixels of an image, each of which a convolution visits.

        Below some tens of millions of multiplications a step, threads spend their
        time waiting for each other: on a busy machine a hundred times longer.
        """
        before = torch.get_num_threads()
        work = sum(p.numel() * (positions if p.ndim == 4 else 1) for p in model.parameters())
        small = batch * work < SMALL_STEP
        torch.set_num_threads(self.threads or (1 if small else before))
        try:
            yield torch.get_num_threads()
        finally:
            torch.set_num_threads(before)

    @contextmanager
    def card(self) -> Iterator[None]:
        """What PyTorch's libraries may do on a card: round as ``tf32`` says, and try out which convolution is fastest.

        PyTorch by itself rounds in convolutions and not in products, and tries out nothing.
        """
        matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
        before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = self.tf32, self.tf32, True
        try:
            yield
        finally:
            matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before

    def resolve(self) -> torch.device:
        """The device; ValueError for an unknown name, or CUDA where there is none."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self.device not in ("cpu", "cuda"):
            raise ValueError(f"unknown device {self.device!r}; there are: auto, cpu, cuda")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("device 'cuda' was asked for, but PyTorch sees no CUDA card here; use 'cpu' or 'auto'")
        return torch.device(self.device)


class TrainingDiverged(RuntimeError):
    """The loss became NaN or infinite; ``history`` holds the rows up to then."""

    def __init__(self, epoch: int, history: list[Row]) -> None:
        super().__init__(
            f"the training loss was not finite in epoch {epoch}; the {len(history)} rows before it are kept in "
            "this error's `history`. A smaller learning rate usually helps."
        )
        self.epoch, self.history = epoch, history


def train(
    model: nn.Module,
    task: Task,
    labels: NoisyLabels,
    config: TrainConfig,
    observe: Callable[[nn.Module], Row],
    generator: torch.Generator,
    *,
    machine: Machine = Machine(),
    checkpoint: Checkpoint | None = None,
    description: str = "",
    progress: bool = True,
) -> list[Row]:
    """Train ``model`` in place; return one row an epoch, the first before any step.

    ``generator`` (a CPU one) gives the order of the images, the same on every
    device. Raises TrainingDiverged. With a ``checkpoint`` the run goes on
    from where an earlier one was cut off.
    """
    config.validate()
    optimizer = torch.optim.SGD(model.parameters(), lr=config.lr, momentum=config.momentum, fused=True)
    history: list[Row] = []
    if checkpoint and (state := checkpoint.restore(next(model.parameters()).device)):
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        generator.set_state(state["order"].cpu())
        history = state["history"]
    if not history:
        history.append({"epoch": 0, **observe(model)})
    step = step_of(model, task, labels.given, config, optimizer, machine)
    epochs = range(len(history), config.epochs + 1)
    for epoch in bar(epochs, description or "epochs", "epoch", progress):
        loss = run_epoch(model, task, labels.given, config, optimizer, generator, step=step)
        row = {"epoch": epoch, **observe(model)}
        # the loss seen before the last step, and the one after it
        if not math.isfinite(loss) or not math.isfinite(row.get("train_loss", 0.0)):
            raise TrainingDiverged(epoch, history)
        history.append(row)
        if checkpoint and epoch < config.epochs:
            checkpoint.save(
                lambda: {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "order": generator.get_state(),
                    "history": history,
                }
            )
    return history


def step_of(
    model: nn.Module,
    task: Task,
    given: Tensor,
    config: TrainConfig,
    optimizer: torch.optim.Optimizer,
    machine: Machine = Machine(),
) -> Callable[[Tensor], Tensor]:
    """A training step: takes positions int64 ``[size]`` on the device, gives the batch's mean loss, still there."""
    forward = torch.compile(model) if machine.compile else model
    step = partial(_step, forward, task, given, config, optimizer)
    if not machine.graph or machine.compile or not playable(model):
        return step
    model.train()
    first = torch.arange(min(config.batch_size or len(given), len(given)), device=given.device)
    return Player(step, first, changed_by_steps(model, optimizer))


def _step(
    model: nn.Module, task: Task, given: Tensor, config: TrainConfig, optimizer: torch.optim.Optimizer, batch: Tensor
) -> Tensor:
    images = pixels(task.train_images.index_select(0, batch), task.white)
    bfloat16 = config.precision == "bfloat16"
    # in a graph the cache would keep casts of weights that the next step has changed
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bfloat16, cache_enabled=False):
        logits = model(images)
    loss = sample_losses(logits.float(), given.index_select(0, batch)).mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.detach()


def run_epoch(
    model: nn.Module,
    task: Task,
    given: Tensor,
    config: TrainConfig,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    *,
    step: Callable[[Tensor], Tensor] | None = None,
) -> float:
    """One pass over the training set in a new random order; returns the mean loss seen.

    ``step``: `step_of` the same network, which epochs share that are played from a graph.
    """
    model.train()
    step = step or partial(_step, model, task, given, config, optimizer)
    n, device = len(given), given.device
    order = sent(torch.randperm(n, generator=generator), device)
    total = torch.zeros((), device=device)  # stays on the device: reading it every step would stall a GPU
    for batch in order.split(config.batch_size or n):
        total += step(batch) * len(batch)
    return (total / n).item()
