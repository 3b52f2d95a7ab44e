"""A training step without launches: recorded once as a CUDA graph, and played for every batch.

A step of a small network is some thirty kernels of a few microseconds, which Python hands over more slowly than a
card runs them: played from a graph they follow each other at once. Where there is no card the same step is called
as it is, so that its numbers can be tested anywhere.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

WARM = 3  # steps before the recording, in which libraries choose their ways


class Player:
    """``step(batch)`` for batches of one size, from a graph on a card.

    ``step`` takes positions int64 [size], changes what it changes in place and gives a tensor, which the next call
    overwrites. It must ask for no number on the way. It is called a few times to warm up: ``state`` are the tensors
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
            for _ in range(WARM):
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


def playable(model: nn.Module) -> bool:
    """Whether a step of this network can be played: it lies on a card, and dropout draws nothing in it."""
    on_card = next(model.parameters()).device.type == "cuda"
    return on_card and not any(isinstance(part, nn.Dropout) and part.p > 0 for part in model.modules())


def changed_by_steps(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """What steps of SGD change: weights, buffers, momentum, which is made where there is none yet."""
    if any(group["momentum"] for group in optimizer.param_groups) and not optimizer.state:
        # the first step makes the momentum: with gradients of 0 and no weight decay it moves nothing
        for p in model.parameters():
            p.grad = torch.zeros_like(p)
        optimizer.step()
    momenta = [
        state["momentum_buffer"] for state in optimizer.state.values() if state.get("momentum_buffer") is not None
    ]
    return [value.detach() for value in (*model.parameters(), *model.buffers(), *momenta)]
