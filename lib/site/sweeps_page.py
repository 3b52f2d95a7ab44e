"""The page of sweeps in the book, and a figure for each, drawn from collected tables."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from ..paths import NOTEBOOKS
from ..press import figures
from ..sweeps.code import code_of_notebook
from ..sweeps.grid import SweepFigure
from ..sweeps.results import Shown, write_page
from ..sweeps.store import RESERVED
from ..words import listed
from .render import rendered

LOOKS = tuple(
    zip(
        (figures.CLEAN, figures.NOISY, figures.FIRST, figures.SECOND, figures.TEST, figures.TRAIN),
        ("o", "s", "^", "D", "v", "P"),
        strict=True,
    )
)  # a curve each; `lib.sweeps.grid` allows no more


@dataclass(frozen=True)
class Collected:
    """A sweep's table as `lib.sweeps.table.write_table` wrote it, with what its metadata say."""

    name: str
    title: str
    notebook: str  # path from the folder of notebooks on, without suffix
    figure: dict[str, str]  # the fields of `lib.sweeps.grid.SweepFigure`, empty for none
    table: pd.DataFrame

    @property
    def shown(self) -> Shown:
        """What a page of results says of it."""
        figure = SweepFigure(**self.figure) if self.figure else None
        return Shown(self.title, Path(self.notebook).name, (), figure)

    @property
    def points(self) -> pd.DataFrame:
        """A row a point."""
        return self.table.drop_duplicates("point")


def read_sweep(path: Path) -> Collected:
    """A collected table; ValueError if the file is none."""
    try:
        table = pq.read_table(path)
        told = json.loads(table.schema.metadata[b"sweep"])
        settings = {key: told[key] for key in ("title", "notebook", "figure")}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name} is no collected table ({type(error).__name__}): collect it again") from error
    return Collected(told["sweep"], table=table.replace_schema_metadata(None).to_pandas(), **settings)


def draw(collected: Collected) -> Figure:
    """Mean over rows as a line with marks, least to most as a band, over `x`.

    A curve for each value of `by`, a panel for each value of `panel`.
    ValueError if the table has no such numbers.
    """
    settings, table = collected.figure, collected.table
    chosen = table[(table["source_name"] == settings["name"]) & (table["quantity"] == settings["quantity"])]
    if chosen.empty:
        raise ValueError(f"{collected.name}: no {settings['quantity']!r} of {settings['name']!r} to draw")
    panels = _groups(chosen, settings.get("panel", ""))
    fig, places = figures.panels(len(panels), height=3.0 if len(panels) == 1 else 2.2)
    ylabel = settings["ylabel"] or settings["quantity"]
    height = min(0.0, 1.04 * chosen["value"].min()), max(0.0, 1.04 * chosen["value"].max())  # the same in all panels
    for axes, (title, rows) in zip(places, panels, strict=True):
        for (label, group), (style, marker) in zip(_groups(rows, settings.get("by", "")), LOOKS, strict=False):
            over = group.groupby(settings["x"])["value"].agg(["mean", "min", "max"])
            axes.fill_between(over.index, over["min"], over["max"], color=style.color, alpha=0.18, linewidth=0)
            (line,) = axes.plot(
                over.index, over["mean"], marker, color=style.color, linestyle=style.line, markersize=4.5
            )
            line.set_gid(label)  # label_ends reads it
        axes.set(xscale=settings.get("xscale", "linear"), ylim=height)
        axes.set_ylabel(f"{title}\n{ylabel}" if title else ylabel)
        if settings.get("xscale") == "log":
            ticks = sorted(chosen[settings["x"]].unique())
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
        figures.label_ends(axes, gap=0.115 * 3.0 / (3.0 if len(panels) == 1 else 2.2))
    places[-1].set_xlabel(_words(settings["x"]))
    return fig


def _groups(table: pd.DataFrame, parameter: str) -> list[tuple[str, pd.DataFrame]]:
    """The rows for each value of a parameter, with a label; all of them, with none, for no parameter."""
    if not parameter:
        return [("", table)]
    return [
        (_words(value) if isinstance(value, str) else f"{_words(parameter)} {value:g}", rows)
        for value, rows in table.groupby(parameter)
    ]


def _words(name: str) -> str:
    return name.replace("_", " ")


def page(tables: Sequence[Collected], folder: Path) -> str:
    """The sweeps as MyST: a table of their states, then each with its failures and its figure (into ``folder``)."""
    for one in tables:
        if one.figure:
            folder.mkdir(parents=True, exist_ok=True)
            drawn = draw(one)
            drawn.savefig(folder / f"{one.name}.png")
            plt.close(drawn)
    told = [(one, _states(one), _provenance(one), _failures(one)) for one in tables]
    return rendered("sweeps.md.j2", tables=told, folder=folder.name).rstrip("\n")


def write_results(tables: Iterable[Collected], folder: Path) -> None:
    """A page of results for each table (``folder``/NAME.html): the reader chooses axes, curves, panels and points."""
    folder.mkdir(parents=True)
    for one in tables:
        write_page(pa.Table.from_pandas(one.table), one.shown, folder / f"{one.name}.html")


def _states(one: Collected) -> str:
    counts = one.points["state"].value_counts().sort_index()
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def _failures(one: Collected) -> list[tuple[str, str]]:
    """Each point that failed, in words, with the first line of its error."""
    failed = one.points[one.points["state"] == "failed"].to_dict("records")
    return [(_given(point), point["error"].splitlines()[0]) for point in failed]


def _given(point: dict) -> str:
    """A point in words: its parameters."""
    given = {name: value for name, value in point.items() if name not in RESERVED and not pd.isna(value)}
    return ", ".join(f"`{name}={value}`" for name, value in given.items()) or f"Point `{point['point']}`"


def _provenance(one: Collected) -> str:
    """What was run, where and when, in a sentence."""
    chapter = "/" not in one.notebook  # others have no page
    notebook = f"{{doc}}`/notebooks/{one.notebook}`" if chapter else f"`notebooks/{one.notebook}.ipynb`"
    what = f"`{one.name}`: {len(one.points)} points of {notebook}"
    ran = one.points[one.points["state"].isin(["done", "failed"])]
    if ran.empty:
        return f"{what}; not run yet"
    devices, code = listed(ran["ran_on"]), _code(one.notebook, ran["code_id"])
    seconds, date = ran["point_seconds"].sum(), ran["ran_at"].max()[:10]
    return f"{what}; {seconds:,.0f} s in all on {devices}, {date}; code {code}"


def _code(notebook: str, made_by: Iterable[str]) -> str:
    """The code that made a table, and whether that is what the notebook and all that it reaches are today."""
    path = NOTEBOOKS / f"{notebook}.ipynb"
    if not path.exists():
        return listed(made_by)
    today = code_of_notebook(path).id
    states = {True: "today's code", False: "older code"}
    return listed(f"{one} ({states[one == today]})" for one in made_by)
