"""Tables of image paths and labels: read as they are meant, and their images found."""

import csv
import os
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from PIL import Image

from .classes import some

TABLES = {".csv": ",", ".tsv": "\t", ".parquet": ""}  # kinds of tables, and what separates their fields
LONG = 100_000  # letters of a header that are looked at
MARKS = {";": "semicolons", "\t": "tabs", ",": "commas"}  # that may separate fields, against a file's name
WIDE = (b"\xff\xfe", b"\xfe\xff")  # how UTF-16 begins


def read_table(path: Path) -> pd.DataFrame:
    """A table; of strings unless it is Parquet, for a class may well be called NA, None or 01.

    Raises ValueError for what is no table in UTF-8 or 16, has no rows, rows longer than its header, other marks
    between its fields than its name says, or a quotation mark that is not closed, so that one field holds further rows.
    """
    separator = TABLES.get(path.suffix.lower(), ",")
    with open(path, "rb") as file:
        encoding = "utf-16" if file.read(2) in WIDE else "utf-8-sig"
    try:
        if not separator:
            return pd.read_parquet(path)
        with open(path, encoding=encoding) as file:
            header = file.readline(LONG).rstrip("\r\n")
        if separator not in header and (hint := separated_otherwise([header])):
            raise ValueError(hint)
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
    _check_quotes(table, separator, path, encoding)
    return table


def separated_otherwise(columns: Iterable) -> str:
    """What is wrong with a table whose header is one field, for fields are separated by another mark; else nothing."""
    names = list(map(str, columns))
    mark = next((mark for mark in MARKS if mark in names[0]), None) if len(names) == 1 else None
    return (
        f"its header is one field, {names[0]!r}, for {MARKS[mark]} separate the fields: save it with commas as .csv, "
        "or with tabs as .tsv"
        if mark
        else ""
    )


def check_column(columns: Iterable, wanted: str, option: str, where: str) -> None:
    """Raise ValueError where there is no column ``wanted``, which ``option`` names; ``where`` begins the message.

    It says which one differs in capitals or blanks alone, or that fields are separated otherwise.
    """
    columns = list(columns)
    if wanted in columns:
        return
    near = [name for name in columns if _plain(name) == _plain(wanted)]
    hint = f"is {near[0]!r} meant? " if len(near) == 1 else ""
    hint = separated_otherwise(columns) or f"{hint}{option} names another"
    raise ValueError(f"{where} no column {wanted!r}; there are: {', '.join(map(repr, columns))}; {hint}")


def _plain(name: object) -> str:
    return "".join(str(name).casefold().split())


def _check_quotes(table: pd.DataFrame, separator: str, path: Path, encoding: str) -> None:
    """Raise ValueError where a field of several lines may have swallowed rows: its quotation marks are not sound."""
    if not any(column.str.contains("\n", regex=False).any() for _, column in table.items()):
        return
    before = csv.field_size_limit(sys.maxsize)
    try:
        with open(path, encoding=encoding, newline="") as file:
            rows = csv.reader(file, delimiter=separator, strict=True)
            for fields in rows:
                if swallowed := next((field for field in fields if _holds_rows(field, separator, len(fields))), ""):
                    raise csv.Error(f"a field holds several lines that look like rows; it begins {swallowed[:40]!r}")
    except csv.Error as error:
        raise ValueError(
            f"{path}: the row that ends in line {rows.line_num} runs over several lines, and its quotation marks are "
            f"not sound ({error}); is one not closed? Within a field each is doubled"
        ) from error
    finally:
        csv.field_size_limit(before)


def _holds_rows(field: str, separator: str, columns: int) -> bool:
    """Whether whole lines of a field are as long as rows of three columns or more; a text's lines seldom all are."""
    inner = field.splitlines()[1:-1]
    return columns > 2 and len(inner) > 2 and all(line.count(separator) == columns - 1 for line in inner)


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
