"""Sweeps: a grid of runs of one notebook, on this machine or on a cluster, that can be killed at any moment.

A sweep is a small YAML file in ``notebooks/sweeps``: notebook, fixed
parameters, grid, what to collect. It is checked against the notebook's
``parameters`` cell, planned against a store, and run by Dask; what is in the
store is not run again unless the code changed. Nothing is unpickled from a
disk. Dask's workers and scheduler trust each other and unpickle what they
send: start them in a network that you trust, or with Dask's TLS.
"""

import itertools
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .. import identity
from ..files import atomic
from ..identity import Identity
from ..paths import NOTEBOOKS, data_folder
from ..press import chapters
from ..press.chapters import ParameterError
from ..progress import say
from ..words import duration
from .cluster import Cluster, connected, need_dask, outcomes
from .point import ROWS, Outcome, Store, Task, point_id, seal_of

GRIDS = NOTEBOOKS / "sweeps"
KEYS = ("title", "notebook", "parameters", "grid", "collect", "figure")
GRID = ("product", "zip", "list", "seeds")
CURVES = 6  # that a figure can tell apart
# Columns of the collected table that are about a point, and what they are called in its mark. None of them, nor of
# ROWS, is called like what notebooks call a parameter.
POINT = {
    "error": "error",
    "traceback": "traceback",
    "point_seconds": "seconds",
    "cell_seconds": "compute",
    "attempts": "attempts",
    "ran_on": "device",
    "ran_threads": "threads",
    "ran_at": "date",
    "code_id": "code_id",
}
RESERVED = {"point", "state", *POINT, *ROWS.names}  # columns of the table; the others are the parameters


class SweepError(ValueError):
    """A sweep that makes no sense; the message names what is wrong and what is allowed."""


@dataclass(frozen=True)
class Figure:
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
    figure: Figure | None = None
    varied: tuple[str, ...] = ()  # parameters that differ between points

    def label(self, given: Mapping[str, Any]) -> str:
        """A point in words: what it has that others have otherwise."""
        shown = {name: given[name] for name in self.varied if name in given} or given
        return ", ".join(f"{name}={value}" for name, value in shown.items()) or "no parameter given"


def names() -> list[str]:
    """All sweeps of the book."""
    return sorted(path.stem for path in GRIDS.glob("*.yml"))


def find(name: str) -> Path:
    """The YAML that a name or a path means; SweepError names what there is."""
    for path in (Path(name), GRIDS / name, GRIDS / f"{name}.yml"):
        if path.suffix in (".yml", ".yaml") and path.is_file():
            return path
    raise SweepError(f"unknown sweep {name!r}; there are: {', '.join(names())}, or name a YAML file")


def load(path: Path) -> Sweep:
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
        told = yaml.load(path.read_text(), Loader)
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


def _figure(where: str, told: Any, values: Mapping[str, Any]) -> Figure | None:
    settings = _mapping(where, "figure", told)
    if not settings:
        return None
    _known(f"{where}, figure", settings, tuple(Figure.__dataclass_fields__))
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
    return Figure(**{name: str(value) for name, value in settings.items()})


@dataclass(frozen=True)
class Planned:
    """A point and what is to be done about it."""

    given: Mapping[str, Any]
    name: str  # of its folder in the store
    state: str  # "done", "failed", "missing", "code changed" or "damaged"
    why: str = ""  # it would run
    seen: str = ""  # seal of the mark that was found

    @property
    def runs(self) -> bool:
        """Whether a run of the sweep would run it."""
        return self.state != "done"


def plan(sweep: Sweep, store: Store, code: Identity | None = None) -> list[Planned]:
    """What a run would do, a `Planned` a point; ``code`` is today's if it is not given.

    Reads every file of these points: what is altered is found here.
    """
    store.open()
    code = code or identity.of_notebook(sweep.notebook)
    others: dict[str, list[str]] = {}
    for name in store.names():
        others.setdefault(name.partition("-")[0], []).append(name)
    return [_planned(store, sweep, given, code, others) for given in sweep.points]


def _planned(
    store: Store,
    sweep: Sweep,
    given: Mapping[str, Any],
    code: Identity,
    others: Mapping[str, list[str]],
) -> Planned:
    id = point_id(sweep.notebook.stem, given)
    name = f"{id}-{code.id}"
    mark, problem = store.look(name) if name in others.get(id, ()) else (None, "")
    if problem:
        return Planned(given, name, "damaged", problem)
    if mark and mark["state"] == "failed":
        return Planned(given, name, "failed", f"failed before: {mark['error']}", seal_of(mark))
    if mark:
        return Planned(given, name, "done", seen=seal_of(mark))
    older = [found for other in others.get(id, ()) if other != name and (found := store.look(other)[0])]
    if older:
        before = max(older, key=lambda mark: mark["date"])["code"]
        return Planned(given, name, "code changed", f"changed since: {', '.join(code.differing(before))}")
    return Planned(given, name, "missing", "never finished")


def plan_text(sweep: Sweep, planned: Sequence[Planned]) -> str:
    """A line a point, and how many are in which state."""
    lines = [f"  {sweep.label(point.given)}: {point.why if point.runs else 'done'}" for point in planned]
    counts = Counter(point.state for point in planned)
    would = sum(point.runs for point in planned)
    return "\n".join([*lines, f"{would} would run; " + ", ".join(f"{counts[state]} {state}" for state in counts)])


@dataclass
class Summary:
    """What a run of a sweep did: how many points are in which state, and the failures by name."""

    points: int
    already: int = 0  # done before
    done: int = 0  # now
    elsewhere: int = 0  # by another sweep in the meantime
    failed: dict[str, str] = field(default_factory=dict)  # point in words → error
    folders: dict[str, str] = field(default_factory=dict)  # of the failed ones in the store: what ran is there
    seconds: float = 0.0
    compute: float = 0.0  # of the cells of the points done now
    overhead: list[float] = field(default_factory=list)  # seconds beyond it, of each point

    def lines(self) -> list[str]:
        """For a terminal."""
        whole = self.already + self.done + self.elsewhere
        parts = f"{self.already} before, {self.done} now" + (
            f", {self.elsewhere} by another sweep" if self.elsewhere else ""
        )
        lines = [f"{self.points} points: {whole} done ({parts}), {len(self.failed)} failed; {self.seconds:.0f} s"]
        if self.overhead:
            mean = sum(self.overhead) / len(self.overhead)
            lines.append(f"{self.compute:.0f} s in cells; a point took {mean:.1f} s beyond its cells")
        return lines + [
            f"  FAILED {label}: {error.splitlines()[0]} (points/{self.folders[label]})"
            for label, error in self.failed.items()
        ]


def run(
    sweep: Sweep,
    store: Store,
    cluster: Cluster = Cluster(),
    *,
    retries: int = 2,
    tell: Callable[[str], None] = say,
) -> Summary:
    """Run what `plan` says is to be run; failures are told as they happen and are in the summary.

    Raises StoreFailed if the store cannot be written (nothing that was in it
    is lost), ClusterLost if there is no scheduler to reach or it goes away,
    RuntimeError if workers have other code than this process. Calling it
    again goes on from there.
    """
    need_dask()
    begun = time.perf_counter()
    store.open(create=True)
    code = identity.of_notebook(sweep.notebook)
    planned = plan(sweep, store, code)
    todo = [point for point in planned if point.runs]
    summary = Summary(len(planned), already=len(planned) - len(todo))
    for point in todo:
        if point.state == "damaged":
            tell(f"  DAMAGED {sweep.label(point.given)}: {point.why}; it is computed anew")
    if not todo:
        summary.seconds = time.perf_counter() - begun
        return summary
    with connected(cluster, len(todo), tell) as (client, threads):
        where = {
            "store": str(store.folder.resolve()),
            "notebook": str(sweep.notebook),
            "data": str(data_folder().resolve()),
        }
        how = {"code": code, "threads": threads, "retries": retries}
        tasks = {
            point.name: Task(name=point.name, given=point.given, seen=point.seen, **where, **how) for point in todo
        }
        labels = {point.name: sweep.label(point.given) for point in todo}
        report = _Progress(len(todo), tell)
        for outcome in outcomes(client, tasks, store, tell, local=not cluster.scheduler):
            _count(summary, outcome, labels[outcome.name], report)
    summary.seconds = time.perf_counter() - begun
    return summary


def _count(summary: Summary, outcome: Outcome, label: str, report: "_Progress") -> None:
    if outcome.state in ("done", "failed") and outcome.seconds:
        summary.compute += outcome.compute
        summary.overhead.append(outcome.seconds - outcome.compute)
    if outcome.state == "failed" or (outcome.state == "elsewhere" and outcome.error):
        summary.failed[label] = outcome.error
        summary.folders[label] = outcome.name
        report.ended(label, f"FAILED {outcome.error.splitlines()[0]}", loud=True)
    elif outcome.state == "elsewhere":
        summary.elsewhere += 1
        report.ended(label, "done by another sweep")
    else:
        summary.done += 1
        report.ended(label, f"{outcome.seconds:.1f} s")


class _Progress:
    """A line a point with the time left, at most one a second; failures always."""

    def __init__(self, total: int, tell: Callable[[str], None]) -> None:
        self.total, self.tell = total, tell
        self.count, self.begun, self.last = 0, time.monotonic(), -math.inf

    def ended(self, label: str, how: str, *, loud: bool = False) -> None:
        """One more point came to its end."""
        self.count += 1
        now = time.monotonic()
        if loud or self.count == self.total or now - self.last >= 1:
            self.last = now
            left = (now - self.begun) / self.count * (self.total - self.count)
            self.tell(f"  [{self.count}/{self.total}] {label}: {how}" + (f"; {duration(left)} left" if left else ""))


def collect(store: Store, sweep: Sweep | None = None) -> pd.DataFrame:
    """One table of all points: a row for each number, and one row for each point that has none.

    Columns: point, state, those of POINT, the parameters by their names, and
    those of `lib.sweeps.point.ROWS`. ``state`` is "done", "failed" (with error and traceback), "damaged" or "missing".
    With a sweep: its points and what it collects, at today's code. Without:
    whatever the store has, of each point what was made last.
    """
    return collect_table(store, sweep).to_pandas()


def collect_table(store: Store, sweep: Sweep | None = None) -> pa.Table:
    """`collect` as an Arrow table."""
    store.open()
    points, parts, counts = [], [], []
    for name, given in _wanted(store, sweep):
        mark, problem = store.look(name)
        state = "damaged" if problem else mark["state"] if mark else "missing"
        found = mark or {}
        numbers = store.numbers(name) if state == "done" else ROWS.empty_table()
        numbers = numbers.replace_schema_metadata(None)
        told = {column: found.get(key) for column, key in POINT.items()} | ({"error": problem} if problem else {})
        given = found.get("given", {}) if given is None else given
        points.append({"point": name, "state": state, **told, "given": given})
        parts.append(numbers)
        counts.append(numbers.num_rows)
    index, numbers = _chosen(parts, counts, sweep)
    columns = {name: pa.array([point[name] for point in points]) for name in ("point", "state", *POINT)}
    parameters = dict.fromkeys(name for point in points for name in point["given"])
    for name in parameters:
        columns[name] = _column([point["given"].get(name) for point in points])
    table = pa.table(columns).take(index)
    for name in ROWS.names:
        table = table.append_column(name, numbers[name])
    return table.combine_chunks()


def _wanted(store: Store, sweep: Sweep | None) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    if sweep is not None:
        suffix = identity.of_notebook(sweep.notebook).id
        for given in sweep.points:
            yield f"{point_id(sweep.notebook.stem, given)}-{suffix}", given
        return
    latest: dict[str, tuple[str, str]] = {}
    for name in store.names():
        id = name.partition("-")[0]
        mark, problem = store.look(name)
        if mark or problem:
            latest[id] = max(latest.get(id, ("", "")), (mark["date"] if mark else "", name))
    yield from ((name, None) for _, name in latest.values())


def _chosen(parts: Sequence[pa.Table], counts: Sequence[int], sweep: Sweep | None) -> tuple[pa.Array, pa.Table]:
    """For each row of the whole table the number of its point, and its numbers: nulls where a point has none."""
    numbers = pa.concat_tables(parts) if parts else ROWS.empty_table()
    index = np.repeat(np.arange(len(parts)), counts)
    if sweep is not None:
        of_claims, name = pc.equal(numbers["source"], "claim"), numbers["source_name"]
        known = set(name.filter(pc.invert(of_claims)).unique().to_pylist())
        missing = sorted(set(sweep.tables) - known) if numbers.num_rows else []
        if missing:
            shown = ", ".join(sorted(known)) or "none"
            raise SweepError(f"{sweep.name}: no point shows a table {', '.join(missing)}; there are: {shown}")
        claims = sweep.claims
        if not isinstance(claims, bool):
            claims = pc.is_in(name, pa.array(claims, pa.string()))
        tables = pc.is_in(name, pa.array(sweep.tables, pa.string()))
        keep = pc.or_(pc.and_(of_claims, claims), pc.and_(pc.invert(of_claims), tables))
        keep = np.asarray(keep.combine_chunks() if isinstance(keep, pa.ChunkedArray) else keep).astype(bool)
        numbers, index = numbers.filter(pa.array(keep)), index[keep]
    without = np.setdiff1d(np.arange(len(parts)), index)
    order = np.argsort(np.concatenate([index, without]), kind="stable")
    rows = np.concatenate([np.arange(len(index)), np.full(len(without), -1)])[order]
    take = pa.array(rows, pa.int64(), mask=rows < 0)
    return pa.array(np.concatenate([index, without])[order]), numbers.take(take)


def _column(values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except pa.ArrowException:  # values of several types: as JSON
        return pa.array([None if value is None else json.dumps(value) for value in values])


def write_table(table: pa.Table, path: Path, sweep: Sweep) -> None:
    """Write a collected table whole, with what it was collected from in its metadata."""
    figure = asdict(sweep.figure) if sweep.figure else {}
    own = sweep.notebook.is_relative_to(NOTEBOOKS)
    notebook = sweep.notebook.relative_to(NOTEBOOKS).with_suffix("").as_posix() if own else sweep.notebook.stem
    told = {"sweep": sweep.name, "title": sweep.title, "notebook": notebook, "figure": figure}
    with atomic(path) as part:
        pq.write_table(table.replace_schema_metadata({b"sweep": json.dumps(told).encode()}), part, compression="zstd")
