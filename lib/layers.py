"""The gradient of one layer for each sample, from what went into it and the derivative by what came out.

For a linear layer it is a product of two small factors, so that norms, inner
products and weighted sums of a million gradients need none of them. Of a
convolution or BatchNorm the gradients of a chunk of samples are formed.
"""

import torch
from torch import Tensor, nn

from .models import NTKLinear


class LinearFactors:
    """Gradient of a sample = left ⊗ right, of which one is what came in."""

    def __init__(self, module: nn.Linear | NTKLinear, came_in: Tensor, output: Tensor) -> None:
        self.module, self.output = module, output
        self._right = came_in
        if isinstance(module, NTKLinear):
            self._right = module.scale * came_in
        elif module.bias is not None:
            self._right = torch.cat([came_in, torch.ones_like(came_in[:, :1])], dim=1)

    def factors(self, delta: Tensor) -> tuple[Tensor, Tensor]:
        """``[n, outputs]`` and ``[n, inputs (+ 1)]``."""
        return delta, self._right

    def against(self, delta: Tensor, direction: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Squared norms [n], products with a direction [n], weighted sum."""
        square = delta.square().sum(1) * self._right.square().sum(1)
        product = ((self._right @ direction.T) * delta).sum(1)
        return square, product, (delta * weights.unsqueeze(1)).T @ self._right


class LayerGradients:
    """Layers whose gradient of a sample is small enough to be formed, chunk by chunk."""

    def __init__(self, module: nn.Module, output: Tensor) -> None:
        self.module, self.output = module, output

    def gradient(self, delta: Tensor) -> Tensor:
        """``[n, outputs, inputs (+ 1)]``."""
        raise NotImplementedError

    def against(self, delta: Tensor, direction: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Squared norms [n], products with a direction [n], weighted sum."""
        each = self.gradient(delta).flatten(1)
        return each.square().sum(1), each @ direction.flatten(), (weights @ each).reshape(direction.shape)


class ConvolutionGradients(LayerGradients):
    """A convolution is a linear layer on patches, summed over places."""

    def __init__(self, module: nn.Conv2d, came_in: Tensor, output: Tensor) -> None:
        super().__init__(module, output)
        patches = nn.functional.unfold(
            came_in, module.kernel_size, module.dilation, module.padding, module.stride
        )  # once for all logits
        if module.bias is not None:
            patches = torch.cat([patches, torch.ones_like(patches[:, :1])], dim=1)
        self._patches = patches.transpose(1, 2).contiguous()

    def gradient(self, delta: Tensor) -> Tensor:
        """Sum over places of output derivative times patch."""
        return delta.flatten(2) @ self._patches


class BatchNormGradients(LayerGradients):
    """In eval mode: one factor and one summand a channel."""

    def __init__(self, module: nn.BatchNorm2d, came_in: Tensor, output: Tensor) -> None:
        super().__init__(module, output)
        shape = (1, -1, 1, 1)
        deviation = (module.running_var + module.eps).sqrt().reshape(shape)
        self._normalised = (came_in - module.running_mean.reshape(shape)) / deviation

    def gradient(self, delta: Tensor) -> Tensor:
        """By scale and shift."""
        return torch.stack([(delta * self._normalised).sum((2, 3)), delta.sum((2, 3))], dim=2)


LayerFactors = LinearFactors | LayerGradients
FACTORS = {
    nn.Linear: LinearFactors,
    NTKLinear: LinearFactors,
    nn.Conv2d: ConvolutionGradients,
    nn.BatchNorm2d: BatchNormGradients,
}
