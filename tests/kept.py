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
from lib.site import live

PASSED, PENDING = BUILD / "kept.json", BUILD / "kept.pending.json"


def stamp(path: Path) -> str:
    """Forty digits for all that a kept notebook's outputs come from."""
    told = [identity.of_notebook(path).id, _digest(path), live.surroundings(path), *surroundings()]
    return hashlib.sha256(" ".join(told).encode()).hexdigest()[:40]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def surroundings() -> tuple[str, ...]:
    """How numbers are compared, the records and their checks, the look of figures, packages, Python."""
    files = [ROOT / "tests" / "nbval_numbers.py", ROOT / "conftest.py", ROOT / "pyproject.toml"]
    files += [*sorted((ROOT / "lib").rglob("*.mplstyle")), RECORDS / "checks.json", *sorted(RECORDS.glob("*.parquet"))]
    packages = sorted(f"{one.name} {one.version}" for one in distributions())
    return *map(_digest, files), hashlib.sha256("\n".join(packages).encode()).hexdigest(), sys.version


def stamps(path: Path) -> dict[str, str]:
    """What a file holds of stamps; nothing where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def write(path: Path, told: dict[str, str]) -> None:
    with atomic(path) as part:
        part.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main(verb: str, *given: str) -> None:
    """``stale`` prints the notebooks that are not as they last passed; ``passed`` notes that those given did."""
    if verb == "stale":
        paths = [NOTEBOOKS / f"{name}.ipynb" for name in (*names(), *singles())]
        now, before = {path.stem: stamp(path) for path in paths}, stamps(PASSED)
        write(PENDING, now)
        for path in paths:
            if before.get(path.stem) != now[path.stem]:
                print(path.relative_to(ROOT))
        return
    pending = stamps(PENDING)
    write(PASSED, stamps(PASSED) | {name: pending[name] for name in (Path(one).stem for one in given)})


if __name__ == "__main__":
    main(*sys.argv[1:])
