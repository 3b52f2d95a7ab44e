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
        ({"clean_error": [0.5, 0.4, 0.3, 0.05, 0.02, 0.0]}, "clean-error-falls", "does not hold"),
        ({"noisy_residual": [0.5, 0.5, 0.4, 0.5, 0.2, 0.0]}, "residuals-part", "partly"),
        ({"test_error": [0.5, 0.3, 0.05, 0.06, 0.05, 0.07]}, "test-error-u", "partly"),  # never rises
        ({"test_error": [0.5, 0.4, 0.3, 0.4, 0.5, 0.5]}, "test-error-u", "partly"),  # never far below
    ],
)
def test_another_picture_does_not(quick, capsys, changed, id, verdict):
    found = verdicts(runs(quick, **changed))
    assert found[f"x-{id}"] == verdict
    assert sum(value != "holds" for value in found.values()) == 1


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
    dynamics.check_sweep(ledger, sweep, id="x", every="at every letter", source="here", figure="fig")
    found = {claim.id: (claim.verdict, claim.passed) for claim in ledger.claims}
    assert found == {
        "x-noisy-error-rises": ("partly", "4 of 6"),
        "x-clean-error-falls": ("holds", "6 of 6"),
        "x-residuals-part": ("holds", "12 of 12"),
    }
    fig = dynamics.conditions(sweep, [RATE] * 3)
    assert [axes.get_ylabel() for axes in fig.axes] == ["a\nerror", "b\nerror", "c\nerror"]
