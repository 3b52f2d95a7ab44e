"""A sweep: a grid of runs of one notebook, as a small YAML file says it, checked.

The file has the notebook, fixed parameters, the grid, and what to collect and
to draw; ``python -m lib sweep --help`` describes it. Those of the book are in
``notebooks/sweeps``. Everything is checked against the notebook's
``parameters`` cell before anything runs.
"""

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..paths import NOTEBOOKS
from ..press import chapters
from ..press.parameters import ParameterError, check_values, parameters
from .store import RESERVED

GRIDS = NOTEBOOKS / "sweeps"
GRID = ("product", "zip", "list", "seeds")
CURVES = 6  # that a figure can tell apart


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
    claims: bool | tuple[str, ...] = True  # which to collect: all, none, or these
    tables: tuple[str, ...] = ()
    figure: SweepFigure | None = None
    varied: tuple[str, ...] = ()  # parameters that differ between points

    def label(self, given: Mapping[str, Any]) -> str:
        """A point in words: what it has that others have otherwise."""
        shown = {name: given[name] for name in self.varied if name in given} or given
        return ", ".join(f"{name}={value}" for name, value in shown.items()) or "no parameter given"


def sweep_names() -> list[str]:
    """All sweeps of the book."""
    return sorted(path.stem for path in GRIDS.glob("*.yml"))


def find_sweep(name: str) -> Path:
    """The YAML that a name or a path means; SweepError names what there is."""
    for path in (Path(name), GRIDS / name, GRIDS / f"{name}.yml"):
        if path.suffix in (".yml", ".yaml") and path.is_file():
            return path
    raise SweepError(f"unknown sweep {name!r}; there are: {', '.join(sweep_names())}, or name a YAML file")


def load_sweep(path: Path) -> Sweep:
    """Read and check a sweep, against its notebook too; SweepError or ParameterError if anything is wrong."""
    try:
        return _checked(path, _yaml(path))
    except SweepError as error:
        raise SweepError(f"{path.name}: {error}") from None


def _yaml(path: Path) -> Any:
    try:
        import yaml
    except ModuleNotFoundError:
        raise RuntimeError(
            "sweeps need more packages, PyYAML among them: pip install '<the book's folder>[sweep]'"
        ) from None

    class Loader(yaml.SafeLoader):
        """A key given twice would silently lose an axis."""

        def construct_mapping(self, node, deep=False):
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            twice = [str(key) for key, count in Counter(map(str, keys)).items() if count > 1]
            if twice:
                raise SweepError(f"{', '.join(twice)} is given twice")
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SweepError(f"it is no YAML: {error}") from None


def _checked(path: Path, told: Any) -> Sweep:
    told = _lines(
        "the file", told, ("title", "notebook", "parameters", "grid", "collect", "figure"), ("notebook", "grid")
    )
    notebook = _notebook(str(told["notebook"]), path.parent)
    fixed = _lines("parameters", told.get("parameters"))
    points = [fixed | point for point in _points(told["grid"], fixed)]
    _check_values(notebook, points)
    clash = sorted({name for point in points for name in point} & RESERVED)
    if clash:
        raise SweepError(f"the collected table has columns of its own called {', '.join(clash)}")
    unique = list({json.dumps(point, sort_keys=True): point for point in points}.values())
    values: dict[str, set[str]] = {}
    for name, value in (pair for point in unique for pair in point.items()):
        values.setdefault(name, set()).add(json.dumps(value))
    claims, tables = _collected(told.get("collect"))
    return Sweep(
        name=path.stem,
        title=str(told.get("title", path.stem)),
        notebook=notebook,
        points=tuple(unique),
        merged=len(points) - len(unique),
        claims=claims,
        tables=tables,
        figure=_figure(told.get("figure"), values),
        varied=tuple(name for name in values if len(values[name]) > 1),
    )


def _lines(what: str, told: Any, allowed: Sequence[str] = (), needed: Sequence[str] = ()) -> dict[str, Any]:
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
    grid = _lines("grid", told, GRID)
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
        parts.append([_lines("a point of list", point) for point in listed])
    if "seeds" in grid:
        parts.append(_seeds(grid["seeds"]))
    if not parts:
        raise SweepError(f"the grid is empty; it needs one of {', '.join(GRID)}")
    given = [set(fixed), *({name for point in part for name in point} for part in parts)]
    for name, count in Counter(itertools.chain(*given)).items():
        if count > 1:
            raise SweepError(f"{name!r} is given in two places of parameters and grid")
    return [{name: value for part in chosen for name, value in part.items()} for chosen in itertools.product(*parts)]


def _axes(kind: str, grid: Mapping[str, Any]) -> dict[str, list]:
    axes = _lines(kind, grid.get(kind))
    for name, values in axes.items():
        if not isinstance(values, list):
            raise SweepError(f"{kind} needs a list for {name!r}, not {values!r}")
        if not values:
            raise SweepError(f"the grid is empty: {kind} has no value for {name!r}")
    return axes


def _seeds(told: Any) -> list[dict[str, int]]:
    """``seeds: 5`` is seed = 0 … 4; ``seeds: {parameter: first_seed, count: 5, first: 10}`` says more."""
    settings = _lines("seeds", told if isinstance(told, dict) else {"count": told}, ("parameter", "count", "first"))
    count, first = settings.get("count"), settings.get("first", 0)
    for value, least in ((count, 1), (first, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise SweepError(f"seeds needs a count of 1 or more (and a first of 0 or more), not {told!r}")
    return [{str(settings.get("parameter", "seed")): seed} for seed in range(first, first + count)]


def _check_values(notebook: Path, points: Iterable[Mapping[str, Any]]) -> None:
    """Every name and every value that occurs, each once: a grid has few values and many points."""
    declared = parameters(notebook)
    seen = set()
    for name, value in (pair for point in points for pair in point.items()):
        try:
            key = name, json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            allowed = "numbers, texts, true, false, null or lists"
            raise SweepError(f"{name} cannot be {value!r}: values are {allowed}") from None
        if key in seen:
            continue
        seen.add(key)
        try:
            check_values(notebook.stem, declared, {name: value})
        except ParameterError as error:
            raise ParameterError(f"{error}{_hint(value)}") from None


def _hint(value: Any) -> str:
    """What to write for a number that YAML reads as a text; "" for any other value."""
    try:
        number = float(value) if isinstance(value, str) else None
    except ValueError:
        number = None
    if number is None:
        return ""
    return f"\nYAML reads {value} as text: write {number!r}, with a point and a signed exponent"


def _collected(told: Any) -> tuple[bool | tuple[str, ...], tuple[str, ...]]:
    collect = {"claims": True, "tables": []} | _lines("collect", told, ("claims", "tables"))
    for what, value in collect.items():
        listed = isinstance(value, list) and all(isinstance(name, str) for name in value)
        if not listed and not (what == "claims" and isinstance(value, bool)):
            raise SweepError(f"collect {what} must be a list of names, not {value!r}")
    claims = collect["claims"]
    return claims if isinstance(claims, bool) else tuple(claims), tuple(collect["tables"])


def _figure(told: Any, values: Mapping[str, Any]) -> SweepFigure | None:
    if not told:
        return None
    settings = _lines("figure", told, tuple(SweepFigure.__dataclass_fields__), ("name", "quantity", "x"))
    figure = SweepFigure(**{name: str(value) for name, value in settings.items()})
    for axis, parameter in (("x", figure.x), ("by", figure.by), ("panel", figure.panel)):
        if parameter not in (("", *values) if axis != "x" else values):
            raise SweepError(f"the figure's {axis} must be one of {', '.join(values)}")
    if len(values.get(figure.by, ())) > CURVES:
        raise SweepError(f"the figure has room for {CURVES} curves; {figure.by} has more values")
    if figure.xscale not in ("linear", "log"):
        raise SweepError(f"the figure's xscale must be linear or log, not {figure.xscale!r}")
    return figure
