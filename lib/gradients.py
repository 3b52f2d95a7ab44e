"""Sample-wise, single-logit and subset gradients, exactly and cheaply.

The subset gradient of the paper (§ 3.2) is a sum over samples of one true
class c and one kind (clean or noise) of

    (f_c - y_c) * grad h_c                                  (Eqs. 5 and 13)

These own-class subsets partition the training set, so all of them together
cost one forward and one backward pass over it: images are visited subset by
subset, and the residuals of a chunk are the cotangent of its backward pass.
"""

import warnings
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from .data import pixels
from .noise import NoisyLabels

MOST = 4096  # images in one pass
ACTIVATIONS = {"cpu": 2**26, "cuda": 2**32}  # bytes that their activations may take: on a CPU, what caches still help


@dataclass(frozen=True)
class Subset:
    """Samples of true class ``c`` whose labels are right ("clean") or wrong ("noise")."""

    kind: str
    c: int
    index: Tensor  # positions in the training set, int64 [size]


def own_class_subsets(labels: NoisyLabels) -> list[Subset]:
    """Clean and noise subset of every true class, empty ones left out (§ 3.2)."""
    subsets = []
    for c in range(labels.classes):
        for kind, chosen in (("clean", ~labels.is_noisy), ("noise", labels.is_noisy)):
            index = (chosen & (labels.true == c)).nonzero().squeeze(1)
            if len(index):
                subsets.append(Subset(kind, c, index))
    return subsets


def probabilities(logits: Tensor) -> Tensor:
    """f(w; x) of logits h: sigmoid for ``[n, 1]``, softmax for ``[n, C]``; same shape."""
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)


def targets(labels: Tensor, outputs: int) -> Tensor:
    """Labels as the outputs should be: 0/1 as ``[n, 1]``, or one-hot ``[n, C]``; float32."""
    if outputs == 1:
        return labels.float().unsqueeze(1)
    return nn.functional.one_hot(labels, outputs).float()


def parameters(model: nn.Module) -> list[nn.Parameter]:
    """The trained parameters, in the order in which flat gradients hold them."""
    return [p for p in model.parameters() if p.requires_grad]


@contextmanager
def eval_mode(model: nn.Module):
    """Batch statistics neither used nor changed inside; the mode is restored after."""
    was_training = model.training
    model.eval()
    try:
        yield model
    finally:
        model.train(was_training)


def all_logits(model: nn.Module, batches: Iterable[Tensor]) -> Tensor:
    """Logits of a data set given in batches of inputs, ``[n, outputs]``: in eval mode, without a graph."""
    with torch.no_grad(), eval_mode(model):
        return torch.cat([model(batch) for batch in batches])


def images_at_once(model: nn.Module, image: Tensor) -> int:
    """How many images one pass over a data set takes, from 16 to `MOST`, for an ``image`` [1, ...] of the input.

    As many as keep the activations within `ACTIVATIONS`: convolutions run
    twice as fast on a hundred images as on thousands, small networks need thousands.
    """
    sizes: list[int] = []
    leaves = [module for module in model.modules() if not any(module.children())]
    hooks = [leaf.register_forward_hook(lambda *call: sizes.append(call[-1].nbytes)) for leaf in leaves]
    try:
        with torch.no_grad(), eval_mode(model):
            model(image)
    finally:
        for hook in hooks:
            hook.remove()
    return max(16, min(MOST, ACTIVATIONS[image.device.type] // max(1, sum(sizes))))


@dataclass(frozen=True)
class SubsetGradients:
    """What one pass over the training set gives.

    ``logits`` [n, outputs]; ``gradients`` maps (kind, c) to the flat sum of
    single-logit gradients [parameters]; ``truth`` maps c to the noise
    subset's sum with its true labels in place of the given ones (empty unless
    asked for): with the clean subset's it makes the paper's g-hat of class c.
    """

    logits: Tensor
    gradients: dict[tuple[str, int], Tensor]
    truth: dict[int, Tensor]


def subset_gradients(
    model: nn.Module,
    images: Tensor,
    labels: NoisyLabels,
    subsets: Sequence[Subset],
    *,
    white: float = 255.0,
    truth: bool = False,
    chunk: int | None = None,
) -> SubsetGradients:
    """Exact subset gradients (§ 3.2, § 5) in one pass over the subsets' images.

    ``images`` [n, ...] as stored (uint8); the model is used in eval mode and
    left untouched. ``truth`` adds one backward pass over the noise subsets.
    ``chunk`` images make one pass, by default as many as `images_at_once` says.
    """
    weights = parameters(model)
    size = sum(p.numel() for p in weights)
    like = weights[0]
    chunk = chunk or images_at_once(model, pixels(images[:1], white).to(like.dtype))
    gradients: dict[tuple[str, int], Tensor] = {}
    with_truth: dict[int, Tensor] = {}
    logits = None
    with eval_mode(model), torch.enable_grad():
        for subset in subsets:
            total = like.new_zeros(size)
            total_truth = like.new_zeros(size) if truth and subset.kind == "noise" else None
            for index in subset.index.split(chunk):
                h = model(pixels(images.index_select(0, index), white).to(like.dtype))
                if logits is None:
                    logits = h.new_full((len(images), h.shape[1]), torch.nan)
                logits[index] = h.detach()
                _add_gradient(total, h, _residual(h, labels.given[index], subset.c), weights, total_truth is not None)
                if total_truth is not None:
                    _add_gradient(total_truth, h, _residual(h, labels.true[index], subset.c), weights, False)
            gradients[subset.kind, subset.c] = total
            if total_truth is not None:
                with_truth[subset.c] = total_truth
    return SubsetGradients(logits, gradients, with_truth)


def _residual(h: Tensor, labels: Tensor, c: int) -> Tensor:
    """Cotangent of the logits: f - y on the logit of class c, 0 elsewhere."""
    h = h.detach()
    residual = probabilities(h) - targets(labels, h.shape[1]).to(h.dtype)
    if h.shape[1] == 1:
        return residual
    only = torch.zeros_like(residual)
    only[:, c] = residual[:, c]
    return only


def _add_gradient(total: Tensor, h: Tensor, cotangent: Tensor, weights: Sequence[Tensor], again: bool) -> None:
    start = 0
    for gradient in torch.autograd.grad(h, weights, cotangent, retain_graph=again):
        total[start : start + gradient.numel()] += gradient.flatten()
        start += gradient.numel()


@cache
def load_forward_mode() -> None:
    """Let torch load its formulas for forward mode, once, without the warning about itself that this gives."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.func.jvp(torch.sin, (torch.zeros(1),), (torch.ones(1),))


def along_full_gradient(
    model: nn.Module, images: Tensor, given: Tensor, *, white: float = 255.0, chunk: int | None = None
) -> Tensor:
    """Inner product of each sample's loss gradient with the sum of all of them, ``[n]`` (§ 1).

    The gradient of a sample is J^T (f - y), J the derivative of its logits: its
    product with a direction g is (f - y) . J g, and J g comes from one
    forward-mode pass. Beside it one pass forward and backward makes g, on all
    logits. The model is used in eval mode and left untouched.
    """
    load_forward_mode()
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    weights = parameters(model)
    like = weights[0]
    chunk = chunk or images_at_once(model, pixels(images[:1], white).to(like.dtype))
    batches = torch.arange(len(images), device=images.device).split(chunk)
    total = like.new_zeros(sum(p.numel() for p in weights))
    residuals, products = [], []
    with eval_mode(model), torch.enable_grad():
        for index in batches:
            h = model(pixels(images.index_select(0, index), white).to(like.dtype))
            outputs = h.detach()
            residuals.append(probabilities(outputs) - targets(given[index], h.shape[1]).to(h.dtype))
            _add_gradient(total, h, residuals[-1], weights, False)
    held = {name: p.detach() for name, p in zip(names, weights, strict=True)}
    pieces = total.split([p.numel() for p in weights])
    direction = {name: g.view_as(p) for name, g, p in zip(names, pieces, weights, strict=True)}
    with eval_mode(model), torch.no_grad():
        for index, residual in zip(batches, residuals, strict=True):
            batch = pixels(images.index_select(0, index), white).to(like.dtype)
            _, moved = torch.func.jvp(
                lambda some, batch=batch: torch.func.functional_call(model, some, (batch,)), (held,), (direction,)
            )
            products.append((residual * moved).sum(1))
    return torch.cat(products)


def model_derivatives(model: nn.Module, images: Tensor, *, white: float = 255.0, logit: int = 0) -> Tensor:
    """Grad h_logit(w; x) of each image (§ 3.1): float ``[n, parameters]``, so for few images."""
    weights = dict(
        zip((name for name, p in model.named_parameters() if p.requires_grad), parameters(model), strict=True)
    )
    dtype = next(iter(weights.values())).dtype

    def output(some: dict[str, Tensor], image: Tensor) -> Tensor:
        return torch.func.functional_call(model, some, (image.unsqueeze(0),))[0, logit]

    detached = {name: p.detach() for name, p in weights.items()}
    with eval_mode(model):
        each = torch.func.vmap(torch.func.grad(output), in_dims=(None, 0))(detached, pixels(images, white).to(dtype))
    return torch.cat([each[name].flatten(1) for name in weights], dim=1)


def cosine_tensor(a: Tensor, b: Tensor) -> Tensor:
    """`cosine` as a scalar that stays on the device: reading many at once costs one wait."""
    return (a @ b / (a.norm() * b.norm())).clamp(-1, 1)  # 0 / 0 is NaN, and stays it


def cosine(a: Tensor, b: Tensor) -> float:
    """Cosine of the angle between two flat vectors; NaN if one of them is zero."""
    return cosine_tensor(a, b).item()
