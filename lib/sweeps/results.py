"""The page of a sweep's results: one HTML file with a table, filters and charts, that asks for nothing else."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..files import atomic
from ..words import count
from .grid import Sweep, SweepFigure
from .store import RESERVED

NO_NUMBERS = True
TEMPLATES = Path(__file__).parent / "templates"
MOST = 400  # quantities of a page


@dataclass(frozen=True)
class Shown:
    """What a page says of a sweep."""

    title: str
    notebook: str
    varied: tuple[str, ...]  # parameters, the first of which the chart begins with
    figure: SweepFigure | None

    @classmethod
    def of(cls, sweep: Sweep) -> "Shown":
        """Of a sweep that was read."""
        return cls(sweep.title, sweep.notebook.stem, tuple(sweep.varied), sweep.figure)


def write_page(table: pa.Table, sweep: Shown, path: Path) -> None:
    """Write a collected table as a page, whole. Vega draws its charts; it is part of the page."""
    frame = table.to_pandas()
    told, left = _data(frame, sweep)
    states = frame.drop_duplicates("point")["state"].value_counts()
    about = f"{count(len(told['points']), 'point')} of {sweep.notebook}: " + ", ".join(
        f"{number} {state}" for state, number in states.items()
    )
    environment = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=True)
    page = environment.get_template("results.html").render(
        title=sweep.title,
        about=f"{about}{f'; {left} more quantities are in the table alone' if left else ''}.",
        data=Markup(json.dumps(told, allow_nan=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")),
        vega=_script("vega.min.js"),
        lite=_script("vega-lite.min.js"),
        script=_script("results.js"),
    )
    with atomic(path) as part:
        part.write_text(page, encoding="utf-8")


def _script(name: str) -> Markup:
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def _data(frame: pd.DataFrame, sweep: Shown) -> tuple[dict, int]:
    """What the page is given, and how many quantities it has no room for.

    Each point as its parameters, state, seconds and error; each value as point, quantity and number.
    """
    parameters = [name for name in frame.columns if name not in RESERVED]
    points = frame.drop_duplicates("point")
    number = {point: at for at, point in enumerate(points["point"])}
    rows = [
        [
            *(_plain(point[name]) for name in parameters),
            point["state"],
            _plain(point["point_seconds"]),
            _line(point["error"]),
        ]
        for point in points.to_dict("records")
    ]
    found = frame[np.isfinite(frame["value"].astype(float))]
    named = (found["source_name"] + ": " + found["quantity"]).where(found["quantity"] != "value", found["source_name"])
    quantities = list(dict.fromkeys(named))
    at = {name: place for place, name in enumerate(quantities[:MOST])}
    values = [
        [number[point], at[name], value]
        for point, name, value in zip(found["point"], named, found["value"], strict=True)
        if name in at
    ]
    told = {"parameters": parameters, "points": rows, "quantities": quantities[:MOST], "values": values}
    return told | {"start": _start(told, sweep)}, max(0, len(quantities) - MOST)


def _start(told: dict, sweep: Shown) -> dict:
    """What the chart shows first: the sweep's own figure where it has one, else the first quantity over what varies."""
    place = {name: str(at) for at, name in enumerate(told["parameters"])}
    varied = [name for name in sweep.varied if name in place]
    x, by, panel = (varied or list(place) or [""])[0], "", ""
    y = 0
    if sweep.figure:
        x, by, panel = sweep.figure.x, sweep.figure.by, sweep.figure.panel
        wanted = f"{sweep.figure.name}: {sweep.figure.quantity}"
        y = told["quantities"].index(wanted) if wanted in told["quantities"] else 0
    log = bool(sweep.figure and sweep.figure.xscale == "log")
    return {"y": y, "x": place.get(x, ""), "by": place.get(by, ""), "panel": place.get(panel, ""), "logx": log}


def _plain(value: object) -> str | int | float | bool | None:
    """For JSON; lists and what else is no number as text."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float) or (hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0):
        return None if pd.isna(value) else float(value) if not float(value).is_integer() else int(value)
    return None if value is None or value is pd.NA else str(value.tolist() if hasattr(value, "tolist") else value)


def _line(text: str | None) -> str:
    return (text or "").splitlines()[0] if isinstance(text, str) and text else ""
