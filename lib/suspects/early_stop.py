"""A training that stops by itself on labels of which any may be wrong (§ 4.2; no clean label is used).

A tenth of the samples is held out with the labels it was given. The network
whose weights are averaged over the last tenth of the steps is asked for
those labels after every round; training ends when its answers have got worse,
and the network of the best round is kept. At that moment the right labels
have been learnt and most of the wrong ones have not.
"""

import copy
import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..checkpoint import Checkpoint
from ..data import sent
from ..experiments import check_seed, generator
from ..gradients import all_logits
from ..models import ModelConfig, build
from ..progress import bar, say
from ..train import Machine, TrainingDiverged
from .averaging import Averaged

NETWORKS = {  # of the recipe, by name
    "fcn": ModelConfig(widths=(256, 256)),
    "cnn": ModelConfig(kind="cnn", widths=(32, 64, 64)),
    "resnet9": ModelConfig(kind="resnet9", widths=(16,)),
}
ROUND = 64  # steps at least, before the held-out samples are asked again
MOST_STEPS = 1000  # of an epoch: more samples make larger batches
BATCH = 64
LARGEST_BATCH = 1024
CHUNK = 2**23  # numbers of which sums are taken at once, as float64
SAME = 1e-6  # of their size: numbers that vary by less are one number, but for rounding
STATE = 2  # what a checkpoint holds: one of another number is not continued
SMALLEST = 8  # pixels a side that the network for colour images needs


@dataclass(frozen=True)
class Recipe:
    """Network and training. What is None or "auto" follows from the data."""

    network: str = "auto"  # one of `NETWORKS`; auto: fcn for embeddings and grey images, resnet9 for colour
    lr: float = 0.02  # for batches of 64; larger ones take its multiple by the square root
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch_size: int | None = None  # None: 64, and more where an epoch would have over a thousand steps
    epochs: int = 60  # at most
    held_out: float = 0.1  # share of each class that is not trained on
    patience: int = 3  # rounds without a better one before training ends
    seed: int = 0
    device: str = "auto"

    def validate(self) -> None:
        """Raise ValueError for settings that cannot be meant."""
        if self.network != "auto" and self.network not in NETWORKS:
            raise ValueError(f"unknown network {self.network!r}; there are: auto, {', '.join(NETWORKS)}")
        if not self.lr > 0:
            raise ValueError(f"lr must be above 0, not {self.lr}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), not {self.momentum}")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must be at least 0, not {self.weight_decay}")
        if self.batch_size is not None and self.batch_size < 2:
            raise ValueError(f"batch_size must be at least 2, or None, not {self.batch_size}")
        for name in ("epochs", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 < self.held_out <= 0.5:
            raise ValueError(f"held_out must lie in (0, 0.5], not {self.held_out}")
        check_seed(self.seed)
        Machine(self.device).resolve()

    def batch(self, samples: int) -> int:
        """Samples of a step."""
        return self.batch_size or min(LARGEST_BATCH, max(BATCH, math.ceil(samples / MOST_STEPS)))

    def build(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network for samples of this shape, on the CPU; ValueError if it reads no such samples."""
        name = self.network
        if name == "auto":
            name = "resnet9" if len(shape) == 3 and shape[0] == 3 and min(shape[1:]) >= SMALLEST else "fcn"
        if name != "fcn" and len(shape) != 3:
            raise ValueError(f"{name} reads images, and these are embeddings of {shape[0]} numbers: take fcn, or auto")
        return build(NETWORKS[name], shape, classes, generator(self.seed, "weights"))


class Inputs:
    """Samples as the network sees them: standardised by channel, or by feature; called with positions [b].

    ``values``: uint8 or float ``[n, channels, height, width]``, or float ``[n, features]``; they stay as they are.
    """

    def __init__(self, values: Tensor, device: torch.device) -> None:
        self.values = values.to(device)
        self.device = device
        kept = [0, *range(2, values.ndim)]
        total = square = torch.zeros((), dtype=torch.float64, device=device)
        for some in self.values.split(max(1, min(8192, CHUNK // values[0].numel()))):
            some = some.double()
            total = total + some.sum(kept)
            square = square + some.square().sum(kept)
        count = values[:, 0].numel()
        mean, size = total / count, (square / count).sqrt()
        deviation = (square / count - mean.square()).clamp_min(0).sqrt()
        shape = (1, -1, *[1] * (values.ndim - 2))
        self._mean = mean.float().reshape(shape)
        self._deviation = torch.where(deviation > SAME * size, deviation, 1.0).float().reshape(shape)

    @classmethod
    def like(cls, other: "Inputs", values: Tensor) -> "Inputs":
        """Further samples, standardised as ``other`` is."""
        new = cls.__new__(cls)
        new.values, new.device = values.to(other.device), other.device
        new._mean, new._deviation = other._mean, other._deviation
        return new

    def __call__(self, index: Tensor) -> Tensor:
        """``[b, ...]``, float32."""
        return (self.values.index_select(0, index).float() - self._mean) / self._deviation

    def __len__(self) -> int:
        return len(self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a sample."""
        return tuple(self.values.shape[1:])


@dataclass(frozen=True)
class Stopped:
    """A network at its stop.

    ``model``: with averaged weights, in eval mode. ``history``: a row a round
    (epoch, held_out_accuracy, and what ``watch`` gave). ``stop``: the number of
    the round that was kept. ``held_out`` bool [n]. ``mean_margin`` [n]: logit
    of the given label less the largest other one, as seen while training,
    mean over all epochs (AUM); after each round, for those held out.
    ``residual`` [n]: how far the probability of the given label was below 1,
    as seen while training, mean over all epochs; 0 for those held out, which
    are not learnt.
    """

    model: nn.Module
    history: list[dict[str, float]]
    stop: int
    held_out: Tensor
    mean_margin: Tensor
    residual: Tensor


def train_until_stop(
    model: nn.Module,
    inputs: Inputs,
    given: Tensor,
    recipe: Recipe,
    *,
    watch: Callable[[nn.Module, nn.Module], dict[str, float]] | None = None,
    checkpoint: "Path | None" = None,
    progress: bool = True,
) -> Stopped:
    """Train ``model`` in place on ``given`` labels int64 [n].

    ``watch(model, averaged)`` is called after each round. With a
    ``checkpoint`` an interrupted training goes on to the same numbers; the file stays when it is done, so that
    whatever fails after it costs no training: whoever has what they wanted of it deletes it. Raises TrainingDiverged.
    """
    run = _Training(model, inputs, given, recipe)
    keeper = None
    if checkpoint:
        key = _fingerprint(inputs, given, recipe, model)
        keeper = Checkpoint(checkpoint, key, 5.0, "other data, another recipe or another device")
    threads = Machine(recipe.device).cpu_threads(model, run.batch, math.prod(inputs.shape[1:]))
    with threads, torch.random.fork_rng([inputs.device] if inputs.device.type == "cuda" else []):
        torch.manual_seed(recipe.seed)  # dropout draws from torch's own generator, and knows no other
        if keeper and (state := keeper.restore(inputs.device, run.state().keys())):
            run.load(state)
            say(f"going on after epoch {run.history[-1]['epoch']}")
        for _ in bar(range(len(run.history), run.rounds), "rounds", "round", progress):
            if run.finished:
                break
            run.round(watch)
            if keeper:
                keeper.save(run.state)
    if keeper:
        keeper.seconds = 0.0  # the end is kept whenever the last round was
        keeper.save(run.state)
    return run.result()


def stratified(given: Tensor, share: float, draws: torch.Generator) -> Tensor:
    """A share of each given label, at least one of any that has two: bool ``[n]``."""
    chosen = torch.zeros(len(given), dtype=torch.bool)
    given = given.cpu()
    for c in given.unique().tolist():
        mine = (given == c).nonzero().squeeze(1)
        count = min(len(mine) - 1, max(1, round(share * len(mine))))
        chosen[mine[torch.randperm(len(mine), generator=draws)[:count]]] = True
    return chosen


class _Training:
    """What changes while a training goes on."""

    def __init__(self, model: nn.Module, inputs: Inputs, given: Tensor, recipe: Recipe) -> None:
        self.inputs, self.given, self.recipe = inputs, given, recipe
        self.draws = generator(recipe.seed, "order")
        held = stratified(given, recipe.held_out, generator(recipe.seed, "held out")).to(given.device)
        self.held, self.learnt = held.nonzero().squeeze(1), (~held).nonzero().squeeze(1)
        self.batch = recipe.batch(len(self.learnt))
        steps = max(1, len(self.learnt) // self.batch)
        self.epochs_a_round = min(recipe.epochs, math.ceil(ROUND / steps))
        self.rounds = recipe.epochs // self.epochs_a_round
        self.model = model
        self.averaged = Averaged(model)
        self.optimizer = torch.optim.SGD(
            model.parameters(),
            lr=recipe.lr * math.sqrt(self.batch / BATCH),
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self.history: list[dict[str, float]] = []
        self.margins = torch.zeros(len(given), device=given.device)
        self.residuals = torch.zeros(len(given), device=given.device)
        self.seen = torch.zeros(len(given), device=given.device)  # how often, a sample left over from batches excepted
        self.before: dict[str, Tensor] = {}  # weights of the last round, of which it is not known yet how good it was
        self.best: dict[str, Tensor] = {}
        self.best_round = 0

    @property
    def smoothed(self) -> list[float]:
        """Held-out accuracy, each round with its neighbours: a tenth of the samples is a noisy judge."""
        seen = [row["held_out_accuracy"] for row in self.history]
        return [sum(near) / len(near) for near in (seen[max(0, k - 1) : k + 2] for k in range(len(seen)))]

    @property
    def finished(self) -> bool:
        """Whether the last rounds were no better."""
        return len(self.history) - self.best_round > self.recipe.patience + 1

    def round(self, watch: Callable[[nn.Module, nn.Module], dict[str, float]] | None) -> None:
        """Some epochs, and a look at the samples held out."""
        begun = time.perf_counter()
        loss = 0.0
        for _ in range(self.epochs_a_round):
            loss = self._epoch()
        if not math.isfinite(loss):
            raise TrainingDiverged(self.epochs_a_round * (len(self.history) + 1), self.history)
        seconds = time.perf_counter() - begun
        margins, right = self._ask()
        self.margins[self.held] += margins * self.epochs_a_round
        self.seen[self.held] += self.epochs_a_round
        self.history.append(
            {
                "epoch": self.epochs_a_round * (len(self.history) + 1),
                "train_loss": loss,
                "held_out_accuracy": right,
                "train_seconds": seconds,
                "seconds": time.perf_counter() - begun,
                **(watch(self.model, self.averaged.module) if watch else {}),
            }
        )
        self._remember()

    def _epoch(self) -> float:
        self.model.train()
        shuffled = self.learnt[sent(torch.randperm(len(self.learnt), generator=self.draws), self.learnt.device)]
        total = torch.zeros((), device=self.given.device)
        for some in shuffled.split(self.batch):
            if len(some) < 2:  # BatchNorm has no statistics of one sample
                continue
            labels = self.given[some]
            h = self.model(self.inputs(some))
            loss = nn.functional.cross_entropy(h, labels)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            self.averaged.update(self.model)
            seen = h.detach()
            self.margins[some] += margin(seen, labels)
            self.residuals[some] += 1 - seen.softmax(1).gather(1, labels.unsqueeze(1)).squeeze(1)
            self.seen[some] += 1
            total += loss.detach() * len(some)
        return (total / len(self.learnt)).item()

    def _ask(self) -> tuple[Tensor, float]:
        """Margins and share of right answers of the averaged network on the samples held out."""
        h = answers(self.averaged.module, self.inputs, self.held)
        labels = self.given[self.held]
        return margin(h, labels), (h.argmax(1) == labels).float().mean().item()

    def _remember(self) -> None:
        """Keep the weights of the round that is the best so far; a round is judged when the next one is known."""
        smoothed = self.smoothed
        now = {name: value.clone() for name, value in self.averaged.module.state_dict().items()}
        last = len(smoothed) - 1
        if last and (not self.best or smoothed[last - 1] > self._best_value()):
            self.best, self.best_round = self.before, last - 1
        self.before = now

    def _best_value(self) -> float:
        return self.smoothed[self.best_round]

    def result(self) -> Stopped:
        """The network of the best round."""
        last = len(self.history) - 1
        if not self.best or self.smoothed[last] > self._best_value():
            self.best, self.best_round = self.before, last
        model = copy.deepcopy(self.averaged.module)
        model.load_state_dict(self.best)
        model.eval()
        held = torch.zeros(len(self.given), dtype=torch.bool, device=self.given.device)
        held[self.held] = True
        times = self.seen.clamp_min(1)
        return Stopped(model, self.history, self.best_round, held, self.margins / times, self.residuals / times)

    def state(self) -> dict:
        """Everything that an interrupted training needs."""
        return {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "order": self.draws.get_state(),
            "dropout": _torch_state(self.given.device),
            "history": self.history,
            "margins": self.margins,
            "residuals": self.residuals,
            "seen": self.seen,
            "before": self.before,
            "best": self.best,
            "best_round": self.best_round,
        }

    def load(self, state: dict) -> None:
        """Go on from `state`."""
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.draws.set_state(state["order"].cpu())
        _set_torch_state(self.given.device, state["dropout"].cpu())
        self.history, self.best_round = state["history"], state["best_round"]
        self.margins, self.residuals, self.seen = state["margins"], state["residuals"], state["seen"]
        self.before, self.best = state["before"], state["best"]


def _torch_state(device: torch.device) -> Tensor:
    """Of the generator from which modules on a device draw."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_torch_state(device: torch.device, state: Tensor) -> None:
    """The reverse of `_torch_state`."""
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)


def margin(h: Tensor, labels: Tensor) -> Tensor:
    """Logit of the label less the largest other one, ``[n]`` from ``[n, classes]`` and ``[n]``."""
    column = labels.unsqueeze(1)
    return h.gather(1, column).squeeze(1) - h.scatter(1, column, -torch.inf).amax(1)


def answers(model: nn.Module, inputs: Inputs, index: Tensor, chunk: int = 2048) -> Tensor:
    """Logits of some samples in eval mode, ``[b, classes]``."""
    return all_logits(model, (inputs(some) for some in index.split(chunk)))


def _fingerprint(inputs: Inputs, given: Tensor, recipe: Recipe, model: nn.Module) -> str:
    """Names data, labels, recipe and network: a checkpoint of others is not continued."""
    digest = hashlib.sha256(repr((STATE, asdict(replace(recipe, device=inputs.device.type)), str(model))).encode())
    digest.update(given.cpu().numpy().tobytes())
    some = torch.linspace(0, len(inputs) - 1, min(len(inputs), 1000)).long()
    digest.update(inputs.values[some.to(inputs.device)].cpu().numpy().tobytes())
    for p in model.parameters():
        digest.update(p.detach().double().sum().cpu().numpy().tobytes())
    return digest.hexdigest()
