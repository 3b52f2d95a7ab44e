"""Settings of the experiments that go on from the paper, against those that the original notebooks state."""

import pytest

from lib.beyond import presets

WINDOW = (0.3, 0.5, 0.7)


def epochs_and_rates(path):
    return [(epochs, round(lr, 9)) for _, epochs, lr in path.path]


def test_the_protocol_of_hysteresis_is_the_originals_at_paper():
    """50 epochs, falling after 30 and 40; 100, after 50 and 80; a sweep of three epochs a mix at a hundredth."""
    ordered = presets.hysteresis("paper", "ordered", 0.8, WINDOW, 5)
    assert epochs_and_rates(ordered) == [(30, 0.1), (10, 0.01), (10, 0.001), *[(3, 0.001)] * 3]
    assert [mix for mix, _, _ in ordered.path] == [0.35] * 3 + [0.3, 0.5, 0.7]
    collapsed = presets.hysteresis("paper", "collapsed", 0.4, WINDOW[::-1], 5)
    assert epochs_and_rates(collapsed) == [(50, 0.1), (30, 0.01), (20, 0.001), *[(3, 0.001)] * 3]
    assert [mix for mix, _, _ in collapsed.path] == [0.65] * 3 + [0.7, 0.5, 0.3]
    assert (ordered.noise_rate, collapsed.noise_rate) == (0.8, 0.4)
    for path in (ordered, collapsed):
        assert (path.afresh, path.seeds, path.model.kind, path.dual.refresh) == (3, 5, "resnet18", 16)
        path.validate()
    control = presets.hysteresis("paper", "ordered, trained as long", 0.8, WINDOW, 5)
    assert epochs_and_rates(control)[:3] == epochs_and_rates(collapsed)[:3]
    assert control.path[0][0] == ordered.path[0][0]


def test_the_small_protocol_has_the_same_shares():
    ordered, collapsed = (presets.hysteresis("cpu", name, 0.8, WINDOW, 5) for name in ("ordered", "collapsed"))
    assert epochs_and_rates(ordered)[:3] == [(6, 0.1), (2, 0.01), (2, 0.001)]
    assert epochs_and_rates(collapsed)[:3] == [(10, 0.1), (6, 0.01), (4, 0.001)]


@pytest.mark.parametrize(("dwell", "tenths"), [(1, [0] * 50 + [1] * 10), (5, [0] * 10 + [1] * 5 + [2] * 45)])
def test_a_loop_of_sixty_stages_falls_as_the_published_ones(dwell, tenths):
    """Their learning rate falls at the epochs 50 and 75, with one epoch a stage or five."""
    first, *loop = presets.falling_loop([k / 30 for k in range(30)], dwell, 0.1)
    assert first == (0.0, 1, 0.1)
    assert [epochs for _, epochs, _ in loop] == [dwell] * 60
    assert [lr for _, _, lr in loop] == pytest.approx([0.1 * 0.1**n for n in tenths])
