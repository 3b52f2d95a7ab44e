"""What an executed notebook shows, as numbers: claims, tables, scrapbook's glue, pandas tables that were displayed."""

import ast
import base64
import binascii
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..press.claims import claims_of
from ..press.parameters import UNREADABLE, parsed
from ..press.show import RESULT
from .in_kernel import MIME
from .store import ROWS

NO_NUMBERS = True
GLUE = "application/scrapbook.scrap."  # and an encoder, and "+json"
RECORD = "application/papermill.record+json"  # papermill's own, before there was scrapbook
SHOWING = ("check", "result", "glue", "record", "display", "show", "table")  # calls that may show what is collected
Columns = Iterable[tuple[str, Sequence[Any]]]


def numbers_of(notebook: Mapping[str, Any]) -> pa.Table:
    """All numbers that an executed notebook shows, as ROWS has them.

    A claim's values, and the tables of `lib.press.show.result`, by their
    names; what scrapbook glued, by its name, the last of several; pandas tables that were displayed
    as "table 1", "table 2" in their order, those without a number counted. What is no number is left out; of a table
    that is too long, that it is.
    """
    rows: list[dict[str, Any]] = []
    tables = 0
    for cell in notebook["cells"]:
        for claim in claims_of({"cells": [cell]}):
            rows += _rows("claim", claim.id, claim.measured.items(), claim.verdict)
        for output in cell.get("outputs", []):
            if table := output.get("metadata", {}).get(RESULT):
                rows += _rows("table", table["name"], table["columns"], None)
            for mime, data in output.get("data", {}).items():
                if mime == MIME:
                    tables += 1
                    rows += _rows("table", f"table {tables}", _displayed(data), None)
                elif mime.startswith(GLUE) and isinstance(data, dict) and isinstance(data.get("name"), str):
                    rows = _without(rows, data["name"])
                    rows += _rows("glue", data["name"], _glued(data.get("data"), data.get("encoder")), None)
                elif mime == RECORD and isinstance(data, dict):
                    for name, value in data.items():
                        rows = _without(rows, str(name)) + _rows("glue", str(name), _glued(value), None)
    return pa.Table.from_pylist(rows, schema=ROWS)


def _without(rows: list[dict[str, Any]], glued: str) -> list[dict[str, Any]]:
    """The rows but for what was glued under this name before."""
    return [row for row in rows if (row["source"], row["source_name"]) != ("glue", glued)]


def _number(value: Any) -> float | None:
    """As a number to be kept; None for what is none, or not finite."""
    try:
        value = float(value) if isinstance(value, int | float) else None
    except OverflowError:
        return None
    return value if value is not None and math.isfinite(value) else None


def _rows(source: str, name: str, columns: Columns, verdict: str | None) -> list[dict[str, Any]]:
    return [
        {
            "source": source, "source_name": name, "quantity": quantity, "row": row,
            "value": None if value is None else float(value), "verdict": verdict,
        }
        for quantity, values in columns
        for row, value in enumerate(values)
    ]  # fmt: skip


def _displayed(told: Any) -> Iterator[tuple[str, Sequence[float | None]]]:
    """The columns of numbers of a Table Schema; where its rows have names, a quantity for each row and column."""
    try:
        fields, rows = told["schema"]["fields"], list(told["data"])
        if long := told.get("left_out"):
            yield f"left out: {long:,} rows", [None]
        keys = [name for name in told["schema"].get("primaryKey", []) if name in {one["name"] for one in fields}]
        named = keys and any(one["name"] in keys and one["type"] == "string" for one in fields)
        labels = [", ".join(str(row[key]) for key in keys) for row in rows]
        for name in (str(one["name"]) for one in fields if one["name"] not in keys):
            values = [_number(row.get(name)) for row in rows]
            if all(value is None for value in values):
                continue
            if named and len(set(labels)) == len(labels):
                yield from ((f"{name}, {label}", [value]) for label, value in zip(labels, values, strict=True))
            else:
                yield name, values
    except (KeyError, TypeError, AttributeError):  # no Table Schema after all
        return


def _glued(data: Any, encoder: Any = "json") -> Iterator[tuple[str, Sequence[float | None]]]:
    """What was glued as columns of numbers: a number, a list of them, or each of these under a name."""
    if encoder == "pandas":
        yield from _parquet(data)
    elif isinstance(data, dict):
        for name, value in data.items():
            for inner, values in _glued(value):
                yield str(name) if inner == "value" else f"{name}, {inner}", values
    else:
        values = [_number(value) for value in (data if isinstance(data, list) else [data])]
        if any(value is not None for value in values):
            yield "value", values


def _parquet(data: Any) -> Iterator[tuple[str, Sequence[float | None]]]:
    try:
        table = pq.read_table(pa.BufferReader(base64.b64decode(data)))
    except (TypeError, binascii.Error, pa.ArrowException):
        return
    for name, column in zip(table.column_names, table.columns, strict=True):
        values = [_number(value) for value in column.to_pylist()]
        if any(value is not None for value in values):
            yield name, values


def ends_in_a_value(source: str) -> bool:
    """Whether a cell may show the value of its last line, as Jupyter does; what is no plain Python may."""
    try:
        body = parsed(source).body
    except UNREADABLE:
        return bool(source.strip())
    return bool(body) and isinstance(body[-1], ast.Expr) and not source.rstrip().endswith(";")


def shows_nothing(notebook: Path) -> bool:
    """Whether a Python notebook surely shows no number that could be collected: by its text, nothing is run."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return not any(_may_show("".join(cell["source"])) for cell in cells if cell["cell_type"] == "code")


def _may_show(source: str) -> bool:
    """Whether a cell may show a number: it ends with an expression, or calls what shows; doubt counts as yes."""
    if re.search(r"(?m)^\s*[%!]|exec|import \*", source):  # another file may be run there
        return True
    try:
        body = parsed(source).body
        calls = [node.func for line in body for node in ast.walk(line) if isinstance(node, ast.Call)]
    except UNREADABLE:
        return True
    if any(getattr(call, "attr", getattr(call, "id", "")) in SHOWING for call in calls):
        return True
    if not ends_in_a_value(source) or isinstance(body[-1].value, ast.Constant):
        return False
    return not (isinstance(body[-1].value, ast.Call) and getattr(body[-1].value.func, "id", "") == "print")
