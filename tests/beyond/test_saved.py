"""Networks that are written, read again, and refused where they do not fit."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from lib.beyond import saved
from lib.beyond.saved import WrongCheckpoint, load_network, save_network, sweep_saved, train_and_save, write_branches
from lib.beyond.scans import led_along, networks_of, start
from lib.beyond.two_gradients import Member, follow
from lib.checkpoint import read_state
from lib.data import load
from lib.models import ModelConfig, build
from lib.records import history_frame
from tests.beyond.test_scans import run
from tests.beyond.test_two_gradients import CPU, SMALL


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


@pytest.mark.parametrize("kind", ["fcn", "resnet18"])
def test_saved_networks_are_led_on_as_those_that_were_never_saved(kind, tmp_path):
    """Small networks all at once, large ones singly; over one epoch the order of the images is all that differs."""
    model = SMALL.model if kind == "fcn" else ModelConfig((4,), kind="resnet18")
    scan = replace(SMALL, model=model, dual=replace(SMALL.dual, batch_size=200))  # one batch: no order of images
    path = led_along(scan, [(0.2, 1, 0.1), (0.7, 1, 0.01)], afresh=1)
    train_and_save(path, tmp_path, "ordered", CPU)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ordered_seed00.pt", "ordered_seed01.pt"]
    swept = sweep_saved(path, tmp_path, "ordered", CPU)
    assert swept["stage"].tolist() == [1, 1]
    whole = history_frame(run(path).history)
    expected = whole[whole["stage"] == 1].sort_values("seed")
    assert swept["seed"].tolist() == expected["seed"].tolist() == [0, 1]
    assert np.allclose(swept["test_loss"], expected["test_loss"], rtol=1e-3)
    trained = whole[(whole["stage"] == 0) & (whole["epoch"] == 1)].set_index("seed")["test_error"]
    for seed in (0, 1):
        (network,) = networks_of(path, [Member(seed, 0.4, (0.2, 0.7))], load(path.data))
        about = load_network(tmp_path / f"ordered_seed0{seed}.pt", path.model, network)
        assert about == {
            "seed": seed, "mix": 0.2, "noise_rate": 0.4, "test_error": pytest.approx(trained[seed])
        }  # fmt: skip
    with pytest.raises(WrongCheckpoint, match=r"collapsed_seed00\.pt is no checkpoint"):
        sweep_saved(path, tmp_path, "collapsed", CPU)


@pytest.mark.parametrize("kind", ["fcn", "resnet18"])
def test_a_saved_optimizer_takes_the_step_that_would_have_come_next(kind, tmp_path):
    """The SGD of torch, with the state and the network of the file, against the training that goes on."""
    model = SMALL.model if kind == "fcn" else ModelConfig((4,), kind="resnet18")
    scan = replace(SMALL, model=model, dual=replace(SMALL.dual, batch_size=200, momentum=0.8, weight_decay=0.01))
    path = led_along(scan, [(0.2, 2, 0.1), (0.7, 1, 0.01)], afresh=1)
    train_and_save(path, tmp_path, "ordered", CPU)
    for members in path.blocks():
        dual = start(path, members, CPU)
        follow(dual, members, path.stages[:1])
        for row, member in enumerate(members):
            file = tmp_path / f"ordered_seed0{member.seed}.pt"
            (network,) = networks_of(path, [member], load(path.data))
            load_network(file, path.model, network)
            sgd = torch.optim.SGD(network.parameters(), 1.0)
            sgd.load_state_dict(read_state(file)["optimizer"])
            (group,) = sgd.param_groups
            assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.1, 0.8, 0.01)
            before, velocity = dual.flat.values[row].clone(), dual._velocity[row]
            for parameter in network.parameters():
                parameter.grad = torch.zeros_like(parameter)  # momentum and decay alone
            sgd.step()
            after = torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
            assert torch.allclose(after, before - 0.1 * (0.8 * velocity + 0.01 * before), atol=1e-5)
            assert velocity.norm() > 0


def test_branches_are_written_with_their_noise_rate_and_errors(tmp_path):
    up, down = np.array([[0.1, 0.2], [0.15, 0.25], [0.3, 0.4]]), np.array([[0.5, 0.6], [0.6, 0.7], [0.7, 0.8]])
    swept = {("ordered", 0.8): up, ("collapsed", 0.8): down, ("ordered", 0.0): up, ("collapsed", 0.0): up + 0.05}
    before = {where: errors[0] - 0.01 for where, errors in swept.items()}
    write_branches(tmp_path, (0.3, 0.5, 0.7), swept, before)
    table = pd.read_csv(tmp_path / "hysteresis.csv")
    assert table.set_index(["branch", "eta", "mix", "seed"])["error"].to_dict() == {
        (branch, rate, mix, seed): errors[row, seed]
        for (branch, rate), errors in swept.items()
        for row, mix in enumerate((0.3, 0.5, 0.7))
        for seed in (0, 1)
    }
    networks = json.loads((tmp_path / "hysteresis.json").read_text(encoding="utf-8"))
    assert len(networks) == 4 * 2
    (one,) = [n for n in networks if (n["branch"], n["eta"], n["seed"]) == ("collapsed", 0.8, 1)]
    assert [point["lambda"] for point in one["trajectory"]] == [0.7, 0.5, 0.3]  # led down
    assert [point["error"] for point in one["trajectory"]] == [0.8, 0.7, 0.6]
    assert (one["init_error"], one["final_error"]) == (pytest.approx(0.59), 0.6)
    (other,) = [n for n in networks if (n["branch"], n["eta"], n["seed"]) == ("ordered", 0.8, 0)]
    assert [point["lambda"] for point in other["trajectory"]] == [0.3, 0.5, 0.7]
    assert (tmp_path / "summary.txt").read_text(encoding="utf-8").splitlines() == [
        "eta = 0.8: gap at lambda = 0.5: 45.0 % (seeds: 45.0 to 45.0 %); two-branch structure: YES",
        "eta = 0: gap at lambda = 0.5: 5.0 % (seeds: 5.0 to 5.0 %); two-branch structure: WEAK or NO",
    ]


def test_the_mark_of_two_branches_is_the_originals():
    """A gap of more than 0.10."""
    assert saved.two_branches(np.array([0.05, 0.15])) == "WEAK or NO"
    assert saved.two_branches(np.array([0.05, 0.16])) == "YES"
    assert saved.label("ordered", 0.8) == "ordered_eta0.8"
