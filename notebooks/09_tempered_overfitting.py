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
# # Over-fitting, tempered
#
# How bad is a network that has learnt every wrong label? § 4.2 of the paper says that after the early stop, the epoch
# of least test error, the gradients of clean and mislabelled samples are of similar length, and that the test error
# worsens towards the noise rate, the share of wrong labels. § 6 observes that the final test error is bad but not
# catastrophic, still better than a guess, and calls the over-fitting *tempered*. In short: over-fitting is tempered.
# The network ends with a test error somewhat below the noise rate, and the early stop would have saved most of it.
# While the wrong labels are learnt, neither gradient dominates on average, but the ratio of their lengths in a single
# class swings widely.

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
import pandas as pd

from lib import experiments, records
from lib.paper import dynamics, presets
from lib.press import readings
from lib.press.rule import about, above, below, equal, towards

TEN = 0.3  # noise rate with ten classes


def plan(profile: str) -> dict[str, list]:
    """The trainings of a profile, by name; one for each seed."""
    many, few = (chapters.default(seeds, counts[profile]) for counts in (presets.SEEDS, presets.FEW))
    groups = {f"δ {rate}": presets.binary(profile, rate) for rate in presets.RATES[profile]}
    groups |= {"ten": presets.ten_fitted(profile, TEN)}
    groups |= {f"width {width}": presets.wide(profile, width) for width in presets.WIDTHS[profile]}
    groups = {
        name: experiments.with_seeds(group, few if name.startswith(("ten", "width")) else many)
        for name, group in groups.items()
    }
    whole = presets.binary("smoke" if profile == "smoke" else "paper")
    return groups | {
        "after the stop": experiments.with_seeds(whole, chapters.default(seeds, {"smoke": 3}.get(profile, 5)))
    }


profile, runs, ledger = chapters.open_chapter("09_tempered_overfitting", globals(), plan)
rates, widths = presets.RATES[profile], presets.WIDTHS[profile]
told = runs[f"δ {rates[-1]}"]
show.markdown(
    f"Profile `{profile}`. With two classes and a noise rate of {rates[-1]:g} the test error is "
    f"{claims.spread(told.at_early_stop('test_error'))} at the early stop and "
    f"{claims.spread(told.wide('test_error').iloc[-1])} in the last epoch (mean and range over seeds)."
)

# %% [markdown]
# ## How bad in the end?
#
# On average the final test error lies below the noise rate δ, the nearer to it the more labels are wrong, and far above
# the error at the early stop. The upper curve of the figure is the test error in the last epoch, when the labels are
# fitted. The lower one is the error at the early stop. On the dotted diagonal a network would be wrong on new images as
# often as its training labels are. With two classes a guess has an error of one half.

# %% figure="fig-tempered-final" tags=["hide-input"]
final = readings.each_condition(runs, rates, lambda some: some.wide("test_error").iloc[-1], "δ ")
best = readings.each_condition(runs, rates, lambda some: some.at_early_stop("test_error"), "δ ")
fit = readings.each_condition(runs, rates, lambda some: some.wide("train_error").iloc[-1], "δ ")
fig, (axes,) = figures.panels(1, height=3.2)
figures.curve(axes, pd.DataFrame(final).T, figures.TRAIN, "last epoch")
figures.curve(axes, pd.DataFrame(best).T, figures.TEST, "early stop")
axes.plot(rates, rates, color=figures.THEORY.color, linestyle=figures.THEORY.line)
figures.level(axes, 0.5, "a guess", x=0.02)
axes.set(xlabel="noise rate δ", ylabel="test error", ylim=(0, 0.56), xlim=(rates[0], rates[-1]))
axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
figures.label_ends(axes)
show.figure(fig, *(runs[f"δ {rate}"] for rate in rates))

# %% tags=["hide-input"]
ledger.check(
    "tempered-labels-fitted",
    says="The network fits all training labels, wrong ones included.",
    source="§ 4.2, § 6",
    figure="fig-tempered-final",
    measured={f"training error, δ {rate:g}": values for rate, values in fit.items()},
    parts={f"δ {rate:g}": equal(values, 0, rate, "from no error to all wrong labels") for rate, values in fit.items()},
)
ledger.check(
    "tempered-better-than-a-guess",
    says="When training ends the test error is not catastrophic: it is better than a random guess.",
    source="§ 6",
    figure="fig-tempered-final",
    measured={f"last epoch, δ {rate:g}": values for rate, values in final.items()},
    parts={f"δ {rate:g}": below(values, 0.5, "a guess") for rate, values in final.items()},
)
ledger.check(
    "tempered-towards-noise-rate",
    says="After the early stop the test error worsens towards the noise rate.",
    source="§ 4.2",
    figure="fig-tempered-final",
    measured={f"early stop, δ {rate:g}": values for rate, values in best.items()}
    | {f"last epoch, δ {rate:g}": values for rate, values in final.items()},
    parts={
        f"δ {rate:g}": towards(final[rate], rate, best[rate], "from the early stop to the noise rate") for rate in rates
    },
)
ledger.check(
    "early-stop-saves",
    says="The early stop saves most of the final test error.",
    source="ours, for § 4.2 (§ 1 speaks of saved computation)",
    figure="fig-tempered-final",
    measured={f"saved, δ {rate:g}": final[rate] - best[rate] for rate in rates},
    parts={f"δ {rate:g}": towards(best[rate], 0, final[rate], "from the final error to 0") for rate in rates},
)

# %% [markdown]
# ## How it was made
#
# The chapter uses four groups of trainings:
#
# - **Two classes, by noise rate** (first figure): the network of Figure 5 on sevens and nines, trained until it fits
#   its labels.
# - **Ten classes** (second and third figure): the CNN of Figures 1 and 7, with 30 % wrong labels as in Figure 7; at
#   `paper` on 10,000 images. At `smoke` it is a fully connected network on the digits, which fits its labels
#   sooner.
# - **Two classes, whole set** (third figure): the training "fit" of [chapter 2](02_binary_dynamics.ipynb) at the
#   paper's scale, with all images and 40 % wrong labels (at `smoke` the small one).
# - **By width** (last figure): the trainings of [chapter 7](07_width.ipynb), for the second descent.
#
# A seed draws which images are used (where a profile uses a part), which labels are wrong and what they become, the
# weights at the start, and the order of the images.
#
# ## Ten classes
#
# § 6 takes its observation from Figures 1, 5 and 7. Figures 1 and 7 have ten classes, where a guess is wrong nine times
# out of ten. The test error falls and then rises. It should end far below the guess, near the noise rate:

# %% figure="fig-tempered-ten" tags=["hide-input"]
ten = runs["ten"]
fig, (axes,) = figures.panels(1, height=2.6)
figures.curve(axes, ten.wide("test_error"), figures.TEST, "test")
figures.curve(axes, ten.wide("train_error"), figures.TRAIN, "training")
figures.level(axes, 0.9, "a guess", x=0.3, below=True)
figures.level(axes, TEN, "noise rate δ", x=0.3, below=True)
axes.set(ylabel=f"error, δ = {TEN:g}", ylim=(0, 0.95))
figures.epoch_axis([axes], last=int(ten[0].history["epoch"].max()))
figures.early_stop([axes], ten.early_stops)
figures.label_ends(axes)
show.figure(fig, ten)

# %% tags=["hide-input"]
final, best = ten.wide("test_error").iloc[-1].to_numpy(), ten.at_early_stop("test_error")
fit = ten.wide("train_error").iloc[-1].to_numpy()
ledger.check(
    "tempered-ten-labels-fitted",
    says="With ten classes too, the network fits all training labels, wrong ones included.",
    source="§ 4.2 for § 5, § 6",
    figure="fig-tempered-ten",
    measured={f"training error, δ {TEN:g}": fit},
    parts={f"δ {TEN:g}": equal(fit, 0, TEN, "from no error to all wrong labels")},
)
ledger.check(
    "tempered-ten-better-than-a-guess",
    says="When training ends the test error on ten classes is not catastrophic: it is better than a random guess.",
    source="§ 6, Figs. 1 and 7",
    figure="fig-tempered-ten",
    measured={f"last epoch, δ {TEN:g}": final},
    parts={f"δ {TEN:g}": below(final, 0.9, "a guess")},
)
ledger.check(
    "tempered-ten-towards-noise-rate",
    says="After the early stop the test error on ten classes worsens towards the noise rate.",
    source="§ 4.2 for § 5",
    figure="fig-tempered-ten",
    measured={f"early stop, δ {TEN:g}": best, f"last epoch, δ {TEN:g}": final},
    parts={f"δ {TEN:g}": towards(final, TEN, best, "from the early stop to the noise rate")},
)

# %% [markdown]
# ## Between the stop and the fit: two gradients of one length
#
# § 4.2 says that after the early stop "the magnitudes of $\|g_{clean}^{(c)}\|$ and $\|g_{noise}^{(c)}\|$ are similar,
# and there is no apparent dominance of one over the other". The two are the gradients of the clean and of the
# mislabelled samples on the output of class $c$. When they are equally long, the network learns both subsets. We look
# at the epochs from the early stop to the fit, which is the first epoch with a training error of at most 1 % (or to the
# last epoch where there is no such epoch). After the fit both gradients come from a few last samples only.
#
# "Similar" can be read in two ways. The claim judges both by the ratio of the two lengths, on a logarithmic scale:
#
# - *No dominance*: the median of the ratio over these epochs is nearer to 1 than to the ratio at the start. The ratio
#   here is the geometric mean over the classes.
# - *Similar in each epoch*: in a typical epoch the ratio of a single class is off from 1, to either side, by less than
#   half as much as at the start.

# %% figure="fig-tempered-ratio" tags=["hide-input"]
whole = runs["after the stop"]
fig, places = figures.panels(2, height=2.7, common=False)
for axes, some, classes, title in zip(places, (whole, ten), (2, 10), ("two classes", "ten classes"), strict=True):
    median = sorted(some, key=lambda run: run.early_stop)[len(some) // 2]
    for c in range(classes):
        axes.plot(median.history["epoch"], median.history[f"ratio_{c}"], color="#9a9aa2", linewidth=0.7)
    figures.curve(axes, median.history.set_index("epoch")[["ratio"]], figures.TEST, "mean")
    figures.level(axes, 1, "balance", x=0.02, below=True)
    axes.set(yscale="log", ylabel="clean / noisy", xlabel="epoch", ylim=(0.1, 30))
    axes.set_yticks([0.1, 0.3, 1, 3, 10, 30], ["0.1", "0.3", "1", "3", "10", "30"])
    axes.minorticks_off()
    axes.set_title(f"{title}, seed {median.experiment.seed}", loc="left")
    figures.epoch_axis([axes], last=int(median.history["epoch"].max()))
    figures.early_stop([axes], [median.early_stop], "stop")
    if (fit := dynamics.first_fit(median)) == fit:
        figures.early_stop([axes], [fit], "fit")
show.figure(fig, {"Two classes": whole, "Ten": ten})

# %% tags=["hide-input"]
for id, words, some, classes in (("two", "two classes", whole, 2), ("ten", "ten classes", ten, 10)):
    start = np.log(some.wide("ratio").iloc[0].to_numpy())
    typical = np.array(some.each(lambda run: np.median(np.log(dynamics.between_stop_and_fit(run, ["ratio"])))))
    of_classes = [dynamics.between_stop_and_fit(run, [f"ratio_{c}" for c in range(classes)]) for run in some]
    swing = np.array([np.median(abs(np.log(ratios))) for ratios in of_classes])
    ledger.check(
        f"after-stop-similar-{id}",
        says="After the early stop the clean and the noisy gradient are similar in length: neither dominates "
        f"({words}).",
        source="§ 4.2" if id == "two" else "§ 4.2 for § 5",
        figure="fig-tempered-ratio",
        measured={
            "ratio at the start": np.exp(start),
            "median ratio after the stop": np.exp(typical),
            "typical factor of a class in an epoch": np.exp(swing),
            "epochs looked at": some.each(lambda run: len(dynamics.between_stop_and_fit(run, ["ratio"]))),
        },
        parts={
            "no dominance": about(typical, 0, start, "from balance to the start, in logarithms"),
            "similar in each epoch": about(swing, 0, start, "from balance to the start, in logarithms"),
        },
    )

# %% tags=["hide-input"]
others = {
    rate: runs[f"δ {rate}"].each(lambda run: np.median(dynamics.between_stop_and_fit(run, ["ratio"]))) for rate in rates
}
together = whole.each(
    lambda run: np.corrcoef(np.log(dynamics.between_stop_and_fit(run, ["ratio_0", "ratio_1"])), rowvar=False)[0, 1]
)
show.markdown(
    "In the trainings of the first figure the median ratio between stop and fit is "
    + ", ".join(f"{claims.spread(values)} at δ = {rate:g}" for rate, values in others.items())
    + f". In the trainings of the upper panel the correlation between the logarithms of the two classes' ratios is "
    f"{claims.spread(together)}."
)

# %% [markdown]
# With two classes the ratios of the two classes swing against each other, because a step that helps the samples of one
# class hurts those of the other. Their geometric mean stays near 1 all the while. So the two gradients are similar for
# the training set as a whole and over many epochs, but often not for one class in one epoch.
#
# ## A second descent?
#
# For some very large models the test error comes down again late in training. § 6 recalls this, and says that its
# analysis covers only the first descent and the ascent. In our trainings any second descent is small beside the rise
# before it. We measure how far the test error falls from its peak after the early stop to the end, in means over a
# tenth of the epochs. A negative fall is a rise.
#
# The highest of many noisy means is too high by chance, and so one would find a fall from it in any curve. Therefore we
# take the epoch of a seed's peak from the mean curve of the *other* seeds. Chance then makes no fall on average, and a
# curve that only rises has none.


# %% figure="fig-tempered-second" tags=["hide-input"]
def descent(some: records.Runs) -> np.ndarray:
    """Fall of test error from the others' peak after the early stop to the end, in means over a tenth of a run."""
    span = max(1, len(some[0].history) // 10)
    means = some.wide("test_error").rolling(span).mean()
    late = means.iloc[min(int(some.early_stops.max()) + span, len(means) - 1) :]
    others = {seed: late.drop(columns=seed) if len(some) > 1 else late for seed in late}
    return np.array([late[seed][others[seed].mean(axis=1).idxmax()] - late[seed].iloc[-1] for seed in late])


falls = {width: descent(runs[f"width {width}"]) for width in widths}
long = {rate: descent(runs[f"δ {rate}"]) for rate in rates}
fig, (course, amount) = figures.panels(2, height=2.7, common=False)
chosen = (widths[0], widths[len(widths) // 2], widths[-1])
for width, style in zip(chosen, (figures.FIRST, figures.SECOND, figures.TEST), strict=True):
    figures.curve(course, readings.smooth(runs[f"width {width}"].wide("test_error")), style, f"m = {width}")
course.set(ylabel="test error", ylim=(0, None))
figures.epoch_axis([course], last=int(runs[f"width {widths[0]}"][0].history["epoch"].max()))
figures.label_ends(course)
for width, values in falls.items():
    amount.plot([width] * len(values), values, "o", color=figures.TEST.color, markersize=5, alpha=0.7)
figures.level(amount, 0, "no descent", x=0.02)
amount.set(xscale="log", xlabel="width m", ylabel="fall to the end")
amount.set_xticks(widths, list(map(str, widths)))
amount.minorticks_off()
show.figure(fig, *(runs[f"width {width}"] for width in widths))

# %% tags=["hide-input"]
ledger.check(
    "second-descent",
    says="The test error has a second descent in these trainings (§ 6 mentions one for very large models only).",
    source="ours, for § 6",
    figure="fig-tempered-second",
    measured={f"fall, width {width}": values for width, values in falls.items()},
    parts={f"width {width}": above(values, 0, "no descent") for width, values in falls.items()},
)
ends = {width: readings.smooth(runs[f"width {width}"].wide("test_error")).iloc[-1].to_numpy() for width in widths}
slope = np.polyfit(np.log2(widths), np.array(list(ends.values())), 1)[0]
ledger.check(
    "wider-ends-better",
    says="Wider networks end at a lower test error (as a second descent over model size would have it).",
    source="ours, for § 6",
    figure="fig-tempered-second",
    measured={f"end, width {width}": values for width, values in ends.items()} | {"per doubling": slope},
    parts={"per doubling": below(slope, 0, "no change")},
)

# %% tags=["hide-input"]
ascents = {
    width: runs[f"width {width}"].wide("test_error").iloc[-1] - runs[f"width {width}"].at_early_stop("test_error")
    for width in widths
}


def means(some: dict[float, np.ndarray], of: str) -> str:
    """The mean of each condition in words."""
    return ", ".join(f"{float(np.mean(values)):.3f} at {of} {value:g}" for value, values in some.items())


show.markdown(
    f"The mean fall is {means(falls, 'width')}. By comparison, from the early stop to the end the test error rises by "
    f"{means(ascents, 'width')}. In the trainings of the first figure the mean fall is {means(long, 'δ =')}."
)

# %% [markdown]
# ## Where this deviates from the paper
#
# - The paper reads tempered over-fitting off its figures and gives no number. The comparison with the noise rate is
#   ours.
# - The early stop is the epoch of least test error, and one needs clean test labels to find it. What it saves is the
#   most that any stop can save. [Chapter 18](18_when_to_stop.ipynb) has rules that need no clean labels.
# - A second descent was reported for networks far larger and trainings far longer than these. What we find here says
#   nothing about those.
#
# ## Try it yourself
#
# Suppose that a network memorises every training label, and gives each test image the label of its nearest training
# image. What is its test error at noise rate $\delta$?
#
# <details><summary>Solution</summary>
#
# It is about $\delta$ where classes hardly overlap, because the nearest neighbour has a wrong label with probability
# $\delta$. The final error of our networks is near that, somewhat below it. The majority label of many neighbours would
# give a far lower error, and the early-stopped network resembles that.
#
# </details>
#
# ## What to take away
#
# - A network that has fitted its wrong labels is wrong on new images somewhat less often than its labels were.
# - The early stop saves most of that error. Do not wait for a second descent instead: the trainings here have none
#   worth the wait.
# - From the early stop until the wrong labels are fitted, the clean and the noisy gradient are about equally long on
#   average: neither dominates.
