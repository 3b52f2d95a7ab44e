"""What chapter 17 reads off tables, measures besides, and draws: against numbers put in by hand."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from lib.suspects.compare import METHODS
from lib.suspects.early_stop import Inputs
from lib.suspects.evaluation import (
    Comparison,
    against_whole_gradient,
    cross_validated_margins,
    histograms,
    intervals,
)


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


@pytest.fixture
def comparison() -> Comparison:
    """Two cells of two seeds; a method's precision is its place in `METHODS`, a hundredth more in the second seed."""
    rows = [
        {"seed": seed, "method": k, "average_precision": k + seed / 100, "count": 7 + seed}
        for seed in (0, 1)
        for k in range(len(METHODS))
    ]
    table = pd.DataFrame(rows)
    upside_down = table.assign(average_precision=-table["average_precision"])
    return Comparison({"even": SimpleNamespace(table=table), "odd": SimpleNamespace(table=upside_down)})


def test_values_are_those_of_the_method_one_a_seed(comparison):
    assert comparison.of("even", "AUM", "average_precision").tolist() == [3, 3.01]
    assert comparison.of("odd", "suspects", "count").tolist() == [7, 8]
    assert comparison.gain("even", "small loss").tolist() == pytest.approx([-5, -5])
    assert comparison.gain("odd", "small loss", method="AUM").tolist() == pytest.approx([2, 2])
    with pytest.raises(ValueError, match="guessing"):
        comparison.of("even", "guessing", "count")


def test_the_best_is_the_best_of_those_named(comparison):
    assert comparison.best("even", ("margin", "AUM", "small loss")) == "small loss"
    assert comparison.best("odd", ("margin", "AUM", "small loss")) == "AUM"


def test_networks_that_never_saw_a_label_contradict_the_wrong_ones():
    draws = torch.Generator().manual_seed(0)
    true = torch.arange(300) % 3
    images = 4 * torch.eye(3)[true] + torch.randn(300, 3, generator=draws)
    wrong = torch.rand(300, generator=draws) < 0.1
    found = cross_validated_margins(images, torch.where(wrong, (true + 1) % 3, true), 3)
    assert (found != 0).all()  # each was asked for
    assert (found[wrong] < 0).double().mean() > 0.9
    assert (found[~wrong] > 0).double().mean() > 0.9


def test_each_sample_is_held_against_the_sum_of_all_gradients():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).eval()
    inputs, given = Inputs(torch.randn(11, 4), torch.device("cpu")), torch.arange(11) % 3
    each = []
    for k in range(11):
        loss = nn.functional.cross_entropy(model(inputs(torch.tensor([k]))), given[k : k + 1])
        each.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))]))
    each = torch.stack(each).double()
    expected = nn.functional.cosine_similarity(each, each.sum(0, keepdim=True)).numpy()
    for chunk in (200, 4):
        np.testing.assert_allclose(against_whole_gradient(model, inputs, given, chunk), expected, atol=1e-5)


def test_histograms_count_right_and_wrong_labels_apart(axes):
    values = np.array([0.0, 0.0, 0.1, 0.9, 1.0, 1.0, 1.0, 0.5])
    wrong = np.array([True, True, True, False, False, False, False, False])
    histograms(axes, values, wrong)
    counts = [patch.get_data().values.sum() for patch in axes.patches]
    assert counts == [5, 5, 3, 3]  # a line and its filling each
    places = {text.get_text(): text.xy for text in axes.texts}
    assert places["right label"][1] == 3
    assert places["right label"][0] == pytest.approx(1, abs=0.05)
    assert places["wrong label"] == (0, 2)


def test_intervals_stand_in_their_rows_from_top_to_bottom(axes):
    found = {"one": [(1, 0, 2), (5, 4, 7)], "two": [(-1, -2, 0), (0, -1, 1)]}
    intervals(axes, ["first", "second"], found)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first", "second"]
    low, high = axes.get_ylim()
    assert low > high  # the first row is on top
    marks = [line for line in axes.lines if len(line.get_xdata()) == 1]
    assert [float(line.get_xdata()[0]) for line in marks] == [1, 5, -1, 0]
    assert [round(float(line.get_ydata()[0])) for line in marks] == [0, 1, 0, 1]
    spans = [list(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]
    assert [0, 2] in spans
    assert [4, 7] in spans
    assert axes.get_legend_handles_labels()[1] == ["one", "two"]
