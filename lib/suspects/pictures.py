"""Image files as one array: corrupt ones are left out, sizes and colours made alike, and all of that is said."""

import statistics
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor
from torch.nn.functional import interpolate

from ..progress import bar
from .classes import some

GREY = ("1", "L", "LA", "F", "I", "I;16", "I;16L", "I;16B", "I;16N")  # Pillow's modes without colour
ROUNDED = 1e-3  # by which pixels in [0, 1] may lie outside
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height


class _Head(NamedTuple):
    """What a file says of itself before it is decoded; ``size`` is width and height in pixels, upright."""

    size: tuple[int, int]
    grey: bool
    deep: str = ""  # I: integers of more than eight bits a pixel; F: fractions
    cut: bool = False  # of more than eight bits a channel in the file, of which Pillow gives eight
    several: bool = False  # pictures in one file, of which the first is read


def read_files(
    paths: Sequence[Path], names: Sequence[str], largest: int, progress: bool = True
) -> tuple[Tensor, list[int], list[str]]:
    """Decode image files; all get the median size, with no side above ``largest`` pixels.

    Images ``[kept, channels, height, width]`` with one channel or three, uint8, or float32 in [0, 1]
    where some have more bits a pixel: those are scaled by the range of them all; the positions of
    the files they come from; and sentences on what was left out or changed, which call the files by their ``names``.
    Raises ValueError if no file can be read.
    """
    faults: dict[int, str] = {}
    tried = (_tried(_head, k, faults, path) for k, path in enumerate(bar(paths, "sizes", "image", progress)))
    heads = {k: head for k, head in enumerate(tried) if head}
    kept: list[int] = []
    if heads:
        size, grey = _common_size([head.size for head in heads.values()], largest), all(h.grey for h in heads.values())
        # Decoded straight into their place: twice the images would not fit where once does.
        deep = any(head.deep for head in heads.values())
        array = np.empty((len(heads), size[1], size[0], 1 if grey else 3), np.float32 if deep else np.uint8)
        for position, head in bar(heads.items(), "images", "image", progress):
            decoded = _tried(_decoded, position, faults, paths[position], size, grey)
            if decoded is not None:
                decoded = decoded.reshape(*array.shape[1:3], -1)
                array[len(kept)] = decoded / 255 if deep and not head.deep else decoded
                kept.append(position)
    skipped = some([f"{names[position]} ({faults[position]})" for position in sorted(faults)])
    if not kept:
        raise ValueError(f"none of {len(paths)} images could be read; {skipped}")
    notes = [f"Skipped {len(faults)} of {len(paths)} images that could not be read: {skipped}."] if faults else []
    for kind in ("I", "F"):
        notes += _scale(array, [k for k, position in enumerate(kept) if heads[position].deep == kind])
    images = torch.from_numpy(array[: len(kept)]).permute(0, 3, 1, 2).contiguous()
    return images, kept, notes + _notes([heads[position] for position in kept], size, grey)


def _scale(array: np.ndarray, deep: list[int]) -> list[str]:
    """Bring the deep images at these places to [0, 1], by the range of them all; a note on it."""
    if not deep:
        return []
    low, high = float(min(array[k].min() for k in deep)), float(max(array[k].max() for k in deep))
    least, range_, notes = to_unit(low, high)
    for k in deep:
        array[k] = ((array[k] - least) / range_).clip(0, 1)
    return [f"{len(deep)} images have more than 8 bits a pixel. {note}" for note in notes]


def to_unit(low: float, high: float) -> tuple[float, float, list[str]]:
    """What to take from pixels that run from ``low`` to ``high``, and then divide by, so that they lie in [0, 1].

    With a note on it, where there is something to do: more than to cut what rounding left outside.
    """
    if low >= -ROUNDED and high <= 1 + ROUNDED:
        return 0.0, 1.0, []
    ran = f"Pixels ran from {low:g} to {high:g}"
    if low >= 0 and high <= 255:
        return 0.0, 255.0, [f"{ran}: divided by 255."]
    ran += " (standardised?)" if low < 0 else ""
    return low, (high - low) or 1.0, [f"{ran}: scaled linearly to 0 ... 1."]


def from_pillow(image: Image.Image) -> Tensor:
    """An opened image as ``[channels, height, width]``, one channel or three: uint8, or int32 or float32 if deeper."""
    array = np.asarray(image) if _deep(image) else np.asarray(_plain(image, image.mode in GREY))
    if array.dtype == np.uint16:
        array = array.astype(np.int32)
    return torch.from_numpy(array.copy().reshape(*array.shape[:2], -1)).permute(2, 0, 1).contiguous()


def stack(images: Sequence[Tensor], largest: int) -> tuple[Tensor, list[str]]:
    """Images ``[channels, height, width]`` as one tensor, and notes on what it took to make them alike.

    Grey ones among coloured ones become coloured; all get the median size,
    with no side above ``largest`` pixels. Raises ValueError for types or
    channels that do not go together.
    """
    kinds = {str(image.dtype).removeprefix("torch.") for image in images}
    if len(kinds) > 1:
        raise ValueError(f"images are of different types: {', '.join(sorted(kinds))}; they must be of one")
    channels = {image.shape[0] for image in images}
    if len(channels) > 1 and channels != {1, 3}:
        raise ValueError(f"images have {', '.join(map(str, sorted(channels)))} channels; only 1 and 3 go together")
    heads = [_Head((image.shape[2], image.shape[1]), image.shape[0] == 1) for image in images]
    size = _common_size([head.size for head in heads], largest)
    alike = [_resized(image.expand(max(channels), -1, -1), size[::-1]) for image in images]
    return torch.stack(alike), _notes(heads, size, channels == {1})


def _resized(image: Tensor, shape: tuple[int, ...]) -> Tensor:
    if tuple(image.shape[1:]) == shape:
        return image
    smooth = interpolate(image[None].float(), size=shape, mode="bilinear", antialias=True)[0]
    return smooth.round().clamp(0, 255).to(torch.uint8) if image.dtype == torch.uint8 else smooth.to(image.dtype)


def _tried(function, position: int, faults: dict[int, str], path: Path, *rest):
    """What ``function`` makes of a file, or None and a word in ``faults``."""
    try:
        with warnings.catch_warnings():  # odd metadata is no reason to speak, nor a huge image
            warnings.simplefilter("ignore")
            return function(path, *rest)
    except Exception as error:  # Pillow's decoders raise whatever their format stumbles on
        missing = isinstance(error, FileNotFoundError)
        text = "not there" if missing else str(error).replace(repr(str(path)), "it") or type(error).__name__
        faults[position] = text
        return None


def _head(path: Path) -> _Head:
    with Image.open(path) as image:
        deep, tiles = _deep(image), str(image.tile)  # which are gone once it is decoded, by getexif for example
        turned = image.getexif().get(ExifTags.Base.Orientation) in TURNED
        size = image.size[::-1] if turned else image.size
        several = image.format != "MPO" and getattr(image, "is_animated", False)  # a telephone's MPO holds previews
        return _Head(size, image.mode in GREY, deep, not deep and ";16" in tiles, several)


def _deep(image: Image.Image) -> str:
    """What its pixels are that bytes do not hold; "" where they do."""
    return image.mode[0] if image.mode[0] in "IF" else ""


def _decoded(path: Path, size: tuple[int, int], grey: bool) -> np.ndarray:
    with Image.open(path) as image:
        image.draft(None, (2 * max(size), 2 * max(size)))  # a large JPEG is decoded at a fraction of its size
        upright = _plain(ImageOps.exif_transpose(image), grey)
        return np.asarray(upright.resize(size, Image.Resampling.BILINEAR))  # a copy, where it has that size


def _plain(image: Image.Image, grey: bool) -> Image.Image:
    """The image in mode L or RGB, what is transparent on white; in mode F if it is deep."""
    if _deep(image):  # Pillow would clip them at 255
        fractions = np.asarray(image, dtype=np.float32)
        if not np.isfinite(fractions).all():
            raise ValueError("its pixels hold NaN or infinity")
        return Image.fromarray(fractions)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if grey else "RGB")


def _common_size(sizes: Collection[tuple[int, int]], largest: int) -> tuple[int, int]:
    """Median width and height, both shrunk by one factor if the longer is above ``largest``."""
    width, height = map(statistics.median_low, zip(*sizes, strict=True))
    shrink = min(1.0, largest / max(width, height))
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def _notes(heads: Sequence[_Head], size: tuple[int, int], grey: bool) -> list[str]:
    said = [(head.size != size, head.grey, head.cut, head.several) for head in heads]
    changed, pale, cut, several = (sum(some) for some in zip(*said, strict=True))
    sides = [side for head in heads for side in head.size]
    resized = (
        f"Resized {changed} of {len(heads)} images to {size[0]} x {size[1]} pixels (width x height), whatever "
        f"their proportions; sides were {min(sides)} to {max(sides)} pixels."
    )
    coloured = f"{pale} grey images among {len(heads) - pale} coloured ones: all are read as RGB."
    flat = f"{cut} images of 16 bits a channel are read with 8."
    firsts = f"{several} files hold several pictures each, of which the first is read."
    notes = ((resized, changed), (coloured, pale and not grey), (flat, cut), (firsts, several))
    return [note for note, said in notes if said]
