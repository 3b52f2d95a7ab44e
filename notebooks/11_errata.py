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
# # Errata
#
# Where is the paper wrong, and where does it contradict itself? This chapter lists the points that the book found,
# with their evidence: measured below, or in the chapter named. None of them touches the paper's main finding. Three
# matter if you build on a formula: Equation 30 prints the wrong multiple, the factor of Proposition 4.2 is exact only
# where every output is one half, and the two losses that Appendix A.4 sets equal part in training. The multiple to use
# instead is $1/(1-\delta)$: the gradient on the true labels is about $1/(1-\delta)$ times that of the clean samples,
# where $\delta$ is the noise rate.

# %% tags=["hide-input"]
import sys; sys.path += [".", "..", "../.."]  # the book's folder: run this inside it  # fmt: skip
from lib.press import chapters, figures, rule, show

# %% tags=["hide-input", "parameters"]
from typing import Optional

profile: str = "best"  # one of best, smoke, cpu: smoke trains live in seconds, best is the largest recorded
noise_rate: float = 0.4  # delta
seeds: Optional[int] = None  # how many; None: as many as the profile has
fresh: bool = False  # train anew even where a record is there
device: str = "auto"  # one of auto, cpu, cuda: auto is CUDA where there is a card

# %% [markdown]
# ## The list
#
# The symbols are the paper's. A sample has a given label $y$ and a true label $\hat y$; $\delta$ is the noise rate, the
# share of samples with $y \ne \hat y$. $D$ is the training set with its given labels, $\hat D$ the same images with
# their true ones, and $L$ a loss on one of them. $h$ is the logit of the network with weights $w$, and $f$ its sigmoid.
# $g_{clean}$ and $g_{noise}$ are the sums of the gradients of the clean and of the noisy samples of one class, and
# $\hat g$ is the sum over the class with true labels. Assumption 4.1 says $g_{noise} = -\alpha\,g_{clean}$ with
# $0 < \alpha < 1$. The step of gradient descent has the learning rate $\eta$.
#
# **Formulas that do not hold as printed**
#
# | where | what | what we do | evidence |
# | --- | --- | --- | --- |
# | Eq. 10, Prop. 4.2 | the factor $(1-\alpha)/(1+\alpha)$ takes $\lvert f-\hat y\rvert = \lvert f-y\rvert$ on noisy samples, true only at $f=1/2$ | both factors side by side | below; [chapter 2](02_binary_dynamics.ipynb) |
# | Prop. 4.2 | it is about plain descent. In a training with momentum its factor, and the one by counting samples, have errors several times as large | with and without momentum | below |
# | Eq. 30 | the printed factor belongs to $\nabla L(D)$, not to $\nabla L(\hat D)$ | both measured | below |
# | A.4 | $L(D_{clean}) = L(\hat D)$ holds in expectation before training only | measured | below |
# | § 3.2, before Eq. 8 | $E[(f-y)\,\nabla h] = E[f-y]\,E[\nabla h]$ holds only if $f-y$ and $\nabla h$ do not vary together. At the start with PyTorch's initialisation they hardly do, because $f$ hardly varies. With the initialisation of § 3.1 they do more, and after learning much more | both sides measured | below |
# | § 3.2, Eq. 8 | needs outputs near one half, which the stated initialisation does not give | three initialisations | [chapter 4](04_sample_gradients.ipynb) |
# | A.5 | the Hessian of a convex loss is called positive definite, but only semi-definite follows. Theorem 4.5 still holds | the proof repaired | below |
# | Eq. 29 | Chebyshev's inequality needs $\epsilon^2$. Lemma A.2 still holds | | below |
#
# **Statements in words, measured**
#
# | where | what | what we do | evidence |
# | --- | --- | --- | --- |
# | § 1, key observation | "almost all clean sample-wise gradient vectors" are said to have a positive projection on the update, "almost all noisy" ones a negative one. With two classes and a learning rate of 0.1 the share of the clean ones falls to about one half within the early stage; at 0.02 it stays high for most of it | the share, epoch by epoch | [chapter 4](04_sample_gradients.ipynb) |
# | Remark 3.3, § 4.1 | $\nabla h$ is said to be constant in training; at width 512 it is not | measured | [chapter 2](02_binary_dynamics.ipynb) |
# | Remark 4.3 | a batch's direction is said to be similar to that on the true labels; in the early stage, at the paper's batch size, it is not | measured | [chapter 4](04_sample_gradients.ipynb) |
# | Figs. 7, 13 | the residual on the noisy subset is said to rise monotonically up to the early stop. It rises in the first epochs, and then goes up and down | measured | [chapters 5](05_many_classes.ipynb) and [8](08_noise_level.ipynb) |
# | § 4.2 | after the early stop the loss and the error on the clean subset are said to keep falling; both rise first | measured | [chapter 2](02_binary_dynamics.ipynb) |
# | Fig. 6 | the dominance of the clean gradient is said to fall "monotonically"; with two classes the ratio of a single class goes up and down, and only the mean of both falls nearly all the way | measured | [chapter 2](02_binary_dynamics.ipynb) |
# | Fig. 8 | the same is said of ten classes; with ten seeds on 3,000 images it does not, with three seeds on all images this is undecided | measured | [chapter 5](05_many_classes.ipynb) |
# | C.1 | "other" is said to be clearly separated from the class; it is from the clean samples of the class, less clearly from the noisy ones | AUC | [chapter 5](05_many_classes.ipynb) |
#
# **What the paper leaves open, or says in two ways**
#
# | where | what | what we do | evidence |
# | --- | --- | --- | --- |
# | Figs. 5, 6; App. B | $\delta$ is 0.4 in the captions and C.3, 30 % in Appendix B | 0.4: the text's 1.5 is 0.6/0.4 | [chapter 2](02_binary_dynamics.ipynb) |
# | Fig. 4 right; App. B | zeros and ones in the caption; sevens and nines, a network of two hidden layers in Appendix B | the caption | [chapter 4](04_sample_gradients.ipynb) |
# | Eqs. 11, 30, 32 against Eqs. 2 and 3 | losses are sums there, means here | sums for subset gradients, means for plotted losses | |
# | Assumption 4.1 | one $\alpha$ for both classes | each class, their geometric mean, and the sums | [chapter 2](02_binary_dynamics.ipynb) |
# | § 2 | $D^{(c)}$, "samples from the $c$-th class", does not say by which label | by the true one; otherwise Eq. 8 makes no sense | |
# | § 3.1, text on Fig. 2 | "same or similar" relation in deep networks: not said how similar | measured in size and in order | [chapter 3](03_model_derivative.ipynb) |
# | § 5, Figs. 7, 13 | norm of the multi-class residual not given | two norms | [chapter 10](10_deviations.ipynb) |
# | all figures | learning rate, momentum, seeds, stopping rule not given | ours, varied | [chapter 10](10_deviations.ipynb) |
#
# **Misprints**
#
# | where | what | what we do | evidence |
# | --- | --- | --- | --- |
# | below Prop. 4.2 | "the theorem states", "this theorem implies": the proposition is meant | | |
# | § 4.1 on Fig. 5 | "see Appendix B for subset loss curves": they are in Appendix C.2, Figure 11 | | |
# | § 3.1 | $\theta_d \in [0, 2\pi)$ for an angle between vectors | $[0, \pi]$ | [chapter 3](03_model_derivative.ipynb) |
# | below Eq. 7 | $v$ and $A$ are named "first and second layer": swapped | | |
# | Eq. 24 | $h_1$ for $h_2$ in the middle | | |
# | A.5 | the gradient sign $\nabla$ is missing in three updates, and in a fourth line the norm's "$\lVert\nabla$" | | |
#
# An earlier notebook by others set out to validate the paper. It has a chapter of its own:
# [chapter 19](19_earlier_notebook.ipynb).

# %% tags=["hide-input"]
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from lib import experiments
from lib.experiments import DataConfig, ModelConfig, NoiseConfig, TrainConfig
from lib.paper import presets
from lib.paper.identities import Identities


def plan(profile: str) -> dict[str, list]:
    """The trainings of a profile, by name; one for each seed."""
    small = profile == "smoke"
    data = DataConfig("digits", classes=(7, 9)) if small else DataConfig("mnist", classes=(7, 9), train_size=1000)
    wide = ModelConfig((256, 256) if small else (512, 512), init="ntk", antisymmetric=True)
    descent = TrainConfig(lr=0.1 if small else 0.05, epochs=40, batch_size=None)  # an epoch is a step
    fits = TrainConfig(lr=0.1, epochs=60, batch_size=32 if small else 256, momentum=0.9)
    theory = Identities(data=data, noise=NoiseConfig(noise_rate), model=wide, train=descent)
    momentum = presets.binary(profile, noise_rate)
    slow = TrainConfig(lr=0.03, epochs=100, batch_size=32) if small else TrainConfig(lr=0.1, epochs=80)
    count, more = (chapters.default(seeds, 3 if small else many) for many in (5, 10))
    long = replace(theory, model=ModelConfig((128, 128) if small else (512, 512)), train=fits)
    stated = replace(theory, model=replace(wide, antisymmetric=False), train=replace(descent, epochs=1))
    return {
        "theory": experiments.with_seeds(theory, count),
        "long": experiments.with_seeds(long, count),
        "stated": experiments.with_seeds(stated, count),
        "momentum": experiments.with_seeds(momentum, more),
        "plain": experiments.with_seeds(replace(momentum, train=slow), more),
    }


profile, runs, ledger = chapters.open_chapter("11_errata", globals(), plan, among=("cpu",))
steps, long = runs["theory"], runs["long"]
show.markdown(f"Profile `{profile}`, noise rate {noise_rate}.")

# %% [markdown]
# ## How it was measured
#
# The folded cell above plans five groups of trainings:
#
# - **theory**: the setting of the theory, with full-batch descent. The network has the paper's NTK parameterisation (§
#   3.1): weights start as N(0, 1), and each layer after the first is divided by the root of its number of inputs. The
#   start is antisymmetric: two equal copies are subtracted, so that $f = 1/2$ for every image.
# - **stated**: the same without the antisymmetric start (§ 3.1), measured at its start alone.
# - **long**: mini-batches with momentum, until the wrong labels are being fitted.
# - **momentum** and **plain**: the trainings of [chapter 2](02_binary_dynamics.ipynb) at this profile, with and without
#   momentum (that chapter shows its larger profile, without).
#
# A seed draws the images, the wrong labels, the weights and the order of the batches. After each step or epoch the
# gradients of the subsets, and of the training set with its true labels, are computed exactly (`lib.paper.identities`).

# %% tags=["hide-input", "nbval-ignore-output"]
for name, some in runs.items():
    show.markdown(f"- **{name}**: {some.provenance_line()}.")

# %% [markdown]
# ## Equations 10 and 30
#
# What multiple of the noisy samples' gradient is the gradient on the true labels? Equation 30 prints
# $\nabla L(\hat D) = -\frac{1-\alpha}{\alpha}\sum_c g_{noise}$, a sum over the classes $c$. That multiple is far too
# small, because it belongs to the *noisy* training set: under Assumption 4.1,
# $-\frac{1-\alpha}{\alpha}\sum_c g_{noise} = (1-\alpha)\sum_c g_{clean} = \nabla L(D)$. For $\hat D$ there are two
# candidates. Equation 10 gives $-\frac{1+\alpha}{\alpha}\sum_c g_{noise}$. Counting samples gives
# $-\frac{1}{\alpha(1-\delta)}\sum_c g_{noise}$, because the clean samples are the share $1-\delta$ of all. The two
# agree at the start. Over the training counting stays closer to what we measure:


# %% figure="fig-errata-eq30" tags=["hide-input"]
def by_seed(runs, column) -> pd.DataFrame:
    """A function of a run's table: a row an epoch, a column a seed."""
    return pd.concat([column(run.history.set_index("epoch")) for run in runs], axis=1, keys=runs.seeds)


factors = {
    "measured": by_seed(steps, lambda one: -1 / one["noise_share"]),
    "printed": by_seed(steps, lambda one: (1 - one["alpha"]) / one["alpha"]),
    "Eq. 10": by_seed(steps, lambda one: (1 + one["alpha"]) / one["alpha"]),
    "counted": by_seed(steps, lambda one: 1 / (one["alpha"] * (1 - noise_rate))),
}
fig, (axes,) = figures.panels(1, height=3)
for (name, values), style in zip(
    factors.items(), (figures.TEST, figures.NOISY, figures.SECOND, figures.FIRST), strict=True
):
    figures.curve(axes, values, style, name)
axes.set(xlabel="step", ylabel="∇L(D̂) / −g_noise", xlim=(0, 40), ylim=(0, None))
figures.label_ends(axes)
show.figure(fig, steps)

# %% tags=["hide-input"]
errors = {name: (values / factors["measured"] - 1).abs() for name, values in factors.items() if name != "measured"}
worst = {name: values.max().to_numpy() for name, values in errors.items()}
at_start = errors["counted"].iloc[0].to_numpy()
sampling = 2 * np.sqrt(
    np.square(at_start).mean()
)  # nothing is learnt yet: what counting is off, the draw of labels makes
show.markdown(
    f"Before the first step the counted factor is off by {np.sqrt(np.square(at_start).mean()):.3f} (root mean square over "
    "seeds), because the wrong labels are a finite sample. We allow each equation twice that error at every step: "
    f"{sampling:.3f}."
)
for id, name, says, source in (
    ("eq-30-as-printed", "printed", "∇L(D̂) = −(1 − α)/α · Σ g_noise, at every step.", "Appendix A.4, Eq. 30"),
    ("eq-30-by-eq-10", "Eq. 10", "∇L(D̂) = −(1 + α)/α · Σ g_noise, at every step (what Eq. 10 would give).", "Eqs. 10 and 11"),
    ("eq-30-by-counting", "counted", "∇L(D̂) = −1/(α(1 − δ)) · Σ g_noise, at every step (counting samples).", "ours, for Eq. 30"),
):  # fmt: skip
    ledger.check(
        id,
        says=says,
        source=source,
        figure="fig-errata-eq30",
        measured={"largest relative error": worst[name], "at the start": errors[name].iloc[0]},
        parts={"every step": rule.always(worst[name], sampling, "relative error")},
    )

# %% [markdown]
# ## The factor of Proposition 4.2 with momentum
#
# Wrong labels shorten the step along the gradient on the true labels. The *step factor* says by how much: it is the
# projection of the gradient on the noisy data onto the gradient on the true labels, divided by the length of the
# latter. The proposition says $(1-\alpha)/(1+\alpha)$, counting says $(1-\delta)(1-\alpha)$. We compare each with the
# measured factor over the first half of the early stage, where it is well away from zero. (The early stage ends where
# the test error is least.)
#
# Without momentum both formulas are good, and counting is better. With momentum their relative errors are several times
# as large. A likely reason is that the weights overshoot and the dominance of the clean gradient ends sooner: where the
# step is nearly zero, a small difference is a large share of it.


# %% figure="fig-errata-momentum" tags=["hide-input"]
def early(run, factor: str) -> pd.DataFrame:
    """The rows of the first half of the early stage, with a factor and the measured one."""
    rows = run.history[run.history["epoch"] <= max(1, run.early_stop / 2)]
    alpha = rows["alpha"]
    value = (1 - alpha) / (1 + alpha) if factor == "Prop. 4.2" else (1 - noise_rate) * (1 - alpha)
    return rows.assign(factor=value)


def relative(run, factor: str) -> float:
    """Mean relative error of a factor."""
    rows = early(run, factor)
    return float((rows["factor"] / rows["step_factor"] - 1).abs().mean())


def on_the_way(run, factor: str) -> tuple[float, float]:
    """Mean distance of the measured factor's logarithm from that of a factor, and of the latter's from 0: no shrinking.

    Below a thousandth a factor counts as that much.
    """
    rows = np.log(early(run, factor)[["factor", "step_factor"]].clip(lower=1e-3))
    return float((rows["factor"] - rows["step_factor"]).abs().mean()), float(rows["factor"].abs().mean())


FACTORS = ("Prop. 4.2", "counted")
off = {(name, factor): runs[name].each(lambda run, f=factor: relative(run, f)) for name in ("plain", "momentum") for factor in FACTORS}  # fmt: skip
fig, (axes,) = figures.panels(1, height=2.3)
for row, values in enumerate(reversed(off.values())):
    axes.plot([100 * min(values), 100 * max(values)], [row, row], color=figures.TEST.color, linewidth=1.4)
    axes.plot(100 * np.mean(values), row, "D", color=figures.NOISY.color, markersize=6)
axes.set_yticks(range(len(off)), [f"{name}, {factor}" for name, factor in reversed(off)])
axes.set(xlabel="mean relative error of the step factor, %", xlim=(0, None))
show.figure(fig, {"Plain": runs["plain"], "Momentum": runs["momentum"]})

# %% tags=["hide-input"]
for name in ("plain", "momentum"):
    distances = {factor: np.array(runs[name].each(lambda run, f=factor: on_the_way(run, f)[0])) for factor in FACTORS}
    rivals = {factor: np.array(runs[name].each(lambda run, f=factor: on_the_way(run, f)[1])) for factor in FACTORS}
    ledger.check(
        f"step-factors-{name}",
        says="The step shrinks by a factor that α gives, (1 − α)/(1 + α) or (1 − δ)(1 − α), "
        + ("without momentum." if name == "plain" else "with momentum, too."),
        source="Prop. 4.2" if name == "plain" else "ours, for Prop. 4.2 with momentum",
        figure="fig-errata-momentum",
        measured={f"mean relative error, {factor}": off[name, factor] for factor in FACTORS},
        parts={
            factor: rule.equal(distances[factor], 0.0, rivals[factor], "from the measured factor to no shrinking")
            for factor in FACTORS
        },
    )

# %% [markdown]
# ## The two losses of Appendix A.4
#
# Is the loss on the clean samples the loss on all samples with their true labels? Appendix A.4 begins with
# $L(w; D_{clean}) = L(w;\hat D)$, because both sets have the same distribution. That is right as long as the weights do
# not depend on the samples, as at the start. The equation fails once the network has fitted wrong labels. The samples
# that it then answers wrongly are those with a wrong label. They are in $\hat D$ but not in $D_{clean}$, so the two
# losses part.

# %% figure="fig-errata-a4" tags=["hide-input"]
fig, (axes,) = figures.panels(1, height=2.7)
figures.curve(axes, long.wide("clean_loss"), figures.CLEAN, "clean")
figures.curve(axes, long.wide("truth_loss"), figures.NOISY, "all, true labels")
axes.set(ylabel="mean loss", ylim=(0, None))
figures.epoch_axis([axes], last=60)
figures.label_ends(axes)
show.figure(fig, long)


# %% tags=["hide-input"]
def while_dominant(run, column: str) -> float:
    """Mean log of a loss over the epochs after the start in which alpha has been below 1 throughout."""
    rows = run.history.iloc[1:]
    kept = (rows["alpha"] < 1).cummin()
    return float(np.log(rows.loc[kept, column]).mean())


losses = {column: np.array(long.each(lambda run, c=column: while_dominant(run, c))) for column in ("clean_loss", "truth_loss")}  # fmt: skip
start, end = (np.log(long.wide("clean_loss").iloc[row].to_numpy()) for row in (0, -1))
ledger.check(
    "a-4-identity",
    says="The loss on the clean subset equals the loss on the whole training set with its true labels.",
    source="Appendix A.4",
    figure="fig-errata-a4",
    measured={
        "clean, while α < 1": np.exp(losses["clean_loss"]),
        "true labels, while α < 1": np.exp(losses["truth_loss"]),
        "clean, last epoch": long.wide("clean_loss").iloc[-1],
        "true labels, last epoch": long.wide("truth_loss").iloc[-1],
    },
    parts={
        "while α < 1": rule.equal(
            losses["truth_loss"], losses["clean_loss"], start, "from the clean loss to the start's"
        ),
        "last epoch": rule.equal(
            np.log(long.wide("truth_loss").iloc[-1].to_numpy()), end, start, "from the clean loss to the start's"
        ),
    },
)

# %% [markdown]
# ## A mean of products
#
# For Equation 8 the paper writes $E[(f-y)\nabla h] = E[f-y]\,E[\nabla h]$ over a subset. This holds only if $f - y$ and
# $\nabla h$ do not vary together. It is nearly true before training with PyTorch's initialisation, and wrong once the
# network has learnt. The figure shows the length of the difference of the two sides relative to the length of the left
# one, averaged over the clean and noisy subsets of both classes. (With an antisymmetric start it would be 0 before
# training by construction, because $f$ is one half for every image.)

# %% figure="fig-errata-product" tags=["hide-input"]
fig, (axes,) = figures.panels(1, height=2.4)
figures.curve(axes, long.wide("product"), figures.NOISY, "long")
axes.set(ylabel="‖difference‖ / ‖mean‖", ylim=(0, None))
figures.epoch_axis([axes], last=60)
figures.label_ends(axes)
show.figure(fig, long)

# %% tags=["hide-input"]
apart = {
    "PyTorch's default": long.wide("product").iloc[0].to_numpy(),
    "§ 3.1": runs["stated"].wide("product").iloc[0].to_numpy(),
}
ledger.check(
    "product-of-means-at-the-start",
    says="At the start the mean of (f − y)∇h over a subset is the product of the means.",
    source="§ 3.2 (before Eq. 8)",
    figure="fig-errata-product",
    measured=apart,
    parts={name: rule.equal(values, 0.0, 1.0, "from none to all of its length") for name, values in apart.items()},
)
later = long.wide("product").iloc[-1].to_numpy()
ledger.check(
    "product-of-means-later",
    says="The mean of (f − y)∇h over a subset is still the product of the means at the end of training.",
    source="ours, for § 3.2 (before Eq. 8)",
    figure="fig-errata-product",
    measured={"last epoch": later},
    parts={"last epoch": rule.equal(later, 0.0, 1.0, "from none to all of its length")},
)

# %% [markdown]
# ## Theorem 4.5 with a semi-definite Hessian
#
# Theorem 4.5 says that $\alpha$ rises in training. Its proof has a gap, which can be closed. It needs $g^T H g > 0$ for
# the gradient $g$ of a subset, where $H$ is the Hessian of the loss with constant $\nabla h$ (infinite width), and it
# takes $H$ to be positive definite. With more weights than samples $H$ cannot be positive definite:
# $H = \sum_i f_i(1-f_i)\,\nabla h_i \nabla h_i^T$ has at most as many positive eigenvalues as there are samples. But
# $g = \sum_i (f_i - y_i)\nabla h_i$ is a combination of the same $\nabla h_i$. If $g^T H g = 0$, then
# $\nabla h_i^T g = 0$ for all $i$, hence $g^T g = 0$. So $g^T H g > 0$ wherever $g \ne 0$, and the theorem stands. An
# example with 20 samples and 50 weights:

# %%
drawn = torch.Generator().manual_seed(0)
tangents = torch.randn((20, 50), generator=drawn).double()  # grad h of each sample
f = torch.rand(20, generator=drawn).double()
y = torch.randint(2, (20,), generator=drawn)
hessian = tangents.T @ torch.diag(f * (1 - f)) @ tangents
gradient = tangents.T @ (f - y)
assert torch.linalg.matrix_rank(hessian) == 20  # of 50: semi-definite
assert gradient @ hessian @ gradient > 0
slope = (gradient @ hessian @ gradient / (gradient @ gradient)).item()
show.markdown(f"The Hessian has rank {torch.linalg.matrix_rank(hessian)} of 50, and gᵀHg / gᵀg is {slope:.1f}.")

# %% [markdown]
# ## Chebyshev's inequality
#
# Chebyshev's inequality for a variable $X$ with mean $\mu$ is $P(|X-\mu|\ge\epsilon) \le \mathrm{Var}(X)/\epsilon^2$.
# Equation 29 has $\epsilon$ in place of $\epsilon^2$, and that is false: a fair coin with the values ±0.1 has variance
# 0.01 and is 0.1 away from its mean with probability 1, while the bound would be $0.01/0.1 = 0.1$. Lemma A.2 still
# holds, because for a fixed $\epsilon$ both bounds vanish like $1/m$ with the width $m$.
#
# ## Try it yourself
#
# The paper's factor of Proposition 4.2 is $(1-\alpha)/(1+\alpha)$; counting samples gives $(1-\delta)(1-\alpha)$. For
# which $\alpha$ below 1 are they the same, and when does a training have it?
#
# <details><summary>Solution</summary>
#
# For $1/(1+\alpha) = 1-\delta$, that is $\alpha = \delta/(1-\delta)$: two thirds at $\delta = 0.4$. This is the ratio
# of the two subsets' sizes, and so the $\alpha$ of the first step, where all outputs are near one half. Later $\alpha$
# grows (Theorem 4.5), and the paper's factor becomes too small: at $\alpha$ near 1 it is $(1-\alpha)/2$, and the one by
# counting is $0.6\,(1-\alpha)$ at $\delta = 0.4$.
#
# </details>
#
# ## What to take away
#
# - To get the gradient on the true labels, multiply the gradient of the clean samples by $1/(1-\delta)$. This follows
#   from counting samples and is right in expectation. The factor $1+\alpha$ of Equation 10 agrees at the start only.
#   The multiple printed in Equation 30 belongs to the gradient on the noisy data.
# - Do not rely on such factors in a training with momentum: their errors are several times as large as without.
# - The loss on clean samples stands for the loss on the true labels before training. With PyTorch's initialisation
#   products of means then stand for means of products too; with that of § 3.1 they do not. Neither is true once the
#   network has fitted wrong labels.
# - Most other points are settings that the paper does not state, or misprints. A few statements in words go further
#   than the measurements. None of them changes the main result.
