"""Tangent agreement: does the derivative of a logit at a sample point the way of that logit's class (§ 3)?

The paper's observation turned round. Model derivatives of one class point one
way (Fig. 3), so a sample whose derivative for the given class does not, while
that for another class does, was probably given the wrong label. No gradient of
a sample is kept: norms and products follow from each layer's two factors
(`lib.layers`), chunk by chunk.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..gradients import eval_mode, images_at_once
from ..layers import FACTORS, LayerFactors, LinearFactors

TAIL = 7  # layers with weights, counted from the last one, whose derivatives are looked at
LAST = 1  # the last layer alone: the cosine of what goes into it with what goes into it of a class
Fetch = Callable[[Tensor], Tensor]  # positions [b] to what the network sees of them, [b, ...]


class Tail:
    """The last layers of a network: what went into them and came out, while it is entered.

    ``depth`` layers with parameters, in the order in which they are used for a
    ``sample`` [1, ...]; fewer where a layer comes before whose derivative has no
    known factors: one of another kind, or one that is used twice. Outside
    it the network is as it was. ValueError if that is so of its last layer, or if
    its answer to one sample depends on the others.
    """

    def __init__(self, model: nn.Module, sample: Tensor, depth: int = TAIL) -> None:
        if any(isinstance(m, nn.modules.batchnorm._BatchNorm) and m.running_mean is None for m in model.modules()):
            raise ValueError(
                "a BatchNorm without running statistics answers by the batch; it has no answer to one sample"
            )
        used = _uses(model, sample)
        times = Counter(module for module, _ in used)
        self.modules: list[nn.Module] = []
        for module, came_in in reversed(used[-depth:]):
            if times[module] > 1 or not _has_factors(module, came_in):
                break
            self.modules.insert(0, module)
        if not self.modules:
            known = ", ".join(kind.__name__ for kind in FACTORS)
            last = type(used[-1][0]).__name__ if used else "none"
            raise ValueError(
                f"the network's last layer with weights is {last}; tangents are known for {known}, without groups or "
                "other padding than zeros, each used once, on one vector or image a sample"
            )
        self._model = model
        self.calls: list[LayerFactors] = []
        self.ends = False  # whether what comes out of a last linear layer is the network's answer
        self._passed_on: Tensor | None = None

    def __enter__(self) -> "Tail":
        mine = {id(p) for module in self.modules for p in module.parameters(recurse=False)}
        self._learning = [(p, p.requires_grad) for p in self._model.parameters()]
        for p, _ in self._learning:  # so that nothing is remembered of the layers before
            p.requires_grad_(id(p) in mine)
        self._handles = [module.register_forward_hook(self._keep) for module in self.modules]
        return self

    def __exit__(self, *_) -> None:
        for handle in self._handles:
            handle.remove()
        for p, learns in self._learning:
            p.requires_grad_(learns)

    def _keep(self, module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        self.calls.append(FACTORS[type(module)](module, inputs[0].detach(), output))
        self._passed_on = output.clone()  # an activation that works in place then leaves what is kept alone
        return self._passed_on

    def chunks(self, fetch: Fetch, index: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Positions and logits of all samples in ``index``, as many at once as fit; a graph each, for `derivatives`."""
        size = images_at_once(self._model, fetch(index[:1]))
        with eval_mode(self._model), torch.enable_grad():
            self.calls.clear()
            for some in index.split(size):
                h = self._model(fetch(some))
                self.ends = h is self._passed_on and isinstance(self.calls[-1], LinearFactors)
                yield some, h
                self.calls.clear()
            self._passed_on = None

    def derivatives(self, h: Tensor, logits: Tensor, again: bool = False) -> list[Tensor]:
        """Derivative of each sample's own logit (``logits`` [b]) by what came out of each layer.

        Where the network ``ends`` in the last one, it is 1 by that logit and 0 by the others: the 1 alone, [b, 1].
        """
        chosen = h.gather(1, logits.unsqueeze(1))
        found = list(torch.autograd.grad(chosen.sum(), [call.output for call in self.calls], retain_graph=again))
        return [*found[:-1], torch.ones_like(chosen).detach()] if self.ends else found


def _uses(model: nn.Module, sample: Tensor) -> list[tuple[nn.Module, Tensor]]:
    """Layers with parameters of their own and what goes into them, in the order in which they are used."""
    found: list[tuple[nn.Module, Tensor]] = []
    owners = [m for m in model.modules() if any(True for _ in m.parameters(recurse=False))]
    handles = [m.register_forward_pre_hook(lambda module, inputs: found.append((module, inputs[0]))) for m in owners]
    try:
        with eval_mode(model), torch.no_grad():
            model(sample)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _has_factors(module: nn.Module, came_in: Tensor) -> bool:
    """Whether `FACTORS` hold for a layer as it is set up and used."""
    if type(module) not in FACTORS:
        return False
    if isinstance(module, nn.Conv2d):
        return module.groups == 1 and module.padding_mode == "zeros" and not isinstance(module.padding, str)
    return isinstance(module, nn.BatchNorm2d) or came_in.ndim == 2


@dataclass(frozen=True)
class Directions:
    """The way of each class in the tail's parameters, and how predictions and given labels meet.

    ``layers``: for each layer ``[classes, outputs, inputs (+ 1)]``; of the last, where the network ends in it, the
    class's own output alone, since all others are 0. ``lengths`` [classes]; 0 for a class that was never predicted.
    ``meetings`` [classes, classes]: how many samples were predicted as the row and given as the column.
    """

    layers: list[Tensor]
    lengths: Tensor
    meetings: Tensor


def class_directions(tail: Tail, fetch: Fetch, index: Tensor, given: Tensor, classes: int) -> Directions:
    """For each class c: sum of p_c(x) grad h_c(x) over the samples in ``index`` that the network predicts as c.

    The given labels [n] play no part in it, so that wrong ones cannot bend it.
    """
    layers: list[Tensor] = []
    meetings = torch.zeros(classes, classes, device=given.device)
    for some, h in tail.chunks(fetch, index):
        confidence, predicted = h.detach().softmax(1).max(1)
        meetings.view(-1).index_add_(
            0, predicted * classes + given[some], torch.ones_like(confidence, dtype=meetings.dtype)
        )
        deltas = tail.derivatives(h, predicted)
        if not layers:
            layers = [h.new_zeros(classes, *_shape(call, d)) for call, d in zip(tail.calls, deltas, strict=True)]
        for c, rows in _groups(predicted):
            for call, delta, total in zip(tail.calls, deltas, layers, strict=True):
                total[c] += _weighted(call, delta, rows, confidence)
    lengths = torch.stack([torch.linalg.vector_norm(layer, dim=(1, 2)) for layer in layers])
    return Directions(layers, torch.linalg.vector_norm(lengths, dim=0), meetings)


@dataclass(frozen=True)
class Signals:
    """What the network says of each sample, in the order of ``index``; ``[n]``, and the classes' ``meetings``.

    ``own``: its probability of the given label. ``log_odds``: of the given
    label against all others, by Bayes' rule. ``other``: the best other label.
    ``margin``: logit of the given label less that of the other. ``agreement``:
    cosine of grad h_c with the way of its class, for the given less the other.
    ``self_influence``: squared length of grad(h_given - h_other) in the tail, to which what
    a step on the sample's own label adds to its own margin is about proportional.
    """

    own: Tensor
    log_odds: Tensor
    other: Tensor
    margin: Tensor
    agreement: Tensor
    self_influence: Tensor
    meetings: Tensor  # of `Directions`


def signals(tail: Tail, fetch: Fetch, index: Tensor, given: Tensor, directions: Directions) -> Signals:
    """One pass over the samples: a forward pass, and a backward pass through the tail for each of two logits."""
    order = given[index].argsort(stable=True)  # samples of one class together: few groups in a chunk
    log_share = (directions.meetings + 1).div((directions.meetings + 1).sum(1, keepdim=True)).log()
    found: list[tuple[Tensor, ...]] = []
    for some, h in tail.chunks(fetch, index[order]):
        label, seen = given[some], h.detach()
        column = label.unsqueeze(1)
        others = seen.scatter(1, column, -torch.inf)
        other = others.argmax(1)
        evidence = seen.log_softmax(1) + log_share[:, label].T  # log of P(true = j | x) P(given | true = j)
        own = evidence.gather(1, column).squeeze(1)
        rest = evidence.scatter(1, column, -torch.inf).logsumexp(1)
        both = tail.derivatives(h, label, again=True), tail.derivatives(h, other)
        agreement, self_influence = _compare(tail, both, (label, other), directions)
        found.append(
            (
                seen.softmax(1).gather(1, column).squeeze(1),
                own - rest,
                other,
                (seen.gather(1, column) - others.gather(1, other.unsqueeze(1))).squeeze(1),
                agreement,
                self_influence,
            )
        )
    back = order.argsort()
    return Signals(*(torch.cat(parts)[back] for parts in zip(*found, strict=True)), directions.meetings)


def _compare(
    tail: Tail, deltas: tuple[list[Tensor], list[Tensor]], logits: tuple[Tensor, Tensor], directions: Directions
) -> tuple[Tensor, Tensor]:
    """Of two logits a sample: cosine of the derivative with the way of its class, first less second; and how far apart.

    Both [n]; the second is the squared length of the difference of both
    derivatives. A cosine is 0 where one of its vectors is zero.
    """
    apart = torch.zeros_like(deltas[0][-1][:, 0])
    squares, products = [apart.clone(), apart.clone()], [apart.clone(), apart.clone()]
    groups = [_groups(some) for some in logits]
    for call, *pair, ways in zip(tail.calls, *deltas, directions.layers, strict=True):
        if isinstance(call, LinearFactors):
            lefts = [call.factors(delta)[0] for delta in pair]
            right = call.factors(pair[0])[1]
            length = right.square().sum(1)
            own = tail.ends and call is tail.calls[-1]  # rows of their own
            apart += (torch.cat(lefts, 1) if own else lefts[0] - lefts[1]).square().sum(1) * length
            for k, left in enumerate(lefts):
                squares[k] += left.square().sum(1) * length
                for c, rows in groups[k]:
                    products[k][rows] += ((right[rows] @ ways[c].T) * left[rows]).sum(1)
        else:
            each = [call.gradient(delta).flatten(1) for delta in pair]
            apart += (each[0] - each[1]).square().sum(1)
            for k, gradient in enumerate(each):
                squares[k] += gradient.square().sum(1)
                for c, rows in groups[k]:
                    products[k][rows] += gradient[rows] @ ways[c].flatten()
    cosines = []
    for square, product, some in zip(squares, products, logits, strict=True):
        scale = square.sqrt() * directions.lengths[some]
        cosines.append(torch.where(scale > 0, product / scale, 0.0))
    return cosines[0] - cosines[1], apart


def _groups(classes: Tensor) -> list[tuple[int, Tensor]]:
    """Each class that occurs, with its rows."""
    order = classes.argsort(stable=True)
    names, counts = classes[order].unique_consecutive(return_counts=True)
    return list(zip(names.tolist(), order.split(counts.tolist()), strict=True))


def _shape(call: LayerFactors, delta: Tensor) -> tuple[int, int]:
    """Of a layer's matrix, the bias in its last column, for derivatives ``delta`` by its outputs, or by one of them."""
    module = call.module
    return delta.shape[1], sum(p.numel() for p in module.parameters(recurse=False)) // len(module.weight)


def _weighted(call: LayerFactors, delta: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of a layer's gradients over some rows: ``[outputs, inputs (+ 1)]``."""
    if isinstance(call, LinearFactors):
        left, right = call.factors(delta)
        return (left[rows] * weights[rows].unsqueeze(1)).T @ right[rows]
    each = call.gradient(delta)[rows]
    return torch.einsum("n,nij->ij", weights[rows], each)
