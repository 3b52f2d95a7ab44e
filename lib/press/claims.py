"""What the paper says, what was measured, and the verdict.

A notebook checks its claims through a `Ledger`; each check is shown where it
is made and travels in the output's metadata, from where `gather` collects it
for the ledger page.
"""

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..words import count, passed
from .show import CLAIM as METADATA
from .show import show

VERDICTS = {"holds": "✔", "partly": "◐", "does not hold": "✘"}


@dataclass(frozen=True)
class Claim:
    """One checked claim.

    ``measured`` maps a name to one value a seed. ``passes`` has one entry a
    seed and part of the claim: the verdict is "holds" if all are true, "does
    not hold" if none is, "partly" otherwise.
    """

    id: str  # unique in the book
    chapter: str
    profile: str
    says: str  # what the paper says, in our words
    source: str  # where it says so: section, equation, figure
    criterion: str  # when we call it true
    figure: str  # name of the figure that shows it
    measured: dict[str, list[float]]
    passes: list[bool]
    seeds: int
    live: bool
    each: str = "seed"  # what a value stands for, where it is not one seed

    @property
    def verdict(self) -> str:
        """ "holds", "partly" or "does not hold"."""
        if all(self.passes):
            return "holds"
        return "partly" if any(self.passes) else "does not hold"

    @property
    def sign(self) -> str:
        """Verdict with a mark that needs no colour."""
        return f"{VERDICTS[self.verdict]} {self.verdict}"

    @property
    def passed(self) -> str:
        """How many of the checks came out true."""
        return passed(self.passes)

    def values(self) -> str:
        """The measured values with their spread over seeds."""
        return "; ".join(f"{name} {spread(values)}" for name, values in self.measured.items())


def spread(values: Iterable[float]) -> str:
    """Mean and range over seeds, to three digits."""
    values = np.asarray(list(values), dtype=float)
    if values.min() == values.max():
        return number(values.mean())
    return f"{number(values.mean())} [{number(values.min())}, {number(values.max())}]"


def number(value: float) -> str:
    """Three significant digits, never in exponent form for everyday sizes."""
    if value == 0 or not np.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - int(np.floor(np.log10(abs(value)))))
    return f"{value:.{digits}f}" if digits <= 6 else f"{value:.2g}"


class Ledger:
    """Checks and shows the claims of one chapter at one profile."""

    def __init__(self, chapter: str, profile: str, *, live: bool) -> None:
        self.chapter, self.profile, self.live = chapter, profile, live
        self.claims: list[Claim] = []

    def check(
        self,
        id: str,
        *,
        says: str,
        source: str,
        criterion: str,
        figure: str,
        measured: Mapping[str, Sequence[float]],
        passes: Sequence[bool] | Mapping[str, Sequence[bool]],
        each: str = "seed",
    ) -> None:
        """Judge a claim and show it; ``each`` names what a value stands for, where that is not one seed.

        ``passes``: one truth value a seed, or for a claim of several parts one
        such sequence for each part. ValueError if the seeds of the values and
        of the verdicts do not match, or the id was used before.
        """
        parts = list(passes.values()) if isinstance(passes, Mapping) else [passes]
        lengths = {len(values) for values in [*measured.values(), *parts]}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(
                f"claim {id!r}: every value and every verdict needs one entry a seed, got {sorted(lengths)}"
            )
        if any(claim.id == id for claim in self.claims):
            raise ValueError(f"claim {id!r} was checked before in this chapter")
        claim = Claim(
            id=id,
            chapter=self.chapter,
            profile=self.profile,
            says=says,
            source=source,
            criterion=criterion,
            figure=figure,
            measured={name: [float(value) for value in values] for name, values in measured.items()},
            passes=[bool(passed) for part in parts for passed in part],
            seeds=lengths.pop(),
            live=self.live,
            each=each,
        )
        self.claims.append(claim)
        # as pairs: a notebook's JSON is written with sorted keys, and the order of the values is meant
        travelling = asdict(claim) | {"measured": list(claim.measured.items())}
        show({"text/html": as_html(claim), "text/plain": as_text(claim)}, {METADATA: travelling})


def as_text(claim: Claim) -> str:
    """The claim for a terminal."""
    return (
        f"{claim.sign} ({claim.passed}): {claim.says} [{claim.source}]\n"
        f"  measured over {count(claim.seeds, claim.each)}: {claim.values()}\n  counted as true: {claim.criterion}"
    )


def as_html(claim: Claim) -> str:
    """A card that needs no style sheet: it must also read well in Colab."""
    kind = claim.verdict.replace(" ", "-")
    return (
        f'<div class="claim claim-{kind}" style="border-left:4px solid;padding:.2em .8em;margin:.6em 0">'
        f"<strong>{claim.sign}</strong> ({claim.passed}) · {html.escape(claim.source)}<br>"
        f"{html.escape(claim.says)}<br>"
        f"<small>Measured over {count(claim.seeds, claim.each)}, mean [least, most]: {html.escape(claim.values())}. "
        f"Counted as true: {html.escape(claim.criterion)}.</small></div>"
    )


def gather(notebooks: Iterable[Path]) -> list[Claim]:
    """The claims in the outputs of executed notebooks, in their order."""
    return [claim for path in notebooks for claim in claims_of(json.loads(Path(path).read_text(encoding="utf-8")))]


def claims_of(notebook: dict[str, Any]) -> list[Claim]:
    """The claims in one executed notebook, given as its JSON."""
    found = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if METADATA in output.get("metadata", {}):
                claim = output["metadata"][METADATA]
                found.append(Claim(**claim | {"measured": dict(claim["measured"])}))
    return found
