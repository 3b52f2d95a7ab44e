"""What the bar of a folded code cell says: what is folded under it.

MyST-NB reads the words from a cell's metadata. They are derived from the cell
itself in the staged copies of the notebooks, so that no chapter repeats them.
"""

import ast
import re
from typing import Any

from ..press.show import CLAIM

FOLDED = {"hide-input", "hide-cell"}
LONGEST = 64  # letters of a caption that a bar shows
MOST = 3  # claims that a bar names one by one
OPENS = ("def plan(", "chapters.open_chapter(", "chapters.check_parameters(")


def name_bars(notebook: dict[str, Any]) -> None:
    """Write into a notebook what its bars say."""
    for cell, says in bars(notebook):
        prompts = {"code_prompt_show": says, "code_prompt_hide": says}
        cell["metadata"]["mystnb"] = cell["metadata"].get("mystnb", {}) | prompts


def bars(notebook: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """The folded code cells of a notebook, each with what its bar says."""
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    folded = [cell for cell in code if FOLDED & set(cell["metadata"].get("tags", []))]
    return [(cell, "Code: setup" if cell is code[0] else label(cell)) for cell in folded]


def label(cell: dict[str, Any]) -> str:
    """What a code cell holds, in a few words."""
    source = "".join(cell["source"])
    if "parameters" in cell["metadata"].get("tags", []):
        return "Parameters"
    if any(mark in source for mark in OPENS):
        return "Code: the experiments"
    if caption := cell["metadata"].get("mystnb", {}).get("figure", {}).get("caption"):
        return f"Code: the figure “{beginning(caption)}”"
    if claims := checked(cell):
        return f"Code: the claim{'s' if len(claims) > 1 else ''} {_enumerated(claims)}"
    return f"Code: {_other(cell, source)}"


def checked(cell: dict[str, Any]) -> list[str]:
    """The ids of the claims that a cell has checked, as they travel in its outputs."""
    told = [output.get("metadata", {}).get(CLAIM) for output in cell.get("outputs", [])]
    return [claim["id"] for claim in told if claim]


def beginning(text: str) -> str:
    """The first words of a caption, without the place of a panel before them."""
    text = re.sub(r"^(Top|Left|Above): ", "", " ".join(text.split()))
    first = re.split(r"[.:;] ", text)[0].rstrip(".")
    if len(first) > LONGEST:
        first = first[:LONGEST].rsplit(" ", 1)[0].rstrip(",") + " …"
    return first[:1].upper() + first[1:]


def _other(cell: dict[str, Any], source: str) -> str:
    """Of a cell that draws no figure and checks no claim: what it shows, or what it makes."""
    shown = "\n".join("".join(output.get("data", {}).get("text/plain", "")) for output in cell.get("outputs", []))
    if header := re.search(r"(?m)^\| (.+) \|\n\| ---", shown):
        columns = [column.strip(" *") for column in header.group(1).split(" | ")]
        return f"the table “{beginning(', '.join(filter(None, columns)))}”"
    if "provenance_line(" in source:
        return "where the numbers come from"
    if "show.markdown(" in source:
        return "numbers in the text"
    made = [name for line in ast.parse(source).body for name in _names(line)]
    if made and not cell.get("outputs"):
        return _enumerated(list(dict.fromkeys(made)))
    return "the output below" if cell.get("outputs") else "a check"


def _enumerated(names: list[str]) -> str:
    """Some names one by one; of many the first few, and how many more there are."""
    shown = [*names[:MOST], f"{len(names) - MOST} more"] if len(names) > MOST + 1 else names
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def _names(line: ast.stmt) -> list[str]:
    """What a statement defines."""
    if isinstance(line, ast.FunctionDef | ast.ClassDef):
        return [line.name]
    if isinstance(line, ast.Assign):
        return [name.id for target in line.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
    return []
