"""Sweeps on real clusters: jobs of SLURM that are cancelled or run out of time, workers over SSH; one table of all."""

import subprocess

import pytest

from lib.paths import ROOT
from lib.sweeps.store import PointStore
from tests.sweeps.clusters import program, slurm, slurm_yaml, ssh
from tests.sweeps.tiny import GIVEN, SQUARES, truth, values, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("clusters")]
LONG = "parameters: {pause: 15.0}\ngrid: {product: {x: [1.0, 2.0, 3.0, 4.0, 5.0], n: [0, 3]}}\n"
LONG_GIVEN = [(x, n) for x in (1.0, 2.0, 3.0, 4.0, 5.0) for n in (0, 3)]


def swept(tiny, env, *arguments):
    command = tiny.command(*arguments)
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, encoding="utf-8", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return values(tiny.table()), done.stdout


def test_a_grid_is_the_same_table_on_this_machine_over_ssh_and_under_slurm(tiny, tmp_path):
    pytest.importorskip("dask_jobqueue")
    tiny.yaml(SQUARES)
    found = {}
    with slurm(tmp_path / "slurm") as env, ssh(tmp_path / "ssh") as over_ssh:
        for name, where in (
            ("local", ["--workers", "2", "--threads", "1"]),
            ("ssh", ["--cluster", str(over_ssh)]),
            ("slurm", ["--cluster", str(slurm_yaml(tmp_path))]),
        ):
            tiny.store = PointStore(tmp_path / f"store-{name}")
            found[name], shown = swept(tiny, env, *where)
            assert "4 points: 4 done (0 before, 4 now), 0 failed" in shown
    assert found["local"] == truth(GIVEN)
    assert found["ssh"] == found["slurm"] == found["local"]


def test_a_cancelled_job_and_one_out_of_time_lose_nothing_and_double_nothing(tiny, tmp_path):
    pytest.importorskip("dask_jobqueue")
    tiny.yaml(LONG)
    with slurm(tmp_path / "slurm") as env:
        file = slurm_yaml(tmp_path, walltime="00:01:00")
        command = tiny.command("--cluster", str(file))
        with subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
        ) as process:
            try:
                wait_for(lambda: len(tiny.events("start")) >= 2, "two points in mid-run", 300)
                jobs = subprocess.run(
                    [program("squeue"), "-h", "-t", "R", "-o", "%A"], env=env, capture_output=True, text=True
                )
                subprocess.run([program("scancel"), jobs.stdout.split()[0]], env=env, check=True)
                shown, errors = process.communicate(timeout=1500)
            except BaseException:
                process.kill()
                raise
        log = (tmp_path / "slurm" / "slurmctld.log").read_text(encoding="utf-8", errors="replace")
    assert process.returncode == 0, shown + errors
    assert "10 points: 10 done (0 before, 10 now), 0 failed" in shown
    assert "REQUEST_KILL_JOB" in log
    assert "Time limit exhausted" in log
    table = tiny.table()
    assert set(table["state"]) == {"done"}
    assert len(table.drop_duplicates("point")) == 10
    got = {key: value for key, value in values(table).items() if key[2] == "squares"}
    assert got == {key: value for key, value in truth(LONG_GIVEN).items() if key[2] == "squares"}
    ends = [tuple(line[:2]) for line in tiny.events("end")]
    assert len(set(ends)) == len(ends) == 10  # no point's cells came to their end twice
    assert len(tiny.events("start")) > 10  # and some had to be begun again
