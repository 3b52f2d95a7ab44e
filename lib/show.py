"""What a notebook shows, wherever it runs: Jupyter, Colab, papermill or plain Python."""

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure


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


def figure(drawn: Figure) -> None:
    """Show a figure once, and close it."""
    if _in_notebook():
        from IPython.display import display

        display(drawn)
    plt.close(drawn)


def table(rows: list[list[str]], header: list[str]) -> None:
    """A table of words; the first column names the row."""
    lines = [header, ["---"] * len(header), *rows]
    markdown("\n".join("| " + " | ".join(line) + " |" for line in lines))
