"""The training that stops by itself: here what it must be told before it is trusted with networks of one's own."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lib import stopped
from lib.data import DataConfig, load
from lib.experiments import generator
from lib.noise import symmetric
from lib.stopped import Inputs, Recipe, train_until_stop

CPU = torch.device("cpu")


def network(dropout: float) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Dropout(dropout), nn.ReLU(), nn.Linear(32, 10))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_an_interrupted_training_goes_on_to_the_same_numbers(dropout, tmp_path, monkeypatch):
    task = load(DataConfig("digits"))
    given = symmetric(task.train_labels, 0.3, 10, generator(0, "noise")).given
    inputs, recipe = Inputs(task.train_images, CPU), Recipe(epochs=24, device="cpu")
    run = partial(train_until_stop, inputs=inputs, given=given, recipe=recipe, progress=False)
    whole = run(network(dropout))
    monkeypatch.setattr(stopped, "_Keeper", partial(stopped._Keeper, seconds=0.0))
    path, rounds = tmp_path / "checkpoint.pt", []

    def interrupt(model, averaged):
        rounds.append(1)
        if len(rounds) == 3:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        run(network(dropout), watch=interrupt, checkpoint=path)
    assert path.exists()
    again = run(network(dropout), checkpoint=path)
    assert not path.exists()
    assert len(whole.history) == len(again.history) > 3
    for mine, other in zip(whole.history, again.history, strict=True):
        assert {k: v for k, v in mine.items() if "seconds" not in k} == {
            k: v for k, v in other.items() if "seconds" not in k
        }
    assert whole.stop == again.stop
    assert torch.equal(whole.mean_margin, again.mean_margin)
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.model.state_dict().values(), again.model.state_dict().values(), strict=True)
    )


class Largest(TorchDispatchMode):
    """The most bytes that any tensor took that was made inside."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for made in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(made, torch.Tensor) and "split" not in func.__name__:
                self.bytes = max(self.bytes, made.nbytes)
        return result


@pytest.mark.parametrize("side", [28, 64])
def test_standardising_images_takes_little_memory_whatever_their_size(side):
    images = torch.zeros(4096, 3 if side > 28 else 1, side, side, dtype=torch.uint8)
    with Largest() as largest:
        Inputs(images, CPU)
    assert 0 < largest.bytes <= 2**28
