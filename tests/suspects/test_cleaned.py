"""Labels corrected as marked in the gallery."""

import doctest

import pandas as pd
import pytest

from lib.suspects import cleaned
from lib.suspects.cleaned import cleaned_labels

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
        "10": "1", "11": "1", "12": "1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"decision": "maybe"}, "wrong or fine, not maybe"),
        ({"index": "99"}, "3 decisions are on samples that the table has not: 99"),
        ({"given_label": "3"}, "3 decisions are on other labels than the table's"),
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
