"""What the study of hidden regimes takes as its yardsticks: the best memoryless policy, and the filter."""

from itertools import product

import numpy as np
import pytest

from pointsman import envs
from pointsman.agents import exact
from pointsman.scripts.hidden_regime import Filter, memoryless

TINY = {"teams.people.staff": 1, "score.bins_easy_probability": [0.9, 0.2], "score.bins_weight": [0.5, 0.5]}
FAST = {"arrival_rates": [0.1, 0.6], "switching_rates": [0.02, 0.05]}


@pytest.fixture(scope="module")
def tiny():
    """One person and two scores, at most two requests: six observations, 64 memoryless policies."""
    return envs.chain(envs.build(envs.configure("dispatch/surge", **TINY, **FAST)), 2)


def test_the_local_search_finds_the_best_of_all_memoryless_policies(tiny):
    decision = np.flatnonzero(tiny.decision)
    _, alike = np.unique(tiny.observation[decision, :3], axis=0, return_inverse=True)
    costs = []
    for choice in product((0, 1), repeat=int(alike.max()) + 1):
        table = np.eye(2)[tiny.mask.argmax(1)]
        table[decision] = np.eye(2)[np.array(choice)[alike]]
        costs.append(exact.evaluate(tiny, table).average_cost)
    assert len(costs) == 64
    found, _ = memoryless(tiny, 3)
    assert found == pytest.approx(min(costs), rel=1e-9)
    assert exact.solve(tiny).average_cost <= found
    assert memoryless(tiny, 4)[0] == pytest.approx(exact.solve(tiny).average_cost, rel=1e-9)  # seeing all, it is the optimum


def test_the_filter_follows_bayes(tiny):
    """Beliefs after gaps of some minutes, against small steps of time: no request in a step, or a switch, then a request."""
    problem = envs.build(envs.configure("dispatch/surge", **TINY, **FAST))
    judge = Filter(problem, tiny, exact.solve(tiny))
    rates, leaves, step = np.array([0.1, 0.6]), np.array([0.02, 0.05]), 1e-4
    judge.belief = np.tile([0.3, 0.7], (3, 1))
    gaps = np.array([0.5, 4.0, 20.0])
    for row, gap in zip(judge.follow(gaps), gaps, strict=True):
        weight = np.array([0.3, 0.7])
        for _ in range(round(gap / step)):
            weight = weight + step * (weight[::-1] * leaves[::-1] - weight * (leaves + rates))
        weight *= rates
        assert row == pytest.approx(weight / weight.sum(), abs=1e-4)


def test_the_filter_reads_gaps_from_a_rate_and_leads_to_the_regime(tiny):
    """It finds the regime far more often than not, which it is never shown."""
    problem = envs.build(envs.configure("dispatch/surge", regime_observed=False, horizon_minutes=1e6))
    seeing = envs.build(envs.configure("dispatch/surge"))
    chain = envs.chain(seeing, 25)
    judge = Filter(problem, chain, exact.solve(chain))
    env = envs.BatchEnv(judge.view(problem), 200)
    seen, _ = env.reset(seed=0)
    right = []
    for k in range(300):
        actions = judge.act(seen, env.action_masks(), None)
        if k > 100:
            right.append((judge.belief.argmax(1) == env.state.regime).mean())
        seen = env.step(actions)[0]
    assert np.mean(right) > 0.95
