# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Finite size: does the collapse sharpen?
#
# Does a wider network protect you from the collapse of [chapter 12](12_two_gradients.ipynb), and is the collapse a
# phase transition? In a phase transition larger systems would show it more clearly: the curve would be steeper, its
# fluctuations higher and narrower, and after rescaling by the size all curves would fall on one. An experiment that
# goes on from chapters 12 and [13](13_hysteresis.ipynb) takes the width of the network as the size, and looks at the
# spread of the final error near the collapse.
#
# In short: there is no sign of a transition. The collapse of the widest network is less steep than that of the
# narrowest and its fluctuations are lower, and the rescaled curves do not fall on one. In the results that the authors
# published slope and variance fall with the width, too; their window is too narrow for a peak or a fit. Both show that
# the collapse moves to a larger share $\lambda$ of the clean gradient as the network gets wider. But width is no full
# protection: in longer trainings more networks collapse.

# %% tags=["hide-input"]
import sys; sys.path += [".", "..", "../.."]  # the book's folder: run this inside it  # fmt: skip
from lib.press import chapters, claims, figures, show

# %% tags=["hide-input", "parameters"]
from typing import Optional

profile: str = "best"  # one of best, smoke, cpu, paper: smoke trains live in seconds, best is the largest recorded
seeds: Optional[int] = None  # how many, at least 10; None: as many as the profile has
fresh: bool = False  # train anew even where a record is there
device: str = "auto"  # one of auto, cpu, cuda: auto is CUDA where there is a card

# %% tags=["hide-input"]
from dataclasses import replace
from itertools import pairwise

import numpy as np

from lib.beyond import presets, published, scaling
from lib.press import readings
from lib.press.rule import about, above, always, below, mostly

WIDTHS = {"smoke": (8, 16, 32), "cpu": (16, 32, 64, 128), "paper": (32, 64, 128)}
WINDOW = {"smoke": (0.2, 0.35, 0.45, 0.55, 0.65, 0.8)} | dict.fromkeys(
    ("cpu", "paper"), (0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8)
)
SEEDS = {"smoke": 10, "cpu": 50, "paper": 10}  # at the high noise rate; a fourth cumulant needs fifty
LOW_SEEDS = {"smoke": 0, "cpu": 16, "paper": 10}
LONG = {"smoke": (0.2, 0.35), "cpu": (0.4, 0.5, 0.6, 0.7), "paper": (0.4, 0.5, 0.6, 0.7)}  # mixes of the long trainings
LONG_SEEDS = {"smoke": 3, "cpu": 16, "paper": 10}
HIGH, LOW = 0.8, 0.4
BEYOND = (0.9, 1.0)  # more mixes at the low noise rate, where the collapse of wide networks lies beyond the window
GRIDS = {HIGH: (0.38, 0.40, 0.42, 0.44, 0.46), LOW: (0.42, 0.44, 0.46, 0.48, 0.50)}  # the original's five mixes at each
GRID_SEEDS = {"smoke": 0, "cpu": 10, "paper": 10}  # as many as in the original
GRID_WIDTHS = {"smoke": (), "cpu": (32, 64, 128), "paper": (32, 64, 128)}  # half, once and twice the chapters' width


def plan(profile: str) -> dict[str, list]:
    """One window of mixes for all widths and noise rates, and longer trainings for the lifetimes."""
    one = replace(presets.two_gradients(profile), mixes=WINDOW[profile])
    groups = {}
    for width in WIDTHS[profile]:
        wide = replace(one, model=replace(one.model, widths=(width,) * len(one.model.widths)))
        long = replace(wide, mixes=LONG[profile], epochs=2 * one.epochs, milestones=())
        low = replace(wide, noise_rates=(LOW,))
        kinds = [("high", wide, SEEDS), ("low", low, LOW_SEEDS), ("long", long, LONG_SEEDS)]
        kinds += [("low, beyond", replace(low, mixes=BEYOND), LOW_SEEDS)]
        if width in GRID_WIDTHS[profile]:
            kinds += [
                (f"grid {rate}", replace(wide, noise_rates=(rate,), mixes=GRIDS[rate]), GRID_SEEDS) for rate in GRIDS
            ]
        for name, scan, count in kinds:
            if count[profile]:
                groups[f"{name} {width}"] = [replace(scan, seeds=chapters.default(seeds, count[profile]))]
    return groups


if seeds is not None and seeds < 10:
    raise ValueError(f"seeds is {seeds}: this chapter looks at fluctuations, and needs at least 10")


profile, runs, ledger = chapters.open_chapter("14_finite_size", globals(), plan)
scans = {name: readings.Scan(some) for name, some in runs.items()}
widths, window = WIDTHS[profile], WINDOW[profile]
count = runs[f"high {widths[0]}"][0].experiment.seeds
show.markdown(
    f"Profile `{profile}`: two hidden layers of {', '.join(map(str, widths))} neurons, λ from {window[0]} to {window[-1]}; "
    f"{count} seeds at noise rate {HIGH}" + (f", {LOW_SEEDS[profile]} at {LOW}." if LOW_SEEDS[profile] else ".")
)


def over_window(group: str, width: int, column: str = "test_error") -> tuple[np.ndarray, np.ndarray]:
    """Mixes, and a column after the last epoch, ``[mixes, seeds]``; for "low" with the mixes beyond the window."""
    parts = [scans[f"{name} {width}"] for name in (group, f"{group}, beyond") if f"{name} {width}" in scans]
    return np.concatenate([part.mixes for part in parts]), np.concatenate([part.over_mixes(column) for part in parts])


def samples(group: str, width: int) -> np.ndarray:
    """Order parameters, ``[mixes, seeds]``."""
    return scaling.order_parameter(over_window(group, width)[1], 0.9)


cells = {width: samples("high", width) for width in widths}
STYLES = (figures.CLEAN, figures.NOISY, figures.FIRST, figures.SECOND)
MARKERS = ("o", "s", "^", "D")

# %% tags=["hide-input"]
groups = np.array_split(np.arange(count), max(2, count // 10))
GROUP = "group"


def steepest(m: np.ndarray) -> float:
    """The largest fall of the mean between neighbouring λ, per unit of λ."""
    return float((-np.diff(m.mean(1)) / np.diff(window)).max())


def highest(m: np.ndarray) -> tuple[float, bool]:
    """The peak of the variance; on the edge of the window the largest value, and that it is no peak."""
    variance = m.var(1, ddof=1)
    try:
        return scaling.peak(window, variance)[1], True
    except scaling.EdgePeak:
        return float(variance.max()), False


slope = {width: np.array([steepest(cells[width][:, group]) for group in groups]) for width in widths}
peaks = {width: [highest(cells[width][:, group]) for group in groups] for width in widths}
height = {width: np.array([value for value, _ in some]) for width, some in peaks.items()}
inside = {width: np.array([is_peak for _, is_peak in some]) for width, some in peaks.items()}
thin, wide = widths[0], widths[-1]


def half_way(m: np.ndarray) -> float:
    """The λ at which the mean has fallen half-way from its largest to its last value."""
    mean = m.mean(1)
    level = (mean.max() + mean[int(mean.argmax()) :].min()) / 2
    return float(readings.passage(window, -mean[:, None], -level)[0])


place = {width: np.array([half_way(cells[width][:, group]) for group in groups]) for width in widths}
show.markdown(
    "We measure a network by $m$, which is 1 if it makes no error and 0 if it guesses. "
    f"From width {thin} to {wide} the steepest slope of the mean of $m$ goes from {claims.number(slope[thin].mean())} to "
    f"{claims.number(slope[wide].mean())} per unit of λ, and the largest variance from {claims.number(height[thin].mean())} to "
    f"{claims.number(height[wide].mean())}. The λ at which the mean has fallen half-way goes from "
    f"{claims.number(place[thin].mean())} to {claims.number(place[wide].mean())} (means over groups of seeds)."
)

# %% [markdown]
# ## Mean, variance and fourth cumulant
#
# The figure shows none of the three marks of a phase transition. It is about the order parameter $m = 1-e/0.9$, where
# $e$ is the test error at the end of a training: 1 for a perfect network, 0 for one that guesses among ten classes.
# Over $\lambda$ it shows the mean of $m$ over seeds, its variance, and Binder's cumulant, a ratio of moments. In a
# phase transition wider networks would have a steeper mean and a higher peak of the variance, and the curves of
# Binder's cumulant would cross at one place. The noise rate $\delta$, the share of wrong labels, is 0.8 here.

# %% figure="fig-finite-moments" tags=["hide-input"]
draws = np.random.default_rng(0)
found = {width: [scaling.moments(cell, draws) for cell in cells[width]] for width in widths}
columns = {"mean": "mean of m", "variance": "variance of m"}
if found[widths[0]][0].binder:
    columns["binder"] = "Binder's cumulant"
fig, places = figures.panels(len(columns), height=2.4)
for axes, (name, label) in zip(places, columns.items(), strict=True):
    for width, style, marker in zip(widths, STYLES, MARKERS, strict=False):
        estimates = [getattr(moment, name) for moment in found[width]]
        low, high = [e.low for e in estimates], [e.high for e in estimates]
        axes.fill_between(window, low, high, color=style.color, alpha=0.15, linewidth=0)
        (line,) = axes.plot(
            window, [e.value for e in estimates], marker, color=style.color, linestyle=style.line, markersize=4.5
        )
        line.set_gid(f"{width}")
    axes.set(ylabel=label)
    figures.label_ends(axes, gap=0.14)
places[-1].set_xlabel("share of the clean gradient λ")
show.figure(fig, *(runs[f"high {width}"] for width in widths))

# %% [markdown]
# A spread is a property of many seeds. So the next claims compare groups of seeds, ten in each at `cpu`, and not single
# seeds.

# %% tags=["hide-input"]
ledger.check(
    "finite-sharpens",
    says="The transition gets sharper as the model grows.",
    source="earlier notebook on finite-size scaling; δ = 0.8",
    figure="fig-finite-moments",
    measured={f"slope, width {width}": values for width, values in slope.items()},
    parts={"logarithm of the steepest slope": above(np.log(slope[wide]), np.log(slope[thin]), f"that of width {thin}")},
    each=GROUP,
)
ledger.check(
    "finite-peak-grows",
    says="The peak of the variance gets higher as the model grows.",
    source="earlier notebook on finite-size scaling; δ = 0.8",
    figure="fig-finite-moments",
    measured={f"largest variance, width {width}": values for width, values in height.items()}
    | {f"inside the window, width {width}": values for width, values in inside.items()},
    parts={
        "logarithm of the largest variance": above(np.log(height[wide]), np.log(height[thin]), f"that of width {thin}")
    },
    each=GROUP,
)
ledger.check(
    "finite-place-moves",
    says="The place of the collapse moves to larger λ as the network gets wider.",
    source="this book; δ = 0.8",
    figure="fig-finite-moments",
    measured={f"half-way λ, width {width}": values for width, values in place.items()},
    parts={"half-way λ": above(place[wide], place[thin], f"that of width {thin}")},
    each=GROUP,
)

# %% [markdown]
# ## How it was measured
#
# For each width $L$ and each share $\lambda$ of the clean gradient there are many independent seeds. A *seed* draws
# the images of training and test, the wrong labels, the weights at the start and the order of the images. From the
# seeds we take:
#
# - The mean $\langle m\rangle$ and the variance of $m$, with bootstrap intervals. (Physics often shows the
#   susceptibility, a variance times a number of units, $N\,{\rm Var}(m)$. A network has no natural $N$, so we show the
#   variance.)
# - Binder's cumulant $U=1-\langle m^4\rangle/(3\langle m^2\rangle^2)$. At a transition the curves for different sizes
#   cross.
# - The data collapse, which has nothing to do with the collapse of a network: a fit of one function of
#   $(\lambda-\lambda_c)L^{1/\nu}$ to all widths, with a place $\lambda_c$ and an exponent $\nu$. Its quality $S$, of
#   Houdayer and Hartmann, is about 1 if the curves agree within their errors, and larger if they do not. (It is not the
#   staleness $S$ of chapter 12.)
#
# The tools (`lib.beyond.scaling`) are tested on systems whose answer is known: the tests simulate the two-dimensional
# Ising model and find its critical temperature and exponent. The next cell is a smaller test, live. It makes one set of
# curves from a known scaling function, and another in which each size has a place of its own. No rescaling can bring
# the curves of the second set together, and the analysis must say so:


# %% tags=["hide-input"]
def made(generator: np.random.Generator, shift: float) -> dict[float, dict[float, np.ndarray]]:
    """Samples of tanh((x - .5 - shift log2 L) L^(1/ν)) with ν = 2 and scatter, 50 runs a cell."""
    return {
        size: {
            x: np.tanh((x - 0.5 - shift * np.log2(size / 16)) * size**0.5) + 0.1 * generator.standard_normal(50)
            for x in np.linspace(0.2, 0.8, 13)
        }
        for size in (16.0, 32.0, 64.0)
    }


known = scaling.collapse(made(np.random.default_rng(0), 0.0), np.random.default_rng(1))
none = scaling.collapse(made(np.random.default_rng(0), 0.06), np.random.default_rng(1))
show.markdown(
    f"Known scaling (place 0.5, ν = 2): found {known.x_c.value:.3f} [{known.x_c.low:.3f}, {known.x_c.high:.3f}] and "
    f"ν = {known.nu.value:.2f} [{known.nu.low:.2f}, {known.nu.high:.2f}] with S = {known.quality:.1f}. "
    f"Curves that no rescaling brings together: best S = {none.quality:.1f}."
)

# %% [markdown]
# ## With 40 % wrong labels
#
# The original has two noise rates, 0.8 and 0.4. At 0.4 the picture is the same, at larger $\lambda$: wider networks
# collapse later and less steeply. For the widest one the collapse lies so far to the right that in a window up to 0.8
# the largest variance is on the edge. So our window here goes up to 1:

# %% figure="fig-finite-low" tags=["hide-input"]
if LOW_SEEDS[profile]:
    fig, (upper, lower) = figures.panels(2, height=2.4)
    rows = []
    for width, style, marker in zip(widths, STYLES, MARKERS, strict=False):
        reach, errors = over_window("low", width)
        estimates = [scaling.moments(cell, draws) for cell in scaling.order_parameter(errors, 0.9)]
        for axes, name in ((upper, "mean"), (lower, "variance")):
            some = [getattr(moment, name) for moment in estimates]
            axes.fill_between(
                reach, [e.low for e in some], [e.high for e in some], color=style.color, alpha=0.15, linewidth=0
            )
            (line,) = axes.plot(
                reach, [e.value for e in some], marker, color=style.color, linestyle=style.line, markersize=4.5
            )
            line.set_gid(f"{width}")
        variances = np.array([moment.variance.value for moment in estimates])
        told = []
        for last in (window[-1], reach[-1]):
            try:
                at, top = scaling.peak(reach[reach <= last + 1e-9], variances[reach <= last + 1e-9])
                told.append(f"{at:.2f}, height {claims.number(top)}")
            except scaling.EdgePeak:
                told.append("on the edge: no peak")
        rows.append([f"{width}", *told])
    upper.set(ylabel="mean of m")
    lower.set(ylabel="variance of m", xlabel="share of the clean gradient λ")
    for axes in (upper, lower):
        figures.label_ends(axes, gap=0.14)
    show.figure(fig, *(some for name, some in runs.items() if name.startswith("low")))
else:
    show.markdown(f"The profile `{profile}` has no runs at this noise rate; the recorded one has.")

# %% tags=["hide-input"]
if LOW_SEEDS[profile]:
    show.table(rows, ["width, δ = 0.4", f"peak of the variance, window to {window[-1]:g}", f"window to {reach[-1]:g}"])

# %% [markdown]
# ## A window that is too narrow
#
# Did the published runs see a peak? No: their variance still grows at the edge of the window. The original looks at
# five values of $\lambda$ for each noise rate: 0.38 to 0.46 at noise rate 0.8, and 0.42 to 0.50 at 0.4. Its authors
# published these 300 trainings: a ResNet-18 of half its width, its own width and twice that, with ten seeds. The figure
# shows their variance beside ours, in the same two windows and with ten seeds as well. A peak counts only if the
# variance falls on both sides of it inside the window.

# %% figure="fig-finite-grids" tags=["hide-input"]
theirs = published.read("finite_size", fresh=fresh)
THEIR_WIDTHS = (0.5, 1.0, 2.0)


def resnet(rate: float, width: float, column: str = "test_error") -> np.ndarray:
    """Published values, ``[five mixes, ten seeds]``."""
    rows = theirs[np.isclose(theirs["noise_rate"], rate) & np.isclose(theirs["width"], width)]
    return rows.pivot(index="mix", columns="seed", values=column).to_numpy()


their_cells = {
    (rate, width): scaling.order_parameter(resnet(rate, width), 0.9) for rate in (HIGH, LOW) for width in THEIR_WIDTHS
}
own_cells = {
    (rate, width): scaling.order_parameter(scans[f"grid {rate} {width}"].over_mixes("test_error"), 0.9)
    for rate in (HIGH, LOW)
    for width in widths
    if f"grid {rate} {width}" in scans
}
shown = [("ResNet-18, published", their_cells)] + ([("small networks, ours", own_cells)] if own_cells else [])
fig, places = figures.panels(2 * len(shown), height=2.0, common=False)
for axes, (label, some, rate) in zip(
    places, [(label, some, rate) for rate in (HIGH, LOW) for label, some in shown], strict=True
):
    for (_, width), style, marker in zip([key for key in some if key[0] == rate], STYLES, MARKERS, strict=False):
        (line,) = axes.plot(
            GRIDS[rate],
            some[rate, width].var(1, ddof=1),
            marker,
            color=style.color,
            linestyle=style.line,
            markersize=4.5,
        )
        line.set_gid(f"{width:g}")
    axes.set(ylabel=f"δ = {rate:g}: variance\n{label}", yscale="log")
    figures.label_ends(axes, gap=0.15)
places[-1].set_xlabel("share of the clean gradient λ")
show.figure(
    fig, "ResNet-18: the published table of widths", *(some for name, some in runs.items() if name.startswith("grid"))
)

# %% tags=["hide-input"]
show.markdown(published.credit())


def seen(control, m: np.ndarray) -> str:
    """What the variance says of a peak."""
    try:
        return f"a peak at {scaling.peak(control, m.var(1, ddof=1))[0]:.2f}"
    except scaling.EdgePeak as refused:
        return str(refused)


show.table(
    [
        [label, f"{rate:g}", f"{width:g}", seen(GRIDS[rate], m)]
        for label, some in shown
        for (rate, width), m in some.items()
    ],
    ["whose", "δ", "width", "in the five-point window"],
)
on_edge = ["edge" in seen(GRIDS[rate], m) for (rate, _), m in their_cells.items()]
ledger.check(
    "finite-published-edge",
    says="In the published runs the largest variance lies on the edge of the window, so that no peak was seen.",
    source="published runs (ResNet-18, CIFAR-10), finite size; this book's reading",
    figure="fig-finite-grids",
    measured={"on the edge": on_edge},
    parts={"on the edge": mostly(on_edge, "largest variance on the edge", of="cells")},
    each="cell",
)
log_variance = {
    width: np.concatenate([np.log(their_cells[rate, width].var(1, ddof=1)) for rate in (HIGH, LOW)])
    for width in THEIR_WIDTHS
}
ledger.check(
    "finite-published-variance",
    says="In the published runs the variance gets higher as the model grows.",
    source="earlier notebook on finite-size scaling, what it looks for, in its published runs",
    figure="fig-finite-grids",
    measured={f"logarithm of the variance, width {width:g}": values for width, values in log_variance.items()},
    parts={"width 2 against 0.5, at one λ": above(log_variance[2.0], log_variance[0.5], "that of width 0.5")},
    each="pair",
)
rise = {
    (rate, width): np.ptp(resnet(rate, width)[[0, -1]], axis=0) / (GRIDS[rate][-1] - GRIDS[rate][0])
    for rate in (HIGH, LOW)
    for width in THEIR_WIDTHS
}
ledger.check(
    "finite-published-sharpens",
    says="In the published runs the transition gets sharper as the model grows.",
    source="earlier notebook on finite-size scaling, what it looks for, in its published runs",
    figure="fig-finite-grids",
    measured={f"slope over the window, δ = {rate:g}, width {width:g}": v for (rate, width), v in rise.items()},
    parts={
        f"δ = {rate:g}": above(
            np.log(rise[rate, 2.0]), np.log(rise[rate, 0.5]), "the slope of width 0.5, as a logarithm"
        )
        for rate in (HIGH, LOW)
    },
)
lowest = {width: np.mean([resnet(rate, width).mean() for rate in (HIGH, LOW)]) for width in THEIR_WIDTHS}
ledger.check(
    "finite-published-place",
    says="In the published runs, as in ours, the collapse moves to larger λ as the network gets wider: at one λ near it, the wider network has the smaller error.",
    source="published runs (ResNet-18, CIFAR-10), finite size; this book's reading",
    figure="fig-finite-grids",
    measured={
        f"error at the window's end, δ = {rate:g}, width {width:g}": resnet(rate, width)[-1]
        for rate in (HIGH, LOW)
        for width in THEIR_WIDTHS
    },
    parts={
        f"δ = {rate:g}": below(resnet(rate, 2.0)[-1], resnet(rate, 0.5)[-1], "the error of width 0.5")
        for rate in (HIGH, LOW)
    },
)

# %% [markdown]
# ## Do the curves fall on one?
#
# They do not. The figure shows the best fit at noise rate 0.8: the mean of $m$ over the rescaled distance from the
# fitted place. At a transition the curves would lie on each other within their error bars, and $S$ would be about 1.
# The table below it gives the fits of both noise rates, for our networks and for the published runs. Where $S$ is far
# above 1, the fitted $\lambda_c$ and $\nu$ mean nothing, however narrow their intervals. The same is true where the fit
# ran into the end of the range that was searched (last column).


# %% figure="fig-finite-collapse" tags=["hide-input"]
def fitted(controls, some: dict[float, np.ndarray], draws: int = 200) -> scaling.Collapse:
    """The best collapse of order parameters ``[mixes, seeds]`` under their sizes."""
    table = {float(size): dict(zip(map(float, controls), m, strict=True)) for size, m in some.items()}
    return scaling.collapse(table, np.random.default_rng(2), draws=draws)


best = {HIGH: fitted(window, cells)}
if LOW_SEEDS[profile]:
    best[LOW] = fitted(over_window("low", widths[0])[0], {width: samples("low", width) for width in widths})
fit = best[HIGH]
fig, (axes,) = figures.panels(1, height=3.2)
for width, style, marker in zip(widths, STYLES, MARKERS, strict=False):
    x = (np.array(window) - fit.x_c.value) * width ** (1 / fit.nu.value)
    estimates = [moment.mean for moment in found[width]]
    y = np.array([e.value for e in estimates])
    spread = np.abs(np.array([[e.low for e in estimates], [e.high for e in estimates]]) - y)
    axes.errorbar(x, y, spread, fmt=marker, color=style.color, linestyle=style.line, markersize=4.5, label=f"{width}")
axes.set(xlabel="(λ − λc) × width^(1/ν)", ylabel="mean of m")
axes.legend(frameon=False, title="width")
show.figure(fig, *(runs[f"high {width}"] for width in widths))


# %% tags=["hide-input"]
def ends(estimate: scaling.Estimate) -> str:
    """A value with its interval."""
    return f"{estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}]"


fits = {f"ours, δ = {rate:g}": one for rate, one in best.items()}
fits |= {
    f"ResNet-18, published, δ = {rate:g}": fitted(GRIDS[rate], {w: their_cells[rate, w] for w in THEIR_WIDTHS})
    for rate in (HIGH, LOW)
}
show.table(
    [
        [
            name, ends(one.x_c), ends(one.nu), f"{one.quality:.1f}", f"{100 * one.overlap:.0f} %",
            ", ".join(one.at_bound) or "none",
        ]
        for name, one in fits.items()
    ],
    ["runs", "λc [95 %]", "ν [95 %]", "quality S", "points compared", "at the end of the search"],
)  # fmt: skip


def unscaled(some: dict[int, np.ndarray]) -> float:
    """S of the curves as they are, not rescaled: an infinite ν."""
    curves = [
        scaling.Curve(size, np.array(window), m.mean(1), m.std(1, ddof=1) / np.sqrt(m.shape[1]))
        for size, m in some.items()
    ]
    return float(scaling.quality(curves, 0.5, 1e9)[0])


of_groups = [{width: cells[width][:, group] for width in widths} for group in groups]
group_fits = [fitted(window, some, draws=100) for some in of_groups]
qualities, raw = np.array([one.quality for one in group_fits]), np.array([unscaled(some) for some in of_groups])
ledger.check(
    "finite-collapse",
    says="Rescaled by their width, the curves fall on one.",
    source="earlier notebook on finite-size scaling, what it looks for; δ = 0.8",
    figure="fig-finite-collapse",
    measured={
        "quality S, best collapse": qualities,
        "S of the curves as they are": raw,
        "λc and ν inside the searched range": [not one.at_bound for one in group_fits],
    },
    parts={"logarithm of S": about(np.log(qualities), 0.0, np.log(raw), "from 1 to the curves as they are")},
    each=GROUP,
)
if "binder" in columns:
    crossings = {
        f"{a} and {b}": scaling.crossing(
            window, {w: np.array([moment.binder.value for moment in found[w]]) for w in (a, b)}
        )
        for a, b in pairwise(widths)
    }
    at = [found_at[0] for found_at in crossings.values() if found_at]
    apart = float(np.ptp(at)) if len(at) == len(crossings) else window[-1] - window[0]
    ledger.check(
        "finite-binder",
        says="The curves of Binder's cumulant cross at one place.",
        source="this book; the standard test for a transition",
        figure="fig-finite-moments",
        measured={f"first crossing, {name}": [found_at[0]] for name, found_at in crossings.items() if found_at}
        | {"pairs that cross": [len(at)], "pairs": [len(crossings)]},
        parts={
            "one place": always([apart], min(np.diff(window)), "distance of the crossings (no crossing: the window)")
        },
        each="analysis of all seeds",
    )

# %% [markdown]
# ## The best error, and the cosine of the two gradients
#
# The original reports two more quantities: the best of its test evaluations beside the last, and the cosine of the two
# gradients, averaged over the training. The figure shows the cosine. Before the collapse it is below zero: the two
# gradients pull against each other. Beyond the collapse it rises. The text below the figure compares best and last.


# %% figure="fig-finite-cosine" tags=["hide-input"]
def mean_cosine(width: int) -> np.ndarray:
    """Cosine of noisy and clean gradient over the whole training, ``[mixes, seeds]``."""
    table = scans[f"high {width}"].table
    return table[table["epoch"] > 0].groupby(["mix", "seed"])["cosine"].mean().unstack().to_numpy()


fig, (upper, lower) = figures.panels(2, height=2.2, common=False)
for width, style, marker in zip(widths, STYLES, MARKERS, strict=False):
    figures.band(upper, window, mean_cosine(width), style, f"{width}", marker)
for width, style, marker in zip(THEIR_WIDTHS, STYLES, MARKERS, strict=False):
    figures.band(lower, GRIDS[HIGH], resnet(HIGH, width, "cosine"), style, f"{width:g}", marker)
for axes, label in ((upper, "small networks, ours"), (lower, "ResNet-18, published")):
    axes.axhline(0, color=figures.THEORY.color, linewidth=0.8)
    axes.set(ylabel=f"{label}\nmean cosine")
    figures.label_ends(axes, gap=0.14)
lower.set_xlabel("share of the clean gradient λ")
show.figure(fig, "ResNet-18: the published table of widths", *(runs[f"high {width}"] for width in widths))


# %% tags=["hide-input"]
def best_errors(width: int) -> np.ndarray:
    """Least test error after any epoch, ``[mixes, seeds]``."""
    table = scans[f"high {width}"].table
    return table[table["epoch"] > 0].groupby(["mix", "seed"])["test_error"].min().unstack().to_numpy()


def place_of(errors: np.ndarray) -> np.ndarray:
    """For each seed the λ at which the error gets above a half; the end of the window where it does not."""
    return np.nan_to_num(readings.passage(window, errors, readings.COLLAPSED_FROM), nan=window[-1])


by_best = np.mean([place_of(best_errors(width)) for width in widths], axis=0)
by_last = np.mean([place_of(over_window("high", width)[1]) for width in widths], axis=0)
gained = (theirs["test_error"] - theirs["best_error"]).abs()
show.markdown(
    f"The error of our networks gets above a half at λ = {claims.spread(by_last)} if one takes the last epoch, and at λ = "
    f"{claims.spread(by_best)} if one takes the best epoch (mean over the widths; mean and range over seeds). The best error can "
    "only be the smaller one. It does not show the collapse of networks that collapse late.\n\n"
    f"In the published runs best and last error hardly differ: by {gained.max():.4f} at most, and by more than 0.001 in "
    f"{int((gained > 0.001).sum())} of {len(gained)} runs. These runs are evaluated every tenth epoch, and end at a hundredth of "
    "the learning rate."
)

# %% [markdown]
# ## Lifetimes
#
# The collapse is not a state that belongs to a $\lambda$. It is an event that comes at some time in training. It comes
# sooner at larger $\lambda$ and in narrower networks. Here the networks train twice as long, at their first learning
# rate throughout. We wait until a network's error is below a half, and note when it is above a half again: the time
# between is its *lifetime*. Networks that never collapse are *censored*: their lifetime is longer than we looked. The
# Kaplan-Meier estimate of the median takes this into account. Many networks at large $\lambda$ never get below a half;
# they have no lifetime, and are counted apart.


# %% figure="fig-finite-lifetimes" tags=["hide-input"]
def passages(width: int, mix: float) -> tuple[np.ndarray, int]:
    """Epochs from the first error below a half to the first above it, NaN if none; and how many were never below."""
    table = scans[f"long {width}"].table
    errors = table[np.isclose(table["mix"], mix)].pivot(index="epoch", columns="seed", values="test_error").to_numpy()
    times, never = [], 0
    for one in errors.T:
        alive = np.flatnonzero(one < readings.COLLAPSED_FROM)
        if not len(alive):
            never += 1
            continue
        gone = np.flatnonzero(one[alive[0] :] >= readings.COLLAPSED_FROM)
        times.append(float(gone[0]) if len(gone) else np.nan)
    return np.array(times), never


mixes, end = LONG[profile], scans[f"long {wide}"].last
fig, (axes,) = figures.panels(1, height=3.0)
for mix, style in zip(mixes, STYLES, strict=False):
    times, _ = passages(wide, mix)
    epochs = np.arange(end)
    alive = [(np.isnan(times) | (times > epoch)).mean() if len(times) else np.nan for epoch in epochs]
    (line,) = axes.step(epochs, alive, where="post", color=style.color, linestyle=style.line)
    line.set_gid(f"λ = {mix:g}")
axes.set(xlabel="epochs since the first error below a half", ylabel="share still below", ylim=(0, 1.03))
figures.label_ends(axes)
show.figure(fig, runs[f"long {wide}"])

# %% tags=["hide-input"]
rows = []
for width in widths:
    for mix in mixes:
        times, never = passages(width, mix)
        if not len(times):
            rows.append([str(width), f"{mix:g}", "never below a half", "", str(never)])
            continue
        life = scaling.lifetimes(times, float(end))
        low, high = (f"{v:.0f}" if np.isfinite(v) else "…" for v in (life.median.low, life.median.high))
        median = f"{life.median.value:.0f} [{low}, {high}]" if np.isfinite(life.median.value) else f"longer than {end}"
        rows.append([str(width), f"{mix:g}", median, f"{life.censored} of {life.runs}", str(never)])
show.table(rows, ["width", "λ", "median lifetime, epochs [95 %]", "censored", "never below a half"])


# %% tags=["hide-input"]
def collapsed_at(width: int, epoch: int) -> np.ndarray:
    """Share of the λ of the long trainings at which a seed's network has an error of a half or more after an epoch."""
    scan = scans[f"long {width}"]
    return np.mean([scan.at("test_error", mix, epoch=epoch) >= readings.COLLAPSED_FROM for mix in mixes], axis=0)


early, late = (np.mean([collapsed_at(w, epoch) for w in widths], axis=0) for epoch in (end // 4, end))
ledger.check(
    "finite-lifetime",
    says="Where the collapse lies depends on how long one trains: more networks collapse as training goes on.",
    source="this book; δ = 0.8, mean over widths and the λ of the long trainings",
    figure="fig-finite-lifetimes",
    measured={"share collapsed after a quarter of the time": early, "at the end": late},
    parts={"more at the end": above(late, early, "the share after a quarter of the time")},
)

# %% [markdown]
# ## Faults of the earlier notebook, and what they change
#
# | what it does | what it changes | here |
# | --- | --- | --- |
# | looks at a narrow window of λ, another one for each noise rate | the largest value lies on the window's edge, so that no peak is seen | a wide window; a peak on the edge is refused by name |
# | calls the standard deviation of ten seeds a variance, and gives no interval | this estimate has an error of about a quarter of its value | the variance with a bootstrap interval, 50 seeds |
# | takes the best of the test evaluations | in our networks this hides late collapses, its own subject | the last epoch |
# | has no scaling analysis | sharpening is judged by eye | data collapse with its quality, Binder's cumulant |
# | writes results in place after each run | a crash while writing loses all of them | each block is written aside and renamed; an interrupted scan goes on |
# | uses one learning rate for all widths | the effective step depends on the width | the same; see below |
#
# ## Where this deviates from the original
#
# - Below the profile `paper` the size is the width of a small fully connected network, in place of the width
#   multiplier of a ResNet-18.
# - All widths use one learning rate, as in the original. A gradient of length 1 moves each weight of a wide network
#   less. This alone can move the place of the collapse as the width changes, and it has nothing to do with size as
#   such.
#
# ## Try it yourself
#
# Why must a peak at the edge of the window be refused, even if its value is the largest ever seen?
#
# <details><summary>Solution</summary>
#
# The true peak then lies at the edge or anywhere beyond it, and its height is unknown. What was measured is how far
# the window reaches. If the peaks of two sizes lie at different places, their heights differ only because one of them
# is nearer to the edge.
#
# </details>
#
# ## What to take away
#
# - Do not count on width: it moves the collapse to larger $\lambda$, here and in the published runs, but more networks
#   collapse as training goes on. Report *when* a network collapses, and count those in which it has not happened yet.
# - Report the last error beside the best one: the best hides late collapses.
# - There is no sign of a phase transition. It would be steeper and have a higher variance in wider networks, and all
#   curves would fall on one after rescaling. None of the three is seen, here or in the published runs: the variance of
#   the widest network is lower than that of the narrowest.
# - A maximum at the edge of the window is not a peak, and a fit at the end of its range is not a result.
# - Test an analysis on a system whose answer is known before you believe it on one whose answer is not.
