"""The static book: what is staged, written in, built, and how it looks to a browser."""

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from lib.paths import NOTEBOOKS, ROOT
from lib.press import chapters
from lib.press.claims import Claim, claims_of
from lib.site import build
from lib.site.build import Published, SiteProblem, cell_problems, ledger, stage

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")


def claim(profile="paper", passes=(True,), **changes):
    settings = {
        "id": "a", "chapter": "02_binary_dynamics", "says": "It falls.", "source": "§ 4", "criterion": "lower",
        "figure": "fig-x", "measured": {"value": [1.0]}, "seeds": 1, "live": profile == "smoke",
    }  # fmt: skip
    return Claim(**settings | changes, profile=profile, passes=list(passes))


def test_the_ledger_shows_each_claim_once_with_every_profile():
    page = ledger([claim("paper"), claim("smoke", [False]), claim("smoke", [True, False], id="b", says="It rises.")])
    assert page.count("It falls. ({numref}`fig-x`)") == 1
    assert page.index("at <code>smoke</code>") < page.index("at <code>paper</code>")
    assert "✘ does not hold</strong> at <code>smoke</code> (0 of 1" in page
    assert "✔ holds</strong> at <code>paper</code> (1 of 1, 1 seed, recorded)" in page
    assert "| `smoke` | 0 | 1 | 1 | 2 |" in page
    assert "| `paper` | 1 | 0 | 0 | 1 |" in page


def test_what_this_build_ran_comes_before_what_was_kept(tmp_path):
    """The smoke column is filled live."""
    kept = json.loads((NOTEBOOKS / "01_phenomenon_in_a_minute.ipynb").read_text(encoding="utf-8"))
    (tmp_path / "smoke").mkdir()
    text = json.dumps(kept).replace('"live": true', '"live": true, "seeds": 3').replace('"seeds": 3', '"seeds": 77')
    (tmp_path / "smoke" / "01_phenomenon_in_a_minute.ipynb").write_text(text, encoding="utf-8")
    first = [claim for claim in build.all_claims(tmp_path) if claim.chapter.startswith("01")]
    assert {claim.seeds for claim in first if claim.profile == "smoke"} == {77}


def test_the_summary_names_what_does_not_hold():
    text = build.summary([claim("smoke"), claim("smoke", [False], id="b", says="It rises.")])
    assert "02_binary_dynamics at smoke: holds 1, partly 0, does not hold 1" in text
    assert "It rises." in text
    assert "It falls." not in text


def code_cell(**changes):
    return {"cell_type": "code", "source": ["x"], "execution_count": 1, "outputs": [], "metadata": {}} | changes


PICTURE = [{"output_type": "display_data", "data": {"image/png": ""}}]
LABELLED = {"mystnb": {"figure": {"caption": "c", "name": "fig-c"}, "image": {"alt": "a"}}}


@pytest.mark.parametrize(
    ("cell", "problems"),
    [
        (code_cell(), []),
        ({"cell_type": "markdown", "source": ["x"]}, []),
        (code_cell(execution_count=None), ["never executed"]),
        (code_cell(execution_count=None, source=[]), []),
        (code_cell(outputs=[{"output_type": "error"}]), ["stored traceback"]),
        (code_cell(outputs=PICTURE, metadata=LABELLED), []),
        (code_cell(outputs=PICTURE), ["a figure without caption or name", "a figure without alt text"]),
    ],
)
def test_problems_of_kept_cells_are_found(cell, problems):
    assert cell_problems(cell) == problems


def test_a_book_with_a_stored_traceback_is_not_built(tmp_path, monkeypatch):
    notebook = json.loads((NOTEBOOKS / "01_phenomenon_in_a_minute.ipynb").read_text(encoding="utf-8"))
    notebook["cells"][1]["outputs"] = [{"output_type": "error", "ename": "E", "evalue": "", "traceback": []}]
    (tmp_path / "01_broken.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    monkeypatch.setattr(chapters, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(build, "NOTEBOOKS", tmp_path)
    with pytest.raises(SiteProblem, match="01_broken, cell 1: stored traceback"):
        build.build()


def test_staging_writes_the_address_in_and_leaves_the_sources_alone(tmp_path):
    before = {
        path: path.read_bytes() for path in [*NOTEBOOKS.glob("*.ipynb"), ROOT / "_config.yml", ROOT / "book/ledger.md"]
    }
    stage(tmp_path / "source", Published("https://github.com/owner/book", "colab", "abc123"))
    assert all(path.read_bytes() == content for path, content in before.items())
    for name in chapters.names():
        notebook = json.loads((tmp_path / "source" / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
        assert 'REPOSITORY, COMMIT = "https://github.com/owner/book", "abc123"' in "".join(
            notebook["cells"][1]["source"]
        )
    config = (tmp_path / "source" / "_config.yml").read_text(encoding="utf-8")
    assert "url: https://github.com/owner/book" in config
    assert "colab_url" in config
    assert "Checked in {doc}`/notebooks/02_binary_dynamics`." in (tmp_path / "source" / "book" / "ledger.md").read_text(
        encoding="utf-8"
    )


def test_an_address_that_is_none_is_refused():
    for address in ("github.com/a/b", "https://github.com/a", "https://example.org/a/b", "https://github.com/a/b; rm"):
        with pytest.raises(ValueError, match="must look like"):
            Published(address)


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


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The site, built strictly: a warning is an error. With an address, so that all buttons are there."""
    folder = tmp_path_factory.mktemp("site")
    patch = pytest.MonkeyPatch()
    patch.setattr(build, "BUILD", folder / "_build")
    patch.setattr(build, "SOURCE", folder / "_build" / "source")
    index = build.build(Published("https://github.com/owner/book"))
    patch.undo()
    return index.parent


@pytest.mark.slow
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


@pytest.mark.slow
def test_pages_fetch_nothing_from_outside(built):
    pages = list(built.rglob("*.html"))
    assert len(pages) >= 6
    for path in pages:
        page = Page()
        page.feed(path.read_text(encoding="utf-8"))
        assert [address for address in page.fetched if re.match(r"(https?:)?//", address)] == [], path


@pytest.mark.slow
def test_every_page_can_be_opened_in_colab_and_every_link_inside_leads_somewhere(built):
    notebook = (built / "notebooks" / "02_binary_dynamics.html").read_text(encoding="utf-8")
    assert "colab.research.google.com/github/owner/book/blob/main/notebooks/02_binary_dynamics.ipynb" in notebook
    for path in built.rglob("*.html"):
        for target in re.findall(r'href="([^"#:?]+\.html)', path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), (path.name, target)


@pytest.mark.slow
def test_the_ledger_page_lists_every_kept_claim(built):
    page = (built / "book" / "ledger.html").read_text(encoding="utf-8")
    kept = [
        claim
        for name in chapters.names()
        for claim in claims_of(json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")))
    ]
    assert page.count("ledger-entry") == len({(claim.chapter, claim.id) for claim in kept})
    for claim in kept:
        shown = f"at <code>{claim.profile}</code> ({claim.passed}, {claim.seeds} {claim.each}"
        assert shown in page
        assert html.escape(claim.values(), quote=False) in html.unescape(page).replace("<", "&lt;").replace(">", "&gt;")
    assert build.LEDGER_MARK not in page


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
@pytest.mark.parametrize("page", ["book/index", "notebooks/02_binary_dynamics", "book/ledger"])
def test_a_browser_reports_no_error(built, tmp_path, page):
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path}",
        "--enable-logging=stderr", "--v=0", "--virtual-time-budget=8000", "--dump-dom", f"file://{built}/{page}.html",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert [line for line in console if re.search("Uncaught|[Ee]rror|[Ff]ailed|[Rr]efused|ERR_", line)] == []
    assert "</html>" in done.stdout
