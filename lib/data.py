"""Data sets as tensors: ``load(DataConfig(...))`` gives a task.

``digits`` comes with scikit-learn, ``clusters`` are made here. ``mnist``, ``fashion_mnist`` and
``cifar10`` come through torchvision the first time and from
``<data folder>/<name>.npz`` (uint8 arrays, no pickle) ever after.
"""

import struct
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .files import atomic
from .paths import DATA_VARIABLE, data_folder

DOWNLOADED = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10"}  # torchvision's names
FOLDERS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "cifar-10-batches-py"}
NAMES = ("digits", "clusters", *DOWNLOADED)
DIGITS = tuple("0123456789")
CLASS_NAMES = {  # of those that are no digits, as published
    "fashion_mnist": (
        "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    ),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}  # fmt: skip
CLUSTERS = ("first", "second")  # names of the two synthetic classes
CLUSTER_SIZE = 500  # points of each, in training and in test
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


class DataUnavailable(RuntimeError):
    """A data set is neither in the data folder nor to be had from the network."""


class DataDamaged(RuntimeError):
    """A data file is truncated or altered."""


@dataclass(frozen=True)
class DataConfig:
    """Which images: a data set, some of its classes, some of its images."""

    name: str
    classes: tuple[int, ...] | None = None  # published class numbers; None: all
    train_size: int | None = None  # training images, drawn at random by a run's seed; None: all
    test_size: int | None = None  # test images, likewise

    def validate(self) -> None:
        """Raise ValueError for whatever can be known wrong before reading a file."""
        if self.name not in NAMES:
            raise ValueError(f"unknown data set {self.name!r}; there are: {', '.join(NAMES)}")
        if self.classes is not None:
            if self.name == "clusters":
                raise ValueError("the clusters are two classes, and always both: leave classes out")
            unknown = [c for c in self.classes if c not in range(10)]
            if unknown:
                raise ValueError(f"{self.name} has classes 0 to 9, not {unknown}")
            if len(set(self.classes)) != len(self.classes) or len(self.classes) < 2:
                raise ValueError(f"classes must name two or more different ones, not {self.classes}")
        for name in ("train_size", "test_size"):
            size = getattr(self, name)
            if size is not None and size < 1:
                raise ValueError(f"{name} must be at least 1, not {size}")

    @property
    def drawn(self) -> bool:
        """Whether a run's seed decides which images it sees."""
        return self.name in ("digits", "clusters") or self.train_size is not None or self.test_size is not None


@dataclass(frozen=True)
class Task:
    """Training and test images with their true labels.

    Images are ``[n, channels, height, width]``, uint8 as published (or float32
    if given so); labels are int64 ``[n]``, numbered from 0 in the order of
    ``class_names``. ``white`` is the value of the brightest pixel: networks
    see ``image / white``, in [0, 1].
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    class_names: tuple[str, ...]
    white: float = 255.0

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Channels, height and width of an image."""
        return tuple(self.train_images.shape[1:])

    @property
    def outputs(self) -> int:
        """Output neurons: one for two classes, otherwise one a class (§ 2)."""
        return 1 if self.classes == 2 else self.classes

    def to(self, device: torch.device | str) -> "Task":
        """The same task with its tensors on ``device``."""
        tensors = {name: getattr(self, name).to(device) for name in ARRAYS}
        return replace(self, **tensors)


def sent(values: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on its way to a device: to a card it is copied while the host goes on."""
    pinned = values.pin_memory() if device.type == "cuda" and values.numel() else values
    return pinned.to(device, non_blocking=True)


def pixels(images: Tensor, white: float) -> Tensor:
    """Images as float32 in [0, 1]; same shape."""
    return images.to(torch.float32, copy=True).div_(white)


def load(config: DataConfig, folder: str | Path | None = None, seed: int = 0) -> Task:
    """Read a data set and keep the classes and images asked for.

    ``seed`` draws what is drawn: which training and test images of many, which digits are
    kept for testing, where the clusters' points lie. Runs of other seeds see other images.

    Raises ValueError (unknown name or class, more images than there are),
    DataUnavailable (no file, no network) or DataDamaged.
    """
    config.validate()
    if config.name == "digits":
        task = _digits(seed)
    elif config.name == "clusters":
        task = clusters(torch.Generator().manual_seed(seed))
    else:
        task = _task_from(config.name, _cached(config.name, data_folder(folder)))
    if config.classes is not None:
        task = _keep_classes(task, config.classes)
    for split, size in (("train", config.train_size), ("test", config.test_size)):
        if size is not None:
            task = _keep_images(task, split, size, seed)
    return task


def circle(degrees: Tensor, base: float = 0.0) -> Tensor:
    """Points on the unit circle at ``degrees`` from a base point (§ 3.1); float64 ``[n, 1, 1, 2]``."""
    angle = torch.deg2rad(degrees.double() + base)
    return torch.stack([angle.cos(), angle.sin()], dim=1).reshape(-1, 1, 1, 2)


def clusters(
    generator: torch.Generator,
    *,
    size: int = CLUSTER_SIZE,
    radius: float = 3.0,
    spread: float = 0.5,
    degrees: float = 90.0,
) -> Task:
    """Two Gaussian clouds in the plane as a task of two classes (§ 3.1, Fig. 3).

    ``size`` points each in training and in test, of standard deviation
    ``spread`` around centres at distance ``radius`` from the origin,
    ``degrees`` apart. Points are images of one by two pixels. ValueError for
    sizes and lengths that are not positive.
    """
    if size < 1 or radius <= 0 or spread <= 0:
        raise ValueError(f"size, radius and spread must be positive, not {size}, {radius}, {spread}")
    centres = radius * circle(torch.tensor([0.0, degrees]), base=45.0).float()
    labels = torch.arange(2).repeat_interleave(size)

    def draw() -> Tensor:
        return centres[labels] + spread * torch.randn((2 * size, 1, 1, 2), generator=generator)

    return Task(draw(), labels, draw(), labels.clone(), class_names=CLUSTERS, white=1.0)


def _digits(seed: int) -> Task:
    """1,797 handwritten digits of 8 x 8 pixels in 0..16; a third of each class to test."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = torch.from_numpy(images.reshape(-1, 1, 8, 8).astype(np.uint8))
    labels = torch.from_numpy(labels.astype(np.int64))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    of_class = [order[labels[order] == c] for c in range(10)]
    test = torch.cat([index[: len(index) // 3] for index in of_class])
    train = torch.cat([index[len(index) // 3 :] for index in of_class])
    return Task(images[train], labels[train], images[test], labels[test], class_names=DIGITS, white=16.0)


def _task_from(name: str, arrays: dict[str, np.ndarray]) -> Task:
    tensors = {}
    for part, array in arrays.items():
        tensor = torch.from_numpy(array)
        if part.endswith("images"):  # stored [n, h, w] or [n, h, w, channels]
            tensor = tensor.unsqueeze(1) if tensor.ndim == 3 else tensor.permute(0, 3, 1, 2).contiguous()
        tensors[part] = tensor
    return Task(**tensors, class_names=CLASS_NAMES.get(name, DIGITS))


def _keep_classes(task: Task, classes: tuple[int, ...]) -> Task:
    new_label = torch.full((task.classes,), -1)
    new_label[list(classes)] = torch.arange(len(classes))
    kept = {}
    for split in ("train", "test"):
        labels = new_label[getattr(task, f"{split}_labels")]
        keep = labels >= 0
        kept[f"{split}_images"] = getattr(task, f"{split}_images")[keep]
        kept[f"{split}_labels"] = labels[keep]
    return replace(task, **kept, class_names=tuple(task.class_names[c] for c in classes))


def _keep_images(task: Task, split: str, size: int, seed: int) -> Task:
    images, labels = getattr(task, f"{split}_images"), getattr(task, f"{split}_labels")
    there = len(labels)
    if size > there:
        kind = {"train": "training", "test": "test"}[split]
        raise ValueError(f"{size} {kind} images asked for, but there are {there} of these classes")
    order = torch.randperm(there, generator=torch.Generator().manual_seed(seed))
    keep = order[:size].sort().values
    return replace(task, **{f"{split}_images": images[keep], f"{split}_labels": labels[keep]})


def _cached(name: str, folder: Path) -> dict[str, np.ndarray]:
    path = folder / f"{name}.npz"
    if not path.exists():
        arrays = _from_torchvision(name, folder)
        try:
            with atomic(path) as part:
                np.savez(part, **arrays)
        except OSError as error:
            raise OSError(f"could not write {path} ({error}); name another folder by {DATA_VARIABLE}") from error
        return arrays
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            arrays = {key: file[key] for key in ARRAYS}
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError, OSError) as error:
        raise DataDamaged(f"{path} is damaged ({error}). Delete it: it is made anew at the next load.") from error
    for split in ("train", "test"):
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        arrays[f"{split}_labels"] = labels = labels.astype(np.int64)
        shaped = images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)
        bad = images.dtype != np.uint8 or not shaped or labels.shape != images.shape[:1]
        bad = bad or not set(np.unique(labels)) <= set(range(10))
        if bad:
            raise DataDamaged(f"{path}: its {split} images and labels do not fit. Delete it: it is made anew.")
    return arrays


def _from_torchvision(name: str, folder: Path) -> dict[str, np.ndarray]:
    try:
        import torchvision
    except ImportError as error:
        raise DataUnavailable(_not_there(name, folder, "torchvision is not installed")) from error
    published = getattr(torchvision.datasets, DOWNLOADED[name])
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for split in ("train", "test"):
        try:
            found = published(str(folder), train=split == "train", download=True)
        except (AssertionError, ValueError, EOFError, TypeError, OSError, RuntimeError) as error:
            # torchvision has no exception of its own for a failed download
            if isinstance(error, OSError) or "Error downloading" in str(error):
                raise DataUnavailable(_not_there(name, folder, str(error))) from error
            files = _wrong_sizes(folder / DOWNLOADED[name] / "raw") or [folder / FOLDERS[name]]
            raise DataDamaged(
                f"{name}: damaged: {', '.join(map(str, files))} ({error or type(error).__name__}). "
                "Delete it and load again."
            ) from error
        arrays[f"{split}_images"] = np.asarray(found.data)
        arrays[f"{split}_labels"] = np.asarray(found.targets, dtype=np.int64)
    return arrays


def _not_there(name: str, folder: Path, why: str) -> str:
    return (
        f"{name} is not in {folder} and could not be downloaded ({why}). Without a network, put "
        f"torchvision's files or {name}.npz ({', '.join(ARRAYS)}) there, or name another folder by the "
        f"environment variable {DATA_VARIABLE}. The digits need no download."
    )


def _wrong_sizes(raw: Path) -> list[Path]:
    """The idx files whose size is not what their header says."""
    wrong = []
    for path in sorted(raw.glob("*-ubyte")):
        content = path.read_bytes()
        axes = content[3] if len(content) > 3 else 0
        header = 4 + 4 * axes
        shape = struct.unpack(f">{axes}I", content[4:header]) if axes and len(content) >= header else (-1,)
        if len(content) != header + int(np.prod(shape)):
            wrong.append(path)
    return wrong
