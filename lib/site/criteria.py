"""The page of criteria: what changed in the ledger when one rule came to judge all claims, and why verdicts differ."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..paths import NOTEBOOKS, ROOT
from ..press.chapters import PROFILES
from ..press.claims import VERDICTS, Claim
from ..words import count
from .render import rendered

BEFORE = ROOT / "book" / "verdicts_before.json"  # of every claim, by criteria of its own
MAPS = ("changed", "left", "profiles", "few")
FEWEST = 5  # seeds of a claim at its largest profile, unless it says why


@dataclass(frozen=True)
class Reasons:
    """What a chapter says of its claims, by id: why a verdict changed, a claim left, profiles differ, seeds are few."""

    changed: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    profiles: dict[str, str] = field(default_factory=dict)
    few: dict[str, str] = field(default_factory=dict)


def reasons(chapter: str, folder: Path = NOTEBOOKS / "claims") -> Reasons:
    """From ``notebooks/claims/CHAPTER.yml``; nothing without a file. ValueError for another map than MAPS."""
    import yaml

    path = folder / f"{chapter}.yml"
    if not path.exists():
        return Reasons()
    told = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    if unknown := set(told) - set(MAPS):
        raise ValueError(f"{path.name} has {', '.join(sorted(unknown))}; there are: {', '.join(MAPS)}")
    return Reasons(**{name: dict(told.get(name) or {}) for name in MAPS})


def before() -> list[dict[str, str]]:
    """Each claim as it was: id, chapter, profile, says, criterion, verdict."""
    return json.loads(BEFORE.read_text(encoding="utf-8"))


def changes(claims: Sequence[Claim]) -> str:
    """The list of changes as MyST: for each claim that changed its verdict or left, what was, what is, and why."""
    now = {(claim.chapter, claim.id, claim.profile): claim for claim in claims}
    there = {(claim.chapter, claim.id) for claim in claims}
    chapters: dict[str, list[dict[str, str]]] = {}
    counts = {"same": 0, "changed": 0, "left": 0, "elsewhere": 0}
    for old in before():
        told = reasons(old["chapter"])
        new = now.get((old["chapter"], old["id"], old["profile"]))
        if new is None and (old["chapter"], old["id"]) in there:
            counts["elsewhere"] += 1  # it stands there at another profile
            continue
        verdict = f"{VERDICTS[new.verdict]} {new.verdict}" if new else "left"
        kind = "left" if new is None else "same" if new.verdict == old["verdict"] else "changed"
        counts[kind] += 1
        if kind == "same":
            continue
        why = (told.left if new is None else told.changed).get(old["id"], "")
        was = f"{VERDICTS[old['verdict']]} {old['verdict']}"
        row = {"id": old["id"], "says": old["says"], "criterion": old["criterion"], "was": was, "now": verdict}
        chapters.setdefault(old["chapter"], []).append(row | {"profile": old["profile"], "why": why})
    titled = [(name, title(name), rows) for name, rows in sorted(chapters.items())]
    return rendered("criteria.md.j2", chapters=titled, counts=counts)


def title(chapter: str) -> str:
    """A chapter's own heading."""
    cells = json.loads((NOTEBOOKS / f"{chapter}.ipynb").read_text(encoding="utf-8"))["cells"]
    return next(line for line in "".join(cells[0]["source"]).splitlines() if line.startswith("# "))[2:]


def unexplained(claims: Sequence[Claim]) -> list[str]:
    """What has no reason and needs one: a verdict that changed, a claim that left, profiles that differ, few seeds."""
    now: dict[tuple[str, str], dict[str, Claim]] = {}
    for claim in claims:
        now.setdefault((claim.chapter, claim.id), {})[claim.profile] = claim
    found = []
    for old in before():
        told, new = reasons(old["chapter"]), now.get((old["chapter"], old["id"]), {})
        if old["profile"] in new and new[old["profile"]].verdict != old["verdict"] and old["id"] not in told.changed:
            found.append(f"{old['chapter']}, {old['id']}: {old['verdict']} became {new[old['profile']].verdict}")
        if not new and old["id"] not in told.left:
            found.append(f"{old['chapter']}, {old['id']} left the ledger")
    for (chapter, id), profiles in now.items():
        if differ(profiles.values()) and id not in reasons(chapter).profiles:
            verdicts = ", ".join(f"{claim.verdict} at {name}" for name, claim in profiles.items())
            found.append(f"{chapter}, {id}: {verdicts}")
        largest = max(profiles.values(), key=lambda claim: PROFILES.index(claim.profile))
        if on_few_seeds(largest) and id not in reasons(chapter).few:
            found.append(f"{chapter}, {id}: {count(largest.seeds, 'seed')} at {largest.profile}")
    return found


def on_few_seeds(claim: Claim) -> bool:
    """Whether a claim rests on fewer seeds than FEWEST; what is trained while one waits, at smoke, may."""
    return claim.profile != "smoke" and claim.each == "seed" and claim.seeds < FEWEST


def differ(claims: Sequence[Claim]) -> bool:
    """Whether one claim has several verdicts at its profiles."""
    return len({claim.verdict for claim in claims}) > 1
