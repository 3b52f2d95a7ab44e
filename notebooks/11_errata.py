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
# Where the paper contradicts itself or is wrong, and where an earlier notebook by others that set out to validate it went
# astray: each point with its evidence, measured here or in the chapter named. None of them touches the paper's main
# finding. Whoever builds on a formula should know which.

# %% tags=["hide-input"]
import sys; sys.path += [".", "..", "../.."]  # the book's folder: run this inside it  # fmt: skip
from lib.press import chapters, claims, figures, show

# %% tags=["parameters"]
from typing import Optional

profile: str = "best"  # one of best, smoke, cpu: smoke trains live in seconds, best is the largest recorded
noise_rate: float = 0.4  # delta in the live checks of Equations 10 and 30 and of A.4
seeds: Optional[int] = None  # how many; None: as many as the profile has
fresh: bool = False  # train anew even where a record is there
device: str = "auto"  # one of auto, cpu, cuda: auto is CUDA where there is a card

# %% [markdown]
# ## The paper
#
# | where | what | what we do | evidence |
# | --- | --- | --- | --- |
# | Figs. 5, 6; App. B | $\delta$ is 0.4 in the captions and C.3, 30 % in Appendix B | 0.4: the text's 1.5 is 0.6/0.4 | {doc}`02_binary_dynamics` |
# | Fig. 4 right; App. B | zeros and ones, two layers in the caption; sevens and nines, three layers in Appendix B | the caption | {doc}`04_sample_gradients` |
# | § 3.2, Eq. 8 | needs outputs near one half, which the stated initialisation does not give | three initialisations | {doc}`04_sample_gradients` |
# | Remark 3.3, § 4.1 | $\nabla h$ constant in training: not at width 512 | measured | {doc}`02_binary_dynamics` |
# | Eq. 10, Prop. 4.2 | the factor $(1-\alpha)/(1+\alpha)$ takes $\lvert f-\hat y\rvert = \lvert f-y\rvert$ on noisy samples, true only at $f=1/2$ | both factors side by side | below; {doc}`02_binary_dynamics` |
# | Eq. 30 | the printed factor belongs to $\nabla L(D)$, not to $\nabla L(\hat D)$ | both measured | below |
# | A.4 | $L(D_{clean}) = L(\hat D)$ holds in expectation before training only | measured | below |
# | Remark 4.3 | a batch's direction: not at the paper's batch size | measured | {doc}`04_sample_gradients` |
# | Eqs. 11, 30, 32 against Eqs. 2 and 3 | losses are sums there, means here | sums for subset gradients, means for plotted losses | |
# | A.5 | the Hessian of a convex loss is called positive definite: semi-definite is what follows | | |
# | Assumption 4.1 | one $\alpha_t$ for both classes | each class, their geometric mean, and the sums | {doc}`02_binary_dynamics` |
# | § 2 | $D^{(c)}$: "samples from the $c$-th class": by which label? | by the true one; else Eq. 8 makes no sense | |
# | § 3.1 | $\theta_d \in [0, 2\pi)$ for an angle between vectors | $[0, \pi]$ | {doc}`03_model_derivative` |
# | § 3.1, text on Fig. 2 | the same or similar relation in depth: in size no, in order to within a degree | counted | {doc}`03_model_derivative` |
# | below Eq. 7 | $v$ and $A$ are named "first and second layer": swapped | | |
# | Eq. 24 | $h_1$ for $h_2$ in the middle | | |
# | Eq. 29 | Chebyshev's inequality needs $\epsilon^2$ | below | |
# | A.5 | $w_{t+1} = w_t - \eta L$: the gradient sign is missing, four times | | |
# | § 5, Figs. 7, 13 | norm of the multi-class residual not given | two norms | {doc}`10_deviations` |
# | Fig. 8 | "monotonically": not quite, in any of our networks | counted | {doc}`05_many_classes` |
# | C.1 | "other" clearly separated from the class: from its clean samples, hardly from its noisy ones | AUC | {doc}`05_many_classes` |
# | all figures | learning rate, momentum, seeds, stopping rule not given | ours, varied | {doc}`10_deviations` |
#
# ## Equations 10 and 30 and the identity of A.4, measured
#
# A small network in the theory's own setting (antisymmetric start, so $f(w_0)=1/2$; full-batch descent; digits, always
# live: it takes seconds). At each step we take the gradients of the subsets and of the training set with its true labels,
# exactly.
#
# Under Assumption 4.1, $\sum_c g_{noise} = -\alpha \sum_c g_{clean}$. Equation 30 prints
# $\nabla L(\hat D) = -\frac{1-\alpha}{\alpha}\sum_c g_{noise}$. But $-\frac{1-\alpha}{\alpha}\sum g_{noise} =
# (1-\alpha)\sum g_{clean}$ is the gradient on the *noisy* training set $D$. For $\hat D$ the assumption behind Eq. 10 would
# give $-\frac{1+\alpha}{\alpha}\sum g_{noise}$, and counting samples $-\frac{1}{\alpha(1-\delta)}\sum g_{noise}$.

# %%
import numpy as np
import pandas as pd

from lib import experiments
from lib.experiments import DataConfig, Experiment, ModelConfig, NoiseConfig, TrainConfig
from lib.gradients import own_class_subsets, subset_gradients
from lib.observe import sample_losses
from lib.paper import presets
from lib.train import train


def identities(model, task, labels) -> dict[str, float]:
    """What Eqs. 10 and 30 and A.4 equate, measured at one point of a training."""
    exact = subset_gradients(model, task.train_images, labels, own_class_subsets(labels), white=task.white, truth=True)
    clean, noise = (sum(exact.gradients[kind, c] for c in (0, 1)) for kind in ("clean", "noise"))
    truth = clean + sum(exact.truth.values())
    loss = sample_losses(exact.logits, labels.true)
    return {
        "alpha": (noise.norm() / clean.norm()).item(),
        "noise_share": (noise @ truth / (truth @ truth)).item(),
        "clean_loss": loss[~labels.is_noisy].mean().item(),
        "truth_loss": loss.mean().item(),
    }


THEORY = ModelConfig((256, 256), init="ntk", antisymmetric=True)  # f(w_0) = 1/2


def history(seed: int, model: ModelConfig, train_config: TrainConfig) -> pd.DataFrame:
    """Train on the digits and measure the identities after every epoch."""
    experiment = Experiment(
        DataConfig("digits", classes=(7, 9)), NoiseConfig(noise_rate), model, train_config, seed=seed
    )
    ready = experiments.prepare(experiment, experiments.Machine("cpu"))
    with experiments.Machine("cpu").cpu_threads(ready.model, len(ready.labels.given)):
        rows = train(
            ready.model,
            ready.task,
            ready.labels,
            train_config,
            lambda model: identities(model, ready.task, ready.labels),
            experiments.generator(seed, "order"),
            progress=False,
        )
    return pd.DataFrame(rows).set_index("epoch")


def plan(profile: str) -> dict[str, list]:
    """The recorded trainings that the last part uses."""
    count = chapters.default(seeds, 3 if profile == "smoke" else 10)
    return {
        "cnn": experiments.with_seeds(presets.mnist(profile), count),
        "fcn": experiments.with_seeds(presets.binary(profile), count),
    }


profile, runs, ledger = chapters.open_chapter("11_errata", globals(), plan, among=("cpu",))
live = claims.Ledger("11_errata", "smoke", live=True)
count = chapters.default(seeds, 3)
steps = [history(seed, THEORY, TrainConfig(lr=0.1, epochs=40, batch_size=None)) for seed in range(count)]
long = [
    history(seed, ModelConfig((128, 128)), TrainConfig(lr=0.1, epochs=60, batch_size=32, momentum=0.9))
    for seed in range(count)
]


# %% figure="fig-errata-eq30" tags=["hide-input"]
def by_seed(some: list[pd.DataFrame], column) -> pd.DataFrame:
    """A column, or a function of the table: a row an epoch, a column a seed."""
    columns = [one[column] if isinstance(column, str) else column(one) for one in some]
    return pd.concat(columns, axis=1, keys=range(len(columns)))


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
show.figure(fig)


# %% nbval={"tol": [0.1, 0.05]} tags=["hide-input"]
def worst(name: str) -> np.ndarray:
    """Largest relative error of a factor over the steps, seed by seed."""
    return np.abs(factors[name].to_numpy() / factors["measured"].to_numpy() - 1).max(0)


live.check(
    "eq-30-as-printed",
    says="∇L(D̂) = −(1 − α)/α · Σ g_noise.",
    source="Eq. 30",
    criterion="within 5 % at every step",
    figure="fig-errata-eq30",
    measured={"largest relative error": worst("printed")},
    passes=worst("printed") <= 0.05,
)
live.check(
    "eq-30-by-eq-10",
    says="∇L(D̂) = −(1 + α)/α · Σ g_noise (what Eq. 10 would give).",
    source="Eqs. 10 and 11",
    criterion="within 5 % at every step",
    figure="fig-errata-eq30",
    measured={
        "largest relative error": worst("Eq. 10"),
        "at the start": (factors["Eq. 10"] / factors["measured"] - 1).iloc[0],
    },
    passes=worst("Eq. 10") <= 0.05,
)
live.check(
    "eq-30-by-counting",
    says="∇L(D̂) = −1/(α(1 − δ)) · Σ g_noise (counting samples).",
    source="ours",
    criterion="within 5 % at every step",
    figure="fig-errata-eq30",
    measured={"largest relative error": worst("counted")},
    passes=worst("counted") <= 0.05,
)

# %% [markdown]
# (All three are held to 5 %, as Equation 10 is in the chapter on binary dynamics; the first bound here, 10 %, was
# replaced after the numbers had been seen, because the two chapters disagreed.)
#
# Appendix A.4 begins with $L(w; D_{clean}) = L(w;\hat D)$, since both have the same distribution. That is so for weights
# that know nothing of the sample, at the start. Once the network has fitted wrong labels, it is wrong on exactly those
# samples that $\hat D$ has and $D_{clean}$ has not. (Here the network of the chapter on binary dynamics at `smoke`.)

# %% figure="fig-errata-a4" tags=["hide-input"]
fig, (axes,) = figures.panels(1, height=2.7)
figures.curve(axes, by_seed(long, "clean_loss"), figures.CLEAN, "clean")
figures.curve(axes, by_seed(long, "truth_loss"), figures.NOISY, "all, true labels")
axes.set(ylabel="mean loss", ylim=(0, None))
figures.epoch_axis([axes], last=60)
figures.label_ends(axes)
show.figure(fig)

# %% nbval={"tol": [0.5, 0.5]} tags=["hide-input"]
gap = by_seed(long, lambda one: (one["truth_loss"] / one["clean_loss"] - 1).abs())
live.check(
    "a-4-identity",
    says="The loss on the clean subset is that on the ground-truth-labelled set.",
    source="Appendix A.4",
    criterion="within 10 %: at the start, and in the last epoch",
    figure="fig-errata-a4",
    measured={"relative difference at the start": gap.iloc[0], "in the last epoch": gap.iloc[-1]},
    passes={"start": gap.iloc[0] <= 0.1, "last epoch": gap.iloc[-1] <= 0.1},
)

# %% [markdown]
# Chebyshev's inequality (Eq. 29) reads $P(|X-\mu|\ge\epsilon) \le \mathrm{Var}/\epsilon^2$. With $\epsilon$ in place of
# $\epsilon^2$ it is false: a fair coin of ±0.1 has variance 0.01 and is 0.1 away from its mean with probability 1, while
# $0.01/0.1 = 0.1$. The lemma does not suffer: for a fixed $\epsilon$ both bounds vanish with $1/m$.
#
# ## The earlier notebook
#
# A notebook by others sets out to validate the paper. Its faults, and what each changes:
#
# | fault | what it changes |
# | --- | --- |
# | the binary experiment crashes in the evaluation after its first epoch (a list added to a number), so that it has no result at all | everything after it never ran |
# | sums of losses stand in for the lengths of the gradients | below: wrong by an order of magnitude with ten classes |
# | the first row is measured after the first epoch | below: about half of the head start is gone by then |
# | the early stop is the epoch of least test *loss* | below: later, and a worse test error |
# | labels are flipped over the whole set, not class by class, and the count is cut off, not rounded | classes get different rates, by half a percent or so where a class has six thousand images |
# | the residual is $1-f_y$ without saying so | half the sum norm: same shape |
# | zeros and ones where the figure has sevens and nines | an easier problem with a deeper U |
# | the CNN is padded; the ResNet has another shape, no biases, ReLU, and its images are augmented | other networks than the paper's |
# | one seed | no spread |
#
# Three of them measured on our recorded trainings:

# %% figure="fig-errata-proxy" tags=["hide-input"]
proxies = {}
fig, places = figures.panels(2, height=2.5, common=False)
for axes, name, title in zip(places, ("cnn", "fcn"), ("ten classes", "two classes"), strict=True):
    some = runs[name]
    delta = some[0].experiment.noise.noise_rate
    proxies[name] = (1 - delta) / delta * some.wide("clean_loss") / some.wide("noisy_loss")
    until = max(1, int(max(some.early_stops)))
    figures.curve(axes, some.wide("ratio").loc[:until], figures.TEST, "gradients")
    figures.curve(axes, proxies[name].loc[:until], figures.NOISY, "losses")
    figures.level(axes, 1, "balance", x=0.3)
    axes.set(yscale="log", ylabel="clean / noisy", title=title, xlim=(0, until), xlabel="epoch")
    axes.set_yticks([0.3, 1, 3, 10, 20] if name == "cnn" else [0.5, 1, 1.5], None)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    figures.label_ends(axes)
show.figure(fig)

# %% tags=["hide-input", "nbval-ignore-output"]
show.markdown(f"*Ten classes: {runs['cnn'].provenance_line()}.*")
show.markdown(f"*Two classes: {runs['fcn'].provenance_line()}.*")

# %% tags=["hide-input"]
cnn = runs["cnn"]
first = {"gradients": cnn.wide("ratio").iloc[0].to_numpy(), "losses": proxies["cnn"].iloc[0].to_numpy()}
at_stop = np.array([proxies["cnn"][run.experiment.seed].loc[run.early_stop] for run in cnn])
ledger.check(
    "loss-proxy-ten-classes",
    says="Sums of losses stand in for the lengths of the subset gradients, with ten classes.",
    source="earlier notebook, not the paper",
    criterion="within a factor of 2 of the true ratio, at the start and at the early stop",
    figure="fig-errata-proxy",
    measured={f"start, {name}": values for name, values in first.items()}
    | {"early stop, gradients": cnn.at_early_stop("ratio"), "early stop, losses": at_stop},
    passes={
        "start": abs(np.log2(first["losses"] / first["gradients"])) <= 1,
        "early stop": abs(np.log2(at_stop / cnn.at_early_stop("ratio"))) <= 1,
    },
)
after = cnn.wide("ratio").iloc[1].to_numpy()
ledger.check(
    "first-row-after-first-epoch",
    says="Measuring from the end of the first epoch on misses nothing.",
    source="earlier notebook, not the paper",
    criterion="ratio after the first epoch within 10 % of that at initialisation (ten classes)",
    figure="fig-errata-proxy",
    measured={"initialisation": first["gradients"], "after one epoch": after},
    passes=abs(after / first["gradients"] - 1) <= 0.1,
)
fcn = runs["fcn"]
by_loss = fcn.each(lambda run: run.at(run.history["test_loss"].idxmin())["test_error"])
epochs = fcn.each(lambda run: run.history.loc[run.history["test_loss"].idxmin(), "epoch"])
ledger.check(
    "stop-by-test-loss",
    says="The epoch of least test loss is the early stopping point.",
    source="earlier notebook, not the paper",
    criterion="test error there within .02 of the least (two classes)",
    figure="fig-errata-proxy",
    measured={
        "epoch of least loss": epochs,
        "epoch of least error": fcn.early_stops,
        "test error at least loss": by_loss,
        "least test error": fcn.at_early_stop("test_error"),
    },
    passes=np.array(by_loss) <= fcn.at_early_stop("test_error") + 0.02,
)

# %% [markdown]
# ## What to take away
#
# - The printed step factor, Equation 10 and Equation 30 should be used with the sample counts in place of $1+\alpha$.
# - The rest is a matter of stating what was done.
