"""Learning from two gradients: a noisy one, and a clean one that is refreshed every K steps.

The step of the experiments that go on from the paper:

    g = (1 - mix) * g_noisy / |g_noisy| + mix * g_clean / |g_clean|

with the gradient g_clean of the last refresh, followed by SGD with momentum
and weight decay. ``mix`` is those experiments' lambda, ``refresh`` their K.
One forward pass a step serves both gradients, so that BatchNorm sees each
batch once. Many small networks are led through it at once (`lib.beyond.replicas`).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..data import Task, sent
from ..experiments import generator
from ..noise import symmetric
from ..observe import Row
from ..progress import bar
from .replicas import Flat, Replicas, Single

NORMALISE = ("each", "mix", "none")
CLEAN_BATCHES = ("same", "other", "trusted")
TINY = 1e-12  # added to a gradient's length, as the experiments do


@dataclass(frozen=True)
class DualConfig:
    """What determines a step besides its mix."""

    refresh: int = 16  # K: steps between two clean gradients
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch_size: int = 64
    normalise: str = "each"  # gradients to unit length: each, also their mix, or none
    clean_batch: str = "same"  # clean gradient from the step's batch, another one, or a trusted set of other images
    trusted: float = 0.0  # share of the training images set apart with their true labels, for clean_batch "trusted"

    def validate(self) -> None:
        """Raise ValueError for settings that cannot be meant."""
        if self.refresh < 1:
            raise ValueError(f"refresh (K) must be at least 1, not {self.refresh}")
        if not self.lr > 0:
            raise ValueError(f"lr must be above 0, not {self.lr}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), not {self.momentum}")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must be at least 0, not {self.weight_decay}")
        if self.batch_size < 2:
            raise ValueError(f"batch_size must be at least 2 (BatchNorm), not {self.batch_size}")
        for name, allowed in (("normalise", NORMALISE), ("clean_batch", CLEAN_BATCHES)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}")
        if not 0 <= self.trusted < 1:
            raise ValueError(f"trusted must lie in [0, 1), not {self.trusted}")
        if (self.clean_batch == "trusted") != (self.trusted > 0):
            raise ValueError(
                f"clean_batch {self.clean_batch!r} with a trusted share of {self.trusted}: a trusted set needs images, "
                "and is used by clean_batch 'trusted' alone"
            )

    @property
    def staleness(self) -> float:
        """S = K lr / (1 - momentum): how far a unit gradient is followed before it is looked at again."""
        return self.refresh * self.lr / (1 - self.momentum)


def mixed(noisy: Tensor, clean: Tensor, mix: Tensor, normalise: str = "each") -> Tensor:
    """The mixed gradient of each replica: ``[R, parameters]`` from two such and ``mix`` [R, 1]."""
    if normalise != "none":
        noisy, clean = (g / (g.norm(dim=1, keepdim=True) + TINY) for g in (noisy, clean))
    g = (1 - mix) * noisy + mix * clean
    return g / (g.norm(dim=1, keepdim=True) + TINY) if normalise == "mix" else g


@dataclass(frozen=True)
class Member:
    """One of the networks that are trained together."""

    seed: int
    noise_rate: float
    mixes: tuple[float, ...]  # its mix in each stage


@dataclass(frozen=True)
class Stage:
    """Epochs with one learning rate and one mix; ``afresh`` drops the optimizer's and the clean gradient's memory."""

    epochs: int
    lr: float
    afresh: bool = False


class Samples:
    """Images and labels of some members on a device: float images ``[n, channels, height, width]``.

    ``tasks`` are the images of each seed; n counts those of all of them, one
    task after the other. Pixels are standardised by channel with mean and
    deviation of a task's training images. ``true`` [n] are the right labels,
    ``given`` [R, n] each member's; `batches` and `clean_batch` draw positions
    among them. ``test_images`` [1 or R, m, ...] and ``test_labels`` [1 or R, m].
    """

    def __init__(
        self, tasks: Mapping[int, Task], members: Sequence[Member], config: DualConfig, pool: int, augment: bool
    ) -> None:
        self.seeds = list(dict.fromkeys(member.seed for member in members))
        different = list({id(tasks[seed]): tasks[seed] for seed in self.seeds}.values())
        if augment and len(different) > 1:
            raise ValueError("augmented images are for networks that are trained singly")
        self._augment, self.classes = augment, different[0].classes
        train, test = [], []
        for task in different:
            some, others = (_pooled(images, task.white, pool) for images in (task.train_images, task.test_images))
            self._mean, self._deviation = some.mean((0, 2, 3), keepdim=True), some.std((0, 2, 3), keepdim=True)
            train.append(some if augment else self._standardised(some))
            test.append(self._standardised(others))
        self._train, self.true = torch.cat(train), torch.cat([task.train_labels for task in different])
        self._row_seeds = self.seeds if len(self.seeds) == 1 else [member.seed for member in members]
        place = {seed: [id(task) for task in different].index(id(tasks[seed])) for seed in self.seeds}
        rows = [place[seed] for seed in self._row_seeds] if len(different) > 1 else [0]
        self.test_images = torch.stack([test[row] for row in rows])
        self.test_labels = torch.stack([different[row].test_labels for row in rows])
        n = len(different[0].train_labels)
        apart = round(config.trusted * n)
        self._mine, self._trusted = {}, {}
        for seed in self.seeds:
            shuffled = torch.randperm(n, generator=generator(seed, "trusted"))
            self._mine[seed] = n * place[seed] + (shuffled[apart:] if apart else torch.arange(n))
            self._trusted[seed] = n * place[seed] + shuffled[:apart]
        device = self.true.device
        self.given = torch.stack([self._flipped(member).to(device) for member in members])
        self._orders = {seed: generator(seed, "order") for seed in self.seeds}
        self._clean = {seed: generator(seed, "clean batches") for seed in self.seeds}
        self._crops = generator(self.seeds[0], "crops")

    def _flipped(self, member: Member) -> Tensor:
        true = self.true.cpu()
        mine = self._mine[member.seed]
        given = true.clone()
        drawn = symmetric(true[mine], member.noise_rate, self.classes, generator(member.seed, "noise"))
        given[mine] = drawn.given
        return given

    def batches(self, size: int) -> Iterator[Tensor]:
        """Positions of an epoch's batches, ``[1 or R, size]``: in one order where all members have one seed."""
        orders = {
            seed: mine[torch.randperm(len(mine), generator=self._orders[seed])] for seed, mine in self._mine.items()
        }
        stacked = torch.stack([orders[seed] for seed in self._row_seeds]).to(self.true.device)
        for batch in stacked.split(size, dim=1):
            if batch.shape[1] > 1:  # BatchNorm has no statistics of one image
                yield batch

    def clean_batch(self, size: int, trusted: bool) -> Tensor:
        """Positions of another batch, of the trusted images or of all that are trained on; ``[1 or R, size]``."""
        drawn = {}
        for seed in self.seeds:
            pool = self._trusted[seed] if trusted else self._mine[seed]
            drawn[seed] = pool[torch.randperm(len(pool), generator=self._clean[seed])[:size]]
        return sent(torch.stack([drawn[seed] for seed in self._row_seeds]), self.true.device)

    def images(self, index: Tensor) -> Tensor:
        """Images at these positions: ``[n, ...]`` where ``index`` is [1, n], else ``[R, n, ...]``."""
        chosen = self._train[index[0] if len(index) == 1 else index]
        return self._standardised(_cropped(chosen, self._crops)) if self._augment else chosen

    def _standardised(self, images: Tensor) -> Tensor:
        return (images - self._mean) / self._deviation


def _pooled(images: Tensor, white: float, pool: int) -> Tensor:
    return nn.functional.avg_pool2d(images.float() / white, pool) if pool > 1 else images.float() / white


def _cropped(images: Tensor, draws: torch.Generator, margin: int = 4) -> Tensor:
    """Each image shifted by up to ``margin`` pixels over black, and mirrored in one of two cases."""
    n, _, height, width = images.shape
    shifts = torch.randint(0, 2 * margin + 1, (2, n), generator=draws)
    mirrors = torch.randint(0, 2, (1, n), generator=draws)
    down, right, mirrored = sent(torch.cat([shifts, mirrors]), images.device)
    mirrored = mirrored.bool()[:, None]
    padded = nn.functional.pad(images, [margin] * 4)
    rows = down[:, None] + torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device).expand(n, -1)
    columns = right[:, None] + torch.where(mirrored, columns.flip(1), columns)
    some = torch.arange(n, device=images.device)[:, None, None]
    return padded[some, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


class Dual:
    """Networks on their way: weights, momentum and the clean gradient in use."""

    def __init__(self, module: Replicas | Single, config: DualConfig, samples: Samples) -> None:
        self.module, self.config, self.samples = module, config, samples
        self.flat = Flat(module)
        self.forget()

    def forget(self) -> None:
        """Begin anew with momentum and clean gradient; the weights stay."""
        self._velocity = torch.zeros_like(self.flat.values)
        self._clean: Tensor | None = None
        self._steps = 0

    def step(self, batch: Tensor, mix: Tensor, lr: float) -> tuple[Tensor, Tensor]:
        """One step on a batch of positions; cosine of the two gradients and length of the step, both ``[R]``."""
        samples, config = self.samples, self.config
        refresh = self._steps % config.refresh == 0
        logits = self.module(samples.images(batch))
        given = samples.given.gather(1, batch.expand(len(samples.given), -1))
        same = refresh and config.clean_batch == "same"
        noisy = self.flat.gradient(_losses(logits, given).sum(), again=same)
        if same:
            self._clean = self.flat.gradient(_losses(logits, samples.true[batch].expand_as(given)).sum())
        elif refresh:
            self._clean = self._other_gradient(len(given))
        g = mixed(noisy, self._clean, mix, config.normalise)
        cosine = nn.functional.cosine_similarity(noisy, self._clean, dim=1)
        self._velocity.mul_(config.momentum).add_(g.add_(self.flat.values, alpha=config.weight_decay))
        self.flat.values.sub_(self._velocity, alpha=lr)
        self._steps += 1
        return cosine, lr * self._velocity.norm(dim=1)

    def _other_gradient(self, members: int) -> Tensor:
        batch = self.samples.clean_batch(self.config.batch_size, self.config.clean_batch == "trusted")
        with _statistics_kept(self.module):
            losses = _losses(self.module(self.samples.images(batch)), self.samples.true[batch].expand(members, -1))
            return self.flat.gradient(losses.sum())

    def epoch(self, mix: Tensor, lr: float) -> dict[str, Tensor]:
        """One pass over the training images; mean cosine and step length, ``[R]``."""
        self.module.train()
        seen = [self.step(batch, mix, lr) for batch in self.samples.batches(self.config.batch_size)]
        cosine, step = (torch.stack(values).mean(0) for values in zip(*seen, strict=True))
        return {"cosine": cosine, "step": step}

    def measure(self) -> dict[str, Tensor]:
        """Test error and loss, share of last hidden units that are off for all test images, spread of the logits."""
        self.module.eval()
        errors, losses, features, logits = [], [], [], []
        images, labels = self.samples.test_images.split(2000, dim=1), self.samples.test_labels.split(2000, dim=1)
        with torch.no_grad():
            for some, answers in zip(images, labels, strict=True):
                hidden = self.module.features(some[0] if len(some) == 1 else some)
                h = self.module.read_out(hidden)
                answers = answers.expand(len(h), -1)
                errors.append((h.argmax(2) != answers).float())
                losses.append(nn.functional.cross_entropy(h.transpose(1, 2), answers, reduction="none"))
                features.append(hidden.amax(2))
                logits.append(h)
        h = torch.cat(logits, dim=1)
        return {
            "test_error": torch.cat(errors, dim=1).mean(1),
            "test_loss": torch.cat(losses, dim=1).mean(1),
            "dead": (torch.stack(features).amax(0) <= 0).float().mean(1),
            "spread": h.std(dim=1).mean(1),
        }


def velocities(dual: Dual) -> list[list[Tensor]]:
    """The momentum of each network: a tensor for each of its parameters, in their order and shape."""
    stacked = isinstance(dual.module, Replicas)
    shapes = [p.shape[1:] if stacked else p.shape for p in dual.flat.parameters]
    sizes = [shape.numel() for shape in shapes]
    return [
        [part.view(shape).clone() for part, shape in zip(row.split(sizes), shapes, strict=True)]
        for row in dual._velocity
    ]


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of each replica from ``[R, n, classes]`` and ``[R, n]``."""
    return nn.functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none").mean(1)


@contextmanager
def _statistics_kept(module: nn.Module):
    """Batch statistics are used inside, and the running ones left alone: one step counts one batch."""
    before = [buffer.clone() for buffer in module.buffers()]
    yield
    for buffer, value in zip(module.buffers(), before, strict=True):
        buffer.copy_(value)


def follow(
    dual: Dual, members: Sequence[Member], stages: Sequence[Stage], *, first: int = 0, progress: str = ""
) -> list[Row]:
    """Lead networks through stages; a row for each member and epoch, and one before the first epoch.

    Columns: seed, noise_rate, mix, epoch, stage, and what `Dual.measure` and
    `Dual.epoch` give. ``first``: the number of the first stage among the members' mixes.
    """
    device = dual.flat.values.device
    rows = _rows(members, first, 0, dual.measure()) if first == 0 else []
    epoch = 0
    for number, stage in enumerate(stages, start=first):
        if stage.afresh:
            dual.forget()
        mix = torch.tensor([[member.mixes[number]] for member in members], device=device)
        for _ in bar(range(stage.epochs), f"{progress}stage {number}", "epoch", bool(progress)):
            moved = dual.epoch(mix, stage.lr)
            epoch += 1
            rows += _rows(members, number, epoch, dual.measure() | moved)
    return rows


def _rows(members: Sequence[Member], stage: int, epoch: int, found: dict[str, Tensor]) -> list[Row]:
    columns = {"cosine": None, "step": None} | {name: values.tolist() for name, values in found.items()}
    return [
        {"seed": member.seed, "noise_rate": member.noise_rate, "mix": member.mixes[stage], "epoch": epoch,
         "stage": stage}
        | {name: float("nan") if values is None else values[k] for name, values in columns.items()}
        for k, member in enumerate(members)
    ]  # fmt: skip
