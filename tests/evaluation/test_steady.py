"""Long-run averages of the M/M/1 queue, whose mean wait is known, and warm-up by a slow twin of MSER-5."""

import numpy as np
import pytest

from pointsman.evaluation.statistics import rate
from pointsman.evaluation.steady import batch_means, diverges, growth, mser, regenerative


def waits(load, customers, rng, runs=1, start=0.0):
    """Waits [runs, customers] of the M/M/1 queue with service rate 1, by Lindley's recursion."""
    steps = rng.exponential(1.0, (customers, runs)) - rng.exponential(1.0 / load, (customers, runs))
    found = np.empty((customers, runs))
    found[0] = start
    for n in range(1, customers):
        found[n] = np.maximum(found[n - 1] + steps[n - 1], 0.0)
    return found.T


def slow_mser(series):
    means = [np.mean(series[k : k + 5]) for k in range(0, len(series) // 5 * 5, 5)]
    error = [np.var(means[d:]) / (len(means) - d) for d in range(len(means) // 2 + 1)]
    return 5 * int(np.argmin(error))


@pytest.mark.parametrize("seed", range(5))
def test_mser_against_a_slow_twin(seed):
    rng = np.random.default_rng(seed)
    series = rng.normal(0, 1, 403) + 20 * np.exp(-np.arange(403) / 15)
    assert mser(series) == slow_mser(series)
    assert 20 <= mser(series) <= 120


def test_mser_deletes_little_where_nothing_settles_and_nothing_of_two_points():
    rng = np.random.default_rng(0)
    assert np.mean([mser(rng.normal(0, 1, 400)) for _ in range(50)]) < 60
    assert mser(np.array([1.0, 2.0])) == 0


def test_regenerative_intervals_cover_the_mean_wait():
    """Load 0.5: customers wait 0.5 / (1 - 0.5) = 1 on average; cycles begin with a customer who does not."""
    series, ones = waits(0.5, 3000, np.random.default_rng(1), runs=400), np.ones(3000)
    found = [regenerative(w, ones, w == 0.0) for w in series]
    assert 0.9 < np.mean([i.low <= 1.0 <= i.high for i in found]) < 0.98


def test_batch_means_cover_the_mean_wait_after_the_warm_up():
    """Load 0.5, from a start with 60 of work; the first 500 waits deleted, where MSER deletes fewer than 400."""
    series, ones = waits(0.5, 6500, np.random.default_rng(2), runs=300, start=60.0), np.ones(6000)
    found = [batch_means(w[500:], ones) for w in series]
    assert 0.9 < np.mean([i.low <= 1.0 <= i.high for i in found]) < 0.98
    cuts = [mser(w) for w in series]
    assert 60 < np.median(cuts) < 400
    assert np.mean([rate(w, np.ones(6500)).estimate for w in series]) > 1.1  # what is not deleted is seen


def test_too_few_cycles_tell_nothing():
    found = regenerative(np.ones(10), np.ones(10), np.arange(10) == 4)
    assert np.isnan(found.estimate)
    assert found[1:] == (-np.inf, np.inf)


def test_growth_by_hand():
    """A line from 0 to 2 around a mean of 1 grows by twice its mean; a level one not at all."""
    assert growth(np.tile(np.linspace(0, 2, 9), (3, 1))).estimate == pytest.approx(2.0)
    assert growth(np.ones((3, 9))).estimate == 0.0


@pytest.mark.parametrize(("load", "drifts"), [(0.5, False), (0.9, False), (1.25, True), (2.0, True)])
def test_divergence_of_a_queue(load, drifts):
    """20 runs of 4,000 customers from empty: below load 1 the queue settles, above it grows without end."""
    windows = waits(load, 4000, np.random.default_rng(3), runs=20).reshape(20, 40, 100).mean(2)
    assert diverges(windows) == drifts
