"""Networks that are written, read again, and refused where they do not fit."""

import pickle
from dataclasses import replace

import pytest
import torch

from lib.beyond.saved import WrongCheckpoint, load_network, save_network
from lib.models import ModelConfig, build


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
