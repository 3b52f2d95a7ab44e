"""The first page and the README: sentences with the ledger's numbers, a picture, a citation."""

import re

import numpy as np
import pytest
from PIL import Image

import lib
from lib.paths import ROOT
from lib.site import front
from lib.site.ledger import all_claims
from tests.site.test_ledger import claim


def told(**changes):
    """Claims that the sentences rest on."""
    learned = claim("paper", id="test-error-u", measured={"early stop": [0.04, 0.06], "end": [0.3, 0.4]}, seeds=2)
    finder = {"chapter": "17_wrong_labels", "source": "ours"}
    ranks = claim("cpu", changes.pop("ranks", [True]), id="suspects-beat-rivals", **finder)
    passes = claim("cpu", id="one-training-not-five", measured={"share": [0.2, 0.3]}, **finder)
    return [learned, ranks, passes]


def test_the_sentences_carry_the_numbers_of_the_ledger():
    more = [claim("cpu", [holds], id=f"{k}") for k, holds in enumerate([True, False, False])]
    alone = [claim("smoke", id="live"), claim("cpu", id="o", source="ours")]  # neither recorded nor the paper's
    learned, counted, useful = front.found([*told(), *more, *alone])
    assert "with 40 % of the training labels" in learned
    assert "falls to 5.0 % and rises to 35.0 % later" in learned
    assert "Of [4 claims](ledger.md) of" in counted
    assert "2 hold, 0 hold in part, 2 do not hold, and for 0" in counted
    assert "its score ranks them better" in useful
    assert "25 % of cleanlab's passes" in useful


def test_a_sentence_changes_with_its_verdict():
    assert "does not everywhere rank them better" in front.found(told(ranks=[False]))[2]


def test_a_claim_that_is_gone_is_named():
    with pytest.raises(front.FoundProblem, match=r"'one-training-not-five' of 17_wrong_labels"):
        front.found(told()[:2])


def test_the_readme_has_todays_sentences():
    """If not: python -m lib.site.front."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert front.readme(text, all_claims()) == text
    assert text.count("learns the right labels first: with") == 1


def test_the_citation_names_the_version_that_is_here():
    cited = front.citation()
    assert f"Version {lib.__version__}, " in cited
    assert re.search(r"year   = \{20\d\d\}", cited)


def test_the_picture_is_drawn_from_the_records(tmp_path):
    """If not: python -m lib.site.front. Letters may differ a little from one version of matplotlib to another."""
    front.draw_card(front.card_runs(), tmp_path / "card.png")
    new, kept = (
        np.asarray(Image.open(path).convert("L"), dtype=float) for path in (tmp_path / "card.png", front.PICTURE)
    )
    assert new.shape == kept.shape == (630, 1200)
    assert np.abs(new - kept).mean() < 4
    assert np.abs(new - kept[:, ::-1]).mean() > 10  # which another picture does not pass
