"""A reader's own images in place of a data set, for `experiments.prepare` and `experiments.run`."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..data import Task


def task_from_arrays(
    train_images: np.ndarray,
    train_labels: np.ndarray,
    test_images: np.ndarray,
    test_labels: np.ndarray,
    class_names: Sequence[str] | None = None,
) -> Task:
    """A task from one's own arrays.

    Images: uint8 in 0..255 or floats in [0, 1]; ``[n, height, width]`` or
    ``[n, channels, height, width]``. Labels: integers from 0. Raises
    ValueError for mismatched lengths or shapes, NaN, values out of range.
    """
    both = [(np.asarray(train_images), np.asarray(train_labels)), (np.asarray(test_images), np.asarray(test_labels))]
    classes = len(class_names) if class_names is not None else None
    for split, (images, labels) in zip(("train", "test"), both, strict=True):
        _check_arrays(split, images, labels, classes)
    if both[0][0].shape[1:] != both[1][0].shape[1:] or both[0][0].dtype != both[1][0].dtype:
        raise ValueError(
            f"train images are {both[0][0].dtype}{list(both[0][0].shape[1:])} each, "
            f"test images {both[1][0].dtype}{list(both[1][0].shape[1:])}: they must be alike"
        )
    count = int(max(labels.max() for _, labels in both)) + 1 if classes is None else classes
    tensors = [t for images, labels in both for t in (_image_tensor(images), torch.from_numpy(labels.astype(np.int64)))]
    names = tuple(class_names) if class_names is not None else tuple(map(str, range(count)))
    return Task(*tensors, class_names=names, white=255.0 if both[0][0].dtype == np.uint8 else 1.0)


def _check_arrays(split: str, images: np.ndarray, labels: np.ndarray, classes: int | None) -> None:
    if len(images) != len(labels):
        raise ValueError(f"{split}: {len(images)} images but {len(labels)} labels")
    if len(images) == 0 or images.ndim not in (3, 4):
        raise ValueError(f"{split} images have shape {images.shape}; allowed: [n, h, w] or [n, channels, h, w], n > 0")
    if labels.ndim != 1:
        raise ValueError(f"{split} labels have shape {labels.shape}; allowed: [n] (of [n, 1] take labels[:, 0])")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{split} labels are {labels.dtype}; they must be integers from 0")
    high = "" if classes is None else f" to {classes - 1}"
    if labels.min() < 0 or (classes is not None and labels.max() >= classes):
        raise ValueError(f"{split} labels run from {labels.min()} to {labels.max()}; allowed: 0{high}")
    if images.dtype == np.uint8:
        return
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"{split} images are {images.dtype}; allowed: uint8, or floats in [0, 1]")
    if not np.isfinite(images).all():
        bad = np.flatnonzero(~np.isfinite(images.reshape(len(images), -1)).all(1))
        raise ValueError(f"{split}: {len(bad)} images hold NaN or infinity, the first at index {bad[0]}")
    if images.min() < 0 or images.max() > 1:
        raise ValueError(f"{split} images run from {images.min():g} to {images.max():g}; floats must lie in [0, 1]")


def _image_tensor(images: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(images))
    if tensor.ndim == 3:
        tensor = tensor.unsqueeze(1)
    return tensor if tensor.dtype == torch.uint8 else tensor.float()
