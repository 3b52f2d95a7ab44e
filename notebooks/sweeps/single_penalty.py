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
# # One penalty on class boundaries
#
# One condition of the chapter on selective boundaries, trained live in seconds beside its baseline, the same seed without a
# penalty. What a sweep runs again and again over a grid of your own (`notebooks/sweeps/selective_boundaries.yml`). It makes no
# claims; it shows its numbers as a table, `single-penalty`, which `python -m lib sweep` collects.

# %% tags=["hide-input"]
import sys; sys.path += [".", "..", "../.."]  # the book's folder: run this inside it  # fmt: skip
from lib.press import chapters, figures, show

# %% tags=["parameters"]
profile: str = "smoke"  # one of smoke, cpu, paper: images, network and epochs of the chapter; smoke needs no download
condition: str = "selective_49"  # one of global, selective_49, selective_38: the samples penalised
strength: float = 1.0  # what the penalty is multiplied by
noise_rate: float = 0.2  # delta: share of the labels of each class that are wrong
mask: str = "given"  # one of given, true, predicted: the labels that say whose samples are penalised
orders: int = 3  # of the derivatives in the penalty, 1 to 4
seed: int = 0  # the first one
seeds: int = 1  # how many, from the first one on
device: str = "auto"  # one of auto, cpu, cuda: auto is CUDA where there is a card

# %%
from dataclasses import replace

from lib import experiments, records
from lib.beyond import presets
from lib.beyond.penalties import PAIRS

chapters.check_parameters("sweeps/single_penalty", globals())
plain = presets.selective(profile, "baseline", noise_rate, 0.0)
penalised = replace(presets.selective(profile, condition, noise_rate, strength), mask=mask, orders=orders)
both = {
    name: experiments.with_seeds(one, range(seed, seed + seeds))
    for name, one in (("baseline", plain), (condition, penalised))
}
runs = records.obtain_groups(both, keep=profile != "smoke", machine=experiments.Machine(device))


def last(name: str, column: str, pair: tuple[int, int] = PAIRS[0]):
    """A column after the last epoch at the boundary of two classes, one number a seed."""
    table = runs[name].table
    rows = table[(table["epoch"] == table["epoch"].max()) & (table["pair_a"] == pair[0])]
    return rows.sort_values("seed")[column].to_numpy(float)


def effect(column: str, pair: tuple[int, int] = PAIRS[0]):
    """Difference to the baseline of the same seed; NaN where one of the two has no such boundary."""
    return last(condition, column, pair) - last("baseline", column, pair)


# %% figure="fig-single-penalty" tags=["hide-input"]
fig, (axes,) = figures.panels(1, height=2.8)
for k, pair in enumerate(PAIRS):
    axes.plot([k] * seeds, effect("slope", pair), "o", color=figures.CLEAN.color)
figures.level(axes, 0, "no effect")
axes.set(ylabel="effect on the pair slope", xlim=(-0.5, len(PAIRS) - 0.5))
axes.set_xticks(range(len(PAIRS)), [f"{a} v {b}" for a, b in PAIRS])
show.figure(fig, *runs.values())

# %% [markdown]
# One row a seed. Slopes and accuracy are differences to the baseline; *share* is that of the penalty in the cross-entropy, and
# *points* those found at the boundary of the penalised network.

# %% nbval={"tol": [0.3, 0.3]}
show.result(
    "single-penalty",
    {"seed": range(seed, seed + seeds)}
    | {f"slope, {a} v {b}": effect("slope", (a, b)) for a, b in PAIRS}
    | {f"points, {a} v {b}": last(condition, "points", (a, b)) for a, b in PAIRS}
    | {"accuracy": effect("test_accuracy"), "share": last(condition, "share")},
)
