"""The training with the penalty at the original's size: an hour or two that an interrupt must not lose."""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from ..checkpoint import Checkpoint
from ..data import load
from ..experiments import Outcome, generator
from ..models import build
from ..noise import symmetric
from ..observe import Row
from ..paths import data_folder
from ..progress import bar
from ..train import Machine, TrainingDiverged
from .penalties import SelectiveTraining


@dataclass(frozen=True, kw_only=True)
class LongSelective(SelectiveTraining):
    """`SelectiveTraining` that goes on from its last epoch where it was cut off: the same training, the same rows."""

    kind: ClassVar[str] = "long selective"

    def run(
        self, *, machine: Machine, folder: str | Path | None, resume: bool, made_by: str, progress: bool
    ) -> Outcome:
        """Train and measure, from where an interrupted run stopped. Raises TrainingDiverged."""
        begun = time.perf_counter()
        self.validate()
        device = machine.resolve()
        path = data_folder(folder) / "checkpoints" / f"{self.slug}.pt"
        checkpoint = Checkpoint(path, f"{self.key} {made_by} {device.type} {machine.tf32}") if resume else None
        task = load(self.data, folder, self.seed)
        labels = symmetric(task.train_labels, self.noise.noise_rate, 10, generator(self.seed, "noise")).to(device)
        task = self._pooled(task).to(device)
        model = build(self.model, task.input_shape, 10, generator(self.seed, "weights")).to(device)
        batch = self.train.batch_size or len(labels.given)
        rows: list[Row] = []
        with (
            machine.cpu_threads(model, batch, math.prod(task.input_shape[1:])) as threads,
            torch.random.fork_rng(),
        ):
            # dropout knows no generator of its own
            torch.manual_seed(generator(self.seed, "dropout").initial_seed())
            optimizer = torch.optim.Adam(model.parameters(), lr=self.train.lr)
            order, drawn = generator(self.seed, "order"), generator(self.seed, "directions")

            def state() -> dict[str, Any]:
                known = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "rows": rows}
                return known | {"order": order.get_state(), "directions": drawn.get_state(), "dropout": _drawn(device)}

            done = 0
            if saved := checkpoint.restore(device) if checkpoint else None:
                model.load_state_dict(saved["model"])
                optimizer.load_state_dict(saved["optimizer"])
                order.set_state(saved["order"].cpu())
                drawn.set_state(saved["directions"].cpu())
                _draw_on(device, saved["dropout"].cpu())
                rows, done = saved["rows"], int(saved["rows"][-1]["epoch"])
            said = f"{self.condition}, seed {self.seed}"
            for epoch in bar(range(done + 1, self.train.epochs + 1), said, "epoch", progress):
                alike = self._epoch(model, task, labels, optimizer, order, drawn)
                if not math.isfinite(alike["cross_entropy"] + alike["share"]):
                    divergence = TrainingDiverged(epoch, rows)
                    if checkpoint:
                        checkpoint.keep_history(divergence, rows)
                        checkpoint.discard()
                    raise divergence
                rows += self._measure(model, task, epoch, alike)
                if checkpoint and epoch < self.train.epochs:
                    checkpoint.save(state)
        seconds = time.perf_counter() - begun
        if checkpoint:
            seconds += checkpoint.spent_before
            checkpoint.discard()
        return Outcome(rows, seconds, threads)


def _drawn(device: torch.device) -> torch.Tensor:
    """Where the generator stands that dropout draws from."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _draw_on(device: torch.device, state: torch.Tensor) -> None:
    """Let dropout go on drawing where `_drawn` said."""
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
