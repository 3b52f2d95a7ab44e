"""The page of the Python interface: its examples run, and it shows all that is public."""

import doctest
import re

import numpy as np

from lib import suspects
from lib.paths import ROOT

PAGE = ROOT / "book" / "api.md"


def test_its_examples_run(recwarn):
    ran = doctest.testfile(str(PAGE), module_relative=False)
    assert ran.failed == 0
    assert ran.attempted > 25


def test_all_that_is_public_is_shown_once():
    shown = re.findall(r"^\.\. auto\w+:: lib\.suspects\.(\w+)$", PAGE.read_text(encoding="utf-8"), re.M)
    assert sorted(shown) == sorted(suspects.__all__)


def test_every_column_of_the_table_is_explained():
    page = (ROOT / "book" / "using.md").read_text(encoding="utf-8")
    section = page.split("(columns-of-suspects)=")[1].split("(by-features)=")[0]
    index, *explained = re.findall(r"^\| `(\w+)` \|", section, re.M)
    assert index == "index"
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 30)
    numbers = (rng.standard_normal((60, 4)) + 2 * labels[:, None]).astype(np.float32)
    inputs = suspects.from_arrays(numbers, labels)
    trained = suspects.judge(inputs, suspects.Recipe(epochs=2, device="cpu"), progress=False).table
    regressed = suspects.judge_features(inputs).table
    assert sorted(explained) == sorted({*trained.columns, *regressed.columns})
    only = [name for name in explained if name not in regressed]
    assert only == ["mean_margin", "unseen_margin", "log_odds", "agreement"]
    assert [name for name in explained if name not in trained] == ["near_duplicate", "near_conflict", "outlier"]
