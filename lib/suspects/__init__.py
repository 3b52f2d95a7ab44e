"""Which labels are wrong: the mechanism of the paper as a tool.

In a few lines::

    from clean_priority.suspects import from_folder, judge, write_gallery  # in the book: lib.suspects
    samples = from_folder("photographs/")  # a folder a class; from_arrays for images, embeddings and labels
    found = judge(samples)  # one training, as a Recipe says; with model=, of a network of one's own
    found = judge_features(samples)  # of embeddings: no training, each sample asked for by all others
    print(*found.lines())  # how many labels are wrong, and which classes are taken for which
    found.table.sort_values("label_quality").head(20)  # a row a sample, the most suspicious first
    write_gallery(found.table, samples, "suspects.html", summary=found.lines())  # a page to look at and mark in

With what others have: ``find_label_issues(labels, pred_probs)`` by a model's own probabilities, ``from_table(frame)``
for columns that describe samples, ``LabelQuality().fit(X, y)`` in a pipeline of scikit-learn, and ``consensus(labels)``
where several annotators gave them. ``cleaned_labels(table, decisions)`` puts what was marked in the gallery in place.
"""

# ruff: noqa: F401 - what `__getattr__` imports is looked up by its name

from typing import Any

__all__ = [
    "LabelQuality",
    "Labelled",
    "Recipe",
    "Suspects",
    "cleaned_labels",
    "consensus",
    "find_label_issues",
    "find_suspects",
    "from_arrays",
    "from_csv",
    "from_dataset",
    "from_folder",
    "from_table",
    "judge",
    "judge_features",
    "judge_probabilities",
    "read_samples",
    "write_gallery",
]


def __getattr__(name: str) -> Any:
    """The public names, imported when the first is asked for: who imports one module of the package loads no other."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .annotators import consensus
    from .cleaned import cleaned_labels
    from .columns import from_table
    from .command import find_suspects
    from .early_stop import Recipe
    from .estimator import LabelQuality
    from .features import judge_features
    from .gallery import write_gallery
    from .judgement import judge
    from .probabilities import find_label_issues, judge_probabilities
    from .read import Labelled, from_arrays, from_csv, from_dataset, from_folder
    from .report import Suspects
    from .sources import read_samples

    found = locals()
    globals().update({one: found[one] for one in __all__})
    return found[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
