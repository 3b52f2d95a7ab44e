"""The answers on the playground's page are what its engine gives, for seeds 0 to 4."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lib.paths import ROOT
from lib.site import playground
from tests.site.test_engine import NODE, SETTINGS, engine

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not NODE, reason="needs node")]
SEEDS = range(5)


@pytest.fixture(scope="module")
def runs():
    """A function that trains at some settings with each seed: one list of rows a seed."""
    digits, done = playground.digits(), {}

    def run(epochs=200, **changes):
        settings = SETTINGS | changes

        def one(seed):
            return engine("run", digits=digits, epochs=epochs, runs=[settings | {"seed": seed}])[0]

        name = json.dumps([epochs, settings])
        if name not in done:
            with ThreadPoolExecutor(2) as pool:
                done[name] = list(pool.map(one, SEEDS))
        return done[name]

    return run


def lowest(runs):
    return [min(row["test_error"] for row in rows) for rows in runs]


def best(rows):
    return int(np.argmin([row["test_error"] for row in rows]))


def test_the_answer_on_noise(runs):
    for noise, start, low, high in ((0.1, 9, 0, 0.02), (0.4, 1.5, 0, 0.04), (0.45, 1.2, 0.03, 0.19)):
        done = runs(noise=noise)
        assert low <= min(lowest(done)) <= max(lowest(done)) <= high
        assert [rows[0]["ratio"] for rows in done] == pytest.approx([start] * 5, rel=0.04)
        if noise == 0.4:
            assert min(rows[-1]["test_error"] for rows in done) >= 0.31
            assert max(rows[-1]["noisy_error"] for rows in done) < 0.01


def test_the_answer_on_width(runs):
    wide, narrow = runs(), runs(width=8)
    assert [rows[0]["ratio"] for rows in (*wide, *narrow)] == pytest.approx([1.5] * 10, rel=0.04)
    assert max(lowest(narrow)) < 0.1
    assert [min(map(best, wide)), max(map(best, wide))] == [4, 9]
    assert [min(map(best, narrow)), max(map(best, narrow))] == [7, 23]
    kept = [rows[-1]["called_given"] for rows in narrow]
    assert [round(min(kept), 2), round(max(kept), 2)] == [0.48, 0.91]
    assert min(rows[-1]["called_given"] for rows in wide) > 0.99


def test_the_answer_on_ten_classes(runs):
    ten = {"classes": list(range(10)), "epochs": 40}
    some, many = runs(**ten), runs(**ten, noise=0.7)
    assert 0.05 <= min(lowest(some)) <= max(lowest(some)) <= 0.09
    assert np.mean(lowest(many)) == pytest.approx(0.19, abs=0.015)
    assert np.mean([rows[best(rows)]["called_true"] for rows in many]) == pytest.approx(0.79, abs=0.03)
    for done, noise in ((some, 0.4), (many, 0.7)):
        nominal = 9 * (1 - noise) / noise
        assert [rows[0]["ratio"] for rows in done] == pytest.approx([nominal] * 5, rel=0.04)


def test_the_answer_on_one_wrong_label(runs):
    for rows in runs():
        right = np.array([[one["true"] > 0.5 for one in row["watched"]] for row in rows])  # two classes
        assert right[1:16].any(0).sum() >= 22
        stop = best(rows)
        assert (~right[stop:51]).any(0).mean() > 0.9  # called the wrong thing since
        assert 20 <= np.median((right[1:] != right[:-1]).sum(0)) <= 45
        settled = [np.flatnonzero(column).max(initial=-1) + 1 for column in right.T]
        assert np.median(settled) > 100


def test_the_links_of_the_page_carry_settings_that_there_are():
    links = re.findall(r'href="\?([^"]*)"', (ROOT / "book" / "playground.md").read_text(encoding="utf-8"))
    assert len(links) == 10
    for link in links:
        for part in link.replace("&amp;", "&").split("&"):
            assert re.fullmatch(r"classes=ten|noise=0\.\d+|width=(4|8|16|32|64|128|256|512)", part)
