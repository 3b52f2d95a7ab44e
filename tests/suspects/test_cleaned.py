"""Labels corrected as marked in the gallery."""

import doctest

import numpy as np
import pandas as pd
import pytest

from lib.__main__ import main
from lib.suspects import cleaned, from_arrays, from_table
from lib.suspects.cleaned import cleaned_labels
from lib.suspects.gallery import write_gallery
from lib.suspects.report import Interval, Suspects

TABLE = pd.DataFrame({"given_label": ["1", "2", "1", "2"]}, index=pd.Index([10, 11, 12, 13], name="index"))
MARKS = pd.DataFrame(
    {
        "index": ["11", "12", "13"],
        "given_label": ["2", "1", "2"],
        "predicted_label": ["1", "2", "2"],
        "decision": ["wrong", "fine", "wrong"],
    }
)


def test_wrong_becomes_the_suggestion_fine_stays_and_unknown_goes():
    assert cleaned_labels(TABLE, MARKS).to_dict() == {10: "1", 11: "1", 12: "1"}


def test_the_files_say_the_same(tmp_path):
    TABLE.to_csv(tmp_path / "suspects.csv")
    MARKS.to_csv(tmp_path / "decisions.csv", index=False)
    assert cleaned_labels(tmp_path / "suspects.csv", tmp_path / "decisions.csv").to_dict() == {
        10: "1",
        11: "1",
        12: "1",
    }


def test_the_files_labels_fit_the_rows_of_the_table_that_was_judged(tmp_path):
    draws = np.random.default_rng(0)
    right = np.arange(30) % 2
    given = np.where(np.isin(np.arange(30), [2, 11, 19]), 1 - right, right)
    said = np.array(["cat", "dog"])
    pd.DataFrame({"x": draws.normal(size=30), "label": said[given]}).to_csv(tmp_path / "mine.csv", index=False)
    judged = from_table(pd.read_csv(tmp_path / "mine.csv"))
    table = pd.DataFrame(
        {"given_label": said[given], "predicted_label": said[right], "label_quality": draws.random(30)}, judged.index
    )
    none = np.zeros((2, 2))
    Suspects(table, Interval(0, 0, 0), none, none, none, ("cat", "dog"), (), [], {}).save(tmp_path)
    written = pd.read_csv(tmp_path / "suspects.csv")
    assert not written["index"].is_monotonic_increasing  # it is by suspicion
    written.query("given_label != predicted_label").assign(decision="wrong").to_csv(
        tmp_path / "decisions.csv", index=False
    )
    mine = pd.read_csv(tmp_path / "mine.csv")
    cleaned = cleaned_labels(tmp_path / "suspects.csv", tmp_path / "decisions.csv")
    mine["clean"] = cleaned
    assert mine["clean"].tolist() == said[right].tolist()
    assert cleaned.index.tolist() == list(range(30))


@pytest.mark.parametrize("names", [["b.png", "2", "a.png"], ["02", "1", "0"], ["-0", "1", "0"], ["9" * 30, "1", "0"]])
def test_names_that_are_no_whole_numbers_stay_text(tmp_path, names):
    TABLE.iloc[:3].set_axis(pd.Index(names, name="index")).to_csv(tmp_path / "suspects.csv")
    MARKS.iloc[:1].assign(index=names[1]).to_csv(tmp_path / "decisions.csv", index=False)
    found = cleaned_labels(tmp_path / "suspects.csv", tmp_path / "decisions.csv")
    assert list(found.items()) == list(zip(names, ["1", "1", "1"], strict=True))


def test_samples_of_several_names_have_one_in_files_and_pages(tmp_path):
    """What `Suspects.save` writes is read again, and the gallery calls a sample the same."""
    index = pd.MultiIndex.from_product([["north", "south"], [1, 2]], names=["place", "year"])
    table = TABLE.set_axis(index).assign(predicted_label="1", label_quality=[0.4, 0.1, 0.3, 0.2], probability_wrong=0.5)
    none = np.zeros((2, 2))
    Suspects(table, Interval(0, 0, 0), none, none, none, ("1", "2"), (), [], {}).save(tmp_path)
    written = pd.read_csv(tmp_path / "suspects.csv", index_col="index")
    assert written.index.tolist() == ["north, 2", "south, 2", "south, 1", "north, 1"]
    assert written["label_quality"].tolist() == [0.1, 0.2, 0.3, 0.4]
    labelled = from_arrays(np.eye(4), pd.Series([1, 2, 1, 2], index))
    page = tmp_path / "gallery.html"
    write_gallery(table.assign(is_label_issue=True), labelled, page)
    assert 'aria-label="south, 2: labelled 2, suggested 1"' in page.read_text(encoding="utf-8")
    marks = MARKS.iloc[:1].assign(index="south, 2")
    assert cleaned_labels(table, marks).to_dict() == {
        ("north", 1): "1", ("north", 2): "2", ("south", 1): "1", ("south", 2): "1",
    }  # fmt: skip
    assert cleaned_labels(tmp_path / "suspects.csv", marks.assign(index="north, 2"))["north, 2"] == "1"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"decision": "maybe"}, "wrong or fine, not maybe"),
        ({"index": ["97", "98", "99"]}, "3 decisions are on samples that the table has not: 97, 98, 99"),
        ({"given_label": "3"}, "3 decisions are on other labels than the table's"),
        ({"index": "11", "given_label": "2"}, "samples are marked in two ways: 11"),
        ({"predicted_label": ""}, "suggested are labels that are no classes of the table: "),
        ({"predicted_label": "7"}, "suggested are labels that are no classes of the table: 7"),
    ],
)
def test_marks_of_something_else_are_refused(change, says):
    with pytest.raises(ValueError, match=says):
        cleaned_labels(TABLE, MARKS.assign(**change))


def test_missing_columns_and_shared_names_are_refused():
    with pytest.raises(ValueError, match="no column decision"):
        cleaned_labels(TABLE, MARKS.drop(columns="decision"))
    with pytest.raises(ValueError, match="names of several samples are marked: 11"):
        cleaned_labels(TABLE.set_axis([10, 11, 11, 12]), MARKS.iloc[:1])


def test_the_docstrings_example_runs():
    assert doctest.testmod(cleaned).failed == 0


def test_names_are_found_whatever_ends_their_lines():
    table = TABLE.set_axis(["1: Good\r\nthing", "2: a\rb", "3", "4"])
    marks = MARKS.assign(index=["2: a\nb", "3", "4"])
    assert cleaned_labels(table, marks).to_dict() == {"1: Good\r\nthing": "1", "2: a\rb": "1", "3": "1"}


@pytest.fixture
def marked(tmp_path):
    TABLE.to_csv(tmp_path / "suspects.csv")
    MARKS.to_csv(tmp_path / "decisions.csv", index=False)
    return ["relabel", str(tmp_path / "decisions.csv"), "--suspects", str(tmp_path)]


def test_the_command_writes_what_the_marks_say(marked, tmp_path, capsys):
    assert main(marked) == 0
    assert (tmp_path / "labels.csv").read_text(encoding="utf-8").split() == ["index,label", "10,1", "11,1", "12,1"]
    said = capsys.readouterr().out
    assert "3 labels: 1 changed, 1 looked at and kept; left out: 1 sample" in said
    assert str(tmp_path / "labels.csv") in said


def test_the_command_replaces_nothing_unasked(marked, tmp_path, capsys):
    (tmp_path / "labels.csv").write_text("mine", encoding="utf-8")
    assert main(marked) == 1
    assert "would be replaced: say --overwrite" in capsys.readouterr().err
    assert (tmp_path / "labels.csv").read_text(encoding="utf-8") == "mine"
    assert main([*marked, "--out", str(tmp_path / "new" / "mine.csv")]) == 0
    assert main([*marked, "--out", str(tmp_path / "new" / "mine.csv"), "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"--suspects": "nowhere"}, "name the folder that `suspects` wrote by --suspects"),
        ({"decisions": "nowhere.csv"}, "it is what *Download marks* in the gallery gives"),
        ({"--suspects": "photos"}, "suspects.csv is not there"),
        ({"decisions": "photos"}, "photos is no file"),
        ({"--out": "labels.txt"}, "tables are .csv, .tsv, .parquet"),
        ({"--table": "mine.csv"}, "--table names the table that was judged"),
        ({"--out": "suspects.csv", "--overwrite": None}, "is what is read: name another --out"),
        ({"--out": "decisions.csv", "--overwrite": None}, "is what is read: name another --out"),
    ],
)
def test_the_command_says_what_is_missing(changed, says, marked, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"decisions": marked[1], "--suspects": str(tmp_path)} | changed
    (tmp_path / "photos").mkdir()
    options = [part for name, value in given.items() if name != "decisions" for part in (name, value) if part]
    assert main(["relabel", given["decisions"], *options]) == 1
    assert says in capsys.readouterr().err


ROWS = pd.DataFrame({"text": ["good", "bad, bad", "fair", "fine"], "stars": [5, 5, 5, 1], "n": [1.5, 2.5, 3.5, 4.5]})
OF_ROWS = pd.DataFrame(
    {"given_label": ["5", "1", "5"], "predicted_label": ["1", "1", "5"], "decision": ["wrong", "wrong", "fine"]}
)


@pytest.mark.parametrize(
    "names", [["1", "3", "0"], ["1: bad, bad", "3: fine", "0: good"]], ids=["numbers of rows", "texts"]
)
@pytest.mark.parametrize("kind", [".csv", ".tsv", ".parquet"])
def test_a_table_of_one_s_own_is_written_anew_with_its_labels_corrected(names, kind, tmp_path, capsys):
    suspects = pd.DataFrame({"index": [*names, names[0].replace("1", "2")], "given_label": ["5", "1", "5", "5"]})
    suspects.to_csv(tmp_path / "suspects.csv", index=False)
    OF_ROWS.assign(index=names).to_csv(tmp_path / "decisions.csv", index=False)
    mine = tmp_path / f"mine{kind}"
    ROWS.to_parquet(mine) if kind == ".parquet" else ROWS.to_csv(
        mine, index=False, sep={".csv": ",", ".tsv": "\t"}[kind]
    )
    given = ["relabel", str(tmp_path / "decisions.csv"), "--suspects", str(tmp_path), "--table", str(mine)]
    assert main([*given, "--label-column", "stars"]) == 0
    assert "3 labels: 1 changed, 1 looked at and kept; left out: 1 sample" in capsys.readouterr().out
    made = tmp_path / f"mine-relabelled{kind}"
    found = pd.read_parquet(made) if kind == ".parquet" else pd.read_csv(made, sep={".csv": ",", ".tsv": "\t"}[kind])
    pd.testing.assert_frame_equal(found.reset_index(drop=True), ROWS.assign(stars=[5, 1, 5, 1]).iloc[:3])


def test_rows_of_images_are_found_by_their_paths():
    table = pd.DataFrame({"image": ["b.png", "a.png", "b.png", "0"], "label": ["cat", "cat", "cat", "dog"]})
    marks = cleaned.read_marks(
        pd.DataFrame(
            {
                "index": ["a.png", "0"],
                "given_label": ["cat", "dog"],
                "predicted_label": "dog",
                "decision": ["wrong", "fine"],
            }
        )
    )
    assert cleaned.relabelled(table, marks)["label"].tolist() == ["cat", "dog", "cat", "dog"]
    with pytest.raises(ValueError, match="names of several rows are marked: b"):
        cleaned.relabelled(table, marks.assign(index=["b.png", "0"]))
    with pytest.raises(ValueError, match="the table has not all samples that are marked, as 'c'"):
        cleaned.relabelled(table, marks.assign(index=["c", "0"]))
    with pytest.raises(ValueError, match="2 decisions are on other labels than the table's"):
        cleaned.relabelled(table, marks.assign(given_label="cow"))
    with pytest.raises(ValueError, match="suggested are labels that the table has not: cow"):
        cleaned.relabelled(table, marks.assign(predicted_label="cow"))
    with pytest.raises(ValueError, match="no column 'class'"):
        cleaned.relabelled(table, marks, "class")


def test_nothing_is_written_where_no_label_would_be_left(marked, tmp_path, capsys):
    all_gone = TABLE.reset_index().assign(predicted_label=TABLE["given_label"].tolist(), decision="wrong")
    all_gone.to_csv(tmp_path / "decisions.csv", index=False)
    assert main(marked) == 1
    assert "no label would be left" in capsys.readouterr().err
    assert not (tmp_path / "labels.csv").exists()
