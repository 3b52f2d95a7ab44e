"""How firmly claims hold at smoke: ``python -m tests.margins`` runs 20 seeds and writes margins.json.

Only claims whose every check came out true for all 20 may be relied on by a
test that trains live; the others may be true or false by chance there.
"""

import json
import tempfile
from pathlib import Path

from lib.chapters import execute, find, names

SEEDS = 20


def main() -> None:
    margins = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names():
            claims = execute(find(name), {"profile": "smoke", "seeds": SEEDS}, Path(folder) / f"{name}.ipynb")
            margins[name] = {claim.id: [sum(claim.passes), len(claim.passes)] for claim in claims}
    path = Path(__file__).with_name("margins.json")
    path.write_text(json.dumps(margins, indent=2) + "\n")
    print(path.read_text())


if __name__ == "__main__":
    main()
