"""The ledger: which claims stand in it, and how."""

import json
import math
import re
from collections import Counter
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lib.paths import NOTEBOOKS
from lib.press import chapters
from lib.press.claims import Claim
from lib.press.rule import above
from lib.press.show import CLAIM
from lib.site import ledger as ledger_module
from lib.site.criteria import Reasons
from lib.site.ledger import all_claims, download, kept_profiles, ledger, rows, summary


def claim(profile="paper", outcomes=(True,), **changes):
    """A claim with a part for each outcome: True for one that holds."""
    parts = {f"part {k}": above([1.0, 1.1], 0.0 if holds else 5.0) for k, holds in enumerate(outcomes)}
    settings = {
        "id": "a", "chapter": "02_binary_dynamics", "says": "It falls.", "source": "§ 4", "parts": parts,
        "figure": "fig-x", "measured": {"value": [1.0]}, "seeds": 1, "live": profile == "smoke",
    }  # fmt: skip
    return Claim(**settings | changes, profile=profile)


class Cells(HTMLParser):
    """Of each claim's row: its cells' words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows, self._row, self._cell = {}, None, None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "tr":
            self._row = self.rows.setdefault(attrs["id"], {}) if "id" in attrs else None
        if tag == "td" and self._row is not None:
            self._cell = attrs["class"]
            self._row[self._cell] = ""

    def handle_endtag(self, tag):
        if tag in ("td", "tr"):
            self._cell = None

    def handle_data(self, data):
        if self._cell:
            self._row[self._cell] = " ".join(f"{self._row[self._cell]} {data}".split())


def test_the_ledger_has_a_row_for_each_claim_with_every_profile():
    told = [claim("paper"), claim("smoke", [False]), claim("smoke", [True, False], id="b", says="It rises.")]
    rows = Cells(ledger(told)).rows
    assert set(rows) == {"claim-02-a", "claim-02-b"}
    assert rows["claim-02-a"]["lg-verdict"] == "✔ holds paper ✘ does not hold smoke"  # the largest counts
    assert rows["claim-02-a"]["lg-says"] == "It falls."
    assert "✘ does not hold at smoke (0 of 1 part, 1 seed, live)" in rows["claim-02-a"]["lg-values"].replace(" )", ")")
    assert "(1 of 1 part, 1 seed, recorded)" in rows["claim-02-a"]["lg-values"]
    assert rows["claim-02-b"]["lg-verdict"] == "◐ partly smoke"


def headline(page):
    """The counts that stand on top."""
    return dict(re.findall(r"<b>(\d+)</b> <span aria-hidden=\"true\">(.)</span>", page)[k][::-1] for k in range(4))


def test_the_headline_counts_each_claim_once_at_its_largest_profile():
    told = [
        claim("paper"),
        claim("smoke", [False]),
        claim("smoke", [True, False], id="b"),
        claim("cpu", [False], id="c"),
    ]
    assert headline(ledger(told)) == {"✔": "1", "◐": "1", "○": "0", "✘": "1"}


def test_the_headline_of_the_book_agrees_with_the_outputs_of_its_notebooks():
    """Read from the notebooks' words, not by the code that makes the ledger; every chapter is kept at one profile."""
    found = Counter()
    for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                shown = "".join(output.get("data", {}).get("text/plain", []))
                if CLAIM in output.get("metadata", {}):
                    found[shown[0]] += 1
    page = ledger(all_claims())
    assert {sign: int(number) for sign, number in headline(page).items()} == dict(found)
    assert len(Cells(page).rows) == sum(found.values())


@pytest.mark.parametrize(
    ("source", "of_the_paper"),
    [
        ("§ 4.1, Fig. 5 left", True),
        ("Theorem 4.4", True),
        ("Figs. 1 and 7", True),
        ("Eq. 10", True),
        ("ours, for Eq. 30", False),
        ("this book", False),
        ("left open in the paper; § 4.1 and § 1", False),
        ("Appendix B; left open in the paper", False),
        ("earlier notebook, after the paper's Fig. 12", False),
    ],
)
def test_what_the_paper_claims_is_told_from_what_others_do(source, of_the_paper):
    (row,) = rows([claim(source=source)])
    assert row.of_the_paper is of_the_paper
    assert f'data-by="{"paper" if of_the_paper else "others"}"' in ledger([claim(source=source)])


def test_why_profiles_disagree_stands_in_the_row_of_those_that_do(monkeypatch):
    monkeypatch.setattr(ledger_module, "reasons", lambda chapter: Reasons(profiles={"a": "Too few <seeds>."}))
    told = {one: Cells(ledger(claims)).rows["claim-02-a"] for one, claims in DISAGREEING.items()}
    assert "Where profiles disagree: Too few <seeds>." in told["differ"]["lg-values"]
    assert "disagree" not in told["agree"]["lg-values"]


DISAGREEING = {"differ": [claim("paper"), claim("smoke", [False])], "agree": [claim("paper"), claim("smoke")]}


def test_the_download_holds_every_claim_as_plain_json(tmp_path):
    told = [claim("paper", measured={"value": [math.inf]}), claim("smoke", [True, False])]
    download(told, tmp_path / "claims.json")
    small, large = json.loads((tmp_path / "claims.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert (small["profile"], large["profile"]) == ("smoke", "paper")
    assert small["verdict"] == "partly"
    assert [part["outcome"] for part in small["parts"].values()] == ["holds", "does not hold"]
    assert small["parts"]["part 0"]["mean"] == pytest.approx(1.05)
    low, high = small["parts"]["part 0"]["interval"]
    assert low == pytest.approx(1.05 - 12.7062 * 0.05, abs=1e-4)  # Student's t for 1 degree of freedom
    assert low < 1.05 < high
    assert large["measured"] == {"value": [None]}
    assert small["of_the_paper"] is True
    assert small["anchor"] == "claim-02-a"


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
    told = "a < b & 'c' </summary>"
    assert Cells(ledger([claim(measured={told: [1.0]})])).rows["claim-02-a"]["lg-values"].startswith(f"{told} 1.00 ")


def test_a_ledger_of_nothing_is_a_table_of_zeros():
    assert headline(ledger([])) == {"✔": "0", "◐": "0", "○": "0", "✘": "0"}


def test_the_summary_names_what_does_not_hold():
    text = summary([claim("smoke"), claim("smoke", [False], id="b", says="It rises.")])
    assert "02_binary_dynamics at smoke: holds 1, partly 0, undecided 0, does not hold 1" in text
    assert "It rises." in text
    assert "It falls." not in text
