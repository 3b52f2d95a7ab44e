"""Kernel machines against SciPy, scikit-learn and descent step by step."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.kernel_ridge import KernelRidge

from lib.data import DataConfig
from lib.noise import NoiseConfig
from lib.paper.kernels import Descent, KernelMachine, kernel_matrix, steps_between


@pytest.fixture
def points(generator):
    return torch.rand(120, 30, generator=generator).double()


@pytest.mark.parametrize("kernel", ["laplacian", "gaussian"])
def test_kernels_are_scipys(points, kernel):
    distances = cdist(points[:50].numpy(), points[50:].numpy())
    expected = np.exp(-distances / 2) if kernel == "laplacian" else np.exp(-(distances**2) / 8)
    assert np.allclose(kernel_matrix(points[:50], points[50:], kernel, 2.0), expected, rtol=1e-9)


@pytest.mark.parametrize("kernel", ["laplacian", "gaussian"])
@pytest.mark.parametrize("factor", [1.0, 1.9, 0.01])
def test_eigenbasis_is_descent_step_by_step_for_1000_steps(points, generator, kernel, factor):
    """A thousand explicit steps, compared at every hundredth."""
    matrix = kernel_matrix(points, points, kernel, 2.0)
    y = torch.randn(120, generator=generator).double()
    step = factor / torch.linalg.eigvalsh(matrix)[-1].item()
    descent = Descent.of(matrix, y, step)
    alpha = torch.zeros_like(y)
    for t in range(1, 1001):
        alpha += step * (y - matrix @ alpha)
        if t % 100 == 0 or t < 4:
            f, exact = matrix @ alpha, matrix @ descent.coefficients(t)
            assert (f - exact).norm() / f.norm() < 1e-6
            assert (alpha - descent.coefficients(t)).norm() / alpha.norm() < 1e-6


def test_no_steps_give_the_zero_machine_and_many_interpolate(points, generator):
    matrix = kernel_matrix(points, points, "laplacian", 2.0)
    y = torch.randn(120, generator=generator).double()
    descent = Descent.of(matrix, y)
    assert not descent.coefficients(0).any()
    ridgeless = KernelRidge(alpha=1e-12, kernel="precomputed").fit(matrix.numpy(), y.numpy())
    assert np.allclose(descent.coefficients(10**9).numpy(), ridgeless.dual_coef_, rtol=1e-4)


def test_a_singular_matrix_moves_only_where_it_can():
    """Two equal points: their difference is never learnt, and nothing becomes NaN."""
    matrix = torch.ones(2, 2).double()
    descent = Descent.of(matrix, torch.tensor([1.0, 0.0]).double())
    assert torch.allclose(matrix @ descent.coefficients(10**6), torch.tensor([0.5, 0.5]).double())


def test_a_diverging_step_is_refused(points):
    matrix = kernel_matrix(points, points, "gaussian", 2.0)
    with pytest.raises(ValueError, match="diverges"):
        Descent.of(matrix, points[:, 0], step=3 / torch.linalg.eigvalsh(matrix)[-1].item())


def test_steps_are_different_whole_numbers_from_zero():
    steps = steps_between(90, 9)
    assert steps[:4] == [0, 1, 2, 3]
    assert steps[-1] == 10**9
    assert len(set(steps)) == len(steps)
    assert steps == sorted(steps)


def test_machine_learns_the_digits_and_fits_the_noise():
    settings = KernelMachine(
        data=DataConfig("digits", classes=(0, 1)), noise=NoiseConfig(0.3), kernel="laplacian", scale=2.0, points=30
    )
    rows = settings.rows(torch.device("cpu"), None)
    assert rows[-1]["train_error"] == 0
    assert rows[-1]["noisy_residual"] < 0.01
    assert min(row["test_error"] for row in rows) < 0.1 < rows[-1]["test_error"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": "linear"}, "laplacian, gaussian"),
        ({"coding": "one-hot"}, "zero-one, plus-minus"),
        ({"scale": 0.0}, "scale must be above 0"),
        ({"decades": 40.0}, "15 decades"),
    ],
)
def test_bad_settings_are_named(change, message):
    settings = {"kernel": "gaussian", "scale": 1.0} | change
    with pytest.raises(ValueError, match=message):
        KernelMachine(data=DataConfig("digits", classes=(0, 1)), noise=NoiseConfig(0.3), **settings).validate()


def test_more_than_two_classes_are_refused():
    machine = KernelMachine(data=DataConfig("digits"), noise=NoiseConfig(0.3), kernel="gaussian", scale=1.0)
    with pytest.raises(ValueError, match="two classes"):
        machine.preflight()


def test_descent_step_by_step_is_recorded_beside_the_exact_one():
    """On real images, for a thousand steps, the same machine."""
    settings = KernelMachine(
        data=DataConfig("digits", classes=(7, 9)),
        noise=NoiseConfig(0.4),
        kernel="gaussian",
        scale=1.0,
        points=60,
        explicit=1000,
    )
    rows = settings.rows(torch.device("cpu"), None)
    compared = [row["difference"] for row in rows if 0 < row["epoch"] <= 1000]
    assert len(compared) > 10
    assert max(compared) < 1e-6
    assert all(np.isnan(row["difference"]) for row in rows if not 0 < row["epoch"] <= 1000)
