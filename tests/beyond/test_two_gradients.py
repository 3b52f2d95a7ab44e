"""The mixed step against plain PyTorch, one network at a time; scans that are killed; paths; checkpoints."""

import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from torch import nn

from lib import records
from lib.beyond import two_gradients
from lib.beyond.two_gradients import (
    DualConfig,
    DualPath,
    DualScan,
    Member,
    Samples,
    Stage,
    WrongCheckpoint,
    closed_loop,
    follow,
    load_network,
    mixed,
    save_network,
    start,
)
from lib.data import DataConfig, load
from lib.experiments import generator as make_generator
from lib.models import ModelConfig, build
from lib.paths import ROOT
from lib.train import Machine

CPU = torch.device("cpu")
SMALL = DualScan(
    data=DataConfig("digits", train_size=200, test_size=100), model=ModelConfig((16, 12), batch_norm=True),
    dual=DualConfig(refresh=3, batch_size=32), seeds=2, noise_rates=(0.4,), mixes=(0.1, 0.6), epochs=2, milestones=(1,),
)  # fmt: skip


def run(settings, **changes):
    given = {"machine": Machine("cpu"), "folder": None, "resume": False, "made_by": "", "progress": False} | changes
    return settings.run(**given)


def test_the_mix_of_known_vectors():
    noisy, clean = torch.tensor([[3.0, 4.0], [0.0, 2.0]]), torch.tensor([[0.0, 5.0], [1.0, 0.0]])
    mix = torch.tensor([[0.25], [0.5]])
    each = torch.tensor([[0.75 * 0.6, 0.75 * 0.8 + 0.25], [0.5, 0.5]])
    assert torch.allclose(mixed(noisy, clean, mix), each)
    assert torch.allclose(mixed(noisy, clean, mix, "mix"), each / each.norm(dim=1, keepdim=True))
    assert torch.allclose(mixed(noisy, clean, mix, "none"), torch.tensor([[2.25, 4.25], [0.5, 1.0]]))


def one_by_one(settings: DualScan, member: Member, batches: list[torch.Tensor]) -> nn.Sequential:
    """The same training by PyTorch's own modules and optimizer, one network."""
    task = load(settings.data)
    samples = Samples(task, [member], settings.dual, 1, False)
    network = build(settings.model, task.input_shape, 10, make_generator(member.seed, "weights"))
    optimizer = torch.optim.SGD(
        network.parameters(), lr=settings.dual.lr, momentum=settings.dual.momentum, weight_decay=5e-4
    )
    vector = nn.utils.parameters_to_vector
    clean = None
    for step, batch in enumerate(batches):
        logits = network(samples.images(batch[None]))
        losses = [nn.functional.cross_entropy(logits, labels[batch]) for labels in (samples.given[0], samples.true)]
        noisy, right = (
            vector(torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)) for loss in losses
        )
        if step % settings.dual.refresh == 0:
            clean = right
        lam = member.mixes[0]
        nn.utils.vector_to_parameters(vector(network.parameters()), network.parameters())
        step_direction = (1 - lam) * noisy / noisy.norm() + lam * clean / clean.norm()
        at = 0
        for p in network.parameters():
            p.grad = step_direction[at : at + p.numel()].view(p.shape).clone()
            at += p.numel()
        optimizer.step()
    return network


@pytest.mark.parametrize("refresh", [1, 3])
def test_the_step_is_plain_pytorchs(refresh):
    settings = replace(SMALL, dual=replace(SMALL.dual, refresh=refresh), milestones=(), epochs=1)
    members = settings.members(5)
    dual = start(settings, members, CPU)
    batches = [batch[0] for batch in Samples(load(settings.data), members, settings.dual, 1, False).batches(32)]
    follow(dual, members, settings.stages)
    assert len(batches) == 7
    assert sorted(torch.cat(batches).tolist()) == list(range(200))
    for row, member in zip(dual.flat.values, members, strict=True):
        alone = nn.utils.parameters_to_vector(one_by_one(settings, member, batches).parameters())
        assert (row - alone).abs().max() <= 1e-5
    assert (dual.flat.values[0] - dual.flat.values[1]).abs().max() > 1e-2


def test_each_step_counts_one_batch_whatever_the_clean_gradient_comes_from():
    """BatchNorm sees a batch once: its running mean is that of one network trained with one forward a step."""
    task = load(SMALL.data)
    for clean_batch, trusted in (("same", 0.0), ("other", 0.0), ("trusted", 0.2)):
        dual = DualConfig(refresh=1, batch_size=32, clean_batch=clean_batch, trusted=trusted)
        settings = replace(
            SMALL, dual=dual, model=ModelConfig((4,), kind="resnet18"), mixes=(0.5,), epochs=1, milestones=()
        )
        (member,) = settings.members(0)
        running = start(settings, [member], CPU)
        batches = [b[0] for b in Samples(task, [member], dual, 1, False).batches(32)]
        first = running.module.network[0](running.samples.images(batches[0][None])).detach()
        running.module.train()
        running.step(batches[0][None], torch.tensor([[0.5]]), 0.1)
        norm = running.module.network[1]
        assert norm.num_batches_tracked == 1
        assert torch.allclose(norm.running_mean, 0.1 * first.mean((0, 2, 3)), atol=1e-6)


def test_a_trusted_set_lies_apart_and_is_right():
    task = load(SMALL.data)
    config = replace(SMALL.dual, clean_batch="trusted", trusted=0.25)
    members = [Member(seed, 0.4, (0.5,)) for seed in (0, 1)]
    samples = Samples(task, members, config, 1, False)
    trained = torch.cat(list(samples.batches(64)), dim=1)
    for row, given in zip(trained, samples.given, strict=True):
        apart = set(range(200)) - set(row.tolist())
        assert len(apart) == 50
        assert len(row) == 150
        assert (given[list(apart)] == task.train_labels[list(apart)]).all()
        wrong = (given != task.train_labels)[row]
        for c in range(10):
            mine = task.train_labels[row] == c
            assert wrong[mine].sum() == round(0.4 * mine.sum().item())
    zero = samples.clean_batch(64, True)[0]
    assert set(zero.tolist()) <= set(range(200)) - set(trained[0].tolist())
    assert not torch.equal(trained[0], trained[1])


def test_shifted_and_mirrored_images_are_among_the_possible_ones(generator):
    images = torch.rand(12, 2, 6, 6, generator=generator)
    cropped = two_gradients._cropped(images, generator, margin=2)
    padded = nn.functional.pad(images, [2] * 4)
    seen = set()
    for image, result in zip(padded, cropped, strict=True):
        possible = {
            (down, right, flip): image[:, down : down + 6, right : right + 6].flip(*([2] if flip else []))
            if flip
            else image[:, down : down + 6, right : right + 6]
            for down in range(5) for right in range(5) for flip in (False, True)
        }  # fmt: skip
        matches = [place for place, candidate in possible.items() if torch.equal(candidate, result)]
        assert matches
        seen.add(matches[0])
    assert len(seen) > 6


def test_a_scan_has_every_point_once_and_its_first_rows_are_those_of_its_short_form():
    table = records.history_frame(run(SMALL).history)
    assert len(table) == len(table.drop_duplicates(["seed", "noise_rate", "mix", "epoch"])) == 2 * 2 * 3
    assert table["epoch"].max() == 2
    assert set(table["stage"]) == {0, 1}
    short = records.history_frame(run(SMALL.short(1)).history)
    columns = ["seed", "mix", "epoch", "test_error", "test_loss"]
    assert short[columns].equals(table[columns].head(len(short)))


def test_dead_units_and_spread_of_known_networks():
    settings = replace(SMALL, mixes=(0.5, 0.5), milestones=(), epochs=1)
    members = settings.members(0)
    dual = start(settings, members, CPU)
    before = dual.measure()
    with torch.no_grad():  # the second network: all its last hidden units pushed far below zero
        dual.module.layers[4].bias[1] = -100.0
        dual.module.layers[-1].bias[1] = torch.arange(10.0)
    found = dual.measure()
    assert found["dead"][1] == 1
    assert found["dead"][0] == before["dead"][0] < 1
    assert found["spread"][1] == 0 < found["spread"][0]
    constant = nn.functional.cross_entropy(torch.arange(10.0).expand(100, -1), dual.samples.test_labels)
    assert found["test_loss"][1] == pytest.approx(constant.item(), rel=1e-5)
    assert found["test_error"][1] == (dual.samples.test_labels != 9).float().mean()


SCRIPT = """
import sys
from dataclasses import replace
from lib.train import Machine
from tests.beyond.test_two_gradients import SMALL
replace(SMALL, seeds=60).run(machine=Machine("cpu"), folder=sys.argv[1], resume=True, made_by="x", progress=False)
"""


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
    done = {path.name: path.read_text() for path in parts.glob("block*.json")}
    assert 3 <= len(done) < 60
    started = []
    real = two_gradients.start

    def counting(settings, block, device, folder=None):
        started.append(block[0].seed)
        return real(settings, block, device, folder)

    monkeypatch.setattr(two_gradients, "start", counting)
    again = run(settings, folder=tmp_path, resume=True, made_by="x").history
    assert sorted(started) == [n for n in range(60) if f"block{n}.json" not in done]
    keyed = [{(r["seed"], r["mix"], r["epoch"]): r["test_loss"] for r in rows} for rows in (whole, again)]
    assert keyed[0] == keyed[1]
    assert not parts.exists()


def test_a_damaged_block_is_made_anew(tmp_path):
    parts = tmp_path / "checkpoints" / f"{SMALL.slug}-x-cpu"
    parts.mkdir(parents=True)
    (parts / "block0.json").write_text('{"rows": [')
    rows = run(SMALL, folder=tmp_path, resume=True, made_by="x").history
    assert [row["test_loss"] for row in rows] == [row["test_loss"] for row in run(SMALL).history]


def test_a_loop_goes_up_and_down_with_one_dwell():
    path = closed_loop((0.2, 0.4, 0.6), 2, 0.1, warm_up=5)
    assert [mix for mix, _, _ in path] == [0.2, 0.2, 0.4, 0.6, 0.6, 0.4, 0.2]
    assert [epochs for _, epochs, _ in path] == [5, 2, 2, 2, 2, 2, 2]
    with pytest.raises(ValueError, match="rising"):
        closed_loop((0.4, 0.2), 1, 0.1, warm_up=1)


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


def test_checkpoints_name_what_does_not_fit(tmp_path, generator):
    model = ModelConfig((16, 12), batch_norm=True)
    network, other = (build(model, (1, 8, 8), 10, torch.Generator().manual_seed(s)) for s in (0, 1))
    path = tmp_path / "ordered.pt"
    save_network(path, model, network, {"test_error": 0.25})
    assert load_network(path, model, other) == {"test_error": 0.25}
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    )
    leaky = replace(model, activation="leaky_relu")
    with pytest.raises(WrongCheckpoint, match="16x12 relu with BatchNorm, not fcn 16x12 leaky_relu"):
        load_network(path, leaky, build(leaky, (1, 8, 8), 10, generator))
    with pytest.raises(WrongCheckpoint, match="does not fit images"):
        load_network(path, model, build(model, (1, 7, 7), 10, generator))
    unsafe = tmp_path / "unsafe.pt"
    unsafe.write_bytes(pickle.dumps({"architecture": print}))
    with pytest.raises(WrongCheckpoint, match="no checkpoint"):
        load_network(unsafe, model, other)


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
        made = records.train(settings, machine=Machine("cpu"), folder=tmp_path, resume=False, progress=False)
        store = records.Store(tmp_path)
        store.put(made)
        _history, provenance = records.read(store.path(settings))
        again = records.experiment_from(provenance["settings"], provenance["kind"])
        assert again == settings
        assert again.key == settings.key
        assert records.verify(store.path(settings), machine=Machine("cpu")).agrees
    assert replace(SMALL, mixes=(0, 1)).key == replace(SMALL, mixes=(0.0, 1.0)).key


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
@pytest.mark.parametrize("kind", ["fcn", "resnet18"])
def test_a_card_gives_the_steps_of_a_cpu(kind):
    model = SMALL.model if kind == "fcn" else ModelConfig((8,), kind="resnet18")
    settings = replace(SMALL, model=model, mixes=(0.3,), epochs=1, milestones=(), augment=kind != "fcn")
    members = settings.members(0)
    rows = {}
    for device in ("cpu", "cuda"):
        dual = start(settings, members, torch.device(device))
        for batch in list(dual.samples.batches(32))[:3]:
            dual.step(batch, torch.full((1, 1), 0.3, device=device), 0.1)
        rows[device] = dual.flat.values.cpu()
    assert (rows["cuda"] - rows["cpu"]).norm() / rows["cpu"].norm() <= 1e-4
