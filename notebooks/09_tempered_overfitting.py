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
# What becomes of a network that has learnt every wrong label? § 6 of the paper observes that its test error is bad but
# not catastrophic, still better than a guess, and calls the over-fitting *tempered*; it also asks what follows the
# ascent, since very large models can show a *second descent*. This chapter measures the final test error against the share of
# wrong labels, and looks for the second descent over the widths. In short: tempered it is, with a final error somewhat
# below the noise rate.

# %% tags=["hide-input"]
import sys; sys.path += [".", "..", "../.."]  # the book's folder: run this inside it  # fmt: skip
from lib.press import chapters, claims, figures, show

# %% tags=["parameters"]
from typing import Optional

profile: str = "best"  # one of best, smoke, cpu, paper: smoke trains live in seconds, best is the largest recorded
seeds: Optional[int] = None  # how many; None: as many as the profile has
fresh: bool = False  # train anew even where a record is there
device: str = "auto"  # one of auto, cpu, cuda: auto is CUDA where there is a card

# %% [markdown]
# ## The trainings
#
# The network of Figure 5 with different shares of wrong labels, trained until it fits them all; and, for the second
# descent, the sweep over widths of the chapter on width.

# %%
import numpy as np
import pandas as pd

from lib import experiments, records
from lib.paper import presets
from lib.press import readings


def plan(profile: str) -> dict[str, list]:
    """The trainings of a profile, by name; one for each seed."""
    count = chapters.default(seeds, {"smoke": 3, "cpu": 10, "paper": 5}[profile])
    groups = {
        f"δ {rate}": experiments.with_seeds(presets.binary(profile, rate), count) for rate in presets.RATES[profile]
    }
    for width in presets.WIDTHS[profile]:
        groups[f"width {width}"] = experiments.with_seeds(presets.wide(profile, width), count)
    return groups


profile, runs, ledger = chapters.open_chapter("09_tempered_overfitting", globals(), plan)
rates = presets.RATES[profile]
widths = presets.WIDTHS[profile]
show.markdown(f"Profile `{profile}`.")
for rate in rates:
    show.markdown(f"- δ = {rate:g}: {runs[f'δ {rate}'].provenance_line()}.")

# %% [markdown]
# ## How bad in the end?

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
show.figure(fig)

# %% tags=["hide-input"]
ledger.check(
    "tempered-labels-fitted",
    says="The network fits all training labels, wrong ones included.",
    source="§ 4.2, § 6",
    criterion="training error at most .01 in the last epoch, at every noise rate",
    figure="fig-tempered-final",
    measured={f"training error, δ {rate:g}": values for rate, values in fit.items()},
    passes={f"{rate:g}": values <= 0.01 for rate, values in fit.items()},
)
ledger.check(
    "tempered-better-than-a-guess",
    says="At convergence the test error is not catastrophic: better than a random guess.",
    source="§ 6",
    criterion="below .5 by at least .05, at every noise rate",
    figure="fig-tempered-final",
    measured={f"last epoch, δ {rate:g}": values for rate, values in final.items()},
    passes={f"{rate:g}": values <= 0.45 for rate, values in final.items()},
)
ways = {rate: (final[rate] - best[rate]) / (rate - best[rate]) for rate in rates}
ledger.check(
    "tempered-towards-noise-rate",
    says="In the later stage the test performance worsens toward the noise level.",
    source="§ 4.2",
    criterion="from the early stop to the end it goes at least half of the way to the noise rate, and at most a "
    "quarter beyond, at every rate",
    figure="fig-tempered-final",
    measured={f"part of the way, δ {rate:g}": way for rate, way in ways.items()},
    passes={f"{rate:g}": (way >= 0.5) & (way <= 1.25) for rate, way in ways.items()},
)
saved = {rate: final[rate] - best[rate] for rate in rates}
ledger.check(
    "early-stop-saves",
    says="The early stop saves most of that error.",
    source="§ 1",
    criterion="test error at the early stop at most a third of the final one",
    figure="fig-tempered-final",
    measured={f"early stop, δ {rate:g}": values for rate, values in best.items()}
    | {f"saved, δ {rate:g}": values for rate, values in saved.items()},
    passes={f"{rate:g}": best[rate] <= final[rate] / 3 for rate in rates},
)

# %% [markdown]
# ## A second descent?
#
# § 6 recalls that for some very large models the test error comes down again late in training, and says that its
# analysis covers the first descent and the ascent only. We look for it: in each training, the mean test error over a
# tenth of the epochs, from where it is highest after the early stop to the end. A fall of a tenth of the noise rate or
# more we call a descent. (The highest of many noisy means is too high by chance: small falls mean nothing.)

# %% figure="fig-tempered-second" tags=["hide-input"]
noise_rate = runs[f"width {widths[0]}"][0].experiment.noise.noise_rate


def descent(run: records.Run) -> float:
    """Fall of the test error, in means over a tenth of the epochs, from the highest after the early stop to the end."""
    late = run.history.set_index("epoch")["test_error"].loc[run.early_stop :]
    means = late.rolling(max(1, len(run.history) // 10)).mean().dropna()
    return float(means.max() - means.iloc[-1])


falls = {width: np.array(runs[f"width {width}"].each(descent)) for width in widths}
long = {rate: np.array(runs[f"δ {rate}"].each(descent)) for rate in rates}
fig, (course, amount) = figures.panels(2, height=2.7, common=False)
chosen = (widths[0], widths[len(widths) // 2], widths[-1])
for width, style in zip(chosen, (figures.FIRST, figures.SECOND, figures.TEST), strict=True):
    figures.curve(course, readings.smooth(runs[f"width {width}"].wide("test_error")), style, f"m = {width}")
course.set(ylabel="test error", ylim=(0, None))
figures.epoch_axis([course], last=int(runs[f"width {widths[0]}"][0].history["epoch"].max()))
figures.label_ends(course)
for width, values in falls.items():
    amount.plot([width] * len(values), values, "o", color=figures.TEST.color, markersize=5, alpha=0.7)
figures.level(amount, noise_rate / 10, "a descent", x=0.02)
amount.set(xscale="log", xlabel="width m", ylabel="fall to the end", ylim=(-0.005, None))
amount.set_xticks(widths, list(map(str, widths)))
amount.minorticks_off()
show.figure(fig)

# %% tags=["hide-input", "nbval-ignore-output"]
show.markdown(f"*Widest: {runs[f'width {widths[-1]}'].provenance_line()} (the others alike).*")

# %% tags=["hide-input"]
ledger.check(
    "second-descent",
    says="There is a second descent of the test error in these trainings (which § 6 expects of very large models only).",
    source="ours, for § 6",
    criterion="the mean over a tenth of the epochs ends a tenth of the noise rate or more below its later maximum",
    figure="fig-tempered-second",
    measured={f"fall, width {width}": values for width, values in falls.items()},
    passes={f"{width}": values >= noise_rate / 10 for width, values in falls.items()},
)
ends = {width: readings.smooth(runs[f"width {width}"].wide("test_error")).iloc[-1].to_numpy() for width in widths}
slope = np.polyfit(np.log2(widths), np.array(list(ends.values())), 1)[0]
ledger.check(
    "wider-ends-better",
    says="Larger models end at a lower test error (what a second descent over model size would look like).",
    source="ours, for § 6",
    criterion="final smoothed test error falls by at least .005 per doubling of the width",
    figure="fig-tempered-second",
    measured={f"end, width {width}": values for width, values in ends.items()} | {"per doubling": slope},
    passes=slope <= -0.005,
)

# %% tags=["hide-input"]
found = [str(width) for width, values in falls.items() if (values >= noise_rate / 10).all()]
show.markdown(
    "Of the widths, these show a second descent by that measure in every seed: " + (", ".join(found) or "none") + ". "
    f"The fall is {claims.spread(falls[widths[0]])} at width {widths[0]} and {claims.spread(falls[widths[-1]])} at width "
    f"{widths[-1]}. In the trainings by noise rate, the fall from the later maximum is at most "
    f"{claims.number(max(values.max() for values in long.values()))}."
)

# %% [markdown]
# ## Where this deviates from the paper
#
# - It reads tempered over-fitting off its figures and gives no number; the comparison with the noise rate is ours.
#   "Toward the noise level" was first judged as an absolute distance, which nothing could miss at 10 %; the criterion
#   above was put in its place after those numbers had been seen.
# - A second descent was reported for networks far larger and trainings far longer than these; not finding one here
#   would say nothing about those.
#
# ## Try it yourself
#
# A network that memorises every training label and answers each test image like its nearest training image would have
# which test error at noise rate $\delta$?
#
# <details><summary>Solution</summary>
#
# About $\delta$, where classes hardly overlap: the nearest neighbour has a wrong label with probability $\delta$. The
# network's final error lies near that, somewhat below it. Answering by the majority of many neighbours would be far better: that is what
# the early-stopped network resembles.
#
# </details>
#
# ## What to take away
#
# - A network that has fitted its wrong labels errs about as often as they did, and not more.
# - The early stop is worth most of it.
