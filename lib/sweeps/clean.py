"""What a store holds that no sweep wants any more, and its removal."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..files import atomic, whole_files
from .code import code_of_notebook
from .grid import Sweep, load_sweep
from .store import DONE, PointStore, point_name

NO_NUMBERS = True
USERS = "sweeps"  # folder of a store: a file for each sweep that was run into it
Names = list[str]


@dataclass(frozen=True)
class Unwanted:
    """Points and files of a store that can go, and why."""

    older: Names  # points made by other code than today's
    outside: Names  # points that stand in no sweep's grid
    unfinished: Names  # points of either kind that never ended
    damaged: Sequence[Path]  # files that were moved aside when their points were computed anew

    @property
    def points(self) -> Names:
        """All folders that can go."""
        return [*self.older, *self.outside, *self.unfinished]

    def text(self) -> str:
        """In a line."""
        kinds = (
            (len(self.older), "made by other code"),
            (len(self.outside), "in no sweep's grid"),
            (len(self.unfinished), "never finished and not wanted"),
            (len(self.damaged), "damaged files moved aside"),
        )
        return ", ".join(f"{number:,} {words}" for number, words in kinds if number) or "nothing"


def remember(store: PointStore, path: Path) -> None:
    """Note in a store that a sweep's YAML uses it."""
    path = path.resolve()
    known = store.folder / USERS
    if not any(_yaml(note) == path for note in whole_files(known, "*.json")):
        digits = hashlib.sha256(str(path).encode()).hexdigest()[:8]  # one file a path: two that start do not collide
        with atomic(known / f"{path.stem}-{digits}.json") as part:
            part.write_text(json.dumps({"yaml": str(path)}) + "\n", encoding="utf-8")


def _yaml(note: Path) -> Path:
    try:
        return Path(json.loads(note.read_text(encoding="utf-8"))["yaml"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{note} is damaged: delete it, and run its sweep with --plan") from error


def users(store: PointStore, also: Sweep) -> list[Sweep]:
    """The sweeps that use a store. ValueError if one of them cannot be read: nobody then knows what it wants."""
    found = [also]
    if store.names() and not (store.folder / USERS).exists():
        raise ValueError(
            f"{store.folder} does not say which sweeps use it: an older version filled it. Run each of them once more "
            "(what is done is not run again), then clean"
        )
    for note in whole_files(store.folder / USERS, "*.json"):
        path = _yaml(note)
        if not path.is_file():
            raise ValueError(f"{path}, a sweep of this store, is gone. If nobody wants its points, delete {note}")
        try:
            found.append(load_sweep(path))
        except ValueError as error:
            raise ValueError(
                f"{error}\nIt is a sweep of this store. If nobody wants its points, delete {note}"
            ) from None
    return found


def unwanted_points(store: PointStore, sweeps: Sequence[Sweep]) -> Unwanted:
    """What none of these sweeps wants at today's code; a point that is being run is never among it."""
    wanted: set[str] = set()
    for sweep in sweeps:
        code = code_of_notebook(sweep.notebook, sweep.folder)
        wanted |= {point_name(sweep.notebook, given, code, sweep.folder) for given in sweep.points}
    ids = {name.partition("-")[0] for name in wanted}
    older, outside, unfinished = [], [], []
    for name in store.names():
        if name not in wanted:
            done = (store.points / name / DONE).exists()
            kind = unfinished if not done else older if name.partition("-")[0] in ids else outside
            kind.append(name)
    kept = wanted.intersection(store.names())
    damaged = sorted(path for name in kept for path in (store.points / name).glob("*.damaged-*"))
    return Unwanted(older, outside, unfinished, damaged)


def remove(store: PointStore, found: Unwanted) -> int:
    """Remove what `unwanted_points` found, except what somebody runs right now; how many points that were."""
    gone = 0
    for name in found.points:
        with store.claim(name) as mine:
            if mine:
                (store.points / name / DONE).unlink(missing_ok=True)  # first: a point is never half there
                shutil.rmtree(store.points / name, ignore_errors=True)  # some systems keep the file that is the claim
                gone += 1
    for path in found.damaged:
        path.unlink(missing_ok=True)
    return gone
