"""What a path holds: a folder of images for each class, a table, or arrays in one file."""

from dataclasses import replace
from pathlib import Path

from .arrays import LARGEST, open_npz, read_npz
from .columns import from_table
from .read import INPUTS, KINDS, Labelled, from_arrays, from_csv, from_folder
from .tables import TABLES, read_table


def read_samples(
    source: str | Path,
    *,
    image_column: str | None = None,
    label_column: str | None = None,
    root: str | Path | None = None,
    largest: int = LARGEST,
    progress: bool = True,
) -> Labelled:
    """What ``source`` holds: a folder per class, a .csv, .tsv or .parquet table, or a .npz file.

    A table names images in a column, by default ``image``; without one, all columns but the labels
    describe the sample (`from_table`). A .npz file holds ``images``, ``embeddings`` or ``inputs`` and ``labels``,
    and perhaps ``pred_probs``, alone or beside them, ``class_names`` and ``index``; ``image_column`` and
    ``label_column`` name other arrays of it, as they name columns of a table.
    Raises FileNotFoundError, and ValueError for other files, for options that
    the source has no use for, and for whatever its reader refuses.
    """
    path = Path(source)
    kind = path.suffix.lower()
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there")
    if root is not None and kind not in TABLES:
        raise ValueError(f"root is where the paths of a .csv, .tsv or .parquet count from; {path} is none")
    if path.is_dir():
        if image_column or label_column:
            raise ValueError(f"{path} is a folder: it has no columns")
        return from_folder(path, largest=largest, progress=progress)
    if kind in TABLES:
        columns = image_column or "image", label_column or "label"
        if not image_column and columns[0] not in (table := read_table(path)).columns:
            return from_table(table, columns[1])
        return from_csv(path, *columns, root, largest=largest, progress=progress)
    if kind == ".npz":
        return _from_npz(path, image_column, label_column or "labels")
    raise ValueError(
        f"{path}: allowed are a folder that holds one per class, a .csv, .tsv or .parquet table, or a .npz file"
    )


def _from_npz(path: Path, image_key: str | None, label_key: str) -> Labelled:
    with open(path, "rb") as handle:
        file = open_npz(handle, path)
        keys = [image_key] if image_key else [key for key in INPUTS if key in file]
        judged = "pred_probs" in file
        needed = [] if keys or judged else [f"one of {', '.join(INPUTS)} or pred_probs (or --image-column names it)"]
        needed += [f"{key} (or --image-column names another array)" for key in keys if key not in file]
        needed += [] if label_key in file else [f"{label_key} (or --label-column names another array)"]
        if needed:
            raise ValueError(f"{path} must hold {' and '.join(needed)}; there are: {', '.join(file)}")
        if len(keys) > 1:
            raise ValueError(f"{path} holds {' and '.join(keys)}: choose which by --image-column")
        numbers = "one array of numbers; pictures of several sizes as a folder a class"
        inputs, probabilities = (
            read_npz(file, key, path, numbers) if key in file else None for key in ((keys or [""])[0], "pred_probs")
        )
        labels = read_npz(file, label_key, path, "labels as integers or as an array of strings")
        names, index = (
            read_npz(file, key, path, "an array of strings").tolist() if key in file else None
            for key in ("class_names", "index")
        )
    found = from_arrays(probabilities, labels, names, index, kind="pred_probs") if judged else None
    if not keys:
        return found
    shown = from_arrays(inputs, labels, found.class_names if judged else names, index, kind=_kind(keys[0]))
    return replace(shown, pred_probs=found.pred_probs) if judged else shown


def _kind(key: str) -> str | None:
    return key if key in KINDS else None
