"""What a sweep says while it runs."""

import io

import pytest

from lib.sweeps.watch import Display, Watch, watching

rich = pytest.importorskip("rich")


def drawn(feed) -> str:
    from rich.console import Console

    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    display = Display("a [sweep]", console)
    with display.shown():
        feed(display)
        display._live.refresh()
        return console.file.getvalue()


def test_a_display_says_what_runs_where_and_keeps_failures():
    def feed(display):
        display.begin(5)
        display.running({"0 (127.0.0.1:1)": ["x=1, kind=[red]", "x=2"], "1 (127.0.0.1:2)": []})
        display.ended("  [1/5] x=0: 3 s", 1, 5, 0, bad=False)
        display.ended("  [2/5] x=9: FAILED ValueError: [bold]", 2, 5, 1, bad=True)

    shown = drawn(feed)
    for words in ("a [sweep]", "2/5", "1 failed", "0 (127.0.0.1:1)  x=1, kind=[red] and 1 waiting", "idle"):
        assert words in shown, words
    assert "FAILED ValueError: [bold]" in shown
    assert "x=0: 3 s" not in shown


def test_many_workers_do_not_fill_the_screen():
    shown = drawn(lambda display: display.running({f"w{number}": ["x"] for number in range(40)}))
    assert "and 24 more workers" in shown
    assert "w15" in shown
    assert "w16" not in shown


def test_seconds_are_those_since_a_worker_got_its_point(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("lib.sweeps.watch.time.monotonic", lambda: now[0])
    display = Display("a")
    display.running({"w": ["x=1"]})
    now[0] += 7
    display.running({"w": ["x=1"]})
    assert now[0] - display._since["w", "x=1"] == 7
    display.running({"w": ["x=2"]})
    assert now[0] - display._since["w", "x=2"] == 0


def test_without_a_terminal_a_line_a_second_and_every_failure(monkeypatch):
    now, said = [0.0], []
    monkeypatch.setattr("lib.sweeps.watch.time.monotonic", lambda: now[0])
    watch = Watch(said.append)
    for number, bad in ((1, False), (2, False), (3, True), (4, False), (5, False)):
        watch.ended(f"{number}", number, 5, 0, bad=bad)
    assert said == ["1", "3", "5"]
    with watching("x") as plain:  # pytest's output is no terminal
        assert type(plain) is Watch
