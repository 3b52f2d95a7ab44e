"""Tables of image paths and labels: read as they are meant, and their images found."""

import os
import warnings
from pathlib import Path

import pandas as pd
from PIL import Image

from .classes import some

TABLES = {".csv": ",", ".tsv": "\t", ".parquet": ""}  # kinds of tables, and what separates their fields
WIDE = (b"\xff\xfe", b"\xfe\xff")  # how UTF-16 begins


def read_table(path: Path) -> pd.DataFrame:
    """A table; of strings unless it is Parquet, for a class may well be called NA, None or 01.

    Raises ValueError for what is no table in UTF-8 or 16, has no rows, rows longer than its header, or a quotation
    mark that is not closed, so that one field holds further rows.
    """
    separator = TABLES.get(path.suffix.lower(), ",")
    with open(path, "rb") as file:
        encoding = "utf-16" if file.read(2) in WIDE else "utf-8-sig"
    try:
        if not separator:
            return pd.read_parquet(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                path, sep=separator, dtype=str, keep_default_na=False, encoding=encoding, index_col=False
            ).fillna("")  # rows that end early
    except pd.errors.ParserWarning as error:
        raise ValueError(f"{path} is no table: its rows have more fields than its header") from error
    except UnicodeError as error:
        raise ValueError(f"{path} is no table in UTF-8 ({error}): save it in that encoding") from error
    except (ValueError, pd.errors.ParserError) as error:
        raise ValueError(f"{path} is no table ({str(error).strip()})") from error
    if table.empty:
        raise ValueError(f"{path} has no rows")
    _check_quotes(table, separator, path)
    return table


def _check_quotes(table: pd.DataFrame, separator: str, path: Path) -> None:
    """Raise ValueError where a field holds lines that look like rows: they would vanish."""
    for column in table.columns:
        for row, field in table[column][table[column].str.contains("\n", regex=False)].items():
            lines = field.splitlines()[1:]
            if lines and min(line.count(separator) for line in lines) >= table.shape[1] - 1 > 0:
                raise ValueError(
                    f"{path}: the field {column!r} of row {row} (counted from 0) runs over {len(lines) + 1} lines that "
                    f"look like rows; is a quotation mark not closed? It begins {field[:40]!r}"
                )


def located(root: Path, names: list[str]) -> tuple[list[Path], list[str]]:
    """Where the images of a table lie, and a note on those that are not there as written.

    Of these the one file is taken that differs in capitals, blanks around it, backslashes or an extension left out.
    Raises ValueError where no image is there.
    """
    listed: dict[Path, list[str]] = {}
    paths, found = [], {}
    for name in names:
        path = root / name
        if not path.exists() and (near := _near(root / name.strip().replace("\\", "/"), listed)):
            path = found[name] = near
        paths.append(path)
    if not found and not any(path.exists() for path in paths):
        shown = some([f"{name} (not there)" for name in names])
        raise ValueError(
            f"none of {len(names)} images could be read; {shown}. Paths count from {root}; root (--root) names another "
            "folder"
        )
    if not found:
        return paths, []
    name, path = next(iter(found.items()))
    return paths, [f"{len(found)} paths are not there as written: {str(path)!r} is read for {name!r}, and so on."]


def _near(path: Path, listed: dict[Path, list[str]]) -> Path | None:
    """The one file that ``path`` means; ``listed`` remembers what is in each folder."""
    if path.exists():
        return path
    if path.parent not in listed:
        listed[path.parent] = os.listdir(path.parent) if path.parent.is_dir() else []
    wanted = path.name.casefold()
    bare = path.suffix.lower() not in Image.registered_extensions()  # 1.5_a is no extension
    meant = [
        name for name in listed[path.parent] if wanted in (name.casefold(), Path(name).stem.casefold() if bare else "")
    ]
    return path.parent / meant[0] if len(meant) == 1 else None
