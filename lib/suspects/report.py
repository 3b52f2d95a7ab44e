"""What was found about a data set's labels: a table, the noise, and both in sentences and files."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..files import atomic
from ..words import count
from .classes import RARE, called

NO_NUMBERS = True  # what was found, in words and files
LITTLE = 0.03  # a noise rate below which the summary says that little is wrong …
LITTLE_AT_MOST = 0.1  # … if it is surely below this one
MATRIX = 200  # classes whose transition matrix is written whole
FLOW = ("class", "label", "share", "low", "high")
WEAK = 0.1  # so much larger a share of suspects among labels held out: the network knows too little of new samples


@dataclass(frozen=True)
class Interval:
    """An estimate between two bounds."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Suspects:
    """One row a sample, and what the whole says of the noise.

    ``table``, indexed as the samples are: ``given_label``, ``predicted_label``
    (the label to put in its place, or the given one where nothing speaks
    against it), ``label_quality`` (0 the most suspicious to 1, ranks),
    ``probability_wrong``, ``is_label_issue`` (of the lowest quality, as many as are estimated to be wrong),
    the signals ``own_probability``, ``log_odds``, ``margin``, ``mean_margin``, ``unseen_margin``,
    ``agreement``, and ``held_out``, ``conflict`` (an identical input has another label).

    ``noise_rate``: share of wrong labels. ``transition`` [classes, classes]:
    probability that a sample of the row's class was given the column's label,
    with ``transition_low`` and ``transition_high``. ``cost``: seconds and epochs.
    ``contradicted``: the share that was counted, where the labels held out say that fewer are wrong
    and ``noise_rate`` is the most likely one of theirs (`lib.suspects.rate`). ``remarks``: more sentences on the noise.
    """

    table: pd.DataFrame
    noise_rate: Interval
    transition: np.ndarray
    transition_low: np.ndarray
    transition_high: np.ndarray
    class_names: tuple[str, ...]
    notes: tuple[str, ...]
    history: list[dict[str, float]]
    cost: dict[str, float]
    contradicted: float | None = None
    remarks: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The whole in sentences."""
        n, suspected = len(self.table), int(self.table["is_label_issue"].sum())
        rate = self.noise_rate
        lines = [
            f"{n} samples of {len(self.class_names)} classes; about {rate.estimate:.1%} of the labels are wrong "
            f"({rate.low:.1%} to {rate.high:.1%}): {count(suspected, 'suspect')}."
        ]
        if rate.estimate < LITTLE and rate.high < LITTLE_AT_MOST:
            lines[0] += " Little is wrong."
        if self.contradicted is not None:
            lines.append(
                f"The network contradicts {self.contradicted:.1%} of the labels, but those held out say that fewer "
                "are wrong: the noise rate is theirs, the most likely one if wrong labels may be any class, whatever "
                "the sample, and the network is unsure where it errs."
            )
        lines += self.remarks
        if weak := self._weakness():
            lines.append(weak)
        believed = self.table["predicted_label"].value_counts()
        least = 1.5 * max(rate.estimate, 0.01) / max(1, len(self.class_names) - 1)
        certain = [flow for flow in self.flows() if flow[3] > least and believed.get(flow[0], 0) >= RARE]
        for row, column, share, low, high in certain[:3]:
            lines.append(f"{share:.1%} of class {row} were labelled {column} ({low:.1%} to {high:.1%}).")
        if "epochs" not in self.cost:  # nothing was trained
            return lines
        lines.append(
            f"One training of {count(int(self.cost['epochs']), 'epoch')}, stopped at {self.cost['stop_epoch']:.0f}, "
            f"{self.cost['train_seconds']:.1f} s; signals {self.cost['signal_seconds']:.1f} s."
        )
        return lines

    def flows(self) -> list[tuple[str, str, float, float, float]]:
        """Which classes were given which other label: class, label, share of the class, its bounds; largest first."""
        rows, columns = np.nonzero(self.transition)
        other = rows != columns
        rows, columns = rows[other], columns[other]
        order = np.argsort(-self.transition[rows, columns], kind="stable")
        places = zip(rows[order].tolist(), columns[order].tolist(), strict=True)
        matrices = self.transition, self.transition_low, self.transition_high
        return [(self.class_names[r], self.class_names[c], *(float(m[r, c]) for m in matrices)) for r, c in places]

    def _weakness(self) -> str:
        """A warning where many more labels are suspects among those that the network was not trained on.

        Wrong labels are as frequent among the ones as among the others; what
        the held-out ones have more is the network's own error. Below `WEAK`,
        or three standard errors, nothing is said.
        """
        held = self.table["held_out"].to_numpy(dtype=bool)
        issue = self.table["is_label_issue"].to_numpy(dtype=bool)
        if held.all() or not held.any():
            return ""
        seen, unseen = issue[~held].mean(), issue[held].mean()
        error = np.sqrt(issue.mean() * (1 - issue.mean()) * (1 / held.sum() + 1 / (~held).sum()))
        if unseen - seen <= max(WEAK, 3 * error):
            return ""
        return (
            f"The network is weak: of the labels held out it suspects {unseen:.1%}, of those it was trained on "
            f"{seen:.1%}. Many suspects are merely beyond it; "
            "take the ranking as a hint and the noise rate as uncertain."
        )

    def noise(self) -> dict:
        """Noise rate, transition matrix and cost, fit for JSON; `flows` in place of the matrix of many classes."""
        rate = self.noise_rate
        if len(self.class_names) > MATRIX:
            noise = {"flows": [dict(zip(FLOW, flow, strict=True)) for flow in self.flows()]}
        else:
            matrices = ("transition", "transition_low", "transition_high")
            noise = {name: getattr(self, name).tolist() for name in matrices}
        return {
            "noise_rate": {"estimate": rate.estimate, "low": rate.low, "high": rate.high},
            "classes": list(self.class_names),
            **noise,
            "contradicted": self.contradicted,
            "cost": self.cost,
            "notes": list(self.notes),
        }

    def save(self, folder: Path) -> None:
        """Write ``suspects.csv``, the most suspicious first, and ``noise.json``; each is whole or not there."""
        with atomic(Path(folder) / "suspects.csv") as part:
            table = self.table.sort_values("label_quality", kind="stable")
            if table.index.nlevels > 1:  # one name fits one field
                table = table.set_axis([called(name) for name in table.index])
            table.to_csv(part, index_label="index", encoding="utf-8")
        with atomic(Path(folder) / "noise.json") as part:
            part.write_text(json.dumps(self.noise(), indent=1), encoding="utf-8")
