"""The printed book: links that stay within it, nothing folded, nothing that only a browser can do."""

import pytest
from bs4 import BeautifulSoup

from lib.site import pdf
from lib.site.pdf import Page, PdfProblem, make_pdf, one_page, pages

FIRST = """<html><head><link rel="stylesheet" href="../_static/a.css?v=1"></head><body><nav>menu</nav>
<article class="bd-article"><section id="top"><h1>First<a class="headerlink" href="#top">#</a></h1>
<a class="same" href="#top">here</a> <a class="other" href="../notebooks/two.html#claim">there</a>
<a class="whole" href="../notebooks/two.html">all of it</a> <a class="file" href="../_static/claims.json">file</a>
<a class="outside" href="https://arxiv.org/abs/2306.02533">paper</a>
<details><summary>Code</summary><pre>x = 1</pre></details>
<div class="explorer"><select></select></div><script>alert(1)</script></section></article></body></html>"""
SECOND = """<html><head><link rel="stylesheet" href="../_static/b.css"></head><body><article class="bd-article">
<h1>Second</h1><div id="claim">it holds</div><img loading="lazy" src="../_images/f.png" alt="f">
</article></body></html>"""
WANTED = [Page("book/one.html", "p00"), Page("notebooks/two.html", "p01")]


@pytest.fixture
def site(tmp_path):
    for place, text in (("book/one.html", FIRST), ("notebooks/two.html", SECOND)):
        path = tmp_path / "html" / place
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "html"


@pytest.fixture
def whole(site):
    return BeautifulSoup(one_page(site, WANTED), "html.parser")


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("same", "#p00-top"),
        ("other", "#p01-claim"),
        ("whole", "#p01"),
        ("outside", "https://arxiv.org/abs/2306.02533"),
        ("file", None),
    ],
)
def test_links_between_pages_lead_within_the_one_page(whole, link, target):
    assert whole.find("a", class_=link).get("href") == target
    if target and target.startswith("#"):
        assert whole.find(id=target[1:])


def test_what_is_folded_is_open_and_what_moves_is_told(whole):
    assert whole.find("details").has_attr("open")
    assert "loading" not in whole.find("img").attrs
    assert whole.find("article").find("script") is None
    assert whole.find(class_="explorer") is None
    assert whole.find("p", class_="moves").text == pdf.TOLD
    assert whole.find("select") is None
    assert "menu" not in whole.text


def test_files_are_found_from_beside_the_site(whole, site):
    assert whole.find("img")["src"] == "../html/notebooks/../_images/f.png"
    assert [one["href"] for one in whole.find_all("link")] == ["../html/_static/b.css"]


def test_the_contents_name_every_page_but_the_first(whole):
    assert [(one["href"], one.text) for one in whole.find("nav").find_all("a")] == [("#p01", "Second")]


def test_every_page_of_the_table_of_contents_is_printed():
    places = [page.place for page in pages()]
    assert places[0] == "book/index.html"
    assert "notebooks/20_human_labels.html" in places
    assert len({page.prefix for page in pages()}) == len(places) > 25


def test_without_a_built_book_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(pdf.shutil, "which", lambda name: "/bin/true")
    with pytest.raises(PdfProblem, match=r"index\.html: `make book` first"):
        make_pdf(tmp_path / "html", tmp_path / "book.pdf")


def test_a_folder_that_is_not_there_is_named(site, tmp_path):
    with pytest.raises(PdfProblem, match=r"there is no folder .*elsewhere to write book\.pdf in"):
        make_pdf(site, tmp_path / "elsewhere" / "book.pdf")


def test_without_a_browser_it_says_which_are_looked_for(site, tmp_path, monkeypatch):
    monkeypatch.setattr(pdf.shutil, "which", lambda name: None)
    with pytest.raises(PdfProblem, match="chromium, chromium-browser, google-chrome"):
        make_pdf(site, tmp_path / "book.pdf")


def test_a_browser_that_prints_nothing_leaves_the_last_pdf_alone(site, tmp_path, monkeypatch):
    monkeypatch.setattr(pdf, "pages", lambda: WANTED)
    monkeypatch.setattr(pdf.shutil, "which", lambda name: "/bin/true")
    (tmp_path / "book.pdf").write_text("the last one")
    with pytest.raises(PdfProblem, match="printed no"):
        make_pdf(site, tmp_path / "book.pdf")
    assert (tmp_path / "book.pdf").read_text() == "the last one"
