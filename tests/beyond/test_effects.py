"""Effects of a penalty on tables whose differences are known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lib.beyond.effects import Effects, check_where_found
from lib.noise import NoiseConfig
from lib.press.claims import Ledger
from lib.press.rule import below
from lib.records import Run, Runs
from tests.beyond.test_penalties import TINY


def runs(condition: str, rate: float, slopes: list[list[float]]) -> Runs:
    """A run a seed with the given slope of each pair after the last of two epochs, and another one before."""
    made = []
    for seed, values in enumerate(slopes):
        rows = [
            {"epoch": epoch, "pair_a": a, "pair_b": b, "slope": value + 100 * (2 - epoch)}
            for epoch in (1, 2)
            for (a, b), value in zip(((5, 6), (4, 9), (3, 8)), (values[2], *values[:2]), strict=True)
        ]
        settings = replace(TINY, condition=condition, noise=NoiseConfig(rate), seed=seed)
        made.append(Run(settings, pd.DataFrame(rows), {}))
    return Runs(made)


EFFECTS = Effects(
    {
        "baseline, 0.2": runs("baseline", 0.2, [[1.0, 2.0, 3.0], [2.0, 2.0, 2.0]]),
        "baseline, 0": runs("baseline", 0.0, [[9.0, 9.0, 9.0], [9.0, 9.0, 9.0]]),
        "global, 0.2": runs("global", 0.2, [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]),
        "selective_38, 0.2": runs("selective_38", 0.2, [[1.0, 0.0, 2.0], [np.nan, 1.0, 2.0]]),
        "true labels": runs("selective_49", 0.2, [[0.0, 2.0, 3.0], [1.0, 3.0, np.nan]]),
    }
)


def test_effects_are_paired_by_seed_and_by_noise_rate_in_the_order_of_pairs():
    assert EFFECTS.last("baseline, 0.2", "slope").tolist() == [[1, 2, 3], [2, 2, 2]]
    assert EFFECTS.of("global, 0.2", "slope").tolist() == [[-1, -2, -3], [-1, -1, -1]]
    assert EFFECTS.of("baseline, 0", "slope").tolist() == [[0, 0, 0], [0, 0, 0]]


def test_a_contrast_is_the_pair_less_the_others_and_missing_where_a_boundary_is():
    assert np.array_equal(EFFECTS.contrast("selective_38, 0.2", "slope"), [-2 + 0.5, np.nan], equal_nan=True)
    assert np.array_equal(EFFECTS.contrast("true labels", "slope"), [-1, np.nan], equal_nan=True)


@pytest.mark.parametrize("name", ["baseline, 0.2", "global, 0.2"])
def test_conditions_without_a_pair_have_no_contrast(name):
    with pytest.raises(ValueError, match=f"one pair of classes, not '{name.split(',')[0]}'"):
        EFFECTS.contrast(name, "slope")


def test_a_claim_is_judged_over_the_seeds_that_have_all_its_boundaries(capsys):
    ledger = Ledger("chapter", "smoke", live=True)
    said = {"says": "It falls.", "source": "here", "figure": "fig"}
    both = {"a": np.array([-1.0, np.nan, -3.0]), "b": np.array([1.0, -2.0, -3.0])}
    check_where_found(ledger, "x", both, lambda found: {name: below(v, 0.0) for name, v in found.items()}, **said)
    (claim,) = ledger.claims
    assert claim.measured == {"a": [-1, -3], "b": [1, -3]}
    assert {name: part.effect for name, part in claim.parts.items()} == {"a": [1, 3], "b": [-1, 3]}
    check_where_found(ledger, "y", {"a": both["a"][1:2]}, lambda found: {}, **said)
    assert len(ledger.claims) == 1
    assert "the claim `y` needs: it is not judged" in capsys.readouterr().out
