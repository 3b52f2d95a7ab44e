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
# # Noise level
#
# Clean-priority learning means that a network learns the samples with right labels first. Does it depend on how many
# labels are wrong? Appendix C.4 of the paper trains the CNN of Figure 7 with 10 to 40 % wrong labels, and finds that it
# is "consistent for all noise levels" (Figure 13). In short: the picture is the same at every level. Only the size of
# the clean samples' lead differs, as the theory says. Before training, their gradient on a class's own logit is about
# $(C-1)(1-\delta)/\delta$ times as long as that of the mislabelled samples, with $C$ classes and a noise rate $\delta$
# (the share of wrong labels).

# %% tags=["hide-input"]
import sys; sys.path += [".", "..", "../.."]  # the book's folder: run this inside it  # fmt: skip
from lib.press import chapters, claims, figures, show

# %% tags=["hide-input", "parameters"]
from typing import Optional

profile: str = "best"  # one of best, smoke, cpu, paper: smoke trains live in seconds, best is the largest recorded
seeds: Optional[int] = None  # how many; None: as many as the profile has
fresh: bool = False  # train anew even where a record is there
device: str = "auto"  # one of auto, cpu, cuda: auto is CUDA where there is a card

# %% tags=["hide-input"]
import numpy as np

from lib import experiments, records
from lib.paper import dynamics, presets
from lib.press import readings
from lib.press.rule import about, above, below, towards

SEEDS = presets.SEEDS | {"paper": 5}  # of a quarter of an hour each, on one core
WHOLE = {"paper": (0.1, 0.4)}  # noise rates that are also trained on all images, with the paper's batch size: one seed


def plan(profile: str) -> dict[str, list]:
    """The trainings of a profile by noise rate; one for each seed."""
    count = chapters.default(seeds, SEEDS[profile])
    groups = {
        str(rate): experiments.with_seeds(presets.noise_level(profile, rate), count) for rate in presets.RATES[profile]
    }
    return groups | {f"whole, {rate}": [presets.mnist(profile, rate)] for rate in WHOLE.get(profile, ())}


profile, runs, ledger = chapters.open_chapter("08_noise_level", globals(), plan)
whole = {rate: runs.pop(f"whole, {rate}") for rate in WHOLE.get(profile, ())}
last_epoch = min(some[0].experiment.train.epochs for some in runs.values())
runs = {name: some.until(last_epoch) for name, some in runs.items()}
rates = [float(name) for name in runs]
one = runs[str(rates[0])][0].experiment
size = f"{one.data.train_size:,} training images" if one.data.train_size else "all training images"
show.markdown(
    f"Profile `{profile}`: {size} of {one.data.name}, CNN of widths {', '.join(map(str, one.model.widths))}. At the "
    "early stop the test error is "
    + ", ".join(f"{claims.spread(runs[str(rate)].at_early_stop('test_error'))} at δ = {rate:g}" for rate in rates)
    + " (mean and range over seeds)."
)

# %% [markdown]
# ## The early stage at every noise level (Figure 13)
#
# Each panel shows one noise rate. The *clean subset* is the training images with right labels, and the *noisy subset*
# is those with wrong ones. The error on the noisy subset counts against the wrong labels: it is 1 when the network
# gives none of these images its wrong label. The early stop (dashed) is the epoch of least test error. Before it, the
# noisy error should rise towards 1 at every rate, while the test error falls below the noise rate.

# %% figure="fig-noise-dynamics" tags=["hide-input"]
sweep = {f"δ = {rate:g}": runs[str(rate)] for rate in rates}
show.figure(dynamics.conditions(sweep, rates), *sweep.values())

# %% [markdown]
# The middle column of the paper's figure shows the mean residual on the two subsets: $\|f-y\|$, the distance of the ten
# outputs $f$ from the given label $y$, one-hot. On the noisy subset it should rise monotonically until the early stop:

# %% figure="fig-noise-residuals" tags=["hide-input"]
show.figure(dynamics.conditions(sweep, rates, "residual"), *sweep.values())

# %% [markdown]
# The right column of the paper's figure shows the errors on the whole training set and on the test set. After the early
# stop the training error should fall below the noise rate as the network learns wrong labels, and the test error should
# rise:

# %% figure="fig-noise-totals" tags=["hide-input"]
show.figure(dynamics.conditions(sweep, rates, "total"), *sweep.values())

# %% tags=["hide-input"]
dynamics.check_early_stage(
    ledger,
    {f"δ {rate:g}": runs[str(rate)] for rate in rates},
    id="noise",
    where=", at every noise level",
    shown={
        "error": ("Appendix C.4, Fig. 13 left", "fig-noise-dynamics"),
        "residual": ("Appendix C.4, Fig. 13 middle", "fig-noise-residuals"),
    },
)
best = readings.each_condition(runs, rates, lambda some: some.at_early_stop("test_error"))
later = readings.each_condition(runs, rates, lambda some: some.each(dynamics.after_stop))
last = readings.each_condition(runs, rates, lambda some: some.wide("test_error").iloc[-1])
ledger.check(
    "noise-test-error-below",
    says="At the early stop the test error is below the noise rate, at every noise level.",
    source="Appendix C.4, Fig. 13 right; § 1",
    figure="fig-noise-totals",
    measured={f"least, δ {rate}": values for rate, values in best.items()},
    parts={f"δ {rate}": below(values, rate, "the noise level") for rate, values in best.items()},
)
ledger.check(
    "noise-test-error-rises",
    says="After the early stop the test error rises, at every noise level.",
    source="Appendix C.4, Fig. 13 right; § 4.2",
    figure="fig-noise-totals",
    measured={f"epoch after the stop, δ {rate}": values for rate, values in later.items()}
    | {f"last epoch, δ {rate}": values for rate, values in last.items()},
    parts={f"δ {rate}": above(last[rate], later[rate], "the epoch after the stop") for rate in last},
)

# %% [markdown]
# The errors do at every noise rate what the paper says. The residual on the noisy subset is higher at the early stop
# than at the start, but it does not rise all the way: most of the rise comes in the first epoch, and before the stop it
# also falls.
#
# ## How it was made
#
# The network is that of [chapter 5](05_many_classes.ipynb), and so are the trainings of that chapter's profile `cpu`.
# Only the share of wrong labels differs. The profile `paper` takes 10,000 images where `cpu` takes 3,000, and trains in
# the same way: all 60,000 images with the paper's batch size take about ten hours a training on a processor. Two such
# trainings, one at each end of the noise rates, were made on a graphics card and stand in the table below.
#
# At δ = 0.3 the trainings are longer, because other chapters need them up to the full fit
# ([chapter 5](05_many_classes.ipynb) at `cpu`, [chapter 9](09_tempered_overfitting.ipynb) at `paper`). Here they are
# cut to the number of epochs of the others. The cut changes nothing: the learning rate has no schedule, so the first
# epochs of a long training are those of a short one. A seed draws which images are used, which labels are wrong and
# what they become, the weights at the start, and the order of the images.
#
# ## The head start of the clean gradient
#
# The lead of the clean samples is larger when fewer labels are wrong. § 5 says that at initialisation the ratio of
# clean to noisy gradient length on a class's own logit is about $(C-1)(1-\delta)/\delta$. With ten classes this is 81
# at 10 % wrong labels and 13.5 at 40 %. By the early stop the ratio should have faded towards 1. The figure draws the
# geometric mean over the classes. This mean starts on the dotted curve by construction, because the outputs of a
# softmax sum to one. A single class need not start there, and so the claim judges the single classes.

# %% figure="fig-noise-ratio" tags=["hide-input"]
first = readings.each_condition(runs, rates, lambda some: some.wide("ratio").iloc[0])
stop = readings.each_condition(runs, rates, lambda some: some.at_early_stop("ratio"))
fig, (axes,) = figures.panels(1, height=3.2)
line = np.linspace(min(rates) * 0.9, max(rates) * 1.05, 100)
axes.plot(line, 9 * (1 - line) / line, color=figures.THEORY.color, linestyle=figures.THEORY.line)
for values, style, marker, label in ((first, figures.CLEAN, "o", "start"), (stop, figures.NOISY, "^", "early stop")):
    for rate in rates:
        axes.plot(
            [rate] * len(values[rate]), values[rate], marker, color=style.color, markersize=6,
            alpha=0.75, label=label if rate == rates[0] else None,
        )  # fmt: skip
figures.level(axes, 1, "balance", x=0.4, below=True)
axes.set(yscale="log", xlabel="noise rate δ", ylabel="clean / noisy", ylim=(0.5, 120))
axes.set_yticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
axes.minorticks_off()
axes.legend(frameon=False)
show.figure(fig, *runs.values())

# %% tags=["hide-input"]
nominal = {rate: 9 * (1 - rate) / rate for rate in rates}
each_class = {rate: np.array([runs[str(rate)].wide(f"ratio_{c}").iloc[0] for c in range(10)]) for rate in rates}
ledger.check(
    "noise-ratio-at-start",
    says="At initialisation the ratio on each class's own logit is about (C − 1)(1 − δ)/δ, at every noise level.",
    source="§ 5, after Eqs. 14a and 14b, at the levels of Appendix C.4",
    figure="fig-noise-ratio",
    measured={
        f"{of} class, δ {rate} (theory {nominal[rate]:.3g})": values
        for rate, ratios in each_class.items()
        for of, values in (("least", ratios.min(0)), ("largest", ratios.max(0)))
    },
    parts={
        f"class furthest off, δ {rate}": about(
            abs(np.log(ratios / nominal[rate])).max(0), 0, np.log(9), "to (1 − δ)/δ, as for two classes"
        )
        for rate, ratios in each_class.items()
    },
)
ledger.check(
    "noise-ratio-fades",
    says="At the early stop the dominance of the clean gradient has faded, at every noise level.",
    source="§ 5, Fig. 8, at the levels of Appendix C.4",
    figure="fig-noise-ratio",
    measured={f"δ {rate}": values for rate, values in stop.items()},
    parts={
        f"δ {rate}": towards(np.log(values), 0, np.log(first[rate]), "from the start to balance, in logarithms")
        for rate, values in stop.items()
    },
)

# %% [markdown]
# The table shows, for each noise rate, the epoch of the early stop, the first epoch in which the mislabelled samples'
# gradient is as long as that of the clean ones, and the test error (mean and range over seeds):


# %% tags=["hide-input", "nbval-ignore-output"]
def epochs(values: np.ndarray) -> str:
    """Their spread, or that there is none."""
    return "not in every seed" if np.isnan(values).any() else claims.spread(values)


def of(some: records.Runs) -> list[str]:
    """The table's numbers of these trainings."""
    balance = some.each(lambda run: readings.first_balance(run.history))
    errors = some.at_early_stop("test_error"), some.wide("test_error").iloc[-1]
    return [epochs(some.early_stops), epochs(balance), *map(claims.spread, errors)]


show.table(
    [[f"δ = {rate}", *of(runs[str(rate)])] for rate in rates]
    + [[f"δ = {rate}, all 60,000 images, one seed", *of(some)] for rate, some in whole.items()],
    ["noise rate", "early stop, epoch", "first balance, epoch", "test error at the stop", "test error, last epoch"],
)

# %% [markdown]
# ## Where this deviates from the paper
#
# - Batch size and learning rate are those of [chapter 5](05_many_classes.ipynb) at `cpu`, also at `paper`, where 10,000
#   of the 60,000 images are used. The last rows of the table, on all images, have the paper's batch size.
# - The paper shows one training for each noise level, and trains for more epochs than we do. Our trainings end before
#   all wrong labels are fitted.
# - The early stop is the epoch of least test error. By this choice, the clean subset's error and residual are lower
#   there than at the start. We therefore judge whether the error keeps falling.
#
# ## Try it yourself
#
# With ten classes and $\delta = 0.9$ a label carries no information at all. At which $\delta$ do the clean samples have
# no head start, by the formula above, and why is it the same number?
#
# <details><summary>Solution</summary>
#
# $(C-1)(1-\delta)/\delta = 1$ at $\delta = (C-1)/C = 0.9$. At this noise rate each wrong class is as frequent among the
# labels of a class as the right one, and so the clean samples have no lead.
#
# </details>
#
# ## What to take away
#
# - From 10 to 40 % wrong labels the picture is the same. Before the early stop the noisy error rises and the test error
#   falls below the noise rate; afterwards both turn.
# - Before training the clean gradient is about $(C-1)(1-\delta)/\delta$ times as long as the noisy one, as the theory
#   says. Fewer wrong labels mean a larger lead.
# - The more labels are wrong, the more an early stop saves: the last column of the table grows faster than the one
#   before it.
