"""The page of criteria: every verdict that changed, and every claim that left, has a reason."""

import json
from dataclasses import replace

import pytest

from lib.site import criteria
from lib.site.build import RUNS
from lib.site.criteria import changes, reasons, unexplained
from lib.site.ledger import all_claims
from tests.press.test_chapters import firm_verdicts
from tests.site.test_ledger import claim


@pytest.fixture
def told(tmp_path, monkeypatch):
    """A book of three claims as they were, with what its one chapter says of them."""
    old = {"chapter": "02_binary_dynamics", "profile": "paper", "criterion": "a | bar", "verdict": "holds"}
    rows = [old | {"id": id, "says": f"It is {id}."} for id in ("same", "changed", "gone")]
    (tmp_path / "before.json").write_text(json.dumps(rows))
    monkeypatch.setattr(criteria, "BEFORE", tmp_path / "before.json")
    folder = tmp_path / "claims"
    folder.mkdir()
    monkeypatch.setattr(criteria, "reasons", lambda chapter: reasons(chapter, folder))
    return folder / "02_binary_dynamics.yml"


CLAIMS = [
    replace(one, seeds=5)
    for one in (claim("paper", id="same"), claim("paper", [False], id="changed"), claim("smoke", id="changed"))
]


def test_what_changed_and_what_left_is_listed_with_its_reason(told):
    told.write_text("changed: {changed: The bound was set afterwards.}\nleft: {gone: By construction.}\n")
    page = changes(CLAIMS)
    assert "Of the 3 claims" in page
    assert "1 kept their verdict" in page
    row = "| It is changed. | a \\| bar | ✔ holds | ✘ does not hold | The bound was set afterwards. |"
    assert row in page
    assert "| It is gone. | a \\| bar | ✔ holds | left | By construction. |" in page
    assert "It is same." not in page


def test_what_has_no_reason_is_named(told):
    assert unexplained(CLAIMS) == [
        "02_binary_dynamics, changed: holds became does not hold",
        "02_binary_dynamics, gone left the ledger",
        "02_binary_dynamics, changed: does not hold at paper, holds at smoke",
    ]
    told.write_text("changed: {changed: a}\nleft: {gone: b}\nprofiles: {changed: c}\n")
    assert unexplained(CLAIMS) == []


def test_a_map_of_another_name_is_refused(told):
    told.write_text("chnaged: {a: b}\n")
    with pytest.raises(ValueError, match="chnaged; there are: changed, left, profiles, few"):
        reasons("02_binary_dynamics", told.parent)


def test_a_claim_on_few_seeds_says_why(told):
    few = replace(CLAIMS[0], id="few", profile="cpu", seeds=4)
    named = "02_binary_dynamics, few: 4 seeds at cpu"
    assert named in unexplained([few])
    assert named not in unexplained([replace(few, seeds=5)])
    assert named not in unexplained([few, replace(few, profile="paper", seeds=5)])
    assert named not in unexplained([replace(few, profile="smoke")])
    told.write_text("few: {few: It takes a day.}\n")
    assert named not in unexplained([few])


def test_every_change_of_the_books_verdicts_has_its_reason():
    """Of the kept chapters, and of what was built: at smoke those verdicts that come out alike for any seeds."""
    claims = all_claims(RUNS if RUNS.exists() else None)
    there = {f"{one.chapter}, {one.id} left the ledger" for one in claims}  # at smoke alone, where nothing is built
    sure = [
        one
        for one in claims
        if one.profile != "smoke" or one.chapter[:2] == "16" or one.id in firm_verdicts(one.chapter)
    ]
    assert [one for one in unexplained(sure) if one not in there] == []


def test_no_claim_is_checked_at_smoke_alone():
    """But for sweeps. What is kept at smoke has its larger profile in the build alone."""
    if not RUNS.exists():
        pytest.skip("nothing is built")
    profiles = {}
    for one in all_claims(RUNS):
        profiles.setdefault((one.chapter, one.id), set()).add(one.profile)
    assert {chapter for (chapter, _), some in profiles.items() if some == {"smoke"}} <= {"16_running_sweeps"}
