"""What users bring, read as they mean it: deep pictures, embeddings of any shape, names in bytes, folders, tables.

Each kind stands for inputs that were once read as something else, or stopped with an error about something else.
"""

import os
import re
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from lib.suspects.early_stop import Inputs, Recipe
from lib.suspects.read import from_arrays, from_csv, from_dataset, from_folder
from lib.suspects.sources import read_samples
from lib.suspects.tables import read_table

TWO = np.arange(24) % 2
DRAWN = np.random.default_rng(0).integers(100, 200, (24, 6, 5))  # of the 65,536 values of 16 bits
FEATURES = np.random.default_rng(1).normal(size=(24, 7)).astype(np.float32)
STRETCHED = (DRAWN - DRAWN.min()) / (DRAWN.max() - DRAWN.min())


def notes(labelled) -> str:
    return " ".join(labelled.notes)


def save(path, array=DRAWN[0].astype(np.uint8), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.fromarray(array) as image:
        image.save(path, **options)


def correlation(a, b) -> float:
    return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]


# Pictures of more than eight bits ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_files_whose_values_use_few_of_the_bits_keep_them(tmp_path, kind):
    values = DRAWN * 8 if kind is not np.float32 else DRAWN / 1000
    for k, image in enumerate(values):
        save(tmp_path / "ab"[k % 2] / f"{k:02}.tif", image.astype(kind))
    got = from_folder(tmp_path)
    order = [int(name[2:4]) for name in got.index]
    assert got.inputs.dtype == torch.float32
    assert 0 <= got.inputs.min() < got.inputs.max() <= 1
    assert correlation(got.inputs, values[order]) == pytest.approx(1, abs=1e-6)
    assert len(np.unique(got.inputs)) == len(np.unique(DRAWN))
    assert "copies" not in notes(got)


def test_deep_and_plain_files_are_each_scaled_by_their_own_range(tmp_path):
    save(tmp_path / "a" / "plain.png", (DRAWN[0] - 100).astype(np.uint8))
    save(tmp_path / "a" / "deep.png", (DRAWN[1] * 300).astype(np.uint16))
    save(tmp_path / "b" / "fractions.tif", STRETCHED[2].astype(np.float32))
    save(tmp_path / "b" / "coloured.png", np.full((6, 5, 3), (255, 0, 51), np.uint8))
    save(tmp_path / "b" / "no_number.tif", np.full((6, 5), np.nan, np.float32))
    got = from_folder(tmp_path)
    images = dict(zip(got.index, got.inputs.numpy(), strict=True))
    assert np.allclose(images["a/plain.png"], np.broadcast_to((DRAWN[0] - 100) / 255, (3, 6, 5)))
    assert (images["a/deep.png"].min(), images["a/deep.png"].max()) == (0, 1)
    assert np.allclose(images["b/fractions.tif"][1], STRETCHED[2])
    assert images["b/coloured.png"][:, 0, 0] == pytest.approx([1, 0, 0.2])
    assert "b/no_number.tif (its pixels hold NaN or infinity)" in notes(got)
    assert "1 images have more than 8 bits a pixel. Pixels ran from" in notes(got)


@pytest.mark.parametrize("kind", [np.uint16, np.uint32, np.uint64, np.int16, np.int64])
def test_integers_beyond_bytes_are_scaled_by_their_range(kind):
    values = DRAWN * 200
    got = from_arrays(values.astype(kind) if kind is not np.int16 else (values - 30000).astype(kind), TWO)
    assert np.allclose(got.inputs[:, 0], STRETCHED, atol=1e-6)
    assert "scaled linearly" in notes(got)
    small = from_arrays(torch.from_numpy(DRAWN.astype(np.int64)).to(torch.uint16), TWO)
    assert small.inputs.dtype == torch.uint8
    assert np.array_equal(small.inputs[:, 0], DRAWN)
    assert from_arrays(FEATURES.astype(np.uint16), TWO).embedded


@pytest.mark.parametrize("mode", ["I", "I;16", "F"])
def test_deep_images_of_a_data_set_keep_their_values(mode):
    kind = {"I": np.int32, "I;16": np.uint16, "F": np.float32}[mode]
    items = [(Image.fromarray(image.astype(kind) * 200), int(label)) for image, label in zip(DRAWN, TWO, strict=True)]
    assert items[0][0].mode == mode
    assert np.allclose(from_dataset(items).inputs[:, 0], STRETCHED, atol=1e-6)


def test_channels_of_16_bits_that_are_cut_to_8_are_said(tmp_path):
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = b"".join(b"\0" + (DRAWN[k, :, :, None] * np.ones(3)).astype(">u2")[0].tobytes() for k in range(2))
    coloured = chunk(b"IHDR", struct.pack(">IIBBBBB", 5, 2, 16, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.png").write_bytes(b"\x89PNG\r\n\x1a\n" + coloured + chunk(b"IEND", b""))
    save(tmp_path / "b" / "two.png", np.full((2, 5, 3), 7, np.uint8))
    assert "1 images of 16 bits a channel are read with 8" in notes(from_folder(tmp_path))


def test_a_file_of_several_pictures_is_said(tmp_path):
    pages = [Image.fromarray(image.astype(np.uint8)) for image in DRAWN[:3]]
    (tmp_path / "a").mkdir()
    pages[0].save(tmp_path / "a" / "pages.tif", save_all=True, append_images=pages[1:])
    save(tmp_path / "b" / "one.png", DRAWN[5].astype(np.uint8))
    got = from_folder(tmp_path)
    assert np.array_equal(got.inputs[0, 0], DRAWN[0])
    assert "1 files hold several pictures each, of which the first is read" in notes(got)


def test_inputs_that_are_all_alike_are_refused(tmp_path):
    with pytest.raises(ValueError, match="all 24 inputs are the same: there is nothing to tell classes apart by"):
        from_arrays(np.zeros((24, 6, 5), np.uint8), TWO)
    for k in range(4):
        save(tmp_path / "ab"[k % 2] / f"{k}.png", np.full((6, 5 + k), 9, np.uint8))
    with pytest.raises(ValueError, match="the same as they were read"):
        from_folder(tmp_path)


def test_pictures_that_reading_made_alike_are_not_called_surely_wrong(tmp_path):
    for k in range(4):
        save(tmp_path / "ab"[k % 2] / f"{k}.png", np.full((6, 5 + (k > 0)), 9 * (k < 3), np.uint8))
    said = notes(from_folder(tmp_path))
    assert "3 samples are alike as they were read, in 1 group; 3 of them carry" in said
    assert "at least 1 is wrong if the originals are alike too" in said


@pytest.mark.parametrize("size", [1e-13, 1.0, 1e6])
def test_inputs_are_standardised_whatever_their_size(size):
    cpu, all_ = torch.device("cpu"), torch.arange(24)
    values = torch.from_numpy(FEATURES)
    assert torch.allclose(Inputs(values * size, cpu)(all_), Inputs(values, cpu)(all_), atol=1e-4)
    constant = torch.full((24, 2), 0.1 * size)
    assert Inputs(constant, cpu)(all_).abs().max() <= 1e-6 * size  # not blown up


# Shapes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(7,), (7, 1, 1), (1, 7), (7, 1), (1, 1, 7), (1, 7, 1, 1)])
def test_embeddings_may_keep_axes_of_length_1(tmp_path, shape):
    shaped = FEATURES.reshape(24, *shape)
    np.savez(tmp_path / "e.npz", embeddings=shaped, labels=TWO)
    for got in (
        read_samples(tmp_path / "e.npz"),
        from_arrays(shaped, TWO),
        from_arrays(list(torch.from_numpy(shaped)), TWO),
        from_dataset(list(zip(torch.from_numpy(shaped), TWO, strict=True))),
    ):
        assert torch.equal(got.inputs, torch.from_numpy(FEATURES))
    assert ("hold a vector a sample" in notes(from_arrays(shaped, TWO))) == (len(shape) > 1)


def test_what_the_user_calls_inputs_goes_before_their_shape(tmp_path):
    tokens = np.repeat(FEATURES[:, None], 3, axis=1)
    np.savez(tmp_path / "e.npz", embeddings=tokens, labels=TWO)
    with pytest.raises(ValueError, match=r"embeddings have shape \[24, 3, 7\]; .*take the mean"):
        read_samples(tmp_path / "e.npz")
    assert from_arrays(tokens, TWO).inputs.shape == (24, 1, 3, 7)
    lines = FEATURES[:, None, None, :]
    assert from_arrays(lines, TWO, kind="images").inputs.shape == (24, 1, 1, 7)
    assert "Images of shape [24, 7] are taken as embeddings" in notes(from_arrays(FEATURES, TWO, kind="images"))
    with pytest.raises(ValueError, match="kind is one of images, embeddings, pred_probs, not 'text'"):
        from_arrays(FEATURES, TWO, kind="text")


@pytest.mark.parametrize("network", ["cnn", "resnet9"])
def test_a_network_for_images_refuses_embeddings_by_name(network):
    with pytest.raises(ValueError, match=f"{network} reads images, and these are embeddings of 7 numbers: take fcn"):
        Recipe(network=network).build((7,), 2)


def test_images_too_small_for_the_network_of_colours_get_the_other():
    assert Recipe().build((3, 6, 4), 2)(torch.zeros(2, 3, 6, 4)).shape == (2, 2)


# Arrays in files -----------------------------------------------------------------------------------------------


def test_names_in_bytes_are_text(tmp_path):
    names = np.array([b"cat", "gr\u00f6\u00dfe".encode()])
    np.savez(
        tmp_path / "b.npz",
        embeddings=FEATURES,
        labels=names[TWO],
        class_names=names,
        index=[b"i%d" % k for k in range(24)],
    )
    got = read_samples(tmp_path / "b.npz")
    assert got.class_names == ("cat", "größe")
    assert got.labels.tolist() == TWO.tolist()
    assert list(got.index[:2]) == ["i0", "i1"]
    objects = from_arrays(FEATURES, list(names[TWO]), index=[b"caf\xe9", *range(23)])
    assert objects.class_names == ("cat", "größe")
    assert objects.index[0] == "caf\\xe9"
    assert from_arrays(FEATURES, [("cat", os.fsdecode(b"caf\xe9"))[k] for k in TWO]).class_names == ("caf\\xe9", "cat")


def test_the_array_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "o.npz"
    pictures = np.empty(24, object)
    pictures[:] = [np.zeros((8, 8 + k % 2)) for k in range(24)]
    np.savez(path, images=pictures, labels=TWO)
    with pytest.raises(ValueError, match=r"o\.npz: images holds Python objects: save one array of numbers"):
        read_samples(path)
    np.savez(path, embeddings=FEATURES, labels=TWO, class_names=np.array(["a", 2], object))
    with pytest.raises(ValueError, match="class_names holds Python objects"):
        read_samples(path)
    with open(path, "wb") as file:
        np.save(file, FEATURES)
    with pytest.raises(ValueError, match=r"is no \.npz file \(it holds one array"):
        read_samples(path)
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"is no \.npz file"):
        read_samples(path)


# Classes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["nan", "None", "<NA>", "NaN", "null", "unlabeled"])
def test_labels_that_are_text_for_none_are_asked_about(mark):
    said = notes(from_arrays(FEATURES, np.array(["cat", "dog", mark])[np.arange(24) % 3]))
    assert f"may mean a missing label, and are judged as classes; if so, leave these samples out: {mark!r} (8)." in said
    known = from_arrays(FEATURES, np.array(["cat", mark])[TWO], class_names=["cat", mark])
    assert "missing" not in notes(known)


def test_minus_one_beside_classes_is_asked_about():
    three = np.arange(24) % 3 - 1
    for labels in (three, three.astype(str)):
        assert "'-1' (8)" in notes(from_arrays(FEATURES, labels))
    for labels in (three * 2, TWO * 2 - 1, three + 1):
        assert "missing" not in notes(from_arrays(FEATURES, labels))


@pytest.mark.parametrize(
    "names", [("1", "1.0", "01"), ("2", "+2"), ("Cat", "cat "), ("snow_dog", "snow dog", "Snow-Dog"), ("é", "e\u0301")]
)
def test_one_class_in_several_spellings_is_noted(names):
    labels = np.array([*names, "-1", "10"])[np.arange(24) % (len(names) + 2)]
    (said,) = [note for note in from_arrays(FEATURES, labels).notes if "differ by" in note]
    assert sorted(re.findall(r"'([^']*)'", said)) == sorted(names)


# Folders -------------------------------------------------------------------------------------------------------


def test_links_to_folders_are_followed_and_their_files_counted_once(tmp_path):
    for name in ("cat", "dog"):
        for k in range(6):
            save(tmp_path / "real" / name / "deeper" / f"{k}.png", DRAWN[k].astype(np.uint8) + (name == "dog"))
        (tmp_path / "links" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "links" / name).symlink_to(tmp_path / "real" / name)
    (tmp_path / "real" / "cat" / "round").symlink_to(tmp_path / "real" / "cat")
    (tmp_path / "real" / "dog" / "other").symlink_to(tmp_path / "real" / "cat" / "deeper")
    got = from_folder(tmp_path / "links")
    assert len(got) == 18  # the cats are among the dogs, as the folder says
    assert "left out" not in notes(got)


def test_images_are_known_by_their_first_bytes_where_no_extension_says_it(tmp_path):
    for k in range(8):
        save(tmp_path / "ab"[k % 2] / f"{k}", DRAWN[k].astype(np.uint8), format="PNG")
        (tmp_path / "ab"[k % 2] / f"{k}.jpg_large").write_bytes((tmp_path / "ab"[k % 2] / f"{k}").read_bytes())
    (tmp_path / "a" / "notes.txt").write_text("no image", encoding="utf-8")
    got = from_folder(tmp_path)
    assert len(got) == 16
    assert "1 files of" in notes(got)
    assert "left out (a/notes.txt)" in notes(got)
    for file in tmp_path.glob("?/*[0-9e]"):
        file.unlink()
    with pytest.raises(ValueError, match=r"no images in the folders of .*left out \(a/notes\.txt\)"):
        from_folder(tmp_path)


@pytest.mark.parametrize("parts", [("train", "test"), ("Train", "val", "test"), ("training", "validation")])
@pytest.mark.parametrize("inside", ["/cat", ""])
def test_parts_of_a_data_set_are_no_classes(tmp_path, parts, inside):
    for k, part in enumerate(parts):
        save(tmp_path / f"{part}{inside}" / "one.png", DRAWN[k].astype(np.uint8))
        save(tmp_path / f"{part}{inside and '/dog'}" / "two.png", DRAWN[k + 9].astype(np.uint8))
    with pytest.raises(ValueError, match=r"look like parts of a data set.*name one of the parts"):
        from_folder(tmp_path)


def test_classes_that_may_lie_a_level_below_are_pointed_at(tmp_path):
    for k, kind in enumerate(("cat", "dog")):
        save(tmp_path / "pets" / kind / "one.png", DRAWN[k].astype(np.uint8))
    with pytest.raises(ValueError, match=r"'pets', and so have one label; .*cat, dog, are the classes, name .*pets"):
        from_folder(tmp_path)
    save(tmp_path / "wild" / "owl" / "one.png", DRAWN[5].astype(np.uint8))
    assert "All images lie two levels down; if the folders in them, cat, dog, owl," in notes(from_folder(tmp_path))
    save(tmp_path / "wild" / "two.png", DRAWN[6].astype(np.uint8))
    assert "levels" not in notes(from_folder(tmp_path))


# Tables --------------------------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path):
    """Writes a table of images that are there."""
    names = [f"b/Img_{k:02}.PNG" for k in range(24)]
    for k, name in enumerate(names):
        save(tmp_path / name, DRAWN[k].astype(np.uint8))

    def write(change=str, rows=None, header="image,label", encoding="utf-8"):
        lines = rows or [f"{change(name)},{'ab'[k % 2]}" for k, name in enumerate(names)]
        (tmp_path / "t.csv").write_text("\n".join([header, *lines]) + "\n", encoding=encoding)
        return tmp_path / "t.csv"

    return write


@pytest.mark.parametrize(
    "change",
    [
        lambda name: name.replace("/", "\\"),
        lambda name: f"{name} ",
        lambda name: name.lower(),
        lambda name: name.removesuffix(".PNG"),
        lambda name: f" b\\{name[2:-4].upper()}",
    ],
)
def test_paths_written_on_another_machine_are_found_and_said(table, change):
    got = from_csv(table(change))
    assert np.array_equal(got.inputs[:, 0].numpy(), DRAWN)
    assert "24 paths are not there as written" in notes(got)
    assert got.index[3] == change("b/Img_03.PNG")


def test_a_path_that_may_mean_two_files_is_not_guessed(table, tmp_path):
    save(tmp_path / "b" / "Img_03.tif")
    got = from_csv(table(lambda name: name.removesuffix(".PNG")))
    assert "b/Img_03 (not there)" in notes(got)
    assert len(got) == 23
    with pytest.raises(ValueError, match=r"none of 24 images could be read; .*Paths count from .*root \(--root\)"):
        from_csv(table(lambda name: f"elsewhere/{name}"))


def test_a_table_that_swallows_rows_is_refused(table):
    rows = [f"b/Img_{k:02}.PNG,{'ab'[k % 2]},ok" for k in range(24)]
    rows[5], rows[15] = f'{rows[5][:-2]}"5 cm', f'{rows[15][:-2]}7" lens'
    with pytest.raises(ValueError, match=r"row that ends in line 17 runs over .* not sound .*; is one not closed\?"):
        from_csv(table(rows=rows, header="image,label,note"))
    middle = [",".join(row.split(",")[k] for k in (0, 2, 1)) for row in rows]
    with pytest.raises(ValueError, match=r"is one not closed\?"):
        from_csv(table(rows=middle, header="image,note,label"))
    rows[15] = 'b/Img_15.PNG,b,a 7"'  # closed where a field ends: only that rows are gone tells
    with pytest.raises(ValueError, match=r"several lines that look like rows; it begins '5 cm"):
        from_csv(table(rows=rows, header="image,label,note"))
    rows[5], rows[15] = 'b/Img_05.PNG,b,"two\nlines, and more"', "b/Img_15.PNG,b"
    assert len(from_csv(table(rows=rows, header="image,label,note"))) == 24
    with pytest.raises(ValueError, match=r"is no table.*EOF inside string"):
        from_csv(table(rows=['b/Img_00.PNG,"a', "b/Img_01.PNG,b"]))


def test_what_is_no_table_is_named(table):
    path = table()
    path.write_text("image,label\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"t\.csv has no rows"):
        from_csv(path)
    with pytest.raises(ValueError, match="rows have more fields than its header"):
        from_csv(table(lambda name: f"{name},more"))
    assert len(from_csv(table(encoding="utf-16"))) == 24
    path = table()
    path.write_bytes(path.read_bytes().replace(b",a", b",\xe9"))
    with pytest.raises(ValueError, match=r"no table in UTF-8 .*save it in that encoding"):
        from_csv(path)


def test_texts_of_several_lines_with_commas_are_sound(tmp_path):
    texts = [f"Great product {k},\nreally, I liked it,\nas I said, twice" for k in range(20)]
    frame = pd.DataFrame({"review": texts, "label": ["good", "bad"] * 10})
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert read_table(tmp_path / "t.csv")["review"].tolist() == texts
    frame.assign(more="x").to_csv(tmp_path / "t.csv", index=False)
    assert read_table(tmp_path / "t.csv")["review"].tolist() == texts


def test_numbers_far_from_0_keep_what_they_differ_by():
    near = np.random.default_rng(0).normal(size=(60, 5))
    near[:, 1] = np.arange(60) % 7
    for far in (near + 1e8, near + np.array([0, 2**40, 0, -1e9, 0])):
        found = from_arrays(far, np.arange(60) % 3)
        offset = found.inputs.double().numpy() - near
        assert np.ptp(offset, axis=0).max() < 1e-5
        assert "columns lie far from 0 beside what they differ by" in notes(found)
        assert "copies" not in notes(found)
    assert not notes(from_arrays(near, np.arange(60) % 3))


def test_pixels_that_rounding_put_beyond_1_are_cut():
    images = np.random.default_rng(0).random((20, 8, 8))
    images[0, 0, 0], images[1, 0, 0] = 1.0000001, -1e-7
    found = from_arrays(images, np.arange(20) % 2)
    assert found.inputs.numpy()[:, 0] == pytest.approx(images.clip(0, 1))
    assert (found.inputs.min(), found.inputs.max()) == (0, 1)
    assert "Pixels" not in notes(found)


def test_labels_in_the_other_byte_order_are_the_same_labels():
    inputs = np.random.default_rng(0).normal(size=(20, 3))
    labels = np.arange(20) % 3
    assert from_arrays(inputs, labels.astype(">i4")).labels.tolist() == labels.tolist()


def test_frames_of_nullable_numbers_and_booleans_are_numbers():
    frame = pd.DataFrame({"x": np.arange(20) / 7, "flag": np.arange(20) % 3 == 0})
    found = from_arrays(frame, np.arange(20) % 2)
    assert found.inputs[:, 1].tolist() == frame["flag"].astype(float).tolist()
    assert from_arrays(frame[["x"]].convert_dtypes(), np.arange(20) % 2).inputs.shape == (20, 1)


def test_a_list_of_tensors_with_gradients_is_read():
    rows = [torch.full((3,), float(k), requires_grad=True) for k in range(6)]
    assert from_arrays(rows, np.arange(6) % 2).inputs[:, 0].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("names", [{0: "a", 1: "b"}, {"a", "b"}, "ab"])
def test_class_names_without_an_order_are_refused(names):
    with pytest.raises(ValueError, match="allowed: names in the order of the classes"):
        from_arrays(np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2, names)
