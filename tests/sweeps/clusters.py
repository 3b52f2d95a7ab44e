"""Real clusters on this machine, for slow tests: SLURM from Debian's packages, and a server of SSH.

Each keeps its key, socket, state and logs in a folder of its own; nothing
under /etc is read or written.
"""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

from lib.paths import ROOT
from tests.sweeps.tiny import wait_for

SBIN = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def program(name: str) -> str:
    return shutil.which(name, path=SBIN) or pytest.skip(f"needs {name}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextmanager
def daemon(*command: str, log: Path, env: dict | None = None) -> Iterator[subprocess.Popen]:
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=env, cwd=log.parent)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def python_path() -> str:
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """A SLURM of one node and two cores; the environment in which its commands find it."""
    programs = {name: program(name) for name in ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "sinfo")}
    folder.mkdir()
    folder.chmod(0o755)
    key, munge, host, user = folder / "munge.key", folder / "munge.socket", socket.gethostname(), getpass.getuser()
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    conf = folder / "slurm.conf"
    conf.write_text(
        textwrap.dedent(f"""\
        ClusterName=test
        SlurmctldHost={host}(127.0.0.1)
        SlurmctldPort={free_port()}
        SlurmdPort={free_port()}
        SlurmUser={user}
        SlurmdUser={user}
        AuthType=auth/munge
        AuthInfo=socket={munge}
        CredType=cred/munge
        MpiDefault=none
        ProctrackType=proctrack/linuxproc
        TaskPlugin=task/none
        ReturnToService=2
        KillWait=3
        SlurmctldPidFile={folder}/slurmctld.pid
        SlurmdPidFile={folder}/slurmd.pid
        StateSaveLocation={folder}/state
        SlurmdSpoolDir={folder}/spool
        SlurmctldLogFile={folder}/slurmctld.log
        SlurmdLogFile={folder}/slurmd.log
        SelectType=select/cons_tres
        SelectTypeParameters=CR_Core
        JobAcctGatherType=jobacct_gather/none
        AccountingStorageType=accounting_storage/none
        NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000 State=UNKNOWN
        PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
        """),
        encoding="utf-8",
    )
    env = os.environ | {"SLURM_CONF": str(conf), "PATH": SBIN, "PYTHONPATH": python_path()}
    guard = [programs["munged"], "--foreground", "--force", f"--key-file={key}", f"--socket={munge}"]
    guard += [f"--{name}={folder}/munged.{name.partition('-')[0]}" for name in ("pid-file", "log-file", "seed-file")]
    with ExitStack() as running:
        running.enter_context(daemon(*guard, log=folder / "munged.out"))
        wait_for(munge.exists, "munged", 60)
        for name in ("slurmctld", "slurmd"):
            running.enter_context(daemon(programs[name], "-D", "-f", str(conf), log=folder / f"{name}.out", env=env))

        def idle() -> bool:
            shown = subprocess.run([programs["sinfo"], "-h", "-o", "%T"], capture_output=True, text=True, env=env)
            return shown.stdout.strip() == "idle"

        wait_for(idle, "SLURM's node", 120)
        yield env
        subprocess.run([programs["scancel"], f"--user={user}"], env=env)


def slurm_yaml(folder: Path, walltime: str = "00:20:00") -> Path:
    """The file of a cluster of two jobs there, as a user would write it."""
    arguments = {
        "cores": 1, "processes": 1, "job_cpu": 1, "memory": "400MB", "walltime": walltime,
        "log_directory": str(folder), "local_directory": str(folder),
        "scheduler_options": {"host": "127.0.0.1", "dashboard_address": ":0"},
        "worker_extra_args": ["--memory-limit", "0"],
    }  # fmt: skip
    told = {"class": "dask_jobqueue.SLURMCluster", "arguments": arguments, "adapt": {"maximum_jobs": 2}}
    path = folder / "slurm.yml"
    path.write_text(yaml.safe_dump(told), encoding="utf-8")
    return path


@contextmanager
def ssh(folder: Path) -> Iterator[Path]:
    """A server of SSH on this machine, and the file of a cluster of two workers that it starts."""
    server, keygen = program("sshd"), program("ssh-keygen")
    pytest.importorskip("asyncssh")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where a server that root starts locks its helpers in
    folder.mkdir()
    for name in ("host", "user"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    port = free_port()
    (folder / "sshd_config").write_text(
        textwrap.dedent(f"""\
        Port {port}
        ListenAddress 127.0.0.1
        HostKey {folder}/host
        AuthorizedKeysFile {folder}/user.pub
        PidFile {folder}/sshd.pid
        UsePAM no
        StrictModes no
        PasswordAuthentication no
        PermitRootLogin prohibit-password
        SetEnv PYTHONPATH="{python_path()}" OMP_NUM_THREADS=1
        """),
        encoding="utf-8",
    )
    connect = {"port": port, "known_hosts": None, "client_keys": [str(folder / "user")], "username": getpass.getuser()}
    told = {
        "class": "distributed.SSHCluster",
        "arguments": {
            "hosts": ["127.0.0.1"] * 3,
            "connect_options": connect,
            "worker_options": {"nthreads": 1, "memory_limit": "0"},
            "scheduler_options": {"port": 0, "dashboard_address": ":0"},
            "remote_python": sys.executable,
        },
    }
    path = folder / "ssh.yml"
    path.write_text(yaml.safe_dump(told), encoding="utf-8")
    with daemon(server, "-D", "-e", "-f", str(folder / "sshd_config"), log=folder / "sshd.log"):

        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_for(answers, "sshd", 30)
        yield path
