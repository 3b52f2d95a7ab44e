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
# Which of your labels are wrong, how many are there, and how sure is that? The tool of this chapter,
# `lib.suspects.judge`, answers from one training and without a single label known to be right. It uses the paper's
# mechanism: samples of one class have model derivatives that point one way, and early in training a wrong label turns a
# sample against its class. In short: on handwritten digits one training finds more wrong labels than cleanlab's five,
# by far the most where classes are taken for one another. In some cells at the boundary between classes, with a rare
# class or with a weak network, other methods win, and the chapter says where.

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
    f"Profile `{profile}`: {len(noisy)} cells; seeds of each: "
    f"{', '.join(f'{NAMES[data]} {count}' for data, count in of_each.items())}."
)

# %% [markdown]
# ## What comes out
#
# These are the most suspicious labels among handwritten digits, as they are published. Nobody flipped them. Above each
# image stands the published label, then the suggested one; look at them and judge for yourself.

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
    show.figure(fig)


def what_it_says(name: str) -> None:
    """The estimate for a data set, in a sentence."""
    row = found[name][0].history.iloc[0]
    show.markdown(
        f"{NAMES[name]}, {int(row.samples):,} labels as published: {int(row.suspects)} suspects, estimated noise rate "
        f"{row.noise_rate:.3f} [{row.low:.3f}, {row.high:.3f}]; the network at its stop gives {100 * row.accuracy:.1f} % of the "
        f"held-out labels. *{found[name].provenance_line()}.*"
    )


what_it_says(AS_PUBLISHED[0])

# %% figure="fig-suspects-digits" tags=["hide-input", "nbval-ignore-output"]
suspects_of(AS_PUBLISHED[0])

# %% [markdown]
# ## Use it
#
# Arrays, embeddings, a folder per class, a table of paths or any torch data set go in. Out comes a table, indexed as
# your samples are, with the columns that cleanlab's `CleanLearning` also gives (`is_label_issue`, `label_quality`,
# `given_label`, `predicted_label`), so that the two can be joined. Here `images` are handwritten digits, 40 % of whose
# labels are wrong:

# %%
from lib.suspects import Recipe, from_arrays, judge

mine = from_arrays(images.numpy(), labels.given.numpy())
verdict = judge(mine, Recipe(seed=1), progress=False)

# %% tags=["nbval-ignore-output"]
show.markdown("\n\n".join(verdict.lines()))
columns = ["given_label", "predicted_label", "label_quality", "probability_wrong", "is_label_issue"]
verdict.table.sort_values("label_quality")[columns].head(8).round(3)

# %% [markdown]
# From a terminal, with a gallery to look at, filter, and mark in:
#
# ```
# python -m lib suspects my_images/            # a folder per class
# python -m lib suspects labels.csv --image-column file --label-column class
# ```
#
# It writes `suspects.csv`, `noise.json` and `suspects.html`, a page that needs nothing else.
#
#  A suspect is a label to look at, not an error. Where the network is weak, as ours for photographs is, much of what it
# finds suspicious is merely too hard for it, and the estimated noise rate counts what it cannot explain. A weak network
# can be recognised without a clean label: wrong labels are as frequent among the held-out samples as among those
# trained on, so if the network suspects more of the held-out ones, the difference is its own error. The tool says so
# where the difference is large; a better network, or the embeddings of one that was trained on more data, helps.

# %% tags=["hide-input", "nbval-ignore-output"]
what_it_says(AS_PUBLISHED[-1])

# %% figure="fig-suspects-photographs" tags=["hide-input", "nbval-ignore-output"]
suspects_of(AS_PUBLISHED[-1])

# %% [markdown]
# ## How good it is, and where others win
#
# We make errors ourselves, so that they are known: five kinds of noise, one of them at three rates, on three data sets.
#
# - *symmetric*: to any other class, at three rates;
# - *pairs*: to the class that looks most like it (4 ↔ 9, 3 ↔ 8; car ↔ truck, plane ↔ ship);
# - *classes*: to the next class, odd classes four times as often as even ones;
# - *imbalanced*: symmetric, the last class a tenth as large as the first;
# - *boundary*: hard images get the second choice of a linear classifier that knew the true labels.
#
# The rivals get the same network, recipe and stop:
#
# - **cleanlab** (Northcutt et al. 2021, [arXiv 1911.00068](https://arxiv.org/abs/1911.00068)) as its documentation
#   recommends: probabilities of samples that a network has not seen, from five-fold cross-validation, ranked by both of
#   its scores. Five trainings.
# - **AUM** (Pleiss et al. 2020, [arXiv 2001.10528](https://arxiv.org/abs/2001.10528)): the margin of the given label,
#   averaged over all steps of training. One training.
# - **small loss** (Han et al. 2018, [arXiv 1804.06872](https://arxiv.org/abs/1804.06872), and others): the probability
#   of the given label at the stop. One training.
#
# One published setting of the rivals is not used: AUM's extra class of threshold samples. AUM needs it to say how many
# labels are wrong, but not to rank them; here its count is the number of negative margins.
#
# The table gives the average precision with which each method ranks the wrong labels (1 is perfect), and the figure the
# difference to each rival:

# %% tags=["hide-input", "nbval-ignore-output"]
for data in of_each:
    some = records.Runs(run for name in runs if name.split()[0] == data for run in runs[name])
    one = some[0].experiment
    cut = f", classes {', '.join(map(str, one.data.classes))}" if one.data.classes else ""
    pooled = f", averaged over {one.pool} × {one.pool} pixels" if one.pool > 1 else ""
    show.markdown(
        f"*{NAMES[data]}{cut}{pooled}: {one.model.kind} {'-'.join(map(str, one.model.widths))}. {some.provenance_line()}.*"
    )

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
axes.set(xlabel="ours less the rival's average precision")
fig.legend(frameon=False, fontsize=9.5, loc="outside lower center", ncols=3)
show.figure(fig)

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
    says="The score ranks wrong labels better than AUM and cleanlab do, gone anywhere or exchanged in pairs.",
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
    f"First or within .005 of the first in {100 * np.mean(np.array(near) >= -0.005):.0f} % of the cells."
    + (f" **Another method wins in: {'; '.join(lost)}.**" if lost else "")
)
alone = [comparison.gain(name, "margin").mean() for name in noisy]
show.markdown(
    "The margin at the stop is no published method, but everybody has it: by itself it ranks better than the score in "
    f"{sum(value < 0 for value in alone)} of the {len(alone)} cells (ours less its average precision: {claims.spread(alone)})."
)

# %% [markdown]
# ## How many are wrong, and how sure is it?
#
# The estimated noise rate is the share of labels whose balance $b$ is below zero; $b$ sums what the network answers,
# the directions and the mean margin (defined in *The score in full*, below). Its interval reaches from the share of
# labels that margin, agreement and mean margin all speak against to the share that any of them speaks against.
# cleanlab's estimate is its count of label issues.
#
# A weak network contradicts right labels too. The held-out labels, which it has not learnt, tell its own errors from
# wrong labels, if wrong labels may be any class whatever the image: the network errs where it is unsure, and wrong
# labels are equally frequent everywhere. With logits $h$, $C$ classes, a noise rate $\delta$ and a sharpness $t$, a
# held-out label $j$ has the probability
#
# $$\begin{gathered}P(j) = (1-\delta)\,p_j + \frac{\delta}{C-1}\,(1-p_j),\\ p = \operatorname{softmax}(t\,h),\end{gathered}$$
#
# and the most likely $\delta$, with the interval of its likelihood ratio, replaces the count if it is lower than the
# count, and if these labels need a $\delta$ above zero and speak against the count, each by three standard errors
# (`lib.suspects.rate`). It never raises the count: a count is too low where a network has learnt its labels by heart,
# and such a network is sure where it errs, which the likelihood takes for wrong labels. With few held-out labels, or a
# network that is right, the count is rarely replaced (in none of the cells against the rivals). It is not replaced
# either where wrong labels go to a partner or lie where classes meet: these look like the network's own errors and need
# no $\delta$. Telling wrong labels from a network's own errors takes many labels, so we also train on *all 20,000
# photographs* of the four classes in full size, three tenths of them held out, without the rivals.

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
show.figure(fig)

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
    show.markdown(f"**Further off, at most and on average over seeds, in: {'; '.join(missed)}.**")
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
    says="Where nothing is wrong, it says so.",
    source="ours",
    figure="fig-suspects-rate",
    measured=little,
    parts={
        name: rule.about(values, 0, 0.1, "from none to the least rate of the comparison, .1")
        for name, values in little.items()
    },
)

# %% [markdown]
# A probability of being wrong should mean what it says: of the labels that get .8, four fifths should be wrong. Ours is
# the share of signals that speak against a label, averaged over labels of similar rank and shifted until its mean is
# the estimated noise rate. The table gives the precision among as many labels as each method itself calls wrong, the
# AUROC, the calibration error and the time in seconds.

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
    f"In seconds, with our signals and cleanlab's filter, it is {claims.spread(shares)} of cleanlab's time over the cells."
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
# Section 3 of the paper says why right labels come first: the model derivatives $\nabla h_c(w; x)$ of samples of one
# class point one way, and a wrong label turns a sample's gradient against its class. The tool turns this around. It
# asks of each sample whether the derivative of the logit of its *given* class points the way of that class. The way of
# class $c$ is
#
# $$G_c = \sum_{x:\ \arg\max_j p_j(x) = c} p_c(x)\,\nabla h_c(w; x),$$
#
# a sum over the samples that the *network* takes for class $c$, with $p_c(x)$ the probability that it gives them. Given
# labels play no part in this sum, so wrong ones cannot bend it. With the given label $g$ and the best other label $o$
# the **tangent agreement** of a sample is
#
# $$\begin{aligned}a(x) = {}&\cos\big(\nabla h_g(w;x),\,G_g\big)\\ &{}- \cos\big(\nabla h_o(w;x),\,G_o\big).\end{aligned}$$
#
# A right label has $a > 0$. The figure shows it for handwritten digits, 40 % of whose labels are wrong, and a small
# network that stops by itself: a tenth of the samples is held out *with its given labels*, and training ends when the
# answers on it get worse.

# %% figure="fig-suspects-agreement" tags=["hide-input", "nbval-ignore-output"]
fig, (axes,) = figures.panels(1, height=2.6)
agreement = signals.agreement.numpy()
evaluation.histograms(axes, agreement, wrong)
axes.axvline(0, color=figures.INK, linewidth=1)
axes.set(xlabel="tangent agreement a(x)", ylabel="samples", ylim=(0, 1.15 * axes.get_ylim()[1]))
show.figure(fig)

# %% [markdown]
# The next figure says when to look. The probability of the given label, and its margin over the best other one, rank
# wrong labels well for a short time; then the network learns the wrong labels by heart. The directions keep showing
# them much longer.

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
show.figure(fig)

# %% [markdown]
# The direction of the whole loss gradient does not work. A sample's $\nabla\ell$ is large and against the rest where
# its label is wrong, but also wherever the network is still unsure, and the whole gradient is the sum of the pulls of
# all classes. Section 3's directions are those of a *class*.

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
# **How many labels are wrong.** The *log odds* of a sample compare its given label with all others, by Bayes' rule from
# the network's predictions and from how often each prediction meets each given label. The *mean margin* is the margin
# of the given label averaged over training (AUM). The balance $b$ adds log odds, agreement and mean margin, each in
# units of its median size, the mean margin for one unit at most:
#
# $$\begin{aligned}b(x) = {}&\frac{\text{log odds}}{\text{median}} + \frac{a(x)}{\text{median}}\\
# &{}+ \tanh\frac{\text{mean margin}}{\text{median}}.\end{aligned}$$
#
# The share of labels with $b(x) < 0$ is the estimated noise rate, unless held-out labels say that fewer are wrong (see
# above).
#
# **Which labels are wrong, if wrong labels may be any class.** Then the margin ranks best: its mean over the whole
# training, or the value it would have at the stop if the network had not learnt that label. The latter can be estimated
# without a second training. A step of Eq. 4 on a sample raises its own margin $m$, the logit of the given label minus
# that of the best other one, roughly by its residual $r = 1 - p_g$ times the squared length of the margin's gradient
# (exactly so if all other probability is the best other label's). We assume that all such steps together have left
# $\beta\,r\,\lVert\cdot\rVert^2$, with one $\beta$ for all samples, and subtract it:
#
# $$m^-(x) = m(x) - \beta\, r(x)\, \lVert \nabla h_g - \nabla h_o \rVert^2,$$
#
# with $r$ averaged over the training and the gradients those of the last layers at the stop. $\beta$ is chosen so that
# the mean of $m^-$ over the samples trained on equals the mean of $m$ over the held-out tenth, which has learnt nothing
# of its labels ($m^- = m$ there). We call $m^-$ the **unseen margin**. It is akin to self-influence, which has the loss
# in place of the margin (Pruthi et al. 2020, [arXiv 2002.08484](https://arxiv.org/abs/2002.08484)), and to memorisation
# as Feldman and Zhang (2020, [arXiv 2008.03703](https://arxiv.org/abs/2008.03703)) measure it, on probabilities, by
# trainings with and without a sample.
#
# **Which labels are wrong, if each class has one partner.** Then margins rank worst, because the network finds the
# partner likely too; the direction and Bayes' rule rank best. How well a class tells *which* other class was given can
# be read off without a clean label, from the half of the accused labels that their directions speak most against (where
# the network merely errs, the directions speak only softly). Let $\kappa$ be one minus the ratio of the entropy of
# these labels for a class to the largest possible entropy: 0 if they may be any class, 1 if each class has one partner.
# The **score** is
#
# $$\begin{aligned}s(x) = \frac{1-\kappa^2}{2}\,&\Big[\frac{\text{mean margin}}{\text{median}} + \frac{m^-(x)}{\text{median}}\\
# &{}+ \frac14\,\frac{a(x)}{\text{median}}\Big]\\
# {}+ \kappa^2\,&\Big[\frac{\text{log odds}}{\text{median}} + \frac{a(x)}{\text{median}}\Big].\end{aligned}$$
#
# $\kappa$ enters squared, because the $\kappa$ of a few labels is above zero by chance. With two classes each is the
# other's partner, and $\kappa = 1$. The suspects are the labels with the lowest score, as many as are estimated to be
# wrong. The table shows the $\kappa$ that a network finds in the settings of this chapter:

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
# Does $m^-$ estimate the margin of a label that the network never saw? Five networks, each trained on four fifths of
# the digits, measure that margin; this is what cross-validation needs five trainings for. Networks differ in how large
# their margins are, so we ask how far wrong labels lie below zero for each unit that right ones lie above it. This says
# whether the right amount is taken off on average, not whether it is taken off the right samples (see the deviations);
# and with so few digits held out, $\beta$ is rough.

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
# The next figure shows log odds and agreement, two of the three terms of the balance: right and wrong labels lie on
# either side of the line where the two sum to zero.

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
show.figure(fig)

# %% [markdown]
# ## Where this deviates
#
# - The paper does not search for wrong labels; the score is ours. Its parts are not all new: the margin while training
#   is AUM's, and averaging weights and stopping on held-out noisy labels are common.
# - The score is the fourth that was tried, and all were recorded for all cells. Of 21 cells the four were first or
#   within .005 of the first in 14, 16, 16 and 19. Weights were chosen on other seeds (100 to 103) and not changed after
#   the recording, but the decision to look for another score was made after seeing the cells recorded with the one
#   before. So the 19 of 21 are somewhat optimistic.
# - The unseen margin helps mostly through the residual $r(x)$. Most of what the score gains by it, it gains with $r(x)$
#   alone in place of the product too; the gradients' lengths rank better at boundaries only, by .001 to .003 of average
#   precision.
# - At the smallest profile, on digits, the score is above AUM and cleanlab in 38 of 40 comparisons over ten seeds.
# - The noise rate of 2,400 photographs is estimated to within .03 in less than half of the runs: 240 held-out labels
#   are too few. The likelihood of the section on the noise rate was added after the cells of CIFAR-10 had been recorded
#   without it, and that it may only lower the count was decided after one training (2,400 photographs, rate .2, seed 3)
#   in which it raised the estimate from .107 to .433.
# - Signals look at the last seven layers with weights: all of a small network, the end of a ResNet. Class directions
#   are sums over 120 samples a class.
# - MNIST has 6,000 images here. CIFAR-10, against the rivals, has 2,400 images of four classes at 16 × 16 pixels, which
#   is what two processor cores can train. Networks there are weak, and so is every method.
# - The time of the rivals is that of their trainings with our stop; without one they would take longer.

# %% [markdown]
# ## Try it yourself
#
# 1. Why must the way of a class be a sum over the samples that the *network* takes for it, and not over those
#    *labelled* so? Think of pairs with .3 of the labels exchanged.
#
# <details><summary>Solution</summary>
#
# A sum over given labels has three tenths of the other class in it, and that class's sum three tenths of this one. The
# two ways are bent towards each other, and the difference of the two cosines shrinks for right and wrong labels alike.
# What a network at its stop predicts is right for more than nine tenths of the samples.
#
# </details>
#
# 2. What happens without stopping? Train to the end and rank by the agreement and by the probability of the given
#    label.
#
# <details><summary>What you should see</summary>
#
# The right end of the figure on when to look shows it. The probability ranks wrong labels little better than chance,
# because the network has learnt them by heart. The agreement still ranks most of them: the network has learnt each of
# them in a way of its own, not in the way of the class.
#
# </details>
#
# ## What to take away
#
# - A wrong label shows in the direction of its model derivative, early in one training, and remains visible there
#   longer than in what the network answers.
# - One training with a stop that needs no clean label does what cross-validation takes five for. How much a network's
#   answer to a sample owes to the sample's own label can be estimated and subtracted; the residual alone gives most of
#   that estimate.
# - Which signal is best depends on where wrong labels go: the margin if they may be any class, the direction if each
#   class has one partner. Where the network predicts well, its answers and the given labels tell which case it is.
# - The tool gains most where classes are taken for one another. Labels at the boundary, which a classifier would get
#   wrong too, are the hardest for every method; on MNIST and CIFAR-10 cross-validation ranks them best, by a little.
