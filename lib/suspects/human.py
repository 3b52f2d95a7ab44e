"""Labels that people got wrong, beside noise of the same amount that was drawn: how they are learnt, and found.

CIFAR-10N (Wei et al. 2022, arXiv 2110.12088) holds labels that people gave to the training images of CIFAR-10. Its
licence (CC BY-NC 4.0) forbids commercial use: the book has no copy of a label, and records statistics only. Where the
labels are not there, the digits stand in for them, with the errors of a weak classifier in place of people's.
"""

import math
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from ..data import CLASS_NAMES, DIGITS, DataConfig, DataDamaged, DataUnavailable, Task, load, pixels
from ..experiments import Measurement, generator
from ..models import ModelConfig, build
from ..noise import NoisyLabels, from_transition, symmetric
from ..observe import ObserveConfig, Observer, Row
from ..paths import data_folder
from ..train import Machine, TrainConfig, train
from .compare import calibration_error
from .features import judge_features
from .neighbours import NEIGHBOURS
from .read import Labelled

SETS = ("aggre_label", "random_label1", "random_label2", "random_label3")  # of CIFAR-10N, by their published names
STAND_IN = "weak classifier"
NOISES = {
    "human": "as people gave them",
    "classes": "the same counts of given label by true class, on images drawn at random",
    "uniform": "as many, any other class, on images drawn at random",
}
ELSEWHERE = 3000  # images, each, to test on and to teach the reference by
TAUGHT = 60  # digits that the weak classifier learns from
DOUBTS = (0.1, 0.5, 0.9)  # between the groups of wrong labels, by the reference's doubt
REFERENCE = 12.8  # over the number of features: C of the reference, on standardised ones
METHODS = ("suspects", "cleanlab, documented", "cleanlab, tuned", "nearest neighbours")
FOLDS = 5
PENALTIES = 10.0 ** np.arange(-4, 3)  # C of tuned cleanlab
LABELS_FILE, FEATURES_FILE = "cifar10_human_labels.npz", "cifar10_features.npz"
WHERE = {
    LABELS_FILE: f"{', '.join(SETS)}: CIFAR-10N, uint8 [50000] each in the order of cifar10.npz, "
    "saved by numpy.savez from CIFAR-10_human.pt of https://github.com/UCSC-REAL/cifar-10-100n, for research only",
    FEATURES_FILE: "index, int [n] into the training images of cifar10.npz, and features, float [n, d], "
    "of a network that was trained on ImageNet (the book's: EfficientNet-Lite0 at 128 pixels, 12,000 images)",
}


@dataclass(frozen=True)
class Samples:
    """What a run sees.

    ``task`` has features [n, 1, 1, d] in place of images, standardised by those trained on, and true labels;
    ``labels`` are the given ones of its training samples; ``raw`` [n, d] are their features before that, and
    ``scaled`` [n, d] after it. ``images`` has the same samples as they were published.
    ``reference`` and ``reference_labels`` are other samples and their true labels, which teach nobody but a judge.
    """

    task: Task
    images: Task
    labels: NoisyLabels
    raw: np.ndarray
    scaled: np.ndarray
    reference: np.ndarray
    reference_labels: np.ndarray


@dataclass(frozen=True, kw_only=True)
class OnHumanLabels(Measurement):
    """What is measured on labels that people gave has in common: which of them, and what noise in their likeness."""

    labels: str  # one of SETS, or STAND_IN
    noise: str = "human"  # one of NOISES
    train_size: int = 6000  # of CIFAR-10N; of the digits all are used

    def validate(self) -> None:
        """Also: labels and noise are known."""
        super().validate()
        if self.labels not in (*SETS, STAND_IN):
            raise ValueError(f"unknown labels {self.labels!r}; there are: {', '.join((*SETS, STAND_IN))}")
        if self.noise not in NOISES:
            raise ValueError(f"unknown noise {self.noise!r}; there are: {', '.join(NOISES)}")
        if self.train_size < 1:
            raise ValueError(f"train_size must be at least 1, not {self.train_size}")

    def preflight(self, folder: str | Path | None = None) -> None:
        """Read the data."""
        self.samples(folder)

    @property
    def slug(self) -> str:
        """Key with a readable beginning, for file names."""
        data = "digits" if self.labels == STAND_IN else "cifar10"
        words = f"{self.kind}-{self.labels}-{self.noise}".replace(" ", "-")
        return f"{data}-{words}-seed{self.seed}-{self.key}"

    def samples(self, folder: str | Path | None = None) -> Samples:
        """The seed draws which images are trained on, tested on, and teach the reference. Raises as `human_labels`."""
        if self.labels == STAND_IN:
            task = load(DataConfig("digits"), folder, self.seed)
            x, true = task.train_images.flatten(1).numpy().astype(np.float32), task.train_labels.numpy()
            order = torch.randperm(len(true), generator=generator(self.seed, "parts")).numpy()
            learnt, reference = order[len(order) // 3 :], order[: len(order) // 3]
            given = mistaken(x[learnt], true[learnt], x[reference[:TAUGHT]], true[reference[:TAUGHT]])
            test_x, test_true = task.test_images.flatten(1).numpy().astype(np.float32), task.test_labels.numpy()
            images, names = (task.train_images[learnt], task.test_images), DIGITS
        else:
            x, true, people, place = human_labels(self.labels, folder)
            if self.train_size + 2 * ELSEWHERE > len(x):
                raise ValueError(f"{self.train_size} and twice {ELSEWHERE} images asked for, but there are {len(x)}")
            order = torch.randperm(len(x), generator=generator(self.seed, "parts")).numpy()
            learnt, rest = order[: self.train_size], order[self.train_size :]
            test, reference = rest[:ELSEWHERE], rest[ELSEWHERE : 2 * ELSEWHERE]
            given, test_x, test_true = people[learnt], x[test], true[test]
            task = load(DataConfig("cifar10"), folder)
            images, names = (task.train_images[place[learnt]], task.train_images[place[test]]), CLASS_NAMES["cifar10"]
        by_people = NoisyLabels(torch.from_numpy(given), torch.from_numpy(true[learnt]), len(names))
        labels = in_likeness(by_people, self.noise, generator(self.seed, "noise"))
        mean, deviation = x[learnt].mean(0), np.maximum(x[learnt].std(0), 1e-6)

        def scaled(values: np.ndarray) -> np.ndarray:
            return (values - mean) / deviation

        def pictures(values: np.ndarray) -> Tensor:
            return torch.from_numpy(scaled(values))[:, None, None]

        answers = torch.from_numpy(test_true)
        seen = Task(pictures(x[learnt]), labels.true, pictures(test_x), answers, names, white=1.0)
        published = Task(images[0], labels.true, images[1], answers, names, task.white)
        return Samples(seen, published, labels, x[learnt], scaled(x[learnt]), scaled(x[reference]), true[reference])


def human_labels(name: str, folder: str | Path | None = None) -> tuple[np.ndarray, ...]:
    """Features float32 [n, d] of images of CIFAR-10, their true labels int64 [n], those that people gave [n], places.

    ``name``: one of `SETS`. The places [n] are among the data set's training images. Raises DataUnavailable where one
    of the two files is not in the data folder, and DataDamaged for one that cannot be read, or whose labels are not
    those of the images of ``cifar10.npz``.
    """
    where = data_folder(folder)
    people = _read(where, LABELS_FILE, (name,))[name].astype(np.int64)
    found = _read(where, FEATURES_FILE, ("index", "features"))
    true = load(DataConfig("cifar10"), folder).train_labels.numpy()
    index = found["index"]
    if len(people) != len(true) or (people != true).mean() > 0.5:
        raise DataDamaged(f"{where / LABELS_FILE}: {name} is not in the order of the images of cifar10.npz")
    return found["features"].astype(np.float32), true[index], people[index], index


def _read(folder: Path, name: str, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    path = folder / name
    if not path.exists():
        raise DataUnavailable(f"{name} is not in {folder}. Put it there, with {WHERE[name]}.")
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            return {key: file[key] for key in keys}
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError, OSError) as error:
        raise DataDamaged(f"{path} is damaged ({error}); it holds {WHERE[name]}") from error


def mistaken(x: np.ndarray, true: np.ndarray, taught: np.ndarray, taught_true: np.ndarray) -> np.ndarray:
    """Labels int64 [n] that a logistic regression gives to samples [n, d], having learnt from a few other ones."""
    model = LogisticRegression(max_iter=500).fit(taught, taught_true)
    return model.predict(x).astype(np.int64)


def in_likeness(people: NoisyLabels, noise: str, draws: torch.Generator) -> NoisyLabels:
    """People's labels themselves, or one of the `NOISES` in their likeness.

    "classes": as many samples of each true class get each label. "uniform": the share that is wrong, of every class
    alike (up to rounding), any other class.
    """
    if noise == "human":
        return people
    if noise == "uniform":
        return symmetric(people.true, people.is_noisy.double().mean().item(), people.classes, draws)
    return from_transition(people.true, confusion(people), draws)


def confusion(labels: NoisyLabels) -> Tensor:
    """Share of each true class (row) that was given each label (column), float64 ``[classes, classes]``."""
    pairs = labels.true * labels.classes + labels.given
    counts = torch.bincount(pairs, minlength=labels.classes**2).reshape(labels.classes, labels.classes).double()
    sizes = counts.sum(1, keepdim=True)
    return torch.where(sizes > 0, counts / sizes.clamp_min(1), torch.eye(labels.classes, dtype=torch.float64))


def doubt(probabilities: np.ndarray, given: np.ndarray, true: np.ndarray) -> np.ndarray:
    """How far a judge with ``probabilities`` [n, classes] leans to the given label rather than the true one: [n].

    p_given / (p_given + p_true): above 1/2 it would take the given one.
    """
    rows = np.arange(len(given))
    own, other = probabilities[rows, given], probabilities[rows, true]
    return own / np.maximum(own + other, 1e-300)


@dataclass(frozen=True, kw_only=True)
class HumanTraining(OnHumanLabels):
    """A network trained with these labels, on features or on ``pixels``.

    A row an epoch: ``epoch``, the columns of `lib.observe`, and for each group k of wrong labels by the doubt of a
    reference (`DOUBTS` are the edges) how many there are, ``wrong_k``, and the share of them that the head gives,
    ``learnt_k`` (NaN for an empty group).
    """

    kind: ClassVar[str] = "human training"
    model: ModelConfig
    train: TrainConfig
    pixels: bool = False

    def short(self, epochs: int = 2) -> "HumanTraining":
        """Its first epochs."""
        return replace(self, train=replace(self.train, epochs=min(epochs, self.train.epochs)))

    def rows(self, device: torch.device, folder: str | Path | None) -> list[Row]:
        """The table."""
        seen = self.samples(folder)
        groups = [group.to(device) for group in by_doubt(seen)]
        task, labels = (seen.images if self.pixels else seen.task).to(device), seen.labels.to(device)
        model = build(self.model, task.input_shape, task.outputs, generator(self.seed, "weights")).to(device)
        observer = Observer(ObserveConfig(), model, task, labels, generator(self.seed, "watch"))

        def observe(network: torch.nn.Module) -> Row:
            row = observer(network)
            with torch.no_grad():
                for k, group in enumerate(groups):
                    given = labels.given[group]
                    shown = pixels(task.train_images[group], task.white)
                    learnt = network(shown).argmax(1) == given if len(group) else given
                    row |= {f"wrong_{k}": len(group), f"learnt_{k}": learnt.double().mean().item()}
            return row

        machine = Machine(device.type)
        with machine.cpu_threads(model, self.train.batch_size or len(labels.given)):
            return train(
                model, task, labels, self.train, observe, generator(self.seed, "order"), machine=machine, progress=False
            )


def by_doubt(seen: Samples) -> list[Tensor]:
    """Positions of the wrong labels, in groups between `DOUBTS` of a judge taught by other samples' true labels."""
    judge = LogisticRegression(C=REFERENCE / seen.reference.shape[1], max_iter=500)
    judge.fit(seen.reference, seen.reference_labels)
    p = np.zeros((len(seen.labels.given), seen.labels.classes))
    p[:, judge.classes_] = judge.predict_proba(seen.scaled)
    group = np.searchsorted(DOUBTS, doubt(p, seen.labels.given.numpy(), seen.labels.true.numpy()), side="right")
    wrong = seen.labels.is_noisy.numpy()
    return [torch.from_numpy(np.flatnonzero(wrong & (group == k))) for k in range(len(DOUBTS) + 1)]


@dataclass(frozen=True, kw_only=True)
class HumanFinders(OnHumanLabels):
    """How well each method finds the wrong labels by features; no network is trained.

    A row a method: ``method`` (its place in `METHODS`), ``average_precision``, ``f1`` of the labels that it flags,
    ``best_f1`` of any first ones of its ranking, ``chance_f1`` of as many drawn at random, ``noise_rate`` (its
    estimate), ``low``, ``high``, ``calibration_error``; alike in all rows ``samples`` and ``true_rate``. NaN for what
    a method does not say.
    """

    kind: ClassVar[str] = "human finders"

    def rows(self, device: torch.device, folder: str | Path | None) -> list[Row]:
        """The table."""
        seen = self.samples(folder)
        given, wrong = seen.labels.given, seen.labels.is_noisy.numpy()
        labelled = Labelled(torch.from_numpy(seen.raw), given, seen.task.class_names, pd.RangeIndex(len(wrong)))
        alike = {"samples": len(wrong), "true_rate": float(wrong.mean())}
        return [row | alike for row in _found(labelled, wrong, self.seed)]


def _found(labelled: Labelled, wrong: np.ndarray, seed: int) -> Iterator[Row]:
    """A row of each of `METHODS`."""
    x, given = labelled.inputs.numpy(), labelled.labels.numpy()
    ours = judge_features(labelled, seed)
    rate, table = ours.noise_rate, ours.table
    yield scores(0, table["label_quality"].to_numpy(), wrong, table["is_label_issue"].to_numpy()) | {
        "noise_rate": rate.estimate,
        "low": rate.low,
        "high": rate.high,
        "calibration_error": calibration_error(table["probability_wrong"].to_numpy(), wrong),
    }
    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(x, given))
    yield _cleanlab(1, x, given, wrong, folds, LogisticRegression(max_iter=1000))
    z = (x - x.mean(0)) / np.maximum(x.std(0), 1e-6)
    learnt, asked = folds[0]

    def accuracy(penalty: float) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = LogisticRegression(C=penalty, max_iter=1000).fit(z[learnt], given[learnt])
        return float(model.score(z[asked], given[asked]))

    yield _cleanlab(2, z, given, wrong, folds, LogisticRegression(C=max(PENALTIES, key=accuracy), max_iter=1000))
    near = NearestNeighbors(n_neighbors=NEIGHBOURS, metric="cosine").fit(x).kneighbors(return_distance=False)
    yield scores(3, (given[near] == given[:, None]).mean(1), wrong)


def _cleanlab(
    method: int, x: np.ndarray, given: np.ndarray, wrong: np.ndarray, folds: list, model: LogisticRegression
) -> Row:
    """Self confidence and issues as cleanlab's documentation has them: by probabilities from cross-validation."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    with warnings.catch_warnings():  # that the steps were not enough: as many as the documentation takes
        warnings.simplefilter("ignore", ConvergenceWarning)
        p = cross_val_predict(model, x, given, cv=folds, method="predict_proba")
    issues = find_label_issues(given, p)
    return scores(method, get_label_quality_scores(given, p), wrong, issues) | {
        "noise_rate": float(issues.mean()),
        "calibration_error": calibration_error(1 - p[np.arange(len(given)), given], wrong),
    }


def scores(method: int, quality: np.ndarray, wrong: np.ndarray, issues: np.ndarray | None = None) -> Row:
    """How a ranking [n], low where a label is suspicious, and the labels that are flagged, bool [n], do."""
    order = np.argsort(quality, kind="stable")
    hits, flagged = wrong[order].cumsum(), np.arange(1, len(wrong) + 1)
    row = {
        "method": method,
        "average_precision": float(average_precision_score(wrong, -quality)),
        "f1": math.nan,
        "best_f1": float((2 * hits / (flagged + wrong.sum())).max()),
        "chance_f1": math.nan,
    }
    if issues is not None:
        both = issues.sum() + wrong.sum()
        row["f1"] = float(2 * (issues & wrong).sum() / both)
        row["chance_f1"] = float(2 * issues.sum() * wrong.mean() / both)
    return row | dict.fromkeys(("noise_rate", "low", "high", "calibration_error"), math.nan)
