import json

import pytest

from lib.press.claims import METADATA, Claim, Ledger, as_html, as_text, claims_of, gather, number, spread


def claim(passes, **changes):
    settings = {
        "id": "a", "chapter": "01_x", "profile": "smoke", "says": "It falls.", "source": "§ 1", "criterion": "lower",
        "figure": "fig-x", "measured": {"value": [1.0, 2.0]}, "passes": passes, "seeds": 2, "live": True,
    }  # fmt: skip
    return Claim(**settings | changes)


@pytest.mark.parametrize(
    ("passes", "verdict"),
    [([True, True], "holds"), ([True, False], "partly"), ([False, False], "does not hold")],
)
def test_the_verdict_counts_seeds(passes, verdict):
    assert claim(passes).verdict == verdict
    assert verdict in claim(passes).sign
    assert claim(passes).passed == f"{sum(passes)} of 2"


def test_values_show_mean_and_range():
    assert spread([1, 2, 3]) == "2.00 [1.00, 3.00]"
    assert spread([0.5, 0.5]) == "0.500"
    assert number(0.012345) == "0.0123"
    assert number(1234.5) == "1234"
    assert number(0) == "0"
    assert number(-0.995) == "-0.995"
    assert number(float("nan")) == "nan"


def test_a_ledger_flattens_parts_and_shows_each_claim(capsys):
    ledger = Ledger("01_x", "cpu", live=False)
    common = {"says": "s", "source": "§", "criterion": "c", "figure": "f"}
    ledger.check("one", measured={"v": [1, 2]}, passes={"a": [True, True], "b": [True, False]}, **common)
    assert ledger.claims[0].passes == [True, True, True, False]
    assert ledger.claims[0].seeds == 2
    assert "◐ partly (3 of 4)" in capsys.readouterr().out
    with pytest.raises(ValueError, match="was checked before"):
        ledger.check("one", measured={"v": [1]}, passes=[True], **common)
    with pytest.raises(ValueError, match="needs one entry a seed"):
        ledger.check("two", measured={"v": [1, 2, 3]}, passes=[True], **common)
    with pytest.raises(ValueError, match="needs one entry a seed"):
        ledger.check("three", measured={"v": []}, passes=[], **common)


def travelling(claim):
    return vars(claim) | {"measured": list(claim.measured.items())}


def test_claims_are_gathered_from_executed_notebooks(tmp_path):
    one, two = claim([True, True], measured={"z": [1.0, 1.0], "a": [2.0, 2.0]}), claim([False, False], id="b")
    outputs = [
        {"output_type": "display_data", "data": {"text/plain": ""}, "metadata": {METADATA: travelling(c)}}
        for c in (one, two)
    ]
    plain = {"output_type": "stream", "name": "stdout", "text": "x"}
    notebook = {"cells": [{"cell_type": "markdown"}, {"cell_type": "code", "outputs": [plain, *outputs]}]}
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps(notebook, sort_keys=True))
    assert gather([path]) == claims_of(notebook) == [one, two]
    assert list(gather([path])[0].measured) == ["z", "a"]


def test_html_is_escaped_and_verdicts_need_no_colour():
    shown = as_html(claim([True, False], says="a < b & c"))
    assert "a &lt; b &amp; c" in shown
    assert "◐ partly" in shown
    assert "1 of 2" in as_text(claim([True, False]))


def test_values_that_are_not_of_seeds_are_counted_as_what_they_are():
    assert "Measured over 2 groups, mean" in as_html(claim([True, True], each="group"))
    assert "measured over 2 seeds" in as_text(claim([True, True]))
    assert "measured over 1 analysis of all seeds:" in as_text(claim([True], each="analysis of all seeds", seeds=1))
