"""What a notebook shows, wherever it runs: Jupyter, Colab, papermill or plain Python."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

if TYPE_CHECKING:  # a sweep's worker reads what a notebook showed, and needs no torch for it
    from ..runs import Runs

CLAIM = "clean-priority-claim"  # in the metadata of an output: a checked claim
RESULT = "clean-priority-result"  # … a table for a sweep to collect
PROVENANCE = "clean-priority-provenance"  # … where a figure's numbers come from; in the book it ends the caption


def _in_notebook() -> bool:
    try:
        from IPython import get_ipython
    except ImportError:  # a bare GPU machine
        return False
    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def show(mimes: dict[str, str], metadata: dict[str, Any] | None = None) -> None:
    """Show one output in its richest form; outside a notebook print its "text/plain"."""
    if not _in_notebook():
        print(mimes["text/plain"])
        return
    from IPython.display import display

    display(mimes, raw=True, metadata=metadata or {})


def markdown(text: str) -> None:
    """A sentence with numbers in it: numbers in prose come from the run, never typed."""
    show({"text/markdown": text, "text/plain": text})


def figure(drawn: Figure, *made_by: "Runs | Mapping[str, Runs] | str") -> None:
    """Show a figure once, close it, and say below it where its numbers come from.

    ``made_by``: runs, which share one line however many groups are given so;
    named groups of runs, with a line for each; or words, where no run is behind
    the numbers.
    """
    if _in_notebook():
        from IPython.display import display

        display(drawn)
    plt.close(drawn)
    if made_by:
        text = f"*{'. '.join(one[:1].upper() + one[1:] for one in _origins(made_by))}.*"
        show({"text/markdown": text, "text/plain": text}, {PROVENANCE: True})


def _origins(made_by: "Sequence[Runs | Mapping[str, Runs] | str]") -> list[str]:
    """Where numbers come from, in sentences without their stops."""
    told, together = [one for one in made_by if isinstance(one, str)], {}
    for some in made_by:
        if isinstance(some, Mapping):
            told += [f"{name}: {runs.provenance_line()}" for name, runs in some.items()]
        elif not isinstance(some, str):
            together |= {run.experiment.key: run for run in some}
    if together:
        from ..runs import Runs

        told.append(Runs(together.values()).provenance_line())
    return told


def table(rows: list[list[str]], header: list[str]) -> None:
    """A table of words; the first column names the row."""
    lines = [header, ["---"] * len(header), *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)  # a bar would begin another cell
    markdown("\n".join("| " + " | ".join(line) + " |" for line in cells))


def result(name: str, columns: Mapping[str, Sequence[float]]) -> None:
    """Show a table of numbers that a sweep can collect by its name.

    ``columns``: a sequence of numbers for each column, all of one length; what
    is not finite is collected as missing. ValueError if the lengths differ.
    """
    values = {column: [float(value) for value in one] for column, one in columns.items()}
    lengths = {len(one) for one in values.values()}
    if len(lengths) != 1:
        raise ValueError(f"result {name!r}: its columns must be of one length, got {sorted(lengths)}")
    rows = [[f"{value:g}" for value in row] for row in zip(*values.values(), strict=True)]
    lines = [[name.replace("|", "\\|") for name in values], ["---"] * len(values), *rows]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    # as pairs: a notebook's JSON is written with sorted keys, and the order of the columns is meant; it knows no NaN
    finite = [(column, [value if isfinite(value) else None for value in one]) for column, one in values.items()]
    travelling = {"name": name, "columns": finite}
    show({"text/markdown": text, "text/plain": text}, {RESULT: travelling})
