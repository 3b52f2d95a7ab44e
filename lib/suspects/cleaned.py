"""Labels after somebody looked at them: what was marked in the gallery, put in place."""

from pathlib import Path

import numpy as np
import pandas as pd

from .classes import called, some
from .tables import read_table

NEEDED = ("index", "given_label", "predicted_label", "decision")
DECISIONS = ("wrong", "fine")
WHOLE = r"0|-?[1-9]\d{0,17}"  # a whole number as it is written; 01 is a name


def cleaned_labels(table: str | Path | pd.DataFrame, decisions: str | Path | pd.DataFrame) -> pd.Series:
    """The labels of all samples, corrected as marked in the gallery; indexed as the samples are, named ``label``.

    ``table``: that of `Suspects`, or its ``suspects.csv``. ``decisions``: the gallery's ``decisions.csv``. A label that
    was marked as wrong becomes the suggested one; where none was suggested, no right label is known, and the sample is
    left out. Everything else keeps its label. Of a file, samples that are called by whole numbers are sorted by them,
    so that the labels fit the rows of the table that was judged.

    Raises ValueError for missing columns, decisions other than wrong and fine, samples that the table has not or has
    several times, and labels that the table does not give them.

    >>> table = pd.DataFrame({"given_label": ["cat", "dog", "cat"]}, index=["a", "b", "c"])
    >>> marks = pd.DataFrame({"index": ["b"], "given_label": "dog", "predicted_label": "cat", "decision": "wrong"})
    >>> cleaned_labels(table, marks).to_dict()
    {'a': 'cat', 'b': 'cat', 'c': 'cat'}
    """
    if not isinstance(table, pd.DataFrame):
        table = read_table(Path(table))
        if "index" not in table:
            raise ValueError(f"the table of suspects has no column 'index'; there are: {', '.join(table.columns)}")
        table = _in_samples_order(table.set_index("index"))
    marks = decisions if isinstance(decisions, pd.DataFrame) else read_table(Path(decisions))
    if missing := [name for name in NEEDED if name not in marks]:
        raise ValueError(f"the decisions have no column {', '.join(missing)}; there are: {', '.join(marks.columns)}")
    if unknown := sorted({*marks["decision"]} - {*DECISIONS}):
        raise ValueError(f"decisions are {' or '.join(DECISIONS)}, not {some(unknown)}")
    labels = table["given_label"].astype(str).rename("label")
    names = pd.Index([_in_one_line_end(name) for name in labels.index], dtype=object)
    wanted = pd.Index([_in_one_line_end(name) for name in marks["index"]], dtype=object)
    if strangers := wanted[~wanted.isin(names)].tolist():
        raise ValueError(f"{len(strangers)} decisions are on samples that the table has not: {some(strangers)}")
    if several := wanted[wanted.isin(names[names.duplicated()])].tolist():
        raise ValueError(f"names of several samples are marked: {some(several)}; give each sample a name of its own")
    places = names.get_indexer(wanted) if names.is_unique else [names.get_loc(name) for name in wanted]
    other = labels.to_numpy()[places] != marks["given_label"].astype(str).to_numpy()
    if other.any():
        shown = some(wanted[other].tolist())
        raise ValueError(f"{int(other.sum())} decisions are on other labels than the table's: {shown}")
    values = labels.to_numpy(dtype=object).copy()
    better = (
        marks["predicted_label"]
        .astype(str)
        .where(~(marks["predicted_label"].astype(str) == marks["given_label"].astype(str)), None)
    )
    wrong = (marks["decision"] == "wrong").to_numpy()
    values[np.asarray(places, dtype=int)[wrong]] = better.to_numpy(dtype=object)[wrong]
    return pd.Series(values, labels.index, name="label").dropna()


def _in_samples_order(table: pd.DataFrame) -> pd.DataFrame:
    """A file's rows, the most suspicious first and called by text, as the samples were: for whole numbers only."""
    names = table.index.astype(str)
    if not names.str.fullmatch(WHOLE).all():
        return table
    return table.set_axis(names.astype("int64")).sort_index(kind="stable")


def _in_one_line_end(name: object) -> str:
    """A name as a browser gives it back, which knows one end of a line only."""
    return called(name).replace("\r\n", "\n").replace("\r", "\n")
