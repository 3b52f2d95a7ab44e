"""A table whose columns describe each sample: numbers, and words of few kinds, made alike in size."""

import re
from collections.abc import Callable, Iterator
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
from .read import Labelled, check_given_labels, from_arrays, from_features
from .tables import check_column, read_table

SHOWN = 200  # letters of a text by which it is called
LENGTHY = 50  # letters of a value that is a text even without blanks, as in Chinese
WORDS = re.compile(r"[^\W\d_]\W?\s+\W?[^\W\d_]")  # where one ends and another begins
KINDS = 20  # different words in a column that become columns of 0 and 1
TEXTS = "name a column of texts as the text column (--text-column): {}"


def from_table(table: pd.DataFrame, label_column: str = "label") -> Labelled:
    """Samples from a table with a column of labels; all others describe the sample.

    Columns of numbers, written as text too, are brought to mean 0 and standard deviation 1, a missing value being
    the median; words of up to `KINDS` kinds become a column of 0 and 1 each; a column of vectors of one length
    becomes a column for each of their numbers. Other columns, those that are constant or number the rows, and those
    that repeat the label under other names, are left out. All of that is noted. The index is the table's.

    Raises ValueError where there is no such column, where two have one name, where nothing is left, where a column
    holds paths of images, and for what ``from_arrays`` refuses.
    """
    check_column(table.columns, label_column, "--label-column", "there is")
    if repeated := table.columns[table.columns.duplicated()].unique().tolist():
        raise ValueError(f"columns have one name: {', '.join(map(repr, repeated))}; give each its own")
    check_given_labels(table[label_column].tolist())
    kept: dict[str, pd.Series] = {}
    gaps, out, texts = [], [], []
    table, classes = _unrolled(table, label_column), table[label_column].nunique()
    for name, column in table.drop(columns=label_column).items():
        if _kinds(column) == classes and _repeats(column, table[label_column]):
            out.append(f"{name!r} (repeats the label)")
            continue
        values, missing = _numbers(column)
        if values is None and _are_paths(column):
            raise ValueError(f"the column {name!r} holds paths of images: name it as the image column (--image-column)")
        found = dict(_words(str(name), column, missing) if values is None else [(str(name), values)])
        found = {one: each for one, each in found.items() if each.nunique() > 1 and not _names_rows(each)}
        kept |= found
        if not found:
            out.append(repr(name))
            texts += [repr(name)] if values is None and _are_texts(column) else []
        elif values is not None and missing.any():
            gaps.append(f"{name!r} ({missing.sum()})")
    if not kept:
        there = f"no column describes the samples; there are: {', '.join(map(repr, table.columns))}"
        raise ValueError(f"{there}; {TEXTS.format(some(texts))}" if texts else there)
    features = pd.DataFrame(kept, index=table.index)
    features[:] = make_pipeline(SimpleImputer(strategy="median"), StandardScaler()).fit_transform(features)
    notes = [f"{features.shape[1]} columns of numbers, each brought to mean 0 and standard deviation 1."]
    if gaps:
        notes.append(f"Missing values, taken for the median of their column: {some(gaps)}.")
    if out:
        left = f"Columns left out, which are constant, number rows, or hold other than numbers: {some(out)}."
        notes.append(f"{left} To judge by texts, {TEXTS.format(some(texts))}." if texts else left)
    labelled = from_features(features, table[label_column])
    return replace(labelled, notes=(*notes, *labelled.notes))


def from_texts(
    path: Path, text_column: str, label_column: str, network: Callable[[], Extractor], folder: Path
) -> Labelled:
    """Samples from a table's column of texts, as ``network()`` sees them; what it saw is kept in ``folder``.

    The index is each row's number, counted from 0, and the beginning of its text. Raises ValueError for missing
    columns, empty texts and what ``from_arrays`` refuses, before the network is asked for.
    """
    table = read_table(path)
    for column, option in ((text_column, "--text-column"), (label_column, "--label-column")):
        check_column(table.columns, column, option, f"{path} has")
    texts = table[text_column].astype("string").fillna("").str.strip().tolist()
    if empty := [row for row, text in enumerate(texts) if not text]:
        raise ValueError(f"{path}: {len(empty)} rows have no text, the first are {some(empty)} (counted from 0)")
    labels = table[label_column].tolist()
    check_given_labels(labels)
    index = [f"{row}: {' '.join(text[:SHOWN].split())}" for row, text in enumerate(texts)]
    return from_arrays(extracted(texts, network(), folder), labels, index=index, kind="embeddings")


def _numbers(column: pd.Series) -> tuple[pd.Series | None, pd.Series]:
    """A column as float64 with NaN where a value is missing or infinite, None if it holds others; and where."""
    if pd.api.types.is_complex_dtype(column.dtype):
        return None, column.isna()
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


def _names_rows(values: pd.Series) -> bool:
    """Whether a column is 0, 1, 2 ... or other whole numbers that rise, or fall, in every row: it names the samples."""
    steps = values.diff().iloc[1:]
    return len(values) > 2 and bool((values % 1 == 0).all() and ((steps > 0).all() or (steps < 0).all()))


def _kinds(column: pd.Series) -> int:
    """How many different values a column has; 0 for lists and mappings, which are not compared."""
    try:
        return column.nunique()
    except TypeError:
        return 0


def _repeats(column: pd.Series, labels: pd.Series) -> bool:
    """Whether a column is the label under other names: each of its values goes with one label, and the other way."""
    pairs = pd.DataFrame({"column": column.astype("string"), "label": labels.astype("string")}).drop_duplicates()
    return len(pairs) > 1 and pairs["column"].is_unique and pairs["label"].is_unique


def _unrolled(table: pd.DataFrame, label_column: str) -> pd.DataFrame:
    """The table with a column for each number of its vectors, lists in Parquet. ValueError for uneven ones."""
    parts = []
    for name, column in table.items():
        if name == label_column or not len(column) or not np.ndim(column.iloc[0]):
            parts.append(column)
            continue
        lengths = {len(vector) if np.ndim(vector) == 1 else -1 for vector in column}
        if len(lengths) > 1 or min(lengths) < 1:
            raise ValueError(f"the column {name!r} holds lists of several lengths or shapes; allowed: vectors of one")
        try:
            vectors = np.stack(column.to_list()).astype(float)
        except (TypeError, ValueError) as error:
            raise ValueError(f"the column {name!r} holds lists of other than numbers: {error}") from error
        parts.append(pd.DataFrame(vectors, table.index, [f"{name}[{k}]" for k in range(vectors.shape[1])]))
    return pd.concat(parts, axis=1) if any(part.ndim > 1 for part in parts) else table


def _are_texts(column: pd.Series) -> bool:
    """Whether most values are several words, or long: no names, dates or lists."""
    values = [value for value in column if isinstance(value, str)]
    wordy = [bool(WORDS.search(value)) or len(value) > LENGTHY for value in values]
    return 2 * sum(wordy) > len(column)


def _are_paths(column: pd.Series) -> bool:
    first = str(column.iloc[0]) if len(column) else ""
    return "." in first and f".{first.rsplit('.', 1)[1].strip().lower()}" in Image.registered_extensions()
