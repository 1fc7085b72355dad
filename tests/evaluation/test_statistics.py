"""Intervals against simulation, scipy and hand-worked numbers."""

import math

import numpy as np
import pytest
from scipy import stats

from pointsman.evaluation.statistics import Interval, gap_closed, paired_difference, rate, verdict


def covers(found, truth):
    return found.low <= truth <= found.high


@pytest.mark.parametrize(("episodes", "least"), [(20, 0.925), (100, 0.935)])
def test_coverage_of_a_rate(episodes, least):
    """2,000 repetitions with skewed costs and times that depend on each other; the true rate is 3."""
    rng, hits = np.random.default_rng(0), 0
    for _ in range(2000):
        elapsed = rng.gamma(20.0, 1.0, episodes)
        cost = 3.0 * elapsed + 0.5 * elapsed * (rng.gamma(4.0, 1.0, episodes) - 4.0)
        hits += covers(rate(cost, elapsed), 3.0)
    assert least < hits / 2000 < 0.968


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_coverage_of_a_paired_difference(level):
    """Costs that share most of their noise: the true difference of rates is -0.2, whatever is shared."""
    rng, hits, widths = np.random.default_rng(1), 0, []
    for _ in range(1000):
        elapsed = rng.uniform(400, 420, 40)
        shared = rng.gamma(2.0, 200.0, 40)
        baseline = 3.0 * elapsed + shared
        cost = 2.8 * elapsed + shared + rng.normal(0, 40, 40)
        found = paired_difference(cost, baseline, elapsed, level)
        hits += covers(found, -0.2)
        widths.append((found.high - found.low) / (rate(cost, elapsed, level).high - rate(cost, elapsed, level).low))
    assert abs(hits / 1000 - level) < 0.04  # three standard errors at 0.8
    assert max(widths) < 0.35  # pairing is worth it


def test_rate_with_equal_times_is_the_t_interval_of_scipy():
    cost = np.random.default_rng(2).gamma(2.0, 1.0, 12)
    found = rate(cost * 5.0, np.full(12, 5.0), 0.9)
    wanted = stats.ttest_1samp(cost, 0).confidence_interval(0.9)
    assert found == pytest.approx((cost.mean(), wanted.low, wanted.high))


def test_rate_by_hand():
    """10 and 2 over 2 and 4: ratio 2, influences (10 - 4) / 3 = 2 and (2 - 8) / 3 = -2; sd = 2 sqrt 2, t = 12.706."""
    found = rate(np.array([10.0, 2.0]), np.array([2.0, 4.0]))
    assert found.estimate == 2.0
    assert found.high - 2.0 == pytest.approx(12.7062 * 2.0, rel=1e-4)
    assert 2.0 - found.low == pytest.approx(found.high - 2.0)


def test_one_episode_tells_nothing_of_the_spread():
    assert rate(np.array([6.0]), np.array([2.0])) == (3.0, -math.inf, math.inf)


def test_gap_closed_by_hand():
    """Rule 10, policy 7, optimum 6 on average: 3 of 4. Constant differences leave no doubt; noise of a world cancels."""
    world = np.array([0.0, 5.0, -3.0, 8.0])
    found = gap_closed(10 + world, 7 + world, 6 + world, np.random.default_rng(0))
    assert found == pytest.approx((0.75, 0.75, 0.75))
    assert gap_closed(10 + world, 6 + world, 6 + world, np.random.default_rng(0)).estimate == 1.0
    assert gap_closed(10 + world, 12 + world, 6 + world, np.random.default_rng(0)).estimate == -0.5


def test_gap_closed_bootstrap_against_all_resamples():
    """Three episodes have 27 equally likely resamples: the 10 % and 90 % quantiles of their shares."""
    rule, policy, best = np.array([9.0, 12.0, 10.0]), np.array([8.0, 8.0, 9.0]), np.array([5.0, 7.0, 8.0])
    grid = np.array(np.meshgrid(*[range(3)] * 3)).reshape(3, -1).T
    shares = (rule - policy)[grid].mean(1) / (rule - best)[grid].mean(1)
    found = gap_closed(rule, policy, best, np.random.default_rng(0), level=0.8)
    assert found.estimate == pytest.approx(6 / 11)
    assert found.low == pytest.approx(np.quantile(shares, 0.1, method="inverted_cdf"), abs=0.02)
    assert found.high == pytest.approx(np.quantile(shares, 0.9, method="inverted_cdf"), abs=0.02)


def test_coverage_of_the_gap_closed():
    """Rule 10, policy 8, optimum 7.5 with paired noise: 0.8 is inside nearly as often as it says."""
    rng, hits = np.random.default_rng(3), 0
    for k in range(400):
        world = rng.normal(0, 3, 60)
        rule, policy, best = (mean + world + rng.normal(0, 0.5, 60) for mean in (10.0, 8.0, 7.5))
        hits += covers(gap_closed(rule, policy, best, np.random.default_rng(k)), 0.8)
    assert 0.91 < hits / 400 < 0.98


@pytest.mark.filterwarnings("error")
def test_no_headroom_has_no_share():
    same = np.array([1.0, 2.0, 3.0])
    assert all(math.isnan(value) for value in gap_closed(same, same + 1, same, np.random.default_rng(0)))


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(-2, -1, "better"), (1, 2, "worse"), (-1, 1, "inconclusive"), (0, 1, "inconclusive"), (-1, 0, "inconclusive")],
)
def test_verdict(low, high, said):
    assert verdict(Interval((low + high) / 2, low, high)) == said
