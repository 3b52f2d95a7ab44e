"""Arrays of any kind as the numbers a network reads: embeddings as float32, images as bytes or floats in [0, 1].

What is mended is a sentence in the notes; what cannot be meant raises ValueError.
"""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from . import pictures
from .classes import some

LARGEST = 128  # pixels: no side of an image of a list or a file is longer
CHUNK = 2**22  # numbers that are looked at in one go


def as_inputs(inputs: Any) -> tuple[Tensor, list[str]]:
    """Embeddings ``[n, features]`` or images ``[n, channels, h, w]`` of any number type, and notes."""
    if isinstance(inputs, (list, tuple)) and len(inputs) and np.ndim(inputs[0]) > 1:
        return stacked([as_image(image) for image in inputs], LARGEST)
    tensor = _as_tensor(inputs.to_numpy() if isinstance(inputs, pd.DataFrame) else inputs)
    if tensor.ndim not in (2, 3, 4) or 0 in tensor.shape:
        raise ValueError(
            f"inputs have shape {list(tensor.shape)}; allowed: embeddings [n, features] or images [n, h, w], "
            "[n, channels, h, w], [n, h, w, channels], nothing empty"
        )
    if tensor.ndim == 2:
        return tensor, []
    return (tensor.unsqueeze(1), []) if tensor.ndim == 3 else _channels_second(tensor)


def _as_tensor(array: Any) -> Tensor:
    """A tensor that shares the array's memory where it can."""
    if isinstance(array, Tensor):
        return array.detach().cpu()
    try:
        array = np.asarray(array)
    except ValueError as error:
        raise ValueError(f"inputs are no array: {error}") from error
    if array.dtype == object or array.dtype.kind not in "biuf":
        raise ValueError(f"inputs are {array.dtype}; allowed: numbers")
    if array.dtype == np.longdouble or not array.dtype.isnative:
        array = array.astype(np.float64 if array.dtype.kind == "f" else np.int64)
    with warnings.catch_warnings():  # of arrays that may not be written to: nothing here does
        warnings.filterwarnings("ignore", "The given NumPy array is not writ")
        return torch.from_numpy(array if min(array.strides, default=0) >= 0 else array.copy())


def as_image(image: Any) -> Tensor:
    """One image as ``[channels, h, w]``, or one embedding ``[features]``."""
    if isinstance(image, Image.Image):
        return pictures.from_pillow(image)
    tensor = _as_tensor(image)
    if tensor.ndim not in (1, 2, 3) or 0 in tensor.shape:
        raise ValueError(
            f"an image has shape {list(tensor.shape)}; allowed: [h, w], [channels, h, w], [h, w, channels]"
        )
    if tensor.ndim == 3:
        return _channels_second(tensor[None])[0][0]
    return tensor if tensor.ndim == 1 else tensor[None]


def stacked(images: list[Tensor], largest: int) -> tuple[Tensor, list[str]]:
    """Single images, resized to one size of at most ``largest`` pixels a side, or embeddings as one tensor; notes."""
    if len({image.ndim for image in images}) > 1:
        raise ValueError("samples are images and embeddings; they must be of one kind")
    if images[0].ndim > 1:
        return pictures.stack(images, largest)
    features = {len(image) for image in images}
    if len(features) > 1:
        raise ValueError(f"embeddings have {min(features)} to {max(features)} numbers; they must have as many each")
    return torch.stack(images), []


def _channels_second(images: Tensor) -> tuple[Tensor, list[str]]:
    """Images of four axes with their channels as the second."""
    second, last = (1 <= images.shape[axis] <= 4 for axis in (1, 3))
    if last and not second:
        return images.permute(0, 3, 1, 2), []
    if last == second:
        axes = f"[{', '.join(map(str, images.shape))}]"
        return images, [f"Images of shape {axes} could have their channels second or last: read as second."]
    return images, []


def as_numbers(tensor: Tensor) -> tuple[Tensor, float, list[str]]:
    """Inputs as uint8 images or float32, the brightest pixel's value, and notes."""
    if tensor.is_complex():
        raise ValueError(f"inputs are {tensor.dtype}; allowed: integers, booleans or floats")
    notes = []
    if tensor.ndim == 2:
        if tensor.dtype == torch.uint8:
            notes.append(
                f"Bytes of shape {list(tensor.shape)} are taken as embeddings; images have three or four axes."
            )
        tensor = tensor.to(torch.float32)
    elif tensor.dtype == torch.bool:
        tensor = tensor.to(torch.uint8) * 255
    elif not tensor.is_floating_point() and tensor.dtype != torch.uint8:
        if tensor.min() < 0 or tensor.max() > 255:
            raise ValueError(f"pixels run from {tensor.min()} to {tensor.max()}; integers must lie in 0 ... 255")
        tensor = tensor.to(torch.uint8)
    if tensor.is_floating_point():
        tensor = tensor.to(torch.float32)
        _check_finite(tensor)
        if tensor.ndim == 4:
            tensor, notes = _unit_pixels(tensor)
    return tensor.contiguous(), 255.0 if tensor.dtype == torch.uint8 else 1.0, notes


def _unit_pixels(images: Tensor) -> tuple[Tensor, list[str]]:
    """Float images within [0, 1]."""
    low, high = images.min().item(), images.max().item()
    if low >= 0 and high <= 1:
        return images, []
    if low >= 0 and high <= 255:
        return images / 255, [f"Float pixels ran from {low:g} to {high:g}: divided by 255."]
    scaled = (images - low) / (high - low) if high > low else torch.zeros_like(images)
    return scaled, [f"Float pixels ran from {low:g} to {high:g} (standardised?): scaled linearly to 0 ... 1."]


def _check_finite(inputs: Tensor) -> None:
    size = max(1, CHUNK // max(1, inputs[0].numel()))
    bad = torch.cat([~torch.isfinite(part).flatten(1).all(1) for part in inputs.split(size)])
    rows = bad.nonzero().flatten().tolist()
    if rows:
        raise ValueError(f"{len(rows)} inputs hold NaN or infinity, the first at positions {some(rows)}")
