"""States of unfinished runs on disk: whole or not there, and read without running anything in them."""

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from .files import atomic, set_aside
from .progress import say

NO_NUMBERS = True  # an interrupted run goes on to the same numbers


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values whole. OSError, or torch's RuntimeError, on a full disk."""
    with atomic(path) as part:
        torch.save(state, part)


def read_state(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """What `write_state` wrote; OSError says that the file cannot be read now.

    Whatever else torch raises is for a damaged file, or one that would run code.
    """
    content = BytesIO(path.read_bytes())  # from the file itself torch raises OSError for a short one too
    return torch.load(content, map_location=device, weights_only=True)


class Checkpoint:
    """The state of an unfinished run, replaced whole and at most every ``seconds``.

    ``key`` names the run and what carries it out, and ``others`` what a file
    with another key belongs to: it is not continued. A disk that is full
    costs the checkpoint, not the run.
    """

    def __init__(
        self,
        path: Path,
        key: str,
        seconds: float = 10.0,
        others: str = "another experiment, device or version of the code",
    ) -> None:
        self.path, self.key, self.seconds, self.others = Path(path), key, seconds, others
        self.spent_before = 0.0  # seconds of the run in earlier processes, once restored
        self._begun = self._saved = time.monotonic()
        self._complained = False

    def save(self, state: Callable[[], dict[str, Any]]) -> None:
        """Write what ``state`` gives, unless the last time is less than ``seconds`` ago."""
        if time.monotonic() - self._saved < self.seconds:
            return
        spent = self.spent_before + time.monotonic() - self._begun
        try:
            write_state(self.path, {**state(), "key": self.key, "seconds": spent})
        except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
            if not self._complained:
                say(f"no checkpoint could be written to {self.path} ({error}); the run goes on without")
            self._complained = True
        self._saved = time.monotonic()

    def restore(self, device: torch.device | str, needed: Iterable[str] = ()) -> dict[str, Any] | None:
        """The state, with at least the entries ``needed``; None if there is none.

        None too for a file that cannot be used: it is moved aside, and that the run begins anew is said. OSError and
        MemoryError where it cannot be read now: that says nothing about what is in it.
        """
        if not self.path.exists():
            return None
        try:
            state = read_state(self.path, device)
            if state["key"] != self.key:
                raise ValueError(f"it belongs to {self.others}")
            if missing := set(needed) - state.keys():
                raise ValueError(f"it was written by older code, without {', '.join(sorted(missing))}")
        except (OSError, MemoryError, torch.OutOfMemoryError):  # too many open files, a shared folder, a full card
            raise
        except Exception as error:  # whatever torch raises for whatever is in the file
            say(f"the checkpoint {self.path.name} was not used ({error}); {set_aside(self.path)}, the run begins anew")
            return None
        self.spent_before = state["seconds"]
        return state

    def keep_history(self, error: Exception, history: list[dict[str, float]]) -> None:
        """Write the rows of a run that failed beside the file, as JSON; a note on the ``error`` says where."""
        path = self.path.with_suffix(".diverged.json")
        try:
            with atomic(path) as part:
                part.write_text(json.dumps(history), encoding="utf-8")
        except OSError as problem:
            error.add_note(f"the history could not be written to {path} ({problem})")
        else:
            error.add_note(f"the history up to then: {path}")

    def discard(self) -> None:
        """Delete the file: the run is done. Within `until_kept` it stays until that has ended without an error."""
        _when_kept(lambda: self.path.unlink(missing_ok=True))


class Blocks:
    """The finished blocks of an unfinished run: a JSON file each in ``folder``, which no other run may share.

    A disk that is full costs the file, not the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._complained = False

    def read(self, number: int, needed: Iterable[str] = ()) -> dict[str, Any] | None:
        """A finished block, with at least the entries ``needed``; None for none, and for one that is damaged.

        OSError where it cannot be read now.
        """
        try:
            block = json.loads(self._path(number).read_text(encoding="utf-8"))
            if not isinstance(block, dict) or set(needed) - block.keys():
                raise ValueError("it holds no block of such a run")
            return block
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:
            say(f"block {number} of {self.folder.name} was not used ({error}); it is run anew")
            return None

    def write(self, number: int, block: dict[str, Any]) -> None:
        """Keep a finished block."""
        try:
            with atomic(self._path(number)) as part:
                part.write_text(json.dumps(block), encoding="utf-8")
        except OSError as error:
            if not self._complained:
                say(f"no block could be written to {self.folder} ({error}); the run goes on without")
            self._complained = True

    def discard(self) -> None:
        """Delete all of them, and what a kill left beside them, when `Checkpoint.discard` deletes its file."""
        # a run's result is kept, whatever stays of how it came about
        _when_kept(lambda: shutil.rmtree(self.folder, ignore_errors=True))

    def _path(self, number: int) -> Path:
        return self.folder / f"block{number}.json"


_waiting: ContextVar[list[Callable[[], None]] | None] = ContextVar(
    "what deletes the checkpoints of runs whose results are not on disk", default=None
)


def _when_kept(delete: Callable[[], None]) -> None:
    waiting = _waiting.get()
    if waiting is None:
        delete()
    else:
        waiting.append(delete)


@contextmanager
def until_kept() -> Iterator[None]:
    """Hold the checkpoints of runs that end within until their results are on disk: the body writes them.

    If it raises or is killed before, as on a full disk, the checkpoints stay, and the next run goes on from them.
    """
    token = _waiting.set(waiting := [])
    try:
        yield
    finally:
        _waiting.reset(token)
    for delete in waiting:
        delete()
