"""One point of a sweep: how a worker runs it, and the store that keeps it whole.

A point is a notebook with values for its parameters. Its folder in the store
is named by a hash of both and of the code; it holds the executed notebook,
the numbers of its claims and tables, and ``done.json``, written last, which
seals the two by their checksums. Imports neither torch nor dask: a worker is
up in a second, and what a point computes with is loaded by its own kernel.
"""

import hashlib
import json
import os
import platform
import re
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .. import __version__, identity
from ..files import atomic, move_aside
from ..hardware import card_name, cards, processor
from ..identity import Identity
from ..paths import DATA_VARIABLE
from ..press.show import CLAIM, RESULT
from ..words import count

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FORMAT = 1  # of a store; raised when an older book could not read what a newer one writes
MARK, NOTEBOOK, NUMBERS = "done.json", "notebook.ipynb", "numbers.parquet"
ROWS = pa.schema(
    [
        ("source", pa.string()),  # "claim" or "table"
        ("source_name", pa.string()),  # the claim's id or the table's name
        ("quantity", pa.string()),  # which of its values or columns
        ("row", pa.int32()),  # the seed of a claim's value, the row of a table's
        ("value", pa.float64()),
        ("verdict", pa.string()),  # of a claim: "holds", "partly", "does not hold"
    ]
)
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
START_TIMEOUT = 300  # seconds for a kernel to answer: on a crowded machine that is long after it was started


class StoreProblem(ValueError):
    """A folder that is no store of this book's, or one that it cannot read."""


class StoreFailed(RuntimeError):
    """A point could not be written; what was stored before is intact."""


@dataclass(frozen=True)
class Task:
    """What a worker is told about a point."""

    store: str
    name: str  # of the point's folder
    notebook: str
    given: Mapping[str, Any]
    code: Identity  # of the notebook and what it reaches, when the sweep was planned
    threads: int  # for the numerical libraries in the kernel
    seen: str = ""  # seal of the mark when the sweep was planned: another one means that somebody ran it since
    data: str = ""  # the data folder; "" for the worker's own
    retries: int = 2  # of a kernel that died


@dataclass(frozen=True)
class Outcome:
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


def point_id(notebook: str, given: Mapping[str, Any]) -> str:
    """Sixteen digits for a notebook and the values of its parameters."""
    told = json.dumps([notebook, dict(given)], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


class Store:
    """A folder of points: ``points/<point>-<code>/``. Several sweeps may use it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.points = self.folder / "points"

    def open(self, *, create: bool = False) -> "Store":
        """Check that the folder is a store of ours, or make it one; StoreProblem or StoreFailed if it cannot be."""
        head = self.folder / "store.json"
        try:
            found = json.loads(head.read_text())["format"]
        except FileNotFoundError:
            if self.folder.exists() and any(self.folder.iterdir()) and not self.points.exists():
                raise StoreProblem(f"{self.folder} holds other things and is no store of sweeps") from None
            found = FORMAT
            if create:
                try:
                    # This first: another sweep that makes the same store now would find a file and call it no store.
                    self.points.mkdir(parents=True, exist_ok=True)
                    with atomic(head) as part:
                        part.write_text(json.dumps({"format": FORMAT, "book": __version__}) + "\n")
                except OSError as error:
                    raise StoreFailed(f"{self.folder} cannot be made a store: {error}") from error
        except NotADirectoryError:
            raise StoreProblem(f"{self.folder} is a file; a store is a folder") from None
        except (ValueError, KeyError, TypeError):
            raise StoreProblem(f"{head} is damaged. Delete it: the points beside it carry their own seals") from None
        if found != FORMAT:
            raise StoreProblem(
                f"{self.folder} was made by {'a newer version of this book' if found > FORMAT else 'an older version'}"
                f" (format {found}; this one reads {FORMAT}). Use that version, or name another folder by --store"
            )
        return self

    def names(self) -> list[str]:
        """The folders of all points, finished or not."""
        return sorted(os.listdir(self.points)) if self.points.exists() else []

    def look(self, name: str) -> tuple[dict[str, Any] | None, str]:
        """The mark of a finished point, and what is wrong with its files: (None, "") if it never ended."""
        mark, problem, _ = self._inspect(name)
        return (None if problem else mark), problem

    def _inspect(self, name: str) -> tuple[dict[str, Any] | None, str, str]:
        """The mark, the problem, and the file that has it."""
        folder = os.path.join(self.points, name)
        try:
            with open(os.path.join(folder, MARK), "rb") as file:
                mark = json.loads(file.read())
            if mark.pop("seal") != _seal(mark):
                return None, f"{MARK} was altered: its checksum does not fit", MARK
        except FileNotFoundError:
            return None, "", ""
        except (ValueError, KeyError, TypeError, AttributeError):
            return None, f"{MARK} is damaged", MARK
        for part, digest in mark["files"].items():
            try:
                with open(os.path.join(folder, part), "rb") as file:
                    found = hashlib.sha256(file.read()).hexdigest()
            except FileNotFoundError:
                return mark, f"{part} is gone", part
            if found != digest:
                return mark, f"{part} was truncated or altered: its checksum does not fit", part
        return mark, "", ""

    def numbers(self, name: str) -> pa.Table:
        """The rows of a finished point, as ROWS has them."""
        with open(os.path.join(self.points, name, NUMBERS), "rb") as file:
            return pq.ParquetFile(pa.BufferReader(file.read())).read()

    @contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """Whether this process may run the point; nobody else may until the block ends or the process dies.

        It is a lock of the operating system on a file in the point's folder,
        so that the claim of a dead process is free at once, also where the
        store is on a file system that several machines share.
        """
        if fcntl is None:
            raise StoreFailed("sweeps need file locks of Linux or macOS; on Windows run them in WSL")
        try:
            (self.points / name).mkdir(parents=True, exist_ok=True)
            file = open(self.points / name / "claim", "a")  # noqa: SIM115 - closed below, and the lock with it
        except OSError as error:
            raise StoreFailed(f"{self.points / name}: {error}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            except OSError as error:
                raise StoreFailed(f"the file system of {self.folder} has no file locks ({error})") from error
            yield True

    def put(self, name: str, mark: Mapping[str, Any], notebook: str | None, numbers: pa.Table) -> None:
        """Write a finished point, its mark last; the caller holds its claim. StoreFailed if the disk will not.

        What is damaged there is moved aside, what is only older is replaced.
        """
        folder = self.points / name
        sink = pa.BufferOutputStream()
        pq.write_table(numbers.replace_schema_metadata({b"point": json.dumps(mark).encode()}), sink, compression="zstd")
        files = {NUMBERS: sink.getvalue().to_pybytes()}
        if notebook is not None:
            files[NOTEBOOK] = notebook.encode()
        try:
            _, problem, file = self._inspect(name)
            if problem and (folder / file).exists():
                move_aside(folder / file)
            (folder / MARK).unlink(missing_ok=True)
            for left in folder.glob(".part-*"):  # of a process that was killed while it wrote
                left.unlink(missing_ok=True)
            for file, content in files.items():
                with atomic(folder / file) as part:
                    part.write_bytes(content)
            told = {**mark, "files": {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}}
            with atomic(folder / MARK) as part:
                part.write_text(json.dumps({**told, "seal": _seal(told)}, indent=1) + "\n")
        except OSError as error:
            raise StoreFailed(f"{folder} could not be written: {error}") from error

    def fail(self, task: Task, error: str) -> None:
        """Mark a point as failed that no worker could finish, unless somebody else ran it since."""
        with self.claim(task.name) as mine:
            if mine and seal_of(self.look(task.name)[0]) == task.seen:
                self.put(task.name, _mark(task, "failed", error=error), None, ROWS.empty_table())


def _seal(mark: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(mark, sort_keys=True).encode()).hexdigest()


def seal_of(mark: Mapping[str, Any] | None) -> str:
    """What tells one mark from another; "" for none."""
    return "" if mark is None else _seal(mark)


def _mark(task: Task, state: str, **more: Any) -> dict[str, Any]:
    return {
        "state": state,
        "error": "",
        "traceback": "",
        "notebook": Path(task.notebook).stem,
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


def dask_setup(_worker: Any) -> None:
    """Called by Dask in a worker that preloads this module: Ctrl-C reaches it too, but it is the sweep that ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_point(task: Task) -> Outcome:
    """Run a point on this worker, unless somebody else does or did, and put it into the store.

    A cell that raises is an outcome and no error: it would raise again. A
    kernel that dies is started anew, ``retries`` times.
    """
    begun = time.perf_counter()
    store, path = Store(Path(task.store)), Path(task.notebook)
    try:
        with store.claim(task.name) as mine:
            if not mine:
                return Outcome(task.name, "busy")
            mark, _ = store.look(task.name)
            if mark is not None and seal_of(mark) != task.seen:
                return Outcome(task.name, "elsewhere", mark["error"])
            if changed := _changed(task, path):
                return Outcome(task.name, "refused", changed)
            notebook, error, traceback, attempts = _attempts(task, path)
            if changed := _changed(task, path):  # then nobody knows which code made this
                return Outcome(task.name, "refused", changed)
            import nbformat

            compute = cells_seconds(notebook)
            mark = _mark(
                task, "failed" if error else "done", error=error, traceback=traceback, attempts=attempts,
                seconds=round(time.perf_counter() - begun, 3), compute=round(compute, 3),
            )  # fmt: skip
            numbers = ROWS.empty_table() if error else numbers_of(notebook)
            store.put(task.name, mark, nbformat.writes(notebook), numbers)
    except StoreFailed as failure:
        return Outcome(task.name, "unstored", str(failure))
    return Outcome(task.name, mark["state"], error, time.perf_counter() - begun, compute)


def _changed(task: Task, path: Path) -> str:
    """What is other code here than where the sweep was planned; "" if nothing is."""
    try:
        here = identity.of_notebook(path)
    except OSError as error:
        return f"{socket.gethostname()} cannot read the notebook: {error}"
    if here.id == task.code.id:
        return ""
    differing = ", ".join(here.differing(task.code.parts))
    return f"{differing} on {socket.gethostname()} is not what the sweep was planned with"


def _attempts(task: Task, path: Path) -> tuple[Any, str, str, int]:
    """The executed notebook, the error and traceback of a cell that raised, and how many kernels it took."""
    from nbclient.exceptions import DeadKernelError

    env = os.environ | dict.fromkeys(THREADS, str(task.threads))
    # progress bars are no result; records are the reader's own, as in any run
    env |= {"TQDM_DISABLE": "1", "CLEAN_PRIORITY_MODE": ""} | ({DATA_VARIABLE: task.data} if task.data else {})
    for attempt in range(1, task.retries + 2):
        notebook = _prepared(path, task.given)
        try:
            return notebook, *_execute(notebook, env, path.parent), attempt
        except (DeadKernelError, RuntimeError, OSError) as death:  # the kernel's: what a cell raises comes back as text
            last = f"{type(death).__name__}: {death}"
    return notebook, f"{last} (the kernel died {attempt} times; too little memory?)", "", attempt


def _prepared(path: Path, given: Mapping[str, Any]) -> Any:
    """The notebook with a cell of the given values, and no outputs."""
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    notebook = load_notebook_node(str(path))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return parameterize_notebook(notebook, dict(given), kernel_name="python3", language="python")


def _execute(notebook: Any, env: Mapping[str, str], folder: Path) -> tuple[str, str]:
    """Execute a notebook in place; error and traceback of the cell that raised, or two empty texts.

    papermill's own `execute_notebook` changes the folder and the environment
    of the whole process, and writes the file as it goes; its engine is used
    here without, so that a worker may run several points at once.
    """
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import raise_for_execution_errors
    from papermill.log import logger

    class Engine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man, kernel_name, **_):
            client = PapermillNotebookClient(
                nb_man,
                kernel_name=kernel_name,
                startup_timeout=START_TIMEOUT,
                timeout=None,
                log=logger,
                extra_arguments=["--log-level=CRITICAL"],  # else a warning about TCP at every start
                shutdown_kernel="immediate",  # all cells are done; torch takes seconds to leave in good order
            )
            return client.execute(env=dict(env), cwd=str(folder))

    Engine.execute_notebook(notebook, "python3", output_path=None, progress_bar=False, log_output=False)
    try:
        raise_for_execution_errors(notebook, None)
    except PapermillExecutionError as raised:
        return f"{raised.ename}: {raised.evalue}", re.sub(
            r"\x1b\[[0-9;]*m", "", "\n".join(raised.traceback)
        )  # no colours
    return "", ""


def cells_seconds(notebook: Mapping[str, Any]) -> float:
    """The notebook's own compute: seconds of its cells."""
    return sum(cell["metadata"].get("papermill", {}).get("duration") or 0.0 for cell in notebook["cells"])


def numbers_of(notebook: Mapping[str, Any]) -> pa.Table:
    """The values of all claims and all collectable tables in an executed notebook, as ROWS has them."""
    rows = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            told = output.get("metadata", {})
            if claim := told.get(CLAIM):
                passes = claim["passes"]
                verdict = "holds" if all(passes) else "partly" if any(passes) else "does not hold"
                rows += _rows("claim", claim["id"], claim["measured"], verdict)
            if table := told.get(RESULT):
                rows += _rows("table", table["name"], table["columns"], None)
    return pa.Table.from_pylist(rows, schema=ROWS)


def _rows(source: str, name: str, columns: list, verdict: str | None) -> list[dict[str, Any]]:
    return [
        {
            "source": source, "source_name": name, "quantity": quantity, "row": row,
            "value": None if value is None else float(value), "verdict": verdict,
        }
        for quantity, values in columns
        for row, value in enumerate(values)
    ]  # fmt: skip
