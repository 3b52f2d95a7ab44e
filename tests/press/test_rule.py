"""The rule by which claims are judged: its edges, and that its intervals are what they say."""

import numpy as np
import pytest

from lib.press.rule import about, above, always, below, equal, mostly, towards, verdict


def spread_around(mean: float, width: float, n: int = 10) -> np.ndarray:
    """N values of this mean, of standard deviation ``width``."""
    x = np.linspace(-1, 1, n)
    return mean + width * x / x.std(ddof=1)


@pytest.mark.parametrize(
    ("part", "outcome"),
    [
        (above(spread_around(0.3, 0.1), 0.2), "holds"),
        (above(spread_around(0.21, 0.1), 0.2), "undecided"),
        (above(spread_around(0.1, 0.1), 0.2), "does not hold"),
        (below(spread_around(0.1, 0.1), 0.2), "holds"),
        (below(spread_around(0.3, 0.1), 0.2), "does not hold"),
        (towards(spread_around(0.8, 0.05), 1.0, 0.5), "holds"),
        (towards(spread_around(1.4, 0.05), 1.0, 0.5), "holds"),  # past the claimed value
        (towards(spread_around(0.7, 0.05), 1.0, 0.5), "does not hold"),
        (towards(spread_around(0.76, 0.05), 1.0, 0.5), "undecided"),
        (about(spread_around(1.1, 0.05), 1.0, 1.5), "holds"),
        (about(spread_around(0.6, 0.05), 1.0, 1.5), "does not hold"),  # as far off on the other side
        (equal(spread_around(-0.96, 0.02), -1.0, 0.0), "holds"),
        (equal(spread_around(-0.8, 0.02), -1.0, 0.0), "does not hold"),
        (equal(spread_around(-0.91, 0.02), -1.0, 0.0), "undecided"),
        (equal([0.97], 1.0, 0.0), "undecided"),  # one seed alone
        (above([0.5, 0.5, 0.5], 0.4), "holds"),  # no spread at all
        (always([0.0, 1e-7], 1e-6, "steps that rise"), "holds"),
        (always([0.0, 1e-3], 1e-6, "steps that rise"), "does not hold"),
        (mostly([True] * 10, "it is so"), "holds"),
        (mostly([True] * 3, "it is so"), "undecided"),
        (mostly([False] * 9 + [True], "it is so"), "does not hold"),
    ],
)
def test_the_outcome_follows_from_interval_and_edge(part, outcome):
    assert part.outcome == outcome
    assert part.says


def test_rivals_and_claimed_values_may_differ_from_seed_to_seed():
    start = np.array([0.4, 0.5, 0.6])
    assert towards(start + 0.9 * (1 - start), 1.0, start).effect == pytest.approx([0.9, 0.9, 0.9])
    assert above(start + 0.1, start, "the start").says == "above the start, by"


def test_the_interval_holds_the_mean_as_often_as_it_says():
    """Over draws of ten seeds with a true effect of .1 off, a part of an edge at .1 is decided in 5 % of them."""
    random = np.random.default_rng(0)
    outcomes = [equal(random.normal(0.1, 0.05, 10), 0.0, 1.0).outcome for _ in range(4000)]
    assert outcomes.count("undecided") / 4000 == pytest.approx(0.95, abs=0.012)
    assert abs(outcomes.count("holds") - outcomes.count("does not hold")) < 60


def test_a_claim_without_a_rival_of_another_value_is_refused():
    with pytest.raises(ValueError, match="needs a rival"):
        equal([1.0, 1.0], 1.0, 1.0)
    with pytest.raises(ValueError, match="one number a seed"):
        above([], 0.0)
    with pytest.raises(ValueError, match="one number a seed"):
        above([1.0, float("nan")], 0.0)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["holds", "holds"], "holds"),
        (["holds", "does not hold"], "partly"),
        (["holds", "undecided"], "partly"),
        (["undecided", "does not hold"], "undecided"),
        (["does not hold", "does not hold"], "does not hold"),
    ],
)
def test_the_verdict_follows_from_the_parts(outcomes, expected):
    assert verdict(outcomes) == expected


def test_seeds_are_compared_one_to_one_or_with_one_for_all():
    assert above([1.0, 2.0], 0.0).effect == [1.0, 2.0]
    assert above([1.0, 2.0], [0.5]).effect == [0.5, 1.5]
    for part in (
        lambda: above([1.0], [0, 0, 0]),
        lambda: below([1.0, 2.0], [0, 0, 0]),
        lambda: towards([1.0], 1, [0, 0]),
    ):
        with pytest.raises(ValueError, match="one each is needed, or one for all"):
            part()


def test_what_is_not_known_is_no_vote():
    with pytest.raises(ValueError, match="none that is NaN"):
        mostly([True, float("nan")], "true")
