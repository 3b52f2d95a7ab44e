"""What chapters want recorded: told by the chapters themselves, and made by several processes."""

import time
from dataclasses import replace

import pytest
from filelock import FileLock

from lib.data import DataConfig
from lib.experiments import with_seeds
from lib.models import ModelConfig
from lib.paper import presets
from lib.paths import RECORDS
from lib.press import wanted as module
from lib.press.chapters import find
from lib.press.recording import records_command
from lib.press.wanted import Wanted, make, plan_of, unwanted, wanted, work
from lib.records import Store, run_now


def test_a_chapter_tells_its_plan_and_runs_nothing(own_data):
    plan = plan_of(find("07"), "paper")
    assert set(plan) == {"32", "128", "512", "2048"}
    assert plan["512"][0] == presets.wide("paper", 512)
    assert [one.seed for one in plan["512"]] == list(range(len(plan["512"])))
    assert not own_data.exists()


@pytest.fixture
def some(quick):
    return [Wanted(one, "01_x", "cpu", "missing", float("nan")) for one in with_seeds(quick, 2)]


def test_missing_runs_are_recorded_and_those_there_left_alone(some, own_data, tmp_path):
    store = Store(tmp_path / "records")
    (tmp_path / "records").mkdir()
    assert [done.split()[0] for _, done in make(some, folder=store.folder)] == ["recorded", "recorded"]
    before = {path: path.stat().st_mtime_ns for path in store.paths()}
    assert [done for _, done in make(some, folder=store.folder)] == ["there", "there"]
    assert {path: path.stat().st_mtime_ns for path in store.paths()} == before


def test_records_of_older_code_are_checked_or_made_anew(some, own_data, tmp_path):
    store = Store(tmp_path / "records")
    (tmp_path / "records").mkdir()
    list(make(some, folder=store.folder))
    first, second = (store.get(one.experiment) for one in some)
    store.put(replace(first, provenance=first.provenance | {"identity": "0" * 12}))
    other = second.history.assign(test_error=second.history["test_error"] + 0.5)  # as if other images had been seen
    store.put(replace(second, history=other, provenance=second.provenance | {"identity": "0" * 12}))
    done = [done.split()[0] for _, done in make(some, folder=store.folder)]
    assert done == ["agrees", "recorded"]
    assert store.get(some[1].experiment).history.equals(second.history)


def test_what_another_process_makes_is_left_to_it(some, own_data, tmp_path):
    (tmp_path / "records").mkdir()
    held = own_data / "recording" / f"{some[0].experiment.key}.lock"
    held.parent.mkdir(parents=True)
    with FileLock(held):
        made = [one.experiment for one, _ in make(some, folder=tmp_path / "records")]
    assert made == [some[1].experiment]


def test_a_run_that_fails_leaves_the_others_to_be_made(some, own_data, tmp_path, monkeypatch, capsys):
    (tmp_path / "records").mkdir()
    first = some[0].experiment
    wild = replace(some[0], experiment=replace(first, train=replace(first.train, lr=1e20)))
    three = [wild, some[1], replace(some[0], experiment=replace(first, data=replace(first.data, train_size=10**9)))]
    done = [done for _, done in make(three, folder=tmp_path / "records")]
    assert [words.split()[0] for words in done] == ["failed:", "recorded", "failed:"]
    assert "not finite" in done[0]
    assert "1000000000 training images" in done[2]
    monkeypatch.setattr("lib.press.recording.wanted", lambda chapters, among: iter(some))
    monkeypatch.setattr(
        "lib.press.recording.make", lambda given, until: zip(given, ["failed: x", "there"], strict=True)
    )
    assert records_command(("make",)) == 1
    assert capsys.readouterr().out.count("failed: x") == 1


def test_words_that_say_nothing_are_told_what_there_is():
    with pytest.raises(ValueError, match="list, verify, wanted, unwanted or make"):
        records_command(("verfy", "mnist79"))
    with pytest.raises(ValueError, match=r"unwanted takes no names.*07"):
        records_command(("unwanted", "07"))


def test_nothing_is_begun_that_would_take_too_long(some, own_data, tmp_path):
    (tmp_path / "records").mkdir()
    long = [replace(one, seconds=1000.0) for one in some]
    done = [done for _, done in make(long, until=time.time() + 60, folder=tmp_path / "records")]
    assert done == ["left: not enough time"] * 2
    assert not list((tmp_path / "records").glob("*.parquet"))
    Store(tmp_path / "records").put(run_now(some[0].experiment, resume=False, progress=False))
    there = [replace(long[0], state="recorded")]
    assert [done for _, done in make(there, until=time.time() + 60, folder=tmp_path / "records")] == ["there"]


def test_what_is_cut_off_leaves_whole_seeds(some, monkeypatch, capsys):
    monkeypatch.setattr("lib.press.recording.wanted", lambda chapters, among: iter(some + some))  # two chapters
    monkeypatch.setattr("lib.press.recording.make", lambda given, until: ((one, "recorded") for one in given))
    assert records_command(("make",)) == 0
    seeds = [line.split("seed")[1][0] for line in capsys.readouterr().out.splitlines()]
    assert seeds == ["0", "0", "1", "1"]


@pytest.mark.slow
def test_the_cost_of_a_run_is_told_from_those_like_it(monkeypatch):
    monkeypatch.setattr(module, "names", lambda: ["07_width"])
    told = {(one.profile, one.experiment.model.widths[0]): one.seconds for one in wanted(["07"])}
    assert 20 < told["cpu", 2048] / told["cpu", 32] < 2000
    # four times the epochs of six times the images: about 24 times as long, whatever the processor
    assert told["paper", 128] / told["cpu", 128] == pytest.approx(4 * 12214 / 2000, rel=0.9)


def test_work_counts_multiplications_and_additions():
    one = presets.wide("cpu", 32)
    one = replace(one, data=DataConfig("mnist", classes=(7, 9), train_size=10), model=ModelConfig((32, 16)))
    assert work(one) == 2 * (784 * 32 + 32 * 16 + 16) * 10 * one.train.epochs


@pytest.mark.slow
def test_every_record_is_wanted_by_a_chapter():
    """But for data sets as published, which chapter 17 obtains by itself, and the example of the page on records."""
    assert {path.name.rsplit("-", 2)[0] for path in unwanted()} <= {
        "cifar10-published", "mnist-published", "mnist79-64x64-lr0.1",
    }  # fmt: skip
    assert sum(path.stat().st_size for path in RECORDS.iterdir()) <= 25e6
