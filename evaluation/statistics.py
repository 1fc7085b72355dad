"""Short pure functions on episode totals; intervals are for the mean over episodes of the same stream."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """An estimate and its confidence interval."""

    estimate: float
    low: float
    high: float


def rate(cost: Floats, elapsed: Floats, level: float = 0.95) -> Interval:
    """Ratio of totals, sum(cost) / sum(elapsed), over E independent episodes; delta method with Student's t."""
    ratio = cost.sum() / elapsed.sum()
    return _around(ratio, (cost - ratio * elapsed) / elapsed.mean(), level)


def paired_difference(cost: Floats, baseline: Floats, elapsed: Floats, level: float = 0.95) -> Interval:
    """Difference of two cost rates on common records: episode e is the same world for both."""
    return rate(cost - baseline, elapsed, level)


def gap_closed(rule: Floats, policy: Floats, optimum: Floats, rng: np.random.Generator, level: float = 0.95) -> Interval:
    """Share (rule - policy) / (rule - optimum) of the headroom, with a bootstrap interval over paired episodes.

    Without any headroom there is no share: all three are NaN.
    """
    picks = rng.integers(0, len(rule), (2000, len(rule)))
    gained, headroom = rule - policy, rule - optimum
    if abs(headroom.mean()) <= 1e-12:
        return Interval(np.nan, np.nan, np.nan)
    below = headroom[picks].mean(1)
    # A headroom that may be zero or negative makes the ratio mean nothing; its resamples are left to widen the interval.
    shares = gained[picks].mean(1) / np.where(np.abs(below) > 1e-12, below, np.nan)
    low, high = np.nanquantile(shares, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(gained.mean() / headroom.mean()), float(low), float(high))


def verdict(difference: Interval) -> str:
    """What a paired difference of costs says of the policy: better, worse or inconclusive."""
    if difference.high < 0:
        return "better"
    return "worse" if difference.low > 0 else "inconclusive"


def _around(estimate: float, influence: Floats, level: float) -> Interval:
    """Estimate +- t * standard error, from the influence of every episode."""
    n = len(influence)
    half = student.ppf((1 + level) / 2, n - 1) * influence.std(ddof=1) / np.sqrt(n) if n > 1 else np.inf
    return Interval(float(estimate), float(estimate - half), float(estimate + half))
