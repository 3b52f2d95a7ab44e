"""A network made of the last steps of another one's training."""

import copy
import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

LONGEST_AVERAGE = 0.99  # the share of the old average that a step keeps, at most


class Averaged:
    """A network whose weights and buffers are means over about the last tenth of the steps, and over a hundred at most.

    PyTorch's own `AveragedModel` copies its count of steps to the card, and reads it back, in every step.
    """

    def __init__(self, model: nn.Module) -> None:
        self.module, self.steps = copy.deepcopy(model), 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after another step."""
        kept = min(LONGEST_AVERAGE, (1 + self.steps) / (10 + self.steps)) if self.steps else 0.0
        pairs = list(zip(_numbers(self.module), _numbers(model), strict=True))
        floats = [(a, c) for a, c in pairs if a.is_floating_point()]
        if floats and kept:
            torch._foreach_lerp_([a for a, _ in floats], [c for _, c in floats], 1 - kept)
        for a, c in pairs:
            if not (kept and a.is_floating_point()):  # BatchNorm counts its batches
                a.copy_(c)
        self.steps += 1

    def state_dict(self) -> dict:
        """The network's, and how many steps it is made of."""
        return {"module": self.module.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict) -> None:
        """The reverse of `state_dict`."""
        self.module.load_state_dict(state["module"])
        self.steps = state["steps"]


def _numbers(model: nn.Module) -> Iterator[Tensor]:
    """Parameters and buffers."""
    return (x.detach() for x in itertools.chain(model.parameters(), model.buffers()))
