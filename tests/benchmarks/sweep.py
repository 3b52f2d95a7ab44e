"""What a sweep costs beyond the notebooks that it runs, and what 10,000 points cost to plan and collect."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import nbformat

from lib.paths import ROOT
from lib.sweeps.cluster import Cluster
from lib.sweeps.grid import load_sweep
from lib.sweeps.run import Summary, run_sweep
from lib.sweeps.store import PointStore

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python"}}
POINTS, SECONDS = 24, 4.0

# A point like a chapter's at smoke in what it costs a worker: torch is loaded, one thread computes for some seconds.
BODY = """\
import time
import torch
torch.set_num_threads(1)
end, a = time.process_time() + busy, torch.randn(300, 300)
while time.process_time() < end:
    a = (a @ a).clamp(-1, 1)
time.sleep(idle)
"""

MANY = """
import resource, sys, time
from pathlib import Path
from unittest.mock import patch
from lib.sweeps.grid import load_sweep
from lib.sweeps.run import plan_sweep
from lib.sweeps.store import PointStore
from lib.sweeps.table import collect
one, store = load_sweep(Path(sys.argv[1])), PointStore(Path(sys.argv[2]))
begun = time.perf_counter()
planned = plan_sweep(one, store)
middle = time.perf_counter()
table = collect(store, one)
seconds = time.perf_counter() - middle
lines = Path("/proc/self/status").read_text().splitlines()
peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20
print(len(planned), middle - begun, table["point"].combine_chunks().unique().__len__(), seconds, peak)
"""


def sweep_of(folder: Path, what: str) -> Path:
    """The path of a sweep of POINTS points that are "busy" or "idle" for SECONDS each."""
    notebook = nbformat.v4.new_notebook(metadata=KERNEL)
    parameters = (
        "busy: float = 0.0  # seconds of processor time\nidle: float = 0.0  # seconds of waiting\n"
        "seed: int = 0  # only to tell points apart"
    )
    notebook.cells = [
        nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(BODY),
    ]
    nbformat.write(notebook, folder / "point.ipynb")
    path = folder / f"{what}.yml"
    path.write_text(f"notebook: point.ipynb\nparameters: {{{what}: {SECONDS}}}\ngrid: {{seeds: {POINTS}}}\n")
    return path


def timed(path: Path, store: Path, workers: int) -> Summary:
    summary = run_sweep(load_sweep(path), PointStore(store), Cluster(workers=workers, threads=1), tell=lambda _: None)
    assert summary.done == POINTS, summary.lines()
    return summary


def sweep_benchmark() -> None:
    """Overhead of a point, two workers against one, and 10,000 simulated points."""
    from tests.benchmarks.__main__ import report
    from tests.sweeps.tiny import simulate

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for what, words in (("busy", "compute"), ("idle", "wait, so that no core is short")):
            path = sweep_of(folder, what)
            one, two = (timed(path, folder / f"{what}-{workers}", workers) for workers in (1, 2))
            for name, summary in (("one worker", one), ("two workers", two)):
                mean = sum(summary.overhead) / len(summary.overhead)
                report(
                    f"a point that is {what}, beyond its cells, {name}", mean, " s", "<= 1",
                    f"most {max(summary.overhead):.1f} s; {60 * POINTS / summary.seconds:.1f} points a minute",
                )  # fmt: skip
            report(
                f"two workers against one, points that {words}", two.seconds / one.seconds, " x", "<= 0.56",
                f"{two.seconds:.0f} s against {one.seconds:.0f} s; load {os.getloadavg()[0]:.1f}",
            )  # fmt: skip
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with patch("lib.files.os.fsync"):  # 30,000 of them take minutes, and are not what is measured
            store, _ = simulate(folder, 10_000)
        command = [sys.executable, "-c", MANY, str(folder / "tiny.yml"), str(store.folder)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        points, planning, collected, collecting, peak = map(float, done.stdout.split())
        report("planning 10,000 points", planning, " s", "<= 1", f"{points:.0f} points")
        report("collecting 10,000 points", collecting, " s", "<= 5", f"{collected:.0f} points")
        report("peak memory of both", peak, " GiB", "< 0.93", "all of the process, torch included")


if __name__ == "__main__":
    sweep_benchmark()
