"""Where the points of a sweep run: a Dask cluster on this machine, or any whose scheduler has an address."""

import asyncio
import logging
import multiprocessing
import os
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from ..hardware import cards
from .named import NamedCluster
from .point import THREADS, PointOutcome, PointTask, mark_failed, run_point
from .store import PointStore, StoreFailed

PRELOAD = (f"{__package__}.point", "nbclient", "papermill.parameterize")  # seconds that no point then waits for
PATIENCE = 60.0  # seconds that a cluster on this machine may be without any worker
LOOK_PAUSE = 1.0  # seconds between two looks at what runs where
BUSY_PAUSE = 2.0  # seconds between two looks at points that another sweep is running
GONE = "the scheduler went away. Every finished point is stored; the same command goes on from there"


class ClusterLost(RuntimeError):
    """There is no scheduler to reach, or it went away; every finished point is stored."""


@dataclass(frozen=True)
class Cluster:
    """Where points run.

    ``scheduler`` is the address of a running Dask scheduler, "" for a cluster
    on this machine. There, ``workers`` None means one a core, or ``per_card``
    for each graphics card; ``threads`` None shares the cores among them.
    ``named``: a cluster of another class, started for the sweep and ended after it.
    """

    scheduler: str = ""
    workers: int | None = None
    threads: int | None = None
    per_card: int = 1
    timeout: float = 6.0  # seconds to reach a scheduler
    named: NamedCluster | None = None

    def __post_init__(self) -> None:
        for name in ("workers", "threads", "per_card"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more, not {value}")
        for option, given in (("scheduler", self.scheduler), ("cluster", self.named)):
            if given and self.workers is not None:
                raise ValueError(f"the {option} has its own workers: leave --workers out, or leave --{option} out")
        if self.scheduler and self.named:
            raise ValueError("points run on one cluster: name --scheduler or --cluster")

    @property
    def local(self) -> bool:
        """Whether it is on this machine and this process's own."""
        return not self.scheduler and self.named is None

    def shared(self, points: int) -> tuple[int, list[str | None]]:
        """How this machine is shared by so many points: threads of each worker, and the card (or None) of each."""
        from dask.system import CPU_COUNT  # heeds the limits of a container and of a batch job

        found = cards()
        workers = min(self.workers or (len(found) * self.per_card if found else CPU_COUNT), max(points, 1))
        threads = self.threads or max(1, CPU_COUNT // workers)
        return threads, [found[i % len(found)] if found else None for i in range(workers)]


def need_dask() -> None:
    """RuntimeError where Dask is not installed."""
    if find_spec("distributed") is None:
        raise RuntimeError("sweeps need more packages, Dask among them: pip install '<the book's folder>[sweep]'")


@contextmanager
def connected(cluster: Cluster, points: int, tell: Callable[[str], None]) -> Iterator[tuple[Any, int]]:
    """A client of the cluster, and the threads that each point may use."""
    import dask
    from distributed import Client

    settings: dict[str, Any] = {"distributed.scheduler.worker-saturation": 1.0}
    if not cluster.named:  # SSHCluster reads what its processes log
        settings["logging.distributed"] = "critical"  # what becomes of workers is told by us, point by point
    if cluster.local:
        # A cluster of our own looks once, so long after a worker died, whether it is back, and gives it up if it just
        # died again. Nannies start workers again by themselves; other clusters must notice, and ask for new ones.
        settings["distributed.deploy.lost-worker-timeout"] = "1000 days"
    with dask.config.set(settings):
        if cluster.scheduler:
            threads = cluster.threads or 1
            try:
                _reach(cluster.scheduler, cluster.timeout)
                client = Client(cluster.scheduler, timeout=cluster.timeout, set_as_default=False)
            except Exception as error:  # what else answers there can make Dask's reading fail in any way
                raise ClusterLost(
                    f"no Dask scheduler answers at {cluster.scheduler} within {cluster.timeout:.0f} s "
                    f"({type(error).__name__}). Check that `dask scheduler` is running there, that the address has "
                    "the form tcp://HOST:8786 (8787 is its dashboard), that no firewall is in between, and that both "
                    "sides use TLS or neither"
                ) from None
            with client:
                workers = client.scheduler_info(n_workers=-1)["workers"]
                tell(f"workers of {cluster.scheduler}: {len(workers)}; threads of each point: {threads}")
                if not workers:
                    tell("  no worker has joined yet: points wait until one does")
                tell(_dashboard(client))
                yield client, threads
            return
        if cluster.named:
            threads = cluster.threads or cluster.named.threads
            with cluster.named.started() as started, Client(started, set_as_default=False) as client:
                tell(f"cluster: {cluster.named.name} at {started.scheduler_address}; threads of each point: {threads}")
                tell(_dashboard(client))
                yield client, threads
            return
        threads, slots = cluster.shared(points)
        with _guarded(threads, slots) as started, Client(started, set_as_default=False) as client:
            on = ", ".join(card or "none" for card in dict.fromkeys(slots))
            tell(f"workers on this machine: {len(slots)}; threads of each: {threads}; cards: {on}")
            tell(_dashboard(client))
            yield client, threads


def refuse_in_a_worker() -> None:
    """End a process that runs a script again only because the script starts workers: see `_guarded`."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # Python's own mark, while it is being started
        sys.exit(1)


def _guarded(threads: int, slots: Sequence[str | None]) -> Any:
    """`local_cluster`, or a sentence where the calling script is run anew by each worker and would start workers."""
    try:
        return local_cluster(threads, slots)
    except RuntimeError as error:
        main = sys.modules["__main__"]
        if "Nanny failed to start" not in str(error) or not hasattr(main, "__file__"):
            raise
        raise RuntimeError(
            f"no worker could be started. Each imports {main.__file__} anew: put what starts the sweep there "
            'under `if __name__ == "__main__":`, else every worker would start the sweep again'
        ) from None


def _reach(address: str, timeout: float) -> None:
    """Shake hands with a scheduler; raises whatever goes wrong. A client that cannot takes 20 s more to give up."""
    from distributed.comm import connect
    from distributed.security import Security

    async def shake() -> None:
        comm = await connect(address, timeout=timeout, **Security().get_connection_args("client"))
        await comm.close()

    with ThreadPoolExecutor(1) as aside:  # a notebook that calls us has an event loop of its own
        aside.submit(asyncio.run, shake()).result()


def _dashboard(client: Any) -> str:
    if find_spec("bokeh") is None:
        return f"Dask's status: {client.dashboard_link.replace('/status', '/info')} (its dashboard needs bokeh)"
    return f"Dask's dashboard: {client.dashboard_link}"


def local_cluster(threads: int, slots: Sequence[str | None]) -> Any:
    """A scheduler in this process and a worker process for each slot, with its card and threads in its environment."""
    from distributed import Nanny, Scheduler, SpecCluster

    workers = {}
    for number, card in enumerate(slots):
        env = dict.fromkeys(THREADS, str(threads)) | ({} if card is None else {"CUDA_VISIBLE_DEVICES": card})
        # A point computes in a kernel of its own, so that Dask's limit of a worker's memory would not see it.
        options = {
            "nthreads": 1,
            "env": env,
            "memory_limit": None,
            "name": number,
            "host": "127.0.0.1",
            "preload": list(PRELOAD),
            "silence_logs": logging.CRITICAL,
        }
        workers[number] = {"cls": Nanny, "options": options}
    dashboard = "127.0.0.1:8787" if _free(8787) else "127.0.0.1:0"  # Dask leaves a socket open where it is refused one
    options = {"host": "127.0.0.1", "port": 0, "dashboard": True, "dashboard_address": dashboard}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Port 8787")  # taken in the meantime: another one is used
        return SpecCluster(
            workers=workers,
            scheduler={"cls": Scheduler, "options": options},
            silence_logs=logging.CRITICAL,
            name="sweep",
        )


def _free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _running(client: Any) -> dict[str, list[str]]:
    """The folders of the points that each worker has, by its name and address."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    having = client.processing()
    found = {}
    for address, worker in workers.items():
        where = address.rpartition("/")[2]
        name = str(worker.get("name", ""))
        keys = [str(key).rpartition("-")[0] for key in having.get(address, ())]
        found[where if name in ("", address) else f"{name} ({where})"] = keys
    return found


def _watched(
    completed: Any, client: Any, local: bool, look: Callable[[dict[str, list[str]]], None] | None = None
) -> Iterator[Any]:
    """Futures as they end; ClusterLost if a cluster of our own stays without a worker: nobody would end the wait."""
    seen, looked = time.monotonic(), 0.0
    while not completed.is_empty():
        if look is not None and time.monotonic() - looked > LOOK_PAUSE:
            looked = time.monotonic()
            with suppress(Exception):  # a look at a scheduler that is going away; the futures will say so
                look(_running(client))
        if completed.has_ready():
            yield next(completed)
            continue
        time.sleep(0.05)
        if local and time.monotonic() - seen > PATIENCE / 10:
            if client.scheduler_info(n_workers=-1)["workers"]:
                seen = time.monotonic()
            elif time.monotonic() - seen > PATIENCE:
                raise ClusterLost(
                    "no worker is left on this machine. Every finished point is stored; the same command goes on"
                )


def said(ask: Callable[[], Any]) -> Any:
    """What a finished future says when its method is called; ClusterLost where the scheduler is gone before that."""
    try:
        return ask()
    except (OSError, CancelledError):  # OSError: Dask's CommClosedError too
        raise ClusterLost(GONE) from None


def outcomes(
    client: Any,
    tasks: Iterable[PointTask],
    store: PointStore,
    tell: Callable[[str], None],
    *,
    local: bool,
    look: Callable[[dict[str, list[str]]], None] | None = None,
) -> Iterator[PointOutcome]:
    """Outcomes as they come. Points that another sweep is running are asked for again until they are done.

    ``local``: the cluster is this process's own. ``look``: told now and then which worker has which points.
    """
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    waiting, told = list(tasks), 0
    while True:
        # a key of its own each time: another client may have asked the same scheduler for the same point
        futures = {
            client.submit(run_point, task, key=f"{task.name}-{os.urandom(4).hex()}", pure=False): task
            for task in waiting
        }
        waiting = []
        for future in _watched(as_completed(futures, loop=client.loop), client, local, look):
            task = futures.pop(future)
            if future.cancelled():
                raise ClusterLost(GONE)
            error = said(future.exception)
            if isinstance(error, KilledWorker):
                reason = "KilledWorker: every worker that ran this point died; too little memory?"
                mark_failed(store, task, reason)
                yield PointOutcome(task.name, "failed", reason)
                continue
            if error is not None:
                raise RuntimeError(
                    f"a worker could not run a point ({type(error).__name__}: {error}). Workers need the book's "
                    "environment, its folder, and the store at the same paths as this machine"
                ) from error
            outcome = said(future.result)
            if outcome.state == "busy":
                waiting.append(task)
            elif outcome.state == "unstored":
                raise StoreFailed(
                    f"{outcome.error}. What was stored before is whole; make room, and the same command goes on"
                )
            elif outcome.state == "refused":
                raise RuntimeError(f"{outcome.error}. Points done before are stored; run the sweep again")
            else:
                yield outcome
        if not waiting:
            return
        if len(waiting) != told:
            told = len(waiting)
            tell(f"  another sweep is running {told} of these points: waiting for it")
        time.sleep(BUSY_PAUSE)
