import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb

from lib.press import figures
from lib.press.figures import CLEAN, FIRST, NOISY, OTHER, PAPER, SECOND, TEST, TEST_DOTTED, TRAIN


def luminance(color: str) -> float:
    """Relative luminance of WCAG 2."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    "together",
    [
        (CLEAN, NOISY, OTHER),
        (CLEAN, NOISY, TEST_DOTTED),
        (TEST, TRAIN),
        (FIRST, SECOND, NOISY),
        (TEST, NOISY, SECOND, FIRST),
        (CLEAN, NOISY, FIRST, SECOND),
    ],
)
def test_curves_drawn_together_differ_without_colour(together):
    for a, b in itertools.combinations(together, 2):
        assert a.line != b.line


@pytest.mark.parametrize("style", [CLEAN, NOISY, OTHER, TEST, TRAIN, FIRST, SECOND])
def test_curves_stand_out_from_the_paper(style):
    contrast = (luminance(PAPER) + 0.05) / (luminance(style.color) + 0.05)
    assert contrast >= 3  # WCAG's bound for graphics


def test_names_at_the_ends_never_overlap_and_stay_near():
    fig, (axes,) = figures.panels(1)
    for k, end in enumerate([0.5, 0.501, 0.502, 0.0, 1.0]):
        values = pd.DataFrame({0: np.linspace(0, end, 10)})
        figures.curve(axes, values, TEST, f"curve {k}")
    axes.set_ylim(0, 1)
    figures.label_ends(axes)
    fig.canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 5
    for a, b in itertools.combinations(boxes, 2):
        assert not a.overlaps(b)
    whole = fig.get_window_extent()
    assert all(whole.contains(*box.min) and whole.contains(*box.max) for box in boxes)
    plt.close(fig)


def test_faces_are_opaque_so_that_dark_pages_do_not_swallow_them(tmp_path):
    fig, (axes,) = figures.panels(1)
    axes.plot([0, 1])
    fig.savefig(tmp_path / "f.png")
    plt.close(fig)
    pixels = plt.imread(tmp_path / "f.png")
    assert pixels.shape[2] == 3 or pixels[..., 3].min() == 1


def test_letters_stay_legible_on_a_phone():
    fig, _ = figures.panels(1)
    inches = fig.get_size_inches()[0]
    assert plt.rcParams["font.size"] / 72 * (358 / inches) >= 9  # pixels at 390 px less the page's margins
    plt.close(fig)


def test_a_curve_is_mean_and_range_over_seeds():
    fig, (axes,) = figures.panels(1)
    figures.curve(axes, pd.DataFrame({0: [0.0, 1.0], 1: [2.0, 5.0]}, index=[0, 1]), CLEAN, "x")
    assert axes.lines[0].get_ydata().tolist() == [1.0, 3.0]
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == 0
    assert band[:, 1].max() == 5
    plt.close(fig)


def test_angle_histograms_show_shares_and_name_each_subset_once():
    counts = {name: pd.DataFrame(0, index=range(180), columns=[0, 1]) for name in figures.SUBSETS}
    for name, degree in (("clean", 30), ("noise", 150), ("other", 140)):
        counts[name].loc[degree] = [50, 70]
    fig, (axes,) = figures.panels(1)
    figures.angle_histogram(axes, counts, {"noise": [175, 177]})
    heights = [line.get_ydata().max() for line in axes.lines[:3]]
    assert heights == [1, 1, 1]  # all of a subset in one bin, whatever their number
    assert [line.get_xdata()[line.get_ydata().argmax()] for line in axes.lines[:3]] == [30.5, 150.5, 140.5]
    assert axes.lines[3].get_xdata()[0] == 176
    assert sorted(text.get_text() for text in axes.texts) == ["clean", "noise", "other"]
    fig.canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_every_cell_of_a_heat_map_bears_its_number():
    _, (axes,) = figures.panels(1)
    figures.heat_map(axes, np.array([[0.0, 0.256], [0.9, 1.0]]), ["a", "b"], ["x", "y"])
    assert [text.get_text() for text in axes.texts] == ["0", "26", "90", "100"]
    dark = [text.get_color() == figures.PAPER for text in axes.texts]
    assert dark == [False, False, True, True]  # light letters on dark cells
    plt.close("all")


def test_a_band_is_mean_and_range():
    _, (axes,) = figures.panels(1)
    figures.band(axes, [0.1, 0.2], np.array([[1.0, 3.0], [2.0, 2.0]]), figures.CLEAN, "name")
    assert axes.lines[0].get_ydata().tolist() == [2.0, 2.0]
    heights = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (1.0, 3.0)
    plt.close("all")


def test_a_loop_is_two_named_bands_and_an_interval_reaches_from_low_to_high():
    fig, (loop, effects) = figures.panels(2)
    figures.way_and_back(loop, [0, 1], np.zeros((2, 3)), np.ones((2, 3)), "error", 2)
    assert [text.get_text() for text in loop.texts] == ["up", "back"]
    assert loop.get_ylim() == (0, 2)
    figures.interval(effects, 1.5, 3.0, 1.0, 4.0, NOISY, "s", "effect")
    (bar,) = effects.containers
    (segment,) = bar[2][0].get_segments()
    assert segment.tolist() == [[1.5, 1.0], [1.5, 4.0]]
    assert effects.get_legend_handles_labels()[1] == ["effect"]
    plt.close(fig)
