"""The verb ``sweep`` of the command line."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..paths import SWEEPS, data_folder
from .cluster import Cluster
from .grid import find_sweep, load_sweep, sweep_names
from .run import plan_sweep, plan_text, run_sweep
from .store import PointStore
from .table import collect, write_table


def sweep_command(
    name: str | None = None,
    *,
    plan: bool = False,
    scheduler: str = "",
    workers: int | None = None,
    threads: int | None = None,
    per_card: int = 1,
    retries: int = 2,
    store: Path | None = None,
    table: Path | None = None,
    publish: bool = False,
    tell: Callable[[str], None] = partial(print, flush=True),
) -> int:
    """Run a sweep, or ``plan`` it, or list the book's for no name; the exit status: 1 if a point failed.

    scheduler, workers, threads, per_card: see `Cluster`. store: folder; None: sweeps/NAME in the data folder.
    table: Parquet file; None: in the store. publish: keep the table in the book too. Raises ValueError for what makes
    no sense, and what `run_sweep` raises.
    """
    if not name:
        for each in sweep_names():
            one = load_sweep(find_sweep(each))
            tell(f"{each}: {len(one.points)} points of {one.notebook.stem}. {one.title}")
        return 0
    if retries < 0:
        raise ValueError(f"retries must be 0 or more, not {retries}")
    cluster = Cluster(scheduler, workers, threads, per_card)
    sweep = load_sweep(find_sweep(name))
    points = PointStore((store or data_folder() / "sweeps" / sweep.name).expanduser())
    merged = f" ({sweep.merged} that stood in the grid more than once were merged)" if sweep.merged else ""
    tell("\n  ".join([f"{sweep.name}: {len(sweep.points)} points of {sweep.notebook.stem}{merged}", *sweep.notes]))
    if plan:
        tell(plan_text(sweep, plan_sweep(sweep, points)))
        return 0
    summary = run_sweep(sweep, points, cluster, retries=retries, tell=tell)
    collected = collect(points, sweep)
    path = table or points.folder / "table.parquet"
    for to in [path, SWEEPS / f"{sweep.name}.parquet"] if publish else [path]:
        write_table(collected, to, sweep)
    tell("\n".join(summary.lines()))
    if summary.points > len(summary.failed) and not collected["value"].drop_null():
        tell("NOTHING COLLECTED: the table has no number of any point. See --help on what is collected")
    tell(f"store: {points.folder}\ntable: {path} ({collected.num_rows} rows)")
    return int(bool(summary.failed))
