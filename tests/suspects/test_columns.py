"""Tables whose columns describe the sample: what becomes of each, and what is said of it."""

import numpy as np
import pandas as pd
import pytest

from lib.suspects import from_table, read_samples

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
