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
# # One mix of two gradients
#
# One condition of the chapters on two gradients and on finite size, trained live in seconds: a share λ of the clean
# gradient, the K steps for which it is kept, a noise rate, a width, a seed. What a sweep runs again and again over a grid of
# your own (`notebooks/sweeps/two_gradients.yml` and `finite_size.yml`). It makes no claims; it shows its numbers as a table,
# `single-mix`, which `python -m lib sweep` collects.

# %% tags=["hide-input"]
import sys; sys.path += [".", "..", "../.."]  # the book's folder: run this inside it  # fmt: skip
from lib.press import chapters, figures, show

# %% tags=["parameters"]
from typing import Optional

profile: str = "smoke"  # one of smoke, cpu, paper: images, network and epochs of the chapters; smoke needs no download
mix: float = 0.35  # lambda: share of the clean gradient, 0 to 1
refresh: int = 16  # K: steps for which a clean gradient is kept
noise_rate: float = 0.8  # delta: share of the labels of each class that are wrong
width: Optional[int] = None  # neurons of each hidden layer, or channels of the ResNet at paper; None: the profile's
seed: int = 0  # the first one
seeds: int = 1  # how many, from the first one on
device: str = "auto"  # one of auto, cpu, cuda: auto is CUDA where there is a card

# %%
from dataclasses import replace

from lib import experiments, records
from lib.beyond import presets
from lib.press import readings

chapters.check_parameters("sweeps/single_mix", globals())
one = presets.two_gradients(profile, noise_rate, refresh)
if width is not None:
    one = replace(one, model=replace(one.model, widths=(width,) * len(one.model.widths)))
one = replace(one, mixes=(mix,), seed=seed, seeds=seeds)
runs = records.obtain([one], keep=profile != "smoke", machine=experiments.Machine(device))
scan = readings.Scan(runs)

# %% figure="fig-single-mix" tags=["hide-input"]
fig, places = figures.panels(2)
for axes, column, label in zip(places, ("test_error", "dead"), ("test error", "dead units"), strict=True):
    figures.curve(axes, scan.table.pivot(index="epoch", columns="seed", values=column), figures.NOISY, f"λ = {mix:g}")
    axes.set(ylabel=label, ylim=(0, 1.02))
    figures.label_ends(axes)
figures.level(places[0], readings.COLLAPSED_FROM, "collapsed above")
places[-1].set_xlabel("epoch")
show.figure(fig, runs)

# %% [markdown]
# One row a seed, after the last epoch; *cosine* of noisy and clean gradient and length of a *step* are means of the first.

# %% nbval={"tol": [0.2, 0.3]}
show.result(
    "single-mix",
    {
        "seed": range(seed, seed + seeds),
        "test error": scan.at("test_error", mix),
        "collapsed": scan.at("test_error", mix) >= readings.COLLAPSED_FROM,
        "dead units": scan.at("dead", mix),
        "spread of logits": scan.at("spread", mix),
        "cosine": scan.at("cosine", mix, epoch=1),
        "step": scan.at("step", mix, epoch=1),
        "staleness": [one.dual.staleness] * seeds,
    },
)
