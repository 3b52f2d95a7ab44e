"""What the chapters want recorded, what of it is there, and how it is made: by as many processes as one likes.

A chapter says itself what it wants: its cells are run up to its opening, where
in mode "plan" the experiments are told in place of being run.
"""

import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from statistics import median

import torch
from filelock import FileLock, Timeout
from torch.utils.flop_counter import FlopCounterMode

from ..checkpoint import until_kept
from ..data import DataDamaged, DataUnavailable
from ..experiments import Experiment, Recordable
from ..models import build
from ..paths import RECORDS, data_folder
from ..progress import say
from ..provenance import commit
from ..records import MODE_VARIABLE, Planned, Store, run_now
from ..runs import code_of
from ..train import Machine, TrainingDiverged
from .chapters import PROFILES, find, names, profiles
from .verify import verify

NO_NUMBERS = True
WHOLE = {"digits": 1200, "clusters": 1000, "mnist": 60_000, "fashion_mnist": 60_000, "cifar10": 50_000}
SHAPES = {
    "digits": (1, 8, 8), "clusters": (1, 1, 2), "mnist": (1, 28, 28), "fashion_mnist": (1, 28, 28),
    "cifar10": (3, 32, 32),
}  # fmt: skip
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
    code_of(experiment), commit()  # now, while the files are what was imported: `make` can take hours
    run = store.get(experiment)
    with suppress(OSError):  # of a folder that may only be read: nobody records into it
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
    """Seconds of the runs that are recorded: of those that differ by the seed alone, and for so much work.

    A card's seconds say nothing of a processor's: only runs on what is here count.
    """

    def __init__(self, folder: Path) -> None:
        self._alike: dict[str, list[float]] = defaultdict(list)
        self._for_work: dict[str, list[float]] = defaultdict(list)
        for _, run in Store(folder).runs():
            if ("CPU" in run.provenance["device"]) == torch.cuda.is_available():
                continue
            one, seconds = run.experiment, run.provenance["seconds"]
            self._alike[replace(one, seed=0).key].append(seconds)
            if isinstance(one, Experiment):
                self._for_work[one.model.kind].append(seconds / work(one))

    def expected(self, experiment: Recordable) -> float:
        """Of one run like this one; NaN where nothing like it is recorded."""
        if alike := self._alike.get(replace(experiment, seed=0).key):
            return median(alike)
        if isinstance(experiment, Experiment) and (rates := self._for_work.get(experiment.model.kind)):
            return median(rates) * work(experiment)
        return float("nan")


def work(experiment: Experiment) -> float:
    """Floating-point operations of one forward pass of all training images, times the epochs."""
    data, shape = experiment.data, SHAPES[experiment.data.name]
    whole = WHOLE[data.name] * len(data.classes or range(10)) / 10
    model = build(experiment.model, shape, 1 if len(data.classes or ()) == 2 else 10, torch.Generator()).eval()
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        model(torch.zeros(1, *shape))
    return float(counted.get_total_flops() * (data.train_size or whole) * experiment.train.epochs)


def unwanted(chapters: Iterable[str] = (), folder: Path = RECORDS) -> list[Path]:
    """Records of settings that no chapter (of these; none named: all) plans at `cpu` or `paper`, whatever the seed."""
    store = Store(folder)
    planned = {replace(one.experiment, seed=0).key for one in wanted(chapters, folder=folder)}
    return [path for path, run in store.runs() if replace(run.experiment, seed=0).key not in planned]


def make(
    some: Iterable[Wanted], *, until: float = float("inf"), folder: Path = RECORDS
) -> Iterator[tuple[Wanted, str]]:
    """Bring records up to today's code: each comes with what was done.

    A record of older code whose first part comes out the same is checked; any other is recorded
    anew. Several processes share the work: what one has begun, the others leave alone. Nothing
    is begun after the time ``until`` (seconds since the epoch) less what it is expected to take.
    A run that cannot be made leaves the others to go on: "failed: " and why. RecordingFailed passes.
    """
    store = Store(folder)
    for one in some:
        takes = one.seconds if one.state != "recorded" and one.seconds == one.seconds else 0
        if time.time() + takes > until:
            yield one, "left: not enough time"
            continue
        try:
            with _lock(one.experiment).acquire(timeout=1):  # longer than somebody's look at who holds it
                done = _brought(store, one.experiment)
        except Timeout:
            continue
        except (DataUnavailable, DataDamaged, ValueError) as problem:
            done = f"failed: {problem}"
        yield one, done


def _brought(store: Store, experiment: Recordable) -> str:
    found = store.get(experiment)
    if found is not None and found.state != "older code":
        return "there"
    if found is not None and experiment.short() != experiment:  # else it takes as long as recording anew
        result = verify(store.path(experiment))
        if result.agrees:
            return "agrees"
        say(f"{experiment.slug}: {result.worst}")
    with FileLock(data_folder() / "recording" / "data.lock"):  # processes that begin together fetch data once
        experiment.preflight()
    with until_kept():
        try:
            run = run_now(experiment, machine=Machine(), progress=False)
        except TrainingDiverged as diverged:
            return f"failed: {diverged}"
        store.put(run)
    return f"recorded in {run.provenance['seconds']:.0f} s"
