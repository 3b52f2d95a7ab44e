"""A training step without launches: recorded once as a CUDA graph, and played for every batch.

A step of a small network is some thirty kernels of a few microseconds, which Python hands over more slowly than the
card runs them. Played from a graph they follow each other at once. Where there is no card the same step is called
as it is, so that its numbers can be tested anywhere.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lib.data import Task, pixels
from lib.observe import sample_losses
from lib.train import TrainConfig


class Player:
    """``step(batch)`` for batches of one size, from a graph on a card.

    ``step`` takes positions int64 [size], changes what it changes in place and gives a tensor, which the next call
    overwrites. It must ask for no number on the way. It is called three times to warm up: ``state`` are the tensors
    that it changes, put back afterwards.
    """

    def __init__(self, step: Callable[[Tensor], Tensor], batch: Tensor, state: list[Tensor]) -> None:
        self._step, self._graph = step, None
        if batch.device.type != "cuda":
            return
        self._batch = batch.clone()
        before = [value.clone() for value in state]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                step(self._batch)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._found = step(self._batch)
        with torch.no_grad():
            for value, kept in zip(state, before, strict=True):
                value.copy_(kept)

    def __call__(self, batch: Tensor) -> Tensor:
        """One step; the last batch of an epoch may be smaller and is then called as it is."""
        if self._graph is None or len(batch) != len(self._batch):
            return self._step(batch)
        self._batch.copy_(batch)
        self._graph.replay()
        return self._found


class PlayedEpoch:
    """`lib.train.run_epoch`, its steps played from a graph: the same numbers, but for the order of sums."""

    def __init__(self, model: nn.Module, task: Task, given: Tensor, config: TrainConfig) -> None:
        self.model, self.task, self.given, self.config = model, task, given, config
        self.optimizer = torch.optim.SGD(model.parameters(), lr=config.lr, momentum=config.momentum, fused=True)
        for p in model.parameters():  # the gradients must stay where the graph knows them
            p.grad = torch.zeros_like(p)
        model.train()
        if config.momentum:
            # the first step makes the momentum: with gradients of 0 and no weight decay it moves nothing
            self.optimizer.step()
        momenta = [state["momentum_buffer"] for state in self.optimizer.state.values() if "momentum_buffer" in state]
        changed = [*model.parameters(), *model.buffers(), *momenta]
        first = torch.arange(min(config.batch_size or len(given), len(given)), device=given.device)
        self._play = Player(self._step, first, [value.detach() for value in changed])

    def _step(self, batch: Tensor) -> Tensor:
        images = pixels(self.task.train_images.index_select(0, batch), self.task.white)
        bfloat16 = self.config.precision == "bfloat16"
        # the cache would keep casts of weights that the next step has changed
        with torch.autocast(self.given.device.type, torch.bfloat16, enabled=bfloat16, cache_enabled=False):
            logits = self.model(images)
        loss = sample_losses(logits.float(), self.given.index_select(0, batch)).mean()
        self.optimizer.zero_grad(set_to_none=False)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def run(self, generator: torch.Generator) -> float:
        """One pass over the training set in a new random order; the mean loss seen."""
        n = len(self.given)
        order = torch.randperm(n, generator=generator).to(self.given.device, non_blocking=True)
        total = torch.zeros((), device=self.given.device)
        for batch in order.split(self.config.batch_size or n):
            total += self._play(batch) * len(batch)
        return (total / n).item()
