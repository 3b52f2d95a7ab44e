"""The verb ``records`` of the command line."""

import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from ..data import DataDamaged, DataUnavailable
from ..paths import RECORDS, data_folder
from ..records import RecordDamaged, Store
from ..words import count
from .chapters import PROFILES, find, profiles
from .verify import checkout, verify
from .wanted import make, unwanted, wanted


def records_command(
    words: Sequence[str] = (), *, epochs: int = 2, profile: str = "cpu", hours: float | None = None, before: str = ""
) -> int:
    """List, verify, or make what chapters want recorded, as the first of the words says; the exit status.

    epochs, before (a commit): of `verify`. profile, hours: of `wanted` and `make`. ValueError for words that say
    nothing.
    """
    if words == ("unwanted",):
        print("\n".join(path.name for path in unwanted()) or "every record is wanted by a chapter")
        return 0
    if words[:1] == ("unwanted",):
        raise ValueError(f"unwanted takes no names, and looks at all records; left over: {', '.join(words[1:])}")
    if words[:1] in (("wanted",), ("make",)):
        for chapter in words[1:]:
            _say_without(chapter, profile)
        return _wanted(words[1:], profile) if words[0] == "wanted" else _make(words[1:], profile, hours)
    verifies, keys = words[:1] == ("verify",), words[1:] if words[:1] in (("list",), ("verify",)) else words
    if len(keys) == len(words) > 1:
        raise ValueError(f"say what to do with {', '.join(keys)}: list, verify, wanted, unwanted or make")
    found, failures = 0, 0
    with checkout(before) if verifies and before else nullcontext() as older:
        for folder in (RECORDS, data_folder() / "records"):
            paths = [path for path in Store(folder).paths() if not keys or any(key in path.name for key in keys)]
            if paths:
                print(f"{folder}:", flush=True)
            for path in paths:
                found += 1
                failures += not (_verified(path, epochs, older) if verifies else _listed(path))
    if not found:
        raise ValueError("no record fits" if keys else f"no records in {RECORDS} or {data_folder() / 'records'}")
    if verifies:
        print(f"{found - failures} of {found} agree with today's code")
    return int(failures > 0)


def _wanted(chapters: Sequence[str], profile: str) -> int:
    """Print what chapters want recorded; a line for each chapter and state."""
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one in wanted(chapters, [profile]):
        groups[one.chapter, one.state].append(one.seconds)
    for (chapter, state), seconds in groups.items():
        known = [each for each in seconds if each == each]
        hours = f"{sum(known) / 3600:.2f} core-hours" + ("" if len(known) == len(seconds) else " and more")
        print(f"{chapter:28}{state:12}{count(len(seconds), 'run'):>10}  {hours}")
    return 0


def _say_without(chapter: str, profile: str) -> None:
    """That a chapter somebody named has nothing at this profile, and where it has."""
    path = find(chapter)
    if profile not in profiles(path):
        others = " or ".join(f"--profile {one}" for one in profiles(path) if one in PROFILES[1:])
        print(f"{path.stem} has no profile {profile}{f': say {others}' if others else ', and no records at another'}")


def _make(chapters: Sequence[str], profile: str, hours: float | None) -> int:
    """Bring records of chapters up to today's code, seed by seed: what is cut off leaves whole seeds of everything."""
    until = float("inf") if hours is None else time.time() + 3600 * hours
    by_seed = sorted(wanted(chapters, [profile]), key=lambda one: one.experiment.seed)
    failures = 0
    for one, done in make(by_seed, until=until):
        failures += done.startswith("failed")
        if done != "there":
            print(f"{one.chapter}, {one.experiment.slug}: {done}", flush=True)
    return int(failures > 0)


def _listed(path: Path) -> bool:
    """Print a line about a record; whether it is whole."""
    try:
        run = Store(path.parent).run(path)
    except RecordDamaged as damage:
        print(f"  DAMAGED {damage}")
        return False
    made = f"{run.provenance['date'][:10]}, {run.provenance['seconds']:.0f} s, {run.provenance['device']}"
    print(f"  {path.stem}: {len(run.history)} rows, {made}, {run.state}")
    return True


def _verified(path: Path, epochs: int, before: Path | None) -> bool:
    """Train the first epochs of a record anew and print the outcome; whether they agree."""
    try:
        result = verify(path, epochs=epochs, before=before)
    except (RecordDamaged, DataUnavailable, DataDamaged, ValueError, OSError) as problem:
        print(f"  NOT CHECKED {path.stem}: {problem}")
        return False
    print(
        f"  {'agrees ' if result.agrees else 'DIFFERS'} {path.stem}: {result.rows} rows; most in {result.worst}",
        flush=True,
    )
    return result.agrees
