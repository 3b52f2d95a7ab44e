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
# # Find the wrong labels
#
# Which of your labels are wrong, how many of them are, and how sure is that? The tool of this chapter,
# `lib.suspects.judge`, answers from one training, without a single label that is known to be right. In short: on
# handwritten digits one training ranks wrong labels better than cleanlab does with five. It gains most where all wrong
# labels of a class go to one other class. Where wrong labels lie at the boundary between classes, where a class is
# rare, or where the network is weak, another method sometimes wins; the chapter says where.
#
# The tool uses the paper's mechanism. The *model derivative* is the gradient of a class's logit with respect to the
# weights. For samples of one class these gradients point in similar directions, and early in training a wrong label
# pulls against the direction of its true class.

# %% tags=["hide-input"]
import sys; sys.path += [".", "..", "../.."]  # the book's folder: run this inside it  # fmt: skip
from lib.press import chapters, claims, figures, rule, show

# %% tags=["hide-input", "parameters"]
from typing import Optional

profile: str = "best"  # one of best, smoke, cpu: smoke trains live in seconds, best is the largest recorded
seeds: Optional[int] = None  # how many, 2 or more; None: as many as the profile has
fresh: bool = False  # train anew even where a record is there
device: str = "auto"  # one of auto, cpu, cuda: auto is CUDA where there is a card

# %% tags=["hide-input", "nbval-ignore-output"]
import numpy as np
import pandas as pd
import torch
from sklearn.metrics import average_precision_score

from lib import experiments, records
from lib.data import CLASS_NAMES, DIGITS
from lib.press.readings import paired_interval
from lib.suspects import evaluation, presets
from lib.suspects.early_stop import Inputs, Recipe, train_until_stop
from lib.suspects.judgement import accusations, concentration, score, take_signals, unseen_margin
from lib.suspects.published import doubted
from lib.suspects.tangents import TAIL

cell = presets.find_wrong_labels("digits", "symmetric", 0.4)
images, labels, task = cell.flipped()
wrong = labels.is_noisy.numpy()
inputs, recipe = Inputs(images, torch.device("cpu")), Recipe(device="cpu")


def looks(model, averaged) -> dict[str, float]:
    """How well each signal ranks the wrong labels, after a round of training."""
    found = take_signals(averaged, inputs, labels.given, labels.classes, TAIL, recipe)
    signals = {"own probability": found.own, "margin": found.margin, "agreement": found.agreement}
    return {name: average_precision_score(wrong, -values.numpy()) for name, values in signals.items()}


def trained(recipe: Recipe, watch=None):
    """The same network with the same labels, stopped by a recipe."""
    network = recipe.build(inputs.shape, labels.classes)
    return train_until_stop(network, inputs, labels.given, recipe, watch=watch, progress=False)


stopped = trained(recipe)
long = trained(Recipe(epochs=120, patience=120, device="cpu"), watch=looks)  # goes on past every stop
signals = take_signals(stopped.model, inputs, labels.given, labels.classes, TAIL, recipe)
total = score(signals, stopped, labels.given).numpy()

# %% tags=["hide-input"]
COUNTS = {"smoke": {"digits": 3}, "cpu": {"digits": 10, "mnist": 10, "cifar10": 10}}
MANY = {"smoke": 0, "cpu": 10}  # seeds of all photographs, for the noise rate only
SHORT = (("symmetric", 0.4), ("pairs", 0.3))
NAMES = {"digits": "digits", "mnist": "MNIST", "cifar10": "CIFAR-10", "photographs": "20,000 photographs"}


def plan(profile: str) -> dict[str, list]:
    """The cells of a profile; one experiment for each seed."""
    cells = SHORT if profile == "smoke" else presets.CELLS
    groups = {}
    for name, count in COUNTS[profile].items():
        clean = () if name == "cifar10" else (("symmetric", 0.0),)
        for kind, rate in (*cells, *clean):
            one = presets.find_wrong_labels(name, kind, rate)
            groups[f"{name} {kind} {rate:g}"] = experiments.with_seeds(one, chapters.default(seeds, count))
    if MANY[profile]:
        for rate in (rate for kind, rate in presets.CELLS if kind == "symmetric"):
            some = experiments.with_seeds(presets.many_photographs(rate), chapters.default(seeds, MANY[profile]))
            groups[f"photographs symmetric {rate:g}"] = some
    return groups


profile, runs, ledger = chapters.open_chapter("17_wrong_labels", globals(), plan, among=("cpu",), least_seeds=2)

OURS, CLEANLAB = "suspects", "cleanlab, self confidence"
CLEANLABS = (CLEANLAB, "cleanlab, normalized margin")
RIVALS = ("AUM", "small loss", *CLEANLABS)
many = [name for name in runs if name.startswith("photographs")]
noisy = [name for name in runs if name not in many and not name.endswith(" 0")]
clean = [name for name in runs if name.endswith(" 0")]
comparison = evaluation.Comparison(runs)
of = comparison.of  # a method's values in a cell, [seed]


def title(name: str) -> str:
    """A cell in words."""
    data, kind, rate = name.split()
    return f"{NAMES[data]}, {kind} {rate}"


of_each = {name.split()[0]: len(some) for name, some in runs.items()}
show.markdown(
    f"Profile `{profile}`: {len(noisy)} cells (a data set with one kind and rate of wrong labels); seeds of each: "
    f"{', '.join(f'{NAMES[data]} {count}' for data, count in of_each.items())}."
)

# %% [markdown]
# ## What comes out
#
# These are the most suspicious labels of a published set of handwritten digits. We flipped none of them. Above each
# image stands the published label and, after the arrow, the one that the tool suggests. Judge for yourself.

# %% tags=["hide-input", "nbval-ignore-output"]
AS_PUBLISHED = {"smoke": ("digits",), "cpu": ("mnist", "cifar10")}[profile]
found = records.obtain_groups(
    {name: [presets.published(name)] for name in AS_PUBLISHED},
    fresh=fresh, keep=profile != "smoke", machine=experiments.Machine(device),
)  # fmt: skip
SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar10": (3, 32, 32)}


def suspects_of(name: str) -> None:
    """The twelve most suspicious labels of a data set, with their images."""
    shown = doubted(found[name][0].history, SHAPES[name], CLASS_NAMES.get(name, DIGITS))
    fig, _ = figures.image_grid(*shown)
    show.figure(fig, found[name])


def what_it_says(name: str) -> None:
    """The estimate for a data set, in a sentence."""
    row = found[name][0].history.iloc[0]
    show.markdown(
        f"{NAMES[name]}, {int(row.samples):,} labels as published: {int(row.suspects)} suspects, estimated noise rate "
        f"{row.noise_rate:.3f} [{row.low:.3f}, {row.high:.3f}]. The network at its stop agrees with "
        f"{100 * row.accuracy:.1f} % of the held-out labels."
    )


what_it_says(AS_PUBLISHED[0])

# %% figure="fig-suspects-digits" tags=["hide-input", "nbval-ignore-output"]
suspects_of(AS_PUBLISHED[0])

# %% [markdown]
# ## Use it
#
# The tool reads arrays, embeddings, a folder for each class, a table of paths, or any torch data set. It returns a
# table with one row for each of your samples. The columns `is_label_issue`, `label_quality`, `given_label` and
# `predicted_label` are those of cleanlab's `CleanLearning`, so that the two tables can be joined. Here `images` are
# handwritten digits, 40 % of whose labels are wrong:

# %%
from lib.suspects import Recipe, from_arrays, judge

mine = from_arrays(images.numpy(), labels.given.numpy())
verdict = judge(mine, Recipe(seed=1), progress=False)

# %% tags=["nbval-ignore-output"]
show.markdown("\n\n".join(verdict.lines()))
columns = ["given_label", "predicted_label", "label_quality", "probability_wrong", "is_label_issue"]
verdict.table.sort_values("label_quality")[columns].head(8).round(3)

# %% [markdown]
# The same from a terminal, with a gallery of the suspects in which you can filter and mark them:
#
# ```
# python -m lib suspects my_images/            # a folder per class
# python -m lib suspects labels.csv --image-column file --label-column class
# ```
#
# It writes `suspects.csv`, `noise.json` and `suspects.html`, a page that needs nothing else.
#
# A suspect is a label to look at, not an error. A weak network, such as ours for photographs, also suspects right
# labels of images that are too hard for it, and then the estimated noise rate is too high. You can recognise a weak
# network without a clean label. A tenth of the samples is held out from training, and wrong labels are as frequent
# among these as among the others. If the network suspects more of the held-out labels, the difference is its own error.
# The tool says so where the difference is large. A better network helps, and so do the embeddings of one that was
# trained on more data.

# %% tags=["hide-input", "nbval-ignore-output"]
what_it_says(AS_PUBLISHED[-1])

# %% figure="fig-suspects-photographs" tags=["hide-input", "nbval-ignore-output"]
suspects_of(AS_PUBLISHED[-1])

# %% [markdown]
# ## How good it is, and where others win
#
# To know which labels are wrong, we flip them ourselves: five kinds of noise, one of them at three rates, on three data
# sets. Each combination is a *cell*. The number behind its name is the noise rate, the share of labels that are wrong.
#
# - *symmetric*: a wrong label is any other class;
# - *pairs*: it is the class that looks most like the true one (4 ↔ 9, 3 ↔ 8; car ↔ truck, plane ↔ ship);
# - *classes*: it is the next class; odd classes are flipped four times as often as even ones;
# - *imbalanced*: symmetric, with a last class a tenth as large as the first;
# - *boundary*: hard images get the second choice of a linear classifier that knew the true labels.
#
# In short, the score of this chapter (*suspects*) ranks best or nearly best in most cells. It wins clearly for *pairs*
# and *classes* on digits and MNIST, and by little for symmetric noise on digits and MNIST. On *boundary* noise one of
# cleanlab's two scores is a little ahead on average on MNIST and CIFAR-10, but the seeds do not decide. All rivals get
# the same network, training settings and stopping rule:
#
# - **cleanlab** (Northcutt et al. 2021, [arXiv 1911.00068](https://arxiv.org/abs/1911.00068)) as its documentation
#   recommends: five-fold cross-validation gives each sample probabilities from a network that has not seen it, and both
#   of cleanlab's scores rank them. Five trainings.
# - **AUM** (Pleiss et al. 2020, [arXiv 2001.10528](https://arxiv.org/abs/2001.10528)): the margin of the given label,
#   averaged over all steps of training. One training.
# - **small loss** (Han et al. 2018, [arXiv 1804.06872](https://arxiv.org/abs/1804.06872), and others): the probability
#   of the given label at the stop. One training.
#
# We leave out one published part of AUM, its extra class of threshold samples. AUM needs it to say how many labels are
# wrong, but not to rank them; here it counts negative margins.
#
# The table gives the average precision with which each method ranks the wrong labels: 1 is perfect, and a random order
# has the noise rate. The last column is our score from the last layer's gradients alone. The figure shows the
# difference to each rival:

# %% tags=["hide-input", "nbval-ignore-output"]
for data in of_each:
    some = records.Runs(run for name in runs if name.split()[0] == data for run in runs[name])
    one = some[0].experiment
    cut = f", classes {', '.join(map(str, one.data.classes))}" if one.data.classes else ""
    pooled = f", averaged over {one.pool} × {one.pool} pixels" if one.pool > 1 else ""
    show.markdown(f"*{NAMES[data]}{cut}{pooled}: {one.model.kind} {'-'.join(map(str, one.model.widths))}.*")

# %% tags=["hide-input", "nbval-ignore-output"]
rows = []
for name in noisy:
    means = {method: of(name, method, "average_precision").mean() for method in (OURS, *RIVALS)}
    best = max(means.values())
    cells = [f"**{mean:.3f}**" if mean == best else f"{mean:.3f}" for mean in means.values()]
    rows.append([title(name), *cells, f"{of(name, 'suspects, last layer', 'average_precision').mean():.3f}"])
show.table(
    rows,
    [
        "average precision",
        "suspects",
        "AUM",
        "small loss",
        "cleanlab, self conf.",
        "cleanlab, norm. margin",
        "*suspects, last layer*",
    ],
)

# %% figure="fig-suspects-cells" tags=["hide-input", "nbval-ignore-output"]
over = {
    "AUM": dict.fromkeys(noisy, "AUM"),
    "cleanlab": {name: comparison.best(name, CLEANLABS) for name in noisy},
    "small loss": dict.fromkeys(noisy, "small loss"),
}
fig, (axes,) = figures.panels(1, height=0.34 * len(noisy) + 0.9)
evaluation.intervals(
    axes,
    [title(name) for name in noisy],
    {
        label: [paired_interval(list(comparison.gain(name, rival))) for name, rival in rivals.items()]
        for label, rivals in over.items()
    },
)
axes.set(xlabel="our average precision minus the rival's")
fig.legend(frameon=False, fontsize=9.5, loc="outside lower center", ncols=3)
show.figure(fig, *(runs[name] for name in noisy))

# %% tags=["hide-input"]
central = [
    name
    for name in noisy
    if name.split()[0] == ("digits" if profile == "smoke" else "mnist")
    and name.split()[1:] in (["symmetric", "0.4"], ["pairs", "0.3"])
]
gains = {
    f"{title(name)}, over {label}": comparison.gain(name, over[label][name])
    for name in central
    for label in ("AUM", "cleanlab")
}
ledger.check(
    "suspects-beat-rivals",
    says="The score ranks wrong labels better than AUM and cleanlab do, for symmetric noise and for noise in pairs.",
    source="ours",
    figure="fig-suspects-cells",
    measured=gains,
    parts={name: rule.above(values, 0, "the rival's average precision") for name, values in gains.items()},
)
for name, values in gains.items():
    mean, low, high = paired_interval(list(values))
    show.markdown(f"{name}: {mean:+.4f} [{low:+.4f}, {high:+.4f}] (paired, 95 %).")

# %% tags=["hide-input"]
near = []
for name in noisy:
    means = [of(name, method, "average_precision").mean() for method in RIVALS]
    near.append(of(name, OURS, "average_precision").mean() - max(means))
ranked = {name: {method: of(name, method, "average_precision") for method in (OURS, *RIVALS)} for name in noisy}
best = {name: comparison.best(name, RIVALS) for name in noisy}
# the way that "nearly" is measured on, in each cell: from the other rivals' mean to the best rival
way = {
    name: ranked[name][best[name]].mean() - np.mean([ranked[name][one].mean() for one in RIVALS if one != best[name]])
    for name in noisy
}
ledger.check(
    "suspects-first-or-near",
    says="Over all kinds of noise and data, the score is the best or nearly so.",
    source="ours",
    figure="fig-suspects-cells",
    measured={f"{title(name)}, over {best[name]}": ranked[name][OURS] - ranked[name][best[name]] for name in noisy},
    parts={
        title(name): rule.towards(
            ranked[name][OURS], ranked[name][best[name]], ranked[name][best[name]] - way[name],
            "from the other rivals to the best one",
        )
        for name in noisy
    },
)  # fmt: skip
lost = [f"{title(name)} ({value:+.3f})" for name, value in zip(noisy, near, strict=True) if value < -0.005]
show.markdown(
    f"The score is first, or within .005 of the first, in {100 * np.mean(np.array(near) >= -0.005):.0f} % of the cells."
    + (f" **Another method wins by more than that in: {'; '.join(lost)}.**" if lost else "")
)
alone = [comparison.gain(name, "margin").mean() for name in noisy]
show.markdown(
    "The margin at the stop is not a published method, but every classifier has it. Alone it ranks better than the "
    f"score in {sum(value < 0 for value in alone)} of the {len(alone)} cells (our average precision minus its own: "
    f"{claims.spread(alone)})."
)

# %% [markdown]
# ## How many are wrong, and how sure is it?
#
# With symmetric noise the tool finds the noise rate of handwritten digits and MNIST without a clean label. For the
# photographs of CIFAR-10 it needs many of them: 2,400 are too few, 20,000 are enough.
#
# **The estimate is a count.** For each label the tool sums what three signals say of it: the network's answer, the
# direction of the model derivative (the *agreement*), and the margin averaged over training. The sum is the balance
# $b$, defined in *The score in full* below. The estimated noise rate is the share of labels with $b < 0$. Its interval
# comes from margin, agreement and mean margin. The lower end is the share of labels that all three speak against, and
# the upper end is the share that at least one of them speaks against. For cleanlab we take its count of label issues.
#
# **Held-out labels may lower the count.** A weak network contradicts right labels too. The held-out labels, which it
# has not learnt, can tell its own errors from wrong labels if wrong labels may be any class on any image: the network
# errs where it is unsure, while wrong labels are equally frequent everywhere. Let $h$ be the logits of a held-out
# sample, $C$ the number of classes, $\delta$ the noise rate, and $t$ a factor that scales all logits. The given label
# $j$ then has the probability
#
# $$\begin{gathered}P(j) = (1-\delta)\,p_j + \frac{\delta}{C-1}\,(1-p_j),\\ p = \operatorname{softmax}(t\,h).\end{gathered}$$
#
# The most likely $\delta$, with the interval of its likelihood ratio, replaces the count on three conditions: it is
# lower than the count, the held-out labels contradict $\delta = 0$ by three standard errors, and they contradict the
# count by three standard errors (`lib.suspects.rate`). It never raises the count. A count is too low where a network
# has learnt its labels by heart, but such a network is sure where it errs, and the likelihood takes these errors for
# wrong labels.
#
# The count is rarely replaced when few labels are held out or the network is good. It is also kept where wrong labels
# go to a partner class or lie where classes meet, because these look like the network's own errors. To tell the two
# apart takes many labels. We therefore also train on *all 20,000 photographs* of the four classes in full size, with
# three tenths of them held out and without the rivals.

# %% figure="fig-suspects-rate" tags=["hide-input", "nbval-ignore-output"]
fig, (axes,) = figures.panels(1, height=3.4)
axes.fill_between([0, 0.6], [-0.03, 0.57], [0.03, 0.63], color=figures.THEORY.color, alpha=0.15, linewidth=0)
axes.plot([0, 0.6], [0, 0.6], color=figures.THEORY.color, linestyle=":")
compared = [name for name in runs if name not in many]
for method, style, marker, fill, label, some, shift in (
    (OURS, figures.CLEAN, "o", "full", "ours", compared, 0.004),
    (CLEANLAB, figures.NOISY, "^", "none", "cleanlab", compared, -0.004),
    (OURS, figures.TRAIN, "x", "full", "ours, all photographs", many, 0.012),
):
    if not some:
        continue
    x = np.concatenate([of(name, method, "true_rate") for name in some])
    y = np.concatenate([of(name, method, "noise_rate") for name in some])
    axes.plot(
        x + shift,
        y,
        marker,
        color=style.color,
        fillstyle=fill,
        markersize=4.5,
        alpha=0.7,
        linestyle="none",
        label=label,
    )
axes.set(xlabel="true noise rate", ylabel="estimated", xlim=(-0.02, 0.45), ylim=(-0.02, 0.65))
axes.legend(frameon=False, loc="upper left")
show.figure(fig, *runs.values())

# %% tags=["hide-input"]
even = [name for name in noisy if name.split()[1] == "symmetric"]
off = {name: of(name, OURS, "noise_rate") - of(name, OURS, "true_rate") for name in (*even, *many)}
offs = {name: np.abs(off[name]).max() for name in even}
ledger.check(
    "noise-rate-estimated",
    says="The noise rate is estimated without a clean label.",
    source="ours",
    figure="fig-suspects-rate",
    measured={title(name): of(name, OURS, "noise_rate") for name in even},
    parts={
        title(name): rule.equal(off[name], 0, -of(name, OURS, "true_rate").mean(), "from the truth to none")
        for name in even
    },
)
missed = [f"{title(name)} ({value:.3f}; {off[name].mean():+.3f})" for name, value in offs.items() if value > 0.03]
if missed:
    show.markdown(
        "**In these cells the estimate is off by more than .03 in some seed (the most over seeds; the mean error): "
        f"{'; '.join(missed)}.**"
    )
if many:
    ledger.check(
        "noise-rate-of-many-photographs",
        says="With 20,000 photographs, three tenths of them held out, the noise rate is estimated without a clean label.",
        source="ours",
        figure="fig-suspects-rate",
        measured={title(name): of(name, OURS, "noise_rate") for name in many},
        parts={
            title(name): rule.equal(off[name], 0, -of(name, OURS, "true_rate").mean(), "from the truth to none")
            for name in many
        },
    )
    low, true, high = (
        np.concatenate([of(name, OURS, column) for name in many]) for column in ("low", "true_rate", "high")
    )
    inside = (low <= true) & (true <= high)
    show.markdown(f"The interval holds the true rate in {inside.sum()} of {len(inside)} of these trainings.")
little = {title(name): of(name, OURS, "noise_rate") for name in clean}
ledger.check(
    "clean-data-called-clean",
    says="Where no label is wrong, the estimated noise rate is about zero.",
    source="ours",
    figure="fig-suspects-rate",
    measured=little,
    parts={
        name: rule.about(values, 0, 0.1, "from none to the least rate of the comparison, .1")
        for name, values in little.items()
    },
)

# %% [markdown]
# The tool also gives each label a probability of being wrong. It should mean what it says: of the labels that get .8,
# four fifths should be wrong. We take the share of signals that speak against a label, average it over labels of
# similar rank, and shift it until its mean is the estimated noise rate. The *calibration error* is the mean distance
# between this probability and the share that is wrong. The table gives it, the precision among as many labels as each
# method itself calls wrong, the AUROC (the chance that a wrong label is ranked before a right one), and the seconds.

# %% tags=["hide-input", "nbval-ignore-output"]
rows = []
for name in noisy:
    rows.append(
        [
            title(name),
            *(f"{of(name, method, 'precision_at_count').mean():.2f}" for method in (OURS, "AUM", CLEANLAB)),
            *(f"{of(name, method, 'auroc').mean():.3f}" for method in (OURS, "AUM", over["cleanlab"][name])),
            *(f"{of(name, method, 'calibration_error').mean():.3f}" for method in (OURS, CLEANLAB)),
            *(f"{of(name, method, 'seconds').mean():.1f}" for method in (OURS, CLEANLAB)),
        ]
    )
show.table(
    rows,
    [
        "cell",
        "precision at count: ours",
        "AUM",
        "cleanlab",
        "AUROC: ours",
        "AUM",
        "cleanlab",
        "calibration error: ours",
        "cleanlab, 1 − p",
        "seconds: ours",
        "cleanlab",
    ],
)

# %% tags=["hide-input"]
epochs = [(of(name, OURS, "epochs") / of(name, CLEANLAB, "epochs")).mean() for name in noisy]
ledger.check(
    "one-training-not-five",
    says="One training is enough, where cross-validation takes five.",
    source="ours",
    figure="fig-suspects-cells",
    measured={"share of cleanlab's passes": epochs},
    parts={"passes over the data": rule.towards(epochs, 1 / 5, 1, "from five trainings' passes to one's")},
    each="cell",
)
shares = [(of(name, OURS, "seconds") / of(name, CLEANLAB, "seconds")).mean() for name in noisy]
show.markdown(
    "In seconds, including our signals and cleanlab's filter, our share of cleanlab's time is "
    f"{claims.spread(shares)} over the cells."
)
errors = {name: of(name, OURS, "calibration_error") for name in even}
ledger.check(
    "probabilities-calibrated",
    says="The probability of being wrong means what it says.",
    source="ours",
    figure="fig-suspects-rate",
    measured={title(name): errors[name] for name in even},
    parts={
        title(name): rule.equal(errors[name], 0, 0.5, "from no error to .5, of saying 0 or 1 at random")
        for name in even
    },
)

# %% [markdown]
# ## How it works
#
# Section 3 of the paper explains why right labels are learnt first. The model derivatives $\nabla h_c(w; x)$ of the
# logit $h_c$ of class $c$ point in similar directions for samples $x$ of one class, with $w$ the weights. A wrong label
# turns the gradient of a sample against its class. The tool uses this in reverse: it asks of each sample whether the
# derivative of the logit of its *given* class points in the direction of that class. The direction of class $c$ is
#
# $$G_c = \sum_{x:\ \arg\max_j p_j(x) = c} p_c(x)\,\nabla h_c(w; x),$$
#
# a sum over the samples that the *network* takes for class $c$, with $p_c(x)$ the probability that it gives to class
# $c$. Given labels play no part in this sum, so wrong ones cannot bend it. Let $g$ be the given label of a sample and
# $o$ the other label to which the network gives the highest logit. The **tangent agreement** of the sample is
#
# $$\begin{aligned}a(x) = {}&\cos\big(\nabla h_g(w;x),\,G_g\big)\\ &{}- \cos\big(\nabla h_o(w;x),\,G_o\big).\end{aligned}$$
#
# A right label mostly has $a > 0$, and a wrong one $a < 0$. The figure shows this for handwritten digits, 40 % of whose
# labels are wrong. The small network stops by itself: a tenth of the samples is held out *with its given labels*, and
# training ends when the network's answers on them get worse ([chapter 18](18_when_to_stop.ipynb)).

# %% figure="fig-suspects-agreement" tags=["hide-input", "nbval-ignore-output"]
fig, (axes,) = figures.panels(1, height=2.6)
agreement = signals.agreement.numpy()
evaluation.histograms(axes, agreement, wrong)
axes.axvline(0, color=figures.INK, linewidth=1)
axes.set(xlabel="tangent agreement a(x)", ylabel="samples", ylim=(0, 1.15 * axes.get_ylim()[1]))
show.figure(fig, "Trained in this notebook")

# %% [markdown]
# The next figure shows how long each signal lasts. The probability of the given label ranks wrong labels well at first,
# and so does the *margin*, the logit of the given label minus the highest other logit. Then the network learns the
# wrong labels by heart, and both fade. The directions keep showing wrong labels much longer.

# %% figure="fig-suspects-rounds" tags=["hide-input", "nbval-ignore-output"]
fig, (axes,) = figures.panels(1, height=2.8)
rounds = pd.DataFrame(long.history).set_index("epoch")
for name, style in (("agreement", figures.CLEAN), ("margin", figures.NOISY), ("own probability", figures.TRAIN)):
    (line,) = axes.plot(rounds.index, rounds[name], color=style.color, linestyle=style.line)
    line.set_gid(name)
figures.early_stop([axes], [rounds.index[long.stop]], "stop")
figures.level(axes, wrong.mean(), "chance")
axes.set(xlabel="epoch", ylabel="average precision", ylim=(0.3, 1.03))
figures.label_ends(axes)
show.figure(fig, "Trained in this notebook")

# %% [markdown]
# The direction of the whole loss gradient does not do the same. The gradient of a sample's loss, $\nabla\ell$, is large
# where its label is wrong, but also wherever the network is still unsure. And the whole gradient mixes the pulls of all
# classes, while the directions of Section 3 are those of a single *class*. The table compares them:

# %% tags=["hide-input", "nbval-ignore-output"]
precision = {
    "tangent agreement": average_precision_score(wrong, -agreement),
    "the whole score": average_precision_score(wrong, -total),
    "cosine of a sample's loss gradient with the whole gradient": average_precision_score(
        wrong, -evaluation.against_whole_gradient(stopped.model, inputs, labels.given)
    ),
    "chance": wrong.mean(),
}
show.table(
    [[name, f"{value:.3f}"] for name, value in precision.items()], ["ranked by, at the stop", "average precision"]
)

# %% [markdown]
# ## The score in full
#
# **How many labels are wrong.** Three signals enter. The *log odds* compare the given label of a sample with all
# others. They follow by Bayes' rule from the network's predictions and from how often each prediction meets each given
# label. The *agreement* is $a(x)$ from above. The *mean margin* is the margin of the given label averaged over training
# (AUM). The balance $b$ adds them, each divided by its median size; the mean margin counts for one unit at most:
#
# $$\begin{aligned}b(x) = {}&\frac{\text{log odds}}{\text{median}} + \frac{a(x)}{\text{median}}\\
# &{}+ \tanh\frac{\text{mean margin}}{\text{median}}.\end{aligned}$$
#
# The share of labels with $b(x) < 0$ is the estimated noise rate, unless held-out labels say that fewer are wrong (see
# above).
#
# **Which labels are wrong, if wrong labels may be any class.** In this case the margin $m$ ranks best. Two versions of
# it do: its mean over the whole training, and the value that it would have at the stop if the network had not learnt
# that label. The second can be estimated without another training. A step of stochastic gradient descent (Eq. 4) on a
# sample raises its own margin. The rise is roughly its residual $r = 1 - p_g$, with $p_g$ the probability of the given
# label, times the squared length of the margin's gradient. (This is exact if all other probability lies on the best
# other label.) We assume that all such steps together have added $\beta\,r\,\lVert\nabla m\rVert^2$, with one $\beta$
# for all samples, and subtract it:
#
# $$m^-(x) = m(x) - \beta\, r(x)\, \lVert \nabla h_g - \nabla h_o \rVert^2,$$
#
# We call $m^-$ the **unseen margin**. The residual $r$ is averaged over the training, and the gradients are those of
# the last layers at the stop. We choose $\beta$ so that the mean of $m^-$ over the samples trained on equals the mean
# of $m$ over the held-out tenth. The network has not learnt the labels of that tenth, so there $m^- = m$. The unseen
# margin is related to self-influence, which uses the loss instead of the margin (Pruthi et al. 2020, [arXiv
# 2002.08484](https://arxiv.org/abs/2002.08484)). It is also related to memorisation, which Feldman and Zhang
# (2020, [arXiv 2008.03703](https://arxiv.org/abs/2008.03703)) measure on probabilities, by trainings with and without a
# sample.
#
# **Which labels are wrong, if each class has one partner.** In this case margins and probabilities rank worse, because
# the network finds the partner likely too; the direction and Bayes' rule rank best.
#
# **Which of the two cases it is** can be told without a clean label. Take the half of the accused labels that their
# directions contradict most (where the network merely errs, the directions contradict a label only weakly). For each
# class, look at which other labels they carry. Let $\kappa$ be one minus the ratio of the entropy of these labels to
# the largest possible entropy: 0 if they may be any class, 1 if each class has one partner. The **score** mixes both
# cases:
#
# $$\begin{aligned}s(x) = \frac{1-\kappa^2}{2}\,&\Big[\frac{\text{mean margin}}{\text{median}} + \frac{m^-(x)}{\text{median}}\\
# &{}+ \frac14\,\frac{a(x)}{\text{median}}\Big]\\
# {}+ \kappa^2\,&\Big[\frac{\text{log odds}}{\text{median}} + \frac{a(x)}{\text{median}}\Big].\end{aligned}$$
#
# $\kappa$ enters squared because a few labels alone give a $\kappa$ above zero by chance. With two classes each is the
# other's partner, and $\kappa = 1$. The suspects are the labels with the lowest score, as many as are estimated to be
# wrong. The table shows the $\kappa$ that a network finds for each kind of noise. It is close to 1 for *pairs* and
# *classes*, and low for the others:

# %% tags=["hide-input", "nbval-ignore-output"]
seen = []
for kind, rate in presets.CELLS:
    pixels, noisy_labels, _ = presets.find_wrong_labels("digits", kind, rate).flipped()
    some, given, classes = Inputs(pixels, torch.device("cpu")), noisy_labels.given, noisy_labels.classes
    network = recipe.build(some.shape, classes)
    halted = train_until_stop(network, some, given, recipe, progress=False)
    says = take_signals(halted.model, some, given, classes, TAIL, recipe)
    seen.append([f"digits, {kind} {rate:g}", f"{concentration(accusations(says, given)):.2f}"])
show.table(seen, ["wrong labels", "κ"])

# %% [markdown]
# Does $m^-$ estimate the margin of a label that the network never saw? In part: it moves wrong labels towards that
# margin, but not all the way. To measure that margin, we train five networks, each on four fifths of the digits, as
# cross-validation does. Networks differ in how large their margins are. We therefore ask how far wrong labels lie below
# zero on average, in units of how far right ones lie above it. This tests whether the right amount is subtracted on
# average, not whether it is subtracted from the right samples (see *Where this deviates*). With so few digits held out,
# $\beta$ is rough.

# %% tags=["hide-input", "nbval-ignore-output"]
never_seen = evaluation.cross_validated_margins(images, labels.given, labels.classes)


def below(values: torch.Tensor) -> str:
    """Minus the mean of wrong labels, in units of that of right ones, over samples that were trained on."""
    kept = ~stopped.held_out.numpy()
    return f"{-values[kept & wrong].mean() / values[kept & ~wrong].mean():.2f}"


show.table(
    [
        ["margin at the stop", below(signals.margin)],
        ["unseen margin", below(unseen_margin(signals, stopped))],
        ["margin of networks that never saw the label", below(never_seen)],
    ],
    ["of the samples that were trained on", "wrong labels lie below zero by"],
)

# %% [markdown]
# The next figure shows log odds and agreement, two of the three terms of the balance. Right and wrong labels lie on
# different sides of the line where the two sum to zero.

# %% figure="fig-suspects-plane" tags=["hide-input", "nbval-ignore-output"]
fig, (axes,) = figures.panels(1, height=3.6)
scaled = [values / np.median(np.abs(values)) for values in (signals.log_odds.numpy(), agreement)]
for mine, style, mark, label in (
    (~wrong, figures.CLEAN, "o", "right label"),
    (wrong, figures.NOISY, "x", "wrong label"),
):
    axes.plot(
        scaled[0][mine],
        scaled[1][mine],
        mark,
        color=style.color,
        markersize=4,
        alpha=0.5,
        fillstyle="none",
        label=label,
    )
axes.axline((0, 0), slope=-1, color=figures.THEORY.color, linestyle=":")
reach = [1.05 * np.abs(values).max() for values in scaled]
axes.set(xlim=(-reach[0], reach[0]), ylim=(-reach[1], reach[1]), xlabel="log odds, scaled", ylabel="agreement, scaled")
axes.legend(frameon=False, loc="lower left")
show.figure(fig, "Trained in this notebook")

# %% [markdown]
# ## Where this deviates
#
# - The paper does not search for wrong labels; the score is ours. Not all of its parts are new: the margin averaged
#   over training is AUM's, and averaging weights and stopping on held-out noisy labels are common.
# - The result is somewhat optimistic, because this is the fourth score that we tried. All four were recorded for all
#   cells: they were first, or within .005 of the first, in 14, 16, 16 and 19 of the 21 cells. Weights were chosen on
#   other seeds (100 to 103) and not changed after the recording. But we decided to look for another score each time
#   after seeing the cells of the one before.
# - The unseen margin helps mostly through the residual $r(x)$. With $r(x)$ alone in place of the product, the score
#   keeps most of the gain. The lengths of the gradients help at boundaries only, by .001 to .003 of average precision.
# - The noise rate of 2,400 photographs is often estimated with an error of more than .03: 240 held-out labels are too
#   few. Two decisions about the likelihood were made after seeing results. It was added after the cells of CIFAR-10
#   had been recorded without it. And it may only lower the count because in one training (2,400 photographs, rate .2,
#   seed 3) it raised the estimate from .107 to .433.
# - The signals use the last seven layers with weights: all of a small network, the end of a ResNet. The direction of a
#   class is a sum over 120 samples.
# - We use 6,000 images of MNIST. Against the rivals we use 2,400 images of four classes of CIFAR-10 at 16 × 16 pixels,
#   which two processor cores can train. The networks there are weak, and so is every method.
# - The time of the rivals is that of their trainings with our stopping rule. Without one they would take longer.

# %% [markdown]
# ## Try it yourself
#
# 1. Why must the direction of a class be a sum over the samples that the *network* takes for it, and not over those
#    *labelled* so? Think of pairs with .3 of the labels exchanged.
#
# <details><summary>Solution</summary>
#
# A sum over given labels has three tenths of the other class in it, and that class's sum has three tenths of this one.
# The two directions are bent towards each other, and the difference of the two cosines shrinks for right and wrong
# labels alike. The predictions of a network at its stop contain far fewer errors than the labels do.
#
# </details>
#
# 2. What happens without stopping? Train to the end and rank by the agreement and by the probability of the given
#    label.
#
# <details><summary>What you should see</summary>
#
# The right end of the figure with the three curves shows it. The probability has lost most of its lead over chance,
# because the network has learnt the wrong labels by heart. The agreement still ranks nearly all of them: the network
# has learnt each of them in a direction of its own, not in that of the class.
#
# </details>
#
# ## What to take away
#
# - **To find wrong labels**, train once, stop on held-out labels, and rank by the score. Five-fold cross-validation
#   takes five trainings. Look at the suspects; do not delete them unseen.
# - The tool gains most where all wrong labels of a class go to one other class, and nothing on CIFAR-10 where two
#   classes exchange labels. Labels at the boundary, which a classifier would get wrong too, are the hardest for it;
#   there, on MNIST and CIFAR-10, cross-validation is as good or a little better.
# - **To count them**, trust the estimate where wrong labels may be any class, and the network is good or thousands of
#   labels are held out. With a weak network and few labels it can be far off. Where wrong labels go to one other class,
#   or lie at boundaries, it is often too low.
# - A wrong label shows in the direction of its model derivative early in one training, and it stays visible there
#   longer than in the network's answers.
# - Which signal is best depends on where wrong labels go: the margin if they may be any class, the direction if each
#   class has one partner and the network predicts well. Where the network predicts well, its answers and the given
#   labels tell which case it is.
