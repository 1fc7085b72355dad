"""Intervals on simulated episodes of dispatch/mini, against differences that are known from its chain.

Every repetition draws episodes from pools that are ten times larger and more, so that the pools' own error hardly shows.
"""

import numpy as np
import pytest

import pointsman
from pointsman import envs
from pointsman.agents.table import TablePolicy
from pointsman.evaluation.exact_costs import exact_costs
from pointsman.evaluation.rollout import rollout
from pointsman.evaluation.statistics import (
    episodes_needed,
    gap_closed,
    hierarchical_bootstrap,
    independent_difference,
    paired_difference,
    sequential,
)

REPETITIONS, MANY, FEW = 1000, 10_000, 1_500
SEEDS = 12
"""Policies that stand for training seeds: the optimum with decisions turned round where that costs least, each its own."""


@pytest.fixture(scope="module")
def world():
    """Costs per episode and the exact long-run costs of a rule, the optimum and the seeds; the time of the episodes."""
    problem = envs.build(envs.configure("dispatch/mini", horizon_minutes=120.0, warmup_minutes=60.0))
    best, rng = pointsman.solve_problem(problem).policy, np.random.default_rng(0)
    rules = envs.rules(problem)
    policies = {"rule": rules["threshold"](problem, threshold=0.4), "optimum": best}
    policies["worse"] = rules["all_automation"](problem)
    for k in range(SEEDS):
        turned = (rng.random(len(best.actions)) < 0.3) & (np.abs(best.keys[:, 0] - 0.375) < 0.2)
        policies[f"seed{k}"] = TablePolicy(best.keys, np.where(turned, 1 - best.actions, best.actions))
    prices, cost = envs.BatchEnv(problem).prices, {}
    for name, policy in policies.items():
        totals = rollout(policy, problem, MANY if name in ("rule", "optimum") else FEW, 7)
        cost[name] = totals.ledger @ prices
        if name == "rule":
            elapsed = totals.elapsed
    return cost, exact_costs(problem, policies), elapsed


def coverage(interval, truth):
    found = [interval() for _ in range(REPETITIONS)]
    return np.mean([i.low <= truth <= i.high for i in found])


def test_a_policy_beside_itself_on_independent_records(world):
    """A/A: of 1,000 comparisons 5 % +- 1.5 are called different."""
    cost, _, elapsed = world
    rng = np.random.default_rng(1)

    def difference():
        one, other = rng.choice(MANY, 80, replace=False).reshape(2, 40)
        return independent_difference(cost["rule"][one], elapsed[one], cost["rule"][other], elapsed[other])

    assert abs(1.0 - coverage(difference, 0.0) - 0.05) <= 0.015


def test_paired_differences_cover_the_exact_one(world):
    cost, exact, elapsed = world
    rng = np.random.default_rng(2)

    def difference():
        e = rng.choice(MANY, 40, replace=False)
        return paired_difference(cost["rule"][e], cost["optimum"][e], elapsed[e])

    assert 0.93 <= coverage(difference, exact["rule"] - exact["optimum"]) <= 0.97


def test_shares_of_the_gap_cover_the_exact_one(world):
    """From everyone to automation to the optimum: how much of it the threshold closes."""
    cost, exact, _ = world
    rng = np.random.default_rng(3)

    def share():
        e = rng.choice(FEW, 40, replace=False)
        return gap_closed(cost["worse"][e], cost["rule"][e], cost["optimum"][e], rng)

    truth = (exact["worse"] - exact["rule"]) / (exact["worse"] - exact["optimum"])
    assert 0.93 <= coverage(share, truth) <= 0.97


@pytest.mark.parametrize("seeds", [5, 10])
def test_hierarchical_intervals_cover_the_mean_over_all_seeds(world, seeds):
    """So many seeds drawn from all, 40 episodes each; the truth is the mean of the exact costs of all."""
    cost, exact, elapsed = world
    rng, table = np.random.default_rng(4), np.stack([cost[f"seed{k}"] for k in range(SEEDS)])

    def difference():
        s, e = rng.integers(0, SEEDS, seeds), rng.choice(FEW, 40, replace=False)
        return hierarchical_bootstrap(table[np.ix_(s, e)] - cost["optimum"][e], elapsed[e], rng)

    truth = np.mean([exact[f"seed{k}"] for k in range(SEEDS)]) - exact["optimum"]
    assert 0.93 <= coverage(difference, truth) <= 0.97


def test_episodes_alone_do_not_cover_the_mean_over_all_seeds(world):
    """Why the seeds are resampled: one seed's interval over episodes mostly misses the mean over seeds."""
    cost, exact, elapsed = world
    rng = np.random.default_rng(5)

    def difference():
        s, e = rng.integers(0, SEEDS), rng.choice(FEW, 40, replace=False)
        return paired_difference(cost[f"seed{s}"][e], cost["optimum"][e], elapsed[e])

    truth = np.mean([exact[f"seed{k}"] for k in range(SEEDS)]) - exact["optimum"]
    assert coverage(difference, truth) < 0.7


@pytest.mark.parametrize("half_width", [0.04, 0.06])
def test_sequential_intervals_cover_and_are_as_narrow_as_asked(world, half_width):
    cost, exact, elapsed = world
    rng, paired, numbers, widths = np.random.default_rng(6), cost["rule"] - cost["optimum"], [], []

    def difference():
        e, n, wanted = rng.choice(MANY, 1500, replace=False), 0, 50
        while n < wanted:
            n = wanted
            wanted = episodes_needed(paired[e[:n]], elapsed[e[:n]], 50, half_width)
        found = sequential(paired[e[:n]], elapsed[e[:n]], 50)
        numbers.append(n), widths.append(found.high - found.low)
        return found

    assert coverage(difference, exact["rule"] - exact["optimum"]) >= 0.94
    assert max(numbers) <= 1500
    assert np.mean(numbers) > 75  # beyond the pilot, or nothing has been tested
    assert max(widths) <= 2 * half_width * (1 + 1e-9)
