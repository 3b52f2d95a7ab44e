import json
from dataclasses import asdict

import pytest

from lib.press.claims import METADATA, Claim, Ledger, as_html, as_text, claims_of, gather, number, spread
from lib.press.rule import above, always


def claim(outcomes, **changes):
    """A claim with a part for each outcome: True for one that holds."""
    parts = {f"part {k}": above([1.0, 1.1], 0.0 if holds else 5.0) for k, holds in enumerate(outcomes)}
    settings = {
        "id": "a", "chapter": "01_x", "profile": "smoke", "says": "It falls.", "source": "§ 1",
        "figure": "fig-x", "measured": {"value": [1.0, 2.0]}, "parts": parts, "seeds": 2, "live": True,
    }  # fmt: skip
    return Claim(**settings | changes)


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [([True, True], "holds"), ([True, False], "partly"), ([False, False], "does not hold")],
)
def test_the_verdict_follows_from_the_parts(outcomes, verdict):
    assert claim(outcomes).verdict == verdict
    assert verdict in claim(outcomes).sign
    assert claim(outcomes).passed == f"{sum(outcomes)} of 2 parts"


def test_values_show_mean_and_range():
    assert spread([1, 2, 3]) == "2.00 [1.00, 3.00]"
    assert spread([0.5, 0.5]) == "0.500"
    assert number(0.012345) == "0.0123"
    assert number(1234.5) == "1234"
    assert number(0) == "0"
    assert number(-0.995) == "-0.995"
    assert number(float("nan")) == "nan"


def test_a_ledger_judges_and_shows_each_claim(capsys):
    ledger = Ledger("01_x", "cpu", live=False)
    common = {"says": "s", "source": "§", "figure": "f"}
    parts = {"a": above([1.0, 1.1], 0.0, "the start"), "b": always([0.0, 2.0], 1.0, "steps that rise")}
    ledger.check("one", measured={"v": [1, 2]}, parts=parts, **common)
    assert ledger.claims[0].verdict == "partly"
    assert ledger.claims[0].seeds == 2
    shown = capsys.readouterr().out
    assert "◐ partly (1 of 2 parts)" in shown
    assert "a: above the start, by 1.05 [0.415, 1.69] ✔; b: steps that rise: never beyond 1; found 2.00 ✘" in shown
    with pytest.raises(ValueError, match="was checked before"):
        ledger.check("one", measured={"v": [1]}, parts={"a": above([1.0], 0.0)}, **common)
    with pytest.raises(ValueError, match="needs one entry a seed"):
        ledger.check("two", measured={"v": [1, 2, 3]}, parts={"a": above([1.0], 0.0)}, **common)
    with pytest.raises(ValueError, match="needs one entry a seed"):
        ledger.check("three", measured={"v": [1]}, parts={}, **common)


def test_of_many_parts_those_that_hold_are_only_counted():
    assert claim([True] * 7).judged() == "all 7 parts ✔"
    told = claim([True] * 7 + [False]).judged()
    assert told.startswith("part 7: above 5, by -3.95")
    assert told.endswith("✘; the other 7 parts ✔")


def travelling(claim):
    told = asdict(claim)
    return told | {name: list(told[name].items()) for name in ("measured", "parts")}


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


def test_infinite_numbers_come_back_from_a_notebook_as_numbers():
    """Jupyter writes them as texts."""
    part = asdict(always([1.0, 3.0], 2, "worst")) | {"effect": [1.0, "inf"]}
    told = {"id": "a", "chapter": "01_a", "profile": "smoke", "says": "A.", "source": "", "figure": "", "seeds": 2}
    told |= {"measured": [["x", [1.0, "-inf"]]], "parts": [["p", part]], "live": True, "each": "seed"}
    (claim,) = claims_of({"cells": [{"outputs": [{"metadata": {METADATA: told}}]}]})
    assert claim.measured["x"] == [1.0, -float("inf")]
    assert claim.verdict == "does not hold"
