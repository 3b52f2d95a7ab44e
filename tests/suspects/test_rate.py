"""The noise rate by likelihood: against brute force, and on labels drawn from probabilities that are known."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from lib.suspects import judgement
from lib.suspects import rate as module
from lib.suspects.early_stop import Recipe
from lib.suspects.judgement import judge
from lib.suspects.rate import instead_of, likelihood
from lib.suspects.read import from_arrays
from lib.suspects.report import Interval

CLASSES, SAMPLES = 4, 3000
RECIPE = Recipe(device="cpu", held_out=0.3)


def clusters(rng: np.random.Generator, samples: int = SAMPLES) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Overlapping Gaussian clusters: points, their class, and the exact log-probability of each class."""
    centres = 1.1 * rng.normal(size=(CLASSES, 6))
    true = rng.integers(0, CLASSES, samples)
    points = centres[true] + rng.normal(size=(samples, 6))
    return points, true, log_softmax(-0.5 * ((points[:, None] - centres) ** 2).sum(2), axis=1)


def flipped(true: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Each label another one with probability ``rate``, any alike."""
    wrong = rng.random(len(true)) < rate
    return np.where(wrong, (true + rng.integers(1, CLASSES, len(true))) % CLASSES, true)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 0.7])
def test_the_likelihood_is_what_brute_force_finds(rate):
    rng = np.random.default_rng(0)
    _, true, log_p = clusters(rng, 500)
    given = flipped(true, 0.2, rng)

    def loss(log_sharpness: float) -> float:
        p = softmax(np.exp(log_sharpness) * log_p, axis=1)[np.arange(500), given]
        return -np.log((1 - rate) * p + rate / 3 * (1 - p)).sum()

    expected = min(minimize_scalar(loss, bounds=(a, a + 1), method="bounded").fun for a in np.arange(-3, 3))
    assert likelihood(log_p, given).at(rate) == pytest.approx(-expected, abs=0.1)  # 3.84 decide


@pytest.mark.parametrize(("rate", "scale"), [(0.1, 1.0), (0.3, 0.2), (0.3, 40.0)])
def test_the_interval_holds_the_rate_as_often_as_it_says(rate, scale):
    """Whatever the scale of the logits; nineteen times in twenty, of 60 draws at least 51 (probability .999)."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(60):
        _, true, log_p = clusters(rng, 1000)
        found.append(likelihood(scale * log_p, flipped(true, rate, rng)).estimate())
    assert sum(one.low <= rate <= one.high for one in found) >= 51
    assert np.mean([one.estimate for one in found]) == pytest.approx(rate, abs=0.015)
    assert all(one.low < one.estimate < one.high for one in found)
    assert np.mean([one.high - one.low for one in found]) < 0.2


def test_without_wrong_labels_the_rate_is_about_zero():
    _, true, log_p = clusters(np.random.default_rng(2))
    found = likelihood(log_p, true).estimate()
    assert found.low == 0
    assert found.estimate < 0.02
    contradicted = (log_p.argmax(1) != true).mean()
    assert contradicted > 0.1  # by the best there can be
    assert instead_of(contradicted, likelihood(log_p, true)) is None  # no rate is needed: nothing is put in its place


def test_errors_of_the_network_are_not_taken_for_wrong_labels():
    rng = np.random.default_rng(3)
    _, true, log_p = clusters(rng)
    given = flipped(true, 0.2, rng)
    counted = (log_p.argmax(1) != given).mean()
    assert counted > 0.24
    found = instead_of(counted, likelihood(log_p, given))
    assert found.estimate == pytest.approx((given != true).mean(), abs=0.03)
    assert instead_of((given != true).mean(), likelihood(log_p, given)) is None  # a count that is right stays
    assert instead_of(0.05, likelihood(log_p, given)) is None  # as does one that is far too low


def test_a_network_that_errs_and_is_sure_does_not_raise_the_count():
    """Of a fifth of wrong labels; it is right for half of what it has not seen, and no less sure where it is wrong."""
    rng = np.random.default_rng(7)
    true = rng.integers(0, CLASSES, SAMPLES)
    given = flipped(true, 0.2, rng)
    answer = np.where(rng.random(SAMPLES) < 0.5, true, (true + rng.integers(1, CLASSES, SAMPLES)) % CLASSES)
    judged = likelihood(rng.uniform(2, 12, (SAMPLES, 1)) * np.eye(CLASSES)[answer], given)
    assert judged.estimate().low > 0.4  # twice the truth: it takes the errors for wrong labels
    assert instead_of(0.25, judged) is None


@pytest.mark.parametrize("kind", ["partner", "boundary"])
def test_of_labels_that_do_not_go_anywhere_nothing_is_said(kind):
    rng = np.random.default_rng(4)
    _, true, log_p = clusters(rng)
    if kind == "partner":
        given = np.where(rng.random(SAMPLES) < 0.3, true ^ 1, true)
        log_p = np.log(0.7 * np.exp(log_p) + 0.3 * np.exp(log_p[:, [1, 0, 3, 2]]))  # what a network learns of them
    else:  # as a classifier that is right on average would have it
        given = np.array([rng.choice(CLASSES, p=p) for p in np.exp(log_p)])
    assert (given != true).mean() > 0.1
    for counted in (0.05, 0.2, 0.5):
        assert instead_of(counted, likelihood(log_p, given)) is None


def test_many_labels_are_thinned_evenly(monkeypatch):
    monkeypatch.setattr(module, "MOST", 100)
    h = np.tile([3.0, 0.0], (1001, 1))
    given = (np.arange(1001) >= 500).astype(int)  # sorted by class: the first hundred are all of one
    found = likelihood(h, given)
    assert found.given.shape == (len(module.SHARPNESS), 100)
    assert (found.given[-1] > 0.5).sum() == 50


@pytest.mark.parametrize(("h", "given"), [(np.zeros((0, 3)), []), (np.zeros((2, 1)), [0, 0]), (np.zeros((3, 2)), [0])])
def test_what_says_nothing_is_refused(h, given):
    with pytest.raises(ValueError, match="a label for each row of logits"):
        likelihood(h, np.array(given, dtype=int))


def test_a_network_that_knows_nothing_says_nothing():
    found = likelihood(np.zeros((50, 5)), np.arange(50) % 5)
    rate = found.estimate()
    assert (rate.low, rate.high) == (0, 0.8)
    assert instead_of(0.3, found) is None


def test_a_weak_network_is_not_believed():
    """Clusters that overlap: of a fifth of wrong labels a good deal more are contradicted."""
    rng = np.random.default_rng(5)
    points, true, _ = clusters(rng, 6000)
    given = flipped(true, 0.2, rng)
    found = judge(from_arrays(points.astype(np.float32), given), RECIPE, progress=False)
    assert found.contradicted > 0.25
    assert found.noise_rate.estimate == pytest.approx((given != true).mean(), abs=0.03)
    assert found.table["is_label_issue"].mean() == pytest.approx(found.noise_rate.estimate, abs=1e-4)
    assert found.table["probability_wrong"].mean() == pytest.approx(found.noise_rate.estimate, abs=1e-4)
    assert any(f"contradicts {found.contradicted:.1%} of the labels" in line for line in found.lines())


@pytest.mark.parametrize("instead", [Interval(0.37, 0.3, 0.4), None])
def test_the_table_follows_the_rate(instead, monkeypatch, tmp_path):
    rng = np.random.default_rng(6)
    points, true, _ = clusters(rng, 400)
    labelled = from_arrays((3 * points).astype(np.float32), flipped(true, 0.1, rng))
    asked = []
    monkeypatch.setattr(judgement, "instead_of", lambda counted, judged: asked.append((counted, judged)) or instead)
    found = judge(labelled, replace(RECIPE, epochs=6), progress=False)
    ((counted, judged),) = asked
    assert judged.given.shape[1] == found.table["held_out"].sum()
    found.save(tmp_path)
    saved = json.loads((tmp_path / "noise.json").read_text(encoding="utf-8"))
    assert saved["contradicted"] == found.contradicted == (counted if instead else None)
    issues = found.table["is_label_issue"]
    assert issues.sum() == (148 if instead else round(counted * 400))
    assert (found.noise_rate == instead) is bool(instead)
    assert found.table["label_quality"][issues].max() < found.table["label_quality"][~issues].min()
    assert sum("contradicts" in line for line in found.lines()) == bool(instead)
