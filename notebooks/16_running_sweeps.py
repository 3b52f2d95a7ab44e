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
# # Running sweeps
#
# A figure often needs the same notebook many times: at other shares of wrong labels, other widths, other seeds. What
# does it take to run such a *sweep*, here or on a cluster, and what does it cost? In short: one YAML file and one
# command run it. The numbers do not depend on how many workers share the work. A sweep that is started again runs
# nothing twice. Each run costs about a second more than its own cells. This chapter shows it on a live sweep of
# [chapter 1](01_phenomenon_in_a_minute.ipynb).
#
# ```
# python -m lib sweep minute --plan    # say what would run, and why
# python -m lib sweep minute           # run it on all cores; give the command again to go on after an interruption
# ```

# %% tags=["hide-input"]
import sys; sys.path += [".", "..", "../.."]  # the book's folder: run this inside it  # fmt: skip
from lib.press import chapters, claims, figures, rule, show

# %% tags=["hide-input", "parameters"]
from typing import Optional

profile: str = "smoke"  # one of smoke: always live, in a minute or so
seeds: Optional[int] = None  # how many points the live sweep has, 3 to 10; None: 3

# %% tags=["hide-input"]
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from lib import experiments, paths, provenance, words

chapters.check_parameters("16_running_sweeps", globals())
count = chapters.default(seeds, 3)
if not 3 <= count <= 10:
    raise ValueError(f"seeds cannot be {count}: the live sweep has 3 to 10 points")
ledger = claims.Ledger("16_running_sweeps", profile, live=True)
stores = tempfile.TemporaryDirectory(prefix="sweep-")
folder = Path(stores.name)
rates = [round(0.45 - 0.04 * i, 2) for i in range(count)]
(folder / "live.yml").write_text(
    f"""\
notebook: 01_phenomenon_in_a_minute
parameters: {{profile: smoke, seeds: 1}}
grid:
  product:
    noise_rate: {rates}
collect: {{claims: [test-error-u, ratio-at-start]}}
""",
    encoding="utf-8",
)
told = (folder / "live.yml").read_text(encoding="utf-8")
said, status = {}, []  # what each command said, and its exit status


def terminal(name: str, *arguments: str) -> None:
    """Run ``python -m lib sweep`` as in a terminal, and keep what it says and its exit status."""
    command = [sys.executable, "-m", "lib", "sweep", str(folder / "live.yml"), *arguments]
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8"}
    done = subprocess.run(command, cwd=paths.ROOT, **both)
    typed = " ".join(["$ python -m lib sweep", *command[4:]])
    said[name] = f"{typed}\n{done.stdout}".replace(str(folder), "FOLDER")
    status.append(done.returncode)


def written(store: str) -> dict[float, tuple]:
    """For each point what its mark says, and when each of its files was written."""
    found = {}
    for path in (folder / store).glob("points/*/done.json"):
        mark = json.loads(path.read_text(encoding="utf-8"))
        found[mark["given"]["noise_rate"]] = (mark, [file.stat().st_mtime_ns for file in sorted(path.parent.iterdir())])
    return found


terminal("plan", "--plan", "--store", str(folder / "one"))
terminal("one worker", "--workers", "1", "--threads", "1", "--store", str(folder / "one"))
terminal("two workers", "--workers", "2", "--threads", "1", "--store", str(folder / "two"))
marks = {store: written(store) for store in ("one", "two")}
terminal("again", "--store", str(folder / "two"))
after = written("two")
assert status == [0] * 4, f"a sweep ended with an error: {status}"
tables = {store: pd.read_parquet(folder / store / "table.parquet") for store in ("one", "two")}
table = tables["two"]
stores.cleanup()

# %% [markdown]
# ## What a point costs
#
# The sweep runs chapter 1 at several shares of wrong labels (the *noise rate* δ), first on one worker process and then
# on two. A *point* of a sweep is one run of the notebook, and a *store* is the folder that keeps the points. Each of
# the two runs here has a store of its own. The table shows how long a point takes, and how much of that is not spent
# in the notebook's cells.

# %% tags=["hide-input", "nbval-ignore-output"]
rows = []
for store, workers in (("one", 1), ("two", 2)):
    seconds = np.array([mark["seconds"] for mark, _ in marks[store].values()])
    beyond = seconds - [mark["compute"] for mark, _ in marks[store].values()]
    perminute = f"{60 * workers / seconds.mean():.1f}"
    rows.append([str(workers), f"{seconds.mean():.1f} s", claims.spread(beyond) + " s", perminute])
processor = provenance.device_name(experiments.Machine("cpu").resolve(), 1)
show.markdown(f"Measured on {words.count(os.cpu_count(), 'core')}, each worker on {processor}:")
show.table(
    rows, ["workers", "a point, mean", "beyond its cells, mean [least, most]", "points a minute, all workers busy"]
)

# %% [markdown]
# Beyond the cells, a point starts a kernel, reads and writes a notebook, and computes checksums of its results. This
# takes about as long for every notebook: it matters for a point of seconds, and is negligible for a point of hours.

# %% figure="fig-sweep-costs" tags=["hide-input", "nbval-ignore-output"]
fig, places = figures.panels(2, height=1.9)
for axes, (store, title) in zip(places, {"one": "one worker", "two": "two workers"}.items(), strict=True):
    one = [mark for _, (mark, _) in sorted(marks[store].items())]
    at, cells = np.arange(len(one)), np.array([mark["compute"] for mark in one])
    beyond = np.array([mark["seconds"] for mark in one]) - cells
    axes.bar(at, cells, color=figures.CLEAN.color, label="cells")
    axes.bar(at, beyond, bottom=cells, color=figures.NOISY.color, hatch="//", label="beyond")
    axes.set(ylabel=f"{title}\nseconds", axisbelow=True)
    axes.set_xticks(at, [f"{mark['given']['noise_rate']:g}" for mark in one])
places[0].legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
places[-1].set_xlabel("noise rate δ of the point")
show.figure(fig, f"Measured when this chapter was run, each worker on {processor}")

# %% [markdown]
# A sweep also plans its points and collects their numbers. Both read and check every file of the store, which takes
# seconds for ten thousand points (`make bench` measures it).
#
# ## The same numbers on one worker and on two
#
# Every number is the same in both stores, although one was filled by one worker and the other by two. Each point had
# one thread in both. The figure shows two of the numbers that the sweep collected: the test error at the early stop,
# which is the epoch where it is least, and in the last epoch.

# %% figure="fig-sweep-live" tags=["hide-input"]
fig, (axes,) = figures.panels(1, height=2.8)
for quantity, style in (("early stop", figures.CLEAN), ("last", figures.NOISY)):
    rows = table[(table["source_name"] == "test-error-u") & (table["quantity"] == quantity)].sort_values("noise_rate")
    (line,) = axes.plot(rows["noise_rate"], rows["value"], "o", color=style.color, linestyle=style.line)
    line.set_gid(quantity)
axes.set(xlabel="noise rate δ", ylabel="test error", ylim=(0, None))
figures.label_ends(axes)
show.figure(fig, "Collected from the sweep of this chapter")

# %% nbval={"tol": [0.3, 0.3]} tags=["hide-input"]
keys = ["noise_rate", "source_name", "quantity", "row"]
values = {store: one.sort_values(keys).set_index(keys)["value"] for store, one in tables.items()}
apart = (values["one"] - values["two"]).abs().groupby("noise_rate").max().reindex(rates)
ledger.check(
    "sweep-same-numbers",
    says="A point gives the same numbers on one worker and on two.",
    source="this book, running sweeps",
    figure="fig-sweep-live",
    measured={"largest difference": apart.to_numpy()},
    parts={"same numbers": rule.always(apart.to_numpy(), 0, "difference of any number of any claim")},
    each="point",
)
ledger.check(
    "sweep-runs-once",
    says="Started again, a finished sweep runs no point a second time.",
    source="this book, running sweeps",
    figure="fig-sweep-live",
    measured={
        "written again": [marks["two"][rate] != after[rate] for rate in rates],
        "kernels": [after[rate][0]["attempts"] for rate in rates],
    },
    parts={
        "files": rule.always(
            [marks["two"][rate] != after[rate] for rate in rates], 0, "files of a point written again"
        ),
        "kernels": rule.always([after[rate][0]["attempts"] - 1 for rate in rates], 0, "kernels beyond one"),
    },
    each="point",
)

# %% [markdown]
# ## One notebook: papermill
#
# [papermill](https://papermill.readthedocs.io) runs a notebook with other values in its *parameters* cell:
#
# ```
# papermill notebooks/01_phenomenon_in_a_minute.ipynb out.ipynb -p profile smoke -p noise_rate 0.2
# ```
#
# For one run that is all you need. For hundreds of runs three things are missing. Papermill only warns of a misspelt
# name and never checks a type (the chapters check both themselves). A run that is killed leaves half a file. And
# nothing records which runs are done.
#
# ## Many: a sweep
#
# A sweep is a few lines of YAML: a notebook, the parameters that all points share, and a grid.
#
# - *The grid.* `product` combines every value with every other, `zip` takes lists side by side, `list` names points one
#   by one, and `seeds: 5` gives the parameter `seed` the values 0 to 4.
# - *The notebook.* Any that papermill runs will do. A notebook of your own is named by its path from the YAML's folder.
# - *The numbers.* The sweep collects the claims and tables of a chapter, every pandas table that a cell shows, and what
#   [scrapbook](https://nteract-scrapbook.readthedocs.io) glued. `collect` chooses among them.
#
# The sweeps of the book are in `notebooks/sweeps`. Beside them are notebooks that train a single condition, for grids
# of your own; `python -m lib parameters single_mix` lists the parameters of one. The sweep above is this file:

# %% tags=["hide-input"]
print(told)

# %% [markdown]
# `--plan` says what would run, and why, without running anything. It reads the notebook as text and checks every name
# and value against its parameters cell. A parameter without annotation has the type of its default. The plan names
# what it cannot check, such as an unknown type or a notebook in another language.

# %% tags=["hide-input", "nbval-ignore-output"]
print(said["plan"])

# %% [markdown]
# Without `--plan` the sweep runs. It prints the address where [Dask](https://distributed.dask.org), which distributes
# the points, shows what its workers do. It then names points as they end, at most one a second, with the time left,
# and every failure as it happens. (In a terminal, a display shows which worker has which point, and since when.) The
# exit status is 0 only if every point is done.

# %% tags=["hide-input", "nbval-ignore-output"]
print(said["one worker"])
print(said["two workers"])

# %% [markdown]
# Given again, the same command finds every point done and runs nothing. It would run only what is missing, what failed,
# and what a changed file or changed code has made stale. So a sweep can be killed at any moment, and two sweeps can
# share a store.
#
# This works because each point is a folder of the store, named by hashes of the notebook's name, its parameters and the
# code that it uses. The folder holds the executed notebook and its numbers. A mark with the checksums of both is
# written last, so a point without it is not done. `--clean` removes the points that no sweep of the store needs any
# more.

# %% tags=["hide-input", "nbval-ignore-output"]
print(said["again"])

# %% [markdown]
# ## Reading the table
#
# At the end a sweep collects one table with a row for each number. Beside the number stand the parameters of its point,
# whether the point is done, and what it cost (`point_seconds`, `cell_seconds`, `ran_on`). A point that failed is there
# too, with its error and traceback. In Python, `collect` of `lib.sweeps.table` makes the same table from any store.
# `--open` turns the table into one HTML page with filters and a chart of any number over any parameter, and opens it.

# %%
stop = table[(table["source_name"] == "test-error-u") & (table["quantity"] == "early stop")]
print(stop[["noise_rate", "state", "quantity", "value", "verdict"]].to_string(index=False))

# %% [markdown]
# ## A cluster
#
# By default Dask starts a worker for each core. On a machine with graphics cards it starts one for each card, and each
# worker sees its own card only; `--per-card 2` puts two points on each. The cores are divided among the workers, so
# that no core is used twice, and each result records its number of threads. A point whose worker or kernel dies is run
# again. A point whose cell raises an error is not, because it would raise again.
#
# When one machine is not enough, name the scheduler of any running Dask cluster:
#
# ```
# dask scheduler                                        # on one machine; it prints its address
# dask worker tcp://HOST:8786 --nthreads 1              # on each other one, once for each point at a time
# python -m lib sweep minute --scheduler tcp://HOST:8786
# ```
#
# What the workers need:
#
# - *The same paths.* This repository, its environment and the data folder with the store must lie on a file system that
#   all workers share and that has file locks (NFS 4 and Lustre have them).
# - *The same code.* Workers find `lib` in the environment of `make install`; in any other, set `PYTHONPATH` to the
#   book's folder. A worker whose code differs refuses to run anything.
# - *One worker for each card*: `CUDA_VISIBLE_DEVICES=0 dask worker ...` and so on.
# - *A network of your own.* Dask's processes trust each other; elsewhere, use its TLS settings.
#
# On a batch system the sweep can start the cluster itself, and end it: `python -m lib sweep NAME --cluster FILE`. The
# file names a class of Dask clusters and its arguments. Under SLURM, [dask-jobqueue](https://jobqueue.dask.org) submits
# the workers as jobs, and `adapt` lets their number follow the work. A job that is cancelled or reaches its time limit
# loses no finished point; the point that it was running is run by another worker:
#
# ```yaml
# class: dask_jobqueue.SLURMCluster
# arguments:
#   cores: 1                                    # a job is one worker
#   processes: 1
#   job_cpu: 8                                  # of eight cores
#   memory: 16GB
#   walltime: "04:00:00"
#   job_extra_directives: ["--gres=gpu:1"]      # and one card, which SLURM makes visible to it
# adapt: {maximum_jobs: 32}                     # or scale: 32
# threads: 8                                    # of each point
# ```
#
# Over SSH, Dask's own class starts a scheduler on the first host and a worker on each other one (it needs asyncssh):
#
# ```yaml
# class: distributed.SSHCluster
# arguments:
#   hosts: [node1, node1, node2, node3]
#   worker_options: {nthreads: 1}
# threads: 8
# ```
#
# On Kubernetes, use [dask-kubernetes](https://kubernetes.dask.org). It needs an image that holds this repository and
# its environment, and a volume that all pods can write to, mounted at the data folder. We ran no sweep on Kubernetes; a
# test only checks that the specification below says what is meant:
#
# ```python
# from dask_kubernetes.operator import KubeCluster, make_cluster_spec
#
# spec = make_cluster_spec(
#     name="sweep", image="REGISTRY/clean-priority-book", n_workers=16, env={"CLEAN_PRIORITY_DATA": "/data"},
#     resources={"limits": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}},
#     worker_command="dask worker --nthreads 1",
# )
# for pod in (spec["spec"]["worker"]["spec"], spec["spec"]["scheduler"]["spec"]):
#     pod["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "sweep-data"}}]
#     pod["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
# cluster = KubeCluster(custom_cluster_spec=spec)
# # then, in a pod: python -m lib sweep NAME --scheduler ADDRESS --threads 4
# ```
#
# The tests run one grid on local workers, over SSH and under SLURM, and get the same table from each. They cancel a
# job, let others run out of time, and kill workers, kernels, a scheduler and a whole sweep while they run.
#
# ## Try it yourself
#
# Copy the YAML above into a file and run it with `--store mine`. Then take `seeds` out of its `parameters` and vary it
# over 1 and 3 in the grid. How many of the points does `--plan --store mine` call done?
#
# <details><summary>Solution</summary>
#
# Half of them, those with one seed: their notebook, parameters and code are the same as before. It does not matter in
# which order parameters are written, or whether they are fixed or part of the grid.
#
# </details>
#
# ## What to take away
#
# - One YAML file and one command run any chapter over any grid, here or on a cluster. The sweep can be killed at any
#   moment; the same command goes on with it.
# - A point is identified by the notebook's name, its parameters and its code. It is done when its checksums are right.
# - A point costs about a second beyond its cells, so a sweep pays even for short notebooks.
# - The page [Sweeps](../book/sweeps.md) shows the sweeps that were run for this book.
