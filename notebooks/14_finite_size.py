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
# A phase transition shows itself by what happens as the system grows: its curve gets steeper, its fluctuations higher and
# narrower, and rescaled by the size all curves fall on one. An experiment that goes on from the two chapters before takes the
# width of the network for the size and looks at the spread of the final error near the collapse. This chapter does the
# analysis in full. In short: with width the collapse gets broader, not sharper, and its curves do not fall on one; where it
# lies is a matter of how long one trains: each network has a lifetime.

# %% tags=["hide-input"]
import sys; sys.path += [".", "..", "../.."]  # the book's folder: run this inside it  # fmt: skip
from lib.press import chapters, figures, show

# %% tags=["parameters"]
from typing import Optional

profile: str = "best"  # one of best, smoke, cpu, paper: smoke trains live in seconds, best is the largest recorded
seeds: Optional[int] = None  # how many, at least 10; None: as many as the profile has
fresh: bool = False  # train anew even where a record is there
device: str = "auto"  # one of auto, cpu, cuda: auto is CUDA where there is a card

# %% [markdown]
# ## What is measured
#
# With the test error $e$ at the end of a training, the order parameter is $m = 1-e/0.9$: 1 for a perfect network, 0 for one
# that guesses among ten classes. Of many independent seeds at each width $L$ and each share $\lambda$ of the clean gradient:
#
# - the mean $\langle m\rangle$ and the variance of $m$ with bootstrap intervals. (A susceptibility is a variance times a number of
#   units, $N\,{\rm Var}(m)$. For a network no $N$ follows from anything, so we show the variance, which carries all the information.)
# - Binder's cumulant $U=1-\langle m^4\rangle/3\langle m^2\rangle^2$, whose curves for different sizes cross at a transition;
# - the data collapse: one function of $(\lambda-\lambda_c)L^{1/\nu}$ for all widths, with the quality $S$ of Houdayer and Hartmann:
#   about 1 if the curves agree within their errors.
#
# The tools (`lib.beyond.scaling`) are proved on systems whose answer is known before they are used here: the tests simulate the
# two-dimensional Ising model and find its critical temperature and exponent. Here is a smaller proof, live: curves
# made of a known scaling function, and curves of which each size has its own place.

# %%
from dataclasses import replace
from itertools import pairwise

import numpy as np

from lib import records
from lib.beyond import presets, scaling
from lib.press import readings

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
        kinds += [(f"grid {rate}", replace(wide, noise_rates=(rate,), mixes=GRIDS[rate]), GRID_SEEDS) for rate in GRIDS]
        for name, scan, count in kinds:
            if count[profile]:
                groups[f"{name} {width}"] = [replace(scan, seeds=chapters.default(seeds, count[profile]))]
    return groups


if seeds is not None and seeds < 10:
    raise ValueError(f"seeds is {seeds}: this chapter looks at fluctuations, and needs at least 10")


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
    f"Curves that do not scale: best S = {none.quality:.1f}."
)

# %%
profile, runs, ledger = chapters.open_chapter("14_finite_size", globals(), plan)
scans = {name: readings.Scan(some) for name, some in runs.items()}
widths, window = WIDTHS[profile], WINDOW[profile]
count = runs[f"high {widths[0]}"][0].experiment.seeds
show.markdown(
    f"Profile `{profile}`: two hidden layers of {', '.join(map(str, widths))} neurons, λ from {window[0]} to {window[-1]}; "
    f"{count} seeds at noise rate {HIGH}" + (f", {LOW_SEEDS[profile]} at {LOW}." if LOW_SEEDS[profile] else ".")
)


def samples(group: str, width: int) -> np.ndarray:
    """Order parameters, ``[mixes, seeds]``."""
    return scaling.order_parameter(scans[f"{group} {width}"].over_mixes("test_error"), 0.9)


cells = {width: samples("high", width) for width in widths}
STYLES = (figures.CLEAN, figures.NOISY, figures.FIRST, figures.SECOND)
MARKERS = ("o", "s", "^", "D")

# %% [markdown]
# ## Mean, variance and fourth cumulant

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
show.figure(fig)

# %% tags=["hide-input", "nbval-ignore-output"]
for name in dict.fromkeys(name.split()[0] for name in runs):
    some = records.Runs(run for key in runs if key.startswith(name) for run in runs[key])
    show.markdown(f"*{name}: {some.provenance_line()}.*")

# %% [markdown]
# The claims are about groups of seeds: a spread is a property of many.

# %% tags=["hide-input"]
parts = np.array_split(np.arange(count), max(2, count // 10))
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


slope = {width: np.array([steepest(cells[width][:, part]) for part in parts]) for width in widths}
peaks = {width: [highest(cells[width][:, part]) for part in parts] for width in widths}
height = {width: np.array([value for value, _ in some]) for width, some in peaks.items()}
inside = {width: np.array([is_peak for _, is_peak in some]) for width, some in peaks.items()}
thin, wide = widths[0], widths[-1]
ledger.check(
    "finite-sharpens",
    says="The transition gets sharper as the model grows.",
    source="earlier notebook on finite-size scaling",
    criterion="the steepest slope of the mean at least 1.5 times as large for the widest networks as for the narrowest",
    figure="fig-finite-moments",
    measured={f"slope, width {width}": values for width, values in slope.items()},
    passes=slope[wide] >= 1.5 * slope[thin],
    each=GROUP,
)
ledger.check(
    "finite-peak-grows",
    says="The peak of the variance gets higher as the model grows.",
    source="earlier notebook on finite-size scaling",
    criterion="at least 1.5 times as high for the widest networks; a peak on the edge of the window does not count",
    figure="fig-finite-moments",
    measured={f"largest variance, width {width}": values for width, values in height.items()}
    | {f"inside the window, width {width}": values for width, values in inside.items()},
    passes=(height[wide] >= 1.5 * height[thin]) & inside[wide] & inside[thin],
    each=GROUP,
)


def half_way(m: np.ndarray) -> float:
    """The λ at which the mean has fallen half-way from its largest to its last value."""
    mean = m.mean(1)
    top = int(mean.argmax())
    level = (mean[top] + mean[top:].min()) / 2
    k = top + int(np.argmax(mean[top:] <= level))
    share = (mean[k - 1] - level) / (mean[k - 1] - mean[k])
    return window[k - 1] + share * (window[k] - window[k - 1])


place = {width: np.array([half_way(cells[width][:, part]) for part in parts]) for width in widths}
ledger.check(
    "finite-place-moves",
    says="The place of the collapse moves to larger λ as the network gets wider.",
    source="this book",
    criterion="half-way λ of the widest networks above that of the narrowest by 0.05",
    figure="fig-finite-moments",
    measured={f"half-way λ, width {width}": values for width, values in place.items()},
    passes=place[wide] >= place[thin] + 0.05,
    each=GROUP,
)

# %% [markdown]
# ## A window that is too narrow
#
# The original looks at five values of $\lambda$, another five for each noise rate: 0.38 to 0.46 at noise rate 0.8. In the results
# its authors published, each peak lies at the edge of that window. Of such a peak our tool says:

# %% tags=["hide-input"]
narrow = [k for k, mix in enumerate(window) if mix <= 0.46]
lines = []
for width in widths:
    values = cells[width][narrow].var(1, ddof=1)
    try:
        found_at, _ = scaling.peak(np.array(window)[narrow], values)
        lines.append(f"- width {width}: a peak at {found_at:.2f}")
    except ValueError as refused:
        lines.append(f"- width {width}: {refused}")
show.markdown("\n".join(lines))

# %% [markdown]
# ## Do the curves fall on one?


# %% figure="fig-finite-collapse" tags=["hide-input"]
def fitted(group: str) -> scaling.Collapse:
    """The best collapse of a group, from all seeds."""
    table = {float(w): dict(zip(window, samples(group, w), strict=True)) for w in widths}
    return scaling.collapse(table, np.random.default_rng(2))


best = {HIGH: fitted("high")} | ({LOW: fitted("low")} if LOW_SEEDS[profile] else {})
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
show.figure(fig)


# %% tags=["hide-input"]
def ends(estimate: scaling.Estimate) -> str:
    """A value with its interval."""
    return f"{estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}]"


show.table(
    [
        [
            f"δ = {rate:g}", ends(one.x_c), ends(one.nu), f"{one.quality:.1f}", f"{100 * one.overlap:.0f} %",
            ", ".join(one.at_bound) or "none",
        ]
        for rate, one in best.items()
    ],
    ["noise rate", "λc [95 %]", "ν [95 %]", "quality S", "points compared", "at the end of the search"],
)  # fmt: skip
ledger.check(
    "finite-collapse",
    says="Rescaled by their width, the curves fall on one.",
    source="earlier notebook on finite-size scaling, as it reads its curves",
    criterion="quality S of the best data collapse at most 2, with place and exponent inside the searched range",
    figure="fig-finite-collapse",
    measured={f"S, δ = {rate}": [one.quality] for rate, one in best.items()}
    | {f"λc, δ = {rate}": [one.x_c.value] for rate, one in best.items()}
    | {f"ν, δ = {rate}": [one.nu.value] for rate, one in best.items()},
    passes={f"{rate}": [one.quality <= 2 and not one.at_bound] for rate, one in best.items()},
    each="analysis of all seeds",
)
if "binder" in columns:
    crossings = {
        f"{a} and {b}": scaling.crossing(
            window, {w: np.array([moment.binder.value for moment in found[w]]) for w in (a, b)}
        )
        for a, b in pairwise(widths)
    }
    at = [places[0] for places in crossings.values() if places]
    ledger.check(
        "finite-binder",
        says="The curves of Binder's cumulant cross at one place.",
        source="this book; the standard test for a transition",
        criterion="each pair of neighbouring widths crosses, and their first crossings lie within 0.05 of each other",
        figure="fig-finite-moments",
        measured={f"first crossing, {name}": [places[0]] for name, places in crossings.items() if places}
        | {"pairs that cross": [len(at)], "pairs": [len(crossings)]},
        passes=[len(at) == len(crossings) and bool(np.ptp(at) <= 0.05)],
        each="analysis of all seeds",
    )

# %% [markdown]
# ## Lifetimes
#
# The collapse is not a state that a network is in at a given $\lambda$. It is something that happens to it at some time. Here the
# networks train twice as long at their first learning rate, and we note when a network that had an error below a half has one
# above it again. Those that never do are *censored*: their lifetime is longer than we looked, which the Kaplan-Meier estimate of
# the median takes into account.


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
show.figure(fig)

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
def collapsed_by(width: int, epoch: float) -> np.ndarray:
    """Share of the networks gone by an epoch, for each λ; those never below a half count as gone."""
    shares = []
    for mix in mixes:
        times, never = passages(width, mix)
        shares.append(((times <= epoch).sum() + never) / (len(times) + never))
    return np.array(shares)


early, late = ({w: collapsed_by(w, epoch).mean() for w in widths} for epoch in (end / 4, end))
ledger.check(
    "finite-lifetime",
    says="Where the collapse lies depends on how long one trains: it goes on happening.",
    source="this book",
    criterion="over the λ of the long trainings, the share collapsed by the end above that after a quarter of the time by 0.1",
    figure="fig-finite-lifetimes",
    measured={f"share at a quarter, width {w}": [early[w]] for w in widths}
    | {f"share at the end, width {w}": [late[w]] for w in widths},
    passes={f"{w}": [late[w] >= early[w] + 0.1] for w in widths},
    each="analysis of all seeds",
)

# %% [markdown]
# ## Faults of the earlier notebook, and what they change
#
# | what it does | what it changes | here |
# | --- | --- | --- |
# | another narrow window of λ for each noise rate | the largest value lies on the window's edge: no peak was seen | one wide window; edge peaks are refused by name |
# | calls the standard deviation of ten seeds a variance, without interval | its own scatter is a quarter of it | variance with bootstrap interval, 50 seeds |
# | takes the best of the test evaluations | cuts off just the late collapses that it is about | the last epoch |
# | no scaling analysis | sharpening is judged by eye | data collapse with its quality, Binder's cumulant |
# | results written in place after each run | a crash while writing loses all | each block written aside and renamed; an interrupted scan goes on |
# | widths share one learning rate | the effective step depends on the width | the same here, and said: see below |
#
# ## Where this deviates from the original
#
# - Below the profile `paper`: width of a small fully connected network in place of the width multiplier of a ResNet-18.
# - All widths use one learning rate, as in the original. A unit-length gradient moves each weight of a wide network less, so
#   that the place of the collapse moves with the width for a reason that has nothing to do with size as such.
#
# ## Try it yourself
#
# Why must a peak at the edge of the window be refused, even if its value is the largest ever seen?
#
# <details><summary>Solution</summary>
#
# The true peak then lies at the edge or anywhere beyond it, and its height is unknown: what was measured is how far the window
# reaches. Two sizes whose peaks lie at different places then differ in height only because one peak is nearer to the edge.
#
# </details>
#
# ## What to take away
#
# - Steeper, higher and on one curve is what a transition would be. None of the three is seen here.
# - A collapse that goes on with time is a lifetime. Measure when it happens, with those that have not happened yet.
# - Prove an analysis on a system whose answer is known before believing it on one whose answer is not.
