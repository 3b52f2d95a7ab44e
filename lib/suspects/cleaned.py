"""Labels after somebody looked at them: what was marked in the gallery, put in place."""

from pathlib import Path

import numpy as np
import pandas as pd

from .classes import called, some
from .tables import check_column, read_table

NEEDED = ("index", "given_label", "predicted_label", "decision")
DECISIONS = ("wrong", "fine")
WHOLE = r"0|-?[1-9]\d{0,17}"  # a whole number as it is written; 01 is a name


def cleaned_labels(table: str | Path | pd.DataFrame, decisions: str | Path | pd.DataFrame) -> pd.Series:
    """The labels of all samples, corrected as marked in the gallery; indexed as the samples are, named ``label``.

    ``table``: that of `Suspects`, or its ``suspects.csv``. ``decisions``: the gallery's ``decisions.csv``. A label that
    was marked as wrong becomes the suggested one; where none was suggested, no right label is known, and the sample is
    left out. Everything else keeps its label. Of a file, samples that are called by whole numbers are sorted by them,
    so that the labels fit the rows of the table that was judged.

    Raises ValueError for missing columns, decisions other than wrong and fine or that contradict each other, samples
    that the table has not or has several times, labels that the table does not give them, and suggestions that are
    none of its classes.

    >>> table = pd.DataFrame({"given_label": ["cat", "dog", "cat"]}, index=["a", "b", "c"])
    >>> marks = pd.DataFrame({"index": ["b"], "given_label": "dog", "predicted_label": "cat", "decision": "wrong"})
    >>> cleaned_labels(table, marks).to_dict()
    {'a': 'cat', 'b': 'cat', 'c': 'cat'}
    """
    if not isinstance(table, pd.DataFrame):
        table = read_table(Path(table))
        _check_columns(table, ("index", "given_label"), "the table of suspects has")
        table = _in_samples_order(table.set_index("index"))
    _check_columns(table, ("given_label",), "the table of suspects has")
    marks = read_marks(decisions)
    labels = table["given_label"].astype(str).rename("label")
    classes = {*labels, *(table["predicted_label"].astype(str) if "predicted_label" in table else ())}
    if strange := sorted({*marks["predicted_label"][marks["decision"] == "wrong"]} - classes):
        raise ValueError(f"suggested are labels that are no classes of the table: {some(strange)}")
    names = pd.Index([_in_one_line_end(name) for name in labels.index], dtype=object)
    wanted = pd.Index(marks["index"], dtype=object)
    if strangers := wanted[~wanted.isin(names)].tolist():
        raise ValueError(f"{len(strangers)} decisions are on samples that the table has not: {some(strangers)}")
    if several := wanted[wanted.isin(names[names.duplicated()])].tolist():
        raise ValueError(f"names of several samples are marked: {some(several)}; give each sample a name of its own")
    places = names.get_indexer(wanted) if names.is_unique else [names.get_loc(name) for name in wanted]
    _check_given(labels.to_numpy()[places], marks)
    values = labels.to_numpy(dtype=object).copy()
    wrong = (marks["decision"] == "wrong").to_numpy()
    values[np.asarray(places, dtype=int)[wrong]] = _better(marks)[wrong]
    return pd.Series(values, labels.index, name="label").dropna()


def read_marks(decisions: str | Path | pd.DataFrame) -> pd.DataFrame:
    """The gallery's decisions, all text and each sample once; ValueError for what no gallery gives."""
    marks = decisions if isinstance(decisions, pd.DataFrame) else read_table(Path(decisions))
    _check_columns(marks, NEEDED, "the decisions have")
    if unknown := sorted({*marks["decision"]} - {*DECISIONS}):
        raise ValueError(f"decisions are {' or '.join(DECISIONS)}, not {some(unknown)}")
    marks = marks[[*NEEDED]].reset_index(drop=True)
    marks["index"] = [_in_one_line_end(name) for name in marks["index"]]
    marks = marks.astype(str).drop_duplicates(ignore_index=True)
    if twice := marks["index"][marks["index"].duplicated()].unique().tolist():
        raise ValueError(f"samples are marked in two ways: {some(twice)}")
    return marks


def relabelled(
    table: pd.DataFrame, marks: pd.DataFrame, label_column: str = "label", image_column: str = "image"
) -> pd.DataFrame:
    """The reader's own ``table``, its labels corrected as ``marks`` (`read_marks`) say, its other columns as they are.

    A sample is the row with its path in ``image_column`` where all marks name such a one, else the row of its number
    or name. Rows marked as wrong without a suggestion are left out. Raises ValueError for missing columns, and for
    samples or labels that are not the table's.
    """
    check_column(table.columns, label_column, "--label-column", "the table has")
    labels, wanted = table[label_column], pd.Index(marks["index"], dtype=object)
    numbered = wanted.str.extract(r"^(\d+): ", expand=False)  # texts are called by row and beginning
    for names, looked_up in (
        ([_in_one_line_end(name) for name in table.get(image_column, ())], wanted),
        ([_in_one_line_end(name) for name in table.index], wanted),
        (list(map(str, range(len(table)))), numbered),
    ):
        places = pd.Index(names, dtype=object)
        if len(places) and looked_up.isin(places).all():
            break
    else:
        raise ValueError(f"the table has not all samples that are marked, as {wanted[0]!r}: --image-column names paths")
    if several := looked_up[looked_up.isin(places[places.duplicated()])].tolist():
        raise ValueError(f"names of several rows are marked: {some(several)}")
    rows = places.get_indexer(looked_up) if places.is_unique else np.array([places.get_loc(one) for one in looked_up])
    _check_given(labels.astype(str).to_numpy()[rows], marks)
    wrong, better = (marks["decision"] == "wrong").to_numpy(), _better(marks)
    typed = dict(zip(labels.astype(str), labels, strict=True))  # numbers stay numbers
    if strange := sorted({*better[wrong]} - {None, *typed}):
        raise ValueError(f"suggested are labels that the table has not: {some(strange)}")
    changed, gone = table.copy(), []
    column = table.columns.get_loc(label_column)
    for row, label in zip(rows[wrong].tolist(), better[wrong].tolist(), strict=True):
        if label is None:
            gone.append(row)
        else:
            changed.iloc[row, column] = typed[label]
    return changed.iloc[np.setdiff1d(np.arange(len(table)), gone)]


def _better(marks: pd.DataFrame) -> np.ndarray:
    """The suggested labels, None where that is the given one: object [n]."""
    pairs = zip(marks["predicted_label"], marks["given_label"], strict=True)
    return np.array([None if better == given else better for better, given in pairs], dtype=object)


def _check_given(found: np.ndarray, marks: pd.DataFrame) -> None:
    other = found != marks["given_label"].to_numpy()
    if other.any():
        shown = some(marks["index"][other].tolist())
        raise ValueError(f"{int(other.sum())} decisions are on other labels than the table's: {shown}")


def _check_columns(table: pd.DataFrame, needed: tuple[str, ...], where: str) -> None:
    if missing := [name for name in needed if name not in table]:
        raise ValueError(f"{where} no column {', '.join(missing)}; there are: {', '.join(map(str, table.columns))}")


def _in_samples_order(table: pd.DataFrame) -> pd.DataFrame:
    """A file's rows, the most suspicious first and called by text, as the samples were: for whole numbers only."""
    names = table.index.astype(str)
    if not names.str.fullmatch(WHOLE).all():
        return table
    return table.set_axis(names.astype("int64")).sort_index(kind="stable")


def _in_one_line_end(name: object) -> str:
    """A name as a browser gives it back, which knows one end of a line only."""
    return called(name).replace("\r\n", "\n").replace("\r", "\n")
