"""Directional derivatives of the loss to order four, and the points where two classes meet.

For logits z that are piecewise linear in the input, the cross-entropy along a
line x + t u is log sum exp(z + t a) - z_y - t a_y with a = J u. Its first part
is the cumulant generating function of a under the softmax p, so that

    D^1 = E_p[a] - a_y,   D^2 = Var_p[a],   D^3 = mu_3,   D^4 = mu_4 - 3 mu_2^2

and one forward-mode product a = J u gives what takes n nested backward passes.
"""

import math
import warnings
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from ..gradients import all_logits

ORDERS = 4  # the highest order with a formula here
TINY = 1e-12  # below it |D^n| counts as this much, so that its logarithm is finite (as in the original experiment)
CHUNK = 2048  # images in one pass of measuring
Pair = tuple[int, int]


class NoBoundary(ValueError):
    """No point was found where the two classes of ``pair`` meet; the counts say why."""

    def __init__(self, pair: Pair, tried: int, misclassified: int, third: int) -> None:
        super().__init__(
            f"no boundary point of classes {pair[0]} and {pair[1]}: of {tried} pairs of images {misclassified} "
            f"have a misclassified end, {third} meet where a third class has a larger logit"
        )
        self.pair, self.tried, self.misclassified, self.third = pair, tried, misclassified, third


def unit_directions(shape: tuple[int, ...], count: int, generator: torch.Generator) -> Tensor:
    """Directions of Euclidean length 1, uniform on the sphere; float32 ``[count, *shape]``, ``shape`` [n, ...]."""
    if count < 1:
        raise ValueError(f"directions must be at least 1, not {count}")
    drawn = torch.randn((count, *shape), generator=generator)
    return drawn / drawn.flatten(2).norm(dim=2).view(count, shape[0], *[1] * (len(shape) - 1))


@cache
def _load_forward_mode() -> None:
    """Let torch load its formulas for forward mode, once, without the warning about itself that this gives."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.func.jvp(torch.sin, (torch.zeros(1),), (torch.ones(1),))


def directional(model: nn.Module, images: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Logits ``[n, C]`` and their derivatives ``[k, n, C]`` along ``directions`` [k, *images.shape].

    One forward pass carries all k directions. Both results can be
    differentiated by the parameters. The model is used in the mode it is in.
    """
    if directions.shape[1:] != images.shape:
        raise ValueError(f"directions of shape {list(directions.shape)} do not fit images of {list(images.shape)}")
    _load_forward_mode()

    def along(direction: Tensor) -> tuple[Tensor, Tensor]:
        return torch.func.jvp(model, (images,), (direction,))

    # the logits depend on no direction, and so are computed once and have no further axis;
    # "same": what dropout there is takes one mask for the logits and every direction
    return torch.func.vmap(along, out_dims=(None, 0), randomness="same")(directions)


def nested_derivatives(model: nn.Module, images: Tensor, labels: Tensor, directions: Tensor, orders: int) -> Tensor:
    """D^1 to D^orders, ``[orders, k, n]``, as the original experiment takes them, for models of any kind.

    Each order is a backward pass through the one before: slow, and what `cumulants` is checked against.
    """
    images = images.clone().requires_grad_(True)
    found = []
    for direction in directions:
        value = nn.functional.cross_entropy(model(images), labels, reduction="none")
        for _ in range(orders):
            (gradient,) = torch.autograd.grad(value.sum(), images, create_graph=True)
            value = (gradient * direction).flatten(1).sum(1)
            found.append(value)
    return torch.stack(found).unflatten(0, (len(directions), orders)).transpose(0, 1)


def cumulants(logits: Tensor, a: Tensor, labels: Tensor, orders: int) -> Tensor:
    """D^1 to D^orders of each sample's cross-entropy, ``[orders, k, n]``: exact for piecewise-linear logits.

    ``logits`` [n, C] with C of at least 2, ``a`` [k, n, C] their directional
    derivatives, ``labels`` int64 [n]. Along a unit direction the unit is
    nats per length^n. ValueError for orders other than 1 to 4, or shapes that do not fit.
    """
    if orders not in range(1, ORDERS + 1):
        raise ValueError(f"orders must lie in 1 to {ORDERS}, not {orders}")
    if logits.ndim != 2 or logits.shape[1] < 2 or a.ndim != 3 or a.shape[1:] != logits.shape:
        raise ValueError(f"logits [n, C >= 2] and a [k, n, C] are needed, not {list(logits.shape)}, {list(a.shape)}")
    if labels.shape != logits.shape[:1]:
        raise ValueError(f"{len(logits)} logits, but labels of shape {list(labels.shape)}")
    p = logits.softmax(1)
    mean = (p * a).sum(2)
    found = [mean - a.gather(2, labels.expand(len(a), -1).unsqueeze(2)).squeeze(2)]
    centred = a - mean.unsqueeze(2)
    moments = {n: (p * centred**n).sum(2) for n in range(2, orders + 1)}
    found += [moments[n] if n < 4 else moments[4] - 3 * moments[2].square() for n in moments]
    return torch.stack(found)


@dataclass(frozen=True)
class Boundary:
    """Points where two classes meet, and the pairs of images that gave none.

    ``points`` [found, ...]; ``index`` [found]: which of the ``tried`` pairs
    each is of. ``misclassified``: pairs with an end that the model gets wrong;
    ``third``: pairs that meet where another class has a larger logit.
    """

    points: Tensor
    index: Tensor
    tried: int
    misclassified: int
    third: int


def outputs(model: nn.Module, images: Tensor) -> Tensor:
    """Logits ``[n, C]`` in eval mode."""
    return all_logits(model, images.split(CHUNK))


def boundary_points(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    pair: Pair,
    generator: torch.Generator,
    most: int = 200,
    halvings: int = 30,
) -> Boundary:
    """Points with z_a = z_b and these the two largest logits, on lines between images of classes a and b.

    ``most`` pairs of images are drawn by ``generator``, alike for every model,
    and those kept whose ends are both classified as they are labelled; the
    line between is halved until float32 tells no two points apart. Raises
    NoBoundary if nothing is left, ValueError for a pair of one class.
    """
    a, b = pair
    if a == b or most < 1:
        raise ValueError(f"two different classes and at least 1 pair of images are needed, not {pair} and {most}")
    of = [(labels == c).nonzero().squeeze(1) for c in pair]
    if not len(of[0]) or not len(of[1]):
        raise NoBoundary(pair, 0, 0, 0)
    ends = [images[some[torch.randint(len(some), (most,), generator=generator).to(some.device)]] for some in of]
    right = (outputs(model, ends[0]).argmax(1) == a) & (outputs(model, ends[1]).argmax(1) == b)
    start, way = ends[0][right], (ends[1] - ends[0])[right]
    if not len(start):
        raise NoBoundary(pair, most, most, 0)
    low = start.new_zeros((len(start), *[1] * (start.ndim - 1)))
    high = torch.ones_like(low)
    for _ in range(halvings):
        middle = (low + high) / 2
        z = outputs(model, start + middle * way)
        on_a = (z[:, a] > z[:, b]).view_as(low)
        low, high = torch.where(on_a, middle, low), torch.where(on_a, high, middle)
    points = start + (low + high) / 2 * way
    z = outputs(model, points)
    others = z.clone()
    others[:, list(pair)] = -math.inf
    met = z[:, list(pair)].min(1).values > others.max(1).values
    misclassified, third = most - len(start), int((~met).sum())
    if not met.any():
        raise NoBoundary(pair, most, misclassified, third)
    return Boundary(points[met], right.nonzero().squeeze(1)[met], most, misclassified, third)


def pair_slopes(a: Tensor, pair: Pair) -> Tensor:
    """How steeply the logits of two classes cross: u . grad(z_a - z_b), ``[k, n]``, of derivatives ``a`` [k, n, C]."""
    return a[..., pair[0]] - a[..., pair[1]]


def growth_rate(derivatives: Tensor) -> tuple[float, list[float]]:
    """The original experiment's lambda: the slope, over n, of the mean log|D^n|; and these means.

    ``derivatives`` [orders, k, n]; sizes below 1e-12 count as that. D^n is
    homogeneous of degree n in u: directions c times as long add log c to
    lambda. ValueError for fewer than two orders or no points.
    """
    if len(derivatives) < 2 or not derivatives[0].numel():
        raise ValueError(f"a growth rate needs two orders and a point, not {list(derivatives.shape)}")
    logs = derivatives.detach().double().abs().clamp(min=TINY).log().flatten(1).mean(1)
    n = torch.arange(1.0, len(logs) + 1, dtype=torch.float64, device=logs.device)
    n = n - n.mean()
    return ((n @ logs) / (n @ n)).item(), logs.tolist()
