"""The finder as scikit-learn's users call it: an estimator with ``fit``, the last step of a pipeline."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.base import BaseEstimator

from .early_stop import Recipe
from .features import asks_for_training, judge_features
from .judgement import judge
from .read import from_arrays
from .tangents import TAIL


class LabelQuality(BaseEstimator):
    """How good each label is.

    Embeddings are judged by regression, each sample left out (`judge_features`); images, and embeddings where one of
    ``network``, ``epochs``, ``held_out`` and ``layers`` asks for it, by one training that stops by itself (`judge`).
    Parameters are those of `Recipe`, and ``layers`` that of `judge`.

    After ``fit(X, y)``: ``label_quality_`` [n], from 0 for the most suspicious label to 1, ``probability_wrong_`` [n],
    ``is_label_issue_`` bool [n], ``suggested_label_`` [n], the given one where it is no issue, ``noise_rate_``, the
    estimated share of wrong labels, ``classes_``, and ``suspects_``, the `Suspects` with table, transition matrix and
    sentences.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> found = make_pipeline(StandardScaler(), LabelQuality()).fit(*load_iris(return_X_y=True))[-1]
    >>> found.label_quality_.shape
    (150,)
    """

    def __init__(
        self,
        network: str = Recipe.network,
        epochs: int = Recipe.epochs,
        held_out: float = Recipe.held_out,
        layers: int = TAIL,
        seed: int = Recipe.seed,
        device: str = Recipe.device,
    ) -> None:
        self.network = network
        self.epochs = epochs
        self.held_out = held_out
        self.layers = layers
        self.seed = seed
        self.device = device

    def fit(self, X: Any, y: Any) -> "LabelQuality":
        """Judge the labels ``y`` of ``X``, embeddings or images as `from_arrays` takes them, or a sparse matrix."""
        settings = self.get_params()
        layers = settings.pop("layers")
        recipe = Recipe(**settings)
        recipe.validate()
        labelled = from_arrays(X.toarray() if issparse(X) else X, y)
        if labelled.embedded and not asks_for_training(recipe, layers):
            self.suspects_ = judge_features(labelled, self.seed)
        else:
            self.suspects_ = judge(labelled, recipe, layers=layers, progress=False)
        table = self.suspects_.table
        first = np.unique(labelled.labels.numpy(), return_index=True)[1]  # every class occurs
        self.classes_ = np.ravel(np.asarray(y))[first]
        self.n_features_in_ = int(np.prod(labelled.inputs.shape[1:]))
        self.label_quality_ = table["label_quality"].to_numpy()
        self.probability_wrong_ = table["probability_wrong"].to_numpy()
        self.is_label_issue_ = table["is_label_issue"].to_numpy()
        numbers = pd.Index(labelled.class_names).get_indexer(table["predicted_label"])
        self.suggested_label_ = self.classes_[numbers]
        self.noise_rate_ = self.suspects_.noise_rate.estimate
        return self
