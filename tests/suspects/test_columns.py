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
    assert "left out, which are constant, count rows, or hold other than numbers: 'row', 'remark', 'unit'." in notes
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
