"""Label noise: which labels are wrong, and what they became (§ 2, Eq. 1)."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class NoiseConfig:
    """Symmetric label noise, the paper's: of every class, a share goes elsewhere."""

    noise_rate: float  # delta of the paper, in [0, 1)

    def validate(self) -> None:
        """Raise ValueError for a rate outside [0, 1)."""
        if not 0 <= self.noise_rate < 1:
            raise ValueError(f"noise_rate must lie in [0, 1), not {self.noise_rate}")


@dataclass(frozen=True)
class NoisyLabels:
    """Labels as the network is given them, and as they truly are.

    ``given`` and ``true`` are int64 ``[n]``, ``is_noisy`` is their difference
    (the paper's D_noise), bool ``[n]``.
    """

    given: Tensor
    true: Tensor
    classes: int

    @property
    def is_noisy(self) -> Tensor:
        """Where the given label is wrong, bool ``[n]``."""
        return self.given != self.true

    def realised_rate(self) -> list[float]:
        """Share of wrong labels in each true class, one number a class."""
        return [self.is_noisy[self.true == c].float().mean().item() for c in range(self.classes)]

    def to(self, device: torch.device | str) -> "NoisyLabels":
        """The same labels on ``device``."""
        return NoisyLabels(self.given.to(device), self.true.to(device), self.classes)


def symmetric(true: Tensor, noise_rate: float, classes: int, generator: torch.Generator) -> NoisyLabels:
    """Give exactly ``round(noise_rate * n_c)`` samples of each class c another label.

    The new label is uniform over the other classes, never the true one.
    Raises ValueError for a rate outside [0, 1) or one that flips a whole class.
    """
    NoiseConfig(noise_rate).validate()
    _check_labels(true, classes)
    given = true.clone()
    for c in range(classes):
        flipped = _draw(true, c, noise_rate, generator)
        step = torch.randint(1, classes, (len(flipped),), generator=generator)
        given[flipped] = (c + step) % classes
    return NoisyLabels(given, true, classes)


def asymmetric(
    true: Tensor, noise_rate: float, becomes: dict[int, int], classes: int, generator: torch.Generator
) -> NoisyLabels:
    """Give exactly ``round(noise_rate * n_c)`` samples of each class c in ``becomes`` the label ``becomes[c]``.

    Raises ValueError as `symmetric` does, or for a class that is unknown or becomes itself.
    """
    NoiseConfig(noise_rate).validate()
    _check_labels(true, classes)
    for c, target in becomes.items():
        if c == target or not {c, target} <= set(range(classes)):
            raise ValueError(f"class {c} cannot become {target}; allowed: two different classes of 0 to {classes - 1}")
    given = true.clone()
    for c, target in becomes.items():
        given[_draw(true, c, noise_rate, generator)] = target
    return NoisyLabels(given, true, classes)


def from_transition(true: Tensor, matrix: Tensor, generator: torch.Generator) -> NoisyLabels:
    """Labels changed by a transition matrix: ``matrix[c, k]`` of class c is given label k.

    ``matrix`` is ``[classes, classes]``, its rows non-negative with sum 1. The
    counts are exact up to rounding: those of a row add up to the class's size.
    Raises ValueError for another shape, another sum, or a row that leaves no sample its label.
    """
    matrix = torch.as_tensor(matrix, dtype=torch.float64)
    classes = len(matrix)
    square = matrix.ndim == 2 and matrix.shape[1] == classes
    if not square or (matrix < 0).any() or not torch.allclose(matrix.sum(1), torch.ones(classes).double()):
        raise ValueError("a transition matrix is square, has no negative entry, and its rows sum to 1")
    _check_labels(true, classes)
    given = true.clone()
    for c in range(classes):
        members = _shuffled(true, c, generator)
        ends = (matrix[c].cumsum(0) * len(members)).round().long().tolist()
        for k, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
            given[members[start:end]] = k
        if len(members) and not (given[members] == c).any():
            raise ValueError(f"row {c} of the transition matrix flips all {len(members)} samples of class {c}")
    return NoisyLabels(given, true, classes)


def _draw(true: Tensor, c: int, noise_rate: float, generator: torch.Generator) -> Tensor:
    members = _shuffled(true, c, generator)
    count = round(noise_rate * len(members))
    if len(members) and count == len(members):
        raise ValueError(f"noise_rate {noise_rate} flips all {len(members)} samples of class {c}; choose a lower one")
    return members[:count]


def _shuffled(true: Tensor, c: int, generator: torch.Generator) -> Tensor:
    members = (true == c).nonzero().squeeze(1)
    return members[torch.randperm(len(members), generator=generator)]


def _check_labels(true: Tensor, classes: int) -> None:
    if classes < 2 or len(true) == 0:
        raise ValueError(f"label noise needs samples of two or more classes, not {len(true)} samples of {classes}")
    if true.min() < 0 or true.max() >= classes:
        raise ValueError(f"labels run from {true.min()} to {true.max()}; allowed: 0 to {classes - 1}")
