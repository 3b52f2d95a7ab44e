import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lib import experiments
from lib.checkpoint import Checkpoint
from lib.experiments import with_seeds
from lib.noise import NoisyLabels
from lib.observe import ObserveConfig, Observer
from lib.paths import ROOT
from lib.press.own_images import task_from_arrays
from lib.train import Machine, TrainConfig, TrainingDiverged, train


def logistic_setting(n=40, d=4):
    rng = np.random.default_rng(0)
    images = rng.random((n, 2, d // 2), dtype=np.float32)
    true = (images.sum((1, 2)) > d / 2).astype(np.int64)
    given = np.where(rng.random(n) < 0.3, 1 - true, true)
    task = task_from_arrays(images, true, images, true, class_names=["a", "b"])
    return task, NoisyLabels(torch.from_numpy(given), torch.from_numpy(true), 2), images.reshape(n, d), given


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_full_batch_training_is_gradient_descent_in_closed_form(momentum):
    """Eq. 4 for logistic regression, against float64 numpy."""
    task, labels, x, y = logistic_setting()
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))
    w = model[1].weight[0].detach().double().numpy().copy()
    b, step_w, step_b = model[1].bias.item(), np.zeros(4), 0.0
    losses = []
    for _ in range(31):
        h = x @ w + b
        losses.append(np.mean(np.log1p(np.exp(h)) - y * h))
        residual = 1 / (1 + np.exp(-h)) - y
        step_w, step_b = momentum * step_w + residual @ x / len(y), momentum * step_b + residual.mean()
        w, b = w - 0.5 * step_w, b - 0.5 * step_b
    config = TrainConfig(lr=0.5, epochs=30, batch_size=None, momentum=momentum)
    observe = Observer(ObserveConfig(gradients=False), model, task, labels, torch.Generator())
    history = train(model, task, labels, config, observe, torch.Generator().manual_seed(0), progress=False)
    assert [row["epoch"] for row in history] == list(range(31))
    assert [row["train_loss"] for row in history] == pytest.approx(losses, rel=1e-5)


def test_every_image_is_seen_once_an_epoch():
    task, labels, _, _ = logistic_setting()
    seen = []

    class Spy(nn.Sequential):
        def forward(self, images):
            if self.training:
                seen.append(images.detach().clone())
            return super().forward(images)

    model = Spy(nn.Flatten(), nn.Linear(4, 1))
    config = TrainConfig(lr=0.1, epochs=2, batch_size=16)
    train(model, task, labels, config, lambda _: {}, torch.Generator().manual_seed(0), progress=False)
    assert [len(batch) for batch in seen] == [16, 16, 8] * 2
    first, second = torch.cat(seen[:3]), torch.cat(seen[3:])
    assert not torch.equal(first, second)
    for epoch in (first, second):
        assert torch.equal(epoch.flatten(1).sort(0).values, task.train_images.flatten(1).sort(0).values)


def test_same_seed_same_bits_other_seed_other_numbers(quick, own_data):
    one, again = (experiments.run(quick, resume=False).history for _ in range(2))
    other = experiments.run(with_seeds(quick, [1])[0], resume=False).history
    assert one == again
    assert one != other


RUN = """
import json, sys
from lib import experiments, records
experiment = records.experiment_from(json.loads(sys.argv[1]))
print("ready", flush=True)
outcome = experiments.run(experiment, checkpoint_seconds=0.0, progress=False)
print(json.dumps(outcome.history), flush=True)
"""


def start(experiment, folder):
    settings = json.dumps(experiments.as_dict(experiment))
    return subprocess.Popen(
        [sys.executable, "-c", RUN, settings],
        cwd=ROOT,
        env=os.environ | {"CLEAN_PRIORITY_DATA": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bits(quick, tmp_path):
    """SIGKILL at random moments; what is resumed equals what was never interrupted."""
    long = replace(quick, train=replace(quick.train, epochs=200))
    undisturbed = start(long, tmp_path / "undisturbed").communicate()[0].splitlines()[-1]
    checkpoint = tmp_path / "killed" / "checkpoints" / f"{long.slug}.pt"
    rng = random.Random()
    for _ in range(3):
        process = start(long, tmp_path / "killed")
        process.stdout.readline()
        deadline = time.monotonic() + 60
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while time.monotonic() < deadline and process.poll() is None:
            if checkpoint.exists() and checkpoint.stat().st_mtime_ns != before:
                break
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.15))
        assert process.poll() is None, "it finished before it could be killed: give it more epochs"
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    state = torch.load(checkpoint, weights_only=True)
    assert 1 < len(state["history"]) <= 200  # it really was in the middle
    resumed = start(long, tmp_path / "killed").communicate()[0].splitlines()[-1]
    assert resumed == undisturbed
    assert not checkpoint.exists()


def test_a_damaged_checkpoint_is_moved_aside_and_the_run_begins_anew(quick, own_data, capsys):
    expected = experiments.run(quick, resume=False).history
    path = own_data / "checkpoints" / f"{quick.slug}.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no checkpoint")
    assert experiments.run(quick).history == expected
    assert "begins anew" in capsys.readouterr().out
    assert path.with_name(path.name + ".damaged-1").exists()


def test_a_checkpoint_of_another_experiment_is_moved_aside(tmp_path, capsys):
    mine = Checkpoint(tmp_path / "c.pt", "mine", seconds=0)
    mine.save(lambda: {"history": [{"epoch": 0}]})
    assert Checkpoint(tmp_path / "c.pt", "mine").restore("cpu")["history"] == [{"epoch": 0}]
    assert Checkpoint(tmp_path / "c.pt", "yours").restore("cpu") is None
    assert "another experiment" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["c.pt.damaged-1"]


@pytest.mark.parametrize("error", [PermissionError("not yours"), MemoryError(), torch.OutOfMemoryError("full card")])
def test_a_checkpoint_that_cannot_be_read_now_stays(error, tmp_path, monkeypatch):
    mine = Checkpoint(tmp_path / "c.pt", "mine", seconds=0)
    mine.save(lambda: {"history": [{"epoch": 0}]})

    def fails(*_):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr("lib.checkpoint.read_state", fails)
        with pytest.raises(type(error)):
            Checkpoint(tmp_path / "c.pt", "mine").restore("cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["c.pt"]
    assert Checkpoint(tmp_path / "c.pt", "mine").restore("cpu")["history"] == [{"epoch": 0}]


@pytest.mark.parametrize("kept", [0.0, 0.02, 0.3, 0.6, 0.95])
def test_a_checkpoint_that_was_cut_off_is_moved_aside_whatever_is_left_of_it(kept, tmp_path, capsys):
    mine = Checkpoint(tmp_path / "c.pt", "mine", seconds=0)
    mine.save(lambda: {"weights": torch.zeros(1000)})
    whole = mine.path.read_bytes()
    mine.path.write_bytes(whole[: int(kept * len(whole))])
    assert Checkpoint(tmp_path / "c.pt", "mine").restore("cpu") is None
    assert "begins anew" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["c.pt.damaged-1"]


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path, capsys):
    class Harmful:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "harm"),))

    torch.save({"key": "mine", "model": Harmful()}, tmp_path / "c.pt")
    assert Checkpoint(tmp_path / "c.pt", "mine").restore("cpu") is None
    assert "was not used" in capsys.readouterr().out
    assert not (tmp_path / "harm").exists()


def test_a_loss_that_is_not_finite_stops_and_keeps_the_history(quick, own_data):
    wild = replace(quick, train=replace(quick.train, lr=1e20))
    with pytest.raises(TrainingDiverged, match="not finite in epoch") as caught:
        experiments.run(wild)
    kept = json.loads((own_data / "checkpoints" / f"{wild.slug}.diverged.json").read_text())
    assert kept == caught.value.history
    assert kept[0]["epoch"] == 0
    assert len(kept) == caught.value.epoch
    assert not (own_data / "checkpoints" / f"{wild.slug}.pt").exists()


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_last_step_into_nan_is_no_result_either(quick, own_data, epochs):
    """With the full batch the loss seen in an epoch is the one before its only step."""
    wild = replace(quick, train=TrainConfig(lr=1e20, epochs=epochs, batch_size=None))
    with pytest.raises(TrainingDiverged) as caught:
        experiments.run(wild)
    assert all(math.isfinite(row["train_loss"]) for row in caught.value.history)


def test_a_disk_that_is_full_does_not_hide_the_divergence(quick, own_data, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("lib.checkpoint.atomic", full)
    with pytest.raises(TrainingDiverged) as caught:
        experiments.run(replace(quick, train=replace(quick.train, lr=1e20)))
    assert "could not be written" in caught.value.__notes__[0]


def test_a_checkpoint_of_other_code_is_not_continued(quick, own_data, capsys):
    class Stop(Exception):
        pass

    def stop_after(epochs):
        def save(self, state):
            whole_save(self, state)
            if len(state()["history"]) > epochs:
                raise Stop

        return save

    whole_save = Checkpoint.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "save", stop_after(3))
        with pytest.raises(Stop):
            experiments.run(quick, made_by="old", checkpoint_seconds=0)
    same = experiments.run(quick, made_by="new")
    assert "begins anew" in capsys.readouterr().out
    assert same.history == experiments.run(quick, resume=False).history


def test_bfloat16_trains_to_much_the_same(quick, own_data):
    exact = experiments.run(quick, resume=False).history[-1]
    rounded = experiments.run(replace(quick, train=replace(quick.train, precision="bfloat16")), resume=False).history[
        -1
    ]
    assert rounded != exact
    assert rounded["train_loss"] == pytest.approx(exact["train_loss"], rel=0.02)


def test_small_networks_use_one_thread_and_give_the_others_back(quick):
    before = torch.get_num_threads()
    small, large = nn.Linear(10, 10), nn.Linear(1000, 1000)
    with Machine().cpu_threads(small, 32) as threads:
        assert threads == torch.get_num_threads() == 1
    with Machine().cpu_threads(large, 256) as threads:
        assert threads == before
    with Machine(threads=1).cpu_threads(large, 256) as threads:
        assert threads == 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.0}, "lr must be above 0"),
        ({"lr": math.nan}, "lr must be above 0"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 0}, "None for the full batch"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\)"),
        ({"precision": "float16"}, "there are: float32, bfloat16"),
    ],
)
def test_impossible_settings_are_refused_before_any_compute(quick, change, message, monkeypatch):
    monkeypatch.setattr(experiments, "load", lambda *_: pytest.fail("data was read"))
    with pytest.raises(ValueError, match=message):
        experiments.run(replace(quick, train=replace(quick.train, **change)))


def test_devices_are_named_when_they_are_not_there(quick, monkeypatch):
    with pytest.raises(ValueError, match="unknown device 'tpu'; there are: auto, cpu, cuda"):
        experiments.run(quick, machine=Machine("tpu"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="sees no CUDA card"):
        experiments.run(quick, machine=Machine("cuda"))


@pytest.mark.filterwarnings("default")  # inductor's of some versions
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
@pytest.mark.parametrize(
    "machine", [Machine("cuda"), Machine("cuda", compile=True), Machine("cuda", channels_last=True)]
)
def test_a_cuda_card_gives_a_cpus_numbers_in_the_first_epochs(quick, machine, own_data):
    short = replace(quick, train=replace(quick.train, epochs=2))
    on_cpu = experiments.run(short, machine=Machine("cpu"), resume=False).history
    on_card = experiments.run(short, machine=machine, resume=False).history
    for a, b in zip(on_cpu, on_card, strict=True):
        assert b == pytest.approx(a, rel=5e-3, abs=2e-3)


@pytest.mark.parametrize("tf32", [False, True])
def test_what_a_card_may_do_is_set_for_a_run_and_put_back(tf32):
    """PyTorch's own settings are as they were afterwards, whatever happens inside."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    with suppress(KeyError), Machine(tf32=tf32).card():
        assert (matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark) == (tf32, tf32, True)
        raise KeyError
    assert (matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark) == before
