"""One table of a sweep's points: their numbers, parameters, states and costs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .. import identity
from ..files import atomic
from ..paths import NOTEBOOKS
from .grid import Sweep, SweepError
from .store import COLUMNS, ROWS, PointStore, point_name


def collect(store: PointStore, sweep: Sweep | None = None) -> pa.Table:
    """One table of all points: a row for each number, and one row for each point that has none.

    Columns: point, state, those of `lib.sweeps.store.COLUMNS`, the parameters by their names, and those of
    `lib.sweeps.store.ROWS`. ``state`` is "done", "failed" (with error and traceback), "damaged" or "missing".
    With a sweep: its points and what it collects, at today's code. Without: whatever the store has, of each point
    what was made last. ``collect(store).to_pandas()`` is it for pandas.
    """
    store.open()
    points, parts, counts = [], [], []
    for name, given in _wanted(store, sweep):
        mark, problem = store.look(name)
        state = "damaged" if problem else mark["state"] if mark else "missing"
        found = mark or {}
        numbers = store.numbers(name) if state == "done" else ROWS.empty_table()
        numbers = numbers.replace_schema_metadata(None)
        told = {column: found.get(key) for column, key in COLUMNS.items()} | ({"error": problem} if problem else {})
        given = found.get("given", {}) if given is None else given
        points.append({"point": name, "state": state, **told, "given": given})
        parts.append(numbers)
        counts.append(numbers.num_rows)
    index, numbers = _chosen(parts, counts, sweep)
    columns = {name: pa.array([point[name] for point in points]) for name in ("point", "state", *COLUMNS)}
    parameters = dict.fromkeys(name for point in points for name in point["given"])
    for name in parameters:
        columns[name] = _column([point["given"].get(name) for point in points])
    table = pa.table(columns).take(index)
    for name in ROWS.names:
        table = table.append_column(name, numbers[name])
    return table.combine_chunks()


def _wanted(store: PointStore, sweep: Sweep | None) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    if sweep is not None:
        code = identity.of_notebook(sweep.notebook)
        yield from ((point_name(sweep.notebook, given, code), given) for given in sweep.points)
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
