"""What is done to built pages, on pages of a few lines."""

import re
import shutil
from pathlib import Path

import pydata_sphinx_theme
import pytest
from fontTools.ttLib import TTFont
from PIL import Image

from lib.site import finish, icons
from lib.site.finish import PageProblem, description, plain, sections, with_description, with_lazy_images, with_links
from tests.site.test_ledger import claim

CARD = '<div class="claim claim-holds" style="s"><strong>✔ holds</strong> (1 of 1 part)<br>It falls.</div>'


def test_claims_get_an_anchor_and_a_link_in_their_order():
    page = with_links(f"<p>{CARD}{CARD}</p>", [claim(id="a"), claim(id="b", chapter="12_x")], "x.html")
    assert page.index('<div id="claim-02-a" class="claim claim-holds" style="s">') < page.index('<div id="claim-12-b" ')
    assert '</strong> <a class="claim-row" href="../book/ledger.html#claim-12-b"' in page
    assert page.count("It falls.") == 2


def test_a_page_that_lost_a_claim_is_refused():
    with pytest.raises(PageProblem, match=r"x\.html shows 1 claims, its notebook has 2"):
        with_links(CARD, [claim(id="a"), claim(id="b")], "x.html")


def test_the_words_of_html_are_joined_as_they_are_read():
    assert (
        plain('<p>a<em>b</em>&lt;c</p><script>no()</script><p>d<a class="headerlink" href="#x">#</a></p>') == "ab<c d"
    )


def test_sections_are_told_apart_by_their_anchors():
    article = '<p>first</p><section id="one"><h2>One</h2><section class="x" id="two">Two</section></section>'
    assert sections(article) == [["", "first"], ["one", "One"], ["two", "Two"]]


def test_a_description_is_the_first_paragraph_cut_at_a_word():
    assert description(f"<h1>t</h1><p>short</p><p>{'word ' * 60}</p>") == "word " * 40 + "…"
    assert description(r"<p>A ratio of \(\alpha\) that is longer than forty letters.</p>").startswith(
        r"A ratio of \alpha that"
    )
    assert description("<p>short</p>") == ""


def test_what_is_said_of_a_page_is_escaped_and_never_empty():
    page = with_description('<title>A "b"</title></head>', "", "card.png")
    assert '<meta name="description" content="A &quot;b&quot;">' in page
    assert page.endswith("</head>")


def test_pictures_after_the_first_are_lazy_and_keep_their_place(tmp_path):
    (tmp_path / "_images").mkdir()
    Image.new("L", (30, 20)).save(tmp_path / "_images" / "a.png")
    picture = '<img alt="a" src="_images/a.png" />'
    page = with_lazy_images(f'{picture}<img src="_static/logo.png">{picture}<img src="_images/gone.png">', tmp_path)
    first, logo, second, gone = page.split("<img ")[1:]
    assert first.startswith('width="30" height="20" ')
    assert "lazy" not in first + logo + gone
    assert 'loading="lazy"' in second
    assert logo == 'src="_static/logo.png">'


def test_what_says_its_name_is_called_by_no_other():
    page = finish.well_named(
        '<button class="btn search-button-field x" aria-label="Search" title="s">Search Ctrl+K</button>'
        '<button class="btn sidebar-toggle" aria-label="Search">i</button>'
        '<summary aria-label="Toggle hidden content">Show code</summary><div role="list" class="citation-list">'
    )
    assert page == (
        '<button class="btn search-button-field x" title="s">Search Ctrl+K</button>'
        '<button class="btn sidebar-toggle" aria-label="Search">i</button>'
        '<summary>Show code</summary><div class="citation-list">'
    )


def test_pages_are_changed_in_their_place(tmp_path, monkeypatch):
    monkeypatch.setattr(icons, "trim", lambda site: None)
    (tmp_path / "_static").mkdir()
    script = '<script src="s/fontawesome.js?d=1"></script>'
    (tmp_path / "a.html").write_text(f"<head><title>A</title>{script}</head>")
    (tmp_path / "_static" / "part.html").write_text("<head></head>")
    finish.finish(tmp_path)
    page = (tmp_path / "a.html").read_text()
    assert "fontawesome" not in page
    assert '<meta property="og:image" content="_static/card.png">' in page
    assert (tmp_path / "_static" / "part.html").read_text() == "<head></head>"
    assert (tmp_path / "_static" / finish.SEARCH_TEXTS).read_text().startswith('const BOOK_TEXTS = {"a": []}')


@pytest.fixture
def themed(tmp_path):
    """A site of one page with the theme's own files."""
    theme = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"
    shutil.copytree(theme, tmp_path / "_static")
    (tmp_path / "a.html").write_text('<i class="fa-solid fa-moon"></i><i class="fab fa-github"></i>')
    return tmp_path


def test_icons_that_no_page_shows_are_dropped_and_the_others_kept(themed):
    before = sum(path.stat().st_size for path in (themed / icons.FONTS).glob("*.woff2"))
    icons.trim(themed)
    fonts = list((themed / icons.FONTS).iterdir())
    assert {path.suffix for path in fonts} == {".woff"}
    assert sum(path.stat().st_size for path in fonts) < before / 10
    style = (themed / icons.STYLE).read_text(encoding="utf-8")
    assert '.fa-moon:before{content:"\\f186"}' in style
    assert ".fa-anchor:before" not in style
    kept = {}
    for path in fonts:
        with TTFont(path) as font:
            kept[path.stem] = font.getBestCmap()
    assert 0xF186 in kept["fa-solid-900"]
    assert 0xF09B in kept["fa-brands-400"]  # github
    assert 0xF13D not in kept["fa-solid-900"]  # anchor
    for name in re.findall(r"url\(\.\./vendor/fontawesome/webfonts/([^)]+)\)", style):
        assert (themed / icons.FONTS / name).exists()
