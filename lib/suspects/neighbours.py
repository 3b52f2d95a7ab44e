"""What else may be wrong with a data set, by features: near duplicates, samples far from all, overlapping classes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from .ridge import standardised

NEIGHBOURS = 10
WIDTH = 64  # principal components in which neighbours are looked for
NEAR = 0.1  # of the typical distance to the nearest neighbour: nearer, and two samples are near duplicates
FAR = 3.0  # interquartile ranges above the upper quartile (Tukey's "far out")
MOST = 200_000  # samples among which all pairs are compared
OVERLAP = 0.1  # of a class's neighbours that are of another one: less is not told
TOLD = 3  # pairs of classes


@dataclass(frozen=True)
class Neighbourhood:
    """``columns``: ``near_duplicate``, the name of the nearest sample where it is hardly another one, else empty;
    ``near_conflict``, whether that one has another label; ``outlier``, whether a sample is far from all others.
    ``overlaps``: class, other class, share of the first one's neighbours that are of the second; largest first.
    """

    columns: pd.DataFrame
    overlaps: list[tuple[str, str, float]]

    def lines(self) -> list[str]:
        """In sentences; none where nothing was found."""
        near, conflicts, outliers = (
            int((self.columns[name] != empty).sum())
            for name, empty in (("near_duplicate", ""), ("near_conflict", False), ("outlier", False))
        )
        lines = []
        if near:
            lines.append(f"{near} samples have a near duplicate, {conflicts} of them with another label.")
        if outliers:
            lines.append(f"{outliers} samples are far from all others: they may belong to none of the classes.")
        told = [f"{a} and {b} ({share:.0%} of the neighbours of {a})" for a, b, share in self.overlaps[:TOLD]]
        if told:
            lines.append(f"Classes that overlap: {', '.join(told)}.")
        return lines


def neighbourhood(features: np.ndarray, given: np.ndarray, names: tuple[str, ...], index: pd.Index) -> Neighbourhood:
    """Look at the nearest neighbours of each sample, on standardised features [n, d] and their main components.

    Nothing is looked at among more than `MOST` samples. Exact copies are near duplicates too.
    """
    n = len(given)
    empty = pd.DataFrame({"near_duplicate": "", "near_conflict": False, "outlier": False}, index=index)
    if not NEIGHBOURS < n <= MOST:
        return Neighbourhood(empty, [])
    values = standardised(features)
    if min(values.shape) > WIDTH:
        values = PCA(WIDTH, svd_solver="randomized", random_state=0).fit_transform(values)
    distances, near = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(values).kneighbors()  # of others than itself
    # where most samples have an exact copy the typical distance is that of the rest
    apart = distances[:, 0][distances[:, 0] > 0]
    close = distances[:, 0] <= NEAR * (np.median(apart) if len(apart) else 0.0)
    twin = near[:, 0]
    mean = distances.mean(1)
    low, high = np.quantile(mean, (0.25, 0.75))
    called = index.map(str).to_numpy(dtype=object)
    columns = pd.DataFrame(
        {
            "near_duplicate": np.where(close, called[twin], ""),
            "near_conflict": close & (given != given[twin]),
            "outlier": mean > high + FAR * (high - low),
        },
        index=index,
    )
    return Neighbourhood(columns, _overlaps(given, near, names))


def _overlaps(given: np.ndarray, near: np.ndarray, names: tuple[str, ...]) -> list[tuple[str, str, float]]:
    """Of each class that occurs, the other class that most of its neighbours have, where it is `OVERLAP` or more."""
    found = []
    for c in np.unique(given):
        counts = np.bincount(given[near[given == c]].ravel(), minlength=len(names)).astype(float)
        share = counts / counts.sum()
        share[c] = 0
        other = int(share.argmax())
        if share[other] >= OVERLAP:
            found.append((names[c], names[other], float(share[other])))
    return sorted(found, key=lambda one: -one[2])
