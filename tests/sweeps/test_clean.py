"""--clean takes what no sweep wants any more, and only that."""

import shutil

import pytest

from lib.__main__ import main
from lib.identity import Identity
from lib.sweeps.clean import remember, unwanted_points, users
from lib.sweeps.cluster import Cluster
from lib.sweeps.grid import load_sweep
from lib.sweeps.run import run_sweep
from lib.sweeps.table import collect
from tests.sweeps.tiny import fake

BIG = "grid: {product: {x: [1.0, 2.0, 3.0]}}\n"
OTHER = "grid: {product: {x: [3.0, 4.0]}}\n"


def go(tiny, path, *arguments):
    return main(["sweep", str(path), "--store", str(tiny.store.folder), *arguments])


@pytest.fixture
def full(tiny):
    """A store that two sweeps use: their points, one in no grid, one of other code, one that never ended."""
    tiny.store.open(create=True)
    paths = tiny.yaml(BIG, "big"), tiny.yaml(OTHER, "other")
    one = tiny.sweep("grid: {product: {x: [1.0, 2.0, 3.0, 4.0, 9.0]}}\n")
    names = {given["x"]: fake(tiny.store, one, given) for given in one.points}
    names["older"] = fake(tiny.store, one, {"x": 1.0}, code=Identity("older", {"notebook": "older"}))
    names["cut"] = "f" * 16 + "-code"
    (tiny.store.points / names["cut"]).mkdir()
    (tiny.store.points / names["cut"] / "notebook.ipynb").write_text("{", encoding="utf-8")
    (tiny.store.points / names[1.0] / "numbers.parquet.damaged-1").write_text("x", encoding="utf-8")
    for path in paths:
        remember(tiny.store, path)
    remember(tiny.store, paths[0])  # once is enough
    return tiny, paths, names


def test_only_what_no_sweep_wants_is_removed(full, capsys):
    tiny, (big, _), names = full
    expected = (
        "1 made by other code, 1 in no sweep's grid, 1 never finished and not wanted, 1 damaged files moved aside"
    )
    before = set(tiny.store.names())
    assert go(tiny, big, "--clean", "--plan") == 0
    assert f"--clean would remove: {expected}" in capsys.readouterr().out
    assert set(tiny.store.names()) == before
    assert go(tiny, big, "--clean") == 0
    assert f"removed {expected}" in capsys.readouterr().out
    assert set(tiny.store.names()) == {names[x] for x in (1.0, 2.0, 3.0, 4.0)}
    assert [tiny.store.look(name)[0]["given"] for name in (names[1.0], names[4.0])] == [{"x": 1.0}, {"x": 4.0}]
    assert not list(tiny.store.points.glob("*/*.damaged-*"))
    assert go(tiny, big, "--clean") == 0
    assert "removed nothing" in capsys.readouterr().out


def test_a_point_that_somebody_runs_stays(full, capsys):
    tiny, (big, _), names = full
    with tiny.store.claim(names[9.0]) as mine:
        assert mine
        assert go(tiny, big, "--clean") == 0
    assert "1 of these points are being run right now, and stay" in capsys.readouterr().out
    assert names[9.0] in tiny.store.names()


def test_nothing_is_removed_while_a_sweep_of_the_store_cannot_be_read(full, capsys):
    tiny, (big, other), _ = full
    before = set(tiny.store.names())
    other.write_text("nonsense: 1\n", encoding="utf-8")
    assert go(tiny, big, "--clean") == 1
    assert "It is a sweep of this store" in capsys.readouterr().err
    other.unlink()
    assert go(tiny, big, "--clean") == 1
    assert "other.yml, a sweep of this store, is gone. If nobody wants its points, delete" in capsys.readouterr().err
    assert set(tiny.store.names()) == before


def test_a_store_that_does_not_know_its_sweeps_is_left_alone(full, capsys):
    tiny, (big, _), _ = full
    shutil.rmtree(tiny.store.folder / "sweeps")
    assert go(tiny, big, "--clean") == 1
    assert "does not say which sweeps use it" in capsys.readouterr().err
    assert len(tiny.store.names()) == 7


def test_a_run_notes_its_sweep_and_says_the_stores_size(stored, tiny, capsys, monkeypatch):
    store, one, _ = stored
    path = tiny.yaml("grid: {product: {x: [1.0]}}\n")
    assert go(tiny, path) == 0
    size = sum(file.stat().st_size for file in store.points.glob("*/*"))
    assert f"store: {store.folder} (1 point, {size / 1000:.0f} kB)" in capsys.readouterr().out
    assert [sweep.name for sweep in users(store, one)] == ["tiny", "tiny"]
    assert unwanted_points(store, users(store, one)).text() == "nothing"


def test_a_sweep_that_was_run_from_python_keeps_its_points(tiny, address):
    """And what is no point of ours stays where it is."""
    first, second = (
        load_sweep(tiny.yaml(f"grid: {{list: [{{x: {x}}}]}}\n", name)) for name, x in (("one", 1.0), ("two", 2.0))
    )
    for one in (first, second):
        run_sweep(one, tiny.store, Cluster(scheduler=address), tell=lambda _: None)
    (tiny.store.points / "my backup").mkdir()
    (tiny.store.points / "my backup" / "precious.txt").write_text("x")
    (tiny.store.points / ".DS_Store").write_bytes(b"x")
    assert unwanted_points(tiny.store, users(tiny.store, second)).text() == "nothing"
    assert collect(tiny.store)["state"].to_pylist().count("done") > 0


def test_a_note_that_was_never_finished_blocks_nothing(full):
    tiny, (big, other), _ = full
    notes = tiny.store.folder / "sweeps"
    known = sorted(path.name for path in notes.iterdir())
    (notes / ".part-x.json").touch()  # as a kill leaves it
    for path in (big, other):
        remember(tiny.store, path)
    assert sorted(path.name for path in notes.iterdir()) == [".part-x.json", *known]
    assert [sweep.name for sweep in users(tiny.store, load_sweep(big))] == ["big", "big", "other"]
