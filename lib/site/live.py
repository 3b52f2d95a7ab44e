"""Chapters trained live at smoke: each once for the code that it reaches.

They are points of a store, as a sweep's are: a chapter whose code has not
changed since it last ran is not run again, whoever asks for it, and two that
ask at once do not run it twice.
"""

import hashlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

from .. import identity
from ..files import whole_files
from ..paths import BUILD, NOTEBOOKS
from ..press.chapters import find
from ..sweeps.point import PointTask, run_point
from ..sweeps.store import NOTEBOOK, PointStore, point_name, seal_of

STORE = BUILD / "live"
LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "matplotlib")  # what runs may change with
SMOKE = {"profile": "smoke"}


@dataclass(frozen=True)
class LiveChapter:
    """A chapter as it ran: its executed notebook, what a cell raised ("" if none), and whether it ran just now."""

    name: str
    notebook: Path
    error: str = ""
    now: bool = True


def run_live(name: str, threads: int = 1, folder: Path = STORE) -> LiveChapter:
    """A chapter at smoke, run unless the store has it. RuntimeError if it could not be run or stored at all."""
    path, code = find(name), identity.of_notebook(find(name))
    told = " ".join([sys.version, *map(version, LIBRARIES), surroundings(path)])
    store = PointStore(folder / hashlib.sha256(told.encode()).hexdigest()[:8]).open(create=True)
    point = point_name(path, SMOKE, code)
    mark, _ = store.look(point)
    again = seal_of(mark) if mark and mark["state"] == "failed" else ""
    task = PointTask(store.folder, point, path, SMOKE, code, threads, seen=again)
    while (ended := run_point(task)).state == "busy":
        time.sleep(0.5)
    if ended.state in ("unstored", "refused"):
        raise RuntimeError(f"{name}: {ended.error}")
    return LiveChapter(name, store.points / point / NOTEBOOK, ended.error, ended.state != "elsewhere")


def surroundings(path: Path) -> str:
    """Digits for what a notebook's run rests on beside the definitions that it reaches.

    For one that calls the verbs in processes of their own, as the chapter on sweeps does, that is all of the package.
    """
    files = []
    if '\\"-m\\", \\"lib\\"' in path.read_text(encoding="utf-8"):
        files = [*sorted(identity.PACKAGE.rglob("*.py")), *whole_files(NOTEBOOKS / "sweeps", "*.ipynb")]
    return identity.of_everything(files)


def run_all_live(names: Sequence[str], workers: int, folder: Path = STORE) -> Iterator[LiveChapter]:
    """Chapters in their order, ``workers`` of them at a time with their share of the cores."""
    threads = max(1, (os.cpu_count() or 1) // workers)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield from pool.map(partial(run_live, threads=threads, folder=folder), names)
