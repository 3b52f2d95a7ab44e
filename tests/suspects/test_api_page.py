"""The page of the Python interface: its examples run, and it shows all that is public."""

import doctest
import re

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
