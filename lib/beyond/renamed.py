"""The same penalty for other pairs of digits: what `penalties` says of 4, 9, 3, 8, 5 and 6 said of others.

`penalties.SelectiveTraining` knows its pairs and conditions by class. Here the digits are given other numbers, so that
6 and 7 stand where 4 and 9 do, 0 and 1 where 3 and 8 do, 3 and 8 where 5 and 6 do. Nothing else changes.
"""

from dataclasses import dataclass, fields, replace
from typing import ClassVar

import torch
from torch import nn

from ..data import Task
from ..noise import NoisyLabels
from ..observe import Row
from .penalties import SelectiveTraining

# digit: the number that it has here. Pairs there -> digits: 4 v 9 -> 6 v 7, 3 v 8 -> 0 v 1, 5 v 6 -> 3 v 8.
NUMBERS = {6: 4, 7: 9, 0: 3, 1: 8, 3: 5, 8: 6, 2: 0, 4: 1, 5: 2, 9: 7}
DIGITS = {number: digit for digit, number in NUMBERS.items()}


def renumbered(labels: torch.Tensor) -> torch.Tensor:
    """Labels of digits as they are numbered here; same shape."""
    return torch.tensor([NUMBERS[digit] for digit in range(10)], device=labels.device)[labels]


@dataclass(frozen=True, kw_only=True)
class RenamedTraining(SelectiveTraining):
    """`SelectiveTraining` with digits renumbered by `NUMBERS`: its columns and conditions are of the new numbers.

    ``selective_49`` penalises the digits 6 and 7, ``selective_38`` 0 and 1; the pair 5 v 6 is 3 v 8.
    """

    kind: ClassVar[str] = "renamed"

    @property
    def slug(self) -> str:
        """Key with a readable beginning, for file names."""
        return f"renamed-{super().slug}"

    def _pooled(self, task: Task) -> Task:
        return super()._pooled(replace(task, test_labels=renumbered(task.test_labels)))

    def _epoch(
        self,
        model: nn.Module,
        task: Task,
        labels: NoisyLabels,
        optimizer: torch.optim.Optimizer,
        order: torch.Generator,
        drawn: torch.Generator,
    ) -> Row:
        labels = NoisyLabels(renumbered(labels.given), renumbered(labels.true), labels.classes)
        return super()._epoch(model, task, labels, optimizer, order, drawn)


def renamed(training: SelectiveTraining) -> RenamedTraining:
    """The same training with its digits renumbered."""
    return RenamedTraining(**{item.name: getattr(training, item.name) for item in fields(training)})
