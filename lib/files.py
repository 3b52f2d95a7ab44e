"""Files that are either whole or not there."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NO_NUMBERS = True


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` on success.

    If the body raises (a full disk, an interrupt), what stood at ``path``
    before stands there still, and the temporary file is gone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept: numpy, for one, appends its own to names without it.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-", suffix=path.suffix)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with open(part, "rb+") as written:
            os.fsync(written.fileno())
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o666 & ~mask)  # mkstemp makes files that only their owner can read
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def whole_files(folder: Path, pattern: str) -> list[Path]:
    """Files of a folder by a glob, sorted, without what `atomic` is still writing or a kill has left of it."""
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))


def move_aside(path: Path) -> Path:
    """Rename a damaged file so that it is neither read again nor lost; its new name, or the old one if that failed.

    It fails in a folder that may not be written to, and where another process has just done it.
    """
    for number in range(1, 1000):
        aside = path.with_name(f"{path.name}.damaged-{number}")
        if not aside.exists():
            try:
                return path.rename(aside)
            except OSError:
                return path
    raise OSError(f"{path}: a thousand damaged copies lie beside it; delete them")


def set_aside(path: Path) -> str:
    """`move_aside`, in words: "moved to ..." or "left where it is"."""
    aside = move_aside(path)
    return "left where it is" if aside == path else f"moved to {aside.name}"
