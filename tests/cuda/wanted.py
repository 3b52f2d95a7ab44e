"""Runs that chapters want at the paper's scale, in a file that a machine without notebooks can read.

``python -m tests.cuda wanted --out FOLDER --chapters 07 09`` writes ``wanted.json`` where the chapters are; in the data
folder of the machine with a card it takes the place of the built-in list of the step `record`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from lib.experiments import Experiment, Recordable, as_dict
from lib.files import atomic
from lib.records import experiment_from

NAME = "wanted.json"


def write(folder: Path, chapters: Sequence[str]) -> None:
    """The trainings that these chapters miss at the paper's scale, seed by seed: what is there is of all settings."""
    from lib.press.wanted import wanted  # needs the notebooks' own packages

    missing = [one.experiment for one in wanted(chapters, ["paper"]) if one.state == "missing"]
    missing = [one for one in missing if isinstance(one, Experiment)]
    missing.sort(key=lambda one: one.seed)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic(folder / NAME) as part:
        part.write_text(json.dumps([{"kind": one.kind, "settings": as_dict(one)} for one in missing], indent=1))
    print(f"{len(missing)} runs are missing")


def read(folder: Path) -> list[Recordable]:
    """The runs of the file; none without one."""
    path = folder / NAME
    if not path.exists():
        return []
    return [experiment_from(one["settings"], one["kind"]) for one in json.loads(path.read_text(encoding="utf-8"))]
