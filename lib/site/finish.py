"""What is done to the built pages: links between claims and ledger, what others show of a page, and what it loads.

The pages are Sphinx's; they are changed as text, in the few places that are the book's own.
"""

import html
import json
import re
from collections.abc import Sequence
from pathlib import Path

from ..paths import NOTEBOOKS
from ..press.claims import Claim, gather
from . import icons
from .ledger import anchor
from .render import rendered

CARD = "card.png"  # the picture that others show beside a link to a page, among the static files
SEARCH_TEXTS = "search-texts.js"
CLAIM = re.compile(r'<div class="claim claim-[a-z-]+"')
IMAGE = re.compile(r"<img [^>]*>")
NOT_WORDS = re.compile(r'<(script|style|svg|template)\b.*?</\1>|<!--.*?-->|<a class="headerlink".*?</a>', re.S)
# Names that the theme and its extensions give to what already says its own in words, and a list whose entries are none:
# axe-core calls the first serious and the second critical.
MISNAMED = (
    (re.compile(r'(<summary)\s+aria-label="Toggle hidden content"'), r"\1"),
    (re.compile(r'(<button class="btn search-button-field[^>]*?)\s+aria-label="Search"'), r"\1"),
    (re.compile(r'<div role="list" class="citation-list">'), '<div class="citation-list">'),
)
LONGEST = 200  # characters of a description


class PageProblem(RuntimeError):
    """A built page that is not as expected; the message names it."""


def finish(site: Path, repository: str = "", branch: str = "main") -> None:
    """Change all pages below ``site``. PageProblem if a chapter's page does not show the claims of its notebook.

    ``repository``: its https address where the book is published; without it the picture's address is relative.
    """
    icons.trim(site)
    told: dict[str, list[list[str]]] = {}
    for path in sorted(site.rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        if "</head>" not in text or "_static" in path.parts:
            continue
        place = path.relative_to(site).with_suffix("").as_posix()
        root = "../" * place.count("/")
        notebook = NOTEBOOKS / f"{path.stem}.ipynb"
        if place.startswith("notebooks/") and notebook.exists():
            text = with_links(text, gather([notebook]), path.name)
        article = main_part(text)
        told[place] = sections(article)
        card = f"{root}_static/{CARD}"
        if repository:
            card = f"{repository.replace('github.com', 'raw.githubusercontent.com')}/{branch}/book/static/{CARD}"
        text = with_description(icons.SCRIPT.sub("", text), description(article), card)
        text = well_named(text)
        if place == "search":
            scripts = "".join(f'<script src="_static/{name}"></script>\n' for name in (SEARCH_TEXTS, "search.js"))
            text = text.replace("</head>", f"{scripts}</head>", 1)
        path.write_text(with_lazy_images(text, path.parent), encoding="utf-8")
    texts = json.dumps(told, ensure_ascii=False).replace("</", "<\\/")
    (site / "_static" / SEARCH_TEXTS).write_text(f"const BOOK_TEXTS = {texts};\n", encoding="utf-8")


def with_links(page: str, claims: Sequence[Claim], name: str) -> str:
    """A chapter's page whose claims have an anchor and a link to their row in the ledger."""
    parts, cards = CLAIM.split(page), CLAIM.findall(page)
    if len(cards) != len(claims):
        raise PageProblem(f"{name} shows {len(cards)} claims, its notebook has {len(claims)}")
    linked = [parts[0]]
    for card, part, claim in zip(cards, parts[1:], claims, strict=True):
        place = anchor(claim)
        link = (
            f'</strong> <a class="claim-row" href="../book/ledger.html#{place}" aria-label="In the ledger">ledger</a>'
        )
        linked.append(card.replace("<div", f'<div id="{place}"') + part.replace("</strong>", link, 1))
    return "".join(linked)


def main_part(page: str) -> str:
    """The article of a page, as HTML; "" where there is none."""
    found = re.search(r"<article[^>]*>(.*?)</article>", page, re.S)
    return found[1] if found else ""


def plain(part: str) -> str:
    """The words of HTML, in one line."""
    part = NOT_WORDS.sub(" ", part)
    part = re.sub(r"</?(span|a|em|strong|code|b|i|sub|sup|small)\b[^>]*>", "", part)
    words = html.unescape(re.sub(r"<[^>]*>", " ", part))
    return " ".join(re.sub(r"\\[()\[\]]", "", words).split())  # nor the marks of formulas


def sections(article: str) -> list[list[str]]:
    """Each section's anchor and words, for the search page."""
    pieces = re.split(r'<section [^>]*?id="([^"]+)"[^>]*>', article)
    told = [["", plain(pieces[0])], *([id, plain(part)] for id, part in zip(pieces[1::2], pieces[2::2], strict=True))]
    return [one for one in told if one[1]]


def description(article: str) -> str:
    """The first paragraph of a page in at most LONGEST characters, cut at a word."""
    found = (plain(one) for one in re.findall(r"<p>(.*?)</p>", article, re.S))
    text = next((one for one in found if len(one) > 40), "")
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + " …"


def well_named(page: str) -> str:
    """A page whose parts are called what they say."""
    for wrong, right in MISNAMED:
        page = wrong.sub(right, page)
    return page


def with_description(page: str, said: str, card: str) -> str:
    """A page that says what it is to search engines and to who shows a link to it."""
    found = re.search(r"<title>(.*?)</title>", page, re.S)
    title = " ".join(html.unescape(found[1]).split()) if found else ""
    head = rendered("head.html.j2", title=title, said=said or title, card=card)
    return page.replace("</head>", f"{head}</head>", 1)


def with_lazy_images(page: str, folder: Path) -> str:
    """A page whose pictures after the first are loaded when they are near; all keep their place before that."""
    from PIL import Image

    seen = 0

    def changed(found: re.Match[str]) -> str:
        nonlocal seen
        tag = found[0]
        source = re.search(r'src="([^":?#]+\.png)"', tag)
        if not source or "_images/" not in source[1] or not (folder / source[1]).exists():
            return tag
        seen += 1
        more = ""
        if "width=" not in tag:
            with Image.open(folder / source[1]) as picture:
                more = f' width="{picture.width}" height="{picture.height}"'
        if seen > 1 and "loading=" not in tag:
            more += ' loading="lazy"'
        return f"<img{more} {tag[5:]}"

    return IMAGE.sub(changed, page)
