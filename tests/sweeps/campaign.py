"""Kills processes of sweeps at random moments, and checks that nothing is lost, nothing doubled, all tables equal.

``python -m tests.sweeps.campaign --kills 200 --seed 0`` takes about six seconds a kill on two free cores. Rounds take
turns: a sweep that starts its own workers, and one on a scheduler and workers that were started by hand. In each,
kernels, workers, the scheduler and the sweep itself are killed (SIGKILL) until every point is done; then its table is
compared with the formulas that the notebook computes, and every point that was once done must be as it was.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from lib.paths import ROOT
from lib.sweeps.store import DONE, PointStore
from tests.sweeps.tiny import Tiny, truth, values

GRID = "parameters: {{pause: {pause}}}\ngrid: {{product: {{x: [1.0, 2.0, 3.0], n: [0, 3]}}}}\n"
GIVEN = [(x, n) for x in (1.0, 2.0, 3.0) for n in (0, 3)]
QUIET = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
DASK = [sys.executable, "-m", "dask"]
PATIENCE = 3600.0  # seconds that a round may take: killed more often than a point takes, a sweep gets nowhere


@dataclass
class Campaign:
    """What was done so far, and what went wrong."""

    wanted: int
    draws: random.Random
    kills: Counter = field(default_factory=Counter)
    rounds: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether enough was killed."""
        return sum(self.kills.values()) >= self.wanted

    def text(self) -> str:
        """In a line."""
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(self.kills.items()))
        wrong = f"{len(self.lost)} lost, {len(self.doubled)} doubled, {len(self.unequal)} tables unequal"
        return f"{sum(self.kills.values())} SIGKILLs ({kinds}) in {self.rounds} rounds: {wrong}"


def kind_of(process: psutil.Process) -> str | None:
    """What a process of a sweep is; None for helpers."""
    words = " ".join(process.cmdline())
    if "ipykernel_launcher" in words:
        return "kernels"
    if " scheduler " in words:
        return "schedulers"
    if "lib sweep" in words:
        return "sweeps"
    return "workers" if "spawn_main" in words or " worker " in words else None


def targets(roots: list[psutil.Process]) -> dict[str, list[psutil.Process]]:
    """The living processes below these, by what they are."""
    found: dict[str, list[psutil.Process]] = {}
    for root in roots:
        try:
            family = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
        for process in family:
            try:
                if process.status() != psutil.STATUS_ZOMBIE and (kind := kind_of(process)):
                    found.setdefault(kind, []).append(process)
            except psutil.NoSuchProcess:
                continue
    return found


def done_marks(store: PointStore) -> dict[str, bytes]:
    """The marks of the points that are done."""
    marks = {}
    for name in store.names():
        mark, _ = store.look(name)
        if mark and mark["state"] == "done":
            marks[name] = (store.points / name / DONE).read_bytes()
    return marks


def by_hand(folder: Path) -> tuple[str, list[subprocess.Popen]]:
    """A scheduler and two workers: its address, and their processes."""
    file = folder / f"scheduler-{time.monotonic_ns()}.json"
    scheduler = [*DASK, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file]
    processes = [subprocess.Popen(scheduler, **QUIET)]
    while not file.exists():
        time.sleep(0.1)
    address = json.loads(file.read_text(encoding="utf-8"))["address"]
    worker = [*DASK, "worker", address, "--nthreads", "1", "--no-dashboard", "--memory-limit", "0"]
    processes += [subprocess.Popen([*worker, "--local-directory", folder], **QUIET) for _ in range(2)]
    return address, processes


def end(processes: list[subprocess.Popen]) -> None:
    """End what was started by hand, and what that started."""
    for family in targets([psutil.Process(one.pid) for one in processes if one.poll() is None]).values():
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
    for one in processes:
        one.wait()


def round_of(campaign: Campaign, folder: Path, remote: bool, pause: float, every: float, say) -> None:
    """One sweep, disturbed until enough was killed, repeated until it is done; then what became of it."""
    tiny = Tiny(folder)
    tiny.yaml(GRID.format(pause=pause))
    known: dict[str, bytes] = {}
    hands: list[subprocess.Popen] = []
    begun = time.monotonic()
    while len(known) < len(GIVEN):
        if time.monotonic() - begun > PATIENCE:
            campaign.lost.append(f"{folder.name}: not done after {PATIENCE:.0f} s")
            break
        where = ["--workers", "2", "--threads", "1"]
        if remote:
            if not hands or any(one.poll() is not None for one in hands):
                end(hands)
                address, hands = by_hand(folder)
            where = ["--scheduler", address]
        sweep = subprocess.Popen(tiny.command(*where), **QUIET)
        while sweep.poll() is None:
            time.sleep(campaign.draws.uniform(0.1, 2 * every))
            roots = [psutil.Process(one.pid) for one in [sweep, *hands] if one.poll() is None]
            if campaign.over or not (there := targets(roots)):
                continue
            if "kernels" not in there and campaign.draws.random() < 0.9:
                continue  # it has hardly begun: else on a slow machine no sweep would ever get further
            # more often what dies without taking the rest along
            kinds = [kind for kind in sorted(there) for _ in range({"kernels": 4, "workers": 3}.get(kind, 1))]
            kind = campaign.draws.choice(kinds)
            try:
                campaign.draws.choice(there[kind]).send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
            campaign.kills[kind] += 1
            if sum(campaign.kills.values()) % 20 == 0:
                say(campaign.text())
        now = done_marks(tiny.store)
        campaign.lost += [f"{folder.name}: {name}" for name in known.keys() - now.keys()]
        campaign.doubled += [f"{folder.name}: {name}" for name in known.keys() & now.keys() if known[name] != now[name]]
        known |= now
    end(hands)
    again = tiny.go("--workers", "1", "--threads", "1")
    table = tiny.table()
    points = table.drop_duplicates("point")
    if again.returncode or "(6 before, 0 now)" not in again.stdout or len(points) != len(GIVEN):
        campaign.doubled.append(f"{folder.name}: {again.stdout}{again.stderr}")
    try:
        same = values(table) == truth(GIVEN)
    except AssertionError:  # a number stands there twice
        same = False
    if not same or set(table["state"]) != {"done"}:
        campaign.unequal.append(folder.name)
    campaign.rounds += 1


def run(kills: int, seed: int, pause: float = 1.0, every: float = 4.0, say=print) -> Campaign:
    """A whole campaign, in a folder of its own that is kept if anything went wrong."""
    campaign = Campaign(kills, random.Random(seed))
    folder = Path(tempfile.mkdtemp(prefix="sweep-campaign-"))
    while not campaign.over:
        place = folder / f"round-{campaign.rounds}"
        place.mkdir()
        round_of(campaign, place, remote=campaign.rounds % 2 == 1, pause=pause, every=every, say=say)
        say(campaign.text())
    wrong = campaign.lost + campaign.doubled + campaign.unequal
    if wrong:
        say("\n".join([*wrong, f"kept: {folder}"]))
    else:
        import shutil

        shutil.rmtree(folder)
    return campaign


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of what is killed, and when")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds that a point takes")
    parser.add_argument("--every", type=float, default=4.0, help="seconds between two kills, on average")
    given = parser.parse_args()
    campaign = run(given.kills, given.seed, given.pause, given.every, say=lambda text: print(text, flush=True))
    return int(bool(campaign.lost or campaign.doubled or campaign.unequal))


if __name__ == "__main__":
    sys.exit(main())
