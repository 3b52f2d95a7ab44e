import re

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from lib.suspects.read import Labelled, from_arrays, from_csv, from_dataset, from_folder
from lib.suspects.sources import read_samples

FLOATS = np.random.default_rng(0).random((24, 5), dtype=np.float32)
BYTES = np.random.default_rng(1).integers(0, 256, (24, 6, 4), dtype=np.uint8)
TWO = np.arange(24) % 2


def note(labelled: Labelled, words: str) -> str:
    """The one note that matches."""
    (found,) = [text for text in labelled.notes if re.search(words, text)]
    return found


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.fromarray(array) as image:
        image.save(path, **options)


# Arrays


def test_embeddings_are_kept_as_they_are_and_not_copied():
    got = from_arrays(FLOATS, TWO)
    assert got.inputs.data_ptr() == FLOATS.ctypes.data
    assert got.embedded
    assert got.labels.tolist() == TWO.tolist()
    assert (got.class_names, got.classes, len(got), got.notes) == (("0", "1"), 2, 24, ())
    assert got.index.equals(pd.RangeIndex(24))
    assert not got.conflicts.any()
    tensor = torch.from_numpy(FLOATS)
    assert from_arrays(tensor, torch.from_numpy(TWO)).inputs.data_ptr() == tensor.data_ptr()


def test_read_only_and_reversed_arrays_are_read():
    frozen = FLOATS.copy()
    frozen.flags.writeable = False
    assert torch.equal(from_arrays(frozen, TWO).inputs, torch.from_numpy(FLOATS))
    assert from_arrays(FLOATS[::-1], TWO).inputs[0].tolist() == FLOATS[-1].tolist()
    assert from_arrays(FLOATS.astype(">f8"), TWO).inputs.dtype == torch.float32


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_are_found_first_or_last(channels):
    last = np.random.default_rng(0).integers(0, 256, (24, 6, 5, channels), dtype=np.uint8)
    for given in (last, last.transpose(0, 3, 1, 2), torch.from_numpy(last)):
        got = from_arrays(given, TWO)
        assert got.inputs.shape == (24, channels, 6, 5)
        assert got.inputs[7, channels - 1, 2, 3] == last[7, 2, 3, channels - 1]
        assert got.notes == ()


def test_axes_that_could_be_either_are_read_as_channels_second_and_noted():
    both = np.random.default_rng(0).integers(0, 256, (24, 3, 9, 3), dtype=np.uint8)
    got = from_arrays(both, TWO)
    assert got.inputs.shape == (24, 3, 9, 3)
    assert note(got, "could have their channels second or last") == (
        "Images of shape [24, 3, 9, 3] could have their channels second or last: read as second."
    )


def test_images_without_channels_are_grey():
    got = from_arrays(BYTES, TWO)
    assert got.inputs.shape == (24, 1, 6, 4)
    assert (got.inputs.dtype, got.white) == (torch.uint8, 255.0)
    assert np.array_equal(got.inputs[:, 0].numpy(), BYTES)


def test_pixels_become_bytes_or_lie_in_0_to_1():
    fractions = (BYTES / 255).astype(np.float64)
    got = from_arrays(fractions, TWO)
    assert (got.inputs.dtype, got.white, got.notes) == (torch.float32, 1.0, ())
    large = from_arrays(BYTES.astype(np.float32), TWO)
    assert torch.allclose(large.inputs, got.inputs)
    assert "divided by 255" in note(large, "Pixels ran")
    standard = from_arrays((fractions - 0.5) / 0.3, TWO)
    assert torch.allclose(standard.inputs, (got.inputs - got.inputs.min()) / (got.inputs.max() - got.inputs.min()))
    assert "standardised?" in note(standard, "Pixels ran")
    assert from_arrays(BYTES.astype(np.int64), TWO).inputs.dtype == torch.uint8
    assert set(from_arrays(BYTES > 99, TWO).inputs.unique().tolist()) == {0, 255}


def test_a_list_of_images_of_different_sizes_gets_the_median_size():
    sizes = [(4, 4)] * 5 + [(6, 8)] * 10 + [(9, 9)] * 9
    images = [np.full(size, 10 * k, np.uint8) for k, size in enumerate(sizes)]
    got = from_arrays(images, TWO)
    assert got.inputs.shape == (24, 1, 6, 8)
    assert [int(image.float().mean()) for image in got.inputs] == [10 * k for k in range(24)]
    assert "Resized 14 of 24 images to 8 x 6 pixels" in note(got, "Resized")


@pytest.mark.parametrize(
    ("labels", "names", "numbers", "words"),
    [
        ([3, 7, 7, 3], ("3", "7"), [0, 1, 1, 0], "'3' is 0, '7' is 1"),
        ([-1, 1, 1, -1], ("-1", "1"), [0, 1, 1, 0], "'-1' is 0, '1' is 1"),
        (["dog", "cat", "cat", "dog"], ("cat", "dog"), [1, 0, 0, 1], "'cat' is 0, 'dog' is 1"),
        (["10", "9", "9", "10"], ("9", "10"), [1, 0, 0, 1], "'9' is 0, '10' is 1"),
        ([True, False, False, True], ("False", "True"), [1, 0, 0, 1], "'False' is 0, 'True' is 1"),
        ([1.0, 2.0, 2.0, 1.0], ("1", "2"), [0, 1, 1, 0], "'1' is 0, '2' is 1"),
        (pd.Categorical(["b", "a", "a", "b"]), ("a", "b"), [1, 0, 0, 1], "'a' is 0"),
        (pd.Series([5, 4, 4, 5], dtype="Int64"), ("4", "5"), [1, 0, 0, 1], "'4' is 0"),
        (np.array([b"x", b"y", b"y", b"x"]), ("x", "y"), [0, 1, 1, 0], "'x' is 0"),
        (np.array([[2], [4], [4], [2]]), ("2", "4"), [0, 1, 1, 0], "'2' is 0"),
    ],
)
def test_labels_are_numbered_and_the_numbers_shown(labels, names, numbers, words):
    got = from_arrays(FLOATS[:4], labels)
    assert got.class_names == names
    assert got.labels.tolist() == numbers
    assert got.labels.dtype == torch.int64
    assert words in note(got, "Labels are numbered")


def test_class_names_say_what_is_allowed():
    got = from_arrays(FLOATS[:4], ["dog", "cat", "cat", "dog"], class_names=["dog", "cat", "eel"])
    assert got.labels.tolist() == [0, 1, 1, 0]
    assert "'eel' (0)" in note(got, "fewer than 10")
    assert from_arrays(FLOATS[:4], [2, 0, 0, 2], class_names=["a", "b", "c"]).labels.tolist() == [2, 0, 0, 2]
    assert from_arrays(FLOATS[:4], [True, False, False, True], class_names=["a", "b"]).labels.tolist() == [1, 0, 0, 1]
    with pytest.raises(ValueError, match=r"2 labels are out of range: -1, 3, .*positions 1, 3; allowed: 0 \.\.\. 2"):
        from_arrays(FLOATS[:4], [0, 3, 1, -1], class_names=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"1 labels are out of range: 'emu', .*allowed: among 'cat', 'dog'"):
        from_arrays(FLOATS[:4], ["cat", "emu", "cat", "dog"], class_names=["cat", "dog"])
    with pytest.raises(ValueError, match="class_names repeat: a"):
        from_arrays(FLOATS[:4], [0, 1, 1, 0], class_names=["a", "a"])


def test_pandas_keep_their_index():
    series = pd.Series(TWO, index=[f"s{k}" for k in range(24)])
    assert from_arrays(FLOATS, series).index.equals(series.index)
    frame = pd.DataFrame(FLOATS, index=series.index)
    assert from_arrays(frame, TWO).index.equals(series.index)
    assert from_arrays(frame, series, index=range(100, 124)).index[0] == 100
    with pytest.raises(ValueError, match="the indexes of inputs and labels differ"):
        from_arrays(frame, series[::-1])
    assert "2 names in the index" in note(from_arrays(FLOATS, TWO, index=["a", "a", "a", *range(21)]), "index")


def test_small_classes_and_near_equal_names_are_named():
    got = from_arrays(FLOATS, ["cat"] * 14 + ["Cat "] * 6 + ["dog"] * 4)
    assert "'Cat ' (6), 'dog' (4)" in note(got, "fewer than 10 samples")
    assert "'Cat ' and 'cat'" in note(got, "capitals or spaces")


@pytest.mark.parametrize(
    ("inputs", "labels", "message"),
    [
        (FLOATS, TWO[:-1], "24 inputs but 23 labels"),
        (FLOATS[:1], [0], "only 1 sample"),
        (FLOATS, [1] * 24, "all 24 labels are '1': two classes are needed"),
        (FLOATS, list(range(24)), "each of 24 labels occurs once"),
        (FLOATS, [0.5, *TWO[1:]], "labels are fractions, e.g. 0.5 at position 0"),
        (FLOATS, ["a", None, "", *"b" * 21], "2 labels are missing, the first at positions 1, 2"),
        (FLOATS, [np.nan, *TWO[1:]], "1 labels are missing, the first at positions 0"),
        (FLOATS, ["a", 1, *"b" * 22], "labels are int and str; allowed: all integers or all strings"),
        (FLOATS, np.eye(24), "argmax of one-hot rows"),
        (FLOATS.astype(complex), TWO, "inputs are complex128"),
        (FLOATS.astype(str), TWO, "allowed: numbers"),
        (FLOATS[:, 0], TWO, r"inputs have shape \[24\]; allowed"),
        (FLOATS[:, :0], TWO, "nothing empty"),
        ([[1, 2], [3]], [0, 1], "inputs are no array"),
        ([np.zeros((2, 2)), np.zeros((2, 2), np.uint8)], [0, 1], "different types: float64, uint8"),
        ([np.zeros((3, 9, 9)), np.zeros((4, 9, 9))], [0, 1], "3, 4 channels; only 1 and 3 go together"),
    ],
)
def test_what_cannot_be_judged_is_named(inputs, labels, message):
    with pytest.raises(ValueError, match=message):
        from_arrays(inputs, labels)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_what_is_not_finite_is_counted(bad):
    inputs = FLOATS.astype(np.float64)
    inputs[[3, 20], 2] = bad
    with pytest.raises(ValueError, match="2 inputs hold NaN or infinity, the first at positions 3, 20"):
        from_arrays(inputs, TWO)


def test_copies_are_noted_and_those_with_another_label_are_conflicts():
    inputs = FLOATS.copy()
    inputs[[4, 6, 9]] = inputs[0]  # labels 0, 0, 0, 1
    inputs[12] = inputs[10]  # labels 0, 0
    inputs[23] = inputs[22]  # labels 1, 0
    got = from_arrays(inputs, TWO)
    assert got.conflicts.nonzero().flatten().tolist() == [0, 4, 6, 9, 22, 23]
    assert note(got, "copies") == (
        "8 samples are exact copies of one another, in 3 groups; 6 of them carry different labels than their copies, "
        "of which at least 2 are surely wrong."
    )
    assert not from_arrays(FLOATS[[*range(12), *range(12)]], [*TWO[:12], *TWO[:12]]).conflicts.any()


def test_without_being_told_there_are_no_conflicts():
    bare = Labelled(torch.zeros(3, 2), torch.tensor([0, 1, 0]), ("a", "b"), pd.RangeIndex(3))
    assert bare.conflicts.tolist() == [False] * 3
    assert bare.describe() == "3 embeddings of 2 numbers in 2 classes"


# Files


@pytest.fixture
def folder(tmp_path):
    """Twelve cats in class ``0``, twelve dogs below class ``dog``, and what lies about in folders."""
    root = tmp_path / "photos"
    for k in range(12):
        save(root / "0" / f"{k:02}.png", BYTES[k])
        save(root / "dog" / "more" / f"{k:02}.png", BYTES[k + 12])
    (root / "dog" / "notes.txt").write_text("none", encoding="utf-8")
    (root / "loose.png").write_bytes((root / "0" / "00.png").read_bytes())
    (root / ".hidden").mkdir()
    return root


def test_a_folder_per_class_is_read_with_its_paths(folder):
    got = from_folder(folder)
    assert got.class_names == ("0", "dog")
    assert got.labels.tolist() == [0] * 12 + [1] * 12
    assert list(got.index[:1]) + list(got.index[-1:]) == ["0/00.png", "dog/more/11.png"]
    assert np.array_equal(got.inputs[:, 0].numpy(), BYTES)
    assert "2 files of" in note(got, "left out")
    assert read_samples(folder).index.equals(got.index)


def test_corrupt_files_are_skipped_listed_and_counted(folder):
    whole = (folder / "0" / "05.png").read_bytes()
    (folder / "0" / "05.png").write_bytes(whole[: len(whole) - 30])
    (folder / "0" / "06.png").write_bytes(b"this is no image")
    (folder / "dog" / "more" / "00.png").write_bytes(b"")
    (folder / "eel").mkdir()
    got = from_folder(folder)
    assert got.inputs.shape == (21, 1, 6, 4)
    assert np.array_equal(got.inputs[:, 0].numpy(), np.delete(BYTES, [5, 6, 12], axis=0))
    assert got.labels.tolist() == [0] * 10 + [1] * 11
    assert "0/05.png" not in got.index
    skipped = note(got, "Skipped")
    assert skipped.startswith("Skipped 3 of 24 images that could not be read: 0/05.png (")
    assert "0/06.png (cannot identify image file it)" in skipped
    assert str(folder) not in skipped
    assert "'eel'" in note(got, "No images in")


def test_at_most_ten_corrupt_files_are_named(folder):
    for k in range(12):
        (folder / "0" / f"{k:02}.png").write_bytes(b"")
    save(folder / "0" / "good.png", BYTES[0])
    assert note(from_folder(folder), "Skipped").endswith("and 2 more.")
    (folder / "0" / "good.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"all 12 labels are 'dog'.*Skipped 13 of 25"):
        from_folder(folder)
    for file in folder.rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(ValueError, match=r"none of 25 images could be read; 0/00\.png"):
        from_folder(folder)


def test_sizes_and_colours_are_made_alike(folder):
    save(folder / "0" / "00.png", np.full((12, 8), 77, np.uint8))
    save(folder / "0" / "01.png", np.full((6, 4, 3), (255, 0, 10), np.uint8))
    got = from_folder(folder)
    assert got.inputs.shape == (24, 3, 6, 4)
    assert got.inputs[0].unique().tolist() == [77]
    assert got.inputs[1].amax((1, 2)).tolist() == [255, 0, 10]
    assert np.array_equal(got.inputs[2].numpy(), np.broadcast_to(BYTES[2], (3, 6, 4)))
    assert "Resized 1 of 24 images to 4 x 6 pixels" in note(got, "Resized")
    assert "23 grey images among 1 coloured" in note(got, "grey")


def test_large_images_are_shrunk_with_their_proportions(folder):
    got = from_folder(folder, largest=3)
    assert got.inputs.shape == (24, 1, 3, 2)
    assert "Resized 24 of 24" in note(got, "Resized")
    with pytest.raises(ValueError, match="largest must be at least 1"):
        from_folder(folder, largest=0)


def test_deep_transparent_turned_and_indexed_images_are_read(tmp_path):
    deep = (BYTES[0].astype(np.uint16) << 8) + 17
    save(tmp_path / "a" / "deep.png", deep)
    save(tmp_path / "a" / "plain.png", BYTES[1])
    save(tmp_path / "b" / "one.png", BYTES[2])
    save(tmp_path / "b" / "two.tif", np.zeros((6, 4), np.float32))
    got = from_folder(tmp_path)
    ran = BYTES[0].astype(float) - BYTES[0].min()
    assert np.allclose(got.inputs[0, 0].numpy(), ran / ran.max(), atol=1e-6)
    assert np.allclose(got.inputs[1:3, 0].numpy(), BYTES[1:3] / 255)
    assert "1 images have more than 8 bits a pixel. Pixels ran from" in note(got, "^1 images")

    (tmp_path / "a" / "deep.png").unlink()
    (tmp_path / "b" / "two.tif").unlink()
    clear = np.zeros((6, 4, 4), np.uint8)
    clear[:3, :, 3] = 255  # the lower half shows nothing
    save(tmp_path / "b" / "clear.png", clear)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    save(tmp_path / "b" / "turned.jpg", np.full((4, 6, 3), 200, np.uint8), exif=exif)
    with Image.fromarray(np.full((6, 4, 3), (0, 0, 255), np.uint8)) as blue:
        blue.convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "b" / "palette.gif")
    got = from_folder(tmp_path)
    images = dict(zip(got.index, got.inputs, strict=True))
    assert images["b/clear.png"][:, :3].max() == 0
    assert images["b/clear.png"][:, 3:].min() == 255
    assert images["b/turned.jpg"].shape == (3, 6, 4)
    assert images["b/palette.gif"].amax((1, 2)).tolist() == [0, 0, 255]
    assert not [text for text in got.notes if "Resized" in text]


def test_a_table_of_paths_and_labels_is_read(folder, tmp_path):
    rows = ["file,what", *(f"0/{k:02}.png,NA" for k in range(12)), *(f"dog/more/{k:02}.png,dog" for k in range(12))]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join([*rows, "0/gone.png,dog"]), encoding="utf-8-sig")
    got = from_csv(table, "file", "what", root=folder)
    assert got.class_names == ("NA", "dog")
    assert got.labels.tolist() == [0] * 12 + [1] * 12
    assert np.array_equal(got.inputs[:, 0].numpy(), BYTES)
    assert note(got, "Skipped").endswith("read: 0/gone.png (not there).")
    (folder / "labels.tsv").write_text("\n".join(rows).replace(",", "\t"), encoding="utf-8")
    beside = read_samples(folder / "labels.tsv", image_column="file", label_column="what")
    assert torch.equal(beside.inputs, got.inputs)


def test_what_is_wrong_with_a_table_is_named(folder):
    table = folder / "labels.csv"
    for text, message in (
        ("path,label\na.png,1\n", "has no column 'image'; there are: 'path', 'label'"),
        ("image,label\na.png,\nb.png,2\nc.png,\n", "2 labels are missing, the first at positions 0, 2"),
        ("image,label\n,1\nb.png,2\n", "1 rows name no image, the first are 0"),
        ("image,label\na.png,1\nb.png,1\n", "all 2 labels are '1'"),
        ("image,label\na.png,1\nb.png,2\n", r"none of 2 images could be read; a\.png \(not there\), b\.png"),
        ("", "is no table"),
        ("image,label\na.png,1,1\nb,c,d,e,f\n", "is no table"),
    ):
        table.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            from_csv(table)
    table.write_bytes(b"image,label\n\xff\xfe,1\n")
    with pytest.raises(ValueError, match="is no table in UTF-8"):
        from_csv(table)
    with pytest.raises(FileNotFoundError, match=r"root .*nowhere is no folder"):
        from_csv(table, root=folder / "nowhere")


def test_a_npz_file_is_read_without_unpickling(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, embeddings=FLOATS, labels=TWO, class_names=np.array(["a", "b"]), index=np.arange(50, 74))
    got = read_samples(path)
    assert torch.equal(got.inputs, torch.from_numpy(FLOATS))
    assert got.class_names == ("a", "b")
    assert got.index[0] == 50
    np.savez(path, train_images=BYTES, train_labels=TWO)
    assert np.array_equal(
        read_samples(path, image_column="train_images", label_column="train_labels").inputs[:, 0].numpy(), BYTES
    )
    with pytest.raises(
        ValueError, match=r"must hold labels \(.*--label-column.*\); there are: train_images, train_labels"
    ):
        read_samples(path, image_column="train_images")
    with pytest.raises(ValueError, match=r"must hold one of images.*--image-column.* and labels .*--label-column"):
        read_samples(path)
    np.savez(path, images=BYTES, labels=np.array(["a", None] * 12, dtype=object))
    with pytest.raises(ValueError, match="holds Python objects: save labels"):
        read_samples(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"is damaged|is no \.npz"):
        read_samples(path)


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("nowhere", {}, FileNotFoundError, "nowhere is not there"),
        ("a.txt", {}, ValueError, "allowed are a folder that holds one per class"),
        ("empty", {}, ValueError, "holds no folders; expected one per class"),
        ("hollow", {}, ValueError, "no images in the folders"),
        ("hollow", {"image_column": "x"}, ValueError, "it has no columns"),
        ("hollow", {"root": "x"}, ValueError, r"root is where the paths of a \.csv"),
    ],
)
def test_sources_that_are_none_are_named(tmp_path, name, options, error, message):
    (tmp_path / "a.txt").write_text("", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    (tmp_path / "hollow" / "cat").mkdir(parents=True)
    with pytest.raises(error, match=message):
        read_samples(tmp_path / name, **options)


# Data sets


class Pairs(torch.utils.data.Dataset):
    def __init__(self, items, classes=None):
        self.items = items
        if classes:
            self.classes = classes

    def __len__(self):
        return len(self.items)

    def __getitem__(self, position):
        if isinstance(self.items[position], Exception):
            raise self.items[position]
        return self.items[position]


def test_a_torch_data_set_is_read_with_its_class_names():
    tensors = torch.from_numpy(BYTES).unsqueeze(1) / 255
    data = Pairs([(tensors[k], int(TWO[k])) for k in range(24)], classes=["cat", "dog"])
    got = from_dataset(data)
    assert torch.equal(got.inputs, tensors)
    assert got.class_names == ("cat", "dog")
    part = from_dataset(torch.utils.data.Subset(data, range(4, 20)))
    assert part.class_names == ("cat", "dog")
    assert len(part) == 16
    labels = torch.from_numpy(TWO)
    whole = from_dataset(torch.utils.data.TensorDataset(torch.from_numpy(FLOATS), labels))
    assert torch.equal(whole.inputs, torch.from_numpy(FLOATS))


def test_pillow_images_of_a_data_set_are_made_alike_and_corrupt_ones_skipped():
    items = [(Image.fromarray(BYTES[k]), "ab"[TWO[k]]) for k in range(24)]
    items[3] = OSError("truncated")
    items[4] = (Image.fromarray(np.full((3, 2, 3), 9, np.uint8)), "a")
    got = from_dataset(Pairs(items))
    assert got.inputs.shape == (23, 3, 6, 4)
    assert got.inputs[3].unique().tolist() == [9]
    assert 3 not in got.index
    assert note(got, "Skipped") == "Skipped 1 of 24 samples that could not be read: 3 (truncated)."
    assert "Resized 1 of 23" in note(got, "Resized")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (iter([]), "has no length or positions"),
        (Pairs([]), "the data set is empty"),
        (Pairs([torch.zeros(3)]), "sample 0 is a Tensor; expected a pair"),
        (Pairs([OSError("gone")]), r"could not be read: 0 \(gone\)"),
        (Pairs([(torch.zeros(3), 0), (torch.zeros(3, 3), 1)]), "images and embeddings"),
        (Pairs([(torch.zeros(3), 0), (torch.zeros(4), 1)]), "3 to 4 numbers"),
    ],
)
def test_data_sets_that_are_none_are_named(data, message):
    with pytest.raises(ValueError, match=message):
        from_dataset(data)
