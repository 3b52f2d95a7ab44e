"""A folder of images for each class: which files are images, and which folders are classes."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from .classes import some, text

PARTS = ("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval")  # of a data set


def class_folders(folder: Path) -> tuple[list[Path], list[str], list[str]]:
    """The images in the folders of ``folder``, what to call them, their path from it, and notes.

    An image is what has the extension of one, and what has no known extension but begins like one.
    Raises ValueError where there are none, and where the folders are parts of a data set and no classes.
    """
    if not [entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")]:
        raise ValueError(f"{folder} holds no folders; expected one per class")
    found, others, kinds = [], [], {}
    for path in _files(folder):
        parts = path.relative_to(folder).parts
        if len(parts) > 1 and is_image(path):
            found.append(path)
            kinds.setdefault(parts[0], set()).add(parts[1] if len(parts) > 2 else "")
        else:
            others.append(text("/".join(parts)))
    left_out = f"{len(others)} files of {text(str(folder))} are no images in a class's folder: left out"
    notes = [f"{left_out} ({some(others[:3])}{', ...' if others[3:] else ''})."] if others else []
    if not found:
        raise ValueError(" ".join([f"no images in the folders of {folder}; expected {folder}/CLASS/IMAGE.", *notes]))
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and entry.name not in kinds and not entry.name.startswith("."):
            notes.append(f"No images in the folder {text(entry.name)!r}: it is not a class.")
    notes += _check_levels(folder, kinds)
    return found, [text(path.relative_to(folder).as_posix()) for path in found], notes


def _check_levels(folder: Path, kinds: dict[str, set[str]]) -> list[str]:
    """A note where the classes may lie a level below; ``kinds``: the folders in each folder, "" for images in it."""
    below = sorted({text(name) for names in kinds.values() for name in names if name})
    inside = f"the folders in them, {some(below)}," if below else "the folders in them"
    parts = [name for name in kinds if name.casefold() in PARTS]
    if len(parts) > 1 and (len(parts) == len(kinds) or not any("" in kinds[name] for name in parts)):
        raise ValueError(
            f"{', '.join(parts)} in {folder} look like parts of a data set, not like classes; if {inside} are the "
            f"classes, name one of the parts, such as {folder / parts[0]}"
        )
    if any("" in names for names in kinds.values()):
        return []
    first = next(iter(kinds))
    hint = f"if {inside} are the classes, name such a folder: {text(str(folder / first))}"
    if len(kinds) == 1:
        raise ValueError(f"all images of {folder} lie in the folder {first!r}, and so have one label; {hint}")
    return [f"All images lie two levels down; {hint}."]


def _files(folder: Path) -> Iterator[Path]:
    """All files at any depth, in order, but hidden ones; links to folders are followed, but for those into a circle."""
    above = {str(folder): {os.path.realpath(folder)}}
    for place, folders, names in os.walk(folder, followlinks=True):
        inside = {name: os.path.realpath(os.path.join(place, name)) for name in folders if not name.startswith(".")}
        mine = above.pop(place)
        folders[:] = sorted(name for name, real in inside.items() if real not in mine)
        above |= {os.path.join(place, name): mine | {inside[name]} for name in folders}
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def is_image(path: Path) -> bool:
    """Whether a file's extension is that of an image or, where no image has it, its first bytes are."""
    if path.suffix.lower() in Image.registered_extensions():
        return True
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path):
            return True
    except Exception:  # whatever Pillow's decoders stumble on
        return False
