"""The explorers in a browser, from a file: they draw, answer to their controls, and show what is recorded."""

import re

import numpy as np
import pytest

from lib.paper import presets
from lib.paths import RECORDS
from lib.records import Store
from lib.runs import Runs
from lib.site import explorers
from tests.site.browser import CHROMIUM, alone, browser

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("explorers")]
in_a_browser = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The page of explorers alone, as it is written into the book."""
    folder = tmp_path_factory.mktemp("explorers")
    (folder / "book").mkdir()
    page = folder / "book" / "explorers.md"
    page.write_text(explorers.MARK, encoding="utf-8")
    explorers.write_in(folder / "book", folder / "_static")
    return alone(page)


@pytest.fixture
def page(site, tmp_path):
    with browser(tmp_path / "profile") as one:
        one.size(390)
        one.open(site.as_uri())
        one.evaluate("dispatchEvent(new Event('beforeprint'))")
        one.until("[...document.querySelectorAll('.explorer')].every((one) => one.dataset.drawn)")
        yield one


def words(page, name):
    """All text that a chart shows."""
    return page.evaluate(
        f"[...document.querySelectorAll('#{name}-chart svg text')].map((one) => one.textContent).join(' ')"
    )


def choose(page, name, control, value):
    """Set one of a chart's inputs as a reader does."""
    page.evaluate(
        f'(() => {{ const one = document.querySelector("#{name}-chart {control}");'
        f"if (one.type === 'radio') one.click(); else {{ one.value = '{value}';"
        "one.dispatchEvent(new Event('input')); one.dispatchEvent(new Event('change')); } })()"
    )


@in_a_browser
def test_the_numbers_beside_the_line_are_those_of_the_records(page):
    """At another noise rate and epoch, reckoned here from the records; the page asks for nothing outside."""
    choose(page, "explore-noise", "input[type=radio][value='0.2']", "")
    choose(page, "explore-noise", "input[type=range]", 4)
    store, one = Store(RECORDS), presets.binary("cpu", 0.2)
    runs = Runs(run for seed in range(20) if (run := store.get(explorers.replace(one, seed=seed))) is not None)
    for column in ("test_error", "clean_error", "noisy_error", "ratio"):
        mean = np.mean([run.at(4)[column] for run in runs])
        shown = f"{mean + 1e-9:.2f}"
        page.until(f"document.querySelector('#explore-noise-chart').textContent.includes('{shown}')", seconds=20)
    assert page.console == []
    assert [one for one in page.fetched if not one.startswith(("file:", "data:", "blob:"))] == []


@in_a_browser
def test_the_sums_of_gradients_shrink_and_grow_with_the_noise_rate(page):
    """The clean one is about 1 - δ long: the mean gradient of the class with right labels has length 1."""
    for rate in (0.1, 0.4):
        choose(page, "explore-directions", "input[type=range]", rate)
        page.evaluate("document.querySelector('#explore-directions-chart').view.runAsync().then(() => 1)")
        lengths = [float(n) for n in re.findall(r"(?<![\d.−])0\.\d\d(?!\d)", words(page, "explore-directions"))]
        assert any(abs(length - (1 - rate)) < 0.04 for length in lengths), lengths
        assert any(abs(length - rate) < 0.06 for length in lengths), lengths


@in_a_browser
def test_a_chosen_cell_stays_chosen_on_a_dark_page(page):
    choose(page, "explore-phases", "select[name=cell_refresh]", 4)
    before = page.evaluate("document.querySelector('#explore-phases-chart').view.signal('cell_refresh')")
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.until("document.querySelector('#explore-phases-chart').drawn.includes('true')")
    assert page.evaluate("document.querySelector('#explore-phases-chart').view.signal('cell_refresh')") == before == 4
    assert page.evaluate("document.querySelector('#explore-phases-chart select[name=cell_refresh]').value") == "4"


@in_a_browser
def test_every_control_has_a_name_and_is_reached_by_keyboard(page):
    """Native inputs with a label each; radio buttons of two charts are not one group."""
    controls = page.evaluate("document.querySelectorAll('.explorer-controls :is(input, select)').length")
    assert controls == page.evaluate(
        "[...document.querySelectorAll('.explorer-controls :is(input, select)')]"
        ".filter((one) => one.tabIndex >= 0 && (one.labels.length || one.closest('label'))).length"
    )
    checked = "[...document.querySelectorAll('.explorer-controls input:checked')].map((one) => one.value)"
    assert page.evaluate(checked) == ["0.4", "512", "0.3", "ReLU", "1"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_record_that_is_gone_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(explorers, "RECORDS", tmp_path)
    with pytest.raises(FileNotFoundError, match="records make"):
        explorers._runs([presets.binary("cpu")])
