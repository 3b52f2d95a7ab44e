"""Sweeps whose kernels, workers, scheduler or own process are killed in mid-run; each on processes of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from lib.paths import ROOT
from lib.sweeps.run import plan_sweep
from lib.sweeps.store import PointStore
from tests.sweeps import campaign
from tests.sweeps.tiny import SLOW, truth, values, wait_for

BIN = Path(sys.executable).parent


SLOW_GIVEN = [(x, n) for x in (1.0, 2.0, 3.0) for n in (0, 3)]


def running(tiny) -> list[tuple[int, int]]:
    """Kernels in mid-point, and their workers."""
    ended = {line[3] for line in tiny.events("end")}
    return [(int(line[3]), int(line[4])) for line in tiny.events("start") if line[3] not in ended]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def check_whole(tiny, again):
    """The table of a disturbed sweep after its rerun: every point once, the numbers those of the formulas."""
    assert again.returncode == 0, again.stdout + again.stderr
    table = tiny.table()
    assert set(table["state"]) == {"done"}
    assert len(table.drop_duplicates(["x", "n"])) == len(table.drop_duplicates("point")) == len(SLOW_GIVEN)
    assert values(table) == truth(SLOW_GIVEN)


@pytest.mark.slow
def test_a_killed_kernel_is_started_again(tiny):
    tiny.yaml(SLOW)
    with tiny.start("--workers", "2", "--threads", "1") as process:
        wait_for(lambda: tiny.events("end") and running(tiny), "a point in mid-run")
        os.kill(running(tiny)[0][0], signal.SIGKILL)
        shown, errors = process.communicate()
    assert process.returncode == 0, shown + errors
    assert "6 points: 6 done (0 before, 6 now), 0 failed" in shown
    assert tiny.table().drop_duplicates("point")["attempts"].value_counts().to_dict() == {1: 5, 2: 1}
    ends = len(tiny.events("end"))
    again = tiny.go()
    check_whole(tiny, again)
    assert "(6 before, 0 now)" in again.stdout
    assert len(tiny.events("end")) == ends == 6


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(tiny):
    tiny.yaml(SLOW)
    with tiny.start("--workers", "2", "--threads", "1") as process:
        wait_for(lambda: tiny.events("end") and running(tiny), "a point in mid-run")
        kernel, worker = running(tiny)[0]
        os.kill(worker, signal.SIGKILL)
        shown, errors = process.communicate()
    assert process.returncode == 0, shown + errors
    assert "6 points: 6 done (0 before, 6 now), 0 failed" in shown
    wait_for(lambda: not alive(kernel), "the kernel of the dead worker to end", 30)
    again = tiny.go()
    check_whole(tiny, again)
    assert "(6 before, 0 now)" in again.stdout


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was(tiny):
    tiny.yaml(SLOW)
    with tiny.start("--workers", "2", "--threads", "1") as process:
        wait_for(lambda: len(tiny.events("end")) >= 2 and running(tiny), "a point in mid-run")
        left = running(tiny)
        process.kill()
        process.wait()
    wait_for(lambda: not any(alive(one) for pair in left for one in pair), "workers and kernels to end", 30)
    done = [point for point in plan_sweep(tiny.sweep(SLOW), tiny.store) if point.state == "done"]
    assert 1 <= len(done) < 6
    again = tiny.go("--workers", "2", "--threads", "1")
    check_whole(tiny, again)
    assert f"({len(done)} before, {6 - len(done)} now)" in again.stdout


@pytest.mark.slow
def test_a_point_that_kills_its_workers_fails_and_the_others_are_done(tiny):
    """Not the points that waited for the worker that died."""
    tiny.write("import signal\nif n == 3: time.sleep(3); os.kill(os.getppid(), signal.SIGKILL); time.sleep(600)\n")
    tiny.yaml("grid: {product: {n: [3, 0, 1, 2]}, list: [{x: 1.0}]}\ncollect: {tables: [machine]}\n")
    done = tiny.go("--workers", "1", "--threads", "1")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "4 points: 3 done (0 before, 3 now), 1 failed" in done.stdout
    table = tiny.table()
    assert values(table) == truth([(1.0, 0), (1.0, 1), (1.0, 2)])
    (error,) = table.loc[table["n"] == 3, "error"]
    assert error.startswith("KilledWorker: every worker that ran this point died")


@pytest.mark.slow
def test_an_interrupt_is_a_sentence_and_no_failure_of_a_point(tiny):
    tiny.yaml(SLOW)
    # A test run in the background may have been told to ignore interrupts, and would pass that on.
    heed = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", heed, *tiny.command("--workers", "2", "--threads", "1")]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, encoding="utf-8", start_new_session=True
    ) as process:
        wait_for(lambda: tiny.events("end") and running(tiny), "a point in mid-run")
        left = running(tiny)
        os.killpg(process.pid, signal.SIGINT)  # what a terminal does
        _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "The same command goes on" in errors
    assert "Traceback" not in errors
    wait_for(lambda: not any(alive(one) for pair in left for one in pair), "workers and kernels to end", 30)
    assert {point.state for point in plan_sweep(tiny.sweep(SLOW), tiny.store)} == {"done", "missing"}
    check_whole(tiny, tiny.go())


@contextmanager
def dask_processes(folder: Path):
    """A scheduler and two workers as one would start them by hand: the address and the scheduler's process."""
    file, processes = folder / f"scheduler-{time.monotonic_ns()}.json", []
    quiet = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [BIN / "dask", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    try:
        processes.append(subprocess.Popen([*command, "--scheduler-file", file], **quiet))
        wait_for(file.exists, "the scheduler")
        address = json.loads(file.read_text(encoding="utf-8"))["address"]
        worker = [BIN / "dask", "worker", address, "--nthreads", "1", "--no-dashboard", "--memory-limit", "0"]
        processes += [subprocess.Popen([*worker, "--local-directory", folder], **quiet) for _ in range(2)]
        yield address, processes[0]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


@pytest.mark.slow
def test_a_real_scheduler_gives_the_same_as_local_and_its_death_loses_nothing(tiny, tmp_path):
    tiny.yaml(SLOW)
    with dask_processes(tmp_path) as (address, scheduler), tiny.start("--scheduler", address) as process:
        wait_for(lambda: len(tiny.events("end")) >= 2 and running(tiny), "a point in mid-run")
        scheduler.kill()
        shown, errors = process.communicate(timeout=120)
        assert process.returncode == 1, shown + errors
        assert "the scheduler went away" in errors
    done = [point for point in plan_sweep(tiny.sweep(SLOW), tiny.store) if point.state == "done"]
    assert 1 <= len(done) < 6
    with dask_processes(tmp_path) as (address, _):
        again = tiny.go("--scheduler", address)
        assert f"workers of {address}: " in again.stdout
    check_whole(tiny, again)
    workers = {line[4] for line in tiny.events("end")}
    assert str(os.getpid()) not in workers
    remote = values(tiny.table())
    tiny.store = PointStore(tmp_path / "local")
    local = tiny.go("--workers", "2", "--threads", "1")
    check_whole(tiny, local)
    assert values(tiny.table()) == remote


@pytest.mark.slow
def test_two_sweeps_on_one_store_run_each_point_once(tiny):
    tiny.yaml(SLOW)
    with tiny.start("--workers", "1", "--threads", "1") as one, tiny.start("--workers", "1", "--threads", "1") as other:
        shown = [process.communicate()[0] for process in (one, other)]
    assert [one.returncode, other.returncode] == [0, 0], shown
    assert sorted((float(line[0]), int(line[1])) for line in tiny.events("start")) == SLOW_GIVEN
    now = [int(re.search(r"(\d+) now", text)[1]) for text in shown]
    assert sum(now) == 6
    assert min(now) > 0  # they shared the work
    check_whole(tiny, tiny.go())


@pytest.mark.slow
def test_a_few_kills_at_random_moments_lose_nothing():
    """The long form: `python -m tests.sweeps.campaign --kills 200`."""
    found = campaign.run(kills=4, seed=1, say=lambda _: None)
    assert sum(found.kills.values()) >= 4
    assert found.lost == found.doubled == found.unequal == []
