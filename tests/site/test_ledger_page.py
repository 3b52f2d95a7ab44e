"""The ledger's page in a browser, from a file: filter, search, order, anchors, keyboard, phone, no JavaScript."""

import json
import shutil

import pytest

from lib.paths import NOTEBOOKS, ROOT
from lib.press.claims import VERDICTS
from lib.site.ledger import all_claims, ledger, write_in
from tests.site.browser import CHROMIUM, alone, browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium"),
    pytest.mark.xdist_group("ledger"),
]


def kept():
    """The claims in the notebooks' outputs as they lie there, without the code that makes the ledger."""
    for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                if "clean-priority-claim" in output.get("metadata", {}):
                    shown = "".join(output["data"]["text/plain"])
                    verdict = next(one for one, sign in VERDICTS.items() if shown.startswith(f"{sign} {one} ("))
                    yield output["metadata"]["clean-priority-claim"] | {"verdict": verdict, "shown": shown}


KEPT = list(kept())


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The ledger's page alone, as it is written into the book, with the kept claims."""
    folder = tmp_path_factory.mktemp("ledger")
    (folder / "book" / "static").mkdir(parents=True)
    (folder / "book" / "ledger.md").write_text("<!-- ledger -->", encoding="utf-8")
    write_in(folder / "book", all_claims())
    shutil.copytree(folder / "book" / "static", folder / "_static")
    for name in ("ledger.js", "ledger.css"):
        shutil.copy(ROOT / "book" / "static" / name, folder / "_static")
    return alone(folder / "book" / "ledger.md")


@pytest.fixture
def page(tmp_path, site):
    with browser(tmp_path / "profile") as one:
        one.size(1000)
        yield one
        assert one.console == []
        assert [address for address in one.fetched if not address.startswith(("file:", "data:", "about:"))] == []


SHOWN = "[...document.querySelectorAll('.lg-table tr[id]')].filter((row) => row.offsetHeight).map((row) => row.id)"


def place(claim):
    return f"claim-{claim['chapter'][:2]}-{claim['id'].replace('.', '-')}"


def choose(page, **values):
    for name, value in values.items():
        control = f"document.querySelector('.lg-filter').elements.{name}"
        page.evaluate(f"{control}.value = '{value}'; {control}.dispatchEvent(new Event('input', {{bubbles: true}}))")


def show_all(page):
    page.evaluate("document.querySelector('.lg-filter [type=reset]').click()")
    page.until(f"{SHOWN}.length === {len(KEPT)}")


def test_verdict_chapter_and_profile_show_the_claims_that_the_notebooks_have(site, page):
    page.open(site.as_uri())
    assert page.evaluate(SHOWN) == [place(claim) for claim in KEPT]
    for verdict in VERDICTS:
        choose(page, verdict=verdict.replace(" ", "-"))
        wanted = [place(claim) for claim in KEPT if claim["verdict"] == verdict]
        assert page.evaluate(SHOWN) == wanted
        said = page.evaluate("document.querySelector('[data-lg=shown]').textContent")
        assert said == f"{len(wanted)} of {len(KEPT)} claims"
    for chapter in ("02", "15"):
        choose(page, chapter=chapter, verdict="holds")
        wanted = [place(one) for one in KEPT if one["chapter"][:2] == chapter and one["verdict"] == "holds"]
        assert page.evaluate(SHOWN) == wanted
    headings = "[...document.querySelectorAll('.lg-group')].filter((row) => row.offsetHeight).length"
    assert page.evaluate(headings) == 1
    show_all(page)
    for profile in ("smoke", "cpu", "paper"):
        choose(page, profile=profile)
        assert page.evaluate(SHOWN) == [place(claim) for claim in KEPT if claim["profile"] == profile]


def test_search_finds_all_words_in_any_order_whatever_their_case(site, page):
    page.open(site.as_uri())
    choose(page, words="NOISE Rate")
    found = page.evaluate(SHOWN)
    told = {place(claim): f"{claim['says']} {claim['source']}".lower() for claim in KEPT}
    sure = {id for id, words in told.items() if "noise" in words and "rate" in words}
    assert sure
    assert sure <= set(found) < set(told)
    choose(page, words="rate  noise ")
    assert page.evaluate(SHOWN) == found
    choose(page, words="no claim says zebra")
    assert page.evaluate(SHOWN) == []
    assert page.evaluate("document.querySelector('[data-lg=none]').offsetHeight > 0")
    page.evaluate("document.querySelector('[data-lg=all]').click()")
    page.until(f"{SHOWN}.length === {len(KEPT)}")


def test_a_link_carries_the_filter_and_one_that_asks_for_what_there_is_not_shows_all(site, page):
    page.open(f"{site.as_uri()}?verdict=partly&chapter=04")
    wanted = [place(one) for one in KEPT if one["chapter"][:2] == "04" and one["verdict"] == "partly"]
    assert page.evaluate(SHOWN) == wanted
    choose(page, verdict="holds")
    assert page.evaluate("location.search") == "?verdict=holds&chapter=04"
    page.open(f"{site.as_uri()}?verdict=maybe&chapter=99&constructor=1&words=")
    assert len(page.evaluate(SHOWN)) == len(KEPT)


def test_an_anchor_opens_its_claim_even_where_the_filter_hides_it(site, page):
    hidden = next(claim for claim in KEPT if claim["verdict"] == "does not hold")
    page.open(f"{site.as_uri()}?verdict=holds#{place(hidden)}")
    row = f"document.getElementById('{place(hidden)}')"
    page.until(f"{row}.offsetHeight > 0 && {row}.querySelector('details').open")
    box = page.evaluate(f"(({{top, bottom}}) => [top, bottom, innerHeight])({row}.getBoundingClientRect())")
    assert -1 <= box[0] < box[2]


def test_it_can_be_sorted_and_brought_back(site, page):
    page.open(site.as_uri())
    sort = "document.querySelector('[data-sort={}] button').click()"
    rank = {verdict: number for number, verdict in enumerate(VERDICTS)}
    page.evaluate(sort.format("verdict"))
    ordered = sorted(KEPT, key=lambda claim: rank[claim["verdict"]])
    assert page.evaluate(SHOWN) == [place(claim) for claim in ordered]
    page.evaluate(sort.format("verdict"))
    assert page.evaluate(SHOWN)[0] == place([claim for claim in KEPT if claim["verdict"] == "does not hold"][-1])
    assert page.evaluate("document.querySelector('[data-sort=verdict]').getAttribute('aria-sort')") == "descending"
    page.evaluate(sort.format("chapter"))
    assert page.evaluate(SHOWN) == [place(claim) for claim in KEPT]


def test_every_control_is_reached_and_used_by_keyboard(site, page):
    page.open(site.as_uri())
    reached = []
    for _ in range(24):
        page.press("Tab")
        active = "((e) => e.name || e.type || e.parentElement.dataset.sort || e.tagName)(document.activeElement)"
        reached.append(page.evaluate(active))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle !== 'none'"), reached
    for control in ("words", "verdict", "chapter", "by", "profile", "reset", "button", "SUMMARY", "A"):
        assert control in reached
    page.evaluate("document.querySelector('.lg-values summary').focus()")
    page.press("Enter")
    assert page.evaluate("document.querySelector('.lg-values details').open")
    page.evaluate("document.querySelector('[data-sort=verdict] button').focus()")
    page.press(" ")
    assert page.evaluate("document.querySelector('[data-sort=verdict]').getAttribute('aria-sort')") == "ascending"


def test_it_is_short_on_a_screen_and_whole_on_a_phone(site, page):
    page.open(site.as_uri())
    assert page.evaluate("document.documentElement.scrollHeight") <= 12 * 900
    page.size(390, 800)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wide = "[...document.querySelectorAll('.ledger *')].filter((e) => e.getBoundingClientRect().right > 391)"
    assert page.evaluate(f"{wide}.filter((e) => !e.closest('thead, .lg-hidden')).length") == 0


def test_without_javascript_it_is_a_static_table(site, page):
    page.send("Emulation.setScriptExecutionDisabled", value=True)
    page.open(site.as_uri())
    root = page.send("DOM.getDocument")["root"]["nodeId"]
    rows = page.send("DOM.querySelectorAll", nodeId=root, selector=".lg-table tr[id]")["nodeIds"]
    assert len(rows) == len(KEPT)
    assert page.send("DOM.getBoxModel", nodeId=rows[-1])["model"]["height"] > 10
    form = page.send("DOM.querySelector", nodeId=root, selector=".lg-filter")["nodeId"]
    assert "hidden" in page.send("DOM.getAttributes", nodeId=form)["attributes"]


def test_the_verdict_is_told_by_mark_and_word_beside_its_colour(site):
    text = site.read_text(encoding="utf-8")
    for verdict, sign in VERDICTS.items():
        kind = verdict.replace(" ", "-")
        mark = f'<span class="lg-mark lg-{kind}"><span aria-hidden="true">{sign}</span>'
        wanted = f'{mark} <span class="lg-word">{verdict}</span>'
        assert text.count(f'class="lg-mark lg-{kind}"') == text.count(wanted)
    assert ledger(all_claims()) in text
