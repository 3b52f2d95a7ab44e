import gzip
import struct
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from lib.data import ARRAYS, DataConfig, DataDamaged, DataUnavailable, load, pixels
from lib.paths import ROOT, data_folder
from lib.press.own_images import task_from_arrays


def as_multiset(images: torch.Tensor, labels: torch.Tensor) -> list[bytes]:
    return sorted(bytes([label]) + image.numpy().tobytes() for image, label in zip(images, labels, strict=True))


def test_digits_are_all_of_scikit_learns_split_in_two():
    task = load(DataConfig("digits"))
    images, labels = load_digits(return_X_y=True)
    published = as_multiset(torch.from_numpy(images.astype(np.uint8)), torch.from_numpy(labels))
    ours = as_multiset(
        torch.cat([task.train_images, task.test_images]), torch.cat([task.train_labels, task.test_labels])
    )
    assert ours == published
    for c in range(10):
        size = int((labels == c).sum())
        assert int((task.test_labels == c).sum()) == size // 3


def test_classes_are_renumbered_in_the_order_given():
    nines_first = load(DataConfig("digits", classes=(9, 7)))
    all_of_them = load(DataConfig("digits"))
    assert nines_first.class_names == ("9", "7")
    assert nines_first.outputs == 1
    nines = all_of_them.train_images[all_of_them.train_labels == 9]
    assert torch.equal(nines_first.train_images[nines_first.train_labels == 0], nines)


def test_pixels_lie_in_0_to_1_and_leave_the_images_alone():
    task = load(DataConfig("digits"))
    before = task.train_images.clone()
    seen = pixels(task.train_images, task.white)
    assert seen.dtype == torch.float32
    assert (seen.min(), seen.max()) == (0, 1)
    assert torch.equal(task.train_images, before)
    floats = torch.rand(3, 1, 2, 2)
    assert pixels(floats, 1.0).data_ptr() != floats.data_ptr()


def test_train_size_draws_a_part_and_names_what_there_is():
    part = load(DataConfig("digits", classes=(7, 9), train_size=50))
    other = load(DataConfig("digits", classes=(7, 9), train_size=50), seed=1)
    assert len(part.train_labels) == len(part.train_images) == 50
    assert not torch.equal(part.train_images, other.train_images)
    with pytest.raises(ValueError, match="1000 training images asked for, but there are 240"):
        load(DataConfig("digits", classes=(7, 9), train_size=1000))


def test_test_size_draws_a_part_of_the_test_images_and_leaves_the_training_images():
    whole, part = load(DataConfig("digits")), load(DataConfig("digits", test_size=50))
    assert len(part.test_labels) == 50
    assert torch.equal(part.train_images, whole.train_images)
    positions = [(whole.test_images == image).flatten(1).all(1).nonzero()[0, 0] for image in part.test_images]
    assert torch.equal(whole.test_labels[torch.stack(positions)], part.test_labels)
    with pytest.raises(ValueError, match="10000 test images asked for, but there are"):
        load(DataConfig("digits", test_size=10_000))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DataConfig("minst"), "unknown data set 'minst'; there are: digits, clusters, mnist"),
        (DataConfig("digits", classes=(7, 11)), r"classes 0 to 9, not \[11\]"),
        (DataConfig("digits", classes=(7, 7)), "two or more different"),
        (DataConfig("digits", classes=(7,)), "two or more different"),
        (DataConfig("digits", train_size=0), "train_size must be at least 1"),
        (DataConfig("digits", test_size=0), "test_size must be at least 1"),
        (DataConfig("clusters", classes=(0, 1)), "leave classes out"),
    ],
)
def test_bad_configurations_name_what_is_allowed(config, message):
    with pytest.raises(ValueError, match=message):
        load(config)


GOOD = np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (GOOD[0], np.array([0, 1, 0]), "4 images but 3 labels"),
        (GOOD[0], np.array([0, 1, 0, 2]), "labels run from 0 to 2; allowed: 0 to 1"),
        (GOOD[0], np.array([0, 1, 0, -1]), "labels run from -1"),
        (GOOD[0], np.array([0.0, 1.0, 0.0, 1.0]), "must be integers"),
        (GOOD[0], GOOD[1][:, None], r"labels have shape \(4, 1\); allowed: \[n\]"),
        (np.full((4, 8, 8), np.nan), GOOD[1], "4 images hold NaN or infinity, the first at index 0"),
        (np.full((4, 8, 8), 2.0), GOOD[1], r"must lie in \[0, 1\]"),
        (np.zeros((4, 8, 8), np.int64), GOOD[1], "allowed: uint8"),
        (np.zeros((4, 64), np.uint8), GOOD[1], "have shape"),
        (np.zeros((4, 9, 9), np.uint8), GOOD[1], "they must be alike"),
    ],
)
def test_bad_arrays_are_refused(images, labels, message):
    with pytest.raises(ValueError, match=message):
        task_from_arrays(images, labels, *GOOD, class_names=["a", "b"])


def test_arrays_become_a_task():
    task = task_from_arrays(*GOOD, *GOOD)
    assert task.train_images.shape == (4, 1, 8, 8)
    assert task.class_names == ("0", "1")
    floats = task_from_arrays(np.ones((2, 3, 4, 4)), np.array([0, 1]), np.ones((2, 3, 4, 4)), np.array([0, 1]))
    assert floats.white == 1
    assert floats.train_images.dtype == torch.float32


def test_the_flag_wins_over_the_variable_over_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CLEAN_PRIORITY_DATA", str(tmp_path / "variable"))
    assert data_folder() == tmp_path / "variable"
    assert data_folder(tmp_path / "flag") == tmp_path / "flag"
    monkeypatch.delenv("CLEAN_PRIORITY_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_folder().name == "clean-priority"


def fake_mnist(folder, count=20):
    """MNIST's own file format, with few images."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    arrays = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, count, 28, 28) + images.tobytes())
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels.tobytes())
        arrays |= {f"{split}_images": images, f"{split}_labels": labels}
    return arrays


def test_mnist_is_read_once_through_torchvision_and_then_from_the_cache(tmp_path):
    arrays = fake_mnist(tmp_path)
    first = load(DataConfig("mnist"), tmp_path)
    for path in (tmp_path / "MNIST" / "raw").iterdir():
        path.unlink()
    second = load(DataConfig("mnist"), tmp_path)
    for name in ARRAYS:
        ours = getattr(second, name)
        assert torch.equal(ours, getattr(first, name))
        assert np.array_equal(ours.squeeze().numpy(), arrays[name])
    with np.load(tmp_path / "mnist.npz", allow_pickle=False) as cache:
        assert cache["train_images"].dtype == np.uint8


def test_a_truncated_published_file_is_named(tmp_path):
    fake_mnist(tmp_path)
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataDamaged, match=rf"mnist: damaged: {path} .*Delete it"):
        load(DataConfig("mnist"), tmp_path)
    assert not (tmp_path / "mnist.npz").exists()


@pytest.mark.parametrize("keep", [0.5, 0.0])
def test_a_truncated_cache_is_named_with_what_to_do(tmp_path, keep):
    fake_mnist(tmp_path)
    load(DataConfig("mnist"), tmp_path)
    path = tmp_path / "mnist.npz"
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(DataDamaged, match=r"mnist\.npz is damaged .* Delete it"):
        load(DataConfig("mnist"), tmp_path)


def test_an_altered_cache_is_found(tmp_path):
    fake_mnist(tmp_path)
    load(DataConfig("mnist"), tmp_path)
    path = tmp_path / "mnist.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataDamaged):
        load(DataConfig("mnist"), tmp_path)


def test_a_compressed_cache_with_a_flipped_bit_or_another_shape_is_found(tmp_path):
    fake_mnist(tmp_path)
    load(DataConfig("mnist"), tmp_path)
    path = tmp_path / "mnist.npz"
    with np.load(path) as cache:
        arrays = dict(cache)
    np.savez_compressed(path, **arrays)
    content = path.read_bytes()
    for position in range(200, len(content) // 2, len(content) // 60):
        path.write_bytes(content[:position] + bytes([content[position] ^ 16]) + content[position + 1 :])
        with pytest.raises(DataDamaged):
            load(DataConfig("mnist"), tmp_path)
    np.savez(path, **arrays | {"train_images": arrays["train_images"].reshape(20, -1)})
    with pytest.raises(DataDamaged, match="do not fit"):
        load(DataConfig("mnist"), tmp_path)


def test_a_cache_with_a_pickle_is_refused(tmp_path):
    np.savez(tmp_path / "mnist.npz", **{name: np.array([{}], dtype=object) for name in ARRAYS})
    with pytest.raises(DataDamaged):
        load(DataConfig("mnist"), tmp_path)


def test_no_network_says_where_to_put_the_files(tmp_path, monkeypatch):
    import torchvision

    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])  # nothing listens there
    with pytest.raises(DataUnavailable, match=r"put torchvision's files or mnist\.npz .* CLEAN_PRIORITY_DATA"):
        load(DataConfig("mnist"), tmp_path)


def test_without_torchvision_the_cache_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(DataUnavailable, match=r"torchvision is not installed.*mnist\.npz"):
        load(DataConfig("mnist"), tmp_path)


@pytest.mark.real_data
def test_real_mnist_is_the_published_one(real_data):
    task = load(DataConfig("mnist", classes=(7, 9)))
    assert (len(task.train_labels), len(task.test_labels)) == (12_214, 2_037)
    path = real_data / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    published = np.frombuffer(content, np.uint8, offset=8)
    assert int((task.test_labels == 1).sum()) == int((published == 9).sum())


@pytest.mark.real_data
def test_real_cifar10_is_read_from_its_cache(real_data):
    if not (real_data / "cifar10.npz").exists():
        pytest.skip("needs cifar10.npz in the data folder")
    task = load(DataConfig("cifar10"))
    assert task.input_shape == (3, 32, 32)
    assert torch.bincount(task.test_labels).tolist() == [1000] * 10
    with np.load(real_data / "cifar10.npz") as cache:
        assert np.array_equal(task.test_images[5].permute(1, 2, 0).numpy(), cache["test_images"][5])


def test_the_pages_example_of_ones_own_images_runs(own_data):
    """With the digits for images, and at smoke, which takes seconds."""
    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 8, 8) / 16).astype(np.float32)
    page = (ROOT / "book" / "using.md").read_text(encoding="utf-8")
    code = page.split("## Your own images")[1].split("```python")[1].split("```")[0].replace('"cpu"', '"smoke"')
    held = {
        "train_images": images[:900],
        "train_labels": labels[:900],
        "test_images": images[900:],
        "test_labels": labels[900:],
    }
    exec(code, held)
    errors = [row["noisy_error"] for row in held["outcome"].history]
    assert max(errors) > errors[0]
    assert held["outcome"].history[-1]["test_error"] < 0.3
