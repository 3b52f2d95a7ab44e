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
# # When to stop without clean labels
#
# A network learns right labels first, so it pays to stop training before it learns the wrong ones. But the best moment
# to stop is where the test error on clean labels is least, and whoever has noisy data has no clean labels. Which rules
# find that moment without them? In short: hold out a tenth of the samples with their *noisy* labels, and stop where the
# network agrees with most of them. This is enough. A rule that watches gradients instead loses more on average.
#
# With one value of held-out accuracy for each epoch, the rule is a line of pandas:
#
# ```python
# stop = held_out_accuracy.rolling(3, center=True, min_periods=1).mean().idxmax()
# ```

# %% tags=["hide-input"]
import sys; sys.path += [".", "..", "../.."]  # the book's folder: run this inside it  # fmt: skip
from lib.press import chapters, claims, figures, rule, show

# %% tags=["hide-input", "parameters"]
from typing import Optional

profile: str = "best"  # one of best, smoke, cpu: smoke trains live in seconds, best is the largest recorded
seeds: Optional[int] = None  # how many, 2 or more; None: as many as the profile has
fresh: bool = False  # train anew even where a record is there
device: str = "auto"  # one of auto, cpu, cuda: auto is CUDA where there is a card

# %% tags=["hide-input"]
import numpy as np

from lib import experiments
from lib.press.readings import paired_interval
from lib.suspects import presets
from lib.suspects.stop_rules import RULES, chosen

RATES = {"smoke": (0.0, 0.2, 0.4), "cpu": (0.0, 0.1, 0.2, 0.3, 0.4)}


def plan(profile: str) -> dict[str, list]:
    """The trainings of a profile by noise rate; one for each seed."""
    count = chapters.default(seeds, 3 if profile == "smoke" else 5)
    return {f"{rate:g}": experiments.with_seeds(presets.stop_rules(profile, rate), count) for rate in RATES[profile]}


profile, runs, ledger = chapters.open_chapter("18_when_to_stop", globals(), plan, among=("cpu",), least_seeds=2)
one = next(iter(runs.values()))[0].experiment
show.markdown(
    f"Profile `{profile}`: {one.data.name}, fully connected, {'-'.join(map(str, one.model.widths))} hidden neurons, "
    f"{one.recipe.epochs} epochs, {len(next(iter(runs.values())))} seeds at each noise rate."
)

# %% [markdown]
# ## What the rules see
#
# The figure shows a training with noise rate δ = 0.4, the share of labels that are wrong. The test error (top) is what
# matters, but a rule cannot see it. The share of held-out noisy labels that the network predicts (middle) can be seen,
# and it is highest about where the test error is least. The ratio of the gradients of right and wrong labels (bottom)
# gives no such clear signal: it is close to 1 from early on and jumps from epoch to epoch.

# %% figure="fig-stopping-signals" tags=["hide-input", "nbval-ignore-output"]
some = runs["0.4"]
fig, places = figures.panels(3, height=1.9)
for axes, columns, ylabel in (
    (
        places[0],
        (("test_error", figures.TEST, "test"), ("test_error_averaged", figures.CLEAN, "averaged")),
        "test error",
    ),
    (places[1], (("held_out_accuracy", figures.FIRST, "held out"),), "share right"),
    (places[2], (("ratio", figures.CLEAN, "true"), ("ratio_estimated", figures.NOISY, "suspected")), "ratio"),
):
    for column, style, label in columns:
        figures.curve(axes, some.wide(column), style, label)
    axes.set(ylabel=ylabel)
figures.level(places[2], 1, "equal", below=True)
places[2].set(ylim=(0, None), xlabel="epoch")
for axes in places:
    figures.label_ends(axes)
show.figure(fig, some)

# %% [markdown]
# ## The rules, and how they were compared
#
# The paper stops where the test error is least, which needs clean labels. We train past every stop, record all that a
# rule could look at, and ask afterwards which test error each rule ends with. A *round* is one epoch, or a few where an
# epoch has few steps.
#
# - *held-out labels*: stop in the round with the most right answers on a tenth of the samples, held out with their
#   given labels; each round is averaged with its two neighbours. The tool of [chapter 17](17_wrong_labels.ipynb) stops
#   by this rule (`lib.suspects.early_stop`).
# - *estimated ratio*: clean priority ends where the gradient of the wrong labels is as long as that of the right ones
#   (§ 4). Nobody knows which labels are wrong, but the network has suspects: the labels that it contradicts. Stop in
#   the first round in which the gradient of the suspects is at least as long as that of the others.
# - *true ratio*: the same with the labels that really are wrong. The difference shows what is lost by suspecting.
# - *best of all*: the round with the least test error, which nobody knows in practice.
# - *never*: the last round.

# %% [markdown]
# ## What each rule loses
#
# What a rule *loses* is the test error at its stop minus the least test error of the same training. Where labels are
# wrong, the rule of held-out labels loses least on average. Its lead over training to the end grows with the noise
# rate. The first table gives the loss for the network itself. The second gives it for weights averaged over the last
# steps, at the same stop and still against the least error of the network itself. A negative number means that the
# averaged weights do better than the network does in its best round.


# %% tags=["hide-input", "nbval-ignore-output"]
def lost(rule: str, rate: str, column: str = "test_error") -> np.ndarray:
    """Test error that a rule loses against the best round, [seed]."""
    return np.array(
        [run.history[column][chosen(run.history)[rule]] - run.history["test_error"].min() for run in runs[rate]]
    )


for column, lost_by in (
    ("test_error", "test error lost, the network"),
    ("test_error_averaged", "test error lost, averaged weights"),
):
    show.table(
        [[f"*{name}*", *(claims.spread(lost(name, rate, column)) for rate in runs)] for name in RULES],
        [lost_by, *(f"δ = {rate}" for rate in runs)],
    )

# %% figure="fig-stopping-lost" tags=["hide-input", "nbval-ignore-output"]
fig, (axes,) = figures.panels(1, height=3.0)
x = [float(rate) for rate in runs]
for name, style, marker in (
    ("held-out labels", figures.CLEAN, "o"),
    ("estimated ratio", figures.NOISY, "s"),
    ("true ratio", figures.FIRST, "^"),
    ("never", figures.TEST_DOTTED, "d"),
):
    figures.band(axes, x, np.array([lost(name, rate) for rate in runs]), style, name, marker)
axes.set(xlabel="noise rate δ", ylabel="test error lost", ylim=(0, None))
figures.label_ends(axes)
show.figure(fig, *runs.values())

# %% tags=["hide-input"]
noisy = [rate for rate in runs if float(rate) > 0]
ledger.check(
    "held-out-labels-suffice",
    says="Labels of which any may be wrong are good enough to stop by.",
    source="ours; the paper's early stopping point is that of least test error, which needs clean labels (§ 4.2)",
    figure="fig-stopping-lost",
    measured={f"δ = {rate}": lost("held-out labels", rate, "test_error_averaged") for rate in runs},
    parts={
        f"δ = {rate}": rule.towards(
            lost("held-out labels", rate, "test_error_averaged"), 0, lost("never", rate).mean(),
            "from never stopping to the best round",
        )
        for rate in noisy
    },
)  # fmt: skip
gains = {f"δ = {rate}": lost("never", rate) - lost("held-out labels", rate) for rate in noisy}
ledger.check(
    "stopping-pays",
    says="Stopping early beats training on.",
    source="§ 1, Fig. 1; § 4.2",
    figure="fig-stopping-lost",
    measured=gains,
    parts={name: rule.above(values, 0, "the test error at the stop") for name, values in gains.items()},
)
ledger.check(
    "suspected-ratio-as-good",
    says="The moment when wrong labels begin to rule can be seen without knowing which are wrong.",
    source="§ 4.2, with suspects in place of the wrong labels",
    figure="fig-stopping-lost",
    measured={f"δ = {rate}": lost("estimated ratio", rate) - lost("true ratio", rate) for rate in noisy},
    parts={
        f"δ = {rate}": rule.towards(
            lost("estimated ratio", rate),
            lost("true ratio", rate).mean(),
            lost("never", rate).mean(),
            "from never stopping to the true partition's stop",
        )
        for rate in noisy
    },
)
ratio_worse = {f"δ = {rate}": lost("estimated ratio", rate) - lost("held-out labels", rate) for rate in noisy}
ledger.check(
    "ratio-beats-held-out",
    says="The ratio of gradients is the better rule: it needs no held-out samples.",
    source="a reader's hope",
    figure="fig-stopping-lost",
    measured=ratio_worse,
    parts={name: rule.below(values, 0, "what held-out labels lose") for name, values in ratio_worse.items()},
)
for rate in noisy:
    mean, low, high = paired_interval(list(lost("estimated ratio", rate) - lost("held-out labels", rate)))
    show.markdown(
        f"δ = {rate}: the test error with the estimated ratio minus that with held-out labels is {mean:+.3f} "
        f"[{low:+.3f}, {high:+.3f}] (mean over seeds, paired 95 % interval)."
    )

# %% [markdown]
# ## Where this deviates
#
# - The paper has a ratio for each true class, of the gradients of one logit. A rule needs one number, so we take the
#   gradients of the whole loss. With mini-batches their ratio jumps from round to round, and the rule stops by chance.
# - At noise rate 0 no label is wrong. The true ratio does not exist there, and its rule trains to the end.
#
# ## Try it yourself
#
# 1. Does a rule that waits do better? Let the estimated ratio stop only when it was at most 1 in two consecutive
#    rounds.
#
# <details><summary>Solution</summary>
#
# No. Take `some = runs["0.4"]`, and for each run the column `history["ratio_estimated"].rolling(2).max() <= 1`. The
# rule no longer stops in the first rounds, but then it mostly stops far too late: at δ = 0.4 the mean loss of test
# error against the best stop is about twice as large.
#
# </details>
#
# ## What to take away
#
# - Hold out a tenth of the samples with their *noisy* labels, and stop where the network predicts most of them. With
#   symmetric noise their accuracy rises and falls with that on clean labels, so both are best at about the same time.
# - Average the weights over the last steps. With wrong labels, the averaged weights have the lower test error under
#   every rule here, and they forgive a stop that is a few epochs late. They do not replace it: trained to the end, they
#   still lose more than half of what the network itself loses.
# - The ratio of gradients shows the mechanism, but do not stop by it: it is near 1 early on and jumps. On average it
#   loses more than held-out labels, although the seeds differ too much to call the difference certain.
