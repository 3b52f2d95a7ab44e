"""The worst suspects as one HTML file that asks nothing of a network.

``write_gallery`` puts pictures, given and suggested labels, filters and marks
into a single page (``templates/gallery.*``); the marks leave it as a CSV.
Whatever a user named (samples, classes, summary) is escaped, and the page's own
policy forbids its browser to fetch anything or to run any script but its own.
"""

import base64
import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from torch import Tensor

from ..files import atomic
from .classes import called
from .read import Labelled

ALSO = ("near_duplicate", "near_conflict", "outlier")  # of `neighbours`, where they are there
COLUMNS = ("given_label", "predicted_label", "label_quality", "probability_wrong", "is_label_issue")
LIMIT = 2000
SMALL = 64  # pixels: images up to this side are kept whole
THUMBNAIL = 96  # … larger ones get this longest side
TEMPLATES = Path(__file__).parent / "templates"


def write_gallery(
    table: pd.DataFrame, labelled: Labelled, path: Path, *, summary: Sequence[str] = (), limit: int = LIMIT
) -> int:
    """Write the gallery of the ``limit`` rows of lowest ``label_quality``; how many it shows.

    ``table`` is indexed like ``labelled.index`` (in any order if that is
    unique) and has the columns of cleanlab's tables: ``given_label``,
    ``predicted_label`` (names), ``label_quality`` (0 is surely wrong),
    ``probability_wrong`` and ``is_label_issue``; near duplicates and outliers are shown where the table has them.
    The file is written atomically. Raises ValueError for missing columns, rows that are not of
    ``labelled``, labels that are none of its classes, NaN, and a limit below 1.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # nothing else needs it

    positions = _positions(table, labelled)
    _check(table, labelled, limit)
    order = np.lexsort((-table["probability_wrong"].to_numpy(float), table["label_quality"].to_numpy(float)))[:limit]
    height, width = (0, 0) if labelled.embedded else labelled.inputs.shape[2:]
    script = (TEMPLATES / "gallery.js").read_text(encoding="utf-8")
    templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    page = templates.get_template("gallery.html").render(
        style=(TEMPLATES / "gallery.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        height=height,
        width=width,
        small=SMALL,
        shown=len(order),
        samples=len(table),
        flagged=int(table["is_label_issue"].sum()),
        summary=list(summary),
        notes=labelled.notes,
        names=labelled.class_names,
        classes=_by_class(table, order, labelled.class_names),
        also=set(ALSO) <= set(table.columns),
        cards=_cards(table.iloc[order], labelled, positions[order]),
    )
    with atomic(Path(path)) as part:
        part.write_text(page, encoding="utf-8")
    return len(order)


def _check(table: pd.DataFrame, labelled: Labelled, limit: int) -> None:
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise ValueError(f"the table has no column {', '.join(missing)}; there are: {', '.join(map(str, table))}")
    if limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    for column in COLUMNS[:2]:
        unknown = set(table[column].astype(str)) - set(labelled.class_names)
        if unknown:
            raise ValueError(f"{column} holds {', '.join(sorted(unknown)[:10])}: none of the classes")
    for column in COLUMNS[2:4]:
        gaps = int(table[column].isna().sum())
        if gaps:
            raise ValueError(f"{column} holds {gaps} NaN")


def _positions(table: pd.DataFrame, labelled: Labelled) -> np.ndarray:
    """Which sample each row of the table is about."""
    if table.index.equals(labelled.index):
        return np.arange(len(labelled))
    if not labelled.index.is_unique:
        raise ValueError("the table must have the index of the samples, in their order: some names stand for several")
    positions = labelled.index.get_indexer(table.index)
    if (positions < 0).any():
        raise ValueError(f"the table has a row {table.index[positions < 0][0]!r}, which is no sample")
    return positions


def thumbnail(image: Tensor, white: float) -> str:
    """An image ``[channels, height, width]`` as a data URL: PNG, exact, up to 64 pixels a side, a JPEG above."""
    array = np.rint(np.clip(image.float().numpy() / white, 0, 1) * 255).astype(np.uint8)
    coloured = len(array) in (3, 4)  # what is transparent is shown too
    pixels = array[:3].transpose(1, 2, 0) if coloured else array.mean(0).round().astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    content = io.BytesIO()
    if max(picture.size) <= SMALL:
        picture.save(content, "PNG", optimize=True)
        kind = "png"
    else:
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
        picture.save(content, "JPEG", quality=82)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"


# What the page shows -----------------------------------------------------------------------------


def _cards(shown: pd.DataFrame, labelled: Labelled, positions: np.ndarray) -> Iterator[dict[str, Any]]:
    """A sample each: its row, its classes' numbers ``g`` and ``p``, and its picture; made when it is asked for."""
    number = {name: c for c, name in enumerate(labelled.class_names)}
    also = list(ALSO) if set(ALSO) <= set(shown.columns) else []
    plain = dict.fromkeys(ALSO, "")
    for name, position, row in zip(shown.index, positions, shown[[*COLUMNS, *also]].to_dict("records"), strict=True):
        yield (
            plain
            | row
            | {
                "name": called(name),
                "g": number[str(row["given_label"])],
                "p": number[str(row["predicted_label"])],
                "percent": _percent(row["probability_wrong"]),
                "picture": "" if labelled.embedded else thumbnail(labelled.inputs[position], labelled.white),
            }
        )


def _percent(share: float) -> str:
    """A probability without the certainty that rounding would claim."""
    percent = 100 * float(share)
    if percent >= 99.5:
        return "> 99 %"
    return "< 1 %" if percent < 0.5 else f"{percent:.0f} %"


def _by_class(table: pd.DataFrame, order: np.ndarray, names: tuple[str, ...]) -> Iterator[Any]:
    """For each class how many samples were given its label, are flagged among them, and are shown below."""
    given = table["given_label"].astype(str)
    some = {"samples": given, "flagged": given[table["is_label_issue"].to_numpy(bool)], "below": given.iloc[order]}
    counts = {column: labels.value_counts().reindex(names, fill_value=0) for column, labels in some.items()}
    return pd.DataFrame(counts).itertuples()
