"""The verb ``sweep`` of the command line."""

import hashlib
import webbrowser
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from ..paths import SWEEPS, data_folder
from .clean import remember, remove, unwanted_points, users
from .cluster import Cluster
from .grid import GRIDS, Sweep, find_sweep, load_sweep, sweep_names
from .named import load_cluster
from .results import Shown, write_page
from .run import plan_sweep, plan_text, run_sweep
from .store import PointStore
from .table import collect, write_table
from .watch import Watch, watching


def sweep_command(
    name: str | None = None,
    *,
    plan: bool = False,
    scheduler: str = "",
    cluster: Path | None = None,
    workers: int | None = None,
    threads: int | None = None,
    per_card: int = 1,
    retries: int = 2,
    store: Path | None = None,
    table: Path | None = None,
    publish: bool = False,
    open: bool = False,
    clean: bool = False,
    tell: Callable[[str], None] | None = None,
) -> int:
    """Run a sweep, or ``plan`` it, or list the book's for no name; the exit status: 1 if a point failed.

    scheduler, workers, threads, per_card: see `Cluster`; cluster: a file for `load_cluster`. store: folder; None:
    `store_of`. table: Parquet file; None: in the store. publish: keep the table in the book too.
    open: write the page of results, and open it. clean: remove from the store what no sweep wants any more, run
    nothing. tell: None for a display on a terminal, else lines. Raises ValueError for what makes no sense, and what
    `run_sweep` raises.
    """
    say = tell or Watch().tell
    if not name:
        for each in sweep_names():
            one = load_sweep(find_sweep(each))
            say(f"{each}: {len(one.points)} points of {one.notebook.stem}. {one.title}")
        return 0
    if retries < 0:
        raise ValueError(f"retries must be 0 or more, not {retries}")
    place = Cluster(scheduler, workers, threads, per_card, named=load_cluster(cluster) if cluster else None)
    path = find_sweep(name)
    sweep = load_sweep(path)
    points = PointStore((store or store_of(path)).expanduser())
    _check_place(table)
    merged = f" ({sweep.merged} that stood in the grid more than once were merged)" if sweep.merged else ""
    say("\n  ".join([f"{sweep.name}: {len(sweep.points)} points of {sweep.notebook.stem}{merged}", *sweep.notes]))
    if clean:
        return _clean(points, sweep, plan, say)
    if plan:
        say(plan_text(sweep, plan_sweep(sweep, points)))
        return 0
    with watching(sweep.name) if tell is None else nullcontext(Watch(tell)) as watch:
        summary = run_sweep(sweep, points, place, retries=retries, watch=watch)
    collected = collect(points, sweep)
    to = table or points.folder / "table.parquet"
    for each in [to, SWEEPS / f"{sweep.name}.parquet"] if publish else [to]:
        write_table(collected, each, sweep)
    say("\n".join(summary.lines()))
    if summary.points > len(summary.failed) and not len(collected["value"].drop_null()):
        say("NOTHING COLLECTED: the table has no number of any point. `sweep --help` says what is collected")
    say(f"store: {points.folder} ({points.size()})\ntable: {to} ({collected.num_rows} rows)")
    if open:
        page = points.folder / "results.html"
        write_page(collected, Shown.of(sweep), page)
        say(f"page: {page}")
        webbrowser.open(page.resolve().as_uri())
    return int(bool(summary.failed))


def store_of(path: Path) -> Path:
    """Where a sweep's points are if nothing else is said: by its name, and for a YAML of one's own by its place too."""
    if path.resolve().is_relative_to(GRIDS):
        return data_folder() / "sweeps" / path.stem
    digits = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    return data_folder() / "sweeps" / f"{path.stem}-{digits}"


def _check_place(table: Path | None) -> None:
    """ValueError where a table could not be written, before anything runs."""
    if table and (table.suffix != ".parquet" or table.is_dir()):
        raise ValueError(f"--table names a Parquet file that ends in .parquet, not {table}")


def _clean(points: PointStore, sweep: Sweep, plan: bool, say: Callable[[str], None]) -> int:
    """Say what no sweep wants any more, and unless it is only planned remove it."""
    points.open()
    found = unwanted_points(points, users(points, sweep))
    if plan:
        say(f"{points.folder} ({points.size()}); --clean would remove: {found.text()}")
        return 0
    if points.points.exists() and sweep.path:
        remember(points, sweep.path)
    before = points.size()
    gone = remove(points, found)
    say(f"{points.folder}: removed {found.text()}")
    if gone < len(found.points):
        say(f"  {len(found.points) - gone} of these points are being run right now, and stay")
    say(f"  {before} before, {points.size()} now")
    return 0
