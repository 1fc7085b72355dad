"""The chain of three zones against the kernel's simulation, and what its optimum must satisfy."""

import numpy as np
import pytest

import pointsman
from pointsman import envs
from pointsman.agents import exact
from pointsman.envs.fleet.exact import types_of
from pointsman.errors import PointsmanError
from pointsman.evaluation.exact_costs import tabulate
from pointsman.evaluation.rollout import rollout
from pointsman.evaluation.statistics import rate

SETTINGS = {
    "nearest": {},
    "nearest_within": {"within": 5.0, "most_waiting": 0.2},  # only vehicles in the zone itself; nobody waits
    "batched_value": {"minute_worth": 0.25, "most_waiting": 0.5},
}


@pytest.fixture(scope="module")
def problem():
    return envs.build(envs.configure("fleet/zones", horizon_minutes=1500.0, warmup_minutes=200.0))


@pytest.fixture(scope="module")
def chain(problem):
    return envs.chain(problem, 25)


@pytest.fixture(scope="module")
def solution(chain):
    return exact.solve(chain)


def policies(problem, solution):
    return {name: envs.rules(problem)[name](problem, **values) for name, values in SETTINGS.items()} | {
        "optimum": solution.policy
    }


def test_types_of_a_hand_worked_town(problem):
    """Six pairs of zones; a vehicle is on its way to one of three, and takes 8 + 2 minutes or, from another zone, 8 + 8 + 2."""
    types = types_of(problem.params)
    pairs = list(zip(types.origin.tolist(), types.destination.tolist(), strict=True))
    assert pairs == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    np.testing.assert_allclose(types.share, [0.25, 0.25, 0.15, 0.15, 0.2 * 2 / 3, 0.2 / 3])
    assert sorted(types.mean[3:].tolist()) == pytest.approx([10.0] * 3 + [18.0] * 3)
    assert types.place[types.after[0, 0]] == 1
    assert types.mean[types.after[0, 0]] == pytest.approx(10.0)
    assert types.mean[types.after[1, 0]] == pytest.approx(18.0)


@pytest.mark.parametrize("name", [*SETTINGS, "optimum"])
def test_chain_and_kernel_agree_on_every_quantity_and_on_frequencies(problem, chain, solution, name):
    """Columns lie in 99.98 % intervals of simulation; so do decisions per minute by idle vehicles and whether another waits."""
    policy = policies(problem, solution)[name]
    score = exact.evaluate(chain, tabulate(policy, chain))
    context = problem.layout.context
    idle, other = context.index("idle_share"), context.index("other_0/present")

    def group(observation):
        return (2 * np.rint(3 * observation[:, idle]) + observation[:, other]).astype(int)

    counts = np.zeros((100, 8))

    def watch(env, observation, actions, counted):
        rows = np.flatnonzero(counted & env.action_masks()[:, -1])
        np.add.at(counts, (rows, group(problem.layout.flat(observation)[rows])), 1)

    totals = rollout(policy, problem, 100, seed=5, watch=watch)
    for k, column in enumerate(problem.columns):
        found = rate(totals.ledger[:, k], totals.elapsed, level=0.9998)
        assert found.low - 1e-9 <= score.ledger[k] <= found.high + 1e-9, (column, found, score.ledger[k])
    hand = chain.mask[:, -1]
    expected = np.bincount(group(chain.observation[hand]), score.frequency[hand], 8) / chain.elapsed[0, 0]
    for g in range(8):
        found = rate(counts[:, g], totals.elapsed, level=0.9998)
        assert found.low - 1e-9 <= expected[g] <= found.high + 1e-9, (g, found, expected[g])


def test_simulated_optimum_is_the_solvers_and_no_rule_is_better(problem, chain, solution):
    prices = envs.BatchEnv(problem).prices
    totals = rollout(solution.policy, problem, 100, seed=9)
    found = rate(totals.ledger @ prices, totals.elapsed, level=0.99)
    assert found.low <= solution.average_cost <= found.high
    assert solution.upper - solution.lower < 1e-4 * abs(solution.average_cost)
    for name, policy in policies(problem, solution).items():
        cost = exact.evaluate(chain, tabulate(policy, chain)).average_cost
        assert cost >= solution.lower - 1e-9, name
        assert cost - solution.average_cost > (1e-3 if name != "optimum" else -1e-6), name


def test_one_vehicle_that_is_always_asked_is_an_erlang_loss_system():
    """One zone pair, one vehicle, nobody waits (patience is next to nothing): the share served is 1 / (1 + load)."""
    zones = {
        "a": {"x": 0, "y": 0, "spread_km": 0, "share": 1, "to": {"a": 1}},
    }
    config = {k: v for k, v in envs.configure("fleet/zones").items() if k != "zones"}
    problem = envs.build(
        envs.complete(config | {"zones": zones, "vehicles": 1, "patience_minutes": 1e-7, "service_minutes": 6.0})
    )
    chain = envs.chain(problem, 1)
    ledger = exact.evaluate(chain, tabulate(envs.rules(problem)["nearest"](problem), chain)).ledger
    by_name = dict(zip(problem.columns, ledger, strict=True))
    assert by_name["served"] / by_name["arrived"] == pytest.approx(1 / (1 + 0.2 * 6.0), rel=1e-5)
    assert by_name["busy_minutes"] == pytest.approx(0.2 * 6.0 / (1 + 0.2 * 6.0), rel=1e-5)


def test_problems_without_a_chain_say_why():
    with pytest.raises(PointsmanError, match="zones that are not single points, times that are not exponential") as caught:
        pointsman.solve("fleet/busy")
    assert "decisions in batches" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(PointsmanError, match="[0-9,]+ states, more than the 400,000"):
        pointsman.solve("fleet/zones", vehicles=20)
