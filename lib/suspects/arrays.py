"""Arrays of any kind as the numbers a network reads: embeddings as float32, images as bytes or floats in [0, 1].

What is mended is a sentence in the notes; what cannot be meant raises ValueError.
"""

import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from . import pictures
from .classes import some

LARGEST = 128  # pixels: no side of an image of a list or a file is longer
CHUNK = 2**22  # numbers that are looked at in one go
OFFSET = 1e4  # a column's mean over its standard deviation, above which float32 would round what differs away
ROUNDED = 0.01  # by which rows of probabilities may miss 1


def as_inputs(inputs: Any, kind: str | None = None) -> tuple[Tensor, list[str]]:
    """Embeddings ``[n, features]`` or images ``[n, channels, h, w]`` of any number type, and notes.

    ``kind``, "images" or "embeddings", is what the user called them; None: the shape decides.
    """
    if isinstance(inputs, (list, tuple)) and any(isinstance(one, Tensor) for one in inputs):
        inputs = [one.detach().cpu() if isinstance(one, Tensor) else one for one in inputs]
    if isinstance(inputs, (list, tuple)) and len(inputs) and np.ndim(inputs[0]) > 1:
        return stacked([as_image(image) for image in inputs], LARGEST)
    tensor = _as_tensor(_as_floats(inputs) if isinstance(inputs, pd.DataFrame) else inputs)
    shape = list(tensor.shape)
    if kind != "images" and len(shape) > 2 and 0 not in shape and _is_vector(tensor[0]):
        notes = [f"Inputs of shape {shape} hold a vector a sample: read as embeddings."] if kind is None else []
        return tensor.reshape(len(tensor), -1), notes
    if kind == "embeddings" and len(shape) > 2:
        raise ValueError(
            f"embeddings have shape {shape}; allowed: [n, features], a vector a sample (of several tokens or places "
            "take the mean, or the first)"
        )
    if tensor.ndim not in (2, 3, 4) or 0 in tensor.shape:
        raise ValueError(
            f"inputs have shape {list(tensor.shape)}; allowed: embeddings [n, features] or images [n, h, w], "
            "[n, channels, h, w], [n, h, w, channels], nothing empty"
        )
    if tensor.ndim == 2:
        called = "Images" if kind == "images" else "Bytes" if tensor.dtype == torch.uint8 else ""
        note = f"{called} of shape {shape} are taken as embeddings; images have three or four axes."
        return tensor, [note] if called else []
    return (tensor.unsqueeze(1), []) if tensor.ndim == 3 else _channels_second(tensor)


def _as_floats(frame: pd.DataFrame) -> np.ndarray:
    """A frame's numbers; those of nullable types and booleans among others too, which pandas gives as objects."""
    array = frame.to_numpy()
    if array.dtype == object and all(map(pd.api.types.is_numeric_dtype, frame.dtypes)):
        return frame.to_numpy(dtype=np.float64, na_value=np.nan)
    return array


def _is_vector(sample: Tensor) -> bool:
    """Whether all axes but one have length 1, those of a layer that saw images."""
    return sum(length > 1 for length in sample.shape) <= 1


def _as_tensor(array: Any) -> Tensor:
    """A tensor that shares the array's memory where it can."""
    if isinstance(array, Tensor):
        wider = {torch.uint16: torch.int32, torch.uint32: torch.int64, torch.uint64: torch.int64}
        return array.detach().cpu().to(wider.get(array.dtype, array.dtype))  # torch counts little with the others
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
        return _as_tensor(torch.from_numpy(array if min(array.strides, default=0) >= 0 else array.copy()))


def as_image(image: Any) -> Tensor:
    """One image as ``[channels, h, w]``, or one embedding ``[features]``."""
    if isinstance(image, Image.Image):
        return pictures.from_pillow(image)
    tensor = _as_tensor(image)
    if tensor.ndim > 1 and 0 not in tensor.shape and _is_vector(tensor):
        return tensor.flatten()
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
        tensor, notes = _without_offset(tensor)
        tensor = tensor.to(torch.float32)
    elif tensor.dtype == torch.bool:
        tensor = tensor.to(torch.uint8) * 255
    elif not tensor.is_floating_point() and tensor.dtype != torch.uint8:
        bytes_do = tensor.min() >= 0 and tensor.max() <= 255
        tensor = tensor.to(torch.uint8 if bytes_do else torch.float32)
    if tensor.is_floating_point():
        tensor = tensor.to(torch.float32)
        _check_finite(tensor)
        if tensor.ndim == 4:
            low, high = tensor.min().item(), tensor.max().item()
            least, range_, notes = pictures.to_unit(low, high)
            if notes:
                tensor = (tensor - least) / range_
            elif low < 0 or high > 1:  # by rounding
                tensor = tensor.clamp(0, 1)
    return tensor.contiguous(), 255.0 if tensor.dtype == torch.uint8 else 1.0, notes


def _without_offset(tensor: Tensor) -> tuple[Tensor, list[str]]:
    """Embeddings less the mean of columns that float32 cannot tell from it, and a note on that."""
    if tensor.dtype not in (torch.float64, torch.int32, torch.int64):
        return tensor, []
    wide = tensor.double()
    mean, spread = wide.mean(0), wide.std(0, correction=0)
    far = torch.isfinite(mean) & (mean.abs() > OFFSET * spread) & (spread > 0)
    if not far.any():
        return tensor, []
    note = f"{int(far.sum())} columns lie far from 0 beside what they differ by: their mean was taken off."
    return wide - torch.where(far, mean, 0.0), [note]


def as_probabilities(pred_probs: Any) -> np.ndarray:
    """Probabilities float64 ``[n, classes]``, rows that sum to 1; ValueError for what is none."""
    tensor = _as_tensor(pred_probs.to_numpy() if isinstance(pred_probs, pd.DataFrame) else pred_probs).double()
    if tensor.ndim != 2 or 0 in tensor.shape:
        raise ValueError(f"pred_probs have shape {list(tensor.shape)}; allowed: [n, classes], nothing empty")
    _check_finite(tensor)
    low, high, sums = tensor.min().item(), tensor.max().item(), tensor.sum(1)
    if low < 0 or high > 1 + ROUNDED or (sums - 1).abs().max() > ROUNDED:
        raise ValueError(
            f"pred_probs run from {low:g} to {high:g}, and their rows sum to {sums.min():g} ... {sums.max():g}; "
            "allowed: probabilities that sum to 1 (softmax of logits)"
        )
    return (tensor / sums.unsqueeze(1)).numpy()


def _check_finite(inputs: Tensor) -> None:
    size = max(1, CHUNK // max(1, inputs[0].numel()))
    bad = torch.cat([~torch.isfinite(part).flatten(1).all(1) for part in inputs.split(size)])
    rows = bad.nonzero().flatten().tolist()
    if rows:
        raise ValueError(f"{len(rows)} inputs hold NaN or infinity, the first at positions {some(rows)}")


def open_npz(handle: BinaryIO, path: Path) -> Mapping[str, np.ndarray]:
    """The arrays of an opened .npz file, each read when it is asked for; ValueError if it is none."""
    try:
        file = np.load(handle, allow_pickle=False)
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path} is no .npz file ({error})") from error
    if isinstance(file, np.ndarray):
        raise ValueError(f"{path} is no .npz file (it holds one array without a name)")
    return file


def read_npz(file: Mapping[str, np.ndarray], name: str, path: Path, advice: str) -> np.ndarray:
    """One array; ``advice`` is how to save it where it holds Python objects, which are not read."""
    try:
        return file[name]
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        if "pickle" not in str(error):
            raise ValueError(f"{path} is damaged: {name} cannot be read ({error})") from error
        raise ValueError(f"{path}: {name} holds Python objects: save {advice}") from error
