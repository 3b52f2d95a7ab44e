"""The penalty's training that goes on where it was cut off: the same training, whenever that was."""

from dataclasses import fields, replace
from functools import partial

import pytest

from lib.beyond import long_selective, presets
from lib.beyond.long_selective import LongSelective
from lib.beyond.penalties import SelectiveTraining
from lib.checkpoint import Checkpoint
from lib.data import DataConfig
from lib.experiments import as_dict
from lib.models import ModelConfig
from lib.noise import NoiseConfig
from lib.records import experiment_from, run_now
from lib.train import TrainConfig

ONE = LongSelective(
    data=DataConfig("digits", train_size=600, test_size=300),
    noise=NoiseConfig(0.2),
    model=ModelConfig((4, 6, 16), kind="cnn", dropout=0.5),  # what dropout draws must go on as well
    train=TrainConfig(lr=1e-2, epochs=4, batch_size=64),
    condition="selective_49",
    strength=2.0,
    points=30,
    measured=2,
)


def test_it_is_the_same_training(own_data):
    short = SelectiveTraining(**{item.name: getattr(ONE, item.name) for item in fields(ONE)})
    assert run_now(ONE, progress=False).history.equals(run_now(short, progress=False).history)


@pytest.mark.parametrize("cut", [2, 4])
@pytest.mark.parametrize("condition", ["selective_49", "global"])
def test_a_run_that_was_cut_goes_on_to_the_same_numbers(cut, condition, own_data, monkeypatch):
    one = replace(ONE, condition=condition)
    expected = run_now(one, resume=False, progress=False).history
    monkeypatch.setattr(long_selective, "Checkpoint", partial(Checkpoint, seconds=0.0))
    measure, begun = LongSelective._measure, []

    def cut_off(self, model, task, epoch, alike):
        begun.append(epoch)
        if epoch == cut and begun.count(cut) == 1:
            raise KeyboardInterrupt
        return measure(self, model, task, epoch, alike)

    monkeypatch.setattr(LongSelective, "_measure", cut_off)
    with pytest.raises(KeyboardInterrupt):
        run_now(one, progress=False)
    assert (own_data / "checkpoints" / f"{one.slug}.pt").exists()
    assert run_now(one, progress=False).history.equals(expected)
    assert begun == [*range(1, cut + 1), *range(cut, 5)]
    assert not (own_data / "checkpoints" / f"{one.slug}.pt").exists()


def test_the_preset_of_the_originals_size_is_made_so_and_has_a_key_of_its_own():
    whole = presets.selective("paper", "global", 0.2, 8.0)
    assert isinstance(whole, LongSelective)
    assert (whole.data.train_size, whole.train.epochs, whole.pool, whole.model.dropout) == (None, 15, 1, 0.5)
    assert experiment_from(as_dict(whole), "long selective") == whole
    short = SelectiveTraining(**{item.name: getattr(whole, item.name) for item in fields(whole)})
    assert short.key != whole.key
    assert not isinstance(presets.selective("cpu", "global", 0.2, 8.0), LongSelective)
