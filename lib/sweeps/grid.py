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
from ..press.chapters import ParameterError
from .store import RESERVED

GRIDS = NOTEBOOKS / "sweeps"
KEYS = ("title", "notebook", "parameters", "grid", "collect", "figure")
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
    told = _yaml(path)
    where = path.name
    _known(where, told, KEYS)
    for key in ("notebook", "grid"):
        if key not in told:
            raise SweepError(f"{where} has no {key!r}; a sweep has: {', '.join(KEYS)}")
    notebook = _notebook(where, told["notebook"], path.parent)
    fixed = _mapping(where, "parameters", told.get("parameters"))
    points = [fixed | point for point in _grid(where, told["grid"], fixed)]
    _check_values(notebook, points)
    clash = sorted({name for point in points for name in point} & RESERVED)
    if clash:
        raise SweepError(f"{where}: the collected table has columns of its own called {', '.join(clash)}")
    unique = list({json.dumps(point, sort_keys=True): point for point in points}.values())
    claims, tables = _collected(where, told.get("collect"))
    values: dict[str, set[str]] = {}
    for point in unique:
        for name, value in point.items():
            values.setdefault(name, set()).add(json.dumps(value))
    varied = tuple(name for name in values if len(values[name]) > 1)
    figure = _figure(where, told.get("figure"), values)
    title = str(told.get("title", path.stem))
    merged = len(points) - len(unique)
    return Sweep(path.stem, title, notebook, tuple(unique), merged, claims, tables, figure, varied)


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    class Loader(yaml.SafeLoader):
        """A key given twice would silently lose an axis."""

        def construct_mapping(self, node, deep=False):
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            twice = [str(key) for key, count in Counter(map(str, keys)).items() if count > 1]
            if twice:
                raise SweepError(f"{path.name}: {', '.join(twice)} is given twice")
            return super().construct_mapping(node, deep)

    try:
        told = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SweepError(f"{path.name} is no YAML: {error}") from None
    return _mapping(path.name, "the file", told)


def _mapping(where: str, what: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise SweepError(f"{where}: {what} must be lines of `name: value`, not {value!r}")
    return value


def _known(where: str, told: Mapping[str, Any], allowed: Sequence[str]) -> None:
    for key in told:
        if key not in allowed:
            raise SweepError(f"{where}: unknown {key!r}; allowed: {', '.join(allowed)}")


def _notebook(where: str, name: Any, folder: Path) -> Path:
    text = str(name)
    if text.endswith(".ipynb") and (folder / text).is_file():
        return (folder / text).resolve()
    try:
        return chapters.find(text)
    except ValueError as unknown:
        raise SweepError(f"{where}: {unknown}, or a notebook's path from the YAML's folder") from None


def _grid(where: str, told: Any, fixed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every combination of the grid's parts."""
    grid = _mapping(where, "grid", told)
    _known(f"{where}, grid", grid, GRID)
    parts: list[list[dict[str, Any]]] = []
    for name, values in _axes(where, "product", grid).items():
        parts.append([{name: value} for value in values])
    if zipped := _axes(where, "zip", grid):
        lengths = {name: len(values) for name, values in zipped.items()}
        if len(set(lengths.values())) > 1:
            raise SweepError(f"{where}: lists of a zip must be of one length, got {lengths}")
        parts.append([dict(zip(zipped, values, strict=True)) for values in zip(*zipped.values(), strict=True)])
    if "list" in grid:
        listed = grid["list"]
        if not isinstance(listed, list) or not listed:
            raise SweepError(f"{where}: the grid is empty: list must have one point or more, each `name: value` lines")
        parts.append([_mapping(where, "a point of list", point) for point in listed])
    if "seeds" in grid:
        parts.append(_seeds(where, grid["seeds"]))
    if not parts:
        raise SweepError(f"{where}: the grid is empty; it needs one of {', '.join(GRID)}")
    given = [set(fixed), *({name for point in part for name in point} for part in parts)]
    for name, count in Counter(itertools.chain(*given)).items():
        if count > 1:
            raise SweepError(f"{where}: {name!r} is given in two places of parameters and grid")
    return [{name: value for part in chosen for name, value in part.items()} for chosen in itertools.product(*parts)]


def _axes(where: str, kind: str, grid: Mapping[str, Any]) -> dict[str, list]:
    axes = _mapping(where, kind, grid.get(kind))
    for name, values in axes.items():
        if not isinstance(values, list):
            raise SweepError(f"{where}: {kind} needs a list for {name!r}, not {values!r}")
        if not values:
            raise SweepError(f"{where}: the grid is empty: {kind} has no value for {name!r}")
    return axes


def _seeds(where: str, told: Any) -> list[dict[str, int]]:
    """``seeds: 5`` is seed = 0 … 4; ``seeds: {parameter: first_seed, count: 5, first: 10}`` says more."""
    settings = told if isinstance(told, dict) else {"count": told}
    _known(f"{where}, seeds", settings, ("parameter", "count", "first"))
    count, first = settings.get("count"), settings.get("first", 0)
    for value, least in ((count, 1), (first, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise SweepError(f"{where}: seeds needs a count of 1 or more (and a first of 0 or more), not {told!r}")
    return [{str(settings.get("parameter", "seed")): seed} for seed in range(first, first + count)]


def _check_values(notebook: Path, points: Iterable[Mapping[str, Any]]) -> None:
    """Every name and every value that occurs, each once: a grid has few values and many points."""
    declared = chapters.parameters(notebook)
    values = {(name, json.dumps(_plain(name, value))): value for point in points for name, value in point.items()}
    for (name, _), value in values.items():
        try:
            chapters.check_values(notebook.stem, declared, {name: value})
        except ParameterError as error:
            hint = ""
            if isinstance(value, str) and _is_number(value):
                hint = f"\nYAML reads {value} as text: write {float(value)!r}, with a point and a signed exponent"
            raise ParameterError(f"{error}{hint}") from None


def _plain(name: str, value: Any) -> Any:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise SweepError(f"{name} cannot be {value!r}: values are numbers, texts, true, false, null or lists") from None
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _collected(where: str, told: Any) -> tuple[bool | tuple[str, ...], tuple[str, ...]]:
    collect = _mapping(where, "collect", told)
    _known(f"{where}, collect", collect, ("claims", "tables"))
    claims, tables = collect.get("claims", True), collect.get("tables", [])
    for what, value in (("claims", claims), ("tables", tables)):
        listed = isinstance(value, list) and all(isinstance(name, str) for name in value)
        if not listed and not (what == "claims" and isinstance(value, bool)):
            raise SweepError(f"{where}: collect {what} must be a list of names, not {value!r}")
    return claims if isinstance(claims, bool) else tuple(claims), tuple(tables)


def _figure(where: str, told: Any, values: Mapping[str, Any]) -> SweepFigure | None:
    settings = _mapping(where, "figure", told)
    if not settings:
        return None
    _known(f"{where}, figure", settings, tuple(SweepFigure.__dataclass_fields__))
    missing = [name for name in ("name", "quantity", "x") if name not in settings]
    if missing:
        raise SweepError(f"{where}: the figure lacks {', '.join(missing)}")
    for axis in ("x", "by", "panel"):
        if settings.get(axis, "") not in ("", *values):
            raise SweepError(f"{where}: the figure's {axis} must be one of {', '.join(values)}")
    if len(values.get(settings.get("by", ""), ())) > CURVES:
        raise SweepError(f"{where}: the figure has room for {CURVES} curves; {settings['by']} has more values")
    if settings.get("xscale", "linear") not in ("linear", "log"):
        raise SweepError(f"{where}: the figure's xscale must be linear or log, not {settings['xscale']!r}")
    return SweepFigure(**{name: str(value) for name, value in settings.items()})
