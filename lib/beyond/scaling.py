"""Finite-size scaling: what many independent runs of several sizes say about a transition.

A cell is a pair of a size and a control value; its samples are the order
parameters of its runs, ``[runs]``, or ``[runs, k]`` where a run gives k
values. Intervals come from resampled runs, a run with all its values at once:
they are not independent.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import CensoredData, ecdf

Statistic = Callable[[np.ndarray], np.ndarray]  # [..., values] -> [...]

MIN_RUNS = 5  # fewer say nothing of a spread
MIN_BINDER_RUNS = 50  # the fourth moment needs more than the variance
MIN_DRAWS = 100  # fewer resamples have no percentiles
ENOUGH = 0.5  # share of the points of a collapse that must lie beside another size's
NU, KAPPA = (0.1, 20.0), (-3.0, 3.0)  # where a collapse looks for exponents
GRID, NEAR, LEVELS = 33, 7, 11  # points an axis of the first and the later grids, and how many of those


@dataclass(frozen=True)
class Estimate:
    """A value and the ends of its interval."""

    value: float
    low: float = np.nan
    high: float = np.nan


def order_parameter(error: ArrayLike, chance: float) -> np.ndarray:
    """1 - error / chance, in the error's shape: 1 without errors, 0 at chance (0.9 for ten classes), below 0 beyond it.

    ValueError for an error outside [0, 1] or a chance outside (0, 1].
    """
    error = _finite(error, "error")
    if not 0 < chance <= 1 or error.min() < 0 or error.max() > 1:
        raise ValueError(f"error must lie in [0, 1], chance in (0, 1], not {error.min()} to {error.max()} and {chance}")
    return 1 - error / chance


def mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis."""
    return values.mean(-1)


def variance(values: np.ndarray) -> np.ndarray:
    """Variance over the last axis, unbiased (ddof 1)."""
    return values.var(-1, ddof=1)


def binder(values: np.ndarray) -> np.ndarray:
    """Cumulant 1 - <m^4> / 3 <m^2>^2 over the last axis (K. Binder, Z. Phys. B 43, 119, 1981).

    0 for a Gaussian around 0, 2/3 where all values are as large; NaN where all are 0.
    """
    second = (values**2).mean(-1)
    return 1 - (values**4).mean(-1) / (3 * np.where(second > 0, second, np.nan) ** 2)


def resample(samples: ArrayLike, statistic: Statistic, generator: np.random.Generator, draws: int) -> np.ndarray:
    """A statistic of bootstrap resamples of a cell's runs, ``[draws]``; ``samples`` is ``[runs]`` or ``[runs, k]``.

    ValueError for fewer than `MIN_RUNS` runs or `MIN_DRAWS` draws, or values that are not finite.
    """
    samples = _runs(samples)
    if draws < MIN_DRAWS:
        raise ValueError(f"draws must be at least {MIN_DRAWS}, not {draws}")
    return statistic(samples[generator.integers(len(samples), size=(draws, len(samples)))].reshape(draws, -1))


@dataclass(frozen=True)
class Moments:
    """Moments of one cell; None for what could not be had."""

    runs: int
    mean: Estimate
    variance: Estimate
    susceptibility: Estimate | None  # units times variance; None without units
    binder: Estimate | None  # None for fewer than MIN_BINDER_RUNS runs


def moments(
    samples: ArrayLike,
    generator: np.random.Generator,
    *,
    units: float | None = None,
    draws: int = 1000,
    level: float = 0.95,
) -> Moments:
    """Moments of a cell, ``[runs]`` or ``[runs, k]``, with percentile bootstrap intervals.

    ``units`` is the N of the susceptibility N Var(m). ValueError as in
    `resample`, or for units that are not above 0 or a level outside (0, 1).
    """
    samples = _runs(samples)
    if units is not None and not 0 < units < np.inf:
        raise ValueError(f"units must be above 0, not {units}")

    def estimate(statistic: Statistic) -> Estimate:
        return _estimate(statistic(samples.ravel()), resample(samples, statistic, generator, draws), level)

    return Moments(
        len(samples),
        estimate(mean),
        spread := estimate(variance),
        units and Estimate(units * spread.value, units * spread.low, units * spread.high),
        estimate(binder) if len(samples) >= MIN_BINDER_RUNS else None,
    )


class EdgePeak(ValueError):
    """The largest value lies on the edge of the window: the peak may lie outside."""


def peak(control: ArrayLike, values: ArrayLike) -> tuple[float, float]:
    """Place and height of the parabola through the largest of ``values`` ``[points]`` and its two neighbours.

    EdgePeak if the largest lies on the edge of the window; ValueError for
    fewer than three points, a control that does not grow, or another length.
    """
    x = _control(control, 3)
    (y,) = _alike(x, values)
    k = int(y.argmax())
    if y[k] in (y[0], y[-1]):
        edge = x[0] if y[k] == y[0] else x[-1]
        raise EdgePeak(
            f"the window {x[0]:g} to {x[-1]:g} is too narrow for a peak: largest at its edge {edge:g}; widen it"
        )
    a, b, c = np.polyfit(x[k - 1 : k + 2] - x[k], y[k - 1 : k + 2], 2)
    return float(x[k] - b / (2 * a)), float(c - b**2 / (4 * a))


@dataclass(frozen=True)
class Curve:
    """A measured curve of one size: control, value and standard error, each ``[points]``."""

    size: float
    control: np.ndarray
    value: np.ndarray
    error: np.ndarray


def quality(curves: Sequence[Curve], x_c: ArrayLike, nu: ArrayLike, kappa: ArrayLike = 0.0) -> tuple[Any, Any]:
    """How well y L^(kappa/nu) is one function of (x - x_c) L^(1/nu): S, and the share of points that S compares.

    J. Houdayer and A. K. Hartmann, Phys. Rev. B 70, 014418 (2004), appendix:
    S is the mean squared distance of a point to the weighted line through the
    pairs of points of the other sizes that enclose it, in squared standard
    errors of both; about 1 for a good collapse, inf where nothing overlaps.
    Points must be so close that a straight line between neighbours is good to
    a fraction of a standard error: the parameters are biased before S shows it.

    Parameters are numbers or arrays of one shape, which is that of S; the
    values of the curves then are ``[points]`` or broadcast to the shape.
    """
    x_c, nu, kappa = (some[..., None] for some in np.broadcast_arrays(*map(np.asarray, (x_c, nu, kappa))))
    total = met = 0
    for one in curves:
        sums = [0.0] * 5
        for other in curves:
            if other is one:
                continue
            ratio = one.size / other.size
            at = x_c + (one.control - x_c) * ratio ** (1 / nu)  # the same scaled place in the other's window
            beside = (at >= other.control[0]) & (at <= other.control[-1])
            right = np.searchsorted(other.control, at, side="right").clip(1, len(other.control) - 1)
            lift = ratio ** (-kappa / nu)  # to this size's units, in which both are compared
            values = np.broadcast_to(other.value, (*x_c.shape[:-1], len(other.control)))
            for k in (right - 1, right):
                weight = beside / (other.error[k] * lift) ** 2
                away = (other.control[k] - at) * ratio ** (-1 / nu)
                y = np.take_along_axis(values, k, -1) * lift
                terms = (weight, weight * away, weight * away**2, weight * y, weight * away * y)
                sums = [some + term for some, term in zip(sums, terms, strict=True)]
        w, wx, wxx, wy, wxy = sums
        here = w > 0
        determinant = np.where(here, w * wxx - wx**2, 1)
        line, line_variance = (wxx * wy - wx * wxy) / determinant, wxx / determinant
        total = total + (here * (one.value - line) ** 2 / (one.error**2 + line_variance)).sum(-1)
        met = met + here.sum(-1)
    s = np.where(met > 0, total / np.maximum(met, 1), np.inf)
    return s[()], (met / sum(len(curve.control) for curve in curves))[()]


def penalised(s: ArrayLike, overlap: ArrayLike) -> np.ndarray:
    """S, raised where fewer than `ENOUGH` of the points are compared.

    Raised for every point that is not, it would favour large nu: at the true
    exponent, too, the largest size reaches beyond the others.
    """
    return np.asarray(s) / np.clip(np.asarray(overlap) / ENOUGH, 1e-9, 1)


@dataclass(frozen=True)
class Collapse:
    """The best data collapse. With a quality far above 1 there is none, and the numbers mean nothing."""

    x_c: Estimate
    nu: Estimate
    kappa: Estimate
    quality: float  # S at the best parameters
    overlap: float  # share of the points that S compares
    at_bound: tuple[str, ...]  # parameters that ended where the search does: not found


def collapse(
    cells: Mapping[float, Mapping[float, ArrayLike]],
    generator: np.random.Generator,
    *,
    statistic: Statistic = mean,
    kappa: float | None = 0.0,
    draws: int = 200,
    level: float = 0.95,
) -> Collapse:
    """Fit x_c and nu (and kappa, if None) to make y L^(kappa/nu) one function of (x - x_c) L^(1/nu).

    ``cells[size][control]`` are the samples of a cell, y their ``statistic``;
    where y ~ L^(-beta/nu) at x_c, kappa is beta. Minimises `quality` over ever
    finer grids, x_c within the window that all sizes share.
    Intervals: percentiles of the fit to ``draws`` resamples of the runs. They
    hold the scatter of runs, not the corrections to scaling of small sizes.

    ValueError for fewer than two sizes, three points a size or `MIN_RUNS`
    runs, sizes that share no window, or a cell without spread.
    """
    if len(cells) < 2 or not all(0 < size < np.inf for size in cells):
        raise ValueError(f"a collapse needs two or more sizes above 0, not {list(cells)}")
    if kappa is not None and not KAPPA[0] <= kappa <= KAPPA[1]:
        raise ValueError(f"kappa must lie in [{KAPPA[0]:g}, {KAPPA[1]:g}], not {kappa}")
    curves, drawn = zip(*(_curve(size, cells[size], statistic, generator, draws) for size in cells), strict=True)
    window = max(curve.control[0] for curve in curves), min(curve.control[-1] for curve in curves)
    if not window[0] < window[1]:
        raise ValueError(
            f"the sizes share no window: the last begins at {window[0]:g}, the first ends at {window[1]:g}"
        )
    low, high = np.array([window, np.log(NU), *([KAPPA] if kappa is None else [])], dtype=float).T
    best = _search(curves, (low, high), (low + high) / 2, (high - low) / 2, (GRID, *[NEAR] * LEVELS), kappa)
    again = [Curve(c.size, c.control, values[:, None], c.error) for c, values in zip(curves, drawn, strict=True)]
    start = np.tile(best, (draws, 1))
    refits = _search(again, (low, high), start, (high - low) / 8, [NEAR] * LEVELS, kappa)
    found = [float(value) for value in _parameters(best, kappa)]
    columns = _parameters(refits, kappa)
    ends = [_estimate(value, column, level) for value, column in zip(found, columns, strict=True)]
    beyond = np.minimum(best - low, high - best) < 1e-3 * (high - low)
    at_bound = [name for name, there in zip(("x_c", "nu", "kappa"), beyond, strict=False) if there]
    return Collapse(*ends, *map(float, quality(curves, *found)), tuple(at_bound))


def _curve(
    size: float, cells: Mapping[float, ArrayLike], statistic: Statistic, generator: np.random.Generator, draws: int
) -> tuple[Curve, np.ndarray]:
    """The curve of a size, and its values in each resample ``[draws, points]``."""
    points = sorted(cells)
    control = _control(points, 3)
    values = np.array([statistic(_runs(cells[x]).ravel()) for x in points])
    drawn = np.stack([resample(cells[x], statistic, generator, draws) for x in points], 1)
    error = drawn.std(0, ddof=1)
    for x, bad in zip(points, ~(np.isfinite(values) & (error > 0)), strict=True):
        if bad:
            raise ValueError(f"size {size:g} at {x:g}: the runs have no spread to weigh the point by; leave it out")
    return Curve(size, control, values, error), drawn


def _parameters(points: np.ndarray, kappa: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x_c, nu and kappa of points (x_c, log nu, and kappa where it is fitted), ``[..., 2 or 3]``."""
    x_c, log_nu, *fitted = np.moveaxis(points, -1, 0)
    return x_c, np.exp(log_nu), fitted[0] if fitted else np.full_like(x_c, kappa)


def _search(
    curves: Sequence[Curve],
    bounds: tuple[np.ndarray, np.ndarray],
    best: np.ndarray,
    width: np.ndarray,
    levels: Sequence[int],
    kappa: float | None,
) -> np.ndarray:
    """Lowest penalised S on ever finer grids around the best points so far ``[..., 2 or 3]``.

    S jumps where a point enters or leaves another size's window: descent and
    simplex methods stop at the next jump.
    """
    for count in levels:
        axes = np.meshgrid(*[np.linspace(-1, 1, count)] * len(width), indexing="ij")
        steps = np.stack(axes, -1).reshape(-1, len(width)) * width
        points = np.clip(best[..., None, :] + steps, *bounds)
        chosen = penalised(*quality(curves, *_parameters(points, kappa))).argmin(-1)
        best = np.take_along_axis(points, chosen[..., None, None], -2)[..., 0, :]
        width = width * 3 / (count - 1)  # one and a half of its spacings
    return best


def crossing(control: ArrayLike, values_by_size: Mapping[float, ArrayLike]) -> tuple[float, ...] | None:
    """Where the curves of two sizes, ``[points]`` each, cross by straight lines; None if they do not in the window.

    Scatter makes several crossings of one; curves that only touch have none.
    ValueError for other than two sizes, two points or more, or other lengths.
    """
    control = _control(control, 2)
    if len(values_by_size) != 2:
        raise ValueError(f"a crossing is of two sizes, not {len(values_by_size)}")
    one, other = _alike(control, *values_by_size.values())
    gap = one - other
    places = []
    for k, after in pairwise(np.flatnonzero(gap)):
        if gap[k] * gap[after] > 0:
            continue
        if after == k + 1:
            share = gap[k] / (gap[k] - gap[after])
            places.append(float(control[k] + share * (control[after] - control[k])))
        else:  # they agree in between, and cross somewhere there
            places.append(float(control[k + 1] + control[after - 1]) / 2)
    return tuple(places) or None


@dataclass(frozen=True)
class Lifetimes:
    """Median time to the first passage, and how many of the runs never passed."""

    median: Estimate
    runs: int
    censored: int


def lifetimes(first_passage: ArrayLike, end: ArrayLike, *, level: float = 0.95) -> Lifetimes:
    """Kaplan-Meier median of first passages ``[runs]``, NaN for a run not passed at its ``end`` (one, or ``[runs]``).

    The first time at which at most half survive, NaN if there is none, as
    where more than half are censored. Interval (R. Brookmeyer and J. Crowley,
    Biometrics 38, 29, 1982): where the log-log interval of the survival curve
    holds one half; inf if it does to the end. ValueError for no run, a
    negative time, or a passage after the end.
    """
    times = np.asarray(first_passage, dtype=float)
    if times.ndim != 1 or not len(times):
        raise ValueError(f"first passages are [runs], one or more, not {list(times.shape)}")
    ends = _finite(np.broadcast_to(end, times.shape), "end")
    passed = ~np.isnan(times)
    if (times[passed] < 0).any() or (ends < 0).any() or (times[passed] > ends[passed]).any():
        raise ValueError("a first passage lies between 0 and the end of its run; times must not be negative")
    if not passed.any():
        return Lifetimes(Estimate(np.nan, np.nan, np.inf), len(times), len(times))
    survival = ecdf(CensoredData(uncensored=times[passed], right=ends[~passed])).sf
    with warnings.catch_warnings():  # no interval where none survive: a comparison with NaN is false
        warnings.simplefilter("ignore", RuntimeWarning)
        band = survival.confidence_interval(level, method="log-log")

    def halved(share: np.ndarray, never: float) -> float:
        below = np.flatnonzero(share <= 0.5)
        return float(survival.quantiles[below[0]]) if len(below) else never

    shares = ((survival, np.nan), (band.low, np.nan), (band.high, np.inf))
    median = Estimate(*(halved(one.probabilities, never) for one, never in shares))
    return Lifetimes(median, len(times), int((~passed).sum()))


def _estimate(value: float, draws: np.ndarray, level: float) -> Estimate:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    return Estimate(float(value), *map(float, np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])))


def _finite(values: ArrayLike, name: str) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if not values.size or not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite numbers, one or more, not {values}")
    return values


def _runs(samples: ArrayLike) -> np.ndarray:
    samples = _finite(samples, "samples")
    if samples.ndim not in (1, 2) or len(samples) < MIN_RUNS:
        raise ValueError(f"samples are [runs] or [runs, k] of {MIN_RUNS} runs or more, not {list(samples.shape)}")
    return samples


def _control(control: ArrayLike, least: int) -> np.ndarray:
    control = _finite(control, "control")
    if control.ndim != 1 or len(control) < least or (np.diff(control) <= 0).any():
        raise ValueError(f"the control must be {least} points or more, each above the one before, not {control}")
    return control


def _alike(control: np.ndarray, *curves: ArrayLike) -> list[np.ndarray]:
    found = [_finite(curve, "values") for curve in curves]
    if any(values.shape != control.shape for values in found):
        raise ValueError(f"one value for each of {len(control)} points, not {[list(v.shape) for v in found]}")
    return found
