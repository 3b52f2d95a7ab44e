"""What a computation should take: its operations and bytes over rates that were measured on the same machine."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from lib.train import Machine


def sync(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(function: Callable[[], object], device: torch.device, rounds: int = 5, warm: int = 1) -> float:
    """Median seconds of a call, the device's work included."""
    for _ in range(warm):
        function()
    seconds = []
    for _ in range(rounds):
        sync(device)
        begun = time.perf_counter()
        function()
        sync(device)
        seconds.append(time.perf_counter() - begun)
    return sorted(seconds)[len(seconds) // 2]


@dataclass(frozen=True)
class Rates:
    """Operations a second in large square products, bytes a second in a large copy, seconds of a small operation."""

    float32: float
    tf32: float
    bfloat16: float
    copy: float  # read and written bytes together
    launch: float  # of one operation on a few numbers, many in a row

    @classmethod
    def measured(cls, device: torch.device, size: int = 8192) -> "Rates":
        """On this device, in some seconds; ``size`` is the side of the matrices."""
        random = torch.Generator(device.type).manual_seed(0)

        def products(kind: torch.dtype, allowed: bool = False) -> float:
            a, b = (torch.randn(size, size, device=device, generator=random).to(kind) for _ in range(2))
            with Machine(tf32=allowed).card():
                return 2 * size**3 / timed(lambda: a @ b, device)

        source = torch.zeros(2 * size**2, device=device)
        target = torch.empty_like(source)
        few = torch.zeros(8, device=device)

        def small() -> None:
            for _ in range(1000):
                few.add_(1.0)

        return cls(
            products(torch.float32),
            products(torch.float32, True),
            products(torch.bfloat16),
            2 * source.nbytes / timed(lambda: target.copy_(source), device),
            timed(small, device, rounds=3) / 1000,
        )

    def as_dict(self) -> dict[str, float | str]:
        """For a file, with a sentence to read."""
        said = (
            f"{self.float32 / 1e12:.1f} TFLOP/s in float32, {self.tf32 / 1e12:.1f} in tf32, {self.bfloat16 / 1e12:.1f} "
            f"in bf16, copies {self.copy / 1e9:.0f} GB/s, {1e6 * self.launch:.1f} us a launch"
        )
        return asdict(self) | {"seconds": 0.0, "in words": said}


@dataclass(frozen=True)
class Work:
    """Floating-point operations of products and convolutions, bytes that go in and out, and how many operations."""

    flops: float
    nbytes: float
    launches: float

    def times(self, n: float) -> "Work":
        """That many of it."""
        return Work(n * self.flops, n * self.nbytes, n * self.launches)

    def __add__(self, other: "Work") -> "Work":
        return Work(self.flops + other.flops, self.nbytes + other.nbytes, self.launches + other.launches)

    def seconds(self, rates: Rates, precision: str = "float32") -> float:
        """The longer of operations at the rate of products and bytes at the rate of copies."""
        return max(self.flops / getattr(rates, precision), self.nbytes / rates.copy)

    def launched(self, rates: Rates) -> float:
        """Seconds of as many small operations: below them no sequence of single operations comes."""
        return self.launches * rates.launch


class _Bytes(TorchDispatchMode):
    """Adds up what each operation reads and writes; views move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.nbytes = self.launches = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        returns = func._schema.returns
        if returns and all(r.alias_info is not None and not r.alias_info.is_write for r in returns):
            return found
        touched = [x for x in tree_leaves((args, kwargs or {}, found)) if isinstance(x, Tensor)]
        if touched:
            self.launches += 1
            self.nbytes += sum({id(x): x.numel() * x.element_size() for x in touched}.values())
        return found


def work_of(function: Callable[[], object]) -> Work:
    """What one call does, as PyTorch carries it out without fusing anything."""
    with FlopCounterMode(display=False) as flops, _Bytes() as moved:
        function()
    return Work(float(flops.get_total_flops()), float(moved.nbytes), float(moved.launches))
