"""Tables whose columns describe the sample: what becomes of each, and what is said of it."""

import numpy as np
import pandas as pd
import pytest

from lib.suspects import from_arrays, from_csv, from_table, read_samples

N = 60
DRAWS = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "row": np.arange(N) + 1,
        "length": DRAWS.normal(1e6, 2, N),
        "age": DRAWS.normal(40, 1e-3, N),
        "colour": np.array(["red", "blue", "?"])[np.arange(N) % 3],
        "remark": [f"text number {k}" for k in range(N)],
        "unit": "mm",
        "label": np.array(["cat", "dog"])[np.arange(N) % 2],
    }
)
TABLE.loc[[3, 5], "age"] = np.nan


def check(found, index=None) -> None:
    expected = TABLE[["length", "age"]].fillna(TABLE["age"].median())
    expected = (expected - expected.mean()) / expected.std(ddof=0)
    assert found.inputs.shape == (N, 4)
    assert np.allclose(found.inputs[:, :2], expected, atol=1e-3)
    blue, red = (TABLE["colour"] == "blue"), (TABLE["colour"] == "red")
    for k, words in ((2, blue), (3, red)):
        assert len(set(found.inputs[:, k][words.to_numpy()].tolist())) == 1
        assert abs(np.corrcoef(found.inputs[:, k], words)[0, 1]) == pytest.approx(1, abs=1e-5)
    assert found.class_names == ("cat", "dog")
    notes = " ".join(found.notes)
    assert "4 columns of numbers, each brought to mean 0 and standard deviation 1" in notes
    assert "Missing values, taken for the median of their column: 'age' (2)." in notes
    assert "left out, which are constant, number rows, or hold other than numbers: 'row', 'remark', 'unit'." in notes
    assert found.embedded


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "frame"])
def test_each_column_is_read_for_what_it_is(tmp_path, kind):
    path = tmp_path / f"t.{kind}"
    if kind == "frame":
        frame = TABLE.set_index(np.arange(N) + 100)
        assert from_table(frame).index[0] == 100
        check(from_table(frame))
        return
    if kind == "parquet":
        TABLE.to_parquet(path)
    else:
        TABLE.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",", na_rep="NA")
    check(read_samples(path))
    if kind == "csv":
        TABLE.rename(columns={"label": "class"}).to_csv(path, index=False)
        check(read_samples(path, label_column="class"))


def test_nullable_and_boolean_columns_of_a_parquet_file_are_numbers(tmp_path):
    frame = pd.DataFrame(
        {
            "count": pd.array([*DRAWS.integers(0, 9, N - 1), None], dtype="Int64"),
            "is_new": DRAWS.random(N) < 0.5,
            "infinite": [np.inf, *DRAWS.normal(size=N - 1)],
            "day": pd.date_range("2020-01-01", periods=N)[::-1],
            "label": np.arange(N) % 3,
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    found = read_samples(tmp_path / "t.parquet")
    assert found.inputs.shape == (N, 3)
    assert found.inputs.isfinite().all()
    notes = " ".join(found.notes)
    assert "'count' (1), 'infinite' (1)" in notes
    assert "'day'" in notes


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": ["a", "b"] * 4}, "no column describes the samples; there are: 'label'"),
        ({"x": [1] * 8, "label": ["a", "b"] * 4}, "no column describes the samples; there are: 'x', 'label'"),
        ({"x": [1, 2] * 4, "kind": ["a", "b"] * 4}, "there is no column 'label'; there are: 'x', 'kind'"),
        ({"file": ["a/b.JPG"] * 8, "x": [1, 2] * 4, "label": ["a", "b"] * 4}, "'file' holds paths of images: name it"),
        ({"x": [1, 2] * 4, "label": ["a", ""] * 4}, "4 labels are missing"),
    ],
)
def test_tables_that_say_nothing_are_named(tmp_path, columns, message):
    pd.DataFrame(columns).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match=message):
        read_samples(tmp_path / "t.csv")


def test_images_of_a_parquet_table_are_read(tmp_path):
    from PIL import Image

    for k in range(6):
        Image.fromarray(DRAWS.integers(0, 255, (4, 4), np.uint8)).save(tmp_path / f"{k}.png")
    frame = pd.DataFrame({"image": [f"{k}.png" for k in range(6)], "label": np.arange(6) % 2})
    frame.to_parquet(tmp_path / "t.parquet")
    assert read_samples(tmp_path / "t.parquet").inputs.shape == (6, 1, 4, 4)
    frame.assign(image=[None, *frame["image"][1:]]).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="1 rows name no image"):
        read_samples(tmp_path / "t.parquet")
    (tmp_path / "t.parquet").write_bytes(b"none")
    with pytest.raises(ValueError, match=r"t\.parquet is no table"):
        read_samples(tmp_path / "t.parquet")


def test_a_column_that_repeats_the_label_is_left_out():
    label = np.arange(N) % 3
    frame = pd.DataFrame({"x": DRAWS.normal(size=N), "species": np.array(["a", "b", "c"])[label], "label": label})
    frame["target"] = 10 - label
    found = from_table(frame)
    assert found.inputs.shape == (N, 1)
    assert "'species' (repeats the label), 'target' (repeats the label)" in " ".join(found.notes)
    frame.loc[0, "species"] = "b"  # now it says something of its own
    assert from_table(frame).inputs.shape == (N, 4)


def test_a_rising_number_names_the_rows_whatever_its_steps():
    steps = DRAWS.integers(1, 9, N)
    frame = pd.DataFrame(
        {"x": DRAWS.normal(size=N), "id": steps.cumsum(), "back": -steps.cumsum(), "label": np.arange(N) % 2}
    )
    found = from_table(frame.assign(rising=np.sort(DRAWS.normal(size=N))))
    assert found.inputs.shape == (N, 2)
    assert "'id', 'back'" in " ".join(found.notes)


def test_vectors_in_a_column_become_columns(tmp_path):
    vectors = DRAWS.normal(size=(N, 4))
    frame = pd.DataFrame({"embedding": list(vectors), "x": DRAWS.normal(size=N), "label": np.arange(N) % 3})
    frame.to_parquet(tmp_path / "t.parquet")
    found = read_samples(tmp_path / "t.parquet")
    expected = (vectors - vectors.mean(0)) / vectors.std(0)
    assert found.inputs[:, :4].numpy() == pytest.approx(expected, abs=1e-5)
    assert found.inputs.shape == (N, 5)
    for entry, says in (([1.0], "several lengths"), (["a"] * 4, "other than numbers")):
        frame["embedding"] = [entry, *vectors[1:]]
        with pytest.raises(ValueError, match=says):
            from_table(frame)


def test_images_inside_a_table_are_pointed_at(tmp_path):
    frame = pd.DataFrame({"image": [{"bytes": b"x", "path": None}] * 6, "label": np.arange(6) % 2})
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="'image' holds dict, not paths; save the images as files"):
        read_samples(tmp_path / "t.parquet")


def test_columns_of_one_name_are_refused_and_complex_numbers_left_out():
    frame = pd.DataFrame({"x": DRAWS.normal(size=N), "label": np.arange(N) % 3})
    with pytest.raises(ValueError, match="columns have one name: 'x'"):
        from_table(pd.concat([frame, frame[["x"]]], axis=1))
    assert from_table(frame.assign(wave=np.exp(1j * np.arange(N)))).inputs.shape == (N, 1)
    found = from_table(
        frame.assign(more=[{"a": k} for k in range(N)], some=[None, *([float(k)] for k in range(N - 1))])
    )
    assert found.inputs.shape == (N, 1)
    assert "'more', 'some'" in " ".join(found.notes)


def test_rows_alike_in_the_columns_used_are_no_proof_of_wrong_labels():
    """Three pairs and a triple are alike; a pair and the triple differ in label."""
    x = np.array([0, 0, 1, 1, 2, 2, 3, 3, 3, *range(4, 25)])
    frame = pd.DataFrame({"x": x, "y": x**2, "label": list("aabbab" + "aab") + ["a", "b", "b"] * 7})
    found = from_table(frame.sample(frac=1, random_state=0))
    (said,) = (note for note in found.notes if "rows have" in note)
    assert said == "9 rows have the same values in all columns used, in 4 groups; 5 of them carry different labels."
    assert sorted(found.index[found.conflicts.numpy()]) == [4, 5, 6, 7, 8]
    assert "wrong" not in " ".join(found.notes)
    assert "copies" not in " ".join(found.notes)
    alike = from_table(frame.drop(index=[4, 8]).sample(frac=1, random_state=0))
    assert "6 rows have the same values in all columns used, in 3 groups." in alike.notes
    whole = from_arrays(frame[["x", "y"]].to_numpy(float), frame["label"])  # what is all there is may be called so
    assert "at least 2 are surely wrong" in " ".join(whole.notes)


def test_texts_are_pointed_to_their_option():
    texts = [f"an opinion of {('many', 'few', 'good', 'bad')[k % 4]} words, number {k}" for k in range(N)]
    frame = pd.DataFrame({"review": texts, "label": np.arange(N) % 2})
    with pytest.raises(ValueError, match=r"no column describes.*text column \(--text-column\): 'review'"):
        from_table(frame)
    beside = frame.assign(x=DRAWS.normal(size=N), name=[f"AB-CD-{k}" for k in DRAWS.permutation(N)])
    (said,) = (note for note in from_table(beside).notes if "left out" in note)
    asked = "To judge by texts, name a column of texts as the text column (--text-column): 'review'."
    assert said.endswith(f"'review', 'name'. {asked}")
    notes = " ".join(from_table(beside.drop(columns="review")).notes)
    assert "'name'" in notes
    assert "--text-column" not in notes


@pytest.mark.parametrize(
    ("names", "wanted", "message"),
    [
        (("x", "Label "), "label", r"'x', 'Label '; is 'Label ' meant\? --label-column names another"),
        (("x", "mylabel"), "my Label", r"is 'mylabel' meant\?"),
        (("x", "kind"), "label", r"'x', 'kind'; --label-column names another"),
        (("LABEL", "Label"), "label", r"'LABEL', 'Label'; --label-column"),  # which is not known
    ],
)
def test_a_missing_column_of_labels_is_named_with_its_option(tmp_path, names, wanted, message):
    pd.DataFrame(dict(zip(names, ([1, 2] * 4, ["a", "b"] * 4), strict=True))).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match=message):
        read_samples(tmp_path / "t.csv", label_column=wanted)
    with pytest.raises(ValueError, match=message):
        from_csv(tmp_path / "t.csv", names[0], wanted)


def test_a_missing_column_of_images_is_named_with_its_option(tmp_path):
    pd.DataFrame({"Image": ["a.png"] * 8, "label": ["a", "b"] * 4}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match=r"no column 'image'.*is 'Image' meant\? --image-column names another"):
        from_csv(tmp_path / "t.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("cell", ["1", "1,5"])  # a comma in a number makes rows longer than their header
@pytest.mark.parametrize(
    ("suffix", "mark", "name"), [("csv", ";", "semicolons"), ("csv", "\t", "tabs"), ("tsv", ",", "commas")]
)
def test_fields_that_are_separated_otherwise_are_recognised(tmp_path, suffix, mark, name, cell, encoding):
    path = tmp_path / f"t.{suffix}"
    lines = ["x", "y", "label"], [cell, "2", "a"], ["3", cell, "b"]
    path.write_text("\n".join(map(mark.join, lines)), encoding=encoding)
    with pytest.raises(ValueError, match=f"its header is one field, .*, for {name} separate the fields: save it with"):
        read_samples(path)


def test_a_header_of_one_field_is_recognised_in_a_frame_too_and_other_marks_are_left_alone(tmp_path):
    with pytest.raises(ValueError, match="its header is one field, 'x;label', for semicolons"):
        from_table(pd.DataFrame({"x;label": ["1;a", "2;b"]}))
    with pytest.raises(ValueError, match="no column 'label'; there are: 'x'; --label-column"):
        from_table(pd.DataFrame({"x": [1, 2]}))
    (tmp_path / "t.csv").write_text("x;y,label\n1,a\n2,b\n2,a\n")
    assert len(read_samples(tmp_path / "t.csv")) == 3


def test_arrays_of_a_file_are_asked_for_with_their_options(tmp_path):
    path = tmp_path / "t.npz"
    vectors, images, labels = DRAWS.normal(size=(8, 3)), DRAWS.random((8, 5, 5)), np.arange(8) % 2
    np.savez(path, images=images, embeddings=vectors, labels=labels)
    with pytest.raises(ValueError, match="holds images and embeddings: choose which by --image-column"):
        read_samples(path)
    assert read_samples(path, image_column="embeddings").inputs.shape == (8, 3)
    np.savez(path, X=vectors, y=labels)
    lacks = (
        r"must hold one of images, embeddings, inputs or pred_probs \(.*--image-column.*\) and labels "
        r"\(.*--label-column.*\); there are: X, y"
    )
    with pytest.raises(ValueError, match=lacks):
        read_samples(path)
    with pytest.raises(ValueError, match=r"must hold labels \(or --label-column .*\); there are: X, y"):
        read_samples(path, image_column="X")
    with pytest.raises(ValueError, match=r"must hold x \(or --image-column .*\); there are: X, y"):
        read_samples(path, image_column="x", label_column="y")
    assert read_samples(path, image_column="X", label_column="y").inputs.shape == (8, 3)
