"""The ledger: which claims stand in it, and how."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from lib.press import chapters
from lib.press.claims import Claim
from lib.press.rule import above
from lib.press.show import CLAIM
from lib.site import ledger as ledger_module
from lib.site.ledger import all_claims, kept_profiles, ledger, summary


def claim(profile="paper", outcomes=(True,), **changes):
    """A claim with a part for each outcome: True for one that holds."""
    parts = {f"part {k}": above([1.0, 1.1], 0.0 if holds else 5.0) for k, holds in enumerate(outcomes)}
    settings = {
        "id": "a", "chapter": "02_binary_dynamics", "says": "It falls.", "source": "§ 4", "parts": parts,
        "figure": "fig-x", "measured": {"value": [1.0]}, "seeds": 1, "live": profile == "smoke",
    }  # fmt: skip
    return Claim(**settings | changes, profile=profile)


def test_the_ledger_shows_each_claim_once_with_every_profile():
    page = ledger([claim("paper"), claim("smoke", [False]), claim("smoke", [True, False], id="b", says="It rises.")])
    assert page.count("It falls. ({numref}`fig-x`)") == 1
    assert page.index("at <code>smoke</code>") < page.index("at <code>paper</code>")
    assert "✘ does not hold</strong> at <code>smoke</code> (0 of 1 part" in page
    assert "✔ holds</strong> at <code>paper</code> (1 of 1 part, 1 seed, recorded)" in page
    assert "| `smoke` | 0 | 1 | 0 | 1 | 2 |" in page
    assert "| `paper` | 1 | 0 | 0 | 0 | 1 |" in page


def executed(path: Path, *claims: Claim) -> None:
    """A notebook with these claims in its outputs."""
    told = [asdict(one) | {"parts": list(asdict(one)["parts"].items())} for one in claims]
    outputs = [{"metadata": {CLAIM: one}} for one in told]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": [{"outputs": outputs}]}), encoding="utf-8")


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The folder of a book of one chapter, kept at two profiles."""
    for module in (ledger_module, chapters):
        monkeypatch.setattr(module, "NOTEBOOKS", tmp_path / "notebooks")
    executed(tmp_path / "notebooks" / "01_a.ipynb", claim("smoke", seeds=3), claim("paper", seeds=5))
    return tmp_path / "notebooks"


def test_what_this_build_ran_comes_before_what_was_kept(kept, tmp_path):
    """The smoke column is filled live."""
    executed(tmp_path / "runs" / "smoke" / "01_a.ipynb", claim("smoke", seeds=77))
    executed(tmp_path / "runs" / "smoke" / "01_a.failed.ipynb", claim("smoke", seeds=78))
    assert {one.profile: one.seeds for one in all_claims(tmp_path / "runs")} == {"smoke": 77, "paper": 5}
    assert {one.profile: one.seeds for one in all_claims()} == {"smoke": 3, "paper": 5}
    assert kept_profiles(kept / "01_a.ipynb") == {"smoke", "paper"}


def test_values_with_signs_of_html_stand_in_the_ledger_as_they_are():
    page = ledger([claim(measured={"a < b & 'c'": [1.0]})])
    assert "recorded): a &lt; b &amp; &#x27;c&#x27; 1.00</div>" in page


def test_a_ledger_of_nothing_is_a_table_of_zeros():
    assert ledger([]).count("| 0 | 0 | 0 | 0 | 0 |\n") == 3


def test_the_summary_names_what_does_not_hold():
    text = summary([claim("smoke"), claim("smoke", [False], id="b", says="It rises.")])
    assert "02_binary_dynamics at smoke: holds 1, partly 0, undecided 0, does not hold 1" in text
    assert "It rises." in text
    assert "It falls." not in text
