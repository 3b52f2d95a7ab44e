"""What is done to built pages, on pages of a few lines."""

import pytest
from PIL import Image

from lib.site import finish
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


def test_icons_that_come_twice_and_pages_without_an_article_do_no_harm(tmp_path):
    (tmp_path / "_static").mkdir()
    (tmp_path / "a.html").write_text('<head><title>A</title><script src="s/fontawesome.js?d=1"></script></head>')
    finish.finish(tmp_path)
    page = (tmp_path / "a.html").read_text()
    assert "fontawesome" not in page
    assert '<meta property="og:image" content="_static/card.png">' in page
    assert (tmp_path / "_static" / finish.SEARCH_TEXTS).read_text().startswith('const BOOK_TEXTS = {"a": []}')
