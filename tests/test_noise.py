from fractions import Fraction

import pytest
import torch

from lib.noise import asymmetric, from_transition, symmetric


def labels_of(sizes: list[int]) -> torch.Tensor:
    return torch.cat([torch.full((size,), c) for c, size in enumerate(sizes)])[torch.randperm(sum(sizes))]


@pytest.mark.parametrize("rate", ["0", "0.1", "0.25", "0.3", "0.4", "0.49"])
@pytest.mark.parametrize("sizes", [[240, 119], [7, 100, 31], [50] * 10])
def test_exactly_the_rounded_share_of_each_class_is_flipped_and_never_to_itself(rate, sizes, generator):
    true = labels_of(sizes)
    noisy = symmetric(true, float(rate), len(sizes), generator)
    for c, size in enumerate(sizes):
        given = noisy.given[true == c]
        wanted = round(Fraction(rate) * size)  # exact arithmetic
        assert int((given != c).sum()) == wanted
    assert torch.equal(noisy.is_noisy, noisy.given != true)
    assert torch.equal(noisy.true, true)


def test_new_labels_are_uniform_over_the_other_classes(generator):
    true = torch.zeros(90_000, dtype=torch.long)
    noisy = symmetric(torch.cat([true, torch.ones(2).long()]), 0.4, 10, generator)
    counts = torch.bincount(noisy.given[:90_000][noisy.given[:90_000] != 0], minlength=10)[1:].double()
    chi_square = ((counts - 4000) ** 2 / 4000).sum().item()
    assert chi_square < 26.1  # 99.9 % point of 8 degrees of freedom


def test_the_generator_alone_decides():
    true = labels_of([100, 100])
    draw = [symmetric(true, 0.4, 2, torch.Generator().manual_seed(seed)).given for seed in (0, 0, 1)]
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])


def test_asymmetric_flips_only_the_classes_named(generator):
    true = labels_of([100, 80, 60])
    noisy = asymmetric(true, 0.3, {0: 2, 2: 1}, 3, generator)
    moved = {(a, b): int(((true == a) & (noisy.given == b)).sum()) for a in range(3) for b in range(3)}
    assert moved == {
        (0, 0): 70,
        (0, 1): 0,
        (0, 2): 30,
        (1, 0): 0,
        (1, 1): 80,
        (1, 2): 0,
        (2, 0): 0,
        (2, 1): 18,
        (2, 2): 42,
    }


def test_a_transition_matrix_is_met_exactly(generator):
    matrix = torch.tensor([[0.5, 0.3, 0.2], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]])
    true = labels_of([100, 50, 40])
    given = from_transition(true, matrix, generator).given
    found = torch.stack([torch.bincount(given[true == c], minlength=3) for c in range(3)])
    assert found.tolist() == [[50, 30, 20], [0, 50, 0], [10, 10, 20]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t, g: symmetric(t, 1.0, 2, g), r"\[0, 1\), not 1.0"),
        (lambda t, g: symmetric(t, -0.1, 2, g), r"\[0, 1\)"),
        (lambda t, g: symmetric(t, float("nan"), 2, g), r"\[0, 1\)"),
        (lambda t, g: symmetric(t, 0.99, 2, g), "flips all 10 samples of class 0"),
        (lambda t, g: symmetric(t, 0.4, 1, g), "two or more classes"),
        (lambda t, g: symmetric(t + 5, 0.4, 2, g), "allowed: 0 to 1"),
        (lambda t, g: symmetric(t[:0], 0.4, 2, g), "not 0 samples"),
        (lambda t, g: asymmetric(t, 0.4, {0: 0}, 2, g), "cannot become 0"),
        (lambda t, g: asymmetric(t, 0.4, {0: 7}, 2, g), "cannot become 7"),
        (lambda t, g: from_transition(t, torch.ones(2, 2), g), "rows sum to 1"),
        (lambda t, g: from_transition(t, torch.ones(2, 3), g), "square"),
        (lambda t, g: from_transition(t, torch.tensor([[0.0, 1.0], [0.0, 1.0]]), g), "row 0 .* flips all 10"),
    ],
)
def test_impossible_noise_is_refused(call, message, generator):
    with pytest.raises(ValueError, match=message):
        call(labels_of([10, 10]), generator)
