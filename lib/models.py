"""The networks: pre-activation outputs h(w; x), before sigmoid or softmax (§ 2)."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

INITS = ("default", "ntk")


@dataclass(frozen=True)
class ModelConfig:
    """A fully connected ReLU network.

    ``init``: "default" is PyTorch's (uniform, scaled by fan-in, with biases);
    "ntk" is the paper's NTK parameterisation (§ 3.1): N(0, 1) weights, no
    biases, a factor 1/sqrt(m) on each hidden layer of width m.
    ``antisymmetric``: the scaled difference of two copies that start alike, so
    that h(w_0; x) = 0 and the sigmoid starts at exactly 1/2.
    """

    widths: tuple[int, ...] = (512, 512)  # neurons of each hidden layer
    init: str = "default"
    antisymmetric: bool = False

    def validate(self) -> None:
        """Raise ValueError for an unknown init or impossible widths."""
        if self.init not in INITS:
            raise ValueError(f"unknown init {self.init!r}; there are: {', '.join(INITS)}")
        if not self.widths or min(self.widths) < 1:
            raise ValueError(f"widths must name one or more hidden layers of at least 1 neuron, not {self.widths}")


def build(config: ModelConfig, input_shape: tuple[int, ...], outputs: int, generator: torch.Generator) -> nn.Module:
    """The network of a configuration, on the CPU, with weights drawn from ``generator``."""
    config.validate()
    sizes = (math.prod(input_shape), *config.widths, outputs)
    make = fully_connected if config.init == "default" else ntk_fully_connected
    network = make(sizes, generator)
    return Antisymmetric(network) if config.antisymmetric else network


def fully_connected(sizes: tuple[int, ...], generator: torch.Generator) -> nn.Sequential:
    """Linear layers of the given sizes with ReLU between, PyTorch's default initialisation."""
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in pairwise(sizes):
        linear = nn.utils.skip_init(nn.Linear, fan_in, fan_out)
        bound = 1 / math.sqrt(fan_in)
        nn.init.uniform_(linear.weight, -bound, bound, generator=generator)
        nn.init.uniform_(linear.bias, -bound, bound, generator=generator)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class NTKLinear(nn.Module):
    """x -> scale * W x with W ~ N(0, 1) and a fixed scale (§ 3.1, Eqs. 6 and 7)."""

    def __init__(self, fan_in: int, fan_out: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(fan_out, fan_in, generator=generator))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """``[n, fan_in]`` to ``[n, fan_out]``."""
        return self.scale * nn.functional.linear(x, self.weight)


def ntk_fully_connected(
    sizes: tuple[int, ...], generator: torch.Generator, activation: Callable[[], nn.Module] = nn.ReLU
) -> nn.Sequential:
    """Linear layers in the paper's NTK parameterisation with ``activation`` between.

    The first layer is unscaled, every later one scaled by 1/sqrt of its input
    width, as in Eqs. 6 and 7.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for depth, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        scale = 1.0 if depth == 0 else 1 / math.sqrt(fan_in)
        layers += [NTKLinear(fan_in, fan_out, scale, generator), activation()]
    return nn.Sequential(*layers[:-1])


class Antisymmetric(nn.Module):
    """(plus(x) - minus(x)) / sqrt(2), two copies with equal weights at the start.

    Its output is exactly 0 at initialisation, and its tangent kernel is that
    of one copy.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.plus = network
        self.minus = copy.deepcopy(network)

    def forward(self, x: Tensor) -> Tensor:
        """Inputs and outputs of one copy."""
        return (self.plus(x) - self.minus(x)) / math.sqrt(2)
