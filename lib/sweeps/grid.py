"""A sweep: a grid of runs of one notebook, as a small YAML file says it, checked.

The file has the notebook, fixed parameters, the grid, and what to collect and
to draw; ``python -m lib sweep --help`` describes it. Those of the book are in
``notebooks/sweeps``. Everything is checked against the notebook's
``parameters`` cell before anything runs.
"""

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..paths import NOTEBOOKS
from ..press import chapters
from ..press.parameters import Declared, ParameterError, declared_in
from .shown import shows_nothing
from .store import RESERVED

GRIDS = NOTEBOOKS / "sweeps"
GRID = ("product", "zip", "list", "seeds")
COLLECTED = ("claims", "tables", "glue")
CURVES = 6  # that a figure can tell apart
YAML_NUMBER = re.compile(r"[-+]?(\d[\d_]*(\.[\d_]*([eE][-+]\d+)?)?|\.[\d_]+([eE][-+]\d+)?)")
MOST = 1_000_000  # points of a sweep, and values in its file: a slip or a bomb has more
Wanted = bool | tuple[str, ...]  # all of a kind, none, or these


class SweepError(ValueError):
    """A sweep that makes no sense; the message names what is wrong and what is allowed."""


@dataclass(frozen=True)
class SweepFigure:
    """What a sweep's figure shows: mean, least and most of a quantity over one parameter."""

    name: str  # of the claim or the table
    quantity: str  # which of its values
    x: str  # a parameter
    by: str = ""  # another one, a curve for each of its values
    panel: str = ""  # another one, a panel for each of its values
    xscale: str = "linear"  # or "log"
    ylabel: str = ""
    caption: str = ""
    alt: str = ""


@dataclass(frozen=True)
class Sweep:
    """A sweep as its YAML says it, checked: ``points`` are the parameters of each run, none of them twice."""

    name: str
    title: str
    notebook: Path
    points: tuple[dict[str, Any], ...]
    merged: int = 0  # points that stood in the grid more than once
    claims: Wanted = True  # which of them to collect
    tables: Wanted = True
    glue: Wanted = True
    figure: SweepFigure | None = None
    varied: tuple[str, ...] = ()  # parameters that differ between points
    notes: tuple[str, ...] = ()  # what was not checked, and what will not be collected
    folder: Path | None = None  # where kernels work; None: the notebook's folder
    path: Path | None = None  # its YAML

    def label(self, given: Mapping[str, Any]) -> str:
        """A point in words, on one line: what it has that others have otherwise."""
        shown = {name: given[name] for name in self.varied if name in given} or given
        told = ", ".join(f"{name}={_plainly(value)}" for name, value in shown.items()) or "no parameter given"
        return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in told)


def _plainly(value: Any) -> str:
    """A value in words; a text that looks like another value in quotation marks."""
    if not isinstance(value, str):
        return str(value)
    return repr(value) if _hint(value) or value in ("None", "True", "False", "") else value


def sweep_names() -> list[str]:
    """All sweeps of the book."""
    return sorted(path.stem for path in GRIDS.glob("*.yml"))


def find_sweep(name: str) -> Path:
    """The YAML that a name or a path means; SweepError names what there is."""
    for path in (Path(name), GRIDS / name, GRIDS / f"{name}.yml"):
        if path.suffix in (".yml", ".yaml") and path.is_file():
            return path
    if Path(name).suffix in (".yml", ".yaml"):
        raise SweepError(f"{name} is not there; the book's own sweeps are: {', '.join(sweep_names())}")
    raise SweepError(f"unknown sweep {name!r}; there are: {', '.join(sweep_names())}, or name a YAML file")


def load_sweep(path: Path) -> Sweep:
    """Read and check a sweep, against its notebook too; SweepError or ParameterError if anything is wrong."""
    try:
        return _checked(path, read_yaml(path))
    except SweepError as error:
        raise SweepError(f"{path.name}: {error}") from None


def read_yaml(path: Path) -> Any:
    """What a YAML file says, plain values only; SweepError if it is none, or one that is made to harm."""
    try:
        import yaml
    except ModuleNotFoundError:
        raise RuntimeError(
            "sweeps need more packages, PyYAML among them: pip install '<the book's folder>[sweep]'"
        ) from None

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        """A key given twice would silently lose an axis."""

        def construct_mapping(self, node, deep=False):
            merged = "tag:yaml.org,2002:merge"  # what another mapping lends: yaml itself puts it in
            keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != merged]
            twice = [str(key) for key, count in Counter(map(str, keys)).items() if count > 1]
            if twice:
                raise SweepError(f"{', '.join(twice)} is given twice")
            return super().construct_mapping(node, deep)

        def whole_number(self, node):
            """Not as YAML 1.1 has it, where 010 is 8 and 1:30 is 90: who writes that does not mean it."""
            if re.fullmatch(r"[+-]?(0[0-9_]+|[0-9][0-9_]*(:[0-9]+)+)", node.value):
                raise SweepError(
                    f"YAML reads {node.value} as {super().construct_yaml_int(node)}; write that, or quote it"
                )
            return super().construct_yaml_int(node)

    Loader.add_constructor("tag:yaml.org,2002:int", Loader.whole_number)
    try:
        loader = Loader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        _small(node, {})
        return None if node is None else loader.construct_document(node)
    except SweepError:
        raise
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:  # a date that is none is a ValueError
        told = type(error).__name__ if isinstance(error, RecursionError) else error
        raise SweepError(f"it is no YAML: {told}") from None


def _small(node: Any, known: dict[int, int]) -> int:
    """How many values a YAML node stands for; SweepError if its references make it huge, or endless."""
    if id(node) not in known:
        known[id(node)] = MOST + 1  # meets itself while it is counted
        inner = [] if node is None or isinstance(node.value, str) else node.value
        parts = [one for pair in inner for one in (pair if isinstance(pair, tuple) else [pair])]
        known[id(node)] = 1 + sum(_small(one, known) for one in parts)
    if known[id(node)] > MOST:
        raise SweepError(f"it stands for more than {MOST:,} values, or for itself")
    return known[id(node)]


def _checked(path: Path, told: Any) -> Sweep:
    known = ("title", "notebook", "parameters", "grid", "collect", "figure", "cwd")
    told = keyed_lines("the file", told, known, ("notebook", "grid"))
    notebook = _notebook(str(told["notebook"]), path.parent)
    fixed = keyed_lines("parameters", told.get("parameters"))
    points = [fixed | point for point in _points(told["grid"], fixed)]
    declared = declared_in(notebook)
    _check_values(declared, points)
    clash = sorted({name for point in points for name in point} & RESERVED)
    if clash:
        raise SweepError(f"the collected table has columns of its own called {', '.join(clash)}")
    unique = list({json.dumps(point, sort_keys=True): point for point in points}.values())
    values: dict[str, set[str]] = {}
    for name, value in (pair for point in unique for pair in point.items()):
        values.setdefault(name, set()).add(json.dumps(value))
    collect = _collected(told.get("collect"))
    return Sweep(
        name=path.stem,
        title=str(told.get("title", path.stem)),
        notebook=notebook,
        points=tuple(unique),
        merged=len(points) - len(unique),
        **collect,
        figure=_figure(told.get("figure"), values),
        varied=tuple(name for name in values if len(values[name]) > 1),
        notes=(*declared.notes(values), *_computed(declared, values), *_nothing(notebook, declared, collect)),
        folder=_folder(told.get("cwd"), path.parent),
        path=path.resolve(),
    )


def _folder(name: Any, folder: Path) -> Path | None:
    if name is None:
        return None
    found = folder / Path(str(name)).expanduser()
    if not found.is_dir():
        raise SweepError(f"cwd is no folder: {found}")
    return found.resolve()


def _computed(declared: Declared, given: Mapping[str, Any]) -> list[str]:
    """A sentence on each default that is computed from a given parameter: by then that has its own default still."""
    found = []
    for one in declared.parameters:
        used = sorted({*re.findall(r"\b\w+\b", one.source or "")} & given.keys())
        if used and one.name not in given:
            keeps = f"keeps what the default of {' and '.join(used)} gives"
            found.append(f"{one.name} = {one.source} is computed before values are given, and {keeps}")
    return found


def _nothing(notebook: Path, declared: Declared, collect: Mapping[str, Wanted]) -> list[str]:
    """A sentence if the sweep will collect no number, as far as that can be seen before it runs."""
    if not any(collect.values()):
        return ["this sweep collects nothing: its collect leaves out claims, tables and glue"]
    if declared.readable and shows_nothing(notebook):
        return [
            f"this sweep will collect nothing: {notebook.stem} shows no claim, no result, nothing glued and no table. "
            "End a cell with a pandas table, or glue a number (scrapbook), and it is collected"
        ]
    return []


def keyed_lines(what: str, told: Any, allowed: Sequence[str] = (), needed: Sequence[str] = ()) -> dict[str, Any]:
    """What stands there, if it is lines of `name: value` with the names that are needed and no others than allowed."""
    told = {} if told is None else told
    if not isinstance(told, dict) or not all(isinstance(key, str) for key in told):
        raise SweepError(f"{what} must be lines of `name: value`, not {told!r}")
    for name in told:
        if allowed and name not in allowed:
            raise SweepError(f"unknown {name!r} in {what}; allowed: {', '.join(allowed)}")
    missing = [name for name in needed if name not in told]
    if missing:
        raise SweepError(f"{what} lacks {', '.join(missing)}; it has: {', '.join(allowed)}")
    return told


def _notebook(name: str, folder: Path) -> Path:
    if name.endswith(".ipynb") and (folder / name).is_file():
        return (folder / name).resolve()
    try:
        return chapters.find(name)
    except ValueError as unknown:
        raise SweepError(f"{unknown}, or a notebook's path from the YAML's folder") from None


def _points(told: Any, fixed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every combination of the grid's parts."""
    grid = keyed_lines("grid", told, GRID)
    parts = [[{name: value} for value in values] for name, values in _axes("product", grid).items()]
    if zipped := _axes("zip", grid):
        lengths = {name: len(values) for name, values in zipped.items()}
        if len(set(lengths.values())) > 1:
            raise SweepError(f"lists of a zip must be of one length, got {lengths}")
        parts.append([dict(zip(zipped, values, strict=True)) for values in zip(*zipped.values(), strict=True)])
    if "list" in grid:
        listed = grid["list"]
        if not isinstance(listed, list) or not listed:
            raise SweepError("the grid is empty: list must have one point or more, each `name: value` lines")
        parts.append([keyed_lines("a point of list", point) for point in listed])
    if "seeds" in grid:
        parts.append(_seeds(grid["seeds"]))
    if not parts:
        raise SweepError(f"the grid is empty; it needs one of {', '.join(GRID)}")
    given = [set(fixed), *({name for point in part for name in point} for part in parts)]
    for name, count in Counter(itertools.chain(*given)).items():
        if count > 1:
            raise SweepError(f"{name!r} is given in two places of parameters and grid")
    if (count := math.prod(map(len, parts))) > MOST:
        raise SweepError(f"the grid has {count:,} points; a sweep has room for {MOST:,}")
    return [{name: value for part in chosen for name, value in part.items()} for chosen in itertools.product(*parts)]


def _axes(kind: str, grid: Mapping[str, Any]) -> dict[str, list]:
    axes = keyed_lines(kind, grid.get(kind))
    for name, values in axes.items():
        if not isinstance(values, list):
            raise SweepError(f"{kind} needs a list for {name!r}, not {values!r}")
        if not values:
            raise SweepError(f"the grid is empty: {kind} has no value for {name!r}")
    return axes


def _seeds(told: Any) -> list[dict[str, int]]:
    """``seeds: 5`` is seed = 0 … 4; ``seeds: {parameter: first_seed, count: 5, first: 10}`` says more."""
    settings = keyed_lines(
        "seeds", told if isinstance(told, dict) else {"count": told}, ("parameter", "count", "first")
    )
    count, first = settings.get("count"), settings.get("first", 0)
    for value, least in ((count, 1), (first, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MOST:
            raise SweepError(f"seeds needs a count of 1 to {MOST:,} (and a first of 0 or more), not {told!r}")
    return [{str(settings.get("parameter", "seed")): seed} for seed in range(first, first + count)]


def _check_values(declared: Declared, points: Sequence[Mapping[str, Any]]) -> None:
    """Every name and every value that occurs, each once: a grid has few values and many points."""
    seen = set()
    for name, value in (pair for point in points for pair in point.items()):
        try:
            _check_keys(value)
            key = name, json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            allowed = "numbers, texts, true, false, null, lists or mappings of texts to these"
            raise SweepError(f"{name} cannot be {value!r}: values are {allowed}") from None
        if key in seen:
            continue
        seen.add(key)
        if slip := _slip(declared, name, value):
            raise ParameterError(f"{declared.notebook}: {slip}")
        try:
            declared.check({name: value})
        except ParameterError as error:
            raise ParameterError(f"{error}{_hint(value)}") from None
    for names in {frozenset(point) for point in points}:
        if lacking := declared.lacking(names):
            raise ParameterError(
                f"{declared.notebook}: {', '.join(lacking)} has no default, and a point of the sweep gives it no value"
            )


def _check_keys(value: Any) -> None:
    """TypeError for a mapping whose keys are not texts, at any depth: `on` is true in YAML."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("a key is no text")
        value = list(value.values())
    for one in value if isinstance(value, list) else ():
        _check_keys(one)


def _slip(declared: Declared, name: str, value: Any) -> str:
    """What is wrong with a text that YAML does not read as it looks, where the parameter would take anything."""
    parameter = next((one for one in declared.parameters if one.name == name), None)
    if parameter is None or not isinstance(value, str):
        return ""
    ask = f"If the text is meant, declare `{name}: str`"
    if value == "None" and parameter.accepts(None):
        return f"{name} would be the text 'None': YAML writes null. {ask}"
    quoted = YAML_NUMBER.fullmatch(value)  # else it would be a number
    if _hint(value) and not quoted and not parameter.annotation and not isinstance(parameter.default, str):
        return f"{name} would be the text {value!r}.{_hint(value)}. {ask}"
    return ""


def _hint(value: Any) -> str:
    """What to write for a number that YAML reads as a text; "" for any other value."""
    try:
        number = float(value) if isinstance(value, str) and re.match(r"[-+.\d]", value) else None
    except ValueError:
        number = None
    if number is None:
        return ""
    return f"\nYAML reads {value} as text: write {number!r}, with a point and a signed exponent"


def _collected(told: Any) -> dict[str, Wanted]:
    found: dict[str, Wanted] = dict.fromkeys(COLLECTED, True)
    for what, value in keyed_lines("collect", told, COLLECTED).items():
        if not isinstance(value, bool) and not (
            isinstance(value, list) and all(isinstance(name, str) for name in value)
        ):
            raise SweepError(f"collect {what} must be true, false or a list of names, not {value!r}")
        found[what] = value if isinstance(value, bool) else tuple(value)
    return found


def _figure(told: Any, values: Mapping[str, Any]) -> SweepFigure | None:
    if not told:
        return None
    settings = keyed_lines("figure", told, tuple(SweepFigure.__dataclass_fields__), ("name", "quantity", "x"))
    figure = SweepFigure(**{name: str(value) for name, value in settings.items()})
    for axis, parameter in (("x", figure.x), ("by", figure.by), ("panel", figure.panel)):
        if parameter not in (("", *values) if axis != "x" else values):
            raise SweepError(f"the figure's {axis} must be one of {', '.join(values)}")
    if len(values.get(figure.by, ())) > CURVES:
        raise SweepError(f"the figure has room for {CURVES} curves; {figure.by} has more values")
    if figure.xscale not in ("linear", "log"):
        raise SweepError(f"the figure's xscale must be linear or log, not {figure.xscale!r}")
    return figure
