"""The store of a sweep's points: a folder that keeps each of them whole.

A point is a notebook with values for its parameters. Its folder is named by a
hash of both and of the code; it holds the executed notebook, the numbers of
its claims and tables, and ``done.json``, written last, which seals the two by
their checksums.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, SoftFileLock, Timeout

from .. import __version__
from ..files import atomic, move_aside
from ..identity import Identity
from ..paths import NOTEBOOKS

FORMAT = 1  # of a store; raised when an older book could not read what a newer one writes
DONE, NOTEBOOK, NUMBERS = "done.json", "notebook.ipynb", "numbers.parquet"
ROWS = pa.schema(
    [
        ("source", pa.string()),  # "claim", "table" or "glue"
        ("source_name", pa.string()),  # the claim's id, the table's name, the name under which it was glued
        ("quantity", pa.string()),  # which of its values or columns
        ("row", pa.int32()),  # the seed of a claim's value, the row of a table's
        ("value", pa.float64()),
        ("verdict", pa.string()),  # of a claim: "holds", "partly", "does not hold"
    ]
)
# Columns of the collected table that are about a point, and what they are called in its mark. None of them, nor of
# ROWS, is called like what notebooks call a parameter.
COLUMNS = {
    "error": "error",
    "traceback": "traceback",
    "point_seconds": "seconds",
    "cell_seconds": "compute",
    "attempts": "attempts",
    "ran_on": "device",
    "ran_threads": "threads",
    "ran_at": "date",
    "code_id": "code_id",
}
RESERVED = {"point", "state", *COLUMNS, *ROWS.names}  # columns of the table; the others are the parameters
POINT = re.compile(r"[0-9a-f]{16}-\w+")  # a point's folder
SORTED = json.JSONEncoder(sort_keys=True).encode


class StoreProblem(ValueError):
    """A folder that is no store of this book's, or one that it cannot read."""


class StoreFailed(RuntimeError):
    """A point could not be written; what was stored before is intact."""


def point_name(notebook: Path, given: Mapping[str, Any], code: Identity, folder: Path | None = None) -> str:
    """Of a point's folder: sixteen digits for the notebook and the values of its parameters, then those of the code.

    ``folder``: where its kernel works, if that is named; of a notebook that is not the book's own it counts in any
    case, for there lie its data.
    """
    if folder is None and not notebook.is_relative_to(NOTEBOOKS):
        folder = notebook.parent
    told = SORTED([notebook.stem, dict(given), *([str(folder)] if folder else [])])
    return f"{hashlib.sha256(told.encode()).hexdigest()[:16]}-{code.id}"


class PointStore:
    """A folder of points: ``points/<point>-<code>/``. Several sweeps may use it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.points = self.folder / "points"

    def open(self, *, create: bool = False) -> "PointStore":
        """Check that the folder is a store of ours, or make it one; StoreProblem or StoreFailed if it cannot be."""
        head = self.folder / "store.json"
        try:
            found = int(json.loads(head.read_text(encoding="utf-8"))["format"])
        except FileNotFoundError:
            if self.folder.exists() and any(self.folder.iterdir()) and not self.points.exists():
                raise StoreProblem(f"{self.folder} holds other things and is no store of sweeps") from None
            return self._make(head) if create else self
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

    def _make(self, head: Path) -> "PointStore":
        try:
            # This first: another sweep that makes the same store now would find a file and call it no store.
            self.points.mkdir(parents=True, exist_ok=True)
            with atomic(head) as part:
                part.write_text(json.dumps({"format": FORMAT, "book": __version__}) + "\n", encoding="utf-8")
        except OSError as error:
            raise StoreFailed(f"{self.folder} cannot be made a store: {error}") from error
        return self

    def names(self) -> list[str]:
        """The folders of all points, finished or not; what else lies there is none of ours."""
        return sorted(filter(POINT.fullmatch, os.listdir(self.points))) if self.points.exists() else []

    def size(self) -> str:
        """How many points and bytes it holds, in words; another sweep may be writing into it."""
        names = self.names()
        total, number = sum(map(self._bytes, names)), len(names)
        size = f"{total / 1e6:,.0f} MB" if total >= 1e7 else f"{total / 1e3:,.0f} kB"
        return f"{number:,} {'point' if number == 1 else 'points'}, {size}"

    def _bytes(self, name: str) -> int:
        total = 0
        with suppress(OSError):  # not a point's folder, or one that another sweep has just removed
            for file in os.scandir(self.points / name):
                with suppress(FileNotFoundError):  # it was renamed since
                    total += file.stat().st_size
        return total

    def look(self, name: str) -> tuple[dict[str, Any] | None, str]:
        """The mark of a finished point, and what is wrong with its files: (None, "") if it never ended.

        What is wrong begins with the name of the file.
        """
        folder = f"{self.points}{os.sep}{name}{os.sep}"  # ten thousand points are looked at in a second
        try:
            mark = json.loads(_content(folder + DONE))
            if mark.pop("seal") != seal_of(mark):
                return None, f"{DONE} was altered: its checksum does not fit"
        except FileNotFoundError:
            return None, ""
        except (ValueError, KeyError, TypeError, AttributeError):
            return None, f"{DONE} is damaged"
        for part, digest in mark["files"].items():
            try:
                found = hashlib.sha256(_content(folder + part)).hexdigest()
            except FileNotFoundError:
                return None, f"{part} is gone"
            if found != digest:
                return None, f"{part} was truncated or altered: its checksum does not fit"
        return mark, ""

    def numbers(self, name: str) -> pa.Table:
        """The rows of a finished point, as ROWS has them."""
        content = _content(os.path.join(self.points, name, NUMBERS))
        return pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)  # threads cost more than they read

    @contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """Whether this process may run the point; nobody else may until the block ends or the process dies.

        It is a lock of the operating system on a file in the point's folder,
        so that the claim of a dead process is free at once, also where the
        store is on a file system that several machines share.
        """
        lock = FileLock(self.points / name / "claim", timeout=0)
        try:
            (self.points / name).mkdir(parents=True, exist_ok=True)
            lock.acquire()
            if isinstance(lock, SoftFileLock):  # filelock's way out, a file that outlives the process that made it
                lock.release()
                raise OSError("no file locks")
        except Timeout:
            yield False
            return
        except (OSError, NotImplementedError) as error:
            raise StoreFailed(
                f"{self.points / name} cannot be claimed: {error}. A store needs a file system with room and file locks"
            ) from error
        try:
            yield True
        finally:
            lock.release()

    def put(self, name: str, mark: Mapping[str, Any], notebook: str | None, numbers: pa.Table) -> None:
        """Write a finished point, its mark last; the caller holds its claim. StoreFailed if the disk will not.

        What is damaged there is moved aside, what is only older is replaced.
        """
        folder = self.points / name
        sink = pa.BufferOutputStream()
        pq.write_table(numbers.replace_schema_metadata({b"point": json.dumps(mark).encode()}), sink, compression="zstd")
        files = {NUMBERS: sink.getvalue().to_pybytes()} | (
            {NOTEBOOK: notebook.encode()} if notebook is not None else {}
        )
        told = {**mark, "files": {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}}
        files[DONE] = (json.dumps({**told, "seal": seal_of(told)}, indent=1) + "\n").encode()
        try:
            damaged = self.look(name)[1].partition(" ")[0]
            if damaged and (folder / damaged).exists():
                move_aside(folder / damaged)
            (folder / DONE).unlink(missing_ok=True)
            for left in folder.glob(".part-*"):  # of a process that was killed while it wrote
                left.unlink(missing_ok=True)
            for file, content in files.items():
                with atomic(folder / file) as part:
                    part.write_bytes(content)
        except OSError as error:
            raise StoreFailed(f"{folder} could not be written: {error}") from error


def _content(path: str) -> bytes:
    """As ``open(path, "rb").read()``, at half the cost."""
    file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        parts = [os.read(file, os.fstat(file).st_size + 1)]
        while parts[-1]:
            parts.append(os.read(file, 1 << 24))
        return b"".join(parts)
    finally:
        os.close(file)


def seal_of(mark: Mapping[str, Any] | None) -> str:
    """What tells one mark from another; "" for none."""
    return "" if mark is None else hashlib.sha256(SORTED(mark).encode()).hexdigest()
