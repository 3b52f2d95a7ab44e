"""Sample-wise gradients (App. C.1), without a gradient per sample ever being stored.

The gradient of a layer for one sample is a product of two small factors: what
went into the layer, and the derivative of the output by what came out. Norms,
inner products with given directions and weighted sums follow from the factors,
chunk by chunk, so that memory does not grow with the number of images.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..data import pixels
from ..gradients import eval_mode, parameters
from ..layers import FACTORS, LayerFactors, LinearFactors

CHUNK = 128  # images at once: their unfolded patches are what takes memory


@dataclass(frozen=True)
class SampleGradients:
    """Of n images, for k pairs of a logit and a direction.

    ``norms`` [n, k]: ||grad h_logit(x)||. ``products`` [n, k]: its inner
    product with the direction. ``logits`` [n, outputs]. ``sums`` [k,
    parameters]: sum over the images of weight times grad h_logit.
    """

    norms: Tensor
    products: Tensor
    logits: Tensor
    sums: Tensor


def sample_gradients(
    model: nn.Module,
    images: Tensor,
    chosen: Sequence[int],
    directions: Tensor,
    weigh: Callable[[Tensor, Tensor], Tensor],
    *,
    white: float = 255.0,
    chunk: int = CHUNK,
) -> SampleGradients:
    """Norms, inner products and weighted sums of grad h_logit(w; x) over all images.

    ``chosen`` [k] logits and ``directions`` [k, parameters] (flat, in the
    order of `gradients.parameters`). ``weigh(index, logits)`` gives the
    weights [b, k] of a chunk of images in the sums. The model is used in eval
    mode and left untouched. TypeError for a layer of a kind not known here.
    """
    sums = torch.zeros_like(directions)
    norms, products, outputs = [], [], []
    with eval_mode(model), torch.enable_grad(), _Layers(model) as layers:
        for index in torch.arange(len(images), device=images.device).split(chunk):
            h = model(pixels(images.index_select(0, index), white).to(directions.dtype))
            weights = weigh(index, h.detach())
            squares, inner = h.new_zeros(len(index), len(chosen)), h.new_zeros(len(index), len(chosen))
            for k, logit in enumerate(chosen):
                deltas = torch.autograd.grad(h[:, logit].sum(), layers.outputs, retain_graph=k + 1 < len(chosen))
                for layer, delta in zip(layers.calls, deltas, strict=True):
                    places = layers.places(layer.module)
                    direction = _matrix(layer.module, directions[k], places)
                    square, product, total = layer.against(delta, direction, weights[:, k])
                    squares[:, k] += square
                    inner[:, k] += product
                    _add(sums[k], total, places)
            layers.calls.clear()
            norms.append(squares.sqrt())
            products.append(inner)
            outputs.append(h.detach())
    return SampleGradients(torch.cat(norms), torch.cat(products), torch.cat(outputs), sums)


def derivative_gram(model: nn.Module, inputs: Tensor, *, logit: int = 0) -> Tensor:
    """Inner products of grad h_logit of all pairs of inputs, ``[n, n]``: the tangent kernel (§ 3.1).

    For networks of linear layers: each adds the product of the pair's inputs
    times the product of its output derivatives, whatever the width.
    """
    with eval_mode(model), torch.enable_grad(), _Layers(model) as layers:
        h = model(inputs)
        deltas = torch.autograd.grad(h[:, logit].sum(), layers.outputs)
        gram = inputs.new_zeros(len(inputs), len(inputs))
        for layer, delta in zip(layers.calls, deltas, strict=True):
            if not isinstance(layer, LinearFactors):
                raise TypeError(f"the tangent kernel is had here for linear layers only, not {type(layer.module)}")
            left, right = layer.factors(delta)
            gram += (left @ left.T) * (right @ right.T)
    return gram


class _Layers:
    """Catches what goes into and out of each layer that has parameters of its own."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self.calls: list[LayerFactors] = []
        starts, self._slices = 0, {}
        for p in parameters(model):
            self._slices[id(p)] = slice(starts, starts + p.numel())
            starts += p.numel()

    def __enter__(self) -> "_Layers":
        owners = [m for m in self._model.modules() if any(True for _ in m.parameters(recurse=False))]
        for module in owners:
            if type(module) not in FACTORS:
                known = ", ".join(kind.__name__ for kind in FACTORS)
                raise TypeError(f"sample-wise gradients are known for layers {known}, not {type(module).__name__}")
        self._handles = [module.register_forward_hook(self._keep) for module in owners]
        return self

    def __exit__(self, *_) -> None:
        for handle in self._handles:
            handle.remove()

    def _keep(self, module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        self.calls.append(FACTORS[type(module)](module, inputs[0].detach(), output))

    @property
    def outputs(self) -> list[Tensor]:
        """What came out of each layer, in the order of the calls."""
        return [call.output for call in self.calls]

    def places(self, module: nn.Module) -> list[slice]:
        """Where the layer's weight and bias lie in a flat gradient."""
        return [self._slices[id(p)] for p in module.parameters(recurse=False)]


def _matrix(module: nn.Module, flat: Tensor, places: list[slice]) -> Tensor:
    """A layer's part of a flat direction: ``[outputs, inputs + 1]``, the bias in the last column."""
    return torch.cat([flat[place].reshape(len(module.weight), -1) for place in places], dim=1)


def _add(flat: Tensor, total: Tensor, places: list[slice]) -> None:
    """The reverse of `_matrix`, added."""
    start = 0
    for place in places:
        width = (place.stop - place.start) // len(total)
        flat[place] += total[:, start : start + width].reshape(-1)
        start += width
