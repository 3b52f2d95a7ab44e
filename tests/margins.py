"""How firm verdicts are at smoke: ``python -m tests.margins [CHAPTER ...]`` runs 10 seeds and writes margins.json.

For each claim the verdicts that any three of the ten seeds would give, and how many of those threes
give each. Only a claim with one verdict may be relied on by a test that trains live, with three seeds.
"""

import json
import sys
import tempfile
from collections import Counter
from itertools import combinations
from pathlib import Path

from lib.press.chapters import execute, find, names
from lib.press.claims import Claim
from lib.press.rule import verdict

SEEDS = 10


def threes(claim: Claim) -> dict[str, int]:
    """How many threes of a claim's seeds give each verdict; all of them, where they are fewer than ten."""
    seeds = range(claim.seeds)
    chosen = list(combinations(seeds, 3)) if claim.seeds >= SEEDS else [tuple(seeds)]
    return dict(Counter(verdict([part.among(some).outcome for part in claim.parts.values()]) for some in chosen))


def main() -> None:
    path = Path(__file__).with_name("margins.json")
    margins = json.loads(path.read_text())
    with tempfile.TemporaryDirectory() as folder:
        for chapter in [find(name) for name in sys.argv[1:] or names()]:
            claims = execute(chapter, {"profile": "smoke", "seeds": SEEDS}, Path(folder) / chapter.name)
            margins[chapter.stem] = {claim.id: threes(claim) for claim in claims}
            path.write_text(json.dumps(dict(sorted(margins.items())), indent=2) + "\n")
            print(chapter.stem, margins[chapter.stem], flush=True)


if __name__ == "__main__":
    main()
