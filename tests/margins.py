"""How firmly claims hold at smoke: ``python -m tests.margins [CHAPTER ...]`` runs 10 seeds and writes margins.json.

Only claims whose every check came out the same way for all of them may be relied
on by a test that trains live; the others may be true or false by chance there.
"""

import json
import sys
import tempfile
from pathlib import Path

from lib.press.chapters import execute, find, names

SEEDS = 10


def main() -> None:
    path = Path(__file__).with_name("margins.json")
    margins = json.loads(path.read_text())
    with tempfile.TemporaryDirectory() as folder:
        for chapter in [find(name) for name in sys.argv[1:] or names()]:
            claims = execute(chapter, {"profile": "smoke", "seeds": SEEDS}, Path(folder) / chapter.name)
            margins[chapter.stem] = {claim.id: [sum(claim.passes), len(claim.passes)] for claim in claims}
            path.write_text(json.dumps(dict(sorted(margins.items())), indent=2) + "\n")
            print(chapter.stem, margins[chapter.stem], flush=True)


if __name__ == "__main__":
    main()
