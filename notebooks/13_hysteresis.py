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
# Can a network that collapsed recover when you take back what made it collapse? A magnet remembers: led through a field
# and back, it does not return to where it was. This is called *hysteresis*. An experiment that goes on from that of
# [chapter 12](12_two_gradients.ipynb) looks for it in training with two gradients. It takes networks that were trained
# well and networks that collapsed, leads the first up and the second down in the share $\lambda$ of the clean gradient,
# and finds two branches at 80 % wrong labels. This chapter repeats it at three noise rates, and then leads one and the
# same network around a closed loop.
#
# In short: the two branches are no hysteresis. They are two kinds of network that a tiny learning rate leaves as they
# were. This is so at every noise rate at which there are two kinds to begin with. Around the closed loop networks fail
# to come back because their units have died, and a dead network does not recover. Networks with leaky ReLU, whose units
# cannot die, come back.

# %% tags=["hide-input"]
import sys; sys.path += [".", "..", "../.."]  # the book's folder: run this inside it  # fmt: skip
from lib.press import chapters, claims, figures, show

# %% tags=["hide-input", "parameters"]
from typing import Optional

profile: str = "best"  # one of best, smoke, cpu, paper: smoke trains live in seconds, best is the largest recorded
seeds: Optional[int] = None  # how many; None: as many as the profile has
fresh: bool = False  # train anew even where a record is there
device: str = "auto"  # one of auto, cpu, cuda: auto is CUDA where there is a card
outputs: Optional[str] = None  # a folder for the original protocol's checkpoints, table, figure and summary; None: none
checkpoints: Optional[str] = None  # such a folder to sweep from, in place of training the two branches; None: none

# %% tags=["hide-input"]
from dataclasses import replace
from pathlib import Path

import numpy as np

from lib import experiments
from lib.beyond import presets, published, saved, scans
from lib.files import atomic
from lib.press import readings
from lib.press.readings import COLLAPSED_FROM, ORDERED_BELOW
from lib.press.rule import about, above, below, equal, towards

HIGH = 0.8
BRANCHES = ("ordered", "collapsed")
NOISE_RATES = {"smoke": (0.0, HIGH)} | dict.fromkeys(("cpu", "paper"), (0.0, 0.4, HIGH))
PUBLISHED_RATES = {"smoke": (HIGH,), "cpu": (HIGH,), "paper": (0.4, HIGH)}  # of the published loops
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
    path = scans.closed_loop(loop, dwells[-2], SMALL_STEP, warm_up=one.epochs)
    groups["small steps"] = [scans.led_along(small, path)]
    for rate in PUBLISHED_RATES[profile]:
        for dwell in PUBLISHED_DWELLS:
            path = presets.falling_loop(loop, dwell, one.dual.lr)
            groups[f"falling, δ = {rate:g}, dwell {dwell}"] = [scans.led_along(replace(few, noise_rates=(rate,)), path)]
    return groups


profile, runs, ledger = chapters.open_chapter("13_hysteresis", globals(), plan)
window, loop, dwells = WINDOW[profile], LOOP[profile], DWELLS[profile]
noise_rates = NOISE_RATES[profile]
protocol = {(name, rate): runs[f"{name}, δ = {rate:g}"][0].experiment for rate in noise_rates for name in BRANCHES}
one = protocol["ordered", HIGH]
show.markdown(
    f"Profile `{profile}`: {one.data.name}, {one.model.kind} {'-'.join(map(str, one.model.widths))}; original protocol with "
    f"{one.seeds} seeds, window {window[0]} to {window[-1]}; closed loops from {loop[0]} to {loop[-1]} with "
    f"{runs[f'relu, dwell {dwells[0]}'][0].experiment.seeds} seeds, dwell {', '.join(map(str, dwells))} epochs."
)
tables = {name: some[0].history for name, some in runs.items()}

# %% [markdown]
# ## The original protocol
#
# One network is trained at $\lambda = 0.35$ ("ordered") and led up, another at $\lambda = 0.65$ ("collapsed") and led
# down, at a hundredth of the learning rate. Do they meet? No: each stays close to where its training left it. Here and
# below, $\delta$ is the noise rate, the share of wrong labels.

# %% tags=["hide-input"]
on = experiments.Machine(device).resolve()
before, swept = {}, {}  # errors before the sweep [seeds], and in it [rising mixes, seeds]
for (name, rate), path in protocol.items():
    table = tables[f"{name}, δ = {rate:g}"]
    before[name, rate] = readings.stage_ends(table)[path.afresh - 1]
    if checkpoints:
        table = saved.sweep_saved(path, Path(checkpoints), saved.label(name, rate), on)
    ends = readings.stage_ends(table[table["stage"] >= path.afresh])
    swept[name, rate] = ends if name == "ordered" else ends[::-1]

# %% figure="fig-hysteresis-original" tags=["hide-input"]
fig, places = figures.panels(len(noise_rates), height=2.3)
for axes, rate in zip(places, noise_rates, strict=True):
    figures.band(axes, window, swept["ordered", rate], figures.CLEAN, "ordered,\nupwards")
    figures.band(axes, window, swept["collapsed", rate], figures.NOISY, "collapsed,\ndownwards", "s")
    axes.axhline(ORDERED_BELOW, color=figures.THEORY.color, linestyle=figures.THEORY.line, linewidth=1.1)
    axes.axhline(COLLAPSED_FROM, color=figures.THEORY.color, linestyle=figures.THEORY.line, linewidth=1.1)
    axes.set(ylabel=f"δ = {rate:g}\ntest error", ylim=(0, 0.95))
    figures.label_ends(axes, gap=0.24)
places[-1].set_xlabel("share of the clean gradient λ")
if outputs:
    with atomic(Path(outputs) / "hysteresis.png") as part:
        fig.savefig(part)
show.figure(fig, *(runs[f"{name}, δ = {rate:g}"] for name in BRANCHES for rate in noise_rates))

# %% tags=["hide-input"]
middle = int(np.argmin(np.abs(np.array(window) - 0.5)))
gaps = {rate: swept["collapsed", rate][middle] - swept["ordered", rate][middle] for rate in noise_rates}
show.table(
    [
        [
            f"{rate:g}", claims.spread(before["ordered", rate]), f"{int((before['ordered', rate] < ORDERED_BELOW).sum())} of {one.seeds}",
            claims.spread(before["collapsed", rate]), f"{int((before['collapsed', rate] >= COLLAPSED_FROM).sum())} of {one.seeds}",
            claims.spread(gaps[rate]), saved.two_branches(gaps[rate]),
        ]
        for rate in noise_rates
    ],
    [
        "δ", f"error before the sweep, trained at λ = {one.path[0][0]:g}", f"of these below {ORDERED_BELOW:g}",
        f"error before, trained at λ = {protocol['collapsed', HIGH].path[0][0]:g}", f"of these {COLLAPSED_FROM:g} or more",
        f"gap at λ = {window[middle]:g}", "two branches, by the original's mark",
    ],
)  # fmt: skip
longer = runs[f"ordered, trained as long, δ = {HIGH:g}"][0].experiment
same = readings.stage_ends(tables[f"ordered, trained as long, δ = {HIGH:g}"])[longer.afresh - 1]
show.markdown(
    f"The collapsed networks train for more epochs, but that is not what sets them apart: at δ = {HIGH:g}, networks "
    f"trained as long at λ = {longer.path[0][0]:g} have an error of {claims.spread(same)}."
)
others = [rate for rate in noise_rates if rate != HIGH]
ledger.check(
    "hysteresis-general",
    says="The two branches are not special to 80 % wrong labels: there are two at smaller noise rates too, with a gap above the original's mark of 0.10 in the middle of the window.",
    source="the question of the earlier notebook on hysteresis",
    figure="fig-hysteresis-original",
    measured={f"gap, δ = {rate:g}": gaps[rate] for rate in noise_rates},
    parts={f"δ = {rate:g}": above(gaps[rate], saved.MARK, "the original's mark") for rate in others},
)
moved = {name: abs(swept[name, HIGH][-1] - swept[name, HIGH][0]) for name in BRANCHES}
ledger.check(
    "hysteresis-frozen",
    says="In the original protocol the branches are the states that training left the networks in: the sweep hardly changes them.",
    source="this book; δ = 0.8",
    figure="fig-hysteresis-original",
    measured={f"change over the sweep, {name}": values for name, values in moved.items()} | {"gap": gaps[HIGH]},
    parts={name: about(values, 0, gaps[HIGH], "from no change to the gap") for name, values in moved.items()},
)

# %% [markdown]
# So the gap at noise rate 0.8 does not show hysteresis: the networks were trained so that they differ, and the sweep
# left them nearly as they were. Two kinds of network before the sweep are enough for a gap. The noise rate only decides
# whether training at $\lambda = 0.65$ makes the second kind (chapter 12).

# %% [markdown]
# ## How it was made
#
# **The original's protocol.** Train one network at $\lambda = 0.35$ ("ordered", 50 epochs, learning rate divided by ten
# after 30 and 40) and another at 0.65 ("collapsed", 100 epochs, learning rate divided by ten after 50 and 80). Then
# discard the optimizer's momentum, set the learning rate to a hundredth of the first one, and lead the ordered network
# up from 0.30 to 0.70 and the collapsed one down, three epochs at each value. The profiles below `paper` take a fifth
# of the epochs and divide the learning rate at the same shares of them.
#
# The original does this at noise rate 0.8 and asks whether what it sees is special to that rate; we do it at noise
# rates 0, 0.4 and 0.8. The original keeps an ordered network only if its error is below 0.30, and a collapsed one only
# if it is 0.50 or more (the horizontal lines of the figure). This builds the two branches in, so we keep every network.
# If `checkpoints` names a folder, the networks in it are swept; otherwise the recorded or live runs are used.
#
# **A closed loop.** Train one network at a small $\lambda$, then lead *the same network* up through all values and back
# down at the learning rate it started with. Stay for a number of epochs at each value: the *dwell*. If two states exist
# at one $\lambda$, the way back differs from the way up, however slow the loop. If the network only lags behind, the
# difference shrinks to nothing as the dwell grows.
#
# A *seed* draws the images of training and test, the wrong labels, the weights at the start and the order of the
# images. Both kinds of network have the same seeds, so that they are compared in pairs.

# %% [markdown]
# ## The original protocol as published
#
# The published runs agree with ours: the sweep hardly moves either branch. They are the third version of the authors'
# protocol, at noise rate 0.8. In the first two versions no network got below the threshold for ordered ones. So the
# third dropped it and takes the best three of ten networks, trained at $\lambda = 0.5$, as the ordered branch.

# %% tags=["hide-input"]
theirs = published.read("hysteresis", fresh=fresh).pivot(index="mix", columns=["branch", "seed"], values="test_error")
low_branch, high_branch = theirs["low_error"].to_numpy(), theirs["collapse"].to_numpy()
there_middle = int(np.argmin(np.abs(theirs.index - 0.6)))
show.markdown(published.credit())
show.markdown(
    f"Over λ from {theirs.index[0]:g} to {theirs.index[-1]:g} the error of the low branch goes from {low_branch[0].mean():.2f} to "
    f"{low_branch[-1].mean():.2f}, that of the collapsed one from {high_branch[0].mean():.3f} to {high_branch[-1].mean():.3f} (means of three networks), "
    f"with a gap of {(high_branch - low_branch)[there_middle].mean():.2f} at λ = {theirs.index[there_middle]:g}. "
    f"The sweep moves neither branch by more than {max(abs(np.diff(low_branch[[0, -1]], axis=0)).max(), abs(np.diff(high_branch[[0, -1]], axis=0)).max()):.2f}. "
    f"By the original's own threshold none of the three low ones is ordered (below {ORDERED_BELOW:g}): their least error is {low_branch.min():.2f}. "
    "A network with an error of 0.900 at every λ gives one answer for all images."
)

# %% [markdown]
# If `outputs` names a folder, the next cell writes into it a checkpoint of each network before its sweep (weights, the
# optimizer's momentum, noise rate, mix and error), the sweep as a table and as JSON with noise rate and errors of each
# network, the figure, and a summary with the original's YES or WEAK. The checkpoints hold tensors and numbers only, and
# reading them runs no code.

# %% tags=["hide-input"]
if outputs:
    folder = Path(outputs)
    for (name, rate), path in protocol.items():
        saved.train_and_save(path, folder, saved.label(name, rate), on)
    saved.write_branches(folder, window, swept, before)
    show.markdown(f"Written to `{outputs}`: {', '.join(sorted(file.name for file in folder.iterdir()))}.")

# %% [markdown]
# ## One network around a closed loop
#
# Now one network goes up and comes back, at the learning rate it was trained with. With ReLU its error does not come
# down again on the way back, at any dwell.

# %% figure="fig-hysteresis-loops" tags=["hide-input"]
fig, places = figures.panels(len(dwells), height=1.9)
for axes, dwell in zip(places, dwells, strict=True):
    there, back = readings.there_and_back(tables[f"relu, dwell {dwell}"])
    figures.way_and_back(axes, loop, there, back, f"dwell {dwell}\ntest error", 0.95)
places[-1].set_xlabel("share of the clean gradient λ")
show.figure(fig, *(runs[f"relu, dwell {dwell}"] for dwell in dwells))

# %% [markdown]
# Would a slower loop close? The area $A$ between the two ways measures how far it is open. Let $\Delta\lambda$ be the
# distance between neighbouring values of $\lambda$, and $R=\Delta\lambda/\mathrm{dwell}$ the rate. As $R$ goes to zero,
# the area of a true hysteresis tends to a number $A_0$ above zero, and the area of a mere lag tends to zero. The limit
# cannot be measured, so we extrapolate by $A(R)=A_0+cR^{n}$, with fitted $A_0$ and $c$. For $n$ the theory of slowly
# driven systems offers $1/3$ and $2/3$. Where the two disagree about $A_0$, the data do not decide.

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
show.figure(fig, *(runs[f"{name}, dwell {dwell}"] for name in TITLES for dwell in dwells))

# %% tags=["hide-input"]
ledger.check(
    "hysteresis-loop-open",
    says="Led around the loop at its own learning rate, the network does not come back the way it went (ReLU).",
    source="this book; the question of the earlier notebook on hysteresis",
    figure="fig-hysteresis-area",
    measured={f"area, dwell {dwell}": values for dwell, values in zip(dwells, areas["relu"], strict=True)},
    parts={"area, mean over the dwells": above(areas["relu"].mean(0), 0.0, "no area")},
)
EXPONENTS = (("1/3", 1 / 3), ("2/3", 2 / 3))
ledger.check(
    "hysteresis-remains",
    says="The loop stays open, however slow it is (ReLU).",
    source="this book: what a hysteresis would do",
    figure="fig-hysteresis-area",
    measured={f"area at rate 0, n = {name}": limits["relu", n] for name, n in EXPONENTS},
    parts={f"n = {name}": above(limits["relu", n], 0.0, "no area at rate 0") for name, n in EXPONENTS},
)
ledger.check(
    "hysteresis-leaky",
    says="With leaky ReLU, whose units cannot die, the loop is smaller.",
    source="this book; the longest dwell",
    figure="fig-hysteresis-area",
    measured={"area, leaky ReLU": areas["leaky_relu"][-1], "area, ReLU": areas["relu"][-1]},
    parts={"smaller": below(areas["leaky_relu"][-1], areas["relu"][-1], "the area with ReLU")},
)

# %% [markdown]
# An area that stays above zero is what hysteresis would look like, and by that criterion alone ReLU shows it. But in a
# hysteresis there are two states, and each can be left: a strong enough field turns the magnet either way. A dead
# network is no such state, as the next section shows: nothing leads it out again. With leaky ReLU the area shrinks as
# the loop gets slower, and can become negative. A negative area means a lower error on the way back, and the likely
# reason is that the network has trained for longer by then.
#
# ## Why it does not come back
#
# The memory is in dead units. The figure shows the share of the last hidden layer's units that are *off*, which means
# for every test image, in the slowest loop. With ReLU such a unit has no gradient and stays off. There are two
# comparisons. With leaky ReLU units that are off still have a gradient, and can come back. The other is ReLU with small
# steps and a very old clean gradient, computed anew every $K$ steps (learning rate 0.01, $K = 160$, second longest
# dwell). In the short trainings of chapter 12 this raised the error and killed no unit. So we expected that no unit
# dies here and the network comes back. But this training is longer: units die after all, and the loop is open.

# %% figure="fig-hysteresis-dead" tags=["hide-input"]
slowest = {TITLES[name]: tables[f"{name}, dwell {dwells[-1]}"] for name in TITLES}
slowest["ReLU, small steps"] = tables["small steps"]
fig, places = figures.panels(2 * len(slowest), height=1.55)
for (upper, lower), (name, table) in zip(zip(places[::2], places[1::2], strict=True), slowest.items(), strict=True):
    figures.way_and_back(upper, loop, *readings.there_and_back(table), f"{name}\ntest error", 0.95)
    figures.way_and_back(lower, loop, *readings.there_and_back(table, "dead"), "units off", 1.03)
places[-1].set_xlabel("share of the clean gradient λ")
show.figure(fig, *(runs[f"{name}, dwell {dwells[-1]}"] for name in TITLES), runs["small steps"])

# %% tags=["hide-input"]
going, coming = readings.there_and_back(slowest["ReLU"], "dead")
ledger.check(
    "hysteresis-stay-off",
    says="With ReLU, units that went off on the way up stay off on the way back.",
    source="this book; the longest dwell",
    figure="fig-hysteresis-dead",
    measured={"units off at the start": going[0], "at the turn": going[-1], "at the end": coming[0]},
    parts={"as many at the end as at the turn": equal(coming[0], going[-1], going[0], "from the turn to the start")},
)
lthere, lback = readings.there_and_back(slowest["leaky ReLU"])
ledger.check(
    "hysteresis-leaky-recovers",
    says="With leaky ReLU the network recovers when it is led back.",
    source="this book; the longest dwell",
    figure="fig-hysteresis-dead",
    measured={
        "error at the start": lthere[0],
        "at the turn": lthere[-1],
        "at the end": lback[0],
        "at the end, ReLU": readings.there_and_back(slowest["ReLU"])[1][0],
    },
    parts={
        "back where it was": towards(
            lback[0],
            lthere[0],
            readings.there_and_back(slowest["ReLU"])[1][0],
            "from where ReLU ends to the error at the start",
        )
    },
)
sthere, sback = readings.there_and_back(slowest["ReLU, small steps"])
small_area, few = readings.loop_area(loop, sthere, sback), sthere.shape[1]
relu_area = areas["relu"][-2][:few]
turned = readings.there_and_back(slowest["ReLU, small steps"], "dead")[0][-1]
calm = int(np.argmin(np.abs(np.array(loop) - one.path[0][0])))  # next to the mix of the ordered networks
ledger.check(
    "hysteresis-small-steps",
    says="With ReLU and small steps no unit dies on the way around the loop either, and the network comes back.",
    source=f"this book, a guess that was made before the runs; learning rate 0.01, K = 160, dwell {dwells[-2]}",
    figure="fig-hysteresis-dead",
    measured={
        f"error on the way up, λ = {loop[calm]:g}": sthere[calm],
        "at the turn": sthere[-1],
        f"on the way back, λ = {loop[calm]:g}": sback[calm],
        "units off at the turn": turned,
        "area": small_area,
        "area with the original's steps": relu_area,
    },
    parts={
        "no unit is off": equal(turned, 0, 1),
        "about no loop": about(small_area, 0, relu_area, "from no area to that with the original's steps"),
    },
)

show.markdown(
    f"With small steps, {100 * turned.mean():.0f} % of the units are off at the turn of a loop of {sum(stage[1] for stage in runs['small steps'][0].experiment.path)} epochs, "
    f"and the area is {small_area.mean():.2f}, against {relu_area.mean():.2f} with the original's steps and {areas['leaky_relu'][-2].mean():.2f} with leaky ReLU at the same dwell. "
    "So small steps do not protect in a long training: where units die, sooner or later, the loop is open."
)

# %% [markdown]
# ## The published loops
#
# The authors published loops, too: a ResNet-18 from fresh weights, led up from 0.20 to 0.64 and back in 60 stages, of
# one epoch each ("fast") or five ("slow"), with ten seeds. They cannot tell us about memory, because the learning rate
# falls on the way: by a factor of ten after the 50th epoch and again after the 75th. The fast loop has 60 epochs and
# meets the first fall on the way back; the slow loop has 300 and meets both on the way up. So the way back differs from
# the way up in the learning rate as well as in what the network has been through. A memory of the collapse would put
# the way back above the way up: a positive area. The slow loops have a negative one:

# %% figure="fig-hysteresis-published" tags=["hide-input"]
PACES = {"fast": 1, "slow": 5}
loops = published.read("loops", fresh=fresh)
led = {(rate, pace): published.ways(loops, rate, pace) for rate in (0.4, 0.8) for pace in PACES}
fig, places = figures.panels(len(led), height=1.9)
for axes, ((rate, pace), (at, there, back)) in zip(places, led.items(), strict=True):
    figures.way_and_back(axes, at, there, back, f"δ = {rate:g}, {pace}\ntest error", 0.95)
places[-1].set_xlabel("share of the clean gradient λ")
show.figure(fig, "The published table of loops")

# %% tags=["hide-input"]
show.markdown(published.credit())
their_areas = {where: readings.loop_area(at, there, back) for where, (at, there, back) in led.items()}
show.table(
    [
        [f"{rate:g}", pace, f"{np.diff(led[rate, pace][0]).mean() / PACES[pace]:.4f}", claims.spread(values)]
        for (rate, pace), values in their_areas.items()
    ],
    ["δ", "pace", "rate Δλ per epoch, mean", "loop area"],
)
ledger.check(
    "hysteresis-published",
    says="In the published slow loops the way back lies below the way up, the opposite of what a memory of the collapse would give.",
    source="published runs (ResNet-18, CIFAR-10), loops; this book's reading",
    figure="fig-hysteresis-published",
    measured={f"area, δ = {rate:g}, {pace}": values for (rate, pace), values in their_areas.items()},
    parts={f"δ = {rate:g}, slow": below(their_areas[rate, "slow"], 0.0, "no area") for rate in (0.4, 0.8)},
)

# %% [markdown]
# Is the falling learning rate the reason? If so, small networks led in the same way must do the same, although their
# area is positive at a constant learning rate. They do. We lead them from fresh weights, with a learning rate that
# falls at the same shares of the loop.

# %% figure="fig-hysteresis-falling" tags=["hide-input"]
falling = {
    (rate, dwell): readings.there_and_back(tables[f"falling, δ = {rate:g}, dwell {dwell}"])
    for rate in PUBLISHED_RATES[profile]
    for dwell in PUBLISHED_DWELLS
}
fig, places = figures.panels(len(falling), height=1.9)
for axes, ((rate, dwell), ways) in zip(places, falling.items(), strict=True):
    figures.way_and_back(axes, loop, *ways, f"δ = {rate:g}, dwell {dwell}\ntest error", 0.95)
places[-1].set_xlabel("share of the clean gradient λ")
show.figure(fig, *(runs[f"falling, δ = {rate:g}, dwell {dwell}"] for rate, dwell in falling))

# %% tags=["hide-input"]
slow = PUBLISHED_DWELLS[-1]
fell = {where: readings.loop_area(loop, *ways) for where, ways in falling.items()}
ledger.check(
    "hysteresis-falling",
    says="A learning rate that falls on the way makes small networks do the same: the area of the slow loop is below zero.",
    source="this book",
    figure="fig-hysteresis-falling",
    measured={f"area, δ = {rate:g}, dwell {dwell}": values for (rate, dwell), values in fell.items()},
    parts={f"δ = {rate:g}": below(fell[rate, slow], 0.0, "no area") for rate in PUBLISHED_RATES[profile]},
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
# | one noise rate | what is special to it cannot be seen | three noise rates |
# | one dwell | a lag cannot be told from a memory | several dwells, and two extrapolations |
# | an error near chance counts as a state | a dead network cannot be told from another collapsed one | dead units and logits logged |
#
# ## Where this deviates from the original
#
# - The profiles below `paper` use another network, other images and fewer epochs, as in chapter 12.
# - The loop begins at a smaller λ than the original's window, so that the network has not yet collapsed at its first
#   point.
#
# ## Try it yourself
#
# Run `python -m lib run 13 --profile smoke -p outputs my-branches`, and again with `-p checkpoints my-branches`. Must
# the first figure of the two runs be the same?
#
# <details><summary>Solution</summary>
#
# Nearly. The networks are the same, but the order of the images in the sweep is drawn anew, and does not continue from
# where the training had left it. At a hundredth of the learning rate that hardly shows.
#
# </details>
#
# ## What to take away
#
# - If a ReLU network has collapsed because its units died, do not wait for it: units that are off for every image do
#   not come back by themselves. Go back to an earlier checkpoint, or use leaky ReLU, which lets the network come back.
#   Small steps only kill the units later.
# - Two kinds of network that a sweep does not move are two initial conditions, not a hysteresis. There is a gap between
#   them at every noise rate at which training at the larger $\lambda$ makes a collapsed network.
# - To find memory, lead one system around a closed loop, at a rate at which it can move, and go slower until nothing
#   changes.
# - Keep everything else constant on the way. A falling learning rate makes a loop of its own, with the way back below
#   the way up.
