"""What the verb ``book`` of the command line does: every chapter live at smoke, then the site."""

import shutil

from ..press.chapters import ChapterFailed, Job, execute_many, find, names, profiles
from ..press.claims import gather
from ..words import count
from . import build
from .ledger import kept_profiles, summary
from .live import run_all_live
from .notebooks import Published


def make_book(repository: str | None, branch: str, commit: str, jobs: int) -> None:
    """Run chapters that changed, ``jobs`` at a time, and build the site, with buttons where ``repository`` is named.

    Raises RuntimeError for a chapter that fails, with the notebook up to there.
    """
    published = Published(repository, branch, commit) if repository else None
    shutil.rmtree(build.RUNS, ignore_errors=True)  # the ledger shows this build's runs and no older ones
    print(f"{len(names())} chapters live at smoke, {jobs} at a time", flush=True)
    claims = []
    for ran in run_all_live(names(), jobs):
        if ran.error:
            raise RuntimeError(f"{ran.name}: {ran.error}\nThe notebook up to there: {ran.notebook}")
        copied = build.RUNS / "smoke" / f"{ran.name}.ipynb"
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ran.notebook, copied)
        found = gather([copied])
        print(f"  {ran.name}: {count(len(found), 'claim')}{'' if ran.now else ', unchanged'}", flush=True)
        claims += found
    replayed = [
        Job(path, {"profile": "cpu"}, build.RUNS / "cpu" / path.name, mode="replay")
        for path in map(find, names())
        if "cpu" in profiles(path) and "cpu" not in kept_profiles(path)
    ]
    for job, outcome in execute_many(replayed, jobs):
        if isinstance(outcome, ChapterFailed):
            print(f"{job.path.stem}: the ledger's cpu column stays empty: {outcome}")
    print("Building the site", flush=True)
    index = build.build(published, build.RUNS)
    print(f"\nClaims, checked live:\n{summary(claims)}\n\nThe book: {index}")
