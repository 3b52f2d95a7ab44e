"""One look for all figures.

Opaque light faces, so that they read in light and dark pages; one column, so
that they read on a phone; every curve has its own line style and is labelled
where it ends, so that no colour is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

NO_NUMBERS = True
WIDTH = 5.8  # inches; at 390 px of screen an 11-point letter is still about 9 px high

plt.style.use(Path(__file__).with_name("book.mplstyle"))
INK, PAPER = plt.rcParams["text.color"], plt.rcParams["figure.facecolor"]


@dataclass(frozen=True)
class Style:
    """Colour (of the Okabe-Ito set, told apart by all eyes) and line of one kind of curve."""

    color: str
    line: str | tuple = "-"


CLEAN = Style("#0072B2")
NOISY = Style("#D55E00", (0, (5, 1.5)))
TEST = Style(INK)
TEST_DOTTED = Style(INK, (0, (1, 1)))  # beside a clean curve, which is unbroken too
TRAIN = Style("#7a5c99", (0, (1, 1)))
FIRST = Style("#008060", (0, (7, 1.5, 1.5, 1.5)))
SECOND = Style("#AA5C8D", (0, (2.5, 1.2)))
THEORY = Style("#6b6b70", (0, (1, 1)))
OTHER = Style("#6b4fa0", (0, (1, 1)))
SUBSETS = {"clean": CLEAN, "noise": NOISY, "other": OTHER}


def panels(rows: int, height: float = 2.1, *, common: bool = True) -> tuple[Figure, list[Axes]]:
    """Panels below each other, by default with one common horizontal axis; height of each in inches."""
    figure, axes = plt.subplots(
        rows, 1, figsize=(WIDTH, height * rows + 0.5), sharex=common, squeeze=False, layout="constrained"
    )
    return figure, list(axes[:, 0])


def curve(axes: Axes, values: pd.DataFrame, style: Style, label: str) -> None:
    """Mean over seeds as a line, least to most as a band.

    ``values``: a row an epoch (the index), a column a seed.
    """
    epochs = values.index.to_numpy()
    axes.fill_between(epochs, values.min(axis=1), values.max(axis=1), color=style.color, alpha=0.18, linewidth=0)
    (line,) = axes.plot(epochs, values.mean(axis=1), color=style.color, linestyle=style.line)
    line.set_gid(label)  # label_ends reads it


def early_stop(axes: Sequence[Axes], epochs: Sequence[int], text: str = "early stop", *, inside: bool = False) -> None:
    """The paper's vertical dashed line at the mean early stopping epoch; a band over seeds.

    Its name is above the line, or ``inside`` beside its upper end where a long title takes that place.
    """
    for one in axes:
        one.axvspan(min(epochs), max(epochs), color="#8a8a80", alpha=0.18, linewidth=0, zorder=0)
        one.axvline(float(np.mean(epochs)), color=INK, linestyle=(0, (4, 3)), linewidth=1.2)
    axes[0].annotate(
        text, (float(np.mean(epochs)), 1), xycoords=("data", "axes fraction"), xytext=(4, -3) if inside else (0, 3),
        textcoords="offset points", ha="left" if inside else "center", va="top" if inside else "bottom", fontsize=10,
    )  # fmt: skip


def level(axes: Axes, value: float, text: str, x: float = 0.01, *, below: bool = False) -> None:
    """A thin horizontal reference line with its name above or below it, beginning at ``x`` panel widths."""
    axes.axhline(value, color=THEORY.color, linestyle=THEORY.line, linewidth=1.3, zorder=1)
    axes.annotate(
        text, (x, value), xycoords=("axes fraction", "data"), xytext=(0, -3 if below else 2),
        textcoords="offset points", fontsize=9.5, color=THEORY.color, va="top" if below else "bottom",
    )  # fmt: skip


def epoch_axis(axes: Sequence[Axes], last: int, label: str = "epoch") -> None:
    """Epochs on an axis that shows both the first ten and the last hundred."""
    ticks = [t for t in (0, 1, 3, 10, 30, 100, 300, 1000) if t <= last]
    for one in axes:
        one.set_xscale("symlog", linthresh=1, linscale=0.4)
        one.set_xlim(0, last)
        one.xaxis.set_major_locator(FixedLocator(ticks))
        one.xaxis.set_minor_locator(NullLocator())
        one.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes[-1].set_xlabel(label)


def label_ends(axes: Axes, gap: float = 0.115) -> None:
    """Write each curve's name where it ends, pushed apart where they would overlap.

    ``gap``: least distance of two names, in heights of the panel. Call it last.
    """
    lines = [line for line in axes.lines if line.get_gid()]
    to_axes = (axes.transData + axes.transAxes.inverted()).transform
    ends = [to_axes((line.get_xdata()[-1], line.get_ydata()[-1]))[1] for line in lines]
    order = np.argsort(ends)
    places = np.clip(np.asarray(ends)[order], 0.0, 1.0)
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    for i in range(len(places) - 1, -1, -1):  # and back down from the top
        ceiling = 1.04 if i == len(places) - 1 else places[i + 1] - gap
        places[i] = min(places[i], ceiling)
    for place, index in zip(places, order, strict=True):
        line = lines[index]
        axes.annotate(
            line.get_gid(), (1.015, place), xycoords="axes fraction", color=line.get_color(), va="center", fontsize=10.5
        )


def angle_histogram(axes: Axes, counts: dict[str, pd.DataFrame], marks: dict[str, Sequence[float]]) -> None:
    """Distributions of angles in degrees, one for each subset, each named at its peak.

    ``counts``: for each subset a table of counts, a row a degree, a column a
    seed. ``marks``: the angle of the whole subset's gradient in each seed, a
    vertical line at their mean in the subset's style.
    """
    tops = {}
    for name, table in counts.items():
        shares = table / table.sum()
        shares.index = shares.index + 0.5
        style = SUBSETS[name]
        axes.fill_between(
            shares.index, shares.min(axis=1), shares.max(axis=1), color=style.color, alpha=0.18, linewidth=0
        )
        mean = shares.mean(axis=1)
        axes.plot(mean.index, mean, color=style.color, linestyle=style.line, linewidth=1.6)
        tops[name] = (mean.idxmax(), mean.max())
    axes.set(xlim=(0, 180), ylim=(0, 1.3 * max(top for _, top in tops.values())))
    axes.set_xticks(range(0, 181, 30))
    for name, (degree, top) in tops.items():
        # the noise and the other subset can peak close together: one name to the right, one to the left
        close = "other" in tops and "noise" in tops and abs(tops["other"][0] - tops["noise"][0]) < 30
        align = {"other": "right", "noise": "left"}.get(name, "center") if close else "center"
        axes.annotate(
            name, (degree, top), xytext=(0, 3), textcoords="offset points", color=SUBSETS[name].color,
            ha=align, fontsize=10,
        )  # fmt: skip
    for name, angles in marks.items():
        axes.axvline(float(np.mean(angles)), color=SUBSETS[name].color, linestyle=(0, (5, 3)), linewidth=1.3)


def heat_map(axes: Axes, values: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> None:
    """A table of shares from 0 to 1 as shades, each with its number in percent; ``values`` [rows, columns]."""
    axes.imshow(values, cmap="cividis_r", vmin=0, vmax=1, aspect="auto")
    axes.grid(visible=False)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            axes.text(
                column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=10,
                color=PAPER if value > 0.55 else INK,
            )  # fmt: skip


def band(axes: Axes, x: Sequence[float], samples: np.ndarray, style: Style, label: str, marker: str = "o") -> None:
    """Mean over seeds as a marked line, least to most as a band; ``samples`` [x, seeds]. `label_ends` names it."""
    axes.fill_between(x, samples.min(1), samples.max(1), color=style.color, alpha=0.15, linewidth=0)
    (line,) = axes.plot(x, samples.mean(1), marker, color=style.color, linestyle=style.line, markersize=4.5)
    line.set_gid(label)


def way_and_back(axes: Axes, x: Sequence[float], there: np.ndarray, back: np.ndarray, ylabel: str, top: float) -> None:
    """A loop: two bands of ``[x, seeds]``, each named at its end; the axis of values ends at ``top``."""
    band(axes, x, there, CLEAN, "up")
    band(axes, x, back, NOISY, "back", "s")
    axes.set(ylabel=ylabel, ylim=(0, top))
    label_ends(axes, gap=0.2)


def interval(
    axes: Axes, x: float, mean: float, low: float, high: float, style: Style, marker: str, label: str | None = None
) -> None:
    """A mean as a mark in its interval, upright."""
    axes.errorbar(
        x, mean, [[mean - low], [high - mean]], color=style.color, marker=marker, markersize=6, capsize=3,
        linewidth=1.4, label=label,
    )  # fmt: skip


def image_grid(images: np.ndarray, titles: Sequence[str], columns: int = 4) -> tuple[Figure, np.ndarray]:
    """Small grey images with a title above each; ``images`` [n, height, width]."""
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, 2.05 * rows), squeeze=False, layout="constrained")
    for place in axes.flat:
        place.axis("off")
    for place, image, title in zip(axes.flat, images, titles, strict=False):
        place.imshow(image, cmap="gray_r", interpolation="bicubic")
        place.set_title(title, fontsize=9.5, loc="center")
    return figure, axes
