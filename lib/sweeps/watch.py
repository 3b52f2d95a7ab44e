"""What a sweep says while it runs: a line an event, or on a terminal a display of what runs where."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any

NO_NUMBERS = True
SHOWN = 16  # workers of a display


class Watch:
    """Told what happens; this one writes a line an event, at most one a second of what went well."""

    lively = False  # whether it wants to know what runs where

    def __init__(self, tell: Callable[[str], None] = partial(print, flush=True)) -> None:
        self.tell = tell
        self._last = -1.0

    def begin(self, total: int) -> None:
        """So many points are to be run."""

    def ended(self, text: str, done: int, total: int, failed: int, *, bad: bool) -> None:
        """A point came to its end, which ``text`` says; ``failed`` of those that did so far went wrong."""
        now = time.monotonic()
        if bad or done == total or now - self._last >= 1:
            self._last = now
            self.tell(text)

    def running(self, where: Mapping[str, Sequence[str]]) -> None:
        """Points, in words, by the worker that has them."""


class Display(Watch):
    """On a terminal: a bar of all points, and a line for each worker with its point; failures stay above them."""

    lively = True

    def __init__(self, title: str, console: Any = None) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as Left

        self._console = console or Console()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[bad]}"),
        )
        times = (TimeElapsedColumn(), TextColumn("left"), Left())
        self._bar = Progress(*columns, *times, console=self._console)
        self._task = self._bar.add_task(title.replace("[", r"\["), total=None, bad="")
        self._workers: dict[str, Sequence[str]] = {}
        self._since: dict[tuple[str, str], float] = {}
        self._live = Live(console=self._console, get_renderable=self._drawn, refresh_per_second=2, transient=True)
        super().__init__(self._above)

    def _above(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def begin(self, total: int) -> None:
        """So many points are to be run."""
        self._bar.update(self._task, total=total)

    def ended(self, text: str, done: int, total: int, failed: int, *, bad: bool) -> None:
        """A failure is written above the display, and stays; what went well moves the bar."""
        self._bar.update(self._task, completed=done, total=total, bad=f"{failed} failed" if failed else "")
        if bad:
            self.tell(text)

    def running(self, where: Mapping[str, Sequence[str]]) -> None:
        """Points, in words, by the worker that has them."""
        now, before = time.monotonic(), self._since
        self._workers = dict(where)
        self._since = {(one, points[0]): before.get((one, points[0]), now) for one, points in where.items() if points}

    def _drawn(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        for worker, points in list(self._workers.items())[:SHOWN]:
            now = time.monotonic()  # a thread of its own draws this, maybe between the two lines of `running`
            seconds = now - self._since.get((worker, points[0]), now) if points else 0.0
            waiting = f" and {len(points) - 1} waiting" if len(points) > 1 else ""
            told = (f"{points[0]}{waiting}", f"{seconds:.0f} s") if points else ("idle", "")
            table.add_row(Text(f"  {worker}", style="dim"), *map(Text, told))
        if len(self._workers) > SHOWN:
            table.add_row(Text(f"  and {len(self._workers) - SHOWN} more workers", style="dim"))
        return Group(self._bar, table)

    @contextmanager
    def shown(self) -> Iterator["Display"]:
        """While the block runs."""
        with self._live:
            yield self


@contextmanager
def watching(title: str) -> Iterator[Watch]:
    """A display where the output is a terminal (and rich is there), else lines."""
    if sys.stdout.isatty() and find_spec("rich") is not None:
        with Display(title).shown() as display:
            yield display
    else:
        yield Watch()
