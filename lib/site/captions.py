"""Captions that end with where their figure's numbers come from.

A figure shows that below it, in Jupyter and in Colab alike (`lib.press.show.figure`). In the staged copies of the
notebooks it moves into the caption.
"""

import json
from pathlib import Path
from typing import Any

from ..press.show import PROVENANCE


def complete(folder: Path) -> None:
    """Move into the captions of each notebook of ``folder`` what their figures say of their numbers."""
    for path in sorted(folder.glob("*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            move(cell)
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def move(cell: dict[str, Any]) -> None:
    """Of one cell: as a paragraph of its own below the caption, which MyST-NB makes the figure's legend."""
    figure = cell["metadata"].get("mystnb", {}).get("figure", {})
    told = [output for output in cell.get("outputs", []) if PROVENANCE in output.get("metadata", {})]
    if figure and told:
        lines = ["".join(output["data"]["text/markdown"]) for output in told]
        figure["caption"] = "\n\n".join([figure["caption"].strip(), *lines])
        cell["outputs"] = [output for output in cell["outputs"] if output not in told]
