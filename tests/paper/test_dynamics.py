"""The claims of a learning-dynamics figure on histories whose verdict is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lib.paper import dynamics
from lib.press.claims import Ledger
from lib.records import Run, Runs

RATE = 0.4


def runs(quick, **changed) -> Runs:
    """Two seeds of a history as the paper says it should be, but for some columns."""
    paper = {
        "epoch": range(6),
        "clean_error": [0.5, 0.3, 0.05, 0.05, 0.02, 0.0],
        "noisy_error": [0.5, 0.7, 0.95, 0.6, 0.2, 0.0],
        "clean_residual": [0.5, 0.4, 0.3, 0.3, 0.1, 0.0],
        "noisy_residual": [0.5, 0.6, 0.7, 0.5, 0.2, 0.0],
        "test_error": [0.5, 0.3, 0.05, 0.2, 0.3, 0.4],
        "train_error": [0.5, 0.45, 0.4, 0.3, 0.1, 0.0],
    }
    history = pd.DataFrame(paper | changed)
    return Runs([Run(replace(quick, seed=seed), history, {}) for seed in (0, 1)])


def verdicts(some: Runs) -> dict[str, str]:
    ledger = Ledger("chapter", "smoke", live=True)
    dynamics.check(ledger, some, RATE, id="x", of="a network", source="here", figure="fig")
    return {claim.id: claim.verdict for claim in ledger.claims}


def test_the_papers_picture_holds(quick, capsys):
    assert set(verdicts(runs(quick)).values()) == {"holds"}


@pytest.mark.parametrize(
    ("changed", "id", "verdict"),
    [
        ({"noisy_error": [0.5, 0.55, 0.6, 0.95, 0.2, 0.0]}, "noisy-error-rises", "does not hold"),  # too late
        ({"clean_error": [0.5, 0.1, 0.4, 0.05, 0.02, 0.0]}, "clean-error-falls", "does not hold"),  # back and forth
        ({"noisy_residual": [0.5, 0.45, 0.4, 0.5, 0.2, 0.0]}, "residuals-part", "does not hold"),
        ({"noisy_residual": [0.5, 0.8, 0.6, 0.5, 0.2, 0.0]}, "residuals-part", "partly"),  # rises, but not one way
        ({"test_error": [0.5, 0.3, 0.05, 0.06, 0.05, 0.06]}, "test-error-u", "partly"),  # never rises
        ({"test_error": [0.5, 0.4, 0.3, 0.4, 0.5, 0.5]}, "test-error-u", "partly"),  # never far below
    ],
)
def test_another_picture_does_not(quick, capsys, changed, id, verdict):
    found = verdicts(runs(quick, **changed))
    assert found[f"x-{id}"] == verdict
    assert sum(value != "holds" for value in found.values()) == 1


def test_two_seeds_that_differ_too_much_decide_nothing(quick, capsys):
    one, _ = runs(quick)
    _, other = runs(quick, test_error=[0.5, 0.3, 0.05, 0.2, 0.1, 0.1])
    assert verdicts(Runs([one, other]))["x-test-error-u"] == "partly"
    assert verdicts(Runs([one, other]))["x-noisy-error-rises"] == "holds"


@pytest.mark.parametrize(
    ("values", "sign", "expected"),
    [
        ([1.0, 0.8, 0.5], -1, 1.0),
        ([1.0, 0.8, 0.5], 1, -1.0),
        ([1.0, 0.5, 0.9], -1, 0.1 / 0.9),
        ([1.0, 0.5, 1.0], -1, 0.0),
        ([1.0, 1.0, 1.0], -1, 0.0),
    ],
)
def test_steadiness_is_the_net_change_over_all_movement_up_to_the_stop(quick, values, sign, expected):
    (one, _) = runs(quick, ratio=[*values, 7.0, 0.1, 3.0])
    assert dynamics.steadiness(one, "ratio", sign) == pytest.approx(expected)


def test_steadiness_of_a_logarithm(quick):
    (one, _) = runs(quick, ratio=[4.0, 1.0, 2.0, 1.0, 1.0, 1.0])
    assert dynamics.steadiness(one, "ratio", -1, log=True) == pytest.approx(1 / 3)


def test_the_epoch_after_the_stop_stands_for_it_and_the_last_one_for_itself(quick):
    assert dynamics.after_stop(runs(quick)[0]) == 0.2
    assert dynamics.after_stop(runs(quick)[0], "noisy_error") == 0.6
    assert dynamics.after_stop(runs(quick, test_error=[0.5, 0.4, 0.3, 0.2, 0.1, 0.05])[0]) == 0.05


def test_the_stage_between_stop_and_fit(quick):
    (one, _) = runs(quick, train_error=[0.5, 0.45, 0.4, 0.3, 0.01, 0.0], ratio=range(6), other=range(10, 16))
    assert dynamics.first_fit(one) == 4
    assert dynamics.between_stop_and_fit(one, ["ratio", "other"]).tolist() == [[3, 13], [4, 14]]
    (never, _) = runs(quick, train_error=[0.5] * 6, ratio=range(6))
    assert np.isnan(dynamics.first_fit(never))
    assert dynamics.between_stop_and_fit(never, ["ratio"]).tolist() == [[3], [4], [5]]
    (late, _) = runs(quick, test_error=[0.5, 0.4, 0.3, 0.2, 0.1, 0.05], ratio=range(6))
    assert dynamics.between_stop_and_fit(late, ["ratio"]).tolist() == [[5]]


def test_the_peak_counts_up_to_the_early_stop_only(quick):
    (one, _) = runs(quick, noisy_error=[0.5, 0.7, 0.8, 1.0, 0.2, 0.0])
    assert dynamics.noisy_peak(one) == 0.8
    assert np.array_equal(one.until_stop("epoch"), [0, 1, 2])
    assert np.array_equal(one.after_stop("epoch"), [2, 3, 4, 5])


def test_the_figure_shows_every_subset_and_the_early_stop(quick):
    fig = dynamics.three_panels(runs(quick), RATE)
    names = [{line.get_gid() for line in axes.lines if line.get_gid()} for axes in fig.axes]
    assert names == [{"clean", "noisy"}, {"clean", "noisy"}, {"test", "training"}]
    assert all(any(line.get_xdata()[0] == 2 == line.get_xdata()[-1] for line in axes.lines) for axes in fig.axes)


def test_a_sweep_is_judged_condition_by_condition(quick, capsys):
    """One condition out of three that goes another way makes the claim partly true, and only that claim."""
    sweep = {
        "a": runs(quick),
        "b": runs(quick),
        "c": runs(quick, noisy_error=[0.5, 0.55, 0.6, 0.95, 0.2, 0.0]),
    }
    ledger = Ledger("chapter", "smoke", live=True)
    shown = {"error": ("left", "fig"), "residual": ("middle", "fig-2")}
    dynamics.check_early_stage(ledger, sweep, id="x", where=", at every letter", shown=shown)
    dynamics.check_u(ledger, sweep, [RATE, RATE, 0.06], id="x", where="", source="right", figure="fig-3")
    found = {claim.id: (claim.verdict, claim.passed, claim.figure) for claim in ledger.claims}
    assert found == {
        "x-noisy-error-rises": ("partly", "2 of 3 parts", "fig"),
        "x-clean-error-falls": ("holds", "3 of 3 parts", "fig"),
        "x-residuals-part": ("holds", "6 of 6 parts", "fig-2"),
        "x-test-error-u": ("partly", "5 of 6 parts", "fig-3"),  # .05 is not far below .06
    }
    assert ledger.claims[0].says.endswith("rises towards 1, at every letter.")
    assert list(ledger.claims[0].measured) == [f"{what}, {name}" for what in ("start", "peak") for name in "abc"]


@pytest.mark.parametrize(
    ("shown", "axis", "names"),
    [
        ("error", "error", {"clean", "noisy", "test"}),
        ("residual", "mean ‖f − y‖", {"clean", "noisy"}),
        ("total", "error", {"test", "training"}),
    ],
)
def test_the_panels_of_a_sweep_are_the_columns_of_the_papers_figures(quick, shown, axis, names):
    fig = dynamics.conditions({"a": runs(quick), "b": runs(quick)}, [RATE, 0.2], shown)
    assert [axes.get_ylabel() for axes in fig.axes] == [f"a\n{axis}", f"b\n{axis}"]
    assert all({line.get_gid() for line in axes.lines if line.get_gid()} == names for axes in fig.axes)
    levels = [line.get_ydata()[0] for axes in fig.axes for line in axes.lines if list(line.get_xdata()) == [0, 1]]
    rates = [level for level in levels if level in (RATE, 0.2)]
    assert rates == ([] if shown == "residual" else [RATE, 0.2])
