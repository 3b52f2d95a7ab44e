"""Clean-priority learning as § 4 and § 5 show it: the three-panel figure (Figs. 5, 7, 12, 13) and its claims.

Used where the same is asked of several networks, widths and noise rates.
"""

from collections.abc import Mapping, Sequence
from functools import partial

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
    for subset, style, name in (("test", figures.TEST, "test"), ("train", figures.TRAIN, "training")):
        figures.curve(totals, runs.wide(f"{subset}_error"), style, name)
    errors.set(ylabel="error", ylim=(0, 1.03))
    residuals.set(ylabel="mean ‖f − y‖", ylim=(0, None))
    totals.set(ylabel="error", ylim=(0, None))
    figures.level(totals, noise_rate, "noise rate δ", x=0.3, below=True)
    finish([errors, residuals, totals], runs)
    return fig


def conditions(sweep: Mapping[str, Runs], rates: Sequence[float]) -> Figure:
    """Clean, noisy and test error, a panel for each condition of a sweep; ``rates`` are their noise rates."""
    subsets = {"clean": figures.CLEAN, "noisy": figures.NOISY, "test": figures.TEST_DOTTED}
    fig, places = figures.panels(len(sweep), height=2.0)
    for axes, (name, runs), rate in zip(places, sweep.items(), rates, strict=True):
        for subset, style in subsets.items():
            figures.curve(axes, runs.wide(f"{subset}_error"), style, subset)
        figures.level(axes, rate, "δ", x=0.97)
        axes.set(ylabel=f"{name}\nerror", ylim=(0, 1.03))  # above the panel stands the early stop, anywhere
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


RISES = "its peak up to the early stop closes at least half of the gap between its start and 1"
FALLS = "at the early stop at most half of its start"


def _early_stage(runs: Runs) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Errors and residuals of the two subsets at the start and at the early stop, ``[seeds]`` each."""
    columns = [f"{subset}_{what}" for what in ("error", "residual") for subset in ("clean", "noisy")]
    start = {column: runs.wide(column).iloc[0].to_numpy() for column in columns}
    return start, {column: runs.at_early_stop(column) for column in columns}


def check(ledger: Ledger, runs: Runs, noise_rate: float, *, id: str, of: str, source: str, figure: str) -> None:
    """The four claims of a learning-dynamics figure; ``of`` names the network in words, ``id`` in the ledger."""
    claim = partial(ledger.check, source=source, figure=figure)
    start, stop = _early_stage(runs)
    first, peak = start["noisy_error"], np.array(runs.each(noisy_peak))
    claim(
        f"{id}-noisy-error-rises",
        says=f"In the early stage the error on the noisy subset rises towards 1 ({of}).",
        criterion=RISES,
        measured={"start": first, "peak": peak},
        passes=peak - first >= 0.5 * (1 - first),
    )
    claim(
        f"{id}-clean-error-falls",
        says=f"In the early stage the error on the clean subset falls ({of}).",
        criterion=FALLS,
        measured={"start": start["clean_error"], "early stop": stop["clean_error"]},
        passes=stop["clean_error"] <= start["clean_error"] / 2,
    )
    claim(
        f"{id}-residuals-part",
        says=f"In the early stage the mean residual falls on the clean subset and rises on the noisy one ({of}).",
        criterion="clean: lower at the early stop than at the start; noisy: higher",
        measured={
            f"{subset}, {when}": values[f"{subset}_residual"]
            for subset in ("clean", "noisy")
            for when, values in (("start", start), ("early stop", stop))
        },
        passes={
            "clean": stop["clean_residual"] < start["clean_residual"],
            "noisy": stop["noisy_residual"] > start["noisy_residual"],
        },
    )
    best, end = runs.at_early_stop("test_error"), runs.wide("test_error").iloc[-1].to_numpy()
    claim(
        f"{id}-test-error-u",
        says=f"The test error makes a U: well below the noise rate at the early stop, worse later ({of}).",
        criterion="at the early stop at most half the noise rate; in the last epoch higher by a quarter of it",
        measured={"early stop": best, "last epoch": end},
        passes={"below": best <= noise_rate / 2, "worse later": end >= best + noise_rate / 4},
    )


def check_sweep(ledger: Ledger, sweep: Mapping[str, Runs], *, id: str, every: str, source: str, figure: str) -> None:
    """The claims on the early stage for all conditions of a sweep at once; ``every`` says "at every ..." in words."""
    claim = partial(ledger.check, figure=figure)
    stages = {name: _early_stage(runs) for name, runs in sweep.items()}
    first = {name: start["noisy_error"] for name, (start, _) in stages.items()}
    peak = {name: np.array(runs.each(noisy_peak)) for name, runs in sweep.items()}
    claim(
        f"{id}-noisy-error-rises",
        says=f"In the early stage the noisy subset's error rises towards 1, {every}.",
        source=f"{source} left",
        criterion=RISES,
        measured={f"start, {name}": values for name, values in first.items()}
        | {f"peak, {name}": values for name, values in peak.items()},
        passes={name: peak[name] - first[name] >= 0.5 * (1 - first[name]) for name in sweep},
    )
    claim(
        f"{id}-clean-error-falls",
        says=f"… and the clean subset's error falls, {every}.",
        source=f"{source} left",
        criterion=FALLS,
        measured={f"at the early stop, {name}": stop["clean_error"] for name, (_, stop) in stages.items()},
        passes={name: stop["clean_error"] <= start["clean_error"] / 2 for name, (start, stop) in stages.items()},
    )
    moved = {
        f"{subset}, {name}": stop[f"{subset}_residual"] - start[f"{subset}_residual"]
        for subset in ("clean", "noisy")
        for name, (start, stop) in stages.items()
    }
    claim(
        f"{id}-residuals-part",
        says=f"The mean residual falls on the clean subset and rises on the noisy one, {every}.",
        source=f"{source} middle",
        criterion="between the start and the early stop",
        measured=moved,
        passes={name: values < 0 if name.startswith("clean") else values > 0 for name, values in moved.items()},
    )
