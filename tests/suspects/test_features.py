"""Labels judged by features alone: each sample left out, the noise by maximum likelihood."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge
from sklearn.metrics import average_precision_score

from lib.suspects import features, ridge, transition
from lib.suspects.read import from_arrays

CLASSES = 4


@pytest.fixture
def clouds():
    """Features of four classes that overlap a little, and true labels."""
    draws = np.random.default_rng(0)
    true = draws.integers(CLASSES, size=1200)
    middles = draws.normal(size=(CLASSES, 12)) * 1.2
    return (middles[true] + draws.normal(size=(len(true), 12))).astype(np.float32), true


def evenly(true: np.ndarray, rate: float, classes: int, seed: int = 1) -> np.ndarray:
    draws = np.random.default_rng(seed)
    flipped = draws.random(len(true)) < rate
    return np.where(flipped, (true + draws.integers(1, classes, len(true))) % classes, true)


def to_partner(true: np.ndarray, rate: float, seed: int = 1) -> np.ndarray:
    return np.where(np.random.default_rng(seed).random(len(true)) < rate, true ^ 1, true)


def precision(found, wrong) -> float:
    return average_precision_score(wrong, -found.table["label_quality"])


def test_a_sample_left_out_is_one_that_was_never_there(clouds):
    values, given = clouds[0][:60], clouds[1][:60]
    z, spread = ridge._decomposed(ridge.standardised(values))
    fit = ridge._best(z, spread, given, CLASSES, np.arange(60))
    answers = fit._answers(slice(0, 60), given)
    targets = np.eye(CLASSES)[given]
    for k in (0, 17, 59):
        rest = np.arange(60) != k
        # the same penalty a sample, and the features centred as they were, as the intercept undoes either way
        model = Ridge(alpha=60 * fit.penalty).fit(ridge.standardised(values)[rest], targets[rest])
        np.testing.assert_allclose(answers[k], model.predict(ridge.standardised(values)[[k]])[0], atol=2e-5)


def test_targets_that_are_probabilities_are_left_out_too(clouds):
    values, given = clouds
    fit = ridge.left_out(values, given, CLASSES)
    as_labels = np.concatenate([log_p for _, log_p in fit.log_probabilities(given)])
    as_shares = np.concatenate([log_p for _, log_p in fit.log_probabilities(np.eye(CLASSES)[given])])
    np.testing.assert_allclose(as_labels, as_shares, atol=1e-4)


@pytest.mark.parametrize("shape", [(30, 80), (80, 30)])
def test_more_features_than_samples_are_decomposed_alike(shape):
    values = ridge.standardised(np.random.default_rng(0).normal(size=shape))
    z, spread = ridge._decomposed(values)
    np.testing.assert_allclose(z @ z.T, values @ values.T, atol=1e-3)
    np.testing.assert_allclose((z.astype(float) ** 2).mean(0), spread, atol=1e-4)


def test_constant_features_say_nothing():
    values = np.stack([np.full(20, 7.3), np.arange(20.0)], axis=1)
    scaled = ridge.standardised(values)
    assert (scaled[:, 0] == 0).all()
    assert scaled[:, 1].std() == pytest.approx(1)


def test_wide_features_are_projected(monkeypatch, clouds):
    monkeypatch.setattr(ridge, "WIDEST", 8)
    values, given = clouds
    assert ridge._decomposed(values)[0].shape[1] == 12
    fit = ridge.left_out(values, given, CLASSES)
    assert fit.z.shape[1] in (8, ridge.WAVES)


@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_even_noise_is_counted_and_found(clouds, rate):
    values, true = clouds
    given = evenly(true, rate, CLASSES)
    wrong = given != true
    found = features.judge_features(from_arrays(values, given))
    assert found.noise_rate.estimate == pytest.approx(wrong.mean(), abs=0.03)
    assert found.noise_rate.low <= wrong.mean() <= found.noise_rate.high
    assert precision(found, wrong) > 0.85
    issues = found.table["is_label_issue"]
    assert issues.sum() == round(found.noise_rate.estimate * len(wrong))
    assert (found.table.loc[~issues, "predicted_label"] == found.table.loc[~issues, "given_label"]).all()


def test_a_partner_each_is_found_class_by_class(clouds):
    values, true = clouds
    values = values[:, :4]
    given = to_partner(true, 0.3)
    wrong = given != true
    found = features.judge_features(from_arrays(values, given))
    by_margin = average_precision_score(
        wrong, -features._verdicts(ridge.left_out(values, given, CLASSES), given).margin
    )
    assert found.noise_rate.estimate == pytest.approx(wrong.mean(), abs=0.04)
    assert precision(found, wrong) > by_margin + 0.02  # chance is .3


def test_nothing_wrong_is_called_clean():
    images, true = load_digits(return_X_y=True)
    found = features.judge_features(from_arrays(images, true, kind="embeddings"))
    assert found.noise_rate.estimate < 0.005
    assert found.noise_rate.low == 0
    assert not any("anything from" in line for line in found.lines())


def test_weak_features_say_the_range(clouds):
    values, true = clouds
    given = evenly(true, 0.2, CLASSES)
    weak = values[:, :2]
    found = features.judge_features(from_arrays(weak, given))
    assert found.noise_rate.low <= (given != true).mean() <= found.noise_rate.high
    assert any("anything from" in line for line in found.lines())


def test_the_model_by_class_counts_where_it_is_worth_its_numbers():
    draws = np.random.default_rng(2)
    true = draws.integers(CLASSES, size=4000)
    log_p = log_softmax(3 * np.eye(CLASSES)[true] + draws.normal(size=(4000, CLASSES)), axis=1)
    assert transition.estimate(log_p, evenly(true, 0.2, CLASSES)).transition is None
    partner = transition.estimate(log_p, to_partner(true, 0.2))
    np.testing.assert_allclose(partner.transition, 0.8 * np.eye(4) + 0.2 * np.eye(4)[[1, 0, 3, 2]], atol=0.04)
    assert partner.rate == pytest.approx(0.2, abs=0.03)


def test_classes_with_more_pairs_than_labels_are_alike():
    draws = np.random.default_rng(0)
    given = np.arange(60) % 20
    assert transition.estimate(log_softmax(draws.normal(size=(60, 20)), axis=1), given).transition is None


def test_the_same_seed_gives_the_same_table(clouds):
    values, true = clouds
    some = from_arrays(values, evenly(true, 0.2, CLASSES))
    first, second = (features.judge_features(some).table for _ in range(2))
    assert first.equals(second)


def test_in_chunks_or_at_once(monkeypatch, clouds):
    values, true = clouds
    some = from_arrays(values, to_partner(true, 0.3))
    whole = features.judge_features(some).table
    monkeypatch.setattr(ridge, "CHUNK", 8 * CLASSES * 100)
    parts = features.judge_features(some).table
    np.testing.assert_allclose(whole["own_probability"], parts["own_probability"], rtol=1e-3, atol=1e-6)
