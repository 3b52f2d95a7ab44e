"""The ledger: every claim of the book with its verdicts, as a page and in a few lines for a terminal."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ..paths import NOTEBOOKS
from ..press.chapters import PROFILES, names
from ..press.claims import VERDICTS, Claim, gather
from ..words import count
from .criteria import differ, reasons, title
from .render import rendered


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


def ledger(claims: Sequence[Claim]) -> str:
    """The ledger as MyST: a count for each profile, then every claim by chapter with its verdicts."""
    profiles = {name: [claim.verdict for claim in claims if claim.profile == name] for name in PROFILES}
    ordered = sorted(claims, key=lambda claim: PROFILES.index(claim.profile))  # the largest profile comes last
    found = _by(sorted(ordered, key=_place(claims)), "chapter")
    chapters = [(name, title(name), _by(some, "id").values()) for name, some in sorted(found.items())]
    why = {name: reasons(name).profiles for name, _, _ in chapters}
    given = {"verdicts": VERDICTS, "profiles": profiles, "chapters": chapters, "count": count}
    return rendered("ledger.md.j2", **given, why=why, differ=differ)


def summary(claims: Sequence[Claim]) -> str:
    """A few lines for the terminal: how many claims hold, and which do not."""
    lines = []
    for chapter, found in sorted(_by(claims, "chapter").items()):
        verdicts = [claim.verdict for claim in found]
        counts = ", ".join(f"{verdict} {verdicts.count(verdict)}" for verdict in VERDICTS)
        lines.append(f"{chapter} at {found[0].profile}: {counts}")
        lines += [
            f"  {claim.sign} ({claim.passed}): {claim.source}: {claim.says}"
            for claim in found
            if claim.verdict != "holds"
        ]
    return "\n".join(lines)


def _place(claims: Sequence[Claim]) -> Callable[[Claim], int]:
    """Where a claim comes among all: as it was first met, whatever its profile."""
    first = {}
    for number, claim in enumerate(claims):
        first.setdefault((claim.chapter, claim.id), number)
    return lambda claim: first[claim.chapter, claim.id]


def _by(claims: Sequence[Claim], name: str) -> dict[str, list[Claim]]:
    """Claims by one of their fields."""
    found: dict[str, list[Claim]] = {}
    for claim in claims:
        found.setdefault(getattr(claim, name), []).append(claim)
    return found
