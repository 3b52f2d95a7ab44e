"""What a notebook can be given: its ``parameters`` cell, read and checked without running anything.

The cell holds annotated assignments with comments, which are its help text
and what every value given is checked against.
"""

import ast
import json
import re
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Optional, Union, get_args, get_origin

NO_NUMBERS = True
TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "Optional": Optional}


class ParameterError(ValueError):
    """A parameter that the chapter does not have, or a value it cannot take."""


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell: ``name: annotation = default  # comment``.

    Annotations keep to what papermill can read. A comment that begins with
    "one of a, b, c:" names the only values allowed.
    """

    name: str
    annotation: str
    default: Any
    comment: str

    @property
    def choices(self) -> list[str]:
        """The only values allowed; empty if any of the type is."""
        listed = re.match(r"one of ([^:;]+)", self.comment)
        return listed[1].split(", ") if listed else []

    def accepts(self, value: Any) -> bool:
        """Whether a value is of the type, and one of the choices if there are any."""
        # The annotation is source of the book's own notebooks, and may name only these types.
        fits = _fits(value, eval(self.annotation, {"__builtins__": {}}, TYPES))
        return fits and (not self.choices or value in self.choices)

    def read(self, text: str) -> Any:
        """A value typed on a command line: JSON or Python where that fits the type, else text."""
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            try:
                value = ast.literal_eval(text)  # .2, None, True
            except (ValueError, SyntaxError):
                value = text
        return value if self.accepts(value) or not self.accepts(text) else text

    def __str__(self) -> str:
        return f"{self.name}: {self.annotation} = {self.default!r}  # {self.comment}"


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Union:  # Optional[...]
        return any(_fits(value, one) for one in get_args(kind))
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_fits(item, get_args(kind)[0]) for item in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def parameters(path: Path) -> list[Parameter]:
    """What the ``parameters`` cell of a notebook declares."""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            return _declared("".join(cell["source"]))
    raise ParameterError(f"{path.name} has no cell tagged 'parameters'")


def _declared(source: str) -> list[Parameter]:
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    return [
        Parameter(
            line.target.id, ast.unparse(line.annotation), ast.literal_eval(line.value), comments.get(line.lineno, "")
        )
        for line in ast.parse(source).body
        if isinstance(line, ast.AnnAssign)
    ]


def check_values(chapter: str, declared: list[Parameter], given: Mapping[str, Any]) -> None:
    """ParameterError for an unknown name or a value of the wrong type; it lists what is allowed."""
    known = {parameter.name: parameter for parameter in declared}
    listing = "\n".join(f"  {parameter}" for parameter in declared)
    for name, value in given.items():
        if name not in known:
            raise ParameterError(f"{chapter} has no parameter {name!r}. It has:\n{listing}")
        if not known[name].accepts(value):
            raise ParameterError(f"{chapter}: {name} cannot be {value!r} ({type(value).__name__}). It has:\n{listing}")
