"""The package's own names: each means what its module defines, and a module is loaded alone."""

import subprocess
import sys
from importlib import import_module

import pytest

from lib import suspects
from lib.paths import ROOT


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh Python has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("command", "find_suspects"),
        ("early_stop", "Recipe"),
        ("gallery", "write_gallery"),
        ("judgement", "judge"),
        ("read", "Labelled"),
        ("read", "from_arrays"),
        ("read", "from_csv"),
        ("read", "from_dataset"),
        ("read", "from_folder"),
        ("sources", "read_samples"),
        ("report", "Suspects"),
        ("annotators", "consensus"),
        ("columns", "from_table"),
        ("estimator", "LabelQuality"),
        ("probabilities", "find_label_issues"),
        ("probabilities", "judge_probabilities"),
    ],
)
def test_names_are_those_of_their_rooms(module, name):
    assert getattr(suspects, name) is getattr(import_module(f"lib.suspects.{module}"), name)
    assert name in dir(suspects)
    assert name in suspects.__all__


def test_there_is_no_other_name():
    with pytest.raises(AttributeError, match=r"'lib\.suspects' has no attribute 'accuse'"):
        getattr(suspects, "accuse")  # noqa: B009
    assert len(suspects.__all__) == 18


def test_nothing_is_loaded_before_it_is_asked_for():
    assert not {"torch", "pandas", "lib.suspects.read"} & loaded_by("import lib.suspects")
    presets = loaded_by("from lib.suspects import presets")
    assert "lib.suspects.compare" in presets
    assert not {"lib.suspects.gallery", "lib.suspects.command", "jinja2"} & presets
    assert "lib.suspects.gallery" in loaded_by("from lib.suspects import judge")
