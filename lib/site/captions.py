"""Captions that end with where their figure's numbers come from.

A figure shows that below it, in Jupyter and in Colab alike (`lib.press.show.figure`). In the staged copies of the
notebooks it moves into the caption.
"""

from typing import Any

from ..press.show import PROVENANCE


def complete_captions(notebook: dict[str, Any]) -> None:
    """Move into a notebook's captions what its figures say of their numbers.

    It becomes a paragraph of its own below the caption, which MyST-NB makes the figure's legend.
    """
    for cell in notebook["cells"]:
        figure = cell["metadata"].get("mystnb", {}).get("figure", {})
        told = [output for output in cell.get("outputs", []) if PROVENANCE in output.get("metadata", {})]
        if figure and told:
            lines = ["".join(output["data"]["text/markdown"]) for output in told]
            figure["caption"] = "\n\n".join([figure["caption"].strip(), *lines])
            cell["outputs"] = [output for output in cell["outputs"] if output not in told]
