"""The campaign's results as a file of the book, from which the page "What it costs" tells what a card does.

``python -m tests.cuda publish --out FOLDER`` takes the results of the steps `correct` and `rates` that lie in FOLDER.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

from lib.files import atomic
from lib.paths import ROOT
from tests.cuda.campaign import read

PARTS = ("correct", "rates")


def publish(out: Path, file: Path = ROOT / "book" / "card.json") -> None:
    """Write the file. ValueError where a step has no results, or results of several cards."""
    parts = {name: read(out / f"{name}.json") for name in PARTS}
    if missing := [name for name, results in parts.items() if not results]:
        raise ValueError(f"there are no results of {' and '.join(missing)} in {out}")
    devices = {one["device"] for results in parts.values() for one in results.values() if "device" in one}
    if len(devices) > 1:
        raise ValueError(f"{out} holds results of several devices: {', '.join(sorted(devices))}")
    measured = datetime.fromtimestamp((out / "rates.json").stat().st_mtime, UTC).date().isoformat()
    with atomic(file) as part:
        part.write_text(json.dumps({"device": devices.pop(), "date": measured} | parts, indent=1), encoding="utf-8")
