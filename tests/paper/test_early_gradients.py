"""A training that measures its gradients early: the same training, with gaps where they are not asked for."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from lib.checkpoint import Checkpoint
from lib.experiments import as_dict, with_seeds
from lib.paper import early_gradients, presets
from lib.paper.early_gradients import EVERY, EarlyGradients
from lib.records import experiment_from, run_now

ONE = replace(presets.mnist("smoke"), train=replace(presets.mnist("smoke").train, epochs=12))
GRADIENTS = ("ratio", "norm", "cos")  # what their columns begin with


def early(until: int) -> EarlyGradients:
    return EarlyGradients(ONE.data, ONE.noise, ONE.model, ONE.train, ONE.observe, early=until)


def test_it_is_the_same_training_and_its_gradients_are_known_where_they_are_asked_for(own_data):
    whole, found = (run_now(one, progress=False).history for one in (ONE, early(3)))
    measured = found["ratio"].notna()
    least = found["test_error"].cummin().shift(fill_value=np.inf)
    expected = (found["epoch"] <= 3) | (found["epoch"] % EVERY == 0) | (found["test_error"] < least)
    assert measured.tolist() == expected.tolist()
    assert not measured.all()
    assert set(found) == set(whole)
    for column in found:
        gradient = column.startswith(GRADIENTS)
        rows = measured if gradient else slice(None)
        assert found.loc[rows, column].equals(whole.loc[rows, column]), column
        assert not gradient or found.loc[~measured, column].isna().all()


def test_its_gradients_are_known_at_the_early_stop_however_late(own_data):
    runs = [run_now(one, progress=False) for one in with_seeds(early(0), 3)]
    assert all(np.isfinite(run.at(run.early_stop)["ratio"]) for run in runs)
    assert max(run.early_stop for run in runs) > EVERY
    # gaps are left out of what is read up to the stop
    assert all(np.isfinite(run.until_stop("ratio")).all() for run in runs)


@pytest.mark.parametrize("cut", [2, 9, 12])
def test_a_run_that_was_cut_goes_on_to_the_same_numbers(cut, own_data, monkeypatch):
    one = early(3)
    expected = run_now(one, resume=False, progress=False).history
    monkeypatch.setattr(early_gradients, "Checkpoint", partial(Checkpoint, seconds=0.0))
    measure = early_gradients._EarlyObserver.__call__

    def cut_off(self, model):
        if self.epoch == cut:
            raise KeyboardInterrupt
        return measure(self, model)

    monkeypatch.setattr(early_gradients._EarlyObserver, "__call__", cut_off)
    with pytest.raises(KeyboardInterrupt):
        run_now(one, progress=False)
    assert (own_data / "checkpoints" / f"{one.slug}.pt").exists()
    monkeypatch.setattr(early_gradients._EarlyObserver, "__call__", measure)
    assert run_now(one, progress=False).history.equals(expected)
    assert not (own_data / "checkpoints" / f"{one.slug}.pt").exists()


def test_it_has_a_key_of_its_own_and_is_made_of_its_settings():
    assert len({ONE.key, early(3).key, early(4).key}) == 3
    assert experiment_from(as_dict(early(3)), "early gradients") == early(3)
    assert early(3).short().train.epochs == 2
    assert early(3).short().early == 3


def test_settings_that_cannot_be_meant_are_refused():
    with pytest.raises(ValueError, match="early must be at least 0, not -1"):
        early(-1).validate()
    with pytest.raises(ValueError, match=r"observe\.gradients=True"):
        replace(early(1), observe=replace(ONE.observe, gradients=False)).validate()
