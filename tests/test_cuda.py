"""The campaign for a CUDA card, on a CPU: every step runs, results are kept, and it needs little."""

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from lib.experiments import as_dict, prepare
from lib.graphs import Player, changed_by_steps
from lib.paper import presets
from lib.paths import ROOT
from lib.records import read_record
from lib.train import TrainConfig, run_epoch, step_of
from tests.cuda import pack, wanted
from tests.cuda.__main__ import STEPS
from tests.cuda.campaign import Settings, Step, read
from tests.cuda.cases import WAYS, Way, cases, made
from tests.cuda.publish import publish
from tests.cuda.roofline import Rates, Work, timed, work_of

CPU = torch.device("cpu")

# What a machine with a card need not have: only what the campaign says that it needs, and what torch brings, is there.
BLOCKED = '''
import runpy, sys
names = """click pydantic jinja2 matplotlib torchvision tqdm yaml rich dask distributed cleanlab papermill IPython
ipykernel ipywidgets jupyter_client jupyter_core nbformat nbclient nbconvert jupytext""".split()
sys.modules.update(dict.fromkeys(names))  # None: an import of it fails as if it were not installed
sys.argv = ["tests.cuda", *sys.argv[1:]]
runpy.run_module("tests.cuda", run_name="__main__", alter_sys=True)
'''


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(tmp_path / "out", tmp_path / "data", CPU, dry=True, seconds=1000)


def campaign(folder, *arguments):
    command = [sys.executable, "-c", BLOCKED, *arguments, "--out", str(folder / "out"), "--data", str(folder / "data")]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    env.pop("CLEAN_PRIORITY_MODE", None)
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env)


@pytest.fixture(scope="module")
def dry(tmp_path_factory):
    """The whole campaign at tiny size: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("campaign")
    done = campaign(folder, "--dry")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


@pytest.mark.slow
def test_every_step_runs_dry_with_what_a_machine_with_a_card_has(dry):
    folder, printed = dry
    for step in STEPS:
        results = read(folder / "out" / f"{step}.json")
        assert results, step
        assert all("error" not in found and found["seconds"] >= 0 for found in results.values()), step
        if step in ("rates", "record", "resnet18", "selective"):
            assert any(found.get("expected", 0) > 0 for found in results.values()), step
    assert "% of the rate" in printed


@pytest.mark.slow
def test_the_same_command_does_nothing_twice(dry):
    folder, _ = dry
    before = {step: read(folder / "out" / f"{step}.json") for step in STEPS}
    again = campaign(folder, "--dry")
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("done before") == sum(map(len, before.values())) - 1  # the card's rates are said
    assert {step: read(folder / "out" / f"{step}.json") for step in STEPS} == before


@pytest.mark.slow
def test_records_of_the_campaign_are_records_of_the_book(dry, tmp_path):
    folder, _ = dry
    with zipfile.ZipFile(folder / "out" / "records.zip") as held:
        held.extractall(tmp_path)
    found = [read_record(path) for path in sorted(tmp_path.iterdir())]
    kept = [name for step in ("record", "resnet18", "selective") for name in read(folder / "out" / f"{step}.json")]
    assert len(found) == sum("published" not in name for name in kept)
    for history, provenance in found:
        assert len(history)
        assert provenance["tf32"] is False
        assert any(name.endswith(provenance["key"]) for name in kept)


def test_without_a_card_it_says_so(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    done = campaign(tmp_path, "rates")
    assert done.returncode == 2
    assert "--dry" in done.stderr


def test_what_is_done_is_not_done_again_and_a_failure_is(settings, capsys):
    calls = []

    def found(value):
        calls.append(value)
        if value == "bad":
            raise RuntimeError("out of memory")
        return {"x": value}

    step = Step(settings, "rates")
    assert step.measure("a", lambda: found(1))["x"] == 1
    assert "out of memory" in step.measure("b", lambda: found("bad"))["error"]
    assert step.failed == ["b"]
    later = Step(settings, "rates")
    later.measure("a", lambda: found(2))
    assert later.measure("b", lambda: found(3))["x"] == 3
    assert calls == [1, "bad", 3]
    assert json.loads(later.path.read_text())["b"]["x"] == 3
    assert "FAILED: RuntimeError: out of memory" in capsys.readouterr().out


def test_what_does_not_fit_into_the_time_waits(tmp_path, capsys):
    step = Step(Settings(tmp_path, tmp_path, CPU, seconds=10), "rates")
    assert step.measure("long", lambda: {}, expected=11.0) is None
    assert step.waiting == ["long"]
    assert step.measure("short", lambda: {"seconds": 2.0}, expected=0.5)["share"] == 0.25
    assert "expected 0.5000 s (25 % of the rate)" in capsys.readouterr().out


def test_damaged_results_are_refused_by_name(settings):
    settings.out.mkdir()
    (settings.out / "rates.json").write_text("{")
    with pytest.raises(ValueError, match=r"rates\.json is damaged"):
        Step(settings, "rates")


def test_work_is_that_of_a_product():
    a, b = torch.zeros(8, 16), torch.zeros(16, 4)
    work = work_of(lambda: a.view(8, 16) @ b)  # a view moves nothing
    assert work == Work(2 * 8 * 16 * 4, 4 * (8 * 16 + 16 * 4 + 8 * 4), 1)
    rates = Rates(float32=1024, tf32=1e4, bfloat16=2048, copy=448, launch=1e-3)
    assert work.seconds(rates) == 2.0  # bytes: 896 / 448; operations: 1024 / 1024
    assert work.times(2).launched(rates) == 2e-3
    assert timed(lambda: a @ b, CPU, rounds=3) > 0


@pytest.mark.parametrize("place", range(3))
def test_a_played_epoch_is_an_epoch(place, settings):
    """Without a card a step is called and not played: the same step as `lib.train` makes."""
    case = cases(settings)[place]
    weights = []
    for played in (False, True):
        one, ready = made(case, Way("fp32"), settings)
        config = TrainConfig(lr=0.05, epochs=1, batch_size=50, momentum=0.9)  # the last batch is smaller
        order = torch.Generator().manual_seed(0)
        optimizer = torch.optim.SGD(ready.model.parameters(), lr=0.05, momentum=0.9, fused=True)
        mine = (ready.model, ready.task, ready.labels.given, config, optimizer)
        step = None
        if played:
            first = torch.arange(50)
            step = Player(step_of(*mine), first, changed_by_steps(ready.model, optimizer))
        loss = run_epoch(*mine, order, step=step)
        weights.append(torch.cat([p.detach().flatten() for p in ready.model.parameters()]))
    assert loss > 0
    assert torch.equal(*weights)
    start = prepare(one, settings.machine, task=ready.task).model
    assert not torch.equal(weights[0], torch.cat([p.detach().flatten() for p in start.parameters()]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
@pytest.mark.parametrize("way", WAYS["resnet9"], ids=lambda way: way.name)
def test_every_way_trains_on_a_card(way, tmp_path):
    from tests.cuda.rates import epochs

    settings = Settings(tmp_path, tmp_path, torch.device("cuda"), dry=True)
    one, ready = made(cases(settings)[2], way, settings)
    epoch = epochs(ready, one, way)
    assert epoch() > epoch() > 0


def test_packed_data_sets_are_what_was_packed(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    arrays = {
        "train_images": random.integers(0, 256, (30, 3, 32, 32), dtype=np.uint8),
        "train_labels": random.integers(0, 10, 30),
        "test_images": random.integers(0, 256, (5, 3, 32, 32), dtype=np.uint8),
        "test_labels": random.integers(0, 10, 5),
    }
    monkeypatch.setattr(pack, "MOST", 40_000)
    paths = pack.write_parts("cifar10", arrays, tmp_path)
    assert len(paths) > 2
    assert max(path.stat().st_size for path in paths) <= 40_000
    last = paths[-1].read_bytes()
    paths[-1].unlink()
    pack.unpack(tmp_path)
    assert pack.training_images(tmp_path, "cifar10") == 0
    paths[-1].write_bytes(last)
    pack.unpack(tmp_path)
    assert pack.training_images(tmp_path, "cifar10") == 30
    with np.load(tmp_path / "cifar10.npz") as found:
        assert np.array_equal(found["train_images"], arrays["train_images"].transpose(0, 2, 3, 1))
        assert np.array_equal(found["test_labels"], arrays["test_labels"])


def test_photographs_are_packed_into_less():
    """Smooth images: most differences are 0."""
    slope = (np.arange(32)[:, None] + np.arange(32)).astype(np.uint8)
    images = np.broadcast_to(slope, (2, 3, 32, 32)).copy()
    few = pack.differences(images)
    assert (few == 0).mean() > 0.9
    assert np.array_equal(pack.sums(few), images)


def test_runs_go_to_another_machine_and_come_back_as_they_were(tmp_path):
    """Written as settings, read without any notebook."""
    runs = [replace(presets.binary("smoke"), seed=3), presets.mnist("smoke", 0.1)]
    (tmp_path / wanted.NAME).write_text(
        json.dumps([{"kind": one.kind, "settings": as_dict(one)} for one in runs]), encoding="utf-8"
    )
    assert wanted.read(tmp_path) == runs
    assert wanted.read(tmp_path / "nothing here") == []


def test_results_of_two_cards_are_not_published_as_one(tmp_path):
    for name, device in (("correct", "card A"), ("rates", "card B")):
        (tmp_path / f"{name}.json").write_text(json.dumps({"x": {"seconds": 1.0, "device": device}}))
    with pytest.raises(ValueError, match="card A, card B"):
        publish(tmp_path, tmp_path / "card.json")
    (tmp_path / "rates.json").unlink()
    with pytest.raises(ValueError, match="no results of rates"):
        publish(tmp_path, tmp_path / "card.json")
    assert not (tmp_path / "card.json").exists()
