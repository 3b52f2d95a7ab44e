"""Where points run: this machine's cores and cards, and clusters of others."""

import os
import re
import socket
import subprocess
import threading
import time
from typing import ClassVar

import pytest

from lib.paths import ROOT
from lib.sweeps import cluster
from lib.sweeps.cluster import Cluster, ClusterLost
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


def documented(word: str) -> str:
    """The code block of the chapter that has this word."""
    text = re.sub(r"(?m)^# ?", "", (ROOT / "notebooks" / "16_running_sweeps.py").read_text(encoding="utf-8"))
    (found,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if word in block]
    return found


def test_the_documented_slurm_cluster_asks_for_what_it_says():
    jobqueue = pytest.importorskip("dask_jobqueue")
    code = documented("SLURMCluster").replace(
        '{"port": 8786}', '{"port": 0, "host": "127.0.0.1", "dashboard_address": ":0"}'
    )
    asked = []

    class Cluster(jobqueue.SLURMCluster):
        def adapt(self, **how):  # sbatch is not here
            asked.append(how)

    jobqueue_names = {"SLURMCluster": Cluster}
    exec(code.replace("from dask_jobqueue import SLURMCluster", ""), jobqueue_names)
    with jobqueue_names["cluster"] as made:
        script = made.job_script()
    for line in ("#SBATCH --cpus-per-task=8", "#SBATCH -t 04:00:00", "#SBATCH --gres=gpu:1", "--nthreads 1"):
        assert line in script
    assert asked == [{"maximum_jobs": 32}]


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
