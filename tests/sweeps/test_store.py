"""What the store of points keeps: nothing is lost, whatever happens to the disk or to a process."""

import errno
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from lib.paths import ROOT
from lib.sweeps import store as store_room
from lib.sweeps.code import code_of_notebook
from lib.sweeps.point import PointTask, mark_failed
from lib.sweeps.run import plan_sweep, run_sweep
from lib.sweeps.store import FORMAT, PointStore, StoreFailed, StoreProblem, seal_of
from tests.sweeps.tiny import SQUARES, fake, frame, run, states, values


def test_a_store_of_a_newer_version_is_not_touched(stored):
    store, one, _ = stored
    (store.folder / "store.json").write_text(json.dumps({"format": FORMAT + 1, "book": "9.9"}), encoding="utf-8")
    with pytest.raises(StoreProblem, match="made by a newer version"):
        plan_sweep(one, store)
    with pytest.raises(StoreProblem, match="newer"):
        run_sweep(one, store)
    with pytest.raises(StoreProblem, match="newer"):
        frame(store)


def test_folders_that_are_no_store_are_refused(tiny):
    one = tiny.sweep(SQUARES)
    with pytest.raises(StoreProblem, match="holds other things"):
        run_sweep(one, PointStore(tiny.folder))
    with pytest.raises(StoreProblem, match="is a file"):
        plan_sweep(one, PointStore(tiny.folder / "tiny.yml"))
    tiny.store.open(create=True)
    (tiny.store.folder / "store.json").write_text("{", encoding="utf-8")
    with pytest.raises(StoreProblem, match=r"store.json is damaged"):
        plan_sweep(one, tiny.store)


def test_two_sweeps_may_make_one_store_at_once(tiny, monkeypatch):
    whole = store_room.atomic

    @contextmanager
    def meanwhile(path):
        with whole(path) as part:
            monkeypatch.setattr(store_room, "atomic", whole)
            PointStore(tiny.store.folder).open(create=True)  # while the other one has written half of its first file
            yield part

    monkeypatch.setattr(store_room, "atomic", meanwhile)
    tiny.store.open(create=True)
    assert states(tiny.store, tiny.sweep(SQUARES)) == ["missing"] * 4


def test_an_older_failure_is_replaced_by_that_of_its_rerun_and_a_newer_result_is_not(tiny):
    tiny.store.open(create=True)
    one = tiny.sweep("grid: {product: {x: [1.0]}}\n")
    code = code_of_notebook(one.notebook)
    name = fake(tiny.store, one, {"x": 1.0}, "failed")
    seen = seal_of(tiny.store.look(name)[0])
    task = PointTask(tiny.store.folder, name, one.notebook, {"x": 1.0}, code, 1, seen)
    mark_failed(tiny.store, task, "KilledWorker: too little memory?")
    assert tiny.store.look(name)[0]["error"] == "KilledWorker: too little memory?"
    fake(tiny.store, one, {"x": 1.0})  # another sweep
    mark_failed(tiny.store, task, "KilledWorker: too little memory?")
    assert states(tiny.store, one) == ["done"]


def test_the_claim_of_a_live_process_holds_and_that_of_a_dead_one_does_not(tiny):
    tiny.store.open(create=True)
    hold = f"with PointStore(Path({str(tiny.store.folder)!r})).claim('p'): print('mine', flush=True); time.sleep(600)"
    code = f"import time\nfrom lib.sweeps.store import *\n{hold}"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as holder:
        assert holder.stdout.readline() == "mine\n"
        with tiny.store.claim("p") as mine:
            assert not mine
        with tiny.store.claim("q") as mine:
            assert mine
        holder.kill()
    with tiny.store.claim("p") as mine:
        assert mine


def test_a_claim_is_held_against_the_process_that_holds_it_and_free_afterwards(tiny):
    """A worker with several threads runs several points."""
    for _ in range(2):
        with tiny.store.claim("p") as first, PointStore(tiny.store.folder).claim("p") as second:
            assert (first, second) == (True, False)
    with pytest.raises(ZeroDivisionError), tiny.store.claim("p"):
        raise ZeroDivisionError
    with tiny.store.claim("p") as mine:
        assert mine


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EIO])
@pytest.mark.filterwarnings("ignore:flock not supported")
def test_a_file_system_without_locks_is_said_and_no_other_kind_of_lock_is_used(tiny, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", refuse)
    with (
        pytest.raises(StoreFailed, match=r"points/p cannot be claimed: .*needs a file system with room and file locks"),
        tiny.store.claim("p"),
    ):
        pass


def test_a_writer_that_finds_no_room_leaves_the_store_as_it_was(stored, monkeypatch):
    store, one, _ = stored

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("lib.files.os.replace", full)
        with pytest.raises(StoreFailed, match="No space left on device"):
            fake(store, one, {"x": 2.0})
    assert states(store, one) == ["done", "missing", "missing", "missing"]
    fake(store, one, {"x": 2.0})
    assert states(store, one)[1] == "done"
    assert not list(store.points.glob("*/.part-*"))


@contextmanager
def small_disk(folder: Path, size: str):
    """A file system of its own that is soon full; skipped where that is not allowed."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs is not permitted")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_said_the_store_stays_readable_and_a_rerun_completes(tiny, address):
    _, undisturbed, _ = run(tiny, SQUARES, address)
    disk = tiny.folder / "disk"
    with small_disk(disk, "96k"):
        tiny.store = PointStore(disk / "store")
        ballast = disk / "ballast"
        tiny.store.open(create=True)
        ballast.write_bytes(bytes(40 * 1024))
        with pytest.raises(StoreFailed, match=r"No space left on device.*make room, and the same command goes on"):
            run(tiny, SQUARES, address)
        one = tiny.sweep(SQUARES)
        before = frame(tiny.store, one)
        assert set(before["state"]) <= {"done", "missing"}
        assert "missing" in set(before["state"])
        ballast.unlink()
        summary, after, _ = run(tiny, SQUARES, address)
        assert summary.already == before[before["state"] == "done"]["point"].nunique()
        assert values(after) == values(undisturbed)
        assert not list(disk.rglob(".part-*"))


def test_the_size_is_told_while_another_sweep_writes(stored, monkeypatch):
    store, _, _ = stored
    (store.points / ".DS_Store").write_bytes(b"x")  # no point's folder
    told = store.size()
    (store.points / store.names()[-1] / ".part-1.json").symlink_to("renamed since")  # stat finds nothing
    assert store.size() == told
