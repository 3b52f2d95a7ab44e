"""Label errors that are known, and how well each method finds them: one table a setting and seed.

Settings: kinds of label noise that the paper does not treat stand here, since
nothing else uses them. Rivals: cleanlab as its documentation recommends
(probabilities from five-fold cross-validation), AUM and small loss, all with
the same network, recipe and stop.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from torch import Tensor, nn

from ..data import DataConfig, Task, load
from ..experiments import Measurement, data_slug, generator
from ..models import ModelConfig, build
from ..noise import NoisyLabels, asymmetric, symmetric
from ..observe import Row
from ..train import Machine
from .early_stop import Inputs, Recipe, answers, train_until_stop
from .judgement import conclude
from .read import Labelled
from .tangents import LAST, TAIL

METHODS = (
    "suspects",
    "suspects, last layer",
    "agreement alone",
    "AUM",
    "margin",
    "small loss",
    "cleanlab, self confidence",
    "cleanlab, normalized margin",
)
FOLDS = 5
BINS = 10  # of the calibration error
SETTINGS: dict[str, str] = {
    "symmetric": "any other class, all alike",
    "pairs": "the class that looks most like it, both ways",
    "classes": "to the next class, half of the classes four times as often as the others",
    "imbalanced": "symmetric, the last class a tenth as large as the first",
    "boundary": "to the second choice of a classifier, the sooner the closer it is",
}
# Classes that are taken for one another.
PAIRS = {
    "digits": ((4, 9), (3, 8), (1, 7), (5, 6), (0, 2)),
    "mnist": ((4, 9), (3, 8), (1, 7), (5, 6), (0, 2)),
    "cifar10": ((3, 5), (1, 9), (0, 8), (4, 7), (2, 6)),
}


def pairs(true: Tensor, rate: float, name: str, published: tuple[int, ...], draws: torch.Generator) -> NoisyLabels:
    """Each class becomes its partner of `PAIRS`. ValueError where a partner is not among the ``published`` classes."""
    number = {c: k for k, c in enumerate(published)}
    becomes = {}
    for a, b in PAIRS[name]:
        if (a in number) != (b in number):
            raise ValueError(f"pairs of {name}: class {a if a in number else b} is there without its partner")
        if a in number:
            becomes |= {number[a]: number[b], number[b]: number[a]}
    return asymmetric(true, rate, becomes, len(published), draws)


def by_class(true: Tensor, rate: float, classes: int, draws: torch.Generator) -> NoisyLabels:
    """Class c becomes c + 1; odd classes four times as often, ``rate`` on average over two classes."""
    low = rate / 2.5
    given = true.clone()
    for odd, share in ((0, low), (1, 4 * low)):
        becomes = {c: (c + 1) % classes for c in range(odd, classes, 2)}
        part = asymmetric(true, share, becomes, classes, draws)
        given = torch.where(part.is_noisy, part.given, given)
    return NoisyLabels(given, true, classes)


def boundary(images: Tensor, true: Tensor, rate: float, classes: int, draws: torch.Generator) -> NoisyLabels:
    """Samples that a linear classifier of the true labels finds hard get its second choice.

    ``round(rate * n)`` samples, drawn without replacement with weights
    p_2 / p_1, where p_1 is the classifier's probability of the true class and
    p_2 that of the best other one.
    """
    flat = images.flatten(1).double()
    flat = (flat - flat.mean(0)) / flat.std(0).clamp_min(1e-6)
    model = LogisticRegression(C=1e-3, max_iter=200).fit(flat.numpy(), true.numpy())
    p = torch.from_numpy(model.predict_proba(flat.numpy()))
    own = p.gather(1, true.unsqueeze(1)).squeeze(1)
    best, other = p.scatter(1, true.unsqueeze(1), -1.0).max(1)
    chosen = torch.multinomial(best / own.clamp_min(1e-6), round(rate * len(true)), generator=draws)
    given = true.clone()
    given[chosen] = other[chosen]
    return NoisyLabels(given, true, classes)


def thinned(labels: Tensor, classes: int, draws: torch.Generator) -> Tensor:
    """Positions that leave all of the first class, a tenth of the last, and between them in proportion."""
    kept = []
    for c in range(classes):
        mine = (labels == c).nonzero().squeeze(1)
        share = 0.1 ** (c / (classes - 1))
        kept.append(mine[torch.randperm(len(mine), generator=draws)[: max(10, round(share * len(mine)))]])
    return torch.cat(kept).sort().values


@dataclass(frozen=True, kw_only=True)
class FindWrongLabels(Measurement):
    """How well each method finds the labels that were flipped.

    A row a method: ``method`` (its place in `METHODS`), ``average_precision``, ``auroc``,
    ``precision_at_count`` (of as many as the method itself says are wrong),
    ``count``, ``noise_rate`` (its estimate), ``low``, ``high``,
    ``calibration_error``, ``seconds``, ``trainings``; alike in all rows
    ``samples``, ``true_rate`` and ``epochs``. NaN for what a method does not say, or
    without a wrong label.
    """

    kind: ClassVar[str] = "suspects"
    timed: ClassVar[tuple[str, ...]] = ("seconds",)  # differ from run to run
    data: DataConfig
    setting: str
    noise_rate: float
    model: ModelConfig
    recipe: Recipe = field(default_factory=Recipe)  # its seed is replaced by the measurement's
    pool: int = 1  # pixels a side that are averaged into one
    rivals: bool = True

    def validate(self) -> None:
        """Also: the setting can be meant."""
        super().validate()
        if self.setting not in SETTINGS:
            raise ValueError(f"unknown setting {self.setting!r}; there are: {', '.join(SETTINGS)}")
        if not 0 <= self.noise_rate < 0.6:
            raise ValueError(f"noise_rate must lie in [0, .6), not {self.noise_rate}")
        if self.pool < 1:
            raise ValueError(f"pool must be at least 1, not {self.pool}")

    def preflight(self, folder: str | Path | None = None) -> None:
        """Load the data and flip the labels."""
        self.flipped(folder)

    def short(self, epochs: int = 2) -> "FindWrongLabels":
        """Without the rivals' five trainings."""
        return replace(self, rivals=False)

    @property
    def slug(self) -> str:
        """Key with a readable beginning, for file names."""
        return f"{data_slug(self.data)}-suspects-{self.setting}{self.noise_rate:g}-seed{self.seed}-{self.key}"

    def flipped(self, folder: str | Path | None = None) -> tuple[Tensor, NoisyLabels, Task]:
        """Images, labels and the task they come from; the seed also draws the subset."""
        task = load(self.data, folder, self.seed)
        images, true = task.train_images, task.train_labels
        draws = generator(self.seed, "noise")
        if self.setting == "imbalanced":
            kept = thinned(true, task.classes, generator(self.seed, "imbalance"))
            images, true = images[kept], true[kept]
        if self.pool > 1:
            images = nn.functional.avg_pool2d(images.float(), self.pool)
        if self.noise_rate == 0:
            return images, NoisyLabels(true.clone(), true, task.classes), task
        if self.setting == "pairs":
            published = self.data.classes or tuple(range(task.classes))
            return images, pairs(true, self.noise_rate, self.data.name, published, draws), task
        if self.setting == "classes":
            return images, by_class(true, self.noise_rate, task.classes, draws), task
        if self.setting == "boundary":
            return images, boundary(images, true, self.noise_rate, task.classes, draws), task
        return images, symmetric(true, self.noise_rate, task.classes, draws), task

    def rows(self, device: torch.device, folder: str | Path | None) -> list[Row]:
        """The table."""
        images, labels, task = self.flipped(folder)
        wrong = labels.is_noisy.numpy()
        labelled = Labelled(images, labels.given, task.class_names, pd.RangeIndex(len(wrong)))
        recipe = replace(self.recipe, seed=self.seed, device=device.type)
        shape = tuple(images.shape[1:])

        def network(purpose: str = "weights") -> nn.Module:
            return build(self.model, shape, task.classes, generator(self.seed, purpose))

        alike = {"samples": len(wrong), "true_rate": float(wrong.mean())}
        rows = list(_ours(labelled, recipe, network, wrong))
        if self.rivals:
            rows += _cleanlab(labelled, recipe, network, wrong)
        return [row | alike for row in rows]


def _ours(labelled: Labelled, recipe: Recipe, network: Callable[[], nn.Module], wrong: np.ndarray) -> list[Row]:
    """One training serves our forms, AUM and small loss; each is charged the whole of it."""
    begun = time.perf_counter()
    device = Machine(recipe.device).resolve()
    inputs, given = Inputs(labelled.inputs, device), labelled.labels.to(device)
    stopped = train_until_stop(network().to(device), inputs, given, recipe, progress=False)
    plain = time.perf_counter() - begun
    rows = []
    for method, layers in (("suspects, last layer", LAST), ("suspects", TAIL)):
        found = conclude(labelled, stopped, inputs, given, recipe, layers, plain)
        table, rate = found.table, found.noise_rate
        seconds = plain + found.cost["signal_seconds"]
        rows.append(
            _row(method, table["label_quality"], wrong, seconds, 1, found.cost["epochs"])
            | {"noise_rate": rate.estimate, "low": rate.low, "high": rate.high}
            | _at_count(table["label_quality"], wrong, int(table["is_label_issue"].sum()))
            | {"calibration_error": calibration_error(table["probability_wrong"].to_numpy(), wrong)}
        )
    for method, column in (("agreement alone", "agreement"), ("AUM", "mean_margin"), ("margin", "margin")):
        count = int((table[column] < 0).sum())
        rows.append(
            _row(method, table[column], wrong, seconds if column == "agreement" else plain, 1, found.cost["epochs"])
            | _at_count(table[column], wrong, count)
            | {"noise_rate": count / len(wrong)}
        )
    rows.append(_row("small loss", table["own_probability"], wrong, plain, 1, found.cost["epochs"]))
    return rows


def _cleanlab(labelled: Labelled, recipe: Recipe, network: Callable[[], nn.Module], wrong: np.ndarray) -> list[Row]:
    """Probabilities of samples that a network has not seen, from five trainings, then cleanlab's scores and count."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    begun = time.perf_counter()
    given = labelled.labels.numpy()
    probabilities = np.empty((len(given), len(labelled.class_names)))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=recipe.seed)
    epochs = 0.0
    for k, (learnt, asked) in enumerate(folds.split(given, given)):
        device = Machine(recipe.device).resolve()
        inputs = Inputs(labelled.inputs[learnt], device)
        one = replace(recipe, seed=recipe.seed + 1000 * (k + 1))
        stopped = train_until_stop(
            network().to(device), inputs, labelled.labels[learnt].to(device), one, progress=False
        )
        rest = Inputs.like(inputs, labelled.inputs[asked])
        h = answers(stopped.model, rest, torch.arange(len(asked), device=device))
        probabilities[asked] = h.softmax(1).cpu().double().numpy()
        epochs += stopped.history[-1]["epoch"] * len(learnt) / len(given)
    probabilities /= probabilities.sum(1, keepdims=True)
    issues = find_label_issues(given, probabilities)
    seconds = time.perf_counter() - begun
    rows = []
    for method in ("self_confidence", "normalized_margin"):
        quality = get_label_quality_scores(given, probabilities, method=method)
        rows.append(
            _row(f"cleanlab, {method.replace('_', ' ')}", quality, wrong, seconds, FOLDS, epochs)
            | _at_count(quality, wrong, int(issues.sum()))
            | {"noise_rate": float(issues.mean())}
        )
    rows[0]["calibration_error"] = calibration_error(1 - probabilities[np.arange(len(given)), given], wrong)
    return rows


def _row(
    method: str, quality: np.ndarray | pd.Series, wrong: np.ndarray, seconds: float, trainings: int, epochs: float
) -> Row:
    """How a ranking does; ``quality`` is low where a label is suspicious."""
    suspicion = -np.asarray(quality, dtype=float)
    some = wrong.any()
    return {
        "method": METHODS.index(method),
        "average_precision": float(average_precision_score(wrong, suspicion)) if some else math.nan,
        "auroc": float(roc_auc_score(wrong, suspicion)) if some else math.nan,
        "precision_at_count": math.nan,
        "count": math.nan,
        "noise_rate": math.nan,
        "low": math.nan,
        "high": math.nan,
        "calibration_error": math.nan,
        "seconds": seconds,
        "trainings": trainings,
        "epochs": epochs,
    }


def _at_count(quality: np.ndarray | pd.Series, wrong: np.ndarray, count: int) -> Row:
    first = np.argsort(np.asarray(quality, dtype=float), kind="stable")[:count]
    return {"count": count, "precision_at_count": float(wrong[first].mean()) if count else math.nan}


def calibration_error(probability: np.ndarray, wrong: np.ndarray) -> float:
    """Mean distance between probability and share of wrong labels, over ten bins of the probability (ECE)."""
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    error = 0.0
    for k in np.unique(bins):
        mine = bins == k
        error += abs(probability[mine].mean() - wrong[mine].mean()) * mine.mean()
    return float(error)
