"""Clean-priority learning as § 4 and § 5 show it: the three-panel figure (Figs. 5, 7, 12, 13) and its claims.

Used where the same is asked of several networks, widths and noise rates.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..press import figures, readings
from ..press.claims import Ledger
from ..press.rule import above, equal, towards
from ..records import Run, Runs

PANELS = {  # what a panel of a sweep shows: its axis, and of each curve the column, style and name
    "error": (
        "error",
        {
            "clean_error": (figures.CLEAN, "clean"),
            "noisy_error": (figures.NOISY, "noisy"),
            "test_error": (figures.TEST_DOTTED, "test"),
        },
    ),
    "residual": (
        "mean ‖f − y‖",
        {"clean_residual": (figures.CLEAN, "clean"), "noisy_residual": (figures.NOISY, "noisy")},
    ),
    "total": ("error", {"test_error": (figures.TEST, "test"), "train_error": (figures.TRAIN, "training")}),
}
FITTED = 0.01  # training error of a network that has learnt its labels
ONE_WAY = "from one way only to no direction"


def noisy_peak(run: Run) -> float:
    """The largest error on the noisy subset up to the early stop."""
    return float(run.until_stop("noisy_error").max())


def three_panels(runs: Runs, noise_rate: float) -> Figure:
    """Subset errors, subset residuals, total errors over the epochs; the early stop marked."""
    fig, (errors, residuals, totals) = figures.panels(3)
    for subset, style in (("clean", figures.CLEAN), ("noisy", figures.NOISY)):
        figures.curve(errors, runs.wide(f"{subset}_error"), style, subset)
        figures.curve(residuals, runs.wide(f"{subset}_residual"), style, subset)
    for subset, style, name in (("test", figures.TEST, "test"), ("train", figures.TRAIN, "training")):
        figures.curve(totals, runs.wide(f"{subset}_error"), style, name)
    errors.set(ylabel="error", ylim=(0, 1.03))
    residuals.set(ylabel="mean ‖f − y‖", ylim=(0, None))
    totals.set(ylabel="error", ylim=(0, None))
    figures.level(totals, noise_rate, "noise rate δ", x=0.3, below=True)
    finish([errors, residuals, totals], runs)
    return fig


def conditions(sweep: Mapping[str, Runs], rates: Sequence[float], shown: str = "error") -> Figure:
    """Curves of each condition of a sweep in a panel of its own; ``rates`` are their noise rates.

    ``shown``: one of `PANELS`. The noise rate is drawn where there is a test error.
    """
    axis, curves = PANELS[shown]
    fig, places = figures.panels(len(sweep), height=2.0)
    for axes, (name, runs), rate in zip(places, sweep.items(), rates, strict=True):
        for column, (style, label) in curves.items():
            figures.curve(axes, runs.wide(column), style, label)
        if "test_error" in curves:
            figures.level(axes, rate, "δ", x=0.97)
        # above the panel stands the early stop, anywhere
        axes.set(ylabel=f"{name}\n{axis}", ylim=(0, 1.03 if shown == "error" else None))
    figures.epoch_axis(places, last=max(int(runs[0].history["epoch"].max()) for runs in sweep.values()))
    for axes, runs in zip(places, sweep.values(), strict=True):
        figures.early_stop([axes], runs.early_stops)
        figures.label_ends(axes, gap=0.15)
    return fig


def finish(axes: Sequence[Axes], runs: Runs) -> None:
    """Epochs, early stop and names of the curves."""
    figures.epoch_axis(axes, last=int(runs[0].history["epoch"].max()))
    figures.early_stop(axes, runs.early_stops)
    for one in axes:
        figures.label_ends(one)


def steadiness(run: Run, column: str, sign: int, *, log: bool = False) -> float:
    """How far a column moves one way only up to the early stop: 1 if it never turns, about 0 if it goes nowhere.

    Its net change, counted positive in the direction of ``sign``, over all that it moves; ``log``: of its logarithm.
    """
    values = run.until_stop(column)
    return sign * readings.steadiness(np.log(values) if log else values)


def after_stop(run: Run, column: str = "test_error") -> float:
    """A column in the epoch after the early stop, or at the last one.

    The stop is where the test error is least, by choice: a later rise is judged from the epoch after it.
    """
    return float(run.after_stop(column)[:2][-1])


def first_fit(run: Run) -> float:
    """The first epoch with at most 1 % training error; NaN if there is none."""
    fitted = run.history.loc[run.history["train_error"] <= FITTED, "epoch"]
    return float(fitted.iloc[0]) if len(fitted) else float("nan")


def between_stop_and_fit(run: Run, columns: Sequence[str]) -> np.ndarray:
    """Columns from the epoch after the early stop to the first fit, or to the end without one: ``[epochs, columns]``.

    The last row alone where the stop is at the end.
    """
    epochs, fit = run.history["epoch"], first_fit(run)
    later = run.history.loc[(epochs > run.early_stop) & ~(epochs > fit), list(columns)]
    return (later if len(later) else run.history[list(columns)].tail(1)).to_numpy()


def check(ledger: Ledger, runs: Runs, noise_rate: float, *, id: str, of: str, source: str, figure: str) -> None:
    """The four claims of a learning-dynamics figure; ``of`` names the network in words, ``id`` in the ledger."""
    shown = dict.fromkeys(PANELS, (source, figure))
    check_early_stage(ledger, {"": runs}, id=id, where=f" ({of})", shown=shown)
    check_u(ledger, {"": runs}, [noise_rate], id=id, where=f" ({of})", source=source, figure=figure)


def check_early_stage(
    ledger: Ledger, sweep: Mapping[str, Runs], *, id: str, where: str, shown: Mapping[str, tuple[str, str]]
) -> None:
    """The claims on the early stage, for each condition by name (one alone: "").

    ``where`` says of which in words; ``shown``: source and figure, by what is shown (`PANELS`). That the clean
    residual falls is no claim: the stop is where images like the clean ones are answered best.
    """
    start = {name: runs.wide("noisy_error").iloc[0].to_numpy() for name, runs in sweep.items()}
    peak = _each(sweep, noisy_peak)
    source, figure = shown["error"]
    ledger.check(
        f"{id}-noisy-error-rises",
        says=f"In the early stage the error on the noisy subset rises towards 1{where}.",
        source=source,
        figure=figure,
        measured=_named({"start": start, "peak": peak}),
        parts=_named({"rises": {name: towards(peak[name], 1, start[name], "from the start to 1") for name in sweep}}),
    )
    falls = _each(sweep, lambda run: steadiness(run, "clean_error", -1))
    stop = {name: runs.at_early_stop("clean_error") for name, runs in sweep.items()}
    ledger.check(
        f"{id}-clean-error-falls",
        says=f"In the early stage the error on the clean subset keeps falling{where}.",
        source=source,
        figure=figure,
        measured=_named({"early stop": stop, "net change over all movement": falls}),
        parts=_named({"one way": {name: equal(falls[name], 1, 0, ONE_WAY) for name in sweep}}),
    )
    low = {name: runs.wide("noisy_residual").iloc[0].to_numpy() for name, runs in sweep.items()}
    high = {name: runs.at_early_stop("noisy_residual") for name, runs in sweep.items()}
    rises = _each(sweep, lambda run: steadiness(run, "noisy_residual", 1))
    source, figure = shown["residual"]
    ledger.check(
        f"{id}-residuals-part",
        says=f"In the early stage the mean residual on the noisy subset rises, and monotonically{where}.",
        source=source,
        figure=figure,
        measured=_named({"start": low, "early stop": high, "net change over all movement": rises}),
        parts=_named(
            {
                "rises": {name: above(high[name], low[name], "the start") for name in sweep},
                "one way": {name: equal(rises[name], 1, 0, ONE_WAY) for name in sweep},
            }
        ),
    )


def check_u(
    ledger: Ledger,
    sweep: Mapping[str, Runs],
    rates: Sequence[float],
    *,
    id: str,
    where: str,
    source: str,
    figure: str,
) -> None:
    """The claim on the test error, for each condition by name (one alone: "") and its noise rate."""
    level = dict(zip(sweep, rates, strict=True))
    best = {name: runs.at_early_stop("test_error") for name, runs in sweep.items()}
    later = _each(sweep, after_stop)
    last = {name: runs.wide("test_error").iloc[-1].to_numpy() for name, runs in sweep.items()}
    ledger.check(
        f"{id}-test-error-u",
        says=f"The test error makes a U: far below the noise rate at the early stop, and rising later{where}.",
        source=source,
        figure=figure,
        measured=_named({"early stop": best, "epoch after it": later, "last epoch": last}),
        parts=_named(
            {
                "far below": {name: towards(best[name], 0, level[name], "from the noise rate to 0") for name in sweep},
                "rises": {name: above(last[name], later[name], "the epoch after the stop") for name in sweep},
            }
        ),
    )


def _each(sweep: Mapping[str, Runs], measure: Callable[[Run], float]) -> dict[str, list[float]]:
    return {name: runs.each(measure) for name, runs in sweep.items()}


def _named(some: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What is given by what it is and by condition, under one name: "peak, width 32", or "peak" for one alone."""
    return {", ".join(filter(None, (what, name))): value for what, by in some.items() for name, value in by.items()}
