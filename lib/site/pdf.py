"""The whole book as one PDF: the built pages one after the other in one page of HTML, printed by Chromium.

Links between the book's pages become links within the PDF; what moves in the page is named in its place.
"""

import posixpath
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urldefrag

from ..paths import ROOT
from .render import rendered

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Without its sandbox, because root, as containers have it, cannot start it with one: the page is the book's own.
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--no-pdf-header-footer")
SECONDS = 300  # that printing may take
# What works only in a browser, or only beside other pages.
LEFT_OUT = "script, noscript, .headerlink, .copybtn, .prev-next-footer, .lg-filter, form, button"
MOVES = ".explorer"  # figures that only a browser draws
TOLD = "This figure moves: it is on this page of the book on screen."


class PdfProblem(RuntimeError):
    """What stands in the way of printing the book; the message names it."""


@dataclass(frozen=True)
class Page:
    """A page of the book: its place below the site as links name it, and what anchors of it begin with."""

    place: str
    prefix: str


def make_pdf(site: Path, output: Path) -> Path:
    """Print the built book below ``site``. PdfProblem without book, Chromium or folder, or if it cannot be printed."""
    if not output.parent.is_dir():
        raise PdfProblem(f"there is no folder {output.parent} to write {output.name} in")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        raise PdfProblem(f"printing needs a Chromium; none of {', '.join(BROWSERS)} is on the PATH")
    whole = site.parent / "pdf" / "book.html"
    whole.parent.mkdir(parents=True, exist_ok=True)
    whole.write_text(one_page(site, pages()), encoding="utf-8")
    made = output.with_suffix(".part.pdf")
    made.unlink(missing_ok=True)
    command = [browser, *OPTIONS, "--generate-pdf-document-outline", f"--print-to-pdf={made}", whole.as_uri()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise PdfProblem(f"{browser} was not done with {whole} after {SECONDS} s") from None
    if done.returncode or not made.exists():
        raise PdfProblem(f"{browser} printed no {made.name}:\n{done.stderr}")
    _pack(made)
    made.replace(output)
    return output


def _pack(path: Path) -> None:
    """Make a PDF about half as large: Chromium writes its thousands of marks for screen readers down one by one."""
    import pikepdf

    with pikepdf.open(path, allow_overwriting_input=True) as pdf:
        pdf.save(path, object_stream_mode=pikepdf.ObjectStreamMode.generate, compress_streams=True)


def pages() -> list[Page]:
    """The book's pages in the order of its table of contents."""
    import yaml

    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [toc["root"], *(one["file"] for part in toc["parts"] for one in part["chapters"])]
    return [Page(f"{file}.html", f"p{number:02d}") for number, file in enumerate(files)]


def one_page(site: Path, wanted: list[Page]) -> str:
    """The articles of built pages as one page of HTML, beside ``site``. PdfProblem for a page that is not there."""
    places = {page.place: page for page in wanted}
    articles, titles = [], []
    for page in wanted:
        article = _article(site, page)
        _simplify(article)
        _rename(article, page, places, site.name)
        title = article.find("h1")
        titles.append((page.prefix, title.get_text().strip() if title else page.place))
        articles.append(f'<article class="bd-article" id="{page.prefix}">{article.decode_contents()}</article>')
    styles = _styles(site / wanted[-1].place)
    return rendered("pdf.html.j2", site=site.name, titles=titles[1:], articles=articles, styles=styles)


def _styles(path: Path) -> list[str]:
    """Files of styles that a built page uses, in its order, below the site's static files."""
    links = _read(path).find_all("link", rel="stylesheet")
    return [link["href"].partition("?")[0].partition("_static/")[2] for link in links]


def _read(path: Path) -> "BeautifulSoup":
    from bs4 import BeautifulSoup

    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def _article(site: Path, page: Page) -> "Tag":
    path = site / page.place
    if not path.exists():
        raise PdfProblem(f"there is no {path}: `make book` first")
    found = _read(path).find("article")
    if found is None:
        raise PdfProblem(f"{path} has no article")
    return found


def _simplify(article: "Tag") -> None:
    """Without what works only in a browser; what is folded is open, and all pictures are there from the start."""
    for one in article.select(LEFT_OUT):
        one.decompose()
    for one in article.select(MOVES):
        one.name, one.attrs, one.string = "p", {"class": "moves"}, TOLD
    for one in article.find_all("details"):
        one["open"] = ""
    for one in article.find_all("img"):
        del one["loading"]


def _rename(article: "Tag", page: Page, places: Mapping[str, Page], site: str) -> None:
    """Anchors begin with the page's own prefix; links to pages of the book lead to them; pictures are in ``site``."""
    folder = posixpath.dirname(page.place)
    for one in article.find_all(id=True):
        one["id"] = f"{page.prefix}-{one['id']}"
    for one in article.find_all(href=True):
        target, anchor = urldefrag(one["href"])
        if ":" in target:
            continue
        place = posixpath.normpath(posixpath.join(folder, target)) if target else page.place
        if place in places:
            one["href"] = "#" + places[place].prefix + (f"-{anchor}" if anchor else "")
        else:  # a file of the site, which a PDF does not bring along
            del one["href"]
    for one in article.find_all(src=True):
        if ":" not in one["src"]:
            one["src"] = posixpath.join("..", site, folder, one["src"])
