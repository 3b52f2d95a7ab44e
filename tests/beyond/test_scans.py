"""Scans that are killed; paths; what is refused; records."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from lib import records
from lib.beyond import scans
from lib.beyond.scans import DualPath, closed_loop, led_along, start
from lib.beyond.two_gradients import DualConfig, Stage, follow
from lib.checkpoint import Blocks, until_kept
from lib.paths import ROOT
from lib.press.verify import verify
from lib.train import Machine
from tests.beyond.test_two_gradients import CPU, SMALL


def run(settings, **changes):
    given = {"machine": Machine("cpu"), "folder": None, "resume": False, "made_by": "", "progress": False} | changes
    return settings.run(**given)


def test_a_scan_has_every_point_once_and_its_first_rows_are_those_of_its_short_form():
    table = records.history_frame(run(SMALL).history)
    assert len(table) == len(table.drop_duplicates(["seed", "noise_rate", "mix", "epoch"])) == 2 * 2 * 3
    assert table["epoch"].max() == 2
    assert set(table["stage"]) == {0, 1}
    short = records.history_frame(run(SMALL.short(1)).history)
    columns = ["seed", "mix", "epoch", "test_error", "test_loss"]
    assert short[columns].equals(table[columns].head(len(short)))


SCRIPT = """
import sys
from dataclasses import replace
from lib.train import Machine
from tests.beyond.test_two_gradients import SMALL
replace(SMALL, seeds=60).run(machine=Machine("cpu"), folder=sys.argv[1], resume=True, made_by="x", progress=False)
"""


@pytest.mark.slow
def test_a_killed_scan_loses_no_block_and_does_none_twice(tmp_path, monkeypatch):
    settings = replace(SMALL, seeds=60)
    whole = run(settings).history
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], cwd=ROOT, env=dict(os.environ))
    parts = tmp_path / "checkpoints" / f"{settings.slug}-x-cpu"
    deadline = time.monotonic() + 120
    while len(list(parts.glob("block*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path.name: path.read_text(encoding="utf-8") for path in parts.glob("block*.json")}
    assert 3 <= len(done) < 60
    started = []
    real = scans.start

    def counting(settings, block, device, folder=None):
        started.append(block[0].seed)
        return real(settings, block, device, folder)

    monkeypatch.setattr(scans, "start", counting)
    again = run(settings, folder=tmp_path, resume=True, made_by="x").history
    assert sorted(started) == [n for n in range(60) if f"block{n}.json" not in done]
    keyed = [{(r["seed"], r["mix"], r["epoch"]): r["test_loss"] for r in rows} for rows in (whole, again)]
    assert keyed[0] == keyed[1]
    assert not parts.exists()


@pytest.mark.parametrize("content", ['{"rows": [', "null", "\x00", "{}", "[" * 100_000])
def test_a_damaged_block_is_made_anew(content, tmp_path, capsys):
    parts = tmp_path / "checkpoints" / f"{SMALL.slug}-x-cpu"
    parts.mkdir(parents=True)
    (parts / "block0.json").write_text(content, encoding="utf-8")
    rows = run(SMALL, folder=tmp_path, resume=True, made_by="x").history
    assert "block 0 of " in capsys.readouterr().out
    assert [row["test_loss"] for row in rows] == [row["test_loss"] for row in run(SMALL).history]


def test_a_block_is_read_as_it_was_written(tmp_path):
    kept = Blocks(tmp_path / "one")
    assert kept.read(0) is None
    kept.write(0, {"rows": [1]})
    assert kept.read(0, ("rows",)) == {"rows": [1]}


def test_what_a_kill_left_beside_the_blocks_goes_with_them(tmp_path):
    parts = tmp_path / "checkpoints" / f"{SMALL.slug}-x-cpu"
    parts.mkdir(parents=True)
    (parts / ".part-abc.json").write_text("{", encoding="utf-8")
    run(SMALL, folder=tmp_path, resume=True, made_by="x")
    assert not parts.exists()


def test_blocks_stay_until_the_result_is_on_disk(tmp_path, monkeypatch):
    """A disk that fills up just when the record is written costs no training."""
    with suppress(OSError), until_kept():
        first = run(SMALL, folder=tmp_path, resume=True, made_by="x", machine=Machine("cpu", threads=2))
        raise OSError("full")
    monkeypatch.setattr(scans, "start", lambda *_: pytest.fail("it was there"))
    with until_kept():
        again = run(SMALL, folder=tmp_path, resume=True, made_by="x")
    assert records.history_frame(again.history).equals(records.history_frame(first.history))
    assert (again.threads, again.seconds) == (first.threads, first.seconds) == (2, first.seconds)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_full_disk_costs_the_blocks_only(tmp_path, monkeypatch, capsys):
    @contextmanager
    def full(path):
        raise OSError("no space left")
        yield path

    expected = run(SMALL).history
    monkeypatch.setattr("lib.checkpoint.atomic", full)
    found = run(SMALL, folder=tmp_path, resume=True, made_by="x").history
    assert [row["test_loss"] for row in found] == [row["test_loss"] for row in expected]
    assert capsys.readouterr().out.count("no space left") == 1


def test_numbers_rounded_as_tf32_are_not_gone_on_with_as_if_they_were_not(tmp_path):
    with until_kept():
        run(SMALL, folder=tmp_path, resume=True, made_by="x")
        run(SMALL, folder=tmp_path, resume=True, made_by="x", machine=Machine("cpu", tf32=True))
        assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_a_loop_goes_up_and_down_with_one_dwell():
    path = closed_loop((0.2, 0.4, 0.6), 2, 0.1, warm_up=5)
    assert [mix for mix, _, _ in path] == [0.2, 0.2, 0.4, 0.6, 0.6, 0.4, 0.2]
    assert [epochs for _, epochs, _ in path] == [5, 2, 2, 2, 2, 2, 2]
    with pytest.raises(ValueError, match="rising"):
        closed_loop((0.4, 0.2), 1, 0.1, warm_up=1)


def test_a_path_made_of_a_scan_has_its_settings_and_its_first_noise_rate():
    scan = replace(SMALL, noise_rates=(0.3, 0.6), pool=2)
    path = led_along(scan, [(0.2, 1, 0.1)], afresh=0)
    assert (path.path, path.noise_rate, path.afresh) == (((0.2, 1, 0.1),), 0.3, 0)
    assert all(getattr(path, name) == getattr(scan, name) for name in ("data", "model", "dual", "seeds", "pool"))


def test_a_path_is_its_stages_one_after_the_other():
    """Led through two stages at once, or through the first and then the second: the same networks."""
    path = DualPath(
        data=SMALL.data, model=SMALL.model, dual=SMALL.dual, seeds=2, noise_rate=0.4,
        path=((0.2, 2, 0.1), (0.7, 1, 0.01)), afresh=1,
    )  # fmt: skip
    rows = run(path).history
    assert [row["epoch"] for row in rows if row["seed"] == 1] == [0, 1, 2, 3]
    assert [row["mix"] for row in rows if row["seed"] == 0] == [0.2, 0.2, 0.2, 0.7]
    (members,) = path.blocks()
    dual = start(path, members, CPU)
    follow(dual, members, path.stages[:1])
    assert dual._velocity.norm() > 0
    later = follow(dual, members, [Stage(1, 0.01, afresh=True)], first=1)
    assert [row["test_loss"] for row in later] == [row["test_loss"] for row in rows if row["epoch"] == 3]
    kept = follow(start(path, members, CPU), members, [path.stages[0], Stage(1, 0.01)])
    assert [r["test_loss"] for r in kept if r["epoch"] == 3] != [row["test_loss"] for row in later]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixes": (0.5, 1.2)}, r"mix \(lambda\) must lie in \[0, 1\], not 1.2"),
        ({"mixes": ()}, "at least one mix"),
        ({"noise_rates": (1.0,)}, "noise_rate must lie"),
        ({"dual": DualConfig(refresh=0)}, r"refresh \(K\) must be at least 1"),
        ({"dual": DualConfig(momentum=1.0)}, r"momentum must lie in \[0, 1\)"),
        ({"dual": DualConfig(normalise="both")}, "normalise must be one of each, mix, none"),
        ({"dual": DualConfig(clean_batch="trusted")}, "a trusted set needs images"),
        ({"milestones": (2, 1)}, "milestones must be"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"epochs": 0}, "at least 1 epoch"),
        ({"augment": True}, "trained singly"),
    ],
)
def test_bad_settings_are_refused_before_any_compute(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes).validate()


def test_an_empty_trusted_set_is_refused():
    tiny = replace(SMALL, dual=replace(SMALL.dual, clean_batch="trusted", trusted=0.004))
    with pytest.raises(ValueError, match="is 1 of 200 images; at least 2"):
        tiny.preflight()


def test_records_of_scans_and_paths_are_found_again(tmp_path):
    path = DualPath(
        data=SMALL.data, model=SMALL.model, dual=SMALL.dual, seeds=1, noise_rate=0.4,
        path=closed_loop((0.2, 0.6), 1, 0.1, warm_up=1),
    )  # fmt: skip
    for settings in (SMALL, path):
        made = records.run_now(settings, machine=Machine("cpu"), folder=tmp_path, resume=False, progress=False)
        store = records.Store(tmp_path)
        store.put(made)
        _history, provenance = records.read_record(store.path(settings))
        again = records.experiment_from(provenance["settings"], provenance["kind"])
        assert again == settings
        assert again.key == settings.key
        assert verify(store.path(settings), machine=Machine("cpu")).agrees
    assert replace(SMALL, mixes=(0, 1)).key == replace(SMALL, mixes=(0.0, 1.0)).key
