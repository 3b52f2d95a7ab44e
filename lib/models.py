"""The networks of the paper and of the chapters after it: outputs h(w; x) before sigmoid or softmax (§ 2)."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

KINDS = {
    "fcn": "neurons of each hidden layer",
    "cnn": "channels, channels, neurons",
    "resnet9": "channels",
    "resnet18": "channels",
}
INITS = ("default", "ntk")
ACTIVATIONS = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU}  # the leaky one of slope .01


@dataclass(frozen=True)
class ModelConfig:
    """A network.

    ``kind``: "fcn" is fully connected; "cnn" the paper's for MNIST
    (App. B): two convolutions, a max pooling, two linear layers; "resnet9"
    the one it cites for CIFAR-10, with BatchNorm and Mish; "resnet18" that of
    the experiments on two gradients, for small images and of any width.

    ``init``: "default" is PyTorch's (uniform, scaled by fan-in, with biases);
    "ntk" is the paper's NTK parameterisation (§ 3.1): N(0, 1) weights, no
    biases, a factor 1/sqrt(m) on each hidden layer of width m.
    ``antisymmetric``: the scaled difference of two copies that start alike, so
    that h(w_0; x) = 0 and the sigmoid starts at exactly 1/2.
    """

    widths: tuple[int, ...] = (512, 512)  # what `KINDS` says: (32, 64, 64) is the paper's CNN, (64,) its ResNet-9
    init: str = "default"
    antisymmetric: bool = False
    kind: str = "fcn"
    padding: int = 0  # pixels around the image in each convolution of "cnn"
    standardise: tuple[float, float] | None = (
        None  # mean and standard deviation of the pixels; None: [0, 1] as they are
    )
    batch_norm: bool = False  # before each activation of "fcn"
    activation: str = "relu"  # of "fcn" and "resnet18"
    dropout: float = 0.0  # of "cnn", before each linear layer

    def validate(self) -> None:
        """Raise ValueError for an unknown kind or init, or settings that do not fit together."""
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of network {self.kind!r}; there are: {', '.join(KINDS)}")
        if self.init not in INITS:
            raise ValueError(f"unknown init {self.init!r}; there are: {', '.join(INITS)}")
        if not self.widths or min(self.widths) < 1:
            raise ValueError(f"widths must name one or more hidden layers of at least 1 neuron, not {self.widths}")
        expected = {"cnn": 3, "resnet9": 1, "resnet18": 1}.get(self.kind, len(self.widths))
        if len(self.widths) != expected:
            raise ValueError(f"widths of {self.kind!r} are ({KINDS[self.kind]}), not {self.widths}")
        if self.kind != "fcn" and self.init != "default":
            raise ValueError(f"init {self.init!r} is for 'fcn' only; {self.kind!r} has: default")
        if (self.padding and self.kind != "cnn") or not 0 <= self.padding <= 2:
            raise ValueError(f"padding is 0, 1 or 2, and 0 but for 'cnn'; not {self.padding} for {self.kind!r}")
        if self.standardise is not None and (len(self.standardise) != 2 or not self.standardise[1] > 0):
            raise ValueError(f"standardise is a mean and a standard deviation above 0, not {self.standardise}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"unknown activation {self.activation!r}; there are: {', '.join(ACTIVATIONS)}")
        if self.activation != "relu" and (self.kind not in ("fcn", "resnet18") or self.init == "ntk"):
            raise ValueError(f"activation {self.activation!r} is for 'fcn' with the default init, and 'resnet18'")
        if self.batch_norm and (self.kind != "fcn" or self.init == "ntk"):
            raise ValueError("batch_norm is for 'fcn' with the default init; the residual networks have it anyway")
        if not 0 <= self.dropout < 1 or (self.dropout and self.kind != "cnn"):
            raise ValueError(f"dropout lies in [0, 1), and is 0 but for 'cnn'; not {self.dropout} for {self.kind!r}")


def build(config: ModelConfig, input_shape: tuple[int, ...], outputs: int, generator: torch.Generator) -> nn.Module:
    """The network of a configuration, on the CPU, with weights drawn from ``generator``."""
    config.validate()
    if config.kind == "cnn":
        network = cnn(input_shape, config.widths, outputs, generator, config.padding, config.dropout)
    elif config.kind == "resnet9":
        network = resnet9(input_shape, config.widths[0], outputs, generator)
    elif config.kind == "resnet18":
        network = resnet18(input_shape, config.widths[0], outputs, generator, ACTIVATIONS[config.activation])
    else:
        sizes = (math.prod(input_shape), *config.widths, outputs)
        if config.init == "ntk":
            network = ntk_fully_connected(sizes, generator)
        else:
            network = fully_connected(sizes, generator, ACTIVATIONS[config.activation], config.batch_norm)
    if config.standardise is not None:
        network = nn.Sequential(Standardise(*config.standardise), *network)
    return Antisymmetric(network) if config.antisymmetric else network


class Standardise(nn.Module):
    """(x - mean) / deviation of the pixels, in place of [0, 1]."""

    def __init__(self, mean: float, deviation: float) -> None:
        super().__init__()
        self.mean, self.deviation = mean, deviation

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return (x - self.mean) / self.deviation


def default_init(layer: nn.Module, fan_in: int, generator: torch.Generator) -> nn.Module:
    """PyTorch's default initialisation, from an explicit generator: uniform within 1/sqrt(fan_in)."""
    bound = 1 / math.sqrt(fan_in)
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    if layer.bias is not None:
        nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layer


def linear(fan_in: int, fan_out: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer with PyTorch's default initialisation."""
    return default_init(nn.utils.skip_init(nn.Linear, fan_in, fan_out), fan_in, generator)


def convolution(
    fan_in: int,
    fan_out: int,
    generator: torch.Generator,
    padding: int,
    size: int = 3,
    stride: int = 1,
    bias: bool = True,
) -> nn.Conv2d:
    """A convolution of size x size pixels with PyTorch's default initialisation."""
    layer = nn.utils.skip_init(nn.Conv2d, fan_in, fan_out, size, stride=stride, padding=padding, bias=bias)
    return default_init(layer, size * size * fan_in, generator)


def cnn(
    input_shape: tuple[int, ...],
    widths: tuple[int, ...],
    outputs: int,
    generator: torch.Generator,
    padding: int = 0,
    dropout: float = 0.0,
) -> nn.Sequential:
    """The paper's network for MNIST (App. B): conv, conv, max pooling of 2, linear, linear, with ReLU between.

    ``widths``: channels of the convolutions and neurons of the hidden linear
    layer. ``dropout`` before each linear layer is not the paper's. ValueError
    for images that the convolutions leave nothing of.
    """
    channels, height, width = input_shape
    height, width = ((side + 2 * (2 * padding - 2)) // 2 for side in (height, width))
    if min(height, width) < 1:
        raise ValueError(f"images of shape {list(input_shape)} are too small for the CNN with padding {padding}")
    first, second, hidden = widths
    drop = [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(
        convolution(channels, first, generator, padding),
        nn.ReLU(),
        convolution(first, second, generator, padding),
        nn.ReLU(),
        nn.MaxPool2d(2),
        *drop,
        nn.Flatten(),
        linear(second * height * width, hidden, generator),
        nn.ReLU(),
        *drop,
        linear(hidden, outputs, generator),
    )


class Residual(nn.Module):
    """x + branch(x)."""

    def __init__(self, *branch: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return x + self.branch(x)


def resnet9(input_shape: tuple[int, ...], width: int, outputs: int, generator: torch.Generator) -> nn.Sequential:
    """The ResNet-9 that the paper cites (App. B): width 64 has 2.449 million parameters for CIFAR-10.

    Convolutions with biases, BatchNorm and Mish; channels w, 2w, residual 2w,
    4w, 4w, residual 4w; the image is halved four times (App. B, footnote 4).
    """

    def block(fan_in: int, fan_out: int, halve: bool = False) -> list[nn.Module]:
        layers = [convolution(fan_in, fan_out, generator, padding=1), nn.BatchNorm2d(fan_out), nn.Mish()]
        return [*layers, nn.MaxPool2d(2)] if halve else layers

    channels, height, breadth = input_shape
    if min(height, breadth) < 8:
        raise ValueError(f"ResNet-9 needs images of at least 8 x 8 pixels, not {height} x {breadth}")
    w = width
    return nn.Sequential(
        *block(channels, w),
        *block(w, 2 * w, halve=True),
        Residual(*block(2 * w, 2 * w), *block(2 * w, 2 * w)),
        *block(2 * w, 4 * w, halve=True),
        *block(4 * w, 4 * w, halve=True),
        Residual(*block(4 * w, 4 * w), *block(4 * w, 4 * w)),
        nn.MaxPool2d(2, ceil_mode=True),  # so that 8 x 8 pixels are enough
        nn.Flatten(),
        linear(4 * w * math.ceil(height // 8 / 2) * math.ceil(breadth // 8 / 2), outputs, generator),
    )


class Block(nn.Module):
    """Two convolutions with BatchNorm, added to the input or to its projection where the shape changes."""

    def __init__(
        self, fan_in: int, fan_out: int, stride: int, generator: torch.Generator, activation: type[nn.Module]
    ) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            convolution(fan_in, fan_out, generator, padding=1, stride=stride, bias=False),
            nn.BatchNorm2d(fan_out),
            activation(),
            convolution(fan_out, fan_out, generator, padding=1, bias=False),
            nn.BatchNorm2d(fan_out),
        )
        self.shortcut = nn.Sequential()
        if stride != 1 or fan_in != fan_out:
            self.shortcut = nn.Sequential(
                convolution(fan_in, fan_out, generator, padding=0, size=1, stride=stride, bias=False),
                nn.BatchNorm2d(fan_out),
            )
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        """``[n, fan_in, height, width]`` to ``[n, fan_out, height / stride, width / stride]``."""
        return self.activation(self.branch(x) + self.shortcut(x))


def resnet18(
    input_shape: tuple[int, ...],
    width: int,
    outputs: int,
    generator: torch.Generator,
    activation: type[nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """ResNet-18 for small images: a first convolution of 3 x 3 and no pooling after it; width 64 is the usual one."""
    layers: list[nn.Module] = [
        convolution(input_shape[0], width, generator, padding=1, bias=False),
        nn.BatchNorm2d(width),
        activation(),
    ]
    fan_in = width
    for level in range(4):
        fan_out = width * 2**level
        layers.append(Block(fan_in, fan_out, 1 if level == 0 else 2, generator, activation))
        layers.append(Block(fan_out, fan_out, 1, generator, activation))
        fan_in = fan_out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear(fan_in, outputs, generator))


def fully_connected(
    sizes: tuple[int, ...],
    generator: torch.Generator,
    activation: type[nn.Module] = nn.ReLU,
    batch_norm: bool = False,
) -> nn.Sequential:
    """Linear layers of the given sizes with ``activation`` between, PyTorch's default initialisation."""
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in pairwise(sizes[:-1]):
        layers += [linear(fan_in, fan_out, generator), *([nn.BatchNorm1d(fan_out)] if batch_norm else []), activation()]
    return nn.Sequential(*layers, linear(*sizes[-2:], generator))


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
