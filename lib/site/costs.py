"""The page "What it costs": hours of what was recorded, and how an epoch's cost grows."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..paths import RECORDS, ROOT
from ..records import Store
from ..words import count
from .render import rendered

MARK = "<!-- costs -->"
FILE = ROOT / "book" / "costs.json"  # `python -m tests.benchmarks.costs` writes it
WHAT = {"images": "training images", "width": "neurons a layer", "classes": "classes", "seeds": "seeds"}
KINDS = {
    "": "trainings",
    "angles": "angles before the first step",
    "angles in training": "angles in training",
    "circle": "angles of model derivatives",
    "pairs": "angles of pairs",
    "batches": "gradients of batches",
    "batches in training": "gradients of batches in training",
    "identities": "identities of the theory",
    "kernel": "kernel machines",
    "balanced kernel": "kernel machines, balanced classes",
    "scan": "mixed gradients, over λ",
    "path": "mixed gradients, led along λ",
    "selective": "a penalty on one boundary",
    "renamed": "the same with other digits",
    "suspects": "the finder and its rivals",
    "stopping": "rules of when to stop",
    "published": "data sets as published",
    "human training": "networks on labels that people gave",
    "human finders": "who finds people's wrong labels",
    "earlier": "an earlier notebook's ResNet",
}


def page(folder: Path = RECORDS, file: Path = FILE) -> str:
    """Tables as MyST: what is recorded by kind and data set, and the costs that were measured at several sizes."""
    told = json.loads(file.read_text(encoding="utf-8"))
    groups: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for one in told["costs"]:
        groups[one["network"], one["varied"]].append(one)
    growth = [
        (network, WHAT[varied], some, exponent(some, "training"), exponent(some, "observing"))
        for (network, varied), some in groups.items()
    ]
    recorded = spent(folder)
    hours = sum(row[-1] for row in recorded)
    return rendered(
        "costs.md.j2", recorded=recorded, hours=hours, growth=growth, device=told["device"], date=told["date"]
    )  # fmt: skip


def spent(folder: Path) -> list[tuple[str, str, str, float]]:
    """Of each kind of run and data set: how many are recorded, and their hours; the longest first."""
    store = Store(folder)
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    for path in store.paths():
        run = store.run(path)
        data = getattr(run.experiment, "data", None)
        kind = KINDS.get(run.experiment.kind, run.experiment.kind)
        seconds[kind, getattr(data, "name", "none")].append(run.provenance["seconds"])
    rows = [(kind, data, count(len(some), "run"), sum(some) / 3600) for (kind, data), some in seconds.items()]
    return sorted(rows, key=lambda row: -row[-1])


def exponent(some: Sequence[dict], what: str) -> float:
    """Slope of a cost over a size, both as logarithms: 1 if the cost doubles when the size does."""
    sizes, costs = np.log([one["size"] for one in some]), np.log([one[what] for one in some])
    return float(np.polyfit(sizes, costs, 1)[0])
