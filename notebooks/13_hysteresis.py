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
# # Hysteresis, or a network that died
#
# A magnet remembers: led through a field and back, it is not where it was. An experiment that goes on from the previous
# chapter's asks whether training with two gradients remembers too: it takes networks that were trained well and networks
# that collapsed, leads the first up and the second down in the share $\lambda$ of the clean gradient, and finds two branches.
# This chapter repeats that protocol, and then leads one and the same network around a closed loop. In short: the two
# branches of the original are two kinds of network that its tiny learning rate leaves as they were; and around the closed
# loop the networks do not come back, because most of their units have died, not because two states exist at one $\lambda$.

# %% tags=["hide-input"]
import sys; sys.path += [".", "..", "../.."]  # the book's folder: run this inside it  # fmt: skip
from lib.press import chapters, claims, figures, show

# %% tags=["parameters"]
from typing import Optional

profile: str = "best"  # one of best, smoke, cpu, paper: smoke trains live in seconds, best is the largest recorded
seeds: Optional[int] = None  # how many; None: as many as the profile has
fresh: bool = False  # train anew even where a record is there
device: str = "auto"  # one of auto, cpu, cuda: auto is CUDA where there is a card
outputs: Optional[str] = None  # a folder for the original protocol's checkpoints, table, figure and summary; None: none
checkpoints: Optional[str] = None  # such a folder to sweep from, in place of training the two branches; None: none

# %% [markdown]
# ## Two protocols
#
# **The original's.** At noise rate 0.8, train one network at $\lambda = 0.35$ ("ordered") and another at 0.65, for twice as
# long ("collapsed"), with falling learning rate. Then forget the optimizer's momentum, set the learning rate to a hundredth
# of the first one, and lead the ordered network up from 0.30 to 0.70, the collapsed one down, three epochs at each value.
#
# **A closed loop.** Train one network at a small $\lambda$ at the learning rate it started with, then lead *the same network*
# up through all values and back down, at that same learning rate, staying for a number of epochs at each: the *dwell*. If two
# states exist at one $\lambda$, the way back differs from the way up however slowly one goes. If the difference is only
# sluggishness, it shrinks with the dwell, to nothing.

# %%
from dataclasses import replace
from pathlib import Path

import numpy as np

from lib import experiments, records
from lib.beyond import presets, saved, scans
from lib.files import atomic
from lib.press import readings
from lib.press.readings import COLLAPSED_FROM, ORDERED_BELOW

HIGH = 0.8
BRANCHES = ("ordered", "collapsed")
NOISE_RATES = {"smoke": (0.0, HIGH)} | dict.fromkeys(("cpu", "paper"), (0.0, 0.4, HIGH))
PUBLISHED_RATES = {"smoke": (HIGH,)} | dict.fromkeys(("cpu", "paper"), (0.4, HIGH))  # of the published loops
PUBLISHED_DWELLS = (1, 5)  # their fast one and their slow one
OLD, SMALL_STEP = 160, 0.01  # K and learning rate with which no unit dies (chapter 12)
WINDOW = {"smoke": (0.3, 0.4, 0.5, 0.6, 0.7)} | dict.fromkeys(
    ("cpu", "paper"), tuple(round(0.30 + 0.04 * k, 2) for k in range(11))
)
LOOP = {"smoke": (0.1, 0.25, 0.4, 0.55, 0.7)} | dict.fromkeys(
    ("cpu", "paper"), tuple(round(0.1 + 0.06 * k, 2) for k in range(12))
)
DWELLS = {"smoke": (1, 2, 4), "cpu": (1, 2, 4, 8), "paper": (1, 3, 10)}
TITLES = {"relu": "ReLU", "leaky_relu": "leaky ReLU"}


def plan(profile: str) -> dict[str, list]:
    """The original protocol at three noise rates, and the closed loops of a profile."""
    one = presets.two_gradients(profile)
    one = replace(one, seeds=chapters.default(seeds, {"smoke": 4, "cpu": 10, "paper": 5}[profile]))
    few = replace(one, seeds=chapters.default(seeds, {"smoke": 4, "cpu": 5, "paper": 5}[profile]))
    some = chapters.default(seeds, {"smoke": 4, "cpu": 8, "paper": 5}[profile])
    window, loop, dwells = WINDOW[profile], LOOP[profile], DWELLS[profile]
    groups = {}
    for rate in NOISE_RATES[profile]:
        for name in presets.BRANCHES if rate == HIGH else BRANCHES:
            order = window[::-1] if name == "collapsed" else window
            groups[f"{name}, δ = {rate:g}"] = [presets.hysteresis(profile, name, rate, order, some)]
    for activation in TITLES:
        like = replace(one, model=replace(one.model, activation=activation))
        for dwell in dwells:
            path = scans.closed_loop(loop, dwell, one.dual.lr, warm_up=one.epochs)
            groups[f"{activation}, dwell {dwell}"] = [scans.led_along(like, path)]
    small = replace(few, dual=replace(one.dual, refresh=OLD, lr=SMALL_STEP))
    for dwell in (dwells[0], dwells[-1]):
        path = scans.closed_loop(loop, dwell, SMALL_STEP, warm_up=one.epochs)
        groups[f"small steps, dwell {dwell}"] = [scans.led_along(small, path)]
    for rate in PUBLISHED_RATES[profile]:
        for dwell in PUBLISHED_DWELLS:
            path = presets.falling_loop(loop, dwell, one.dual.lr)
            groups[f"falling, δ = {rate:g}, dwell {dwell}"] = [scans.led_along(replace(few, noise_rates=(rate,)), path)]
    return groups


profile, runs, ledger = chapters.open_chapter("13_hysteresis", globals(), plan)
groups = plan(profile)
one = runs["ordered"][0].experiment
window, loop, dwells = WINDOW[profile], LOOP[profile], DWELLS[profile]
show.markdown(
    f"Profile `{profile}`: {one.data.name}, {one.model.kind} {'-'.join(map(str, one.model.widths))}, {one.seeds} seeds; "
    f"original window {window[0]} to {window[-1]}, closed loop {loop[0]} to {loop[-1]}, dwell {', '.join(map(str, dwells))} epochs."
)
tables = {name: some[0].history for name, some in runs.items()}

# %% [markdown]
# ## The original protocol
#
# Where `checkpoints` names a folder, the networks in it are swept; otherwise the recorded or live runs are used. The two
# branches have the same seeds, and every network is kept, whatever became of it: the original keeps an ordered network only
# if its error is below 0.30, and a collapsed one only from 0.50 on, which builds the two branches in.

# %%
protocol = {name: runs[name][0].experiment for name in ("ordered", "collapsed")}
on = experiments.Machine(device).resolve()
swept = {}
for name, path in protocol.items():
    table = saved.sweep_saved(path, Path(checkpoints), name, on) if checkpoints else tables[name]
    swept[name] = readings.stage_ends(table[table["stage"] >= path.afresh])  # [mixes in the order of the sweep, seeds]
up, down = swept["ordered"], swept["collapsed"][::-1]

# %% figure="fig-hysteresis-original" tags=["hide-input"]
fig, (axes,) = figures.panels(1, height=3.4)
figures.band(axes, window, up, figures.CLEAN, "ordered,\nupwards")
figures.band(axes, window, down, figures.NOISY, "collapsed,\ndownwards", "s")
figures.level(axes, ORDERED_BELOW, "counts as ordered below", x=0.3)
figures.level(axes, COLLAPSED_FROM, "counts as collapsed above", x=0.3)
axes.set(xlabel="share of the clean gradient λ", ylabel="test error", ylim=(0, 0.95))
figures.label_ends(axes, gap=0.2)
if outputs:
    with atomic(Path(outputs) / "hysteresis.png") as part:
        fig.savefig(part)
show.figure(fig)

# %% tags=["hide-input", "nbval-ignore-output"]
for name in ("ordered", "collapsed"):
    show.markdown(f"*{name}: {runs[name].provenance_line()}.*")

# %% tags=["hide-input"]
middle = int(np.argmin(np.abs(np.array(window) - 0.5)))
gap = down[middle] - up[middle]
ledger.check(
    "hysteresis-two-branches",
    says="At noise rate 0.8 there are two branches: at the middle of the window the collapsed one lies above the ordered one.",
    source="earlier notebook on hysteresis",
    criterion="by more than 0.10, its own mark, for networks of one seed",
    figure="fig-hysteresis-original",
    measured={"gap": gap, f"ordered at {window[middle]}": up[middle], f"collapsed at {window[middle]}": down[middle]},
    passes=gap > 0.10,
)
moved = {"ordered": abs(up[-1] - up[0]), "collapsed": abs(down[-1] - down[0])}
ledger.check(
    "hysteresis-frozen",
    says="In that protocol the branches are the states the networks were put in: the sweep itself hardly changes them.",
    source="this book",
    criterion="over the whole sweep the error changes by at most a quarter of the gap, on either branch",
    figure="fig-hysteresis-original",
    measured={f"change, {name}": values for name, values in moved.items()},
    passes={name: values <= gap / 4 for name, values in moved.items()},
)
same = readings.stage_ends(tables["ordered, trained as long"])[len(one.path) - len(window) - 1]
kept = {name: readings.stage_ends(tables[name])[path.afresh - 1] for name, path in protocol.items()}
show.markdown(
    f"Before the sweep: of {one.seeds} networks trained at λ = {ORDERED}, {int((kept['ordered'] < ORDERED_BELOW).sum())} have an error "
    f"below {ORDERED_BELOW:.2f} (error {claims.spread(kept['ordered'])}); of as many at λ = {COLLAPSED}, {int((kept['collapsed'] >= COLLAPSED_FROM).sum())} have one of at least {COLLAPSED_FROM:.2f} "
    f"({claims.spread(kept['collapsed'])}). Trained for as many epochs as the collapsed ones, the networks at λ = {ORDERED} reach {claims.spread(same)}."
)

# %% [markdown]
# Asked for by `outputs`: a checkpoint of each network before its sweep, the sweep's table as CSV and JSON, the figure, and a
# summary. The checkpoints hold tensors and numbers only, and are read without running anything in them.

# %% tags=["hide-input"]
if outputs:
    folder = Path(outputs)
    for name, path in protocol.items():
        saved.train_and_save(path, folder, name, on)
    summary = f"gap at {window[middle]}: {claims.spread(gap)}\n"
    saved.write_branches(folder, window, {"ordered": up, "collapsed": down}, summary)
    show.markdown(f"Written to `{outputs}`: {', '.join(sorted(file.name for file in folder.iterdir()))}.")

# %% [markdown]
# ## One network around a closed loop

# %% figure="fig-hysteresis-loops" tags=["hide-input"]
fig, places = figures.panels(len(dwells), height=1.9)
for axes, dwell in zip(places, dwells, strict=True):
    there, back = readings.there_and_back(tables[f"relu, dwell {dwell}"])
    figures.way_and_back(axes, loop, there, back, f"dwell {dwell}\ntest error", 0.95)
places[-1].set_xlabel("share of the clean gradient λ")
show.figure(fig)

# %% tags=["hide-input", "nbval-ignore-output"]
show.markdown(f"*{records.Runs(run for name in runs if 'dwell' in name for run in runs[name]).provenance_line()}.*")

# %% [markdown]
# The area between the two ways measures the loop. For a true hysteresis it tends to a number above zero as the rate
# $R=\Delta\lambda/\mathrm{dwell}$ goes to zero; for sluggishness to zero. The limit is not measured, it is extrapolated:
# $A(R)=A_0+cR^{n}$, with two exponents that the theory of slowly driven systems offers, $n = 1/3$ and $2/3$. Where they
# disagree about $A_0$, the data do not decide.

# %% figure="fig-hysteresis-area" tags=["hide-input"]
step = loop[1] - loop[0]
rate = np.array([step / dwell for dwell in dwells])
areas, limits = {}, {}
fig, places = figures.panels(2, height=2.5)
for axes, activation in zip(places, TITLES, strict=True):
    ways = [readings.there_and_back(tables[f"{activation}, dwell {dwell}"]) for dwell in dwells]
    areas[activation] = np.stack([readings.loop_area(loop, *way) for way in ways])  # [dwells, seeds]
    style = figures.CLEAN if activation == "relu" else figures.FIRST
    for values in areas[activation].T:
        axes.plot(rate, values, "o", color=style.color, alpha=0.5, markersize=4.5)
    fine = np.linspace(0, rate.max() * 1.05, 100)
    for n, line in ((1 / 3, (0, (1, 1))), (2 / 3, (0, (5, 2)))):
        design = np.stack([np.ones_like(rate), rate**n], axis=1)
        fitted = np.linalg.lstsq(design, areas[activation], rcond=None)[0]  # a fit for each seed
        limits[activation, n] = fitted[0]
        mean = fitted.mean(1)
        axes.plot(
            fine, mean[0] + mean[1] * fine**n, color=style.color, linestyle=line, label=f"n = {1 if n < 0.5 else 2}/3"
        )
    axes.axhline(0, color=figures.THEORY.color, linewidth=0.8)
    axes.set(ylabel=f"{TITLES[activation]}\nloop area", xlim=(0, rate.max() * 1.05))
    axes.legend(frameon=False, loc="lower right")
places[-1].set_xlabel("rate Δλ / dwell (per epoch)")
show.figure(fig)

# %% tags=["hide-input"]
ledger.check(
    "hysteresis-loop-open",
    says="Led around the loop at its own learning rate, the network does not come back the way it went (ReLU).",
    source="this book; the question of the earlier notebook on hysteresis",
    criterion="loop area above 0 at every dwell",
    figure="fig-hysteresis-area",
    measured={f"area, dwell {dwell}": values for dwell, values in zip(dwells, areas["relu"], strict=True)},
    passes={f"{dwell}": values > 0 for dwell, values in zip(dwells, areas["relu"], strict=True)},
)
ledger.check(
    "hysteresis-remains",
    says="The loop stays open however slowly it is gone through (ReLU).",
    source="earlier notebook on hysteresis, as it reads its branches",
    criterion="extrapolated area at rate 0 above 0 with both exponents",
    figure="fig-hysteresis-area",
    measured={f"area at rate 0, n = {name}": limits["relu", n] for name, n in (("1/3", 1 / 3), ("2/3", 2 / 3))},
    passes={name: limits["relu", n] > 0 for name, n in (("1/3", 1 / 3), ("2/3", 2 / 3))},
)
ledger.check(
    "hysteresis-leaky",
    says="With leaky ReLU, whose units cannot die, the loop is smaller.",
    source="this book",
    criterion="area at the longest dwell less than that with ReLU of the same seed",
    figure="fig-hysteresis-area",
    measured={"leaky ReLU": areas["leaky_relu"][-1], "ReLU": areas["relu"][-1]},
    passes=areas["leaky_relu"][-1] < areas["relu"][-1],
)

# %% [markdown]
# An area that stays above zero is what hysteresis would look like, and by that criterion alone ReLU shows it. But in a
# hysteresis there are two states, and each can be left: strong enough a field turns the magnet either way. So look at what
# the second state is. With leaky ReLU the area falls with the rate, and can get below zero: a network that comes back
# has trained for longer than when it left, and is better for it.
#
# ## Why it does not come back

# %% figure="fig-hysteresis-dead" tags=["hide-input"]
fig, places = figures.panels(2, height=2.1)
dead = {}
for axes, activation in zip(places, TITLES, strict=True):
    dead[activation] = readings.there_and_back(tables[f"{activation}, dwell {dwells[-1]}"], "dead")
    figures.way_and_back(axes, loop, *dead[activation], f"{TITLES[activation]}\nunits off", 1.03)
places[-1].set_xlabel("share of the clean gradient λ")
show.figure(fig)

# %% tags=["hide-input"]
slowest = tables[f"relu, dwell {dwells[-1]}"]
there, back = readings.there_and_back(slowest)
spread = readings.there_and_back(slowest, "spread")[1][0]
ledger.check(
    "hysteresis-dead",
    says="The networks that do not come back are dead: at the end of the loop most of the last hidden units are off for every image.",
    source="this book",
    criterion="more than half of them, where the error is still above that at the start by 0.1",
    figure="fig-hysteresis-dead",
    measured={
        "units off at the end": dead["relu"][1][0],
        "error at the start": there[0],
        "error at the end": back[0],
        "spread of the logits at the end": spread,
    },
    passes=(dead["relu"][1][0] > 0.5) | (back[0] <= there[0] + 0.1),
)
lthere, lback = readings.there_and_back(tables[f"leaky_relu, dwell {dwells[-1]}"])
ledger.check(
    "hysteresis-leaky-recovers",
    says="With leaky ReLU the network recovers when it is led back.",
    source="this book",
    criterion="at the end of the slowest loop its error is at most 0.1 above that at the start",
    figure="fig-hysteresis-dead",
    measured={"error at the start": lthere[0], "error at the end": lback[0]},
    passes=lback[0] <= lthere[0] + 0.1,
)

# %% [markdown]
# ## Faults of the earlier notebook, and what they change
#
# | what it does | what it changes | here |
# | --- | --- | --- |
# | keeps ordered networks below one error and collapsed ones above another | the two branches are chosen, not found | all are kept, and counted |
# | other seeds, other labels and twice the training for the collapsed branch | the gap holds all these differences too | paired by seed; the ordered branch also trained as long |
# | sweeps at a hundredth of the learning rate, without momentum's memory | the networks hardly move: the gap is the one they began with | also a loop at the learning rate they were trained with |
# | two different networks on the two ways | what a network remembers cannot be seen | one network there and back |
# | one dwell | a lag cannot be told from a memory | several, and two extrapolations |
# | an error near chance counts as a state | a dead network has no state | dead units and logits logged |
#
# ## Where this deviates from the original
#
# - Below the profile `paper`: another network, other images, fewer epochs, as in the previous chapter.
# - The loop begins at a smaller λ than the original's window, so that its first point is surely ordered.
#
# ## Try it yourself
#
# Run `python -m lib run 13 --profile smoke -p outputs my-branches`, and again with `-p checkpoints my-branches`. Must the
# second figure be the first one?
#
# <details><summary>Solution</summary>
#
# Nearly: the networks are the same, but the order of the images in the sweep is drawn from its beginning, and not from where the
# training had left it. At a hundredth of the learning rate that hardly shows.
#
# </details>
#
# ## What to take away
#
# - Two kinds of network that a sweep does not move are two initial conditions, not a hysteresis.
# - To find memory, lead one system around a closed loop, at a rate at which it can move, and go slower until nothing changes.
# - Look at what a "state" is made of. Units that are off for every image do not come back by themselves.
