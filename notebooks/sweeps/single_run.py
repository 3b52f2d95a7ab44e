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
# # One training on wrong labels
#
# One condition of the chapters on width, noise level and deviations, trained live in seconds: what a sweep runs again and
# again over a grid of your own (`notebooks/sweeps/width.yml` and others). It makes no claims; it shows its numbers as a
# table, `single-run`, which `python -m lib sweep` collects.

# %% tags=["hide-input"]
import sys; sys.path += [".", "..", "../.."]  # the book's folder: run this inside it  # fmt: skip
from lib.press import chapters, show

# %% tags=["parameters"]
from typing import Optional

profile: str = "smoke"  # one of smoke, cpu, paper: images, epochs and settings of the chapters; smoke needs no download
network: str = "fcn"  # one of fcn, cnn: two hidden layers on sevens and nines, or the CNN on ten classes
noise_rate: float = 0.4  # delta: share of the labels of each class that are wrong
width: int = 64  # neurons of each hidden layer of the fcn
lr: Optional[float] = None  # learning rate; None: the profile's
momentum: Optional[float] = None  # None: the profile's
batch_size: Optional[int] = None  # None: the profile's
seed: int = 0  # the first one
seeds: int = 1  # how many, from the first one on
device: str = "auto"  # one of auto, cpu, cuda: auto is CUDA where there is a card

# %%
from dataclasses import replace

from lib import experiments, records
from lib.paper import dynamics, presets

chapters.check_parameters("sweeps/single_run", globals())
one = presets.wide(profile, width, noise_rate) if network == "fcn" else presets.mnist(profile, noise_rate)
asked = {"lr": lr, "momentum": momentum, "batch_size": batch_size}
one = replace(one, train=replace(one.train, **{name: value for name, value in asked.items() if value is not None}))
runs = records.obtain(
    experiments.with_seeds(one, range(seed, seed + seeds)),
    keep=profile != "smoke",
    machine=experiments.Machine(device),
)

# %% figure="fig-single-run" tags=["hide-input"]
show.figure(dynamics.conditions({f"δ = {noise_rate:g}": runs}, [noise_rate]), runs)

# %% [markdown]
# One row a seed. *Early stop* is the epoch of least test error; *noisy peak* the largest error on the mislabelled images up
# to it; *ratio* that of clean to noisy gradient length.

# %% nbval={"tol": [0.2, 0.3]}
show.result(
    "single-run",
    {
        "seed": runs.seeds,
        "early stop": runs.early_stops,
        "test error, early stop": runs.at_early_stop("test_error"),
        "test error, last epoch": runs.wide("test_error").iloc[-1],
        "noisy peak": runs.each(dynamics.noisy_peak),
        "ratio, start": runs.wide("ratio").iloc[0],
        "ratio, early stop": runs.at_early_stop("ratio"),
    },
)
