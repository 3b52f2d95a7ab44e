"""What a sweep would run, and running it: planned against a store, run by Dask, told point by point."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..identity import Identity
from ..paths import data_folder
from ..progress import say
from ..words import duration
from .clean import remember
from .cluster import Cluster, connected, need_dask, outcomes, refuse_in_a_worker
from .code import code_of_notebook
from .grid import Sweep
from .point import PointOutcome, PointTask
from .store import PointStore, point_name, seal_of
from .watch import Watch


@dataclass(frozen=True)
class PlannedPoint:
    """A point and what is to be done about it."""

    given: Mapping[str, Any]
    name: str  # of its folder in the store
    state: str  # "done", "failed", "missing", "code changed" or "damaged"
    why: str = ""  # it would run
    seen: str = ""  # seal of the mark that was found, if it runs

    @property
    def runs(self) -> bool:
        """Whether a run of the sweep would run it."""
        return self.state != "done"


def plan_sweep(sweep: Sweep, store: PointStore, code: Identity | None = None) -> list[PlannedPoint]:
    """What a run would do, a `PlannedPoint` a point; ``code`` is today's if it is not given.

    Reads every file of these points: what is altered is found here.
    """
    store.open()
    code = code or code_of_notebook(sweep.notebook, sweep.folder)
    others: dict[str, list[str]] = {}
    for name in store.names():
        others.setdefault(name.partition("-")[0], []).append(name)
    return [_planned(store, sweep, given, code, others) for given in sweep.points]


def _planned(
    store: PointStore, sweep: Sweep, given: Mapping[str, Any], code: Identity, others: Mapping[str, list[str]]
) -> PlannedPoint:
    name = point_name(sweep.notebook, given, code, sweep.folder)
    there = others.get(name.partition("-")[0], [])
    mark, problem = store.look(name) if name in there else (None, "")
    if problem:
        return PlannedPoint(given, name, "damaged", problem)
    if mark:
        if mark["state"] == "done":
            return PlannedPoint(given, name, "done")
        return PlannedPoint(given, name, mark["state"], f"failed before: {mark['error']}", seal_of(mark))
    older = [found for other in there if other != name and (found := store.look(other)[0])]
    if older:
        before = max(older, key=lambda mark: mark["date"])["code"]
        return PlannedPoint(given, name, "code changed", f"changed since: {', '.join(code.differing(before))}")
    return PlannedPoint(given, name, "missing", "never finished")


def plan_text(sweep: Sweep, planned: Sequence[PlannedPoint]) -> str:
    """A line a point, and how many are in which state."""
    lines = [f"  {sweep.label(point.given)}: {point.why if point.runs else 'done'}" for point in planned]
    counts = Counter(point.state for point in planned)
    would = sum(point.runs for point in planned)
    return "\n".join([*lines, f"{would} would run; " + ", ".join(f"{counts[state]} {state}" for state in counts)])


@dataclass
class Summary:
    """What a run of a sweep did: how many points are in which state, and the failures by name."""

    points: int
    already: int = 0  # done before
    done: int = 0  # now
    elsewhere: int = 0  # by another sweep in the meantime
    failed: dict[str, str] = field(default_factory=dict)  # point in words → error
    folders: dict[str, str] = field(default_factory=dict)  # of the failed ones in the store: what ran is there
    seconds: float = 0.0
    compute: float = 0.0  # of the cells of the points done now
    overhead: list[float] = field(default_factory=list)  # seconds beyond it, of each point

    def lines(self) -> list[str]:
        """For a terminal."""
        whole = self.already + self.done + self.elsewhere
        other = f", {self.elsewhere} by another sweep" if self.elsewhere else ""
        parts = f"{self.already} before, {self.done} now{other}"
        lines = [f"{self.points} points: {whole} done ({parts}), {len(self.failed)} failed; {self.seconds:.0f} s"]
        if self.overhead:
            mean = sum(self.overhead) / len(self.overhead)
            lines.append(f"{self.compute:.0f} s in cells; a point took {mean:.1f} s beyond its cells")
        return lines + [
            f"  FAILED {label}: {error.splitlines()[0]} (points/{self.folders[label]})"
            for label, error in self.failed.items()
        ]


def run_sweep(
    sweep: Sweep,
    store: PointStore,
    cluster: Cluster = Cluster(),
    *,
    retries: int = 2,
    tell: Callable[[str], None] = say,
    watch: Watch | None = None,
) -> Summary:
    """Run what `plan_sweep` says is to be run; failures are told as they happen and are in the summary.

    ``watch`` is told more than a line an event; ``tell`` is not used then.
    Raises StoreFailed if the store cannot be written (nothing that was in it
    is lost), ClusterLost if there is no scheduler to reach or it goes away,
    RuntimeError if workers have other code than this process. Calling it
    again goes on from there.
    """
    refuse_in_a_worker()
    need_dask()
    watch = watch or Watch(tell)
    tell = watch.tell
    begun = time.perf_counter()
    store.open(create=True)
    if sweep.path:
        remember(store, sweep.path)
    code = code_of_notebook(sweep.notebook, sweep.folder)
    planned = plan_sweep(sweep, store, code)
    todo = {point.name: point for point in planned if point.runs}
    summary = Summary(len(planned), already=len(planned) - len(todo))
    for point in todo.values():
        if point.state == "damaged":
            tell(f"  DAMAGED {sweep.label(point.given)}: {point.why}; it is computed anew")
    if todo:
        with connected(cluster, len(todo), tell) as (client, threads):
            tasks = [
                PointTask(
                    store=store.folder.resolve(),
                    name=point.name,
                    notebook=sweep.notebook,
                    given=point.given,
                    code=code,
                    threads=threads,
                    seen=point.seen,
                    data=str(data_folder().resolve()),
                    retries=retries,
                    folder=sweep.folder,
                )
                for point in todo.values()
            ]
            watch.begin(len(todo))
            report = _Report(summary, len(todo), watch)
            labels = {name: sweep.label(point.given) for name, point in todo.items()}

            def look(where: Mapping[str, Sequence[str]]) -> None:
                watch.running({worker: [labels.get(name, name) for name in names] for worker, names in where.items()})

            seen = look if watch.lively else None
            for outcome in outcomes(client, tasks, store, tell, local=cluster.local, look=seen):
                report.add(outcome, labels[outcome.name])
    summary.seconds = time.perf_counter() - begun
    return summary


class _Report:
    """Counts outcomes, and tells them with the time left."""

    def __init__(self, summary: Summary, total: int, watch: Watch) -> None:
        self.summary, self.total, self.watch = summary, total, watch
        self.ended, self.begun = 0, time.monotonic()

    def add(self, outcome: PointOutcome, label: str) -> None:
        """One more point came to its end."""
        summary = self.summary
        if outcome.seconds:
            summary.compute += outcome.compute
            summary.overhead.append(outcome.seconds - outcome.compute)
        if outcome.error:
            if label in summary.failed:
                label = f"{label} ({outcome.name})"
            summary.failed[label], summary.folders[label] = outcome.error, outcome.name
            how = f"FAILED {outcome.error.splitlines()[0]}"
        elif outcome.state == "elsewhere":
            summary.elsewhere += 1
            how = "done by another sweep"
        else:
            summary.done += 1
            how = f"{outcome.seconds:.1f} s"
        self.ended += 1
        left = (time.monotonic() - self.begun) / self.ended * (self.total - self.ended)
        text = f"  [{self.ended}/{self.total}] {label}: {how}" + (f"; {duration(left)} left" if left else "")
        self.watch.ended(text, self.ended, self.total, len(summary.failed), bad=bool(outcome.error))
