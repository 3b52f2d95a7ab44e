"""What a notebook can be given: its ``parameters`` cell, read and checked without running anything.

Any notebook that papermill runs will do. The cell is read as syntax alone:
annotations of known types are what a value is checked against, others are
said to be unchecked, and nothing in the file is ever evaluated.
"""

import ast
import json
import re
import tokenize
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

NO_NUMBERS = True
Check = Callable[[Any], bool]
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError)  # of hostile text


class ParameterError(ValueError):
    """A parameter that the notebook does not have, or a value it cannot take."""


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell: ``name: annotation = default  # comment``.

    A comment that begins with "one of a, b, c:" names the only values allowed.
    ``annotation`` "" is a plain ``name = default``: the type is then that of
    the default. ``source`` is the text of a default that is no plain value
    (``default`` is None then), or "" for one that is; None where there is no
    default at all.
    """

    name: str
    annotation: str
    default: Any
    comment: str
    source: str | None = ""

    @property
    def choices(self) -> list[str]:
        """The only values allowed; empty if any of the type is."""
        found = re.match(r"one of ([^:;()]+)", self.comment)
        listed = [word for word in re.split(r",\s*(?:or |and )?| or | and ", found[1].strip()) if word] if found else []
        return listed if self.default is None or str(self.default) in listed else []

    @cached_property
    def _type(self) -> tuple[Check, bool]:
        return _annotated(self.annotation) if self.annotation else (_alike(self.default), self.source == "")

    @property
    def checked(self) -> bool:
        """Whether all of its type is known here; what is not known accepts anything."""
        return self._type[1]

    def accepts(self, value: Any) -> bool:
        """Whether a value is of the type, and one of the choices if there are any."""
        return self._type[0](value) and (not self.choices or str(value) in self.choices)

    def read(self, text: str) -> Any:
        """A value typed on a command line: JSON or Python where that fits the type, else text."""
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            try:
                value = ast.literal_eval(text)  # .2, None, True
            except (*UNREADABLE, TypeError):
                value = text
        return value if self.accepts(value) or not self.accepts(text) else text

    def __str__(self) -> str:
        kind = f": {self.annotation}" if self.annotation else ""
        default = "" if self.source is None else f" = {self.source or repr(self.default)}"
        return f"{self.name}{kind}{default}{f'  # {self.comment}' if self.comment else ''}"


def _anything(_value: Any) -> bool:
    return True


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


TYPES: Mapping[str, Check] = {
    "str": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "float": _number,
    "complex": _number,
    "Number": _number,
    "bool": lambda value: isinstance(value, bool),
    "None": lambda value: value is None,
    "Any": _anything,
    "object": _anything,
    **dict.fromkeys(("list", "List", "Sequence", "Iterable", "tuple", "Tuple"), lambda value: isinstance(value, list)),
    **dict.fromkeys(("dict", "Dict", "Mapping"), lambda value: isinstance(value, dict)),
}
WRAPPERS = ("Annotated", "Final", "ClassVar")  # their first argument is the type


def _annotated(annotation: str) -> tuple[Check, bool]:
    """The check that an annotation stands for, and whether all of it is known."""
    unknown: list[str] = []
    try:
        check = _check(parsed(annotation, "eval").body, unknown)
    except UNREADABLE:
        return _anything, False
    return check, not unknown


def _check(node: ast.expr, unknown: list[str]) -> Check:
    """The check of a type's syntax; what is no known type accepts anything, and is added to ``unknown``."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):  # "int" for int
        return _check(parsed(node.value, "eval").body, unknown)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _any([_check(side, unknown) for side in (node.left, node.right)])
    if isinstance(node, ast.Subscript):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return _subscripted(_last(node.value), inner, unknown)
    name = "None" if isinstance(node, ast.Constant) and node.value is None else _last(node)
    if name in TYPES:
        return TYPES[name]
    unknown.append(ast.unparse(node))
    return _anything


def _subscripted(name: str, inner: Sequence[ast.expr], unknown: list[str]) -> Check:
    if name == "Literal" and all(isinstance(one, ast.Constant) for one in inner):
        allowed = [one.value for one in inner]
        return lambda value: any(value == one and type(value) is type(one) for one in allowed)
    if name == "Optional":
        return _any([TYPES["None"], _check(inner[0], unknown)])
    if name == "Union":
        return _any([_check(one, unknown) for one in inner])
    if name in WRAPPERS:
        return _check(inner[0], unknown)
    whole = TYPES.get(name)
    if whole in (TYPES["dict"], TYPES["list"]):
        parts = [_check(one, unknown) for one in inner if not _is_ellipsis(one)]
        if whole is TYPES["dict"]:
            return lambda value: whole(value) and all(parts[-1](one) for one in value.values())
        if name in ("tuple", "Tuple") and len(parts) == len(inner):
            return lambda value: whole(value) and len(value) == len(parts) and all(map(_holds, parts, value))
        return lambda value: whole(value) and all(map(parts[0], value))
    unknown.append(name)
    return _anything


def _holds(check: Check, value: Any) -> bool:
    return check(value)


def _any(checks: Sequence[Check]) -> Check:
    return lambda value: any(check(value) for check in checks)


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _last(node: ast.expr) -> str:
    """``Optional`` of ``typing.Optional``; "" for what is no dotted name."""
    return getattr(node, "id", "") or getattr(node, "attr", "")


def _alike(default: Any) -> Check:
    """Of values like a default: any number for a number, else its type; anything for None."""
    if _number(default):
        return _number
    return _anything if default is None else TYPES.get(type(default).__name__, _anything)


@dataclass(frozen=True)
class Declared:
    """The parameters of a notebook as its cell declares them; of one in another ``language`` nothing is known."""

    notebook: str
    parameters: tuple[Parameter, ...] = ()
    language: str = "python"

    @property
    def readable(self) -> bool:
        """Whether its parameters are known."""
        return self.language == "python"

    def notes(self, given: Iterable[str] | None = None) -> list[str]:
        """What is not checked of these parameters (None: of all), or by their defaults alone: sentences."""
        if not self.readable:
            return [f"{self.notebook} is in {self.language}: names and types of its parameters are not checked"]
        wanted = None if given is None else set(given)
        ours = [one for one in self.parameters if wanted is None or one.name in wanted]
        plain = [f"{one.name}: {_kind(one.default)}" for one in ours if not one.annotation and one.source == ""]
        other = [f"{one.name}: {one.annotation}" for one in ours if one.annotation and not one.checked]
        computed = [f"{one.name} = {one.source}" for one in ours if not one.annotation and one.source]
        told = (
            (plain, "without annotation, the type is that of the default"),
            (other, "these types are not known here, and not fully checked"),
            (computed, "these defaults are computed, and their types not checked"),
        )
        return [f"{words}: {', '.join(found)}" for found, words in told if found]

    def check(self, given: Mapping[str, Any]) -> None:
        """ParameterError for a name or a value that is not possible, as far as that is known."""
        if self.readable:
            check_values(self.notebook, self.parameters, given)

    def lacking(self, given: Iterable[str]) -> list[str]:
        """The parameters without a default that are not among those given."""
        return [one.name for one in self.parameters if one.source is None and one.name not in set(given)]


def _kind(default: Any) -> str:
    """What a default accepts, in a word."""
    name = "number" if _number(default) else type(default).__name__
    return {"str": "text", "tuple": "list", "NoneType": "anything"}.get(name, name)


def declared_in(path: Path) -> Declared:
    """What the ``parameters`` cell of a notebook declares; ParameterError if it has none, or none that is Python."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        metadata = told.get("metadata", {})
        language = str(
            metadata.get("language_info", {}).get("name") or metadata.get("kernelspec", {}).get("language") or "python"
        )
        tagged = (cell for cell in told["cells"] if "parameters" in cell["metadata"].get("tags", []))
        cell = next(tagged, None)
        source = cell and "".join(cell["source"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ParameterError(f"{path.name} is no notebook ({type(error).__name__})") from None
    if source is None:
        raise ParameterError(
            f"{path.name} has no cell tagged 'parameters': give that tag to the cell that sets what is to be varied"
        )
    if not language.lower().startswith(("python", "ipython")):
        return Declared(path.stem, language=language)
    try:
        return Declared(path.stem, tuple(_declared(source)))
    except UNREADABLE as error:
        reason = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise ParameterError(f"{path.name}: its parameters cell is no Python ({reason}{where})") from None


def parameters(path: Path) -> list[Parameter]:
    """What the ``parameters`` cell of a notebook declares."""
    return list(declared_in(path).parameters)


def parsed(source: str, mode: str = "exec") -> Any:
    """The syntax tree of a text. One of UNREADABLE for what is no Python, whatever it was made to do to a parser."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on the style of somebody's code
        return ast.parse(source.strip() if mode == "eval" else source, mode=mode)


def without_magics(source: str) -> str:
    """A cell without what IPython alone understands: magics, commands of the shell, questions."""
    lines = []
    for line in source.splitlines():
        text = line.strip()
        if text.startswith(("%", "!", "?")) or re.fullmatch(r"[\w.]+\?{1,2}", text):
            line = line[: len(line) - len(line.lstrip())] + "pass"
        lines.append(re.sub(r"^(\s*\w+\s*(?::[^=]*)?=\s*)[%!].*$", r"\1...", line))
    return "\n".join(lines)


def _declared(source: str) -> Iterator[Parameter]:
    try:
        lines = parsed(source).body
    except SyntaxError:
        source = without_magics(source)
        lines = parsed(source).body
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found: dict[str, Parameter] = {}
    for line in lines:
        comment = comments.get(line.end_lineno, "")
        typed = re.match(r"type:\s*(\S+)\s*(.*)", comment)  # papermill reads them, too
        for name, annotation, value in _assigned(line):
            kind = ast.unparse(annotation) if annotation else typed[1] if typed else ""
            default, text = _default(value)
            if name in found and not isinstance(line, ast.Assign | ast.AnnAssign):
                continue  # `x += 1`: its own line says more
            found[name] = Parameter(name, kind, default, typed[2].lstrip("# ") if typed else comment, text)
    yield from found.values()


def _assigned(line: ast.stmt) -> Iterator[tuple[str, ast.expr | None, ast.expr | None]]:
    """The names that a statement sets, with annotation and value; None for a value: there is none."""
    if isinstance(line, ast.AnnAssign):
        if isinstance(line.target, ast.Name):
            yield line.target.id, line.annotation, line.value
    elif isinstance(line, ast.Assign):
        for target in line.targets:
            if isinstance(target, ast.Name):
                yield target.id, None, line.value
            elif isinstance(target, ast.Tuple | ast.List):
                values = line.value.elts if isinstance(line.value, ast.Tuple | ast.List) else []
                if len(values) != len(target.elts):
                    values = [ast.Constant(...)] * len(target.elts)
                for one, value in zip(target.elts, values, strict=True):
                    if isinstance(one, ast.Name):
                        yield one.id, None, value
    elif not isinstance(line, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):  # if, try, with, for
        for node in ast.walk(line):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id, None, ast.Constant(...)


def _default(value: ast.expr | None) -> tuple[Any, str | None]:
    """A default, and its text if it is no plain value."""
    if value is None:
        return None, None
    try:
        found = ast.literal_eval(value)
    except (*UNREADABLE, TypeError):
        return None, ast.unparse(value)
    return (None, "...") if found is ... else (found, "")


def check_values(chapter: str, declared: Sequence[Parameter], given: Mapping[str, Any]) -> None:
    """ParameterError for an unknown name or a value of the wrong type; it lists what is allowed."""
    known = {parameter.name: parameter for parameter in declared}
    listing = "\n".join(f"  {parameter}" for parameter in declared) or "  none: the cell sets no name"
    for name, value in given.items():
        if name not in known:
            raise ParameterError(f"{chapter} has no parameter {name!r}. It has:\n{listing}")
        if not known[name].accepts(value):
            raise ParameterError(f"{chapter}: {name} cannot be {value!r} ({type(value).__name__}). It has:\n{listing}")
