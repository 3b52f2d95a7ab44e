"""The page "What it costs": hours of what was recorded, and how an epoch's cost grows."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

from ..experiments import Experiment
from ..observe import ObserveConfig
from ..paths import RECORDS, ROOT
from ..records import Store
from ..runs import Run
from ..words import count
from .render import rendered

MARK = "<!-- costs -->"
FILE = ROOT / "book" / "costs.json"  # `python -m tests.benchmarks.costs` writes it
CARD = ROOT / "book" / "card.json"  # `python -m tests.cuda publish` writes it
WHAT = {"images": "training images", "width": "neurons a layer", "classes": "classes", "seeds": "seeds"}
KINDS = {
    "": "trainings",
    "early gradients": "trainings, gradients mostly of the early epochs",
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
    "long selective": "the same on all images",
    "renamed": "the same with other digits",
    "suspects": "the finder and its rivals",
    "stopping": "rules of when to stop",
    "published": "data sets as published",
    "human training": "networks on labels that people gave",
    "human finders": "who finds people's wrong labels",
    "human margins": "AUM on labels that people gave",
    "human correction": "training again on corrected labels",
    "earlier": "an earlier notebook's ResNet",
}


def page(folder: Path = RECORDS, file: Path = FILE, card: Path = CARD) -> str:
    """Tables as MyST: what is recorded, the costs that were measured at several sizes, and what a card does."""
    told = json.loads(file.read_text(encoding="utf-8"))
    groups: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for one in told["costs"]:
        groups[one["network"], one["varied"]].append(one)
    growth = [
        (network, WHAT[varied], some, exponent(some, "training"), exponent(some, "observing"))
        for (network, varied), some in groups.items()
    ]
    recorded = spent(folder)
    hours = {on: sum(row[-1] for row in recorded if row[2] == on) for on in dict.fromkeys(row[2] for row in recorded)}
    return rendered(
        "costs.md.j2", recorded=recorded, hours=hours, growth=growth, device=told["device"], date=told["date"],
        card=on_card(json.loads(card.read_text(encoding="utf-8"))), beside=beside(folder),
    )  # fmt: skip


def on_card(told: dict) -> dict:
    """What the page says of a card: its rates, the speed of each way of training, and how right its numbers are."""
    speeds = [
        {"what": name} | one for name, one in told["rates"].items() if "goal" in one and "ratio" not in one
    ]  # fmt: skip
    together = [{"what": name} | one for name, one in told["rates"].items() if "ratio" in one]
    right = [{"what": name} | one for name, one in told["correct"].items() if "relative error" in one]
    claims = [{"what": name} | one for name, one in told["correct"].items() if "verdicts" in one]
    return {
        "device": told["device"], "date": told["date"], "rates": told["rates"]["card"], "speeds": speeds,
        "together": together, "right": right, "claims": claims,
    }  # fmt: skip


def beside(folder: Path = RECORDS) -> list[tuple[str, int, float, str, int, float]]:
    """Trainings that differ by nothing but their seed, on a processor's core and on a card: runs, median seconds."""
    store = Store(folder)
    took: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for _, run in store.runs():
        if run.experiment.kind == "":
            alike = replace(run.experiment, seed=0, observe=ObserveConfig())
            took[name_of(alike), alike.key][place(run)].append(run.provenance["seconds"])
    return [
        (what, len(some["a core"]), median(some["a core"]), on, len(some[on]), median(some[on]))
        for (what, _), some in took.items()
        for on in some
        if on != "a core" and "a core" in some
    ]


def name_of(one: Experiment) -> str:
    """A training in a few words."""
    widths = " × ".join(map(str, one.model.widths))
    classes = "" if one.data.classes is None else " " + " v ".join(map(str, one.data.classes))
    return f"{one.model.kind.upper()} {widths}, {one.data.name.upper()}{classes}, {one.train.epochs} epochs"


def place(run: Run) -> str:
    """Where a run was made: "a core", or a card's name."""
    device = run.provenance["device"]
    return "a core" if "CPU" in device else device


def spent(folder: Path) -> list[tuple[str, str, str, str, float]]:
    """Of each kind of run, data set and device: how many are recorded, and their hours; the longest first."""
    store = Store(folder)
    seconds: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for _, run in store.runs():
        data = getattr(run.experiment, "data", None)
        kind = KINDS.get(run.experiment.kind, run.experiment.kind)
        seconds[kind, getattr(data, "name", "–"), place(run)].append(run.provenance["seconds"])
    rows = [(*key, count(len(some), "run"), sum(some) / 3600) for key, some in seconds.items()]
    return sorted(rows, key=lambda row: -row[-1])


def exponent(some: Sequence[dict], what: str) -> float:
    """Slope of a cost over a size, both as logarithms: 1 if the cost doubles when the size does."""
    sizes, costs = np.log([one["size"] for one in some]), np.log([one[what] for one in some])
    return float(np.polyfit(sizes, costs, 1)[0])
