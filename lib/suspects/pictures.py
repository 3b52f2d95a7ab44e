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

GREY = ("1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "I;16N")  # Pillow's modes without colour
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height


class _Head(NamedTuple):
    """What a file says of itself before it is decoded; ``size`` is width and height in pixels, upright."""

    size: tuple[int, int]
    grey: bool
    deep: bool  # more than eight bits a pixel


def read_files(
    paths: Sequence[Path], names: Sequence[str], largest: int, progress: bool = True
) -> tuple[Tensor, list[int], list[str]]:
    """Decode image files; all get the median size, with no side above ``largest`` pixels.

    Images, uint8 ``[kept, channels, height, width]`` with one channel or
    three; the positions of the files they come from; and sentences on what was
    left out or changed, which call the files by their ``names``. Raises
    ValueError if no file can be read.
    """
    faults: dict[int, str] = {}
    tried = (_tried(_head, k, faults, path) for k, path in enumerate(bar(paths, "sizes", "image", progress)))
    heads = {k: head for k, head in enumerate(tried) if head}
    kept: list[int] = []
    if heads:
        size, grey = _common_size([head.size for head in heads.values()], largest), all(h.grey for h in heads.values())
        # Decoded straight into their place: twice the images would not fit where once does.
        array = np.empty((len(heads), size[1], size[0], 1 if grey else 3), np.uint8)
        for position in bar(heads, "images", "image", progress):
            decoded = _tried(_decoded, position, faults, paths[position], size, grey)
            if decoded is not None:
                array[len(kept)] = decoded.reshape(array.shape[1:])
                kept.append(position)
    skipped = some([f"{names[position]} ({faults[position]})" for position in sorted(faults)])
    if not kept:
        raise ValueError(f"none of {len(paths)} images could be read; {skipped}")
    notes = [f"Skipped {len(faults)} of {len(paths)} images that could not be read: {skipped}."] if faults else []
    images = torch.from_numpy(array[: len(kept)]).permute(0, 3, 1, 2).contiguous()
    return images, kept, notes + _notes([heads[position] for position in kept], size, grey)


def from_pillow(image: Image.Image) -> Tensor:
    """An opened image as uint8 ``[channels, height, width]``, one channel or three."""
    array = np.asarray(_plain(image, image.mode in GREY))
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
    heads = [_Head((image.shape[2], image.shape[1]), image.shape[0] == 1, False) for image in images]
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
        turned = image.getexif().get(ExifTags.Base.Orientation) in TURNED
        if image.mode == "F":
            raise ValueError("its pixels are fractions; 8 or 16 bits a pixel are read")
        return _Head(image.size[::-1] if turned else image.size, image.mode in GREY, image.mode.startswith("I"))


def _decoded(path: Path, size: tuple[int, int], grey: bool) -> np.ndarray:
    with Image.open(path) as image:
        image.draft(None, (2 * max(size), 2 * max(size)))  # a large JPEG is decoded at a fraction of its size
        upright = _plain(ImageOps.exif_transpose(image), grey)
        return np.asarray(upright.resize(size, Image.Resampling.BILINEAR))  # a copy, where it has that size


def _plain(image: Image.Image, grey: bool) -> Image.Image:
    """The image in mode L or RGB; what is transparent lies on white."""
    if image.mode.startswith("I"):  # Pillow would clip 16 bits at 255
        deep = np.asarray(image)
        if deep.min() < 0 or deep.max() > 65535:
            raise ValueError("it has more than 16 bits a pixel")
        image = Image.fromarray((deep >> 8).astype(np.uint8))
    elif image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if grey else "RGB")


def _common_size(sizes: Collection[tuple[int, int]], largest: int) -> tuple[int, int]:
    """Median width and height, both shrunk by one factor if the longer is above ``largest``."""
    width, height = map(statistics.median_low, zip(*sizes, strict=True))
    shrink = min(1.0, largest / max(width, height))
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def _notes(heads: Sequence[_Head], size: tuple[int, int], grey: bool) -> list[str]:
    changed, pale, deep = (sum(some) for some in zip(*((h.size != size, h.grey, h.deep) for h in heads), strict=True))
    sides = [side for head in heads for side in head.size]
    resized = (
        f"Resized {changed} of {len(heads)} images to {size[0]} x {size[1]} pixels (width x height), whatever "
        f"their proportions; sides were {min(sides)} to {max(sides)} pixels."
    )
    coloured = f"{pale} grey images among {len(heads) - pale} coloured ones: all are read as RGB."
    flat = f"{deep} images of 16 bits a pixel are read with 8."
    return [note for note, said in ((resized, changed), (coloured, pale and not grey), (flat, deep)) if said]
