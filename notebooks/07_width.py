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
# # Width
#
# Clean-priority learning means that a network learns the samples with right labels first. Does it need very wide
# networks? The paper's theory assumes them. Appendix C.3 trains fully connected networks with 32 to 2,048 neurons a
# layer on sevens and nines, and finds clean-priority learning "consistent with all widths" (Figure 12). In short: the
# paper is right. The early stage, up to the epoch of least test error, goes much the same from narrow to wide. The
# width matters only after it: wide networks fit the wrong labels sooner. This chapter repeats the sweep over several
# seeds.

# %% tags=["hide-input"]
import sys; sys.path += [".", "..", "../.."]  # the book's folder: run this inside it  # fmt: skip
from lib.press import chapters, claims, figures, show

# %% tags=["hide-input", "parameters"]
from typing import Optional

profile: str = "best"  # one of best, smoke, cpu, paper: smoke trains live in seconds, best is the largest recorded
noise_rate: float = 0.4  # delta: share of the labels of each class that are wrong
seeds: Optional[int] = None  # how many; None: as many as the profile has
fresh: bool = False  # train anew even where a record is there
device: str = "auto"  # one of auto, cpu, cuda: auto is CUDA where there is a card

# %% tags=["hide-input"]
import numpy as np

from lib import experiments
from lib.paper import dynamics, presets
from lib.press import readings
from lib.press.rule import about


def plan(profile: str) -> dict[str, list]:
    """The trainings of a profile by width; one for each seed."""
    count = chapters.default(seeds, presets.SEEDS[profile])  # as many of each width
    return {
        str(width): experiments.with_seeds(presets.wide(profile, width, noise_rate), count)
        for width in presets.WIDTHS[profile]
    }


profile, runs, ledger = chapters.open_chapter("07_width", globals(), plan)
groups = plan(profile)
widths = [int(name) for name in runs]
some = runs[str(widths[0])]
size = some[0].experiment.data.train_size
show.markdown(
    f"Profile `{profile}`, noise rate {noise_rate}, {f'{size:,}' if size else 'all'} training images of "
    f"{some[0].experiment.data.name}; widths {', '.join(map(str, widths))}; {some[0].experiment.train.epochs} epochs. "
    "At the early stop the test error is "
    + " and ".join(
        f"{claims.spread(runs[str(width)].at_early_stop('test_error'))} at width {width}"
        for width in (widths[0], widths[-1])
    )
    + " (mean and range over seeds)."
)

# %% [markdown]
# ## The early stage at every width (Figure 12)
#
# Each panel shows one width. The *clean subset* is the training images with right labels, and the *noisy subset* is
# those with wrong ones. The error on the noisy subset counts against the wrong labels: it is 1 when the network gives
# every one of these images its true class. The early stop (dashed) is the epoch of least test error. Before it, the
# noisy error should rise towards 1 at every width, while the test error falls far below the noise rate δ, the share of
# wrong labels.

# %% figure="fig-width-dynamics" tags=["hide-input"]
drawn = widths if len(widths) <= 4 else [widths[round(i * (len(widths) - 1) / 3)] for i in range(4)]
sweep = {f"{width} neurons": runs[str(width)] for width in drawn}
show.figure(dynamics.conditions(sweep, [noise_rate] * len(drawn)), *sweep.values())

# %% [markdown]
# The middle column of the paper's figure shows the mean residual on the two subsets: $|f-y|$, the distance of the
# output $f$ from the given label $y$. On the noisy subset it should rise monotonically until the early stop:

# %% figure="fig-width-residuals" tags=["hide-input"]
show.figure(dynamics.conditions(sweep, [noise_rate] * len(drawn), "residual"), *sweep.values())

# %% [markdown]
# The right column of the paper's figure shows the errors on the whole training set and on the test set. After the early
# stop the training error should fall towards 0 as the network learns the wrong labels, and the test error should rise:

# %% figure="fig-width-totals" tags=["hide-input"]
show.figure(dynamics.conditions(sweep, [noise_rate] * len(drawn), "total"), *sweep.values())

# %% tags=["hide-input"]
conditions = {f"width {width}": runs[str(width)] for width in widths}
dynamics.check_early_stage(
    ledger,
    conditions,
    id="width",
    where=", at every width",
    shown={
        "error": ("Appendix C.3, Fig. 12 left", "fig-width-dynamics"),
        "residual": ("Appendix C.3, Fig. 12 middle", "fig-width-residuals"),
    },
)
dynamics.check_u(
    ledger,
    conditions,
    [noise_rate] * len(widths),
    id="width",
    where=", at every width",
    source="Appendix C.3, Fig. 12 right",
    figure="fig-width-totals",
)
best = readings.each_condition(runs, widths, lambda some: some.at_early_stop("test_error"))
last = readings.each_condition(runs, widths, lambda some: some.wide("test_error").iloc[-1])

# %% [markdown]
# The noisy error rises towards 1 and the test error makes its U at every width. The verdicts marked "one way" ask for
# more: that a curve moves in one direction only until the early stop. Curves waver from epoch to epoch, and some of
# these verdicts stay open for that reason.
#
# ## How it was made
#
# The network is that of Figure 5, 784-$m$-$m$-1, with $m$ neurons in each of two hidden layers. (At `smoke` the images,
# and so the first layer, are smaller.) Only $m$ changes: data, learning rate, batch size and number of epochs stay the
# same. A seed draws which images are used (where a profile uses a part), which labels are wrong, the weights at the
# start, and the order of the images. The networks of one seed see the same images with the same labels, whatever their
# width.
#
# ## What changes with the width
#
# Little but the time of the full fit changes. The figure shows six numbers of each training: the peak of the noisy
# error, the test error at the early stop and in the last epoch, the ratio of the gradients at the early stop, and the
# epochs of the early stop and of the full fit. The ratio is the length of the clean subset's gradient over the length
# of the noisy subset's, as geometric mean over the classes. The full fit is the first epoch with at most 1 % training
# error. A flat line means that the width does not matter.

# %% figure="fig-width-summary" tags=["hide-input"]
import pandas as pd

peaks = readings.each_condition(runs, widths, lambda some: some.each(dynamics.noisy_peak))
ratios = readings.each_condition(runs, widths, lambda some: some.at_early_stop("ratio"))
fits = readings.each_condition(runs, widths, lambda some: some.each(dynamics.first_fit))
stops = readings.each_condition(runs, widths, lambda some: some.early_stops)
fig, (peak, test, ratio, epochs) = figures.panels(4, height=1.9)
figures.curve(peak, pd.DataFrame(peaks).T, figures.NOISY, "peak")
figures.curve(test, pd.DataFrame(best).T, figures.TEST, "early stop")
figures.curve(test, pd.DataFrame(last).T, figures.TRAIN, "last epoch")
figures.curve(ratio, pd.DataFrame(ratios).T, figures.TEST, "ratio")
figures.level(ratio, 1, "balance", x=0.5)
figures.curve(epochs, pd.DataFrame(stops).T, figures.TEST, "early stop")
figures.curve(epochs, pd.DataFrame(fits).T.dropna(), figures.TRAIN, "full fit")
peak.set(ylabel="noisy error", ylim=(0, 1.03))
test.set(ylabel="test error", ylim=(0, None))
ratio.set(ylabel="clean / noisy", ylim=(0, None))
epochs.set(ylabel="epoch", yscale="log", xscale="log", xlabel="width m", xlim=(widths[0], widths[-1]))
ticks = [width for width in widths if np.log2(width / widths[0]) % 2 == 0]
epochs.set_xticks(ticks, list(map(str, ticks)))
for axes in (peak, test, ratio, epochs):
    axes.minorticks_off()
    figures.label_ends(axes)
show.figure(fig, *runs.values())


# %% tags=["hide-input"]
def change(values: dict[int, np.ndarray]) -> np.ndarray:
    """From the narrowest to the widest, seed by seed, along the line of least squares over log width."""
    doublings = np.log2(widths)
    return np.polyfit(doublings, np.array(list(values.values())), 1)[0] * (doublings[-1] - doublings[0])


def over_widths(values: dict[int, np.ndarray]) -> np.ndarray:
    """Mean over the widths, seed by seed."""
    return np.mean(list(values.values()), axis=0)


logs = {width: np.log(values) for width, values in ratios.items()}
starts = readings.each_condition(runs, widths, lambda some: some.wide("noisy_error").iloc[0])
first = readings.each_condition(runs, widths, lambda some: np.log(some.wide("ratio").iloc[0]))
trends = {  # how much a mark changes, and by how much it would if it were lost along the way
    "noisy peak": (change(peaks), over_widths(starts) - over_widths(peaks)),
    "test error at the early stop": (change(best), noise_rate - over_widths(best)),
    "log of the ratio at the early stop": (change(logs), over_widths(first) - over_widths(logs)),
}
ledger.check(
    "width-no-trend",
    says="Clean-priority learning is consistent with all widths: its marks are about the same from narrow to wide.",
    source="Appendix C.3",
    figure="fig-width-summary",
    measured={f"change, {name}": values for name, (values, _) in trends.items()}
    | {f"if lost, {name}": lost for name, (_, lost) in trends.items()},
    parts={
        name: about(values, 0, lost, "from no change to a mark that is lost") for name, (values, lost) in trends.items()
    },
)
nominal = (1 - noise_rate) / noise_rate
start_ratio = {width: np.array([runs[str(width)].wide(f"ratio_{c}").iloc[0] for c in (0, 1)]) for width in widths}
ledger.check(
    "width-ratio-at-start",
    says="At every width the ratio of the gradients starts around (1 − δ)/δ in each class.",
    source="§ 4.2 and Eq. 8 at the widths of Appendix C.3",
    figure="fig-width-summary",
    measured={
        f"{of} class, width {width}": values
        for width, both in start_ratio.items()
        for of, values in (("smaller", both.min(0)), ("larger", both.max(0)))
    },
    parts={
        f"width {width}": about(abs(np.log(both / nominal)).max(0), 0, np.log(nominal), "to balance, in logarithms")
        for width, both in start_ratio.items()
    },
)

# %% tags=["hide-input"]
slowest = {width: values for width, values in fits.items() if not np.isnan(values).any()}
show.markdown(
    "The wrong labels are fitted (training error of at most 1 %) after "
    + ", ".join(f"{claims.spread(values)} epochs at width {width}" for width, values in slowest.items())
    + ("; at the other widths not in every seed." if len(slowest) < len(widths) else ".")
)

# %% [markdown]
# ## Where this deviates from the paper
#
# - The paper shows one training for each width and gives no learning rate. We use one rate for all widths. At `cpu`
#   the networks train on a part of the images, with momentum, and so fit the labels in fewer epochs.
# - The early stop is the epoch of least test error, found for each training by itself. By this choice, the clean
#   subset's error and residual are lower there than at the start. We therefore judge whether the error keeps falling.
# - The paper says "consistent with all widths" and names no measure. We take three marks: the noisy error rises above
#   its start, the test error lies below the noise rate, and the ratio lies below its start. A mark would be lost if it
#   changed, from the narrowest to the widest network, by as much as it differs from that start or rate. "Consistent"
#   here means a change of less than half of that.
# - The geometric mean of the two classes' ratios starts at $(1-\delta)/\delta$ by construction. A single class need
#   not start there, and so the claim judges the single classes.
#
# ## Try it yourself
#
# Run `python -m lib run 07 --profile smoke -p noise_rate 0.2`. Does the width matter more with fewer wrong labels?
#
# <details><summary>What you should see</summary>
#
# No: the bottom of the U is lower at every width alike.
#
# </details>
#
# ## What to take away
#
# - The early stage looks the same from narrow to wide. The theory assumes great width, but what it describes does not
#   need it.
# - A wide network fits the wrong labels sooner than a narrow one.
# - Do not choose a width to guard against wrong labels. Stop early: that works at every width.
