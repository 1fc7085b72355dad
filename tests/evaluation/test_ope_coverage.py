"""Intervals of off-policy estimates on simulated logs of small worlds, whose truth dynamic programming gives exactly."""

import numpy as np
import pytest
from offline_coverage import CASES, case, study

from pointsman.evaluation.ope.estimators import contributions, question
from pointsman.evaluation.ope.intervals import Contributions, Terms, interval
from pointsman.evaluation.ope.verdict import REFUSED, estimate

OVERLAP = {"one step, near", "one step, far", "one step, rare rewards", "one step, rare clicks", "horizon 5, near"}
OVERLAP |= {
    "horizon 5, a tenth",
    "horizon 5, early ends",
    "horizon 20, near",
    "horizon 20, a tenth",
    "horizon 20, normal rewards",
}
"""Cases whose effective sample size is at least a tenth of the episodes, in the long run."""


def test_worlds_are_worth_what_their_logs_get():
    """The exact value against the mean of many simulated episodes under the policy itself."""
    given = case(**CASES["horizon 5, early ends"])
    log, _ = given.world.log(given.target, 40_000, np.random.default_rng(0))
    total = log.sums(log.reward)
    assert abs(total.mean() - given.world.value(given.target)) < 4 * total.std() / 200


@pytest.mark.parametrize("name", ["one step, far", "horizon 5, near"])
def test_intervals_cover_quickly(name):
    """60 logs: 95 % +- four standard errors; the estimates scatter around the truth."""
    rows = study(case(**CASES[name]), 60)
    for _, group in rows.groupby("estimator"):
        assert group["covered"].mean() >= 0.84
        assert group["difference_covered"].mean() >= 0.84
        assert abs(group["error"].mean()) < 4 * group["error"].std() / 60**0.5
    assert not rows["refused"].any()


def test_a_log_without_overlap_is_refused_quickly():
    given = case(**CASES["horizon 20, far"])
    log, state = given.world.log(given.logging, given.episodes, np.random.default_rng(0))
    found = estimate(log, given.target[state])
    assert found.verdict == REFUSED
    assert any("too little overlap" in reason for reason in found.reasons)


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_intervals_cover(name):
    """500 logs per case: 92 to 98 % wherever there is a verdict, of values and of differences; overlap brings a verdict."""
    rows = study(case(**CASES[name]), 500)
    if name in OVERLAP:
        assert 1.0 - rows[rows["primary"]]["refused"].mean() >= 0.8
    given = rows[~rows["refused"]]
    for estimator, group in given.groupby("estimator"):
        if len(group) < 100:
            continue  # of so few logs no share is known to a per cent
        assert 0.915 <= group["covered"].mean() <= 0.985, estimator
        assert 0.915 <= group["difference_covered"].mean() <= 0.985, estimator


@pytest.mark.parametrize("method", ["bernstein", "hoeffding"])
def test_bounded_intervals_hold_and_shrink_with_the_sample(method):
    """They cover at least 95 %; four times the data halve Hoeffding's width, and do not let Bernstein's grow."""
    rng = np.random.default_rng(0)

    def found(n):
        return interval(Contributions(Terms.mean(rng.random(n))), method=method, limits=(0.0, 1.0))

    assert np.mean([one.low <= 0.5 <= one.high for one in (found(100) for _ in range(200))]) >= 0.95
    small, large = found(1000), found(4000)
    if method == "hoeffding":
        assert small.high - small.low == pytest.approx(2 * np.sqrt(np.log(40) / 2000))
    assert (large.high - large.low) < 0.6 * (small.high - small.low)


def test_bootstrap_and_t_agree_on_ratios():
    rng = np.random.default_rng(1)
    weight = rng.exponential(size=400)
    given = Contributions(Terms((weight * rng.normal(2.0, 1.0, 400))[:, None], weight[:, None]))
    one, other = interval(given, method="t"), interval(given, method="bootstrap")
    assert one.estimate == other.estimate
    assert other.high - other.low == pytest.approx(one.high - one.low, rel=0.12)


def test_differences_to_a_policy_like_the_logging_one_are_narrow():
    """Pairing: both are measured on the same episodes."""
    given = case(20, 0.02, 300)
    log, state = given.world.log(given.logging, given.episodes, np.random.default_rng(0))
    one = estimate(log, given.target[state]).estimates["wdr"]
    assert one.difference.high - one.difference.low < 0.5 * (one.interval.high - one.interval.low)


def test_blocks_of_days_are_wider_where_days_differ():
    """A shift of every day moves all its decisions: taken as independent they would seem ten times as certain."""
    from dataclasses import replace

    given = case(1, 0.3, 4000)
    log, state = given.world.log(given.logging, given.episodes, np.random.default_rng(0))
    day = np.repeat(np.arange(40), 100)
    log = replace(log, day=day, reward=log.reward + np.random.default_rng(1).normal(size=40)[day])
    alone, blocked = (estimate(log, given.target[state], block_days=days) for days in (None, 1))
    assert blocked.diagnostics.units == 40
    wide, narrow = (one.estimates["dr"].interval for one in (blocked, alone))
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_truncation_states_a_bias_that_holds():
    """The truncated mean lies below the truth by no more than is said, with rewards between 0 and 1."""
    from dataclasses import replace

    given = case(1, 1.0, 20_000)
    log, state = given.world.log(given.logging, given.episodes, np.random.default_rng(0))
    log = replace(log, sidecar=replace(log.sidecar, reward_range=(0.0, 1.0), propensity_floor=0.05))
    one = estimate(log, given.target[state], truncate=1.5).estimates["ips"]
    truth = given.world.value(given.target)
    assert one.bias[0] < -0.05
    assert one.value < truth < one.value - one.bias[0]
    bounded = estimate(log, given.target[state], method="bernstein").estimates["ips"]
    assert bounded.interval.low <= truth <= bounded.interval.high


def test_reward_rates_of_a_stream_by_marginal_weights():
    """Long episodes of a chain with times of its own: products of weights are lost, marginal weights find the rate."""
    from dataclasses import replace

    rng = np.random.default_rng(3)
    given = case(200, 0.9, 100)
    log, state = given.world.log(given.logging, given.episodes, rng)
    time = 0.5 + state
    log = replace(log, elapsed=time * rng.uniform(0.5, 1.5, len(log)), sidecar=replace(log.sidecar, markov=True))
    chain = np.einsum("sa,sat->st", given.target, given.world.move)
    share = np.linalg.matrix_power(chain, 500)[0]
    truth = (share @ (given.target * given.world.mean).sum(1)) / (share @ (0.5 + np.arange(6)))
    found = estimate(log, given.target[state], objective="rate")
    assert found.verdict != REFUSED
    assert found.primary == "mis"
    for name in ("mis", "dm"):
        one = found.estimates[name]
        assert one.interval.low <= truth <= one.interval.high
        assert one.interval.high - one.interval.low < 0.2 * truth
    log = replace(log, sidecar=replace(log.sidecar, markov=False))
    assert estimate(log, given.target[state], objective="rate").verdict == REFUSED


def test_the_shared_contract_is_linear_to_first_order():
    """The jackknife's influence predicts what a change of one episode's weight does to the estimate."""
    given = case(**CASES["horizon 5, near"])
    log, state = given.world.log(given.logging, 200, np.random.default_rng(0))
    q = question(log, given.target[state])
    for name in ("pdis", "wis", "cwpdis", "dr", "wdr"):
        found = contributions(name, q)
        weight = np.ones(200)
        weight[7] += 1e-6
        moved = (float(found.value(weight[None])[0]) - float(found.value())) / 1e-6
        assert moved == pytest.approx(found.influence()[7] / 200, rel=0.1, abs=5e-4)
