"""Networks that are written, read again, and refused where they do not fit."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from lib.beyond.saved import WrongCheckpoint, load_network, save_network, sweep_saved, train_and_save, write_branches
from lib.beyond.scans import led_along, networks_of
from lib.beyond.two_gradients import Member
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
        assert about == {"seed": seed, "mix": 0.2, "test_error": pytest.approx(trained[seed])}
    with pytest.raises(WrongCheckpoint, match=r"collapsed_seed00\.pt is no checkpoint"):
        sweep_saved(path, tmp_path, "collapsed", CPU)


def test_branches_are_written_as_a_row_a_point(tmp_path):
    up, down = np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([[0.5, 0.6], [0.7, 0.8]])
    write_branches(tmp_path, (0.3, 0.7), {"ordered": up, "collapsed": down}, "gap at 0.5 ± 0.1\n")
    table = pd.read_csv(tmp_path / "hysteresis.csv")
    assert list(table.columns) == ["mix", "seed", "test_error", "branch"]
    assert table.set_index(["branch", "mix", "seed"])["test_error"].to_dict() == {
        (name, mix, seed): values[row, seed]
        for name, values in (("ordered", up), ("collapsed", down))
        for row, mix in enumerate((0.3, 0.7))
        for seed in (0, 1)
    }
    rows = json.loads((tmp_path / "hysteresis.json").read_text(encoding="utf-8"))
    assert rows == table.to_dict("records")
    assert (tmp_path / "summary.txt").read_text(encoding="utf-8") == "gap at 0.5 ± 0.1\n"
