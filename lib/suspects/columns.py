"""A table whose columns describe each sample: numbers, and words of few kinds, made alike in size."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .classes import MISSING, some
from .pretrained import Extractor, extracted
from .read import Labelled, check_labels, from_arrays
from .tables import read_table

SHOWN = 200  # letters of a text by which it is called
KINDS = 20  # different words in a column that become columns of 0 and 1


def from_table(table: pd.DataFrame, label_column: str = "label") -> Labelled:
    """Samples from a table with a column of labels; all others describe the sample.

    Columns of numbers, written as text too, are brought to mean 0 and standard deviation 1, a missing value being
    the median; words of up to `KINDS` kinds become a column of 0 and 1 each. Other columns, and those that are
    constant or count the rows, are left out. All of that is noted. The index is the table's. Raises ValueError where
    there is no such column, where nothing is left, where a column holds paths of images, and for what ``from_arrays``
    refuses.
    """
    if label_column not in table.columns:
        raise ValueError(f"there is no column {label_column!r}; there are: {', '.join(map(repr, table.columns))}")
    kept: dict[str, pd.Series] = {}
    gaps, out = [], []
    for name, column in table.drop(columns=label_column).items():
        values, missing = _numbers(column)
        if values is None and _are_paths(column):
            raise ValueError(f"the column {name!r} holds paths of images: name it as the image column (--image-column)")
        found = dict(_words(str(name), column, missing) if values is None else [(str(name), values)])
        found = {one: each for one, each in found.items() if each.nunique() > 1 and not _counts_rows(each)}
        kept |= found
        if not found:
            out.append(repr(name))
        elif values is not None and missing.any():
            gaps.append(f"{name!r} ({missing.sum()})")
    if not kept:
        raise ValueError(f"no column describes the samples; there are: {', '.join(map(repr, table.columns))}")
    features = pd.DataFrame(kept, index=table.index)
    features[:] = make_pipeline(SimpleImputer(strategy="median"), StandardScaler()).fit_transform(features)
    notes = [f"{features.shape[1]} columns of numbers, each brought to mean 0 and standard deviation 1."]
    if gaps:
        notes.append(f"Missing values, taken for the median of their column: {some(gaps)}.")
    if out:
        notes.append(f"Columns left out, which are constant, count rows, or hold other than numbers: {some(out)}.")
    labelled = from_arrays(features, table[label_column], kind="embeddings")
    return replace(labelled, notes=(*notes, *labelled.notes))


def from_texts(path: Path, text_column: str, label_column: str, by: Extractor, folder: Path) -> Labelled:
    """Samples from a table's column of texts, as ``by`` sees them; what it saw is kept in ``folder``.

    The index is each row's number, counted from 0, and the beginning of its text. Raises ValueError for missing
    columns, empty texts and what ``from_arrays`` refuses, before any text is looked at.
    """
    table = read_table(path)
    for column in (text_column, label_column):
        if column not in table.columns:
            raise ValueError(f"{path} has no column {column!r}; there are: {', '.join(map(repr, table.columns))}")
    texts = table[text_column].astype("string").fillna("").str.strip().tolist()
    if empty := [row for row, text in enumerate(texts) if not text]:
        raise ValueError(f"{path}: {len(empty)} rows have no text, the first are {some(empty)} (counted from 0)")
    labels = table[label_column].tolist()
    check_labels(labels)
    index = [f"{row}: {text[:SHOWN]}" for row, text in enumerate(texts)]
    return from_arrays(extracted(texts, by, folder), labels, index=index, kind="embeddings")


def _numbers(column: pd.Series) -> tuple[pd.Series | None, pd.Series]:
    """A column as float64 with NaN where a value is missing or infinite, None if it holds others; and where."""
    if pd.api.types.is_numeric_dtype(column.dtype):  # booleans too
        values = column.astype("Float64").astype(float)
    else:
        text = column.astype("string").str.strip()
        values = pd.to_numeric(text, errors="coerce").astype("Float64").astype(float)
        empty = (text.isna() | text.str.casefold().isin(("", *MISSING))).astype(bool)
        if (values.isna() & ~empty).any() or pd.api.types.is_datetime64_any_dtype(column.dtype):
            return None, empty
    values = values.where(np.isfinite(values))
    return values, values.isna()


def _words(name: str, column: pd.Series, missing: pd.Series) -> Iterator[tuple[str, pd.Series]]:
    """A column of 0 and 1 for each word of a column that has few."""
    words = column.astype("string").where(~missing)
    if words.nunique() <= min(KINDS, len(words) // 2):
        for word in sorted(words.dropna().unique()):
            yield f"{name}={word}", (words == word).fillna(False).astype(float)


def _counts_rows(values: pd.Series) -> bool:
    """Whether a column is 0, 1, 2 ... or any such count: it names the samples."""
    return len(values) > 2 and bool((values.diff().iloc[1:] == 1).all())


def _are_paths(column: pd.Series) -> bool:
    first = str(column.iloc[0]) if len(column) else ""
    return "." in first and f".{first.rsplit('.', 1)[1].strip().lower()}" in Image.registered_extensions()
