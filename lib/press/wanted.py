"""What the chapters want recorded, what of it is there, and how it is made: by as many processes as one likes.

A chapter says itself what it wants: its cells are run up to its opening, where
in mode "plan" the experiments are told in place of being run.
"""

import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from statistics import median

from filelock import FileLock, Timeout

from ..experiments import Recordable
from ..paths import RECORDS, data_folder
from ..progress import say
from ..records import MODE_VARIABLE, Planned, Store, run_now
from ..runs import code_of
from ..train import Machine
from .chapters import PROFILES, find, names, profiles
from .verify import verify

NO_NUMBERS = True
STATES = ("recorded", "older code", "missing")


@dataclass(frozen=True)
class Wanted:
    """An experiment that a chapter wants, and how far it is."""

    experiment: Recordable
    chapter: str  # the first that wants it
    profile: str
    state: str  # one of STATES, or "running"
    seconds: float  # that it took, or those like it; NaN where there is none


def plan_of(path: Path, profile: str) -> dict[str, Sequence[Recordable]]:
    """The experiments of a chapter at a profile, in its groups. RuntimeError where the chapter has no opening."""
    twin = path.with_suffix(".py").read_text(encoding="utf-8")
    cells = re.split(r"(?m)^(?=# %%)", twin)
    (where,) = [i for i, cell in enumerate(cells) if re.match(r"# %%.*tags=\[.*\"parameters\"", cell)]
    cells.insert(where + 1, f"profile = {profile!r}\n")
    before = os.environ.get(MODE_VARIABLE)
    os.environ[MODE_VARIABLE] = "plan"
    try:
        with redirect_stdout(StringIO()):
            exec(compile("".join(cells), str(path), "exec"), {"__name__": "__main__"})
    except Planned as planned:
        return dict(planned.groups)
    finally:
        os.environ.pop(MODE_VARIABLE) if before is None else os.environ.update({MODE_VARIABLE: before})
    raise RuntimeError(f"{path.stem} never opens itself by open_chapter")


def wanted(
    chapters: Iterable[str] = (), among: Sequence[str] = PROFILES[1:], folder: Path = RECORDS
) -> Iterator[Wanted]:
    """All that chapters (none named: all) want recorded at these profiles, each once."""
    store, seen, took = Store(folder), set(), _Took(folder)
    for path in map(find, chapters or names()):
        for profile in profiles(path):
            if profile not in among:
                continue
            for one in (one for group in plan_of(path, profile).values() for one in group):
                if one.key not in seen:
                    seen.add(one.key)
                    yield Wanted(one, path.stem, profile, _state(store, one), took.expected(one))


def _state(store: Store, experiment: Recordable) -> str:
    run = store.get(experiment)
    if _lock(experiment).is_locked_by_other():
        return "running"
    return "missing" if run is None else "older code" if run.state == "older code" else "recorded"


class _Lock(FileLock):
    def is_locked_by_other(self) -> bool:
        """Whether a process holds it now."""
        try:
            with self.acquire(timeout=0):
                return False
        except Timeout:
            return True


def _lock(experiment: Recordable) -> _Lock:
    folder = data_folder() / "recording"
    folder.mkdir(parents=True, exist_ok=True)
    return _Lock(folder / f"{experiment.key}.lock")


class _Took:
    """Seconds of the runs that are recorded, by their settings without the seed."""

    def __init__(self, folder: Path) -> None:
        self._seconds: dict[str, list[float]] = {}
        store = Store(folder)
        for path in store.paths():
            run = store.run(path)
            self._seconds.setdefault(self._like(run.experiment), []).append(run.provenance["seconds"])

    @staticmethod
    def _like(experiment: Recordable) -> str:
        return replace(experiment, seed=0).key

    def expected(self, experiment: Recordable) -> float:
        """Of one run like this one."""
        return median(self._seconds.get(self._like(experiment), [float("nan")]))


def make(
    some: Iterable[Wanted], *, until: float = float("inf"), folder: Path = RECORDS
) -> Iterator[tuple[Wanted, str]]:
    """Bring records up to today's code: each comes with what was done.

    A record of older code whose first part comes out the same is checked; any other is recorded
    anew. Several processes share the work: what one has begun, the others leave alone. Nothing
    is begun after the time ``until`` (seconds since the epoch) less what it is expected to take.
    """
    store = Store(folder)
    for one in some:
        if time.time() + (one.seconds if one.seconds == one.seconds else 0) > until:
            yield one, "left: not enough time"
            continue
        try:
            with _lock(one.experiment).acquire(timeout=0):
                yield one, _brought(store, one.experiment)
        except Timeout:
            continue


def _brought(store: Store, experiment: Recordable) -> str:
    found = store.get(experiment)
    if found is not None and found.state != "older code":
        return "there"
    if found is not None:
        result = verify(store.path(experiment))
        if result.agrees:
            return "agrees"
        say(f"{experiment.slug}: {result.worst}")
    experiment.preflight()
    code_of(experiment)
    run = run_now(experiment, machine=Machine(), progress=False)
    store.put(run)
    return f"recorded in {run.provenance['seconds']:.0f} s"
