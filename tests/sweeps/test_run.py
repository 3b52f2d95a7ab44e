"""What a sweep would run, and that it runs that and nothing twice."""

import pytest

from lib import identity
from lib.identity import Identity
from lib.sweeps import cluster
from lib.sweeps.run import plan_sweep, run_sweep
from lib.sweeps.store import DONE, NOTEBOOK, NUMBERS
from tests.sweeps.tiny import FAILING, GIVEN, SQUARES, fake, frame, run, states, truth, values


def test_only_what_is_missing_would_run(stored):
    store, one, _ = stored
    fake(store, one, {"x": 3.0}, "failed")
    assert states(store, one) == ["done", "missing", "failed", "missing"]
    planned = plan_sweep(one, store)
    assert [point.runs for point in planned] == [False, True, True, True]
    assert planned[2].why == "failed before: ValueError: no"


def test_changed_code_is_named_and_its_old_points_are_kept(stored, tiny):
    store, one, name = stored
    tiny.write("# only a comment\n")
    assert states(store, one)[0] == "done"
    tiny.write("y = 1\n")
    assert plan_sweep(one, store)[0].why == "changed since: notebook"
    tiny.write("1 + 1\n")  # a value that is shown
    assert plan_sweep(one, store)[0].why == "changed since: cells, notebook"
    assert store.look(name)[0]["given"] == {"x": 1.0}


@pytest.mark.parametrize("file", [DONE, NUMBERS, NOTEBOOK])
@pytest.mark.parametrize("how", ["truncated", "altered", "gone"])
def test_a_damaged_file_is_found(stored, file, how):
    store, one, name = stored
    path = store.points / name / file
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "altered":
        where = content.index(b"holds") if file == NUMBERS else len(content) // 2
        path.write_bytes(content[:where] + bytes([content[where] ^ 1]) + content[where + 1 :])
    else:
        path.unlink()
    found = plan_sweep(one, store)[0]
    # without its mark a point counts as never finished: that is what the mark is for
    assert found.state == ("missing" if (file, how) == (DONE, "gone") else "damaged")
    assert found.state == "missing" or file in found.why
    assert frame(store, one)["state"].tolist()[0] == found.state


def test_a_sweep_runs_every_point_and_a_rerun_none(tiny, address):
    summary, table, _ = run(tiny, SQUARES, address)
    assert (summary.done, summary.failed) == (4, {})
    assert values(table) == truth(GIVEN)
    verdicts = table[table["source"] == "claim"].groupby("n")["verdict"].unique().to_dict()
    assert {n: list(found) for n, found in verdicts.items()} == {0: ["holds"], 3: ["partly"]}
    for name, x in zip(table["point"], table["x"], strict=True):
        assert f"x is {x}" in (tiny.store.points / name / NOTEBOOK).read_text(encoding="utf-8")
    assert (table["attempts"] == 1).all()
    again, same, _ = run(tiny, SQUARES, address)
    assert (again.already, again.done) == (4, 0)
    assert same.equals(table)
    assert len(tiny.events("start")) == 4


def test_a_bigger_grid_runs_only_what_is_new(tiny, address):
    run(tiny, SQUARES, address)
    summary, table, _ = run(tiny, SQUARES.replace("[0, 3]", "[0, 3, 5]"), address)
    assert (summary.already, summary.done) == (4, 2)
    assert values(table) == truth([*GIVEN, (1.0, 5), (2.0, 5)])


def test_threads_are_set_for_the_kernel_and_recorded(tiny, address):
    _, table, _ = run(tiny, SQUARES, address, threads=3)
    assert values(table) == truth(GIVEN, threads=3)
    assert set(table["ran_threads"]) == {3}


def test_changed_code_is_run_again(tiny, address):
    run(tiny, SQUARES, address)
    tiny.write("1 + 1\n")
    summary, table, _ = run(tiny, SQUARES, address)
    assert (summary.already, summary.done) == (0, 4)
    assert values(table) == truth(GIVEN)


def test_an_altered_file_is_computed_anew_and_said(tiny, address):
    _, before, _ = run(tiny, SQUARES, address)
    one = tiny.sweep(SQUARES)
    name = plan_sweep(one, tiny.store)[2].name
    path = tiny.store.points / name / NUMBERS
    path.write_bytes(path.read_bytes()[:100])
    summary, after, said = run(tiny, SQUARES, address)
    assert (summary.already, summary.done) == (3, 1)
    assert f"DAMAGED x=2.0, n=0: {NUMBERS} was truncated or altered" in said
    assert values(after) == values(before)
    assert [p.name for p in path.parent.glob("*.damaged-*")] == [f"{NUMBERS}.damaged-1"]


def test_a_rerun_tries_what_failed_again(tiny, address):
    run(tiny, FAILING, address)
    summary, _, _ = run(tiny, FAILING, address)
    assert (summary.already, summary.done, len(summary.failed)) == (2, 0, 1)
    assert len([line for line in tiny.events("start") if line[1] == "13"]) == 2


def test_a_worker_with_other_code_refuses(tiny, address, monkeypatch):
    here = identity.of_notebook
    other = lambda path: Identity("elsewhere", {**here(path).parts, "data": "elsewhere"})  # noqa: E731
    monkeypatch.setattr(identity, "of_notebook", other)
    with pytest.raises(RuntimeError, match=r"data on .* is not what the sweep was planned with"):
        run(tiny, SQUARES, address)
    assert not tiny.events("start")


def test_without_dask_a_sweep_can_be_planned_and_says_what_to_install(tiny, monkeypatch):
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    one = tiny.sweep(SQUARES)
    assert states(tiny.store, one) == ["missing"] * 4
    with pytest.raises(RuntimeError, match="sweeps need more packages, Dask among them: pip install"):
        run_sweep(one, tiny.store)
