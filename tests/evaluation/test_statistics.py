"""Intervals against simulation, scipy and hand-worked numbers."""

import math

import numpy as np
import pytest
from scipy import stats

from pointsman.evaluation.statistics import (
    Interval,
    gap_closed,
    hierarchical_bootstrap,
    holm,
    independent_difference,
    interquartile_mean,
    p_value,
    paired_difference,
    probability_of_improvement,
    rate,
    stratified_bootstrap,
    verdict,
)


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
    """Three episodes have 27 equally likely resamples: the 10 % and 90 % quantiles of their shares, stretched for the few.

    Resampling n spreads too little by sqrt(1 - 1/n), and t of n - 1 degrees of freedom is wider than the normal.
    """
    rule, policy, best = np.array([9.0, 12.0, 10.0]), np.array([8.0, 8.0, 9.0]), np.array([5.0, 7.0, 8.0])
    grid = np.array(np.meshgrid(*[range(3)] * 3)).reshape(3, -1).T
    shares = (rule - policy)[grid].mean(1) / (rule - best)[grid].mean(1)
    stretch = math.sqrt(3 / 2) * stats.t.ppf(0.9, 2) / stats.norm.ppf(0.9)
    wanted = 6 / 11 + stretch * (np.quantile(shares, [0.1, 0.9], method="inverted_cdf") - 6 / 11)
    found = gap_closed(rule, policy, best, np.random.default_rng(0), level=0.8)
    assert found.estimate == pytest.approx(6 / 11)
    assert found[1:] == pytest.approx(tuple(wanted), rel=0.05)


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


def test_independent_difference_is_welchs_test_of_scipy():
    rng = np.random.default_rng(4)
    one, other = rng.gamma(2.0, 1.0, 12), rng.gamma(3.0, 2.0, 30)
    found = independent_difference(one * 5.0, np.full(12, 5.0), other * 2.0, np.full(30, 2.0), 0.9)
    wanted = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.9)
    assert found == pytest.approx((one.mean() - other.mean(), wanted.low, wanted.high))


def test_p_value_is_the_t_test_of_scipy_and_agrees_with_the_interval():
    difference = np.random.default_rng(5).normal(0.3, 1.0, 25)
    assert p_value(difference, np.ones(25)) == pytest.approx(stats.ttest_1samp(difference, 0).pvalue)
    assert p_value(np.zeros(9), np.ones(9)) == 1.0
    assert p_value(np.full(9, 2.0), np.ones(9)) == 0.0
    level = 1 - p_value(difference, np.ones(25))
    assert rate(difference, np.ones(25), level).low == pytest.approx(0.0, abs=1e-9)


def test_crossed_seeds_and_episodes_by_simulation():
    """Seed effects of 2, episode effects of 1 and a rest of 1: the standard error is that of means over seeds and episodes."""
    rng, estimates, widths, hits = np.random.default_rng(6), [], [], 0
    for _ in range(1000):
        table = rng.normal(0, 2, (6, 1)) + rng.normal(0, 1, 20) + rng.normal(0, 1, (6, 20))
        found = rate(5.0 + table, np.ones(20))
        estimates.append(found.estimate), widths.append(found.high - found.low)
        hits += covers(found, 5.0)
    error = math.sqrt(4 / 6 + 1 / 20 + 1 / 120)
    assert np.std(estimates) == pytest.approx(error, rel=0.05)
    assert 0.93 < hits / 1000 < 0.97
    assert np.mean(widths) / 2 / error == pytest.approx(stats.t.ppf(0.975, 5), rel=0.1)


def test_hierarchical_bootstrap_of_one_seed_is_the_bootstrap_over_episodes():
    cost, elapsed = np.random.default_rng(7).gamma(2.0, 1.0, (2, 30))
    row = hierarchical_bootstrap(cost, elapsed, np.random.default_rng(0))
    assert row == hierarchical_bootstrap(cost[None], elapsed[None], np.random.default_rng(0))
    assert row[1:] == pytest.approx(rate(cost, elapsed)[1:], rel=0.15)


def test_holm_by_hand():
    """0.01 * 4, 0.02 * 3 (0.06), 0.03 * 2 (0.06, not less than before), 0.9."""
    assert holm([0.03, 0.01, 0.9, 0.02]) == pytest.approx([0.06, 0.04, 0.9, 0.06])
    assert holm([0.4, 0.6]) == pytest.approx([0.8, 0.8])


def test_holm_keeps_the_error_over_many_candidates_that_are_all_equal():
    """Twenty policies of the same cost: at least one is called different in 5 % of the cases, not in 64."""
    rng, plain, corrected = np.random.default_rng(8), 0, 0
    for _ in range(500):
        p = [p_value(x, np.ones(15)) for x in rng.normal(0, 1, (20, 15))]
        plain += min(p) < 0.05
        corrected += holm(p).min() < 0.05
    assert plain / 500 > 0.5
    assert corrected / 500 < 0.08


def test_interquartile_mean_and_probability_of_improvement_by_hand():
    assert interquartile_mean([np.array([0.0, 1.0, 2.0, 100.0]), np.array([1.5, 2.5, -50.0, 3.0])]) == pytest.approx(1.75)
    ours, theirs = [np.array([1.0, 3.0]), np.array([5.0])], [np.array([2.0, 3.0]), np.array([4.0])]
    assert probability_of_improvement(ours, theirs) == pytest.approx((2.5 / 4 + 0.0) / 2)  # 1<2, 1<3, 3=3 counts half


def test_stratified_bootstrap_covers_the_interquartile_mean():
    """Three problems of ten normal runs each, means 0, 1 and 2: the interquartile mean of the mixture is 1 by symmetry."""
    rng, hits = np.random.default_rng(9), 0
    for _ in range(150):
        scores = [rng.normal(mean, 1.0, 10) for mean in (0.0, 1.0, 2.0)]
        hits += covers(stratified_bootstrap(interquartile_mean, scores, rng=rng), 1.0)
    assert 0.88 < hits / 150 < 0.99
    fixed = [np.array([1.0, 1.0]), np.array([3.0, 3.0])]
    assert stratified_bootstrap(interquartile_mean, fixed, rng=rng) == pytest.approx((2.0, 2.0, 2.0))
