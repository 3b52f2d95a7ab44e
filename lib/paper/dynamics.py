"""Clean-priority learning as § 4 and § 5 show it: the three-panel figure (Figs. 5, 7, 12, 13) and its claims.

Used where the same is asked of several networks, widths and noise rates.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..press import figures
from ..press.claims import Ledger
from ..records import Run, Runs


def noisy_peak(run: Run) -> float:
    """The largest error on the noisy subset up to the early stop."""
    return float(run.until_stop("noisy_error").max())


def three_panels(runs: Runs, noise_rate: float) -> Figure:
    """Subset errors, subset residuals, total errors over the epochs; the early stop marked."""
    fig, (errors, residuals, totals) = figures.panels(3)
    for subset, style in (("clean", figures.CLEAN), ("noisy", figures.NOISY)):
        figures.curve(errors, runs.wide(f"{subset}_error"), style, subset)
        figures.curve(residuals, runs.wide(f"{subset}_residual"), style, subset)
    figures.curve(totals, runs.wide("test_error"), figures.TEST, "test")
    figures.curve(totals, runs.wide("train_error"), figures.TRAIN, "training")
    errors.set(ylabel="error", ylim=(0, 1.03))
    residuals.set(ylabel="mean ‖f − y‖", ylim=(0, None))
    totals.set(ylabel="error", ylim=(0, None))
    figures.level(totals, noise_rate, "noise rate δ", x=0.3, below=True)
    finish([errors, residuals, totals], runs)
    return fig


def condition(axes: Axes, runs: Runs, noise_rate: float, title: str) -> None:
    """One panel of several: clean, noisy and test error of one condition, its own early stop marked."""
    for column, style, name in (
        ("clean_error", figures.CLEAN, "clean"),
        ("noisy_error", figures.NOISY, "noisy"),
        ("test_error", figures.TEST_DOTTED, "test"),
    ):
        figures.curve(axes, runs.wide(column), style, name)
    figures.level(axes, noise_rate, "δ", x=0.97)
    axes.set(ylabel=f"{title}\nerror", ylim=(0, 1.03))  # above the panel stands the early stop, anywhere


def conditions(sweep: Mapping[str, Runs], rates: Sequence[float]) -> Figure:
    """A panel for each condition of a sweep, under its name; ``rates`` are their noise rates."""
    fig, places = figures.panels(len(sweep), height=2.0)
    for axes, (name, runs), rate in zip(places, sweep.items(), rates, strict=True):
        condition(axes, runs, rate, name)
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


def check(ledger: Ledger, runs: Runs, noise_rate: float, *, id: str, of: str, source: str, figure: str) -> None:
    """The four claims of a learning-dynamics figure; ``of`` names the network in words, ``id`` in the ledger."""
    start, peak = runs.wide("noisy_error").iloc[0].to_numpy(), np.array(runs.each(noisy_peak))
    ledger.check(
        f"{id}-noisy-error-rises",
        says=f"In the early stage the error on the noisy subset rises towards 1 ({of}).",
        source=source,
        criterion="its peak up to the early stop closes at least half of the gap between its start and 1",
        figure=figure,
        measured={"start": start, "peak": peak},
        passes=peak - start >= 0.5 * (1 - start),
    )
    first, stop = runs.wide("clean_error").iloc[0].to_numpy(), runs.at_early_stop("clean_error")
    ledger.check(
        f"{id}-clean-error-falls",
        says=f"In the early stage the error on the clean subset falls ({of}).",
        source=source,
        criterion="at the early stop at most half of its start",
        figure=figure,
        measured={"start": first, "early stop": stop},
        passes=stop <= first / 2,
    )
    residuals = {
        f"{subset}, {when}": values
        for subset in ("clean", "noisy")
        for when, values in (
            ("start", runs.wide(f"{subset}_residual").iloc[0].to_numpy()),
            ("early stop", runs.at_early_stop(f"{subset}_residual")),
        )
    }
    ledger.check(
        f"{id}-residuals-part",
        says=f"In the early stage the mean residual falls on the clean subset and rises on the noisy one ({of}).",
        source=source,
        criterion="clean: lower at the early stop than at the start; noisy: higher",
        figure=figure,
        measured=residuals,
        passes={
            "clean": residuals["clean, early stop"] < residuals["clean, start"],
            "noisy": residuals["noisy, early stop"] > residuals["noisy, start"],
        },
    )
    best, end = runs.at_early_stop("test_error"), runs.wide("test_error").iloc[-1].to_numpy()
    ledger.check(
        f"{id}-test-error-u",
        says=f"The test error makes a U: well below the noise rate at the early stop, worse later ({of}).",
        source=source,
        criterion="at the early stop at most half the noise rate; in the last epoch higher by a quarter of it",
        figure=figure,
        measured={"early stop": best, "last epoch": end},
        passes={"below": best <= noise_rate / 2, "worse later": end >= best + noise_rate / 4},
    )


def check_sweep(ledger: Ledger, sweep: Mapping[str, Runs], *, id: str, every: str, source: str, figure: str) -> None:
    """The claims on the early stage for all conditions of a sweep at once; ``every`` says "at every ..." in words."""
    start = {name: runs.wide("noisy_error").iloc[0].to_numpy() for name, runs in sweep.items()}
    peak = {name: np.array(runs.each(noisy_peak)) for name, runs in sweep.items()}
    ledger.check(
        f"{id}-noisy-error-rises",
        says=f"In the early stage the noisy subset's error rises towards 1, {every}.",
        source=f"{source} left",
        criterion="its peak up to the early stop closes at least half of the gap between its start and 1",
        figure=figure,
        measured={f"start, {name}": values for name, values in start.items()}
        | {f"peak, {name}": values for name, values in peak.items()},
        passes={name: peak[name] - start[name] >= 0.5 * (1 - start[name]) for name in sweep},
    )
    stop = {name: runs.at_early_stop("clean_error") for name, runs in sweep.items()}
    ledger.check(
        f"{id}-clean-error-falls",
        says=f"… and the clean subset's error falls, {every}.",
        source=f"{source} left",
        criterion="at the early stop at most half of its start",
        figure=figure,
        measured={f"at the early stop, {name}": values for name, values in stop.items()},
        passes={name: stop[name] <= runs.wide("clean_error").iloc[0].to_numpy() / 2 for name, runs in sweep.items()},
    )
    moved = {
        f"{subset}, {name}": runs.at_early_stop(f"{subset}_residual")
        - runs.wide(f"{subset}_residual").iloc[0].to_numpy()
        for subset in ("clean", "noisy")
        for name, runs in sweep.items()
    }
    ledger.check(
        f"{id}-residuals-part",
        says=f"The mean residual falls on the clean subset and rises on the noisy one, {every}.",
        source=f"{source} middle",
        criterion="between the start and the early stop",
        figure=figure,
        measured=moved,
        passes={name: values < 0 if name.startswith("clean") else values > 0 for name, values in moved.items()},
    )
