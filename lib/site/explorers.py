"""Explorers: charts of recorded runs in which the reader chooses the noise rate, the width, the epoch, λ and K.

Altair writes each chart down; Vega, which lies beside the pages, draws it in the browser.
"""

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import torch

from ..data import pixels
from ..experiments import Experiment, prepare
from ..gradients import model_derivatives
from ..paper import presets
from ..paths import RECORDS
from ..press import chapters, readings
from ..press.figures import CLEAN, NOISY, SECOND
from ..press.wanted import plan_of
from ..records import Store
from ..runs import Runs
from ..sweeps.results import TEMPLATES as VEGA
from .render import rendered

FOLDER = "explorers"  # of the scripts, among the site's static files
MARK = "<!-- explorers -->"
SCRIPTS = ("vega.min.js", "vega-lite.min.js")
STATIC = Path(__file__).parent / "static"
INK = "#1b1b1f"  # with the other three colours explorers.js has a light one for each, for dark pages
ERRORS = {"test_error": "test", "clean_error": "clean", "noisy_error": "noisy"}
LOOKS = alt.Scale(domain=list(ERRORS.values()), range=[INK, CLEAN.color, NOISY.color])
PROFILE = "cpu"


@dataclass(frozen=True)
class Explorer:
    """A chart with its words. ``chapters``: the files of those that say what it shows."""

    id: str
    title: str
    words: str
    chapters: tuple[str, ...]
    chart: alt.TopLevelMixin


def write_in(book: Path, static: Path) -> None:
    """Write the explorers into the page of a staged ``book`` folder, and their scripts below ``static``."""
    folder = static / FOLDER
    folder.mkdir(parents=True)
    for name in (*SCRIPTS, "vega.LICENSE.txt"):
        shutil.copy(VEGA / name, folder)
    shutil.copy(STATIC / "explorers.js", folder)
    page = book / "explorers.md"
    told = page.read_text(encoding="utf-8").replace(MARK, markup(explorers()))
    page.write_text(told, encoding="utf-8")


def markup(some: Iterable[Explorer]) -> str:
    """The charts as MyST: a section each, with its words, its chapters and a place for the chart."""
    told = [(one, json.dumps(one.chart.to_dict(), allow_nan=False).replace("<", "\\u003c")) for one in some]
    return rendered("explorers.md.j2", told=told, scripts=(*SCRIPTS, "explorers.js"), static=f"../_static/{FOLDER}")


def explorers() -> list[Explorer]:
    """All of them, from what the chapters have recorded. FileNotFoundError where a record is gone."""
    return [
        Explorer(
            "explore-noise",
            "Two classes: the noise rate",
            "Sevens and nines, of which a share δ has the other label. Choose δ and move along the epochs. Before the "
            "early stop (the least test error) the network moves away from the wrong labels it is shown: their error "
            "rises. Below, the lengths of the two gradients come closer until they balance.",
            ("02_binary_dynamics", "09_tempered_overfitting"),
            _dynamics(
                {str(rate): presets.binary(PROFILE, rate) for rate in presets.RATES[PROFILE]}, "noise rate δ",
                presets.SEEDS[PROFILE], start="0.4",
            ),
        ),
        Explorer(
            "explore-width",
            "Two classes: the width",
            "The same at δ = 0.4 with two hidden layers of different widths. A wide network fits every label sooner; "
            "what happens before the early stop looks alike.",
            ("07_width",),
            _dynamics(
                {str(width): presets.wide(PROFILE, width) for width in presets.WIDTHS[PROFILE]}, "width",
                presets.SEEDS[PROFILE], start="512",
            ),
        ),
        Explorer(
            "explore-ten",
            "Ten classes: the noise rate",
            "A convolutional network on ten classes. A guess among ten rarely hits the wrong label, so the noisy "
            "error begins at 0.9.",
            ("05_many_classes", "08_noise_level"),
            _dynamics(
                {str(rate): presets.noise_level(PROFILE, rate) for rate in presets.RATES[PROFILE]}, "noise rate δ",
                presets.SEEDS[PROFILE], start="0.3",
            ),
        ),
        Explorer(
            "explore-directions",
            "Before the first step: two gradients, opposite",
            "Each dot is the gradient of one handwritten seven at the start of training, in the plane that holds most "
            "of them. Drag δ: the sevens below that share get the label 9, and their gradients turn round. The arrows "
            "are the sums: the clean one gets shorter, the noisy one longer, and they stay opposite. At δ = 0.5 they "
            "cancel.",
            ("04_sample_gradients",),
            _directions(),
        ),
        Explorer(
            "explore-phases",
            "Mixing two gradients: where training collapses",
            "Each cell is the final test error at 80 % wrong labels when training follows "
            "(1 − λ) × noisy + λ × clean gradient and the clean one is computed anew every K steps. Choose λ and K, "
            "or click a cell: the curve below is that training.",
            ("12_two_gradients",),
            _phases(),
        ),
        Explorer(
            "explore-loop",
            "Hysteresis: up and back",
            "λ rises step by step and falls again, with the same network throughout. If the way back lies above the "
            "way up, the network remembers. A longer dwell gives it more epochs at each λ.",
            ("13_hysteresis",),
            _loop(),
        ),
    ]  # fmt: skip


@cache
def _plan(chapter: str) -> dict:
    return plan_of(chapters.find(chapter), PROFILE)


def _runs(some: Iterable) -> Runs:
    """The records of some experiments. FileNotFoundError if one is gone."""
    store, found = Store(RECORDS), []
    for one in some:
        run = store.get(one)
        if run is None:
            raise FileNotFoundError(f"{one.slug}, which an explorer shows, is not recorded: python -m lib records make")
        found.append(run)
    return Runs(found)


def _table(chapter: str, group: str) -> pd.DataFrame:
    """The one table of a group of a chapter about mixed gradients."""
    return _runs(_plan(chapter)[group])[0].history


def _rows(table: pd.DataFrame) -> alt.InlineData:
    """Data of a chart; four digits are more than a screen shows."""
    return alt.InlineData(values=table.round(4).to_dict("records"))


def _dynamics(some: dict[str, Experiment], label: str, seeds: int, start: str) -> alt.TopLevelMixin:
    """Errors and the ratio of gradients over epochs, one of ``some`` at a time; a slider along the epochs."""
    rows = pd.concat([_curves(one, seeds).assign(chosen=name) for name, one in some.items()], ignore_index=True)
    last = int(rows["epoch"].max())
    chosen = alt.param("chosen", value=start, bind=alt.binding_radio(options=list(some), name=f"{label} "))
    epoch = alt.param("epoch", value=min(10, last), bind=alt.binding_range(min=0, max=last, step=1, name="epoch "))
    x = alt.X("epoch:Q", title="epoch", scale=alt.Scale(type="symlog", constant=3))
    base = alt.Chart(_rows(rows)).transform_filter("datum.chosen === chosen")
    base = base.transform_joinaggregate(last="max(epoch)")

    def panel(what: str, title: str, height: int) -> alt.LayerChart:
        part = base.transform_filter(f"datum.panel === '{what}'")
        color = alt.Color("quantity:N", title=None, scale=LOOKS, legend=alt.Legend(orient="top"))
        color = color if what == "error" else alt.value(SECOND.color)
        now = part.transform_filter(f"datum.epoch === {NEAREST}")
        y = alt.Y("mean:Q", title=title, scale=alt.Scale(type="log" if what == "ratio" else "linear", nice=False))
        tip = ["quantity:N", "mean:Q", "epoch:Q"]
        return alt.layer(
            part.mark_area(opacity=0.2).encode(x, alt.Y("low:Q"), alt.Y2("high:Q"), color=color),
            part.mark_line().encode(x, y, color=color),
            now.mark_rule(color=INK, opacity=0.4).encode(x),
            now.mark_point(filled=True, size=60).encode(x, y, color=color, tooltip=tip),
            now.mark_text(dx=8, dy=-8, align="left", fontSize=12).encode(
                x, y, color=color, text=alt.Text("mean:Q", format=".2f")
            ),
        ).properties(width="container", height=height)

    return alt.vconcat(
        panel("error", "error", 220), panel("ratio", "‖clean‖ / ‖noisy‖", 110)
    ).add_params(chosen, epoch)  # fmt: skip


# Curves have every epoch up to 30, then every fifth and the last; the slider goes as far as the longest of them.
NEAREST = "(epoch >= datum.last ? datum.last : epoch <= 30 ? epoch : min(datum.last, 5 * round(epoch / 5)))"


def _curves(one: Experiment, seeds: int) -> pd.DataFrame:
    """Mean, least and most over seeds of the errors and the gradients' ratio; a row an epoch and quantity."""
    runs = _runs(replace(one, seed=seed) for seed in range(seeds))
    found = []
    for column, name in (ERRORS | {"ratio": "ratio"}).items():
        wide = runs.wide(column).dropna()
        wide = wide[(wide.index <= 30) | (wide.index % 5 == 0) | (wide.index == wide.index[-1])]
        over = pd.DataFrame({"mean": wide.mean(axis=1), "low": wide.min(axis=1), "high": wide.max(axis=1)})
        over = over[np.isfinite(over).all(axis=1)]
        found.append(over.assign(quantity=name, panel="ratio" if name == "ratio" else "error").reset_index())
    return pd.concat(found, ignore_index=True)


def _directions() -> alt.TopLevelMixin:
    """Gradients of single samples of one class before the first step, and their two sums at a noise rate."""
    rows = _sample_gradients()
    rate = alt.param("rate", value=0.2, bind=alt.binding_range(min=0.05, max=0.6, step=0.05, name="noise rate δ "))
    reach = float(np.abs(rows[["x", "y"]]).max().max())
    scale = alt.Scale(domain=[-1.1 * reach, 1.1 * reach])
    x, y = alt.X("gx:Q", title="along the clean gradient", scale=scale), alt.Y("gy:Q", title="across", scale=scale)
    looks = alt.Scale(domain=["clean", "noisy"], range=[CLEAN.color, NOISY.color])
    color = alt.Color("subset:N", title=None, scale=looks, legend=alt.Legend(orient="top"))
    flipped = "datum.place < rate"
    dots = alt.Chart(_rows(rows)).transform_calculate(
        subset=f"{flipped} ? 'noisy' : 'clean'",
        gx=f"{flipped} ? datum.fx : datum.x",
        gy=f"{flipped} ? datum.fy : datum.y",
    )
    sums = dots.transform_aggregate(gx="sum(gx)", gy="sum(gy)", groupby=["subset"])
    sums = sums.transform_calculate(
        gx=f"datum.gx / {len(rows)}", gy=f"datum.gy / {len(rows)}", zero="0",
        words="format(sqrt(datum.gx * datum.gx + datum.gy * datum.gy), '.2f')",
    )  # fmt: skip
    origin = alt.layer(
        dots.mark_circle(size=14, opacity=0.5).encode(x, y, color),
        sums.mark_rule(strokeWidth=4).encode(alt.X("zero:Q"), alt.X2("gx"), alt.Y("zero:Q"), alt.Y2("gy"), color),
        sums.mark_circle(size=140, opacity=1).encode(x, y, color),
        sums.mark_text(dy=-14, fontSize=13).encode(x, y, color, text="words:N"),
    )
    return origin.properties(width="container", height=300).add_params(rate)


def _sample_gradients() -> pd.DataFrame:
    """Gradients of the digits' sevens with label 7 (x, y) and label 9 (fx, fy), in a plane; ``place`` in a drawn order.

    The first axis is the mean gradient, the second the strongest direction across it; the unit is the mean's length.
    """
    one = replace(presets.binary("smoke"), seed=0)
    ready = prepare(one)
    own = torch.nonzero(ready.task.train_labels == 0).squeeze(1)
    images = ready.task.train_images[own]
    slopes = model_derivatives(ready.model, images, white=ready.task.white).double()
    with torch.no_grad():
        outputs = torch.sigmoid(ready.model(pixels(images, ready.task.white)).squeeze(1)).double()
    along = (slopes * outputs[:, None]).mean(0)
    unit = along / along.norm()
    rest = slopes - (slopes @ unit)[:, None] * unit
    across = torch.linalg.svd(rest, full_matrices=False).Vh[0]
    plane = (slopes @ torch.stack([unit, across], dim=1)) / along.norm()
    right, flipped = plane * outputs[:, None], plane * (outputs - 1)[:, None]
    order = np.random.default_rng(0).permutation(len(own)) / len(own)
    return pd.DataFrame(
        {"x": right[:, 0], "y": right[:, 1], "fx": flipped[:, 0], "fy": flipped[:, 1], "place": order}
    )  # fmt: skip


def _phases() -> alt.TopLevelMixin:
    """Final test error over λ and K; the curve over epochs of the chosen cell."""
    groups = {int(name[2:]): name for name in _plan("12_two_gradients") if name.startswith("K ")}
    tables = {refresh: _table("12_two_gradients", name) for refresh, name in groups.items()}
    tables[16] = _table("12_two_gradients", "rates")
    found = []
    for refresh, table in sorted(tables.items()):
        some = table[np.isclose(table["noise_rate"], table["noise_rate"].max())]
        over = some.groupby(["mix", "epoch"])["test_error"].agg(mean="mean", low="min", high="max").reset_index()
        found.append(over.assign(refresh=refresh))
    rows = pd.concat(found, ignore_index=True)
    mixes, refreshes = sorted(rows["mix"].unique()), sorted(tables)
    inputs = {
        "mix": alt.binding_select(options=mixes, name="λ "),
        "refresh": alt.binding_select(options=refreshes, name="K "),
    }
    start = [{"mix": 0.65, "refresh": 16}]
    at = alt.selection_point("cell", fields=list(inputs), on="click", toggle=False, value=start, bind=inputs)
    told = {"mix": "λ", "refresh": "K", "mean": "error"}
    base = alt.Chart(_rows(rows))
    cells = (
        base.transform_filter(f"datum.epoch === {int(rows['epoch'].max())}")
        .mark_rect()
        .encode(
            alt.X("mix:O", title="λ, the share of the clean gradient", axis=alt.Axis(labelAngle=0)),
            alt.Y("refresh:O", title="K, steps between two", sort="descending"),
            alt.Color(
                "mean:Q",
                title="final test error",
                scale=alt.Scale(scheme="viridis", domain=[0, 0.9]),
                legend=alt.Legend(orient="top", gradientLength=200),
            ),
            stroke=alt.condition(at, alt.value(INK), alt.value("transparent")),
            strokeWidth=alt.value(3),
            tooltip=[alt.Tooltip(f"{name}:Q", title=title) for name, title in told.items()],
        )
        .add_params(at)
        .properties(width="container", height=190)
    )
    chosen = base.transform_filter(at)
    y = alt.Scale(domain=[0, 1])
    curve = alt.layer(
        chosen.mark_area(opacity=0.2, color=NOISY.color).encode(
            alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1)), alt.Y("low:Q", scale=y), alt.Y2("high:Q")
        ),
        chosen.mark_line(color=NOISY.color, point=True).encode(
            alt.X("epoch:Q"), alt.Y("mean:Q", title="test error", scale=y)
        ),
    ).properties(width="container", height=150)
    return alt.vconcat(cells, curve).resolve_scale(color="independent")


def _loop() -> alt.TopLevelMixin:
    """Test error on the way up and on the way back, at each λ of a closed loop."""
    found, kinds = [], {"relu": "ReLU", "leaky_relu": "leaky ReLU"}
    for name in _plan("13_hysteresis"):
        kind, _, dwell = name.partition(", dwell ")
        if kind not in kinds:
            continue
        table = _table("13_hysteresis", name)
        mixes = table.sort_values("epoch").groupby("stage")["mix"].last().to_numpy()[1:]
        ends = readings.stage_ends(table)[1:]
        half = len(ends) // 2
        for stage, (mix, errors) in enumerate(zip(mixes, ends, strict=True)):
            way = "up" if stage < half else "back"
            found.append((kinds[kind], dwell, stage, mix, way, errors.mean(), errors.min(), errors.max()))
    rows = pd.DataFrame(found, columns=["kind", "dwell", "stage", "mix", "way", "mean", "low", "high"])
    steps, lasts = int(rows["stage"].max()), list(dict.fromkeys(rows["dwell"]))
    params = (
        alt.param("kind", value="ReLU", bind=alt.binding_radio(options=list(kinds.values()), name="units ")),
        alt.param("dwell", value=lasts[0], bind=alt.binding_radio(options=lasts, name="dwell, epochs ")),
        alt.param("step", value=steps, bind=alt.binding_range(min=0, max=steps, step=1, name="step of the loop ")),
    )
    base = alt.Chart(_rows(rows)).transform_filter(
        "datum.kind === kind && datum.dwell === dwell && datum.stage <= step"
    )
    looks = alt.Scale(domain=["up", "back"], range=[CLEAN.color, NOISY.color])
    color = alt.Color("way:N", title=None, scale=looks, legend=alt.Legend(orient="top"))
    x = alt.X(
        "mix:Q",
        title="λ, the share of the clean gradient",
        scale=alt.Scale(domain=[rows["mix"].min(), rows["mix"].max()]),
    )
    y = alt.Scale(domain=[0, 1])
    return (
        alt.layer(
            base.mark_rule(opacity=0.4).encode(x, alt.Y("low:Q", scale=y), alt.Y2("high:Q"), color),
            base.mark_line(point=True).encode(x, alt.Y("mean:Q", title="test error", scale=y), color, order="stage:O"),
        )
        .properties(width="container", height=280)
        .add_params(*params)
    )
