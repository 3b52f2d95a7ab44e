"""The training loop: tensors on the device, no per-sample Python, resumable.

Mini-batch SGD (Eq. 4) with everything on one device. On a CPU a run is
deterministic, and a run that was killed and resumed gives the same numbers as
one that was not.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .checkpoint import Checkpoint
from .data import Task, pixels
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

    def resolve(self) -> torch.device:
        """The device; ValueError for an unknown name, or CUDA where there is none."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self.device not in ("cpu", "cuda"):
            raise ValueError(f"unknown device {self.device!r}; there are: auto, cpu, cuda")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("device 'cuda' was asked for, but PyTorch sees no CUDA card here; use 'cpu' or 'auto'")
        return torch.device(self.device)


@contextmanager
def rounding(tf32: bool) -> Iterator[None]:
    """Whether a card may round float32 products and convolutions to ten bits inside: PyTorch lets it by default, in
    convolutions alone.
    """
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = tf32
    try:
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.allow_tf32 = value


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
    forward = torch.compile(model) if machine.compile else model
    if not history:
        history.append({"epoch": 0, **observe(model)})
    epochs = range(len(history), config.epochs + 1)
    for epoch in bar(epochs, description or "epochs", "epoch", progress):
        loss = run_epoch(forward, task, labels.given, config, optimizer, generator)
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


def run_epoch(
    model: nn.Module,
    task: Task,
    given: Tensor,
    config: TrainConfig,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> float:
    """One pass over the training set in a new random order; returns the mean loss seen."""
    model.train()
    n, device = len(given), given.device
    order = torch.randperm(n, generator=generator).to(device, non_blocking=True)
    total = torch.zeros((), device=device)  # stays on the device: reading it every step would stall a GPU
    bfloat16 = config.precision == "bfloat16"
    for batch in order.split(config.batch_size or n):
        images = pixels(task.train_images.index_select(0, batch), task.white)
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            logits = model(images)
        loss = sample_losses(logits.float(), given.index_select(0, batch)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.detach() * len(batch)
    return (total / n).item()
