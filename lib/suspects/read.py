"""What a user brings to have its labels judged, as tensors: a ``Labelled``.

Arrays, embeddings, a folder per class, a table of paths and labels, a torch
data set and a ``.npz`` file all end in ``from_arrays``'s checks. What is wrong
raises ValueError before any compute; what was mended, left out or looks odd is
a sentence in ``Labelled.notes``.
"""

import hashlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..progress import bar
from ..words import count
from . import pictures
from .arrays import LARGEST, as_image, as_inputs, as_numbers, as_probabilities, stacked
from .classes import as_series, check_classes, check_missing, numbered, small_classes, some, text
from .folders import class_folders
from .tables import check_column, located, read_table

KINDS = ("images", "embeddings", "pred_probs")
INPUTS = ("images", "embeddings", "inputs")  # names that hold them in a .npz file


@dataclass(frozen=True)
class Labelled:
    """Samples, their given labels, and what was found while reading them.

    ``inputs`` are images, uint8 or float32 ``[n, channels, height, width]``,
    or embeddings, float32 ``[n, features]``; ``white`` is the value of the
    brightest pixel, 255 for uint8 and 1 for floats. ``labels`` are int64
    ``[n]``, numbered from 0 in the order of ``class_names``. ``index`` is what
    the user calls each sample. ``conflicts``, bool ``[n]``, is True where an
    identical input carries another label: one of the two is surely wrong, unless inputs are part of a sample only.
    ``pred_probs`` [n, classes], a model's probabilities, are None where none were given.
    """

    inputs: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    index: pd.Index
    notes: tuple[str, ...] = ()
    white: float = 255.0
    conflicts: Tensor | None = None  # None: none are known, and becomes a tensor of False
    pred_probs: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.conflicts is None:
            object.__setattr__(self, "conflicts", torch.zeros(len(self.labels), dtype=torch.bool))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def embedded(self) -> bool:
        """Whether inputs are embeddings, not images."""
        return self.inputs.ndim == 2

    def describe(self) -> str:
        """A line on what there is."""
        if self.pred_probs is not None:
            return f"{len(self)} samples with probabilities of {self.classes} classes; nothing is trained"
        shape = " x ".join(map(str, self.inputs.shape[1:]))
        kind = f"embeddings of {shape} numbers" if self.embedded else f"images of {shape} (channels x height x width)"
        return f"{len(self)} {kind} in {self.classes} classes"


def from_arrays(
    inputs: Any,
    labels: Any,
    class_names: Sequence[str] | None = None,
    index: Sequence | None = None,
    *,
    kind: str | None = None,
) -> Labelled:
    """Samples from arrays of numpy, torch or pandas, or a list of images.

    Inputs are embeddings ``[n, features]`` or images ``[n, h, w]``,
    ``[n, channels, h, w]`` or ``[n, h, w, channels]``. Of four axes, channels
    are the last if that has length 1 to 4 and the second has not; in every
    other case they are the second (noted where that is a guess). Images of a
    list may differ in size. Pixels: uint8, integers in 0 ... 255, booleans, or
    others, in [0, 1] as they are and otherwise scaled to it, all by one range (noted). Float32
    embeddings are not copied. ``kind``, "images" or "embeddings", says what
    inputs are where their shape could mean either: embeddings lose their axes of length 1. "pred_probs" are a model's
    probabilities ``[n, classes]`` of the classes in order, or as the columns of a DataFrame name them.

    Labels are integers, booleans or strings, one a sample. With
    ``class_names``, integers must be 0 ... C - 1 and strings among them;
    otherwise whatever there is is numbered in order. ``index`` is taken from
    a pandas Series of labels or DataFrame of inputs if it is not given.

    Raises ValueError for mismatched lengths or indexes, fewer than two
    samples, shapes and types other than these, NaN or infinity, missing
    labels, labels out of range, and one class only.
    """
    if kind not in (None, *KINDS):
        raise ValueError(f"kind is one of {', '.join(KINDS)}, not {kind!r}")
    if isinstance(class_names, (str, Mapping, Set)):
        raise ValueError(f"class_names are a {type(class_names).__name__}; allowed: names in the order of the classes")
    index = _index(inputs, labels, index)
    if kind == "pred_probs":
        return _with_probabilities(inputs, labels, class_names, index)
    tensor, notes = as_inputs(inputs, kind)
    return _labelled(tensor, labels, class_names, index, notes)


def from_features(features: pd.DataFrame, labels: pd.Series) -> Labelled:
    """As `from_arrays` with embeddings, of some columns of a table: its rows may be alike in them and yet differ."""
    tensor, notes = as_inputs(features, "embeddings")
    return _labelled(tensor, labels, None, _index(features, labels, None), notes, whole=False)


def from_folder(path: str | Path, *, largest: int = LARGEST, progress: bool = True) -> Labelled:
    """Images from a folder that holds one folder per class; deeper folders are searched too.

    The index is each file's path from ``path``. Files that cannot be read are
    skipped, sizes made the median one with no side above ``largest`` pixels,
    all noted. Raises FileNotFoundError for no such folder, ValueError where
    it holds no folders or no images, where its folders are train and test, or for what ``from_arrays`` refuses.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder" if folder.exists() else f"{folder} is not there")
    found, names, notes = class_folders(folder)
    labels = [name.split("/")[0] for name in names]
    check_given_labels(labels)
    return _from_files(found, labels, names, notes, largest, progress)


def from_csv(
    path: str | Path,
    image_column: str = "image",
    label_column: str = "label",
    root: str | Path | None = None,
    *,
    largest: int = LARGEST,
    progress: bool = True,
) -> Labelled:
    """Images from a table (.csv, .tsv with tabs, or .parquet) of paths and labels.

    Paths count from ``root``, by default the table's folder, and are the
    index; where none is there, the file that differs in capitals, blanks, backslashes or a
    missing extension is taken (noted). Files that cannot be read are skipped, sizes made alike as by
    ``from_folder``. Raises FileNotFoundError for no such table or folder and
    ValueError for missing columns, paths or labels, or for what
    ``from_arrays`` refuses.
    """
    path = Path(path)
    root = Path(root) if root is not None else path.parent
    if not root.is_dir():
        raise FileNotFoundError(f"root {root} is no folder")
    table = read_table(path)
    for column, option in ((image_column, "--image-column"), (label_column, "--label-column")):
        check_column(table.columns, column, option, f"{path} has")
    kinds = {type(name).__name__ for name in table[image_column].dropna()} - {"str"}
    if kinds:
        raise ValueError(
            f"{path}: the column {image_column!r} holds {' and '.join(sorted(kinds))}, not paths; save the images as "
            "files, or load them and use from_dataset or from_arrays"
        )
    names = table[image_column].astype("string").fillna("").tolist()
    empty = [row for row, name in enumerate(names) if not name.strip()]
    if empty:
        raise ValueError(f"{path}: {len(empty)} rows name no image, the first are {some(empty)} (counted from 0)")
    labels = table[label_column].tolist()
    check_given_labels(labels)
    paths, notes = located(root, names)
    return _from_files(paths, labels, names, notes, largest, progress)


def from_dataset(dataset: Any, *, largest: int = LARGEST, progress: bool = True) -> Labelled:
    """Samples of a map-style torch data set of (image or embedding, label).

    Images are tensors ``[channels, h, w]`` or ``[h, w]``, arrays, or Pillow's;
    the index is their position. Those that raise OSError or SyntaxError, as
    Pillow does for a corrupt file, are skipped and noted. Class names are the
    data set's ``classes``, if it has as many as there are labels. Raises
    ValueError for data sets without a length, items that are no pairs, and
    what ``from_arrays`` refuses.
    """
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise ValueError(f"{type(dataset).__name__} has no length or positions: make a list of its samples first")
    images, labels, kept, faults = [], [], [], {}
    for position in bar(range(len(dataset)), "samples", "sample", progress):
        try:
            item = dataset[position]
        except (OSError, SyntaxError) as error:
            faults[position] = str(error)
            continue
        if not isinstance(item, (tuple, list)) or len(item) < 2:
            raise ValueError(f"sample {position} is a {type(item).__name__}; expected a pair of image and label")
        images.append(as_image(item[0]))
        labels.append(item[1].item() if isinstance(item[1], (Tensor, np.generic)) and item[1].ndim == 0 else item[1])
        kept.append(position)
    notes = []
    if faults:
        shown = some([f"{position} ({fault})" for position, fault in faults.items()])
        notes.append(f"Skipped {len(faults)} of {len(dataset)} samples that could not be read: {shown}.")
    if not images:
        raise ValueError(notes[0] if notes else "the data set is empty")
    tensor, more = stacked(images, largest)
    return _labelled(tensor, labels, _dataset_classes(dataset, labels), pd.Index(kept), notes + more)


# Sources -----------------------------------------------------------------------------------------


def check_given_labels(labels: list[str]) -> None:
    """Before an hour of decoding."""
    series = as_series(labels)
    check_missing(series)
    check_classes(*numbered(series, None)[:2])


def _from_files(
    paths: list[Path], labels: list[str], names: list[str], notes: list[str], largest: int, progress: bool
) -> Labelled:
    if largest < 1:
        raise ValueError(f"largest must be at least 1 pixel, not {largest}")
    images, kept, more = pictures.read_files(paths, names, largest, progress)
    labels, names = ([entries[position] for position in kept] for entries in (labels, names))
    try:
        return _labelled(images, labels, None, pd.Index(names), notes + more)
    except ValueError as error:  # it may be because of what was skipped
        raise ValueError(". ".join([str(error), *more])) from error


def _with_probabilities(
    pred_probs: Any, labels: Any, class_names: Sequence[str] | None, index: pd.Index | None
) -> Labelled:
    """Labels whose classes are the columns of probabilities."""
    series = as_series(labels)
    columns = list(pred_probs.columns) if isinstance(pred_probs, pd.DataFrame) else None
    pred_probs = as_probabilities(pred_probs)
    if columns is not None:  # by name, whatever the order
        class_names, series = list(map(str, columns)), series.map(str, na_action="ignore")
    elif class_names is None and len(series) and isinstance(series.iloc[0], str):
        class_names = sorted(series.dropna().unique())  # as scikit-learn orders them
        if all(name.isdecimal() for name in class_names) and class_names != sorted(class_names, key=int):
            raise ValueError(
                f"labels are numbers as text, which come as {', '.join(class_names[:3])} ... in the order of words: "
                "name the columns of pred_probs, by class_names or as a DataFrame, or give labels as integers"
            )
    class_names = range(pred_probs.shape[1]) if class_names is None else class_names
    if len(class_names) != pred_probs.shape[1]:
        raise ValueError(f"pred_probs have {pred_probs.shape[1]} columns; the labels have {len(class_names)} classes")
    return replace(
        _labelled(torch.from_numpy(pred_probs), series, class_names, index, [], copies=False), pred_probs=pred_probs
    )


def _dataset_classes(dataset: Any, labels: list) -> list[str] | None:
    while not hasattr(dataset, "classes") and hasattr(dataset, "dataset"):  # torch's Subset
        dataset = dataset.dataset
    names = getattr(dataset, "classes", None)
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        return None
    numbers = all(isinstance(label, (int, np.integer)) for label in labels)
    return list(names) if numbers and labels and min(labels) >= 0 and max(labels) < len(names) else None


def _index(inputs: Any, labels: Any, given: Sequence | None) -> pd.Index | None:
    frames = [part.index for part in (labels, inputs) if isinstance(part, (pd.Series, pd.DataFrame))]
    if len(frames) == 2 and len(frames[0]) == len(frames[1]) and not frames[0].equals(frames[1]):
        raise ValueError("the indexes of inputs and labels differ: bring both into one order")
    if given is not None:
        given = given.tolist() if isinstance(given, np.ndarray) else given
        return given if isinstance(given, pd.Index) else pd.Index([text(name) for name in given])  # bytes, surrogates
    return frames[0] if frames else None


def _labelled(
    inputs: Tensor,
    labels: Any,
    class_names: Sequence[str] | None,
    index: pd.Index | None,
    notes: list[str],
    copies: bool = True,
    whole: bool = True,
) -> Labelled:
    """The checks that all sources share; ``copies``: equal inputs are noted, as copies where they are ``whole``."""
    n = len(inputs)
    series = as_series(labels)
    for name, found in (("labels", len(series)), ("names in the index", n if index is None else len(index))):
        if found != n:
            raise ValueError(f"{n} inputs but {found} {name}")
    if n < 2:
        raise ValueError(f"only {n} sample: at least two are needed, and many more to learn from")
    check_missing(series)
    numbers, names, more = numbered(series, class_names)
    check_classes(numbers, names)
    inputs, white, mended = as_numbers(inputs)
    index = pd.RangeIndex(n) if index is None else index.map(text) if index.dtype == object else index
    found = Labelled(inputs, torch.from_numpy(numbers), names, index, tuple(notes + mended + more), white)
    altered = any("Resized" in note or "read with 8" in note for note in notes)
    conflicts, repeated = _duplicates(found, altered, whole) if copies else (None, [])
    odd = small_classes(numbers, names) + repeated
    if not index.is_unique:
        odd.append(f"{int(index.duplicated().sum())} names in the index stand for more than one sample.")
    return replace(found, notes=found.notes + tuple(odd), conflicts=conflicts)


def _duplicates(labelled: Labelled, altered: bool, whole: bool) -> tuple[Tensor, list[str]]:
    """Where an identical input carries another label, bool ``[n]``, and a note on copies.

    Reading may have ``altered`` inputs, so that only what was read is identical; if they are not the ``whole`` of what
    is known of samples, no label is called wrong for it. Raises ValueError if all are the same.
    """
    # Eight bytes a row, so that a million rows need few; two of them collide once in 30 million data sets.
    digests = (hashlib.blake2b(row, digest_size=8).digest() for row in labelled.inputs.numpy())
    rows = np.fromiter((int.from_bytes(digest, "little") for digest in digests), np.uint64, len(labelled))
    table = pd.DataFrame({"row": rows, "label": labelled.labels.numpy()})
    groups = table.groupby("row")["label"]
    conflicts = (groups.transform("min") < groups.transform("max")).to_numpy(copy=True)
    sizes = groups.size()
    copied = sizes[sizes > 1]
    if copied.empty:
        return torch.from_numpy(conflicts), []
    if len(sizes) == 1:
        read = " as they were read" if altered else ""
        raise ValueError(f"all {len(table)} inputs are the same{read}: there is nothing to tell classes apart by")
    kind = "alike as they were read" if altered else "exact copies of one another"
    number = count(len(copied), "group")
    if not whole:
        note = f"{copied.sum()} rows have the same values in all columns used, in {number}"
        return torch.from_numpy(conflicts), [
            f"{note}; {conflicts.sum()} of them carry different labels." if conflicts.any() else f"{note}."
        ]
    note = f"{copied.sum()} samples are {kind}, in {number}"
    if conflicts.any():
        commonest = table.groupby(["row", "label"]).size().groupby("row").max()
        wrong = len(table) - commonest.sum()
        note += (
            f"; {conflicts.sum()} of them carry different labels than their copies, of which at least {wrong} "
            f"{'is' if wrong == 1 else 'are'} {'wrong if the originals are alike too' if altered else 'surely wrong'}"
        )
    return torch.from_numpy(conflicts), [note + "."]
