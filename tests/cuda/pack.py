"""Data sets in small files, for a machine that has no network and takes little at once.

``pack`` writes MNIST and those images of CIFAR-10 that seed 0 draws; ``unpack`` makes the data sets of the files that
lie in a data folder, when all of a set are there. Photographs are kept as differences to their neighbours, which
lzma makes a half of.
"""

import json
import lzma
from pathlib import Path

import numpy as np

from lib.data import ARRAYS, DataConfig, load
from lib.files import atomic

MOST = 14 * 2**20  # bytes of a file


def pack(data: Path, out: Path, images: int) -> None:
    """Write MNIST and ``images`` training images of CIFAR-10, with all test images, into ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    for config in (DataConfig("mnist"), DataConfig("cifar10", train_size=images if images < 50_000 else None)):
        task = load(config, data)
        arrays = {name: getattr(task, name).numpy() for name in ARRAYS}
        paths = write_parts(config.name, arrays, out)
        print(f"{config.name}: {len(paths)} files, {sum(path.stat().st_size for path in paths) / 2**20:.1f} MiB")


def write_parts(name: str, arrays: dict[str, np.ndarray], out: Path) -> list[Path]:
    """The files of a data set: images [n, channels, height, width] uint8, labels [n]."""
    head = {part: (str(a.dtype), a.shape) for part, a in arrays.items()}
    raw = b"".join(differences(a).tobytes() if a.ndim == 4 else a.tobytes() for a in arrays.values())
    packed = json.dumps(head).encode() + b"\n" + lzma.compress(raw, preset=3)
    pieces = [packed[k : k + MOST] for k in range(0, len(packed), MOST)]
    paths = [out / f"{name}.{k + 1}-of-{len(pieces)}.part" for k in range(len(pieces))]
    for path, piece in zip(paths, pieces, strict=True):
        with atomic(path) as part:
            part.write_bytes(piece)
    return paths


def unpack(data: Path) -> None:
    """Make ``<name>.npz`` of the files of each data set of which all are there."""
    for name in ("mnist", "cifar10"):
        first = sorted(data.glob(f"{name}.1-of-*.part"))
        if not first or (data / f"{name}.npz").exists():
            continue
        count = int(first[0].name.split("-of-")[1].split(".")[0])
        paths = [data / f"{name}.{k + 1}-of-{count}.part" for k in range(count)]
        if not all(path.exists() for path in paths):
            print(f"{name}: {sum(path.exists() for path in paths)} of {count} files are there")
            continue
        with atomic(data / f"{name}.npz") as part:
            np.savez(part, **read_parts(paths))


def read_parts(paths: list[Path]) -> dict[str, np.ndarray]:
    """The arrays as `lib.data` keeps them: images [n, height, width], or with channels last."""
    head, _, packed = b"".join(path.read_bytes() for path in paths).partition(b"\n")
    raw, start, arrays = lzma.decompress(packed), 0, {}
    for name, (kind, shape) in json.loads(head).items():
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        array = np.frombuffer(raw[start : start + size], kind).reshape(shape)
        start += size
        if array.ndim == 4:
            array = sums(array)
            array = array[:, 0] if array.shape[1] == 1 else np.ascontiguousarray(array.transpose(0, 2, 3, 1))
        arrays[name] = array
    return arrays


def differences(images: np.ndarray) -> np.ndarray:
    """Each pixel less what its neighbours above and to the left let expect, modulo 256; colours less the second one."""
    found = images.copy()
    if found.shape[1] == 3:
        found[:, ::2] -= images[:, 1:2]
    for axis in (2, 3):
        found = np.diff(found, axis=axis, prepend=np.uint8(0))
    return found


def sums(found: np.ndarray) -> np.ndarray:
    """What `differences` was given."""
    for axis in (2, 3):
        found = np.cumsum(found, axis=axis, dtype=np.uint8)
    if found.shape[1] == 3:
        found[:, ::2] += found[:, 1:2]
    return found


def training_images(data: Path, name: str) -> int:
    """How many training images of a set lie in a data folder, read off its head alone; 0 without a file."""
    path = data / f"{name}.npz"
    if not path.exists():
        return 0
    with np.load(path, allow_pickle=False) as held:
        return len(held["train_labels"])
