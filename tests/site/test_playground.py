"""The playground in a browser, from a file and without a network: by keyboard, without Workers, without JavaScript."""

import re

import numpy as np
import pytest

from lib.site import playground
from tests.site.browser import CHROMIUM, alone, browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium"),
    pytest.mark.xdist_group("playground"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return playground_in(tmp_path_factory.mktemp("playground"))


def playground_in(folder):
    """Pages of the playground alone, as they are written into the book."""
    book = folder / "book"
    book.mkdir(parents=True)
    marks = {"playground": playground.WHOLE_MARK, "index": playground.SMALL_MARK}
    for name, mark in marks.items():
        (book / f"{name}.md").write_text(mark, encoding="utf-8")
    playground.write_in(book, folder / "_static")
    for name in marks:
        alone(book / f"{name}.md")
    return book


@pytest.fixture
def page(tmp_path):
    with browser(tmp_path / "profile") as one:
        one.size(1300)
        yield one


def address(site, name="playground", link=""):
    return f"{(site / f'{name}.html').as_uri()}{link}"


EPOCH = "Number(document.querySelector('[data-pg=epoch]').max)"
WORDS = "document.querySelector('[data-pg=words]').textContent"
LIVE = "document.querySelector('[data-pg=live]').textContent"
BEGUN = f"{WORDS}.startsWith('Before any training')"


def click(page, name):
    page.evaluate(f"document.querySelector('[data-pg={name}]').click()")


def run_until(page, epoch):
    click(page, "run")
    page.until(f"{EPOCH} >= {epoch}")
    click(page, "run")


def numbers(text):
    return [float(number) for number in re.findall(r"(\d+(?:\.\d+)?) %", text)]


def test_a_run_shows_the_phenomenon_and_says_it_in_words(site, page):
    page.open(address(site))
    page.until(BEGUN)
    click(page, "run")
    page.until(f"{EPOCH} === 200 && {LIVE}.startsWith('After epoch 200')")
    error, noise, right, wrong, lowest, then = numbers(page.evaluate(WORDS))
    assert page.evaluate(LIVE) == page.evaluate(WORDS)
    assert noise == 40
    assert lowest < noise / 2 < error  # far below the noise, then up again
    assert then > 80  # clean-priority: flipped images are called what they are
    assert right + wrong == pytest.approx(100, abs=0.2)
    assert wrong > 90
    click(page, "early")
    page.until(f"{WORDS}.includes('This is the lowest test error so far.')")
    assert numbers(page.evaluate(WORDS))[0] == lowest
    marks = page.evaluate("[...document.querySelectorAll('.pg-flipped li')].map((li) => li.dataset.state)")
    assert len(marks) == 24
    assert np.mean([mark == "true" for mark in marks]) > 0.6
    assert page.evaluate("document.querySelectorAll('.pg-chart path').length") == 3 + 3 + 2
    assert page.console == []
    assert [one for one in page.fetched if not one.startswith(("file:", "blob:", "data:"))] == []


def test_the_training_is_not_on_the_pages_thread(site, page):
    """In a Worker; without one an epoch is cut into pieces, between which the page answers."""
    page.open(address(site))
    page.until(BEGUN)
    with page.tracing():
        run_until(page, 60)
    assert sum(page.tasks("DedicatedWorker")) > sum(page.tasks("CrRendererMain"))
    page.send("Page.addScriptToEvaluateOnNewDocument", source="delete window.Worker;")
    page.open("about:blank")
    page.open(address(site, link="?classes=ten&width=128"))
    page.until(BEGUN)
    with page.tracing():
        run_until(page, 3)
    assert page.longest_task() < sum(page.tasks("CrRendererMain")) / 3 / 4  # a quarter of an epoch


def test_without_workers_the_same_numbers_come_from_the_pages_thread(site, page):
    told = []
    for gone in ("", "delete window.Worker;", "window.Worker = class { constructor() { throw Error('refused') } };"):
        page.send("Page.addScriptToEvaluateOnNewDocument", source=gone or ";")
        page.open("about:blank")
        page.open(address(site, link="?width=16&seed=3"))
        page.until(BEGUN)
        for epoch in (1, 2, 3):
            click(page, "step")
            page.until(f"{LIVE}.startsWith('After epoch {epoch} ')")
            told.append(page.evaluate(WORDS))
    assert told[:3] == told[3:6] == told[6:]
    assert len(set(told)) == 3
    assert page.console == []


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("?width=0", ["“0” as the width"]),
        ("?width=1e9&noise=2", ["“1e9” as the width", "“2” as the noise rate"]),
        ("?classes=7,7", ["“7,7” as the classes"]),
        ("?rate=NaN&seed=-1&batch=&momentum=1", ["learning rate", "the seed", "the batch", "the momentum"]),
        ("?noise=%E0%A4%A&colour=red", ["the noise rate", "“colour”, which the playground does not have"]),
        ("?highlight=noise&constructor=1", ["“constructor”"]),
    ],
)
def test_a_link_with_impossible_settings_falls_back_and_says_so(site, page, link, said):
    page.open(address(site, link=link))
    page.until(BEGUN)
    shown = page.evaluate("document.querySelector('[data-pg=problem]').textContent")
    for words in said:
        assert words in shown
    assert shown.count("The link") == len(said)
    assert page.evaluate("playgroundSettings.toLink(playgroundSettings.DEFAULTS)") == (
        "?classes=7,9&noise=0.4&width=128&rate=0.03&momentum=0.9&batch=32&seed=0"
    )
    controls = "['noise','width','rate','momentum','batch','seed'].map((n) => document.forms[0].elements[n].value)"
    assert page.evaluate(controls) == ["0.4", "128", "0.03", "0.9", "32", "0"]
    assert page.console == []


def test_a_link_carries_the_settings(site, page):
    link = "?classes=3,8&noise=0.25&width=32&rate=0.1&momentum=0.5&batch=0&seed=11"
    page.open(address(site, link=link))
    page.until(BEGUN)
    assert page.evaluate("document.querySelector('[data-pg=problem]').hidden")
    assert "(25 % of the training labels are wrong)" in page.evaluate(WORDS)
    choose(page, "classes", "ten")
    assert page.evaluate("location.search") == link.replace("3,8", "ten")
    page.until(f"{BEGUN} && !{WORDS}.includes('NaN')")
    choose(page, "classes", "two")
    choose(page, "first", "9")  # ten's first two digits are 0 and 1: another digit takes its place
    choose(page, "second", "9")
    first, second = page.evaluate("location.search.match(/classes=(\\d),(\\d)/).slice(1)")
    assert second == "9" != first
    page.evaluate(LINK)
    page.until(f"{WORDS}.includes('no training label is wrong')")
    assert page.evaluate("location.search + document.activeElement.dataset.pg") == "?noise=0run"
    assert not page.evaluate("document.querySelector('[data-pg=none]').hidden")
    page.evaluate("history.back()")
    page.until(f"{WORDS}.includes('40 %') || {WORDS}.includes('25 %')")
    assert page.console == []


LINK = """
document.body.insertAdjacentHTML('beforeend', '<a href="?noise=0">none</a>');
document.body.lastElementChild.click();
"""


def choose(page, name, value):
    control = f"document.forms[0].elements.{name}"
    page.evaluate(f"{control}.value = '{value}'; {control}.dispatchEvent(new Event('change', {{bubbles: true}}))")


DIVERGES = """
window.Worker = class {
  postMessage({ kind, id }) {
    if (kind === "reset") setTimeout(() => this.onmessage({ data: { kind: "diverged", id, epoch: 1 } }));
  }
};
"""


def test_a_training_that_diverged_says_so(site, page):
    page.send("Page.addScriptToEvaluateOnNewDocument", source=DIVERGES)
    page.open(address(site))
    page.until("document.querySelector('[data-pg=problem]').textContent.includes('diverged')")
    page.until("document.querySelector('[data-pg=run]').disabled")
    assert page.console == []


@pytest.mark.parametrize("name", ["playground", "index"])
def test_every_control_is_reached_and_used_by_keyboard(site, page, name):
    page.open(address(site, name))
    page.until(f"{WORDS} !== ''")
    if name == "index":
        page.until(f"{EPOCH} === 200")
    reached = []
    for _ in range(20):
        page.press("Tab")
        active = "((e) => e.dataset.pg || e.name || e.tagName)(document.activeElement)"
        reached.append(page.evaluate(active))
        assert reached[-1] == "BODY" or page.evaluate(
            "getComputedStyle(document.activeElement.closest('label:has([type=radio])') || document.activeElement)"
            ".outlineStyle !== 'none'"
        )
    whole = ["classes", "first", "second", "width", "rate", "momentum", "batch", "seed", "run", "step", "reset", "copy"]
    for control in ["noise", "epoch", *(["pg-watched", *whole] if name == "playground" else ["run", "reset", "early"])]:
        assert control in reached, reached
    page.evaluate("document.querySelector('[data-pg=reset]').focus()")
    page.press("Enter")
    page.until(BEGUN)
    page.evaluate("document.querySelector('[data-pg=run]').focus()")
    page.press("Enter")
    page.until(f"{EPOCH} > 2")
    page.press("Enter")
    page.until("document.querySelector('[data-pg=run]').textContent === 'Run'")
    page.evaluate("document.querySelector('[data-pg=epoch]').focus()")
    page.press("Home")
    page.until(BEGUN)
    page.press("ArrowRight")
    page.until(f"{WORDS}.startsWith('After epoch 1 ')")
    if name == "playground":
        page.evaluate("document.querySelector('[name=pg-watched]').focus()")
        page.press("ArrowRight")
        page.until("document.querySelector('[data-pg=which]').textContent.startsWith('Image 2 ')")
    assert page.console == []


def test_with_reduced_motion_the_picture_stands_still_while_it_trains(site, page):
    count = """
      window.drawn = 0;
      const chart = document.querySelector('[data-pg=errors] svg');
      new MutationObserver(() => window.drawn++).observe(chart, {childList: true});
    """
    drawn = {}
    for motion in ("no-preference", "reduce"):
        page.emulate(prefers_reduced_motion=motion)
        page.open("about:blank")
        page.open(address(site, link="?width=16"))
        page.until(BEGUN)
        page.evaluate(count)
        click(page, "run")
        page.until(f"{LIVE}.startsWith('After epoch 200')")
        drawn[motion] = page.evaluate("window.drawn")
    assert drawn["reduce"] <= 6
    assert page.console == []
    page.emulate(prefers_reduced_motion="reduce")
    page.open("about:blank")
    page.open(address(site, "index"))  # and it does not begin by itself
    page.until(BEGUN)
    page.evaluate("new Promise((done) => setTimeout(done, 500))")
    assert page.evaluate(EPOCH) == 0


def test_the_small_one_begins_by_itself_without_announcing_it(site, page):
    page.open(address(site, "index"))
    page.until(f"{EPOCH} === 200 && document.querySelector('[data-pg=run]').textContent === 'Run'")
    assert page.evaluate(LIVE) == ""
    assert "/playground.html?classes=7,9&noise=0.4" in page.evaluate("document.querySelector('[data-pg=whole]').href")
    assert page.console == []


def test_without_javascript_a_picture_and_its_words_stand_there(site, page):
    page.send("Emulation.setScriptExecutionDisabled", value=True)
    page.open(address(site))
    text = page.send("DOM.getDocument", depth=-1)
    found = page.send("DOM.querySelector", nodeId=text["root"]["nodeId"], selector=".playground-still img")
    box = page.send("DOM.getBoxModel", nodeId=found["nodeId"])["model"]
    assert box["width"] > 300
    hidden = page.send("DOM.querySelector", nodeId=text["root"]["nodeId"], selector=".playground")
    assert "hidden" in page.send("DOM.getAttributes", nodeId=hidden["nodeId"])["attributes"]


@pytest.mark.parametrize("name", ["playground", "index"])
def test_a_phone_needs_no_scrolling_to_the_side(site, page, name):
    page.size(390, 800)
    page.open(address(site, name, "?classes=ten&width=16" if name == "playground" else ""))
    page.until(f"{WORDS} !== ''")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    letters = "[...document.querySelectorAll('.pg-chart text')].map((t) => t.getBoundingClientRect().height)"
    assert min(height for height in page.evaluate(letters) if height) >= 11  # 0: a name not shown yet
