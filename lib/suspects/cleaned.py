"""Labels after somebody looked at them: what was marked in the gallery, put in place."""

from pathlib import Path

import numpy as np
import pandas as pd

from .classes import some
from .tables import read_table

NEEDED = ("index", "given_label", "predicted_label", "decision")
DECISIONS = ("wrong", "fine")


def cleaned_labels(table: str | Path | pd.DataFrame, decisions: str | Path | pd.DataFrame) -> pd.Series:
    """The labels of all samples, corrected as marked in the gallery; indexed as the samples are, named ``label``.

    ``table``: that of `Suspects`, or its ``suspects.csv``. ``decisions``: the gallery's ``decisions.csv``. A label that
    was marked as wrong becomes the suggested one; where none was suggested, no right label is known, and the sample is
    left out. Everything else keeps its label.

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
        table = table.set_index("index")
    marks = decisions if isinstance(decisions, pd.DataFrame) else read_table(Path(decisions))
    if missing := [name for name in NEEDED if name not in marks]:
        raise ValueError(f"the decisions have no column {', '.join(missing)}; there are: {', '.join(marks.columns)}")
    if unknown := sorted({*marks["decision"]} - {*DECISIONS}):
        raise ValueError(f"decisions are {' or '.join(DECISIONS)}, not {some(unknown)}")
    labels = table["given_label"].astype(str).rename("label")
    called = pd.Index(labels.index.map(_in_one_line_end))
    wanted = pd.Index(marks["index"].map(_in_one_line_end))
    if strangers := wanted[~wanted.isin(called)].tolist():
        raise ValueError(f"{len(strangers)} decisions are on samples that the table has not: {some(strangers)}")
    if several := wanted[wanted.isin(called[called.duplicated()])].tolist():
        raise ValueError(f"names of several samples are marked: {some(several)}; give each sample a name of its own")
    places = called.get_indexer(wanted) if called.is_unique else [called.get_loc(name) for name in wanted]
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


def _in_one_line_end(name: object) -> str:
    """A name as a browser gives it back, which knows one end of a line only."""
    return str(name).replace("\r\n", "\n").replace("\r", "\n")
