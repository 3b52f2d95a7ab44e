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

from ..files import atomic
from ..paths import NOTEBOOKS
from .code import code_of_notebook
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
    points, parts = [], [ROWS.empty_table()]
    for name, given in _wanted(store, sweep):
        mark, problem = store.look(name)
        state = "damaged" if problem else mark["state"] if mark else "missing"
        mark = mark or {"error": problem or None}
        told = {column: mark.get(key) for column, key in COLUMNS.items()}
        given = mark.get("given", {}) if given is None else given
        points.append({"point": name, "state": state, **told, "given": given})
        parts.append(store.numbers(name).replace_schema_metadata(None) if state == "done" else ROWS.empty_table())
    at = pa.array(np.repeat(np.arange(len(points)), [len(part) for part in parts[1:]]), pa.int64())
    numbers = _chosen(pa.concat_tables(parts).append_column("at", at), sweep)
    without = pa.table({"at": np.setdiff1d(np.arange(len(points)), numbers["at"])})
    numbers = pa.concat_tables([numbers, without], promote_options="default").sort_by("at")  # which is stable
    columns = {name: pa.array([point[name] for point in points]) for name in ("point", "state", *COLUMNS)}
    for name in dict.fromkeys(name for point in points for name in point["given"]):
        columns[name] = _column([point["given"].get(name) for point in points])
    table = pa.table(columns).take(numbers["at"])
    for name in ROWS.names:
        table = table.append_column(name, numbers[name])
    return table.combine_chunks()


def _wanted(store: PointStore, sweep: Sweep | None) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    if sweep is not None:
        code = code_of_notebook(sweep.notebook, sweep.folder)
        yield from ((point_name(sweep.notebook, given, code, sweep.folder), given) for given in sweep.points)
        return
    latest: dict[str, tuple[str, str]] = {}
    for name in store.names():
        id = name.partition("-")[0]
        mark, problem = store.look(name)
        if mark or problem:
            latest[id] = max(latest.get(id, ("", "")), (mark["date"] if mark else "", name))
    yield from ((name, None) for _, name in latest.values())


def _chosen(numbers: pa.Table, sweep: Sweep | None) -> pa.Table:
    """The numbers that a sweep collects; all of them for none. SweepError if no point has a table that it names."""
    if sweep is None:
        return numbers
    chosen = pa.array(np.zeros(numbers.num_rows, bool))
    for source, wanted in (("claim", sweep.claims), ("table", sweep.tables), ("glue", sweep.glue)):
        ours, name = pc.equal(numbers["source"], source), numbers["source_name"]
        if isinstance(wanted, tuple):
            known = name.filter(ours).unique().to_pylist()
            missing = sorted(set(wanted).difference(known)) if numbers.num_rows and source != "claim" else []
            if missing:
                shown = ", ".join(sorted(known)) or "none"
                raise SweepError(f"{sweep.name}: no point shows a {source} {', '.join(missing)}; there are: {shown}")
            ours = pc.and_(ours, pc.is_in(name, pa.array(wanted, pa.string())))
        chosen = pc.or_(chosen, ours) if wanted else chosen
    return numbers.filter(chosen)


def _column(values: Sequence[Any]) -> pa.Array:
    try:
        if any(isinstance(value, dict) for value in values):
            raise pa.ArrowInvalid("a column of its own for each key")
        return pa.array(values)
    except (pa.ArrowException, OverflowError):  # values of several types, or beyond 64 bits: as JSON
        return pa.array([None if value is None else json.dumps(value) for value in values])


def write_table(table: pa.Table, path: Path, sweep: Sweep) -> None:
    """Write a collected table whole, with what it was collected from in its metadata."""
    figure = asdict(sweep.figure) if sweep.figure else {}
    own = sweep.notebook.is_relative_to(NOTEBOOKS)
    notebook = sweep.notebook.relative_to(NOTEBOOKS).with_suffix("").as_posix() if own else sweep.notebook.stem
    told = {"sweep": sweep.name, "title": sweep.title, "notebook": notebook, "figure": figure}
    with atomic(path) as part:
        pq.write_table(table.replace_schema_metadata({b"sweep": json.dumps(told).encode()}), part, compression="zstd")
