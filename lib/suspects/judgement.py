"""Which labels are wrong? The mechanism of the paper as a tool: one training, one pass, one table.

A network is trained on the labels as they are and stopped when it has learnt
the right ones and hardly the others (`lib.suspects.early_stop`, § 4). Then two things are
asked of every sample: how it answers for the given label (`own`, `margin`,
`log_odds`), and whether the derivative of its logit points the way of its
class (`lib.suspects.tangents`, § 3). No clean label is used, and no gradient of a
sample is kept.
"""

import math
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from torch import Tensor, nn

from ..experiments import generator
from ..train import Machine
from ..words import count
from .early_stop import Inputs, Recipe, Stopped, answers, train_until_stop
from .rate import Likelihood, Z, instead_of, likelihood
from .read import Labelled
from .report import Interval, Suspects
from .tangents import TAIL, Signals, Tail, class_directions, signals

DIRECTION_SAMPLES = 120  # for a class, on average, of which its direction is the mean
SURE = 1e-3  # probabilities lie that far from 0 and 1, before they are moved
SHARE_OF_WAY = 0.25  # of the agreement beside both margins
MOST_WAYS = 2**29  # numbers in the directions of all classes: 2 GiB
COPIES = 12  # of a matrix of all pairs of classes that are held at once


def judge(
    labelled: Labelled,
    recipe: Recipe = Recipe(),
    *,
    model: nn.Module | None = None,
    layers: int = TAIL,
    checkpoint: Path | None = None,
    progress: bool = True,
) -> Suspects:
    """Train once on the labels as they are, and judge every one of them.

    ``model``: a network of one's own, with a logit for each class, in place of
    the recipe's. ``layers``: how many of its last layers with weights are
    looked at (1: the last alone), fewer where the directions of all classes would be more than `MOST_WAYS` numbers,
    which is noted. An interrupted training goes on from ``checkpoint``, which stays when it is done. Raises ValueError
    for settings that cannot be meant, and for more classes than this machine's memory has room for.
    """
    recipe.validate()
    if layers < 1:
        raise ValueError(f"layers must be at least 1, not {layers}")
    device = Machine(recipe.device).resolve()
    inputs = Inputs(labelled.inputs, device)
    given = labelled.labels.to(device)
    classes = len(labelled.class_names)
    _check_memory(classes)
    model = (model or recipe.build(inputs.shape, classes)).to(device)
    # what it refuses is said before the training
    tail = Tail(model, inputs(torch.zeros(1, dtype=torch.long, device=device)), layers)
    _check_outputs(model, inputs, classes)
    fewer = affordable([sum(p.numel() for p in module.parameters(recurse=False)) for module in tail.modules], classes)
    if fewer < len(tail.modules):
        note = (
            f"With {classes} classes the last {count(fewer, 'layer')} alone can be looked at, not {len(tail.modules)}."
        )
        labelled, layers = replace(labelled, notes=(*labelled.notes, note)), fewer
    begun = time.perf_counter()
    stopped = train_until_stop(model, inputs, given, recipe, checkpoint=checkpoint, progress=progress)
    return conclude(labelled, stopped, inputs, given, recipe, layers, time.perf_counter() - begun)


def conclude(
    labelled: Labelled,
    stopped: Stopped,
    inputs: Inputs,
    given: Tensor,
    recipe: Recipe,
    layers: int,
    train_seconds: float,
) -> Suspects:
    """Take the signals of a network at its stop and say what they mean."""
    begun = time.perf_counter()
    found = take_signals(stopped.model, inputs, given, len(labelled.class_names), layers, recipe)
    judged = _unseen(stopped, inputs, given)
    cost = {
        "epochs": stopped.history[-1]["epoch"],
        "stop_epoch": stopped.history[stopped.stop]["epoch"],
        "train_seconds": train_seconds,
        "signal_seconds": time.perf_counter() - begun,
    }
    return _assemble(labelled, found, stopped, given, judged, cost)


def _unseen(stopped: Stopped, inputs: Inputs, given: Tensor) -> Likelihood | None:
    """What the labels held out, if any, say of the noise rate."""
    held = stopped.held_out.nonzero().squeeze(1)
    if not len(held):
        return None
    return likelihood(answers(stopped.model, inputs, held).cpu().numpy(), given[held].cpu().numpy())


def take_signals(model: nn.Module, inputs: Inputs, given: Tensor, classes: int, layers: int, recipe: Recipe) -> Signals:
    """What a network says of every sample: a pass over some for the directions, and one over all; tensors [n]."""
    n, device = len(given), given.device
    some = torch.randperm(n, generator=generator(recipe.seed, "directions"))[: DIRECTION_SAMPLES * classes].to(device)
    tail = Tail(model, inputs(some[:1]), layers)
    with Machine(recipe.device).cpu_threads(model, 4096, math.prod(inputs.shape[1:])), tail:
        directions = class_directions(tail, inputs, some, given, classes)
        return signals(tail, inputs, torch.arange(n, device=device), given, directions)


def score(found: Signals, stopped: Stopped, given: Tensor) -> Tensor:
    """What speaks for each given label: the lower, the more suspicious; ``[n]``.

    Wrong labels that may be any class are known by their margin: by its mean
    over the training (AUM) and by what it would be had they not been learnt
    (`unseen_margin`), to which the direction adds a little.
    Wrong labels that are always the same class for a class are known by its
    direction and by Bayes' rule, and least by the margin. How much of each
    there is, say the labels that the directions speak most against; squared,
    since the `concentration` of a few labels is above 0 by chance. All terms
    are in units of their typical size.
    """
    known = concentration(accusations(found, given)) ** 2
    margins, way = _scaled(stopped.mean_margin) + _scaled(unseen_margin(found, stopped)), _scaled(found.agreement)
    return (1 - known) / 2 * (margins + SHARE_OF_WAY * way) + known * (_scaled(found.log_odds) + way)


def unseen_margin(found: Signals, stopped: Stopped) -> Tensor:
    """The margin of each given label less what the network learnt of it from that label itself; ``[n]``.

    A step on a sample raises its own margin roughly by its residual times
    |grad(h_given - h_other)|^2, here of the tail (Eq. 4; exact where all other
    probability is the other label's). All such steps together, those after
    the stop included, are taken to have left one multiple of that product: the one that makes the mean
    margin of the samples trained on that of those held out, which have learnt nothing of theirs.
    """
    held = stopped.held_out
    learnt = torch.where(held, 0.0, found.self_influence * stopped.residual)
    if held.all() or not held.any() or not learnt.any():
        return found.margin
    gain = found.margin[~held].mean() - found.margin[held].mean()
    return found.margin - (gain / learnt[~held].mean()).clamp_min(0) * learnt


def accusations(found: Signals, given: Tensor) -> Tensor:
    """How often a label (column) was given where its direction points at another class (row): int64 ``[classes]**2``.

    Of the labels that the directions speak against, the half that they speak
    most against: where a network merely errs, they speak softly.
    """
    classes = len(found.meetings)
    against = found.agreement < 0
    if against.any():
        against = against & (found.agreement <= found.agreement[against].median())
    pairs = found.other[against] * classes + given[against]
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def concentration(meetings: Tensor) -> float:
    """How well the class of a sample tells which other one was given, from 0 (not at all) to 1.

    ``meetings`` [classes, classes]: how often the class in the row was given the label in the column.
    One less the entropy of the given label where it is another one, as a
    share of the largest possible, with Miller and Madow's correction for few
    samples; mean over the rows, each by its disagreements.
    """
    off = meetings.double() - meetings.double().diag().diag()
    size = off.sum(1)
    if len(off) < 3:  # there is one other class: it is known
        return 1.0
    share = off / size.clamp_min(1).unsqueeze(1)
    entropy = -torch.special.xlogy(share, share).sum(1) + ((off > 0).sum(1) - 1).clamp_min(0) / (2 * size.clamp_min(1))
    most = math.log(len(off) - 1)
    mean = (size * entropy.clamp_max(most)).sum() / (most * size.sum().clamp_min(1))
    return max(0.0, 1 - mean.item()) if size.sum() else 0.0


def balance(found: Signals, mean_margin: Tensor) -> Tensor:
    """Whether more speaks against each given label than for it: below 0 if so; ``[n]``.

    The sum of log odds, agreement and mean margin in units of their typical
    size; the mean margin, which remembers the whole training, may count for
    no more than 1. It counts wrong labels better than the score, whose zero
    means less, and ranks them worse.
    """
    return _scaled(found.log_odds) + _scaled(found.agreement) + _scaled(mean_margin).tanh()


def votes(found: Signals, mean_margin: Tensor) -> Tensor:
    """Which of margin, agreement and mean margin are against each given label: bool ``[n, 3]``."""
    return torch.stack([found.margin < 0, found.agreement < 0, mean_margin < 0], dim=1)


def first(order: Tensor, count: int) -> Tensor:
    """Which samples are the first ``count`` of an order [n]: bool ``[n]``."""
    chosen = torch.zeros(len(order), dtype=torch.bool, device=order.device)
    chosen[order[:count]] = True
    return chosen


def affordable(numbers: list[int], classes: int) -> int:
    """How many last layers, of as many ``numbers``, have directions of all classes within `MOST_WAYS`; at least one."""
    sizes = np.cumsum([numbers[-1] // classes, *numbers[-2::-1]])  # of the last one, a row a class
    return max(1, int((sizes * classes <= MOST_WAYS).sum()))


def _check_memory(classes: int) -> None:
    """Raise ValueError where this machine has not the memory for a matrix of all pairs of classes, and copies of it."""
    needed = COPIES * 8 * classes**2
    if hasattr(os, "sysconf") and needed > (there := os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")):
        raise ValueError(
            f"{classes} classes need {needed / 1e9:.0f} GB for their transition matrix, and this machine has "
            f"{there / 1e9:.0f} GB; are the labels names or amounts, not classes?"
        )


def _scaled(values: Tensor) -> Tensor:
    return values / values.abs().median().clamp_min(1e-12)


def _check_outputs(model: nn.Module, inputs: Inputs, classes: int) -> None:
    outputs = answers(model, inputs, torch.arange(1, device=inputs.device))
    if outputs.shape != (1, classes):
        raise ValueError(
            f"the network gives {list(outputs.shape)} for one sample; it must give [1, {classes}], a logit a class"
        )


def _assemble(
    labelled: Labelled,
    found: Signals,
    stopped: Stopped,
    given: Tensor,
    judged: Likelihood | None,
    cost: dict[str, float],
) -> Suspects:
    order = score(found, stopped, given).argsort(stable=True)
    against = votes(found, stopped.mean_margin)
    counted = int((balance(found, stopped.mean_margin) < 0).sum())
    likely = None if judged is None else instead_of(counted / len(order), judged)
    issues = first(order, counted if likely is None else round(likely.estimate * len(order)))
    rate, counts = estimate_noise(issues, against, given, found.other, len(labelled.class_names))
    rate = likely or rate
    issue = issues.cpu().numpy()
    quality = np.empty(len(order))
    quality[order.cpu().numpy()] = np.arange(len(order)) / max(1, len(order) - 1)
    names = np.array(labelled.class_names, dtype=object)
    labels, other = labelled.labels.numpy(), found.other.cpu().numpy()
    signals_of = {
        "own_probability": found.own,
        "log_odds": found.log_odds,
        "margin": found.margin,
        "mean_margin": stopped.mean_margin,
        "unseen_margin": unseen_margin(found, stopped),
        "agreement": found.agreement,
        "held_out": stopped.held_out,
    }
    table = pd.DataFrame(
        {
            "given_label": names[labels],
            "predicted_label": names[np.where(issue, other, labels)],
            "label_quality": quality,
            "probability_wrong": calibrated(against.double().mean(1).cpu().numpy(), quality, rate.estimate),
            "is_label_issue": issue,
            **{name: values.cpu().numpy() for name, values in signals_of.items()},
            "conflict": labelled.conflicts.numpy(),
        },
        index=labelled.index,
    )
    share, low, high = shares(counts)
    return Suspects(
        table, rate, share, low, high, labelled.class_names, labelled.notes, stopped.history, cost,
        None if likely is None else counted / len(order),
    )  # fmt: skip


def estimate_noise(
    issues: Tensor, against: Tensor, given: Tensor, other: Tensor, classes: int
) -> tuple[Interval, np.ndarray]:
    """Share of wrong labels, and how many of each class (row) were given each label (column).

    A label is believed unless it is an issue (bool [n]), and then the best
    other one. The interval goes from the share that all signals are against to the
    share that any is against, each with its sampling.
    """
    believed = torch.where(issues, other, given)
    counts = torch.bincount(believed * classes + given, minlength=classes**2).reshape(classes, classes)
    all_of, any_of, n = against.all(1), against.any(1), len(given)
    low, high = wilson(all_of.double().mean().item(), n)[0], wilson(any_of.double().mean().item(), n)[1]
    share = issues.double().mean().item()  # counted by another rule: what the votes leave out is uncertain too
    return Interval(share, min(float(low), share), max(float(high), share)), counts.cpu().numpy()


def wilson(share: float, samples: int | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's 95 % interval of a share."""
    samples = np.maximum(samples, 1)
    middle = (share + Z**2 / (2 * samples)) / (1 + Z**2 / samples)
    half = Z / (1 + Z**2 / samples) * np.sqrt(share * (1 - share) / samples + Z**2 / (4 * samples**2))
    return np.clip(middle - half, 0, share), np.clip(middle + half, share, 1)  # rounding can pass the share itself


def shares(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of counts as shares, with the bounds of their intervals; a class without any keeps its labels."""
    sizes = counts.sum(1, keepdims=True)
    share = np.where(sizes > 0, counts / np.maximum(sizes, 1), np.eye(len(counts)))
    low, high = wilson(share, np.broadcast_to(sizes, share.shape))
    return share, np.where(sizes > 0, low, 0), np.where(sizes > 0, high, 1)


def calibrated(against: np.ndarray, quality: np.ndarray, rate: float) -> np.ndarray:
    """Probability that each label is wrong: never rising with the quality, and ``rate`` on average; ``[n]``.

    ``against`` [n]: share of the signals that are against it, averaged over
    samples of like rank (isotonic regression), and moved on the scale of log
    odds until the mean is the estimated noise rate.
    """
    smooth = IsotonicRegression(increasing=False, y_min=SURE, y_max=1 - SURE).fit_transform(quality, against)
    logit = np.log(smooth / (1 - smooth))
    low, high = -30.0, 30.0
    for _ in range(60):  # the mean rises with the shift: halve the interval
        shift = (low + high) / 2
        low, high = (shift, high) if expit(logit + shift).mean() < rate else (low, shift)
    return expit(logit + shift)
