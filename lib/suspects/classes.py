"""Labels of any kind as class numbers with names: which are missing, out of range, alike or rare.

What cannot be meant raises ValueError that says which labels, where, and what is allowed.
"""

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

RARE = 10  # samples below which a class is named
NAMED = 10  # entries that a message lists
MAPPED = 20  # classes that it lists
MISSING = ("nan", "none", "null", "na", "n/a", "<na>", "nat", "?", "-", "unlabeled", "unlabelled")  # as text


def as_series(labels: Any) -> pd.Series:
    """Labels as a Series numbered from 0."""
    if isinstance(labels, Tensor):
        labels = labels.detach().cpu().numpy()
    if isinstance(labels, (pd.Series, pd.Index)):
        labels = labels.to_numpy()  # a category becomes what it names
    elif not isinstance(labels, np.ndarray):
        labels = np.array(list(labels), dtype=object) if np.ndim(labels) == 1 else np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise ValueError(f"labels have shape {list(labels.shape)}; allowed: one a sample (argmax of one-hot rows)")
    if not labels.dtype.isnative:
        labels = labels.astype(labels.dtype.newbyteorder("="))
    if labels.dtype.kind in "SUO":
        return pd.Series([text(label) for label in labels.tolist()], dtype=object).infer_objects()
    return pd.Series(labels)


def text(name: Any) -> Any:
    """A name that is bytes or text as text that tables and pages can hold; what is no UTF-8 in it is spelt \\xe9."""
    if isinstance(name, str) and not name.isascii():
        name = name.encode("utf-8", "surrogateescape")  # bytes of a file's name, as Python holds them
    return name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name


def called(name: Any) -> str:
    """What a sample is called in files and pages: one text, for samples of several names (a MultiIndex) too."""
    return ", ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def check_missing(series: pd.Series) -> None:
    """Raise ValueError for labels that are None, NaN or blank."""
    missing = series.isna()
    if not pd.api.types.is_numeric_dtype(series.dtype):
        missing |= series.map(lambda label: isinstance(label, str) and not label.strip())
    rows = np.flatnonzero(missing).tolist()
    if rows:
        raise ValueError(f"{len(rows)} labels are missing, the first at positions {some(rows)}")


def numbered(series: pd.Series, class_names: Sequence[str] | None) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
    """Class numbers int64 ``[n]``, names, and notes on how the ones became the others."""
    series = _values(series, named=class_names is not None)
    found = series.unique().tolist()
    if not found:
        raise ValueError("there are no labels")
    words = isinstance(found[0], str)
    if class_names is None:
        allowed = sorted(found, key=_sort_key)
        names = tuple(map(str, allowed))
        plain = names == tuple(map(str, range(len(names))))
    else:
        names = tuple(str(text(name)) for name in class_names)
        if len(set(names)) != len(names):
            raise ValueError(f"class_names repeat: {', '.join(sorted({n for n in names if names.count(n) > 1}))}")
        allowed = list(names) if words else list(range(len(names)))
        plain = not words
    numbers = pd.Index(allowed).get_indexer(series)  # -1 for what is not allowed
    rows = np.flatnonzero(numbers < 0).tolist()
    if rows:
        unknown = [repr(label) for label in sorted(set(found) - set(allowed))]
        what = f"among {', '.join(map(repr, names[:MAPPED]))}" if words else f"0 ... {len(names) - 1}"
        raise ValueError(
            f"{len(rows)} labels are out of range: {some(unknown)}, the first at positions {some(rows)}; "
            f"allowed: {what}"
        )
    notes = [] if plain else [f"Labels are numbered: {_mapping(names)}."]
    doubtful = _doubtful(numbers, names) if class_names is None else []
    return numbers.astype(np.int64), names, notes + doubtful + _alike(names)


def _values(series: pd.Series, named: bool) -> pd.Series:
    """Labels as integers or strings, of one kind; booleans as their own names, unless classes are ``named``."""
    kind = series.dtype
    if pd.api.types.is_bool_dtype(kind):
        return series.astype(np.int64) if named else series.astype(object).map(str)
    if pd.api.types.is_float_dtype(kind):
        parts = np.flatnonzero(series % 1 != 0)  # infinity too
        if len(parts):
            raise ValueError(f"labels are fractions, e.g. {series[parts[0]]:g} at position {parts[0]}: no classes")
        return series.astype(np.int64)
    if pd.api.types.is_integer_dtype(kind):
        return series
    if not all(isinstance(label, str) for label in series):
        kinds = sorted({type(label).__name__ for label in series})
        raise ValueError(f"labels are {' and '.join(kinds)}; allowed: all integers or all strings")
    return series.astype(object)


def _sort_key(label: int | str) -> tuple:
    """Numbers in their order, also where they are written as words; then words."""
    if isinstance(label, str) and not (label.isascii() and label.isdigit()):
        return 1, 0, label
    return 0, int(label), str(label)


def check_classes(numbers: np.ndarray, names: tuple[str, ...]) -> None:
    """Raise ValueError for a single class, and for labels that each occur once."""
    sizes = np.bincount(numbers, minlength=len(names))
    if (sizes > 0).sum() < 2:
        raise ValueError(f"all {len(numbers)} labels are {names[numbers[0]]!r}: two classes are needed to tell apart")
    if len(numbers) > 2 and sizes.max() == 1:
        raise ValueError(f"each of {len(numbers)} labels occurs once: they look like names or amounts, not classes")


def small_classes(numbers: np.ndarray, names: tuple[str, ...]) -> list[str]:
    """A note on classes with too few samples."""
    sizes = np.bincount(numbers, minlength=len(names))
    small = [f"{name!r} ({size})" for name, size in zip(names, sizes, strict=True) if size < RARE]
    return [f"Classes with fewer than {RARE} samples, too few to judge them well: {some(small)}."] if small else []


def _doubtful(numbers: np.ndarray, names: tuple[str, ...]) -> list[str]:
    """A note on classes that look like marks of missing labels: words that say so, and -1 beside 0 ... C - 1."""
    marks = [name for name in names if name.strip().casefold() in MISSING]
    if len(names) > 2 and set(names) == {"-1", *map(str, range(len(names) - 1))}:
        marks.append("-1")
    sizes = np.bincount(numbers, minlength=len(names))
    shown = [f"{name!r} ({sizes[names.index(name)]})" for name in marks]
    ask = "Classes that may mean a missing label, and are judged as classes; if so, leave these samples out"
    return [f"{ask}: {some(shown)}."] if marks else []


def _alike(names: tuple[str, ...]) -> list[str]:
    """A note on names that look like one class written in two ways."""
    groups: dict[str | Decimal, list[str]] = {}
    for name in names:
        groups.setdefault(_spelt(name), []).append(repr(name))
    alike = [" and ".join(group) for group in groups.values() if len(group) > 1]
    ways = "capitals or spaces, or in how a number is written,"
    return [f"Classes that differ by {ways} and stay apart: {some(alike)}."] if alike else []


def _spelt(name: str) -> str | Decimal:
    """What two spellings of one class have in common: the number, or the words."""
    plain = unicodedata.normalize("NFKC", name).strip()
    if re.fullmatch(r"[+-]?\d+(\.\d*)?", plain):
        return Decimal(plain)
    return " ".join(re.sub(r"[\s_-]+", " ", plain).split()).casefold()


def _mapping(names: tuple[str, ...]) -> str:
    shown = [f"{name!r} is {i}" for i, name in enumerate(names[:MAPPED])]
    return ", ".join(shown) + (f", ... {names[-1]!r} is {len(names) - 1}" if len(names) > MAPPED else "")


def some(entries: list) -> str:
    """The first entries, and how many more there are."""
    return ", ".join(map(str, entries[:NAMED])) + (f" and {len(entries) - NAMED} more" if len(entries) > NAMED else "")
