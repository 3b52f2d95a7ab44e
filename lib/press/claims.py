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

from ..words import count
from .rule import Part, verdict
from .show import CLAIM as METADATA
from .show import show

MANY = 6  # parts of a claim, of which those that hold are only counted
VERDICTS = {"holds": "✔", "partly": "◐", "undecided": "○", "does not hold": "✘"}


@dataclass(frozen=True)
class Claim:
    """One checked claim.

    ``measured`` maps a name to one value a seed. ``parts`` are the claim's
    statements by name, each judged by the one rule (`lib.press.rule`); the
    verdict follows from their outcomes.
    """

    id: str  # unique in the book
    chapter: str
    profile: str
    says: str  # what the paper says, in our words
    source: str  # where it says so: section, equation, figure
    figure: str  # name of the figure that shows it
    measured: dict[str, list[float]]
    parts: dict[str, Part]
    seeds: int
    live: bool
    each: str = "seed"  # what a value stands for, where it is not one seed

    @property
    def verdict(self) -> str:
        """ "holds", "partly", "undecided" or "does not hold"."""
        return verdict([part.outcome for part in self.parts.values()])

    @property
    def sign(self) -> str:
        """Verdict with a mark that needs no colour."""
        return f"{VERDICTS[self.verdict]} {self.verdict}"

    @property
    def passed(self) -> str:
        """How many of its parts hold."""
        outcomes = [part.outcome for part in self.parts.values()]
        return f"{outcomes.count('holds')} of {count(len(outcomes), 'part')}"

    def values(self) -> str:
        """The measured values with their spread over seeds."""
        return "; ".join(f"{name} {spread(values)}" for name, values in self.measured.items())

    def judged(self) -> str:
        """Each part with the mean of its effect, its interval, and whether it holds; of many, those that do not."""
        told = self.parts
        if len(told) > MANY:
            told = {name: part for name, part in told.items() if part.outcome != "holds"}
        rest = len(self.parts) - len(told)
        said = [_judged(name, part) for name, part in told.items()]
        return "; ".join(
            [*said, *([f"{'the other ' if said else 'all '}{count(rest, 'part')} {VERDICTS['holds']}"] * (rest > 0))]
        )


def _judged(name: str, part: Part) -> str:
    if part.interval is None:
        found = number(max(part.effect)) if part.by == "always" else number(part.mean)
    else:
        found = f"{number(part.mean)} [{number(part.interval[0])}, {number(part.interval[1])}]"
    return f"{name}: {part.says} {found} {VERDICTS[part.outcome]}"


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
        figure: str,
        measured: Mapping[str, Sequence[float]],
        parts: Mapping[str, Part],
        each: str = "seed",
    ) -> None:
        """Judge a claim and show it; ``each`` names what a value stands for, where that is not one seed.

        ``parts``: what the claim states, each judged by a function of
        `lib.press.rule`. ValueError if the seeds of the values and of the
        parts do not match, or the id was used before.
        """
        lengths = {len(values) for values in [*measured.values(), *(part.effect for part in parts.values())]}
        if len(lengths) != 1 or 0 in lengths or not parts:
            raise ValueError(f"claim {id!r}: every value and every part needs one entry a seed, got {sorted(lengths)}")
        if any(claim.id == id for claim in self.claims):
            raise ValueError(f"claim {id!r} was checked before in this chapter")
        claim = Claim(
            id=id,
            chapter=self.chapter,
            profile=self.profile,
            says=says,
            source=source,
            figure=figure,
            measured={name: [float(value) for value in values] for name, values in measured.items()},
            parts=dict(parts),
            seeds=lengths.pop(),
            live=self.live,
            each=each,
        )
        self.claims.append(claim)
        # as pairs: a notebook's JSON is written with sorted keys, and the order of the values is meant
        told = asdict(claim)
        travelling = told | {name: list(told[name].items()) for name in ("measured", "parts")}
        show({"text/html": as_html(claim), "text/plain": as_text(claim)}, {METADATA: travelling})


def as_text(claim: Claim) -> str:
    """The claim for a terminal."""
    return (
        f"{claim.sign} ({claim.passed}): {claim.says} [{claim.source}]\n"
        f"  measured over {count(claim.seeds, claim.each)}: {claim.values()}\n  judged: {claim.judged()}"
    )


def as_html(claim: Claim) -> str:
    """A card that needs no style sheet: it must also read well in Colab."""
    kind = claim.verdict.replace(" ", "-")
    return (
        f'<div class="claim claim-{kind}" style="border-left:4px solid;padding:.2em .8em;margin:.6em 0">'
        f"<strong>{claim.sign}</strong> ({claim.passed}) · {html.escape(claim.source)}<br>"
        f"{html.escape(claim.says)}<br>"
        f"<small>Measured over {count(claim.seeds, claim.each)}, mean [least, most]: {html.escape(claim.values())}. "
        f"Judged, mean [95 % interval]: {html.escape(claim.judged())}.</small></div>"
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
                parts = {  # an infinite number travels as text
                    name: Part(**part | {"edges": tuple(part["edges"]), "effect": [*map(float, part["effect"])]})
                    for name, part in claim["parts"]
                }
                measured = {name: [*map(float, values)] for name, values in dict(claim["measured"]).items()}
                found.append(Claim(**claim | {"measured": measured, "parts": parts}))
    return found
