"""What a figure says of where its numbers come from."""

from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from lib import records
from lib.press import figures, show
from lib.site import captions


@pytest.fixture
def groups(quick, own_data):
    """Two groups of one short training each, of different seeds."""
    return {
        name: records.obtain([replace(quick, seed=seed)]) for seed, name in enumerate(("smaller step", "larger step"))
    }


def printed(capsys, *made_by):
    """What a figure prints where there is no notebook."""
    fig, _ = figures.panels(1)
    show.figure(fig, *made_by)
    return capsys.readouterr().out.strip()


def test_groups_of_runs_share_a_line_or_have_one_each(groups, capsys):
    one, other = groups.values()
    together = printed(capsys, one, other)
    assert together.count("Trained live on") == 1
    assert "; 2 seeds, " in together
    apart = printed(capsys, groups)
    assert apart.count("Trained live on") == 2
    assert apart.count("; 1 seed, ") == 2
    assert apart.startswith("*Smaller step: Trained live on")  # a sentence
    assert ". Larger step: Trained live on" in apart


def test_runs_that_are_given_twice_count_once(groups, capsys):
    one, other = groups.values()
    assert printed(capsys, one, other, one) == printed(capsys, one, other)


def test_words_stand_before_runs_and_alone(groups, capsys):
    assert printed(capsys, "The published table of loops") == "*The published table of loops.*"
    text = printed(capsys, groups["smaller step"], "The published table of loops")
    assert text.startswith("*The published table of loops. Trained live on")
    assert text.endswith(".*")


def test_a_figure_without_origin_says_nothing(capsys):
    assert printed(capsys) == ""


def test_the_built_book_has_it_in_the_caption_and_nowhere_else():
    """In a notebook it is an output below the figure, which a reader in Colab sees too."""
    origin = {
        "output_type": "display_data",
        "data": {"text/markdown": "*Recorded on a card.*"},
        "metadata": {show.PROVENANCE: True},
    }
    image = {"output_type": "display_data", "data": {"image/png": "AAAA"}, "metadata": {}}
    figure = {"mystnb": {"figure": {"caption": "Errors.\n", "name": "fig-errors"}}}
    cells = [{"cell_type": "code", "metadata": figure, "outputs": [image, origin], "source": []}]
    cells.append({"cell_type": "markdown", "metadata": {}, "source": ["Words."]})
    captions.complete_captions({"cells": cells})
    assert figure["mystnb"]["figure"]["caption"] == "Errors.\n\n*Recorded on a card.*"
    assert cells[0]["outputs"] == [image]
    assert cells[1] == {"cell_type": "markdown", "metadata": {}, "source": ["Words."]}


def test_a_bar_in_a_cell_begins_no_other_cell(monkeypatch):
    """As a Markdown reader sees the tables that chapters show."""
    shown = []
    monkeypatch.setattr(show, "show", lambda data, *_: shown.append(data["text/markdown"]))
    monkeypatch.setattr(show, "markdown", shown.append)
    show.table([["a row", "the mean log |D³|"]], ["what", "is |x|"])
    show.result("orders", {"|D|": [1.0], "n": [2]})
    read = MarkdownIt("commonmark").enable("table")
    for text, cells in zip(
        shown, (["what", "is |x|", "a row", "the mean log |D³|"], ["|D|", "n", "1", "2"]), strict=True
    ):
        tokens = read.parse(text)
        assert [token.content for token in tokens if token.type == "inline"] == cells
