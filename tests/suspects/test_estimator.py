"""The finder as an estimator of scikit-learn."""

import doctest

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lib.suspects import LabelQuality, estimator, from_arrays, judge, judge_features
from lib.suspects.early_stop import Recipe

DRAWS = np.random.default_rng(0)
TRUE = np.arange(240) % 3
X = (DRAWS.normal(size=(240, 6)) + 3 * np.eye(3, 6)[TRUE]).astype(np.float32)
WRONG = DRAWS.random(240) < 0.1
GIVEN = np.where(WRONG, (TRUE + 1) % 3, TRUE)
QUICK = LabelQuality(epochs=8, device="cpu", seed=3)


def test_it_says_what_the_function_says():
    found = clone(QUICK).fit(X, GIVEN)
    table = judge(from_arrays(X, GIVEN), Recipe(epochs=8, device="cpu", seed=3), progress=False).table
    for name in ("label_quality", "probability_wrong", "is_label_issue"):
        assert np.array_equal(getattr(found, f"{name}_"), table[name])
    assert found.suggested_label_.tolist() == table["predicted_label"].astype(int).tolist()
    assert found.noise_rate_ == found.suspects_.noise_rate.estimate
    assert found.classes_.tolist() == [0, 1, 2]
    assert found.n_features_in_ == 6
    assert WRONG[np.argsort(found.label_quality_)[:10]].mean() > 0.8


def test_embeddings_are_judged_without_a_training_unless_one_is_asked_for():
    found = LabelQuality(seed=2).fit(X, GIVEN)
    table = judge_features(from_arrays(X, GIVEN), 2).table
    assert np.array_equal(found.label_quality_, table["label_quality"])
    assert found.suspects_.history == []
    assert LabelQuality(epochs=1, device="cpu").fit(X, GIVEN).suspects_.history
    assert LabelQuality(epochs=1, device="cpu").fit(X.reshape(240, 2, 3), GIVEN).suspects_.history


@pytest.mark.parametrize("names", [np.array(["b", "a", "c"]), np.array([10, 9, -1]), np.array([True, False, True])])
def test_it_is_the_last_step_of_a_pipeline_and_keeps_the_kind_of_labels(names):
    y = names[GIVEN]
    found = make_pipeline(StandardScaler(), clone(QUICK)).fit(X, y)[-1]
    assert found.suggested_label_.dtype == y.dtype
    assert set(found.suggested_label_) <= set(y)
    assert np.array_equal(found.suggested_label_[~found.is_label_issue_], y[~found.is_label_issue_])
    assert set(found.classes_) == set(y)


def test_sparse_matrices_and_parameters():
    small = QUICK.set_params(epochs=1)
    assert np.array_equal(small.fit(csr_matrix(X), GIVEN).label_quality_, small.fit(X, GIVEN).label_quality_)
    assert set(QUICK.get_params()) == {"network", "epochs", "held_out", "layers", "seed", "device"}
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        LabelQuality(epochs=0).fit(X, GIVEN)


def test_the_docstrings_example_runs():
    assert doctest.testmod(estimator).failed == 0
