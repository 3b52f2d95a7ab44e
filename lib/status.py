"""The page of sweeps in the book, and a figure for each, drawn from collected tables."""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from lib import figures

STYLES = (figures.CLEAN, figures.NOISY, figures.FIRST, figures.SECOND, figures.TEST, figures.TRAIN)


@dataclass(frozen=True)
class Collected:
    """A sweep's table as `lib.sweep.write_table` wrote it, with what its metadata say."""

    name: str
    title: str
    notebook: str
    figure: dict[str, str]  # the fields of `lib.sweep.Figure`, empty for none
    table: pd.DataFrame

    @property
    def points(self) -> pd.DataFrame:
        """A row a point."""
        return self.table.drop_duplicates("point")


def read(path: Path) -> Collected:
    """A collected table; ValueError if the file is none."""
    try:
        table = pq.read_table(path)
        told = json.loads(table.schema.metadata[b"sweep"])
        settings = {key: told[key] for key in ("title", "notebook", "figure")}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name} is no collected table ({type(error).__name__}): collect it again") from error
    return Collected(told["sweep"], table=table.replace_schema_metadata(None).to_pandas(), **settings)


def draw(collected: Collected) -> Figure:
    """Mean over rows as a line with marks, least to most as a band, over `x`; a curve for each value of `by`."""
    settings, table = collected.figure, collected.table
    chosen = table[(table["source_name"] == settings["name"]) & (table["quantity"] == settings["quantity"])]
    if chosen.empty:
        raise ValueError(f"{collected.name}: no {settings['quantity']!r} of {settings['name']!r} to draw")
    fig, (axes,) = figures.panels(1, height=3.0)
    by = settings.get("by")
    groups = chosen.groupby(by) if by else [("", chosen)]
    for (value, group), style in zip(groups, STYLES, strict=False):
        over = group.groupby(settings["x"])["value"].agg(["mean", "min", "max"])
        axes.fill_between(over.index, over["min"], over["max"], color=style.color, alpha=0.18, linewidth=0)
        (line,) = axes.plot(over.index, over["mean"], "o", color=style.color, linestyle=style.line, markersize=4)
        if by:
            line.set_gid(f"{by} {value}")
    axes.set(xlabel=settings["x"].replace("_", " "), ylabel=settings["ylabel"] or settings["quantity"])
    if by:
        figures.label_ends(axes)
    return fig


def page(tables: Sequence[Collected], folder: Path) -> str:
    """The sweeps as MyST: a table of their states, then each with its failures and its figure (into ``folder``)."""
    if not tables:
        return "No sweep has been published yet: `python -m lib sweep NAME --publish`."
    head = "| sweep | chapter | points | done | failed | missing | seconds | device | made |"
    lines = [head, "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    lines += [f"| {' | '.join(_row(one))} |" for one in tables]
    folder.mkdir(parents=True, exist_ok=True)
    for one in tables:
        lines += ["", f"## {one.title}", ""]
        if one.figure:
            drawn = draw(one)
            drawn.savefig(folder / f"{one.name}.png")
            plt.close(drawn)
            lines += [
                f":::{{figure}} {folder.name}/{one.name}.png",
                f":name: fig-sweep-{one.name.replace('_', '-')}",
                f":alt: {one.figure['alt']}",
                one.figure["caption"],
                ":::",
            ]
        for failed in one.points[one.points["state"] == "failed"].to_dict("records"):
            error = html.escape(failed["error"].splitlines()[0])
            lines.append(f"- Point `{failed['point']}` failed: <code>{error}</code>")
    return "\n".join(lines)


def _row(one: Collected) -> list[str]:
    points = one.points
    counts = points["state"].value_counts()
    ran = points[points["state"].isin(["done", "failed"])]
    dates = sorted(date[:10] for date in ran["ran_at"].dropna())
    return [
        f"`{one.name}`",
        f"{{doc}}`/notebooks/{one.notebook}`",
        str(len(points)),
        *(str(counts.get(state, 0)) for state in ("done", "failed", "missing")),
        f"{ran['point_seconds'].sum():,.0f}",
        ", ".join(sorted(set(ran["ran_on"].dropna()))),
        dates[-1] if dates else "",
    ]
