"""Where things are: the book's root, the data folder, the records."""

import os
import sys
from pathlib import Path

NO_NUMBERS = True

DATA_VARIABLE = "CLEAN_PRIORITY_DATA"  # names the data folder

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
RECORDS = ROOT / "book" / "records"  # recorded runs that travel with the book
SWEEPS = ROOT / "book" / "sweeps"  # collected tables that travel with the book
CAPTIONS = NOTEBOOKS / "captions"  # of figures, with their alternative texts
BUILD = ROOT / "_build"


def in_the_book() -> bool:
    """Whether this code lies in the book's folder, with its notebooks; not where it was installed from outside."""
    return (ROOT / "_config.yml").is_file() and NOTEBOOKS.is_dir()


def data_folder(folder: str | Path | None = None) -> Path:
    """The folder of data sets, checkpoints and a reader's own runs.

    ``folder`` if given, else the environment variable ``CLEAN_PRIORITY_DATA``,
    else a cache folder of the user's. It is not created here.
    """
    if folder is not None:
        return Path(folder).expanduser()
    if named := os.environ.get(DATA_VARIABLE):
        return Path(named).expanduser()
    return _user_cache() / "clean-priority"


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
