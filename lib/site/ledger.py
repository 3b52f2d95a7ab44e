"""The ledger: every claim of the book with its verdicts, as a page, as JSON, and in a few lines for a terminal."""

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..paths import NOTEBOOKS
from ..press.chapters import PROFILES, names
from ..press.claims import VERDICTS, Claim, gather
from ..words import count
from .criteria import differ, on_few_seeds, reasons, title
from .render import rendered

MARK = "<!-- ledger -->"
DOWNLOAD = "claims.json"  # all claims, among the site's static files
OF_THE_PAPER = re.compile(r"§|Figs?\. |Eqs?\. |Prop\. |(Theorem|Lemma|Corollary|Remark|Assumption|Appendix)\b")


@dataclass(frozen=True)
class Row:
    """One claim of the ledger, at all of its profiles; the last of them is the largest."""

    claims: tuple[Claim, ...]
    differing: str = ""  # why its verdicts differ between profiles, where they do
    few: str = ""  # why it rests on few seeds, where it does

    @property
    def claim(self) -> Claim:
        """At the largest profile, which counts."""
        return self.claims[-1]

    @property
    def anchor(self) -> str:
        """In the ledger and in the chapter."""
        return anchor(self.claim)

    @property
    def page(self) -> str:
        """Of the chapter, as seen from the ledger's."""
        return f"../notebooks/{self.claim.chapter}.html"

    @property
    def of_the_paper(self) -> bool:
        """Whether the paper claims it; what it leaves open and what others claim is not its own."""
        return bool(OF_THE_PAPER.match(self.claim.source)) and "left open" not in self.claim.source

    @property
    def differs(self) -> bool:
        """Whether its profiles disagree."""
        return differ(self.claims)


def anchor(claim: Claim) -> str:
    """The name under which a claim is found: ids are a chapter's own, and a dot would not do in a style's selector."""
    return f"claim-{claim.chapter[:2]}-{re.sub(r'[^a-zA-Z0-9-]', '-', claim.id)}"


def all_claims(runs: Path | None = None) -> list[Claim]:
    """Claims of the kept chapters, and of those in ``runs``, which come before what was kept."""
    kept = [NOTEBOOKS / f"{name}.ipynb" for name in names()]
    made = [path for profile in PROFILES for path in sorted(runs.glob(f"{profile}/[0-9][0-9]_*.ipynb"))] if runs else []
    made = [path for path in made if not path.stem.endswith(".failed")]
    claims = {(claim.chapter, claim.id, claim.profile): claim for claim in [*gather(kept), *gather(made)]}
    return list(claims.values())


def kept_profiles(path: Path) -> set[str]:
    """The profiles at which the kept chapter's claims were checked."""
    return {claim.profile for claim in gather([path])}


def rows(claims: Iterable[Claim]) -> list[Row]:
    """The claims by chapter, in a chapter as they were first met."""
    found: dict[tuple[str, str], list[Claim]] = {}
    for claim in claims:
        found.setdefault((claim.chapter, claim.id), []).append(claim)
    told = []
    for _, some in sorted(found.items(), key=lambda one: one[0][0]):
        ordered = tuple(sorted(some, key=lambda claim: PROFILES.index(claim.profile)))
        reason, id = reasons(ordered[-1].chapter), ordered[-1].id
        differing = reason.profiles.get(id, "") if differ(ordered) else ""
        told.append(Row(ordered, differing, reason.few.get(id, "") if on_few_seeds(ordered[-1]) else ""))
    return told


def ledger(claims: Sequence[Claim]) -> str:
    """The ledger as HTML: headline counts, what filters and searches, and a table of one row a claim."""
    table = rows(claims)
    counts = {name: _counts(claim for claim in claims if claim.profile == name) for name in PROFILES}
    chapters = {name: title(name) for name in sorted({row.claim.chapter for row in table})}
    given = {"rows": table, "counts": counts, "largest": _counts(row.claim for row in table), "chapters": chapters}
    return rendered("ledger.html.j2", verdicts=VERDICTS, count=count, download=DOWNLOAD, **given)


def write_in(book: Path, claims: Sequence[Claim]) -> None:
    """Write the ledger into its page of a staged ``book`` folder, and the download into the static files there."""
    page = book / "ledger.md"
    told = page.read_text(encoding="utf-8")
    page.write_text(told.replace(MARK, f"```{{raw}} html\n{ledger(claims)}```"), encoding="utf-8")
    download(claims, book / "static" / DOWNLOAD)


def download(claims: Sequence[Claim], path: Path) -> None:
    """Write all claims to ``path`` as JSON: a list of objects, one for each claim and profile.

    Each has what a `Claim` has, its verdict, and for each part its outcome, mean and 95 % interval. What is not finite
    is null.
    """
    told = []
    for row in rows(claims):
        for claim in row.claims:
            parts = {
                name: asdict(part) | {"outcome": part.outcome, "mean": part.mean, "interval": part.interval}
                for name, part in claim.parts.items()
            }
            more = {"verdict": claim.verdict, "of_the_paper": row.of_the_paper, "anchor": row.anchor}
            told.append(asdict(claim) | {"parts": parts} | more)
    text = json.dumps(_finite(told), ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    path.write_text(text, encoding="utf-8")


def summary(claims: Sequence[Claim]) -> str:
    """A few lines for the terminal: how many claims hold, and which do not."""
    lines = []
    chapters: dict[str, list[Claim]] = {}
    for claim in claims:
        chapters.setdefault(claim.chapter, []).append(claim)
    for chapter, found in sorted(chapters.items()):
        counts = ", ".join(f"{verdict} {number}" for verdict, number in _counts(found).items())
        lines.append(f"{chapter} at {found[0].profile}: {counts}")
        lines += [
            f"  {claim.sign} ({claim.passed}): {claim.source}: {claim.says}"
            for claim in found
            if claim.verdict != "holds"
        ]
    return "\n".join(lines)


def _counts(claims: Iterable[Claim]) -> dict[str, int]:
    """How many have each verdict."""
    found = [claim.verdict for claim in claims]
    return {verdict: found.count(verdict) for verdict in VERDICTS}


def _finite(told: object) -> object:
    """The same with None in place of numbers that JSON does not know."""
    if isinstance(told, dict):
        return {name: _finite(value) for name, value in told.items()}
    if isinstance(told, list | tuple):
        return [_finite(value) for value in told]
    return None if isinstance(told, float) and not math.isfinite(told) else told
