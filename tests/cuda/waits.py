"""Waits that code hides: places where the host stops until the card has answered, or hands it something piecemeal.

Counted without a card: tensors lie on PyTorch's "meta" device, which holds shapes and no numbers, so that whatever
asks for numbers shows itself. Each such question is counted and answered by something that fits: 1 for a number,
everything for a choice.
"""

from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
READ, CHOICE, OUT, IN = "number read", "choice of unknown size", "copy to the host", "copy to the device"


class Waits(TorchDispatchMode):
    """Counts waits while it is entered, in ``counts`` by their kind."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """Of all kinds."""
        return self.counts.total()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        first = args[0] if args else None
        if isinstance(first, Tensor):
            if func is aten._local_scalar_dense.default and first.is_meta:
                return self._counted(READ, torch.ones((), dtype=first.dtype).item())
            if func is aten.nonzero.default and first.is_meta:
                return self._counted(CHOICE, first.new_zeros((first.numel(), first.ndim), dtype=torch.long))
            if func is aten.masked_select.default and first.is_meta:
                return self._counted(CHOICE, first.new_empty(first.numel()))
            if func is aten.lift_fresh.default and first.is_meta:  # torch.tensor(a list, device=the card)
                self.counts[IN] += 1
            if func in (aten.index.Tensor, aten.index_put_.default, aten.index_put.default):
                args = (first, self._indices(args[1]), *args[2:])
            if func is aten._to_copy.default and (to := kwargs.get("device")) is not None:
                if first.is_meta and torch.device(to).type == "cpu":
                    kind = kwargs.get("dtype") or first.dtype
                    return self._counted(OUT, torch.ones(first.shape, dtype=kind))
                if not first.is_meta and torch.device(to).type == "meta" and not kwargs.get("non_blocking"):
                    self.counts[IN] += 1
        return func(*args, **kwargs)

    def _indices(self, indices: list[Tensor | None]) -> list[Tensor | None]:
        """Masks replaced by as many positions as they have places."""
        found = []
        for index in indices:
            if index is not None and index.dtype in (torch.bool, torch.uint8):
                self.counts[CHOICE] += 1
                found += [torch.zeros(index.numel(), dtype=torch.long, device=index.device)] * index.ndim
            else:
                found.append(index)
        return found

    def _counted(self, kind: str, answer: Any) -> Any:
        self.counts[kind] += 1
        return answer
