"""The bars of folded cells: each says what is folded under it."""

import json
import re

import pytest

from lib.paths import NOTEBOOKS
from lib.press import chapters
from lib.site import bars


def folded(name):
    """The folded code cells of a chapter."""
    notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [cell for cell in cells if {"hide-input", "hide-cell"} & set(cell["metadata"].get("tags", []))]


@pytest.mark.parametrize("name", chapters.names())
def test_every_folded_cell_of_a_chapter_gets_a_bar_that_names_what_it_holds(name):
    notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
    bars.name_bars(notebook)
    says = [cell["metadata"].get("mystnb", {}).get("code_prompt_show") for cell in notebook["cells"]]
    says = [text for text in says if text]
    assert len(says) == len(folded(name)) > 5
    told = chapters.captions(NOTEBOOKS / f"{name}.ipynb")
    for cell, text in zip(folded(name), says, strict=True):
        source = "".join(cell["source"])
        assert re.match(r"Parameters$|Code: \S", text)
        if figure := cell["metadata"].get("figure"):
            words = re.search("“(.*?)( …)?”", text).group(1).lower()
            assert words in " ".join(told[figure]["caption"].split()).lower()
        elif ids := re.findall(r'ledger\.check\(\s*"([^"]+)"', source):
            assert text.startswith("Code: the claim")
            assert text.endswith(" more") or all(id in text for id in ids)
        if "parameters" in cell["metadata"]["tags"]:
            assert text == "Parameters"
        if "def plan(" in source:
            assert text == "Code: the experiments"
    assert says[0] == "Code: setup"


def code(source, outputs=(), **metadata):
    return {"cell_type": "code", "source": [source], "outputs": list(outputs), "metadata": metadata}


TABLE = {"output_type": "display_data", "data": {"text/plain": "| *rule* | loss |\n| --- | --- |\n| a | 1 |"}}
CLAIMS = [{"metadata": {"clean-priority-claim": {"id": id}}} for id in "abcdef"]


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        (code("x = 1", tags=["parameters", "hide-input"]), "Parameters"),
        (code("def plan(profile): ..."), "Code: the experiments"),
        (code("check()", CLAIMS[:1]), "Code: the claim a"),
        (code("check()", CLAIMS[:2]), "Code: the claims a and b"),
        (code("check()", CLAIMS), "Code: the claims a, b, c and 3 more"),
        (code("show.table()", [TABLE]), "Code: the table “Rule, loss”"),
        (code("a, b = 1, 2\ndef f(): ..."), "Code: a, b and f"),
        (code("f(2)", [{"output_type": "stream", "text": "x"}]), "Code: the output below"),
        (code("assert f(2)"), "Code: a check"),
        (
            code("f()", mystnb={"figure": {"caption": "Top: the error\nof all. More."}}),
            "Code: the figure “The error of all”",
        ),
    ],
)
def test_a_bar_says_what_its_cell_holds(cell, says):
    assert bars.label(cell) == says


def test_a_long_caption_is_cut_between_words():
    text = bars.beginning("one two three " * 20)
    assert len(text) <= bars.LONGEST + 2
    assert text.endswith((" one …", " two …", " three …"))
