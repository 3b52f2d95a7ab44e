"""Rules for stopping: what they look at, against direct gradients, and where each of them stops."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from lib.data import DataConfig
from lib.experiments import as_dict
from lib.models import ModelConfig
from lib.noise import NoiseConfig
from lib.records import experiment_from
from lib.suspects import stop_rules
from lib.suspects.early_stop import Inputs, Recipe
from lib.suspects.stop_rules import RULES, StopRules, chosen, dominance

CPU = torch.device("cpu")
RUN = StopRules(
    data=DataConfig("digits"), noise=NoiseConfig(0.4), model=ModelConfig((16,)), recipe=Recipe(epochs=12)
)  # fmt: skip


def model_and_samples() -> tuple[nn.Module, Inputs, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(48, 4)
    )
    return model, Inputs(torch.randn(30, 1, 6, 6), CPU), torch.randint(0, 4, (30,))


def length(model: nn.Module, inputs: Inputs, given: torch.Tensor, some: list[int]) -> float:
    """Of the sum of the samples' gradients, each taken alone."""
    total = {}
    for k in some:
        model.zero_grad()
        h = model(inputs(torch.tensor([k])))[0]
        (h.logsumexp(0) - h[given[k]]).backward()
        for name, p in model.named_parameters():
            total[name] = total.get(name, 0) + p.grad.double().clone()
    model.zero_grad(set_to_none=True)
    return math.sqrt(sum(float(g.square().sum()) for g in total.values()))


@pytest.mark.parametrize("size", [None, 4])
def test_the_ratio_is_that_of_gradients_taken_one_by_one(size, monkeypatch):
    if size:
        monkeypatch.setattr(stop_rules, "images_at_once", lambda *_: size)
    model, inputs, given = model_and_samples()
    wrong = torch.arange(30) % 3 == 0
    model.eval()
    expected = [length(model, inputs, given, (wrong == side).nonzero().squeeze(1).tolist()) for side in (False, True)]
    model.train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    assert dominance(model, inputs, given, wrong) == pytest.approx(expected[0] / expected[1], rel=1e-4)
    assert model.training
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert expected[0] != pytest.approx(expected[1], rel=0.1)


def test_the_ratio_where_none_or_all_are_wrong():
    model, inputs, given = model_and_samples()
    assert math.isnan(dominance(model, inputs, given, torch.zeros(30, dtype=torch.bool)))
    assert dominance(model, inputs, given, torch.ones(30, dtype=torch.bool)) == 0


def history(**columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "held_out_accuracy": [0.1, 0.5, 0.9, 0.2, 0.6, 0.7, 0.6, 0.1],
            "test_error": [0.9, 0.5, 0.3, 0.2, 0.25, 0.3, 0.2, 0.6],
            "ratio": [9.0, 4.0, 2.0, 1.5, 1.0, 0.5, 2.0, 0.4],
            "ratio_estimated": [math.nan, math.nan, 5.0, 3.0, 1.2, math.nan, 0.9, 0.8],
        }
        | columns
    )


def test_each_rule_stops_where_it_says():
    assert chosen(history()) == {
        "best of all": 3,  # the first of two
        "held-out labels": 5,  # (.6 + .7 + .6) / 3, while (.5 + .9 + .2) / 3 is less
        "estimated ratio": 6,
        "true ratio": 4,
        "never": 7,
    }
    assert set(chosen(history())) == set(RULES)


def test_a_rule_that_never_says_stop_goes_on_to_the_last():
    never = history(ratio=[9.0] * 8, ratio_estimated=[math.nan] * 8)
    assert chosen(never)["true ratio"] == chosen(never)["estimated ratio"] == 7
    at_once = history(ratio=[1.0] + [0.5] * 7, ratio_estimated=[0.5] + [math.nan] * 7)
    assert chosen(at_once)["true ratio"] == chosen(at_once)["estimated ratio"] == 0


def test_the_ends_are_averaged_over_what_there_is():
    found = chosen(history(held_out_accuracy=[0.7, 0.75, 0.5, 0, 0, 0, 0.7, 0.76]))
    assert found["held-out labels"] == 7  # .73 against (.7 + .75) / 2


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return RUN.rows(CPU, None)


def test_a_run_has_a_row_a_round_and_is_never_stopped(rows):
    table = pd.DataFrame(rows)
    assert list(table.columns) == [
        "epoch", "train_loss", "held_out_accuracy", "test_error", "test_error_averaged", "ratio", "ratio_estimated",
        "suspected",
    ]  # fmt: skip
    assert table["epoch"].tolist() == [4, 8, 12]  # 18 steps an epoch: four make 64
    assert table[["held_out_accuracy", "test_error", "test_error_averaged", "suspected"]].stack().between(0, 1).all()
    assert table["ratio"].gt(0).all()
    assert np.isfinite(table["ratio"]).all()
    assert table["test_error_averaged"].iloc[-1] < 0.3
    assert 0.2 < table["suspected"].iloc[-1] < 0.6


def test_a_long_run_of_a_hopeless_task_goes_on_to_the_end():
    run = replace(RUN, noise=NoiseConfig(0.89), recipe=Recipe(epochs=40, lr=1e-6), model=ModelConfig((4,)))
    assert run.rows(CPU, None)[-1]["epoch"] == 40


@pytest.mark.parametrize(
    "size",
    [None, 300],
)
def test_short_gives_the_first_rows_of_the_whole(size):
    run = replace(RUN, data=DataConfig("digits", train_size=size), recipe=Recipe(epochs=48 if size else 12))
    short = run.short().rows(CPU, None)
    assert short
    assert short == run.rows(CPU, None)[: len(short)]


def test_settings_come_back_from_a_record_and_bad_ones_are_named():
    run = replace(RUN, seed=4, recipe=Recipe(epochs=9, lr=0.1))
    assert experiment_from(as_dict(run), "stopping") == run
    assert run.slug.startswith("digits-stopping0.4-seed4-")
    for changed, message in (
        ({"noise": NoiseConfig(1.0)}, "noise_rate"),
        ({"recipe": Recipe(epochs=0)}, "epochs must be at least 1"),
        ({"seed": -1}, "seed must lie in"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(RUN, **changed).validate()
