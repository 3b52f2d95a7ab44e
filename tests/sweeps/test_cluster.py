"""Where points run: this machine's cores and cards, and clusters of others."""

import inspect
import os
import re
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import ClassVar

import distributed
import pytest
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError

from lib.__main__ import main
from lib.paths import ROOT
from lib.sweeps import cluster
from lib.sweeps.cluster import Cluster, ClusterLost, local_cluster
from lib.sweeps.grid import SweepError
from lib.sweeps.named import NamedCluster, load_cluster
from lib.sweeps.run import run_sweep
from tests.sweeps.tiny import SLOW, SQUARES


def test_cores_are_shared_out_and_not_oversubscribed(monkeypatch):
    monkeypatch.setattr("dask.system.CPU_COUNT", 8)
    monkeypatch.setattr(cluster, "cards", list)
    assert Cluster().shared(100) == (1, [None] * 8)
    assert Cluster().shared(2) == (4, [None] * 2)
    assert Cluster(workers=3).shared(100) == (2, [None] * 3)
    assert Cluster(workers=3, threads=5).shared(100) == (5, [None] * 3)


def test_every_card_gets_as_many_points_as_asked(monkeypatch):
    monkeypatch.setattr("dask.system.CPU_COUNT", 8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    assert Cluster().shared(100) == (4, ["0", "3"])
    assert Cluster(per_card=2).shared(100) == (2, ["0", "3", "0", "3"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert Cluster(workers=1).shared(100) == (8, [None])


def test_an_unreachable_scheduler_says_what_to_check(tiny):
    tiny.yaml(SQUARES)
    with pytest.raises(ClusterLost, match=r"no Dask scheduler answers at tcp://127.0.0.1:1 within 1 s .*Check that"):
        run_sweep(tiny.sweep(SQUARES), tiny.store, Cluster("tcp://127.0.0.1:1", timeout=1.0), tell=str)
    assert Cluster("tcp://127.0.0.1:1").timeout <= 15


def test_what_is_no_scheduler_is_no_scheduler(tiny):
    """A web server, as Dask's own dashboard is one: its answer, read as Dask's, asks for exabytes of memory."""
    page = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            with server.accept()[0] as caller:
                caller.sendall(page)
                caller.recv(1000)

        threading.Thread(target=answer, daemon=True).start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        begun = time.monotonic()
        with pytest.raises(ClusterLost, match=r"no Dask scheduler answers .*8787 is its dashboard"):
            run_sweep(tiny.sweep(SQUARES), tiny.store, Cluster(address, timeout=5.0), tell=str)
        assert time.monotonic() - begun < 15


@pytest.mark.slow
def test_each_worker_sees_its_own_card(tiny):
    tiny.write(
        'display({"text/plain": ""}, raw=True, metadata={"clean-priority-result": '
        '{"name": "card", "columns": [["card", [float(os.environ["CUDA_VISIBLE_DEVICES"])]]]}})\n'
    )
    tiny.yaml(SLOW.replace("machine", "card"))
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "2,5"}
    done = subprocess.run(tiny.command(), cwd=ROOT, capture_output=True, text=True, encoding="utf-8", env=env)
    assert done.returncode == 0, done.stderr
    assert "workers on this machine: 2; threads of each: 1; cards: 2, 5" in done.stdout
    table = tiny.table()
    assert set(table.loc[table["source_name"] == "card", "value"]) == {2.0, 5.0}
    assert table["ran_on"].str.match("card [25]|NVIDIA").all()


def documented(word: str, language: str = "python") -> str:
    """The code block of the chapter that has this word."""
    text = re.sub(r"(?m)^# ?", "", (ROOT / "notebooks" / "16_running_sweeps.py").read_text(encoding="utf-8"))
    (found,) = [block for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL) if word in block]
    return found


@pytest.fixture
def load(tmp_path):
    """A cluster file of this text, read."""

    def loaded(text: str) -> NamedCluster:
        (tmp_path / "cluster.yml").write_text(text, encoding="utf-8")
        return load_cluster(tmp_path / "cluster.yml")

    return loaded


def test_the_documented_slurm_cluster_asks_for_what_it_says(load, monkeypatch):
    jobqueue = pytest.importorskip("dask_jobqueue")
    asked = []

    class Quiet(jobqueue.SLURMCluster):
        def adapt(self, **how):  # sbatch is not here
            asked.append(how)

    monkeypatch.setattr(jobqueue, "SLURMCluster", Quiet)
    named = load(documented("SLURMCluster", "yaml"))
    assert named.threads == 8
    options = {"port": 0, "host": "127.0.0.1", "dashboard_address": ":0"}
    with replace(named, arguments={**named.arguments, "scheduler_options": options}).started() as made:
        script = made.job_script()
    for line in ("#SBATCH --cpus-per-task=8", "#SBATCH -t 04:00:00", "#SBATCH --gres=gpu:1", "--nthreads 1"):
        assert line in script
    assert asked == [{"maximum_jobs": 32}]


def test_the_documented_ssh_cluster_is_one_that_dask_takes(load):
    named = load(documented("SSHCluster", "yaml"))
    assert named.name == "distributed.SSHCluster"
    inspect.signature(distributed.SSHCluster).bind(**named.arguments)
    assert named.arguments["hosts"] == ["node1", "node1", "node2", "node3"]


def test_a_file_names_any_cluster_and_it_is_ended_with_the_sweep(tiny, load, monkeypatch):
    made = []

    def start(workers):
        made.append(local_cluster(1, [None] * workers))
        return made[-1]

    monkeypatch.setattr(distributed, "OwnCluster", start, raising=False)
    named = load("class: distributed.OwnCluster\narguments: {workers: 2}\nthreads: 3\n")
    said = []
    summary = run_sweep(tiny.sweep(SQUARES), tiny.store, Cluster(named=named), tell=said.append)
    assert (summary.done, summary.failed) == (4, {})
    assert said[0].startswith("cluster: distributed.OwnCluster at tcp://127.0.0.1:")
    assert said[0].endswith("threads of each point: 3")
    assert made[0].status.name == "closed"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes: a.B", "unknown 'classes' in the file; allowed: class, arguments, adapt, scale, threads"),
        ("arguments: {}", "the file lacks class"),
        ("class: __import__('os').system", "class must be the dotted name"),
        ("class: Cluster", "class must be the dotted name"),
        ("class: 3", "class must be the dotted name"),
        ("class: a.B\nadapt: {}\nscale: 2", "adapt or scale, not both"),
        ("class: a.B\nscale: 0", "scale must be 1 or more, not 0"),
        ("class: a.B\nthreads: many", "threads must be 1 or more, not 'many'"),
        ("class: a.B\narguments: [1]", "arguments must be lines of"),
        ("[", "it is no YAML"),
    ],
)
def test_a_cluster_file_that_makes_no_sense_is_named(load, text, message):
    with pytest.raises(SweepError, match=rf"cluster.yml: .*{message}"):
        load(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class: nosuch_package.Cluster", "needs a package that is not here: No module named 'nosuch_package'"),
        ("class: distributed.NoSuch", "distributed has no NoSuch"),
        (
            "class: distributed.LocalCluster\narguments: {workers: 2, hots: [1], dashboard_address: ':0'}",
            "did not start: ",
        ),
    ],
)
def test_a_cluster_that_cannot_be_started_is_a_sentence(tiny, load, text, message):
    with pytest.raises(RuntimeError, match=message):
        run_sweep(tiny.sweep(SQUARES), tiny.store, Cluster(named=load(text)), tell=str)


def test_a_plan_imports_no_cluster(tiny, tmp_path, capsys):
    (tmp_path / "cluster.yml").write_text("class: nosuch_package.Cluster\n", encoding="utf-8")
    where = ["--cluster", str(tmp_path / "cluster.yml"), "--store", str(tiny.store.folder)]
    assert main(["sweep", str(tiny.yaml(SQUARES)), "--plan", *where]) == 0
    assert "4 would run" in capsys.readouterr().out
    for other in (["--workers", "2"], ["--scheduler", "tcp://127.0.0.1:1"]):
        assert main(["sweep", str(tiny.yaml(SQUARES)), *where, *other]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("guard", ["", 'if __name__ == "__main__": '])
def test_a_script_without_a_guard_ends_in_a_sentence(tiny, guard):
    """Each worker imports the script anew."""
    tiny.yaml("grid: {product: {x: [1.0]}}\n")
    script = tiny.folder / "own script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from lib.sweeps.cluster import Cluster\nfrom lib.sweeps.grid import load_sweep\n"
        "from lib.sweeps.run import run_sweep\nfrom lib.sweeps.store import PointStore\n"
        "one = load_sweep(Path(__file__).with_name('tiny.yml'))\n"
        f"{guard}print(run_sweep(one, PointStore(Path(__file__).with_name('store')), Cluster(workers=1)).done)\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    if guard:
        assert done.stdout.splitlines()[-1] == "1", done.stderr
    else:
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) < 25
        assert 'put what starts the sweep there under `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]


def test_the_documented_kubernetes_cluster_mounts_the_data():
    pytest.importorskip("dask_kubernetes.operator")
    code = documented("KubeCluster")
    names: dict = {}
    exec(code[: code.index("cluster = KubeCluster")], names)
    worker = names["spec"]["spec"]["worker"]["spec"]
    assert names["spec"]["spec"]["worker"]["replicas"] == 16
    (container,) = worker["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["volumeMounts"] == [{"name": "data", "mountPath": "/data"}]
    assert {"name": "CLEAN_PRIORITY_DATA", "value": "/data"} in container["env"]
    assert container["args"][:4] == ["dask", "worker", "--nthreads", "1"]


def test_a_cluster_of_ones_own_that_lost_its_workers_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 0.1)

    class Nothing:
        workers: ClassVar[dict] = {}

        def is_empty(self):
            return False

        def has_ready(self):
            return False

        def scheduler_info(self, n_workers):
            return {"workers": self.workers}

    with pytest.raises(ClusterLost, match="no worker is left on this machine"):
        next(cluster._watched(Nothing(), Nothing(), local=True))


@pytest.mark.parametrize(
    "error",
    [
        CommClosedError("in <TCP (closed) ConnectionPool.gather>: ConnectionResetError"),
        FutureCancelledError("point-1", "scheduler-connection-lost"),
        ConnectionRefusedError(111, "Connection refused"),
    ],
)
def test_a_scheduler_that_is_gone_before_it_tells_a_result_is_a_sentence(error):
    """A point can be finished, and its scheduler die before the result is fetched."""

    def gone():
        raise error

    with pytest.raises(ClusterLost, match=r"the scheduler went away\. Every finished point is stored"):
        cluster.said(gone)


def test_what_a_result_says_and_other_faults_pass_unchanged():
    assert cluster.said(lambda: "done") == "done"
    with pytest.raises(ZeroDivisionError):
        cluster.said(lambda: 1 / 0)
