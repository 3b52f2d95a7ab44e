"""Which kept notebooks must be compared again: ``python -m tests.kept stale``; ``passed NOTEBOOK ...`` when they were.

A notebook that passed needs no second look while nothing changed that its
outputs come from: its own bytes, the code that it reaches, the records and
their checks, the Python packages. All of that is in its stamp; stamps of what
passed lie in ``_build/kept.json``.
"""

import hashlib
import json
import sys
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

from lib import identity
from lib.files import atomic
from lib.paths import BUILD, NOTEBOOKS, RECORDS, ROOT
from lib.press.chapters import names, singles

PASSED = BUILD / "kept.json"


def stamp(path: Path) -> str:
    """Forty digits for all that a kept notebook's outputs come from."""
    told = [identity.of_notebook(path).id, hashlib.sha256(path.read_bytes()).hexdigest(), *surroundings()]
    return hashlib.sha256(" ".join(told).encode()).hexdigest()[:40]


@cache
def surroundings() -> tuple[str, ...]:
    """What no identity holds: plumbing, how numbers are compared, records, packages."""
    plumbing = [path for path in (ROOT / "lib").rglob("*.py") if identity.MARK in path.read_text(encoding="utf-8")]
    files = [*sorted(plumbing), ROOT / "tests" / "nbval_numbers.py", ROOT / "conftest.py", RECORDS / "checks.json"]
    packages = sorted(f"{one.name} {one.version}" for one in distributions())
    recorded = sorted(path.name for path in RECORDS.glob("*.parquet"))
    return (
        *(hashlib.sha256(path.read_bytes()).hexdigest() for path in files),
        *(hashlib.sha256("\n".join(some).encode()).hexdigest() for some in (packages, recorded)),
        sys.version,
    )


def passed() -> dict[str, str]:
    """The stamp with which each notebook passed last."""
    try:
        return json.loads(PASSED.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def stale() -> list[Path]:
    """The notebooks that are not as they last passed."""
    before = passed()
    paths = [NOTEBOOKS / f"{name}.ipynb" for name in (*names(), *singles())]
    return [path for path in paths if before.get(path.stem) != stamp(path)]


def main(verb: str, *given: str) -> None:
    """``stale`` prints paths, a line each; ``passed`` stamps those given."""
    if verb == "stale":
        for path in stale():
            print(path.relative_to(ROOT))
        return
    now = passed() | {Path(name).stem: stamp(Path(name)) for name in given}
    with atomic(PASSED) as part:
        part.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
