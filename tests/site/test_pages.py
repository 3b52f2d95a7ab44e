"""The built site, page by page: figures, links, what it fetches; how it looks to a browser, a search and axe-core."""

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pikepdf
import pytest

from lib.paths import BUILD, NOTEBOOKS, ROOT
from lib.press import chapters
from lib.press.claims import claims_of
from lib.press.show import PROVENANCE
from lib.site import build, ledger
from lib.site.criteria import title
from lib.site.notebooks import Published
from lib.site.pdf import make_pdf
from tests.site.browser import CHROMIUM, browser

pytestmark = pytest.mark.slow
FIRST_LOAD = 1_500_000  # bytes of a page without its own figures


class Page(HTMLParser):
    """Figures, and everything that a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.figures, self.fetched, self.images = [], [], []
        self._inside = None

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "figure":
            self._inside = {"id": attrs.get("id"), "text": "", "alt": None}
        if tag == "img":
            self.images.append(attrs)
            if self._inside:
                self._inside["alt"] = attrs.get("alt")
        if tag in ("script", "img", "iframe") and attrs.get("src"):
            self.fetched.append(attrs["src"])
        if tag == "link" and attrs.get("rel") not in ("next", "prev", "canonical", "index", "search", "author"):
            self.fetched.append(attrs["href"])

    def handle_data(self, data):
        if self._inside:
            self._inside["text"] += data

    def handle_endtag(self, tag):
        if tag == "figure":
            self.figures.append(self._inside)
            self._inside = None


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The site, built strictly: a warning is an error. With an address, so that all buttons are there."""
    folder = tmp_path_factory.mktemp("site")
    patch = pytest.MonkeyPatch()
    patch.setattr(build, "BUILD", folder / "_build")
    patch.setattr(build, "SOURCE", folder / "_build" / "source")
    index = build.build(Published("https://github.com/owner/book"))
    patch.undo()
    return index.parent


def kept_origins(name):
    """For each figure of a chapter, where its kept notebook says that the numbers come from."""
    cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    told = {cell["metadata"].get("figure"): cell.get("outputs", []) for cell in cells}
    return {
        figure: " ".join("".join(output["data"]["text/markdown"]).strip("*").split())
        for figure, outputs in told.items()
        for output in outputs
        if PROVENANCE in output.get("metadata", {})
    }


def test_every_figure_has_number_caption_and_alt_text(built):
    for name in chapters.names():
        page = Page()
        page.feed((built / "notebooks" / f"{name}.html").read_text(encoding="utf-8"))
        assert page.figures
        for figure in page.figures:
            assert re.match(r"\s*Fig\. \d+\.\d+|\s*Fig\. \d+", figure["text"]), figure
            assert len(figure["text"].split()) > 8
            assert len(figure["alt"] or "") > 40
            assert figure["id"].startswith("fig-")
        origins = kept_origins(name)
        assert {figure["id"] for figure in page.figures} >= set(origins)
        for figure in page.figures:
            if figure["id"] in origins:
                assert " ".join(figure["text"].split()).replace("’", "'").endswith(origins[figure["id"]]), figure


def test_pages_fetch_nothing_from_outside(built):
    pages = list(built.rglob("*.html"))
    assert len(pages) >= 6
    for path in pages:
        page = Page()
        page.feed(path.read_text(encoding="utf-8"))
        assert [address for address in page.fetched if re.match(r"(https?:)?//", address)] == [], path


def test_every_page_can_be_opened_in_colab_and_every_link_inside_leads_somewhere(built):
    notebook = (built / "notebooks" / "02_binary_dynamics.html").read_text(encoding="utf-8")
    assert "colab.research.google.com/github/owner/book/blob/main/notebooks/02_binary_dynamics.ipynb" in notebook
    for path in built.rglob("*.html"):
        for target in re.findall(r'href="([^"#:?]+\.html)', path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), (path.name, target)


def test_each_claim_of_a_chapter_and_its_row_in_the_ledger_lead_to_each_other(built):
    page = (built / "book" / "ledger.html").read_text(encoding="utf-8")
    every = 0
    for name in chapters.names():
        told = claims_of(json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")))
        chapter = (built / "notebooks" / f"{name}.html").read_text(encoding="utf-8")
        cards = chapter.split('<div id="claim-')[1:]
        assert len(cards) == len(told)
        for card, claim in zip(cards, told, strict=True):
            place = f"claim-{name[:2]}-{claim.id.replace('.', '-')}"
            assert card.startswith(f'{place[6:]}" class="claim ')
            assert f'href="../book/ledger.html#{place}"' in card
            assert html.escape(claim.says) in card
            row = page.split(f'<tr id="{place}"')[1].split("</tr>")[0]
            assert f'href="../notebooks/{name}.html#{place}"' in row
            assert html.escape(claim.says) in row
        every += len(told)
    assert len(re.findall(r'<tr id="claim-', page)) == every
    assert len(json.loads((built / "_static" / ledger.DOWNLOAD).read_text(encoding="utf-8"))) == every


def test_every_page_says_what_it_is_to_those_who_link_to_it(built):
    said = {}
    for path in built.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        if "_static" in path.parts or path == built / "index.html":
            continue
        for name in ("description", "og:title", "og:description", "og:image", "twitter:card"):
            (found,) = re.findall(rf'<meta (?:name|property)="{name}" content="([^"]+)">', text)
            said.setdefault(name, []).append(found)
        (icon,) = re.findall(r'<link rel="icon" href="([^"?]+)', text) or re.findall(
            r'rel="shortcut icon" href="([^"?]+)', text
        )
        assert (path.parent / icon).exists()
    assert max(map(len, said["description"])) <= 202
    chapters_alone = [one for one in said["description"] if len(one) > 60]
    assert len(set(chapters_alone)) == len(chapters_alone) >= len(chapters.names())
    assert set(said["og:image"]) == {"https://raw.githubusercontent.com/owner/book/main/book/static/card.png"}
    assert (ROOT / "book" / "static" / "card.png").exists()


def test_edit_and_issue_links_lead_to_the_address(built):
    page = (built / "notebooks" / "02_binary_dynamics.html").read_text(encoding="utf-8")
    assert "https://github.com/owner/book/edit/main/notebooks/02_binary_dynamics.ipynb" in page
    assert "https://github.com/owner/book/issues/new?" in page


def pages_of(site):
    """Every page that a reader may open."""
    found = [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]
    return [path for path in found if path != site / "index.html"]  # which only leads on


def on_disk(address):
    return Path(address.split("?")[0].split("#")[0].removeprefix("file://"))


@pytest.fixture(scope="module")
def seen(built, tmp_path_factory):
    """What each page said and fetched when it was opened from a file, by its path."""
    told = {}
    with browser(tmp_path_factory.mktemp("profile")) as page:
        page.size(1300)
        for path in pages_of(built):
            page.console.clear()
            page.fetched.clear()
            page.open(path.as_uri())
            page.until("!document.querySelector('.math') || document.documentElement.dataset.math === 'set'")
            told[path] = {
                "console": [one for one in page.console if "invalid theme mode" not in one],  # the theme's first visit
                "fetched": list(page.fetched),
                "not_set": page.evaluate("[...document.querySelectorAll('.katex-error')].map((e) => e.title)"),
                "set": page.evaluate("document.querySelectorAll('.katex').length"),
                "raw": page.evaluate(
                    "[...document.querySelectorAll('article p, article li')].map((e) => e.innerText)"
                    r".filter((text) => /\\[([]|\$\\/.test(text))"
                ),
            }
    return told


needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")


@needs_chromium
def test_from_a_file_no_page_reports_an_error_or_asks_anybody(seen):
    assert len(seen) >= 26
    for path, told in seen.items():
        assert told["console"] == [], path.stem
        assert [one for one in told["fetched"] if not one.startswith(("file:", "data:", "blob:"))] == [], path.stem
        assert [one for one in told["fetched"] if one.startswith("file:") and not on_disk(one).exists()] == [], (
            path.stem
        )


@needs_chromium
def test_every_formula_is_set(seen):
    assert sum(told["set"] for told in seen.values()) > 300
    for path, told in seen.items():
        assert told["not_set"] == told["raw"] == [], path.stem


@needs_chromium
def test_on_a_phone_every_formula_can_be_read_from_its_beginning(built, tmp_path):
    """Also one that is wider than the page, which is moved sideways, by keyboard too."""
    outside = """[...document.querySelectorAll('article div.math')].filter((one) => {
      const formula = one.querySelector('.katex-display');
      const [place, set] = [one, formula].map((each) => each.getBoundingClientRect());
      const wide = formula.scrollWidth > formula.clientWidth;
      return set.left < place.left - 1 || set.right > place.right + 1 || (wide && formula.tabIndex !== 0);
    }).map((one) => one.textContent.slice(0, 60))"""
    found, count = {}, 0
    with browser(tmp_path) as page:
        page.size(390)
        for path in pages_of(built):
            page.open(path.as_uri())
            page.until("!document.querySelector('.math') || document.documentElement.dataset.math === 'set'")
            count += page.evaluate("document.querySelectorAll('article div.math').length")
            if wrong := page.evaluate(outside):
                found[path.stem] = wrong
    assert count > 10
    assert found == {}


@needs_chromium
def test_a_first_load_without_its_figures_is_small(seen):
    sizes = {}
    for path, told in seen.items():
        files = {on_disk(one) for one in told["fetched"] if one.startswith("file:") and "/_images/" not in one}
        sizes[path.stem] = sum(one.stat().st_size for one in files)
    sizes.pop("search")  # which brings every page's words
    sizes.pop("explorers")  # whose charts are its content: Vega and the curves of all runs
    assert {name: size for name, size in sizes.items() if size > FIRST_LOAD} == {}


@needs_chromium
@pytest.mark.parametrize("asked", ["gradients", "noise rate"])
def test_a_search_from_a_file_shows_the_match(built, tmp_path, asked):
    with browser(tmp_path) as page:
        page.open(f"{(built / 'search.html').as_uri()}?q={asked.replace(' ', '+')}")
        page.until("document.querySelectorAll('ul.search li .context').length > 5")
        marked = page.evaluate("[...document.querySelectorAll('ul.search li mark')].map((one) => one.textContent)")
        assert len(marked) > 5
        assert all(any(word.startswith(one.lower()) for word in asked.split()) for one in marked)  # a word or its stem
        link = page.evaluate("document.querySelector('ul.search li a').href")
        assert on_disk(link).exists()
        assert [one for one in page.console if "invalid theme mode" not in one] == []


@pytest.fixture(scope="session")
def axe():
    """axe-core's source: kept in the build folder, or brought by npm."""
    kept = BUILD / "axe" / "package" / "axe.min.js"
    if not kept.exists():
        kept.parent.parent.mkdir(parents=True, exist_ok=True)
        if not shutil.which("npm"):
            pytest.skip("needs npm, which brings axe-core")
        command = ["npm", "pack", "--silent", AXE]
        done = subprocess.run(command, cwd=kept.parent.parent, capture_output=True, text=True, timeout=120)
        if done.returncode:
            pytest.skip(f"npm could not bring {AXE}")
        shutil.unpack_archive(kept.parent.parent / done.stdout.strip(), kept.parent.parent)
    return kept.read_text(encoding="utf-8")


AXE = "axe-core@4.14.1"
RUN_AXE = """
axe.run(document, {resultTypes: ["violations"]}).then(({violations}) =>
  violations.filter(({impact}) => ["serious", "critical"].includes(impact))
    .flatMap(({id, nodes}) => nodes.map((node) => `${id}: ${node.target.join(" ")} ${node.html.slice(0, 120)}`)))
"""


@needs_chromium
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_page(built, tmp_path, axe, theme):
    found = {}
    with browser(tmp_path) as page:
        page.size(1300)
        page.emulate(prefers_color_scheme=theme, prefers_reduced_motion="reduce")
        for path in pages_of(built):
            page.open(path.as_uri())
            page.until("!document.querySelector('.math') || document.documentElement.dataset.math === 'set'")
            assert page.evaluate("document.documentElement.dataset.theme") == theme
            page.evaluate(f"{axe}; 0")
            if wrong := page.evaluate(RUN_AXE):
                found[path.stem] = wrong[:5]
    assert found == {}


@pytest.fixture(scope="module")
def printed(built, tmp_path_factory):
    """The whole book as a PDF."""
    if not CHROMIUM:
        pytest.skip("needs Chromium")
    return make_pdf(built, tmp_path_factory.mktemp("pdf") / "book.pdf")


def test_the_printed_book_has_every_page_and_is_not_large(printed):
    assert printed.stat().st_size < 20_000_000
    with pikepdf.open(printed) as pdf, pdf.open_outline() as outline:
        titles = [" ".join(entry.title.split()) for entry in headings(outline.root)]
    for page in chapters.names():
        heading = title(page)
        assert any(one.endswith(heading) for one in titles), heading


def test_links_of_the_printed_book_lead_to_places_within_it(printed):
    with pikepdf.open(printed) as pdf:
        links = [one for page in pdf.pages for one in page.get("/Annots", []) if one.get("/Subtype") == "/Link"]
        outside = [str(one.A.URI) for one in links if "/A" in one and "/URI" in one.A]
        named = {str(name) for name in pdf.Root.get("/Dests", {})}
        within = [str(one.Dest) for one in links if "/Dest" in one]
    assert len(within) > 300
    assert set(within) <= named
    assert len(outside) > 10
    assert [one for one in outside if not one.startswith("https://")] == []


@needs_chromium
def test_nothing_of_the_printed_book_is_wider_than_its_page(printed, built, tmp_path):
    wide = """[...document.querySelectorAll('pre, table, img, .katex-display, p')]
        .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
        .map((one) => one.closest('article').id + ': ' + one.outerHTML.slice(0, 100))"""
    with browser(tmp_path) as page:
        page.size(680)  # a sheet's 180 mm between its margins
        page.send("Emulation.setEmulatedMedia", media="print")
        page.open((built.parent / "pdf" / "book.html").as_uri())
        page.until("document.documentElement.dataset.math === 'set'")
        assert page.evaluate(wide) == []


def headings(entries):
    """All entries of an outline, those below others too."""
    for entry in entries:
        yield entry
        yield from headings(entry.children)
