"""One point of a sweep: how a worker runs it and puts it into the store.

Imports neither torch nor dask: a worker is up in a second, and what a point
computes with is loaded by its own kernel.
"""

import os
import platform
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import __version__
from ..hardware import card_name, cards, processor
from ..identity import Identity
from ..paths import DATA_VARIABLE
from ..press.execute import NoKernel, cells_seconds, execute_notebook, prepared
from ..words import count
from . import in_kernel
from .code import code_of_notebook
from .shown import numbers_of
from .store import ROWS, PointStore, StoreFailed, seal_of

TOLD = Path(in_kernel.__file__).read_text(encoding="utf-8") + "\nlisten(get_ipython())\n"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True)
class PointTask:
    """What a worker is told about a point."""

    store: Path
    name: str  # of the point's folder
    notebook: Path
    given: Mapping[str, Any]
    code: Identity  # of the notebook and what it reaches, when the sweep was planned
    threads: int  # for the numerical libraries in the kernel
    seen: str = ""  # seal of the mark when the sweep was planned: another one means that somebody ran it since
    data: str = ""  # the data folder; "" for the worker's own
    retries: int = 2  # of a kernel that died
    folder: Path | None = None  # where the kernel works; None: the notebook's folder


@dataclass(frozen=True)
class PointOutcome:
    """How a task ended.

    ``state`` is "done", "failed" (a cell raised), "elsewhere" (another sweep
    ran it since; ``error`` says how it ended), "busy" (another one is at it),
    "unstored" (the store could not be written) or "refused" (the worker has
    other code than the sweep was planned with).
    """

    name: str
    state: str
    error: str = ""
    seconds: float = 0.0  # of the whole point
    compute: float = 0.0  # of its cells


def dask_setup(_worker: Any) -> None:
    """Called by Dask in a worker that preloads this module: Ctrl-C reaches it too, but it is the sweep that ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_point(task: PointTask) -> PointOutcome:
    """Run a point on this worker, unless somebody else does or did, and put it into the store.

    A cell that raises is an outcome and no error: it would raise again. A
    kernel that dies is started anew, ``retries`` times.
    """
    begun = time.perf_counter()
    store = PointStore(task.store)
    try:
        with store.claim(task.name) as mine:
            if not mine:
                return PointOutcome(task.name, "busy")
            mark, _ = store.look(task.name)
            if mark is not None and seal_of(mark) != task.seen:
                return PointOutcome(task.name, "elsewhere", mark["error"])
            if changed := _changed(task):
                return PointOutcome(task.name, "refused", changed)
            notebook, error, traceback, attempts = _attempts(task)
            if changed := _changed(task):  # then nobody knows which code made this
                return PointOutcome(task.name, "refused", changed)
            import nbformat

            compute = cells_seconds(notebook)
            mark = _mark(
                task, "failed" if error else "done", error=error, traceback=traceback, attempts=attempts,
                seconds=round(time.perf_counter() - begun, 3), compute=round(compute, 3),
            )  # fmt: skip
            numbers = ROWS.empty_table() if error else numbers_of(notebook)
            store.put(task.name, mark, nbformat.writes(notebook), numbers)
    except StoreFailed as failure:
        return PointOutcome(task.name, "unstored", str(failure))
    return PointOutcome(task.name, mark["state"], error, time.perf_counter() - begun, compute)


def mark_failed(store: PointStore, task: PointTask, error: str) -> None:
    """Mark a point as failed that no worker could finish, unless somebody else ran it since."""
    with store.claim(task.name) as mine:
        if mine and seal_of(store.look(task.name)[0]) == task.seen:
            store.put(task.name, _mark(task, "failed", error=error), None, ROWS.empty_table())


def _mark(task: PointTask, state: str, **more: Any) -> dict[str, Any]:
    return {
        "state": state,
        "error": "",
        "traceback": "",
        "notebook": task.notebook.stem,
        "given": dict(task.given),
        "code": dict(task.code.parts),
        "code_id": task.code.id,
        "seconds": 0.0,
        "compute": 0.0,
        "attempts": 0,
        "threads": task.threads,
        "device": device(task.threads),
        "host": socket.gethostname(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"book": __version__, "python": platform.python_version()},
    } | more


def device(threads: int) -> str:
    """A name to print: the cards that this worker was given, else the processor with the threads used."""
    if listed := cards():
        return " and ".join(dict.fromkeys(map(card_name, listed)))
    return f"{processor()} CPU ({count(threads, 'thread')})"


def _changed(task: PointTask) -> str:
    """What is other code here than where the sweep was planned; "" if nothing is."""
    try:
        here = code_of_notebook(task.notebook, task.folder)
    except (OSError, ValueError) as error:
        return f"{socket.gethostname()} cannot read the notebook: {error}"
    if here.id == task.code.id:
        return ""
    differing = ", ".join(here.differing(task.code.parts))
    return f"{differing} on {socket.gethostname()} is not what the sweep was planned with"


def _attempts(task: PointTask) -> tuple[Any, str, str, int]:
    """The executed notebook, the error and traceback of a cell that raised, and how many kernels it took."""
    env = os.environ | dict.fromkeys(THREADS, str(task.threads))
    # progress bars are no result; records are the reader's own, as in any run
    env |= {"TQDM_DISABLE": "1", "CLEAN_PRIORITY_MODE": ""} | ({DATA_VARIABLE: task.data} if task.data else {})
    for attempt in range(1, task.retries + 2):
        try:
            notebook = prepared(task.notebook, task.given)
        except Exception as error:  # no valid notebook, or in a language that papermill cannot write values in
            from nbformat.v4 import new_notebook

            return new_notebook(), f"papermill cannot prepare it: {type(error).__name__}: {error}", "", attempt
        try:
            raised = execute_notebook(
                notebook, folder=task.folder or task.notebook.parent, env=env, timed=True, told=TOLD
            )
        except NoKernel as lacking:
            return notebook, f"{lacking} ({socket.gethostname()})", "", attempt
        except (RuntimeError, OSError) as death:  # the kernel's: what a cell raises is returned
            last = f"{type(death).__name__}: {death}"
        else:
            return notebook, str(raised or ""), raised.traceback if raised else "", attempt
    return notebook, f"{last} (the kernel died {attempt} times; too little memory?)", "", attempt
