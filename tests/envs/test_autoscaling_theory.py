"""Autoscaling against what is known: queues with set-up, Erlang's C, exact chains, and the clairvoyant bound."""

import itertools
from math import factorial

import numpy as np
import pytest
from scipy import stats

import pointsman
from pointsman import envs
from pointsman.agents.exact import evaluate
from pointsman.envs.autoscaling.bound import clairvoyant, worlds
from pointsman.envs.autoscaling.rules import staffing
from pointsman.errors import PointsmanError
from pointsman.evaluation.rollout import rollout

LONG = {"horizon_minutes": 1200.0, "warmup_minutes": 200.0}


def problem_of(name, **overrides):
    return envs.build(envs.configure(f"autoscaling/{name}", **overrides))


def queue_of(rate, replicas, start=1.0, least=0):
    """One request at a time, served at rate 1; no limit on the queue."""
    changes = {"arrival_rate": rate, "start_minutes": start, "min_replicas": least, "max_replicas": replicas}
    return problem_of("small", initial_replicas=replicas, max_change=replicas, queue_limit=None, **changes, **LONG)


def response(problem, rule, episodes=800):
    """Mean response time, by Little's law, and the half width of its 99 % interval over episodes."""
    totals, columns = rollout(rule, problem, episodes, 5).ledger, list(problem.columns)
    waiting, busy, arrived = (totals[:, columns.index(name)] for name in ("waiting_minutes", "busy_hours", "arrived"))
    inside, ratio = waiting + 60 * busy, (waiting + 60 * busy).sum() / arrived.sum()
    spread = (inside - ratio * arrived).std(ddof=1) / arrived.mean() / episodes**0.5
    return ratio, stats.t.ppf(0.995, episodes - 1) * spread


@pytest.mark.parametrize(("arrival", "setup", "known"), [(0.5, 0.2, 7.0), (0.7, 0.1, 13.3333)])
def test_a_server_that_stops_when_it_is_empty(arrival, setup, known):
    """M/M/1 with exponential set-up: 1 / (mu - lambda) + 1 / alpha (Harchol-Balter 2013, chapter 27)."""
    assert 1 / (1 - arrival) + 1 / setup == pytest.approx(known, abs=1e-4)
    problem = queue_of(arrival, 1, 1 / setup)
    off_when_empty = envs.rules(problem)["by_queue"](problem, requests=1.0, spare=0)
    mean, half = response(problem, off_when_empty)
    assert half < 0.06 * known
    assert abs(mean - known) < half


def test_replicas_that_are_always_on_are_erlangs():
    """M/M/3 at load 0.8: Erlang's C formula."""
    load, n = 2.4, 3
    last = load**n / factorial(n) * n / (n - load)
    waits = last / (sum(load**k / factorial(k) for k in range(n)) + last)
    problem = queue_of(load, n)
    mean, half = response(problem, envs.rules(problem)["static"](problem, replicas=n))
    assert half < 0.08
    assert abs(mean - (1 + waits / (n - load))) < half


def test_square_root_staffing():
    np.testing.assert_allclose(staffing(np.array([0.0, 4.0, 100.0]), 1.5), [0.0, 7.0, 115.0])


def test_the_small_one_is_solved_and_its_chain_is_its_simulation():
    problem = problem_of("small", **LONG)
    best = pointsman.solve_problem(problem)
    chain = envs.chain(problem, 20)
    costs = {}
    for name, rule in {
        "static": envs.rules(problem)["static"](problem, replicas=2),
        "by_queue": envs.rules(problem)["by_queue"](problem, requests=2.0, spare=0),
        "optimum": best.policy,
    }.items():
        actions = rule.act(chain.observation, chain.mask, np.zeros(len(chain.mask)))
        exact = evaluate(chain, np.eye(chain.mask.shape[1])[actions])
        totals = rollout(rule, problem, 240, 1)
        each = totals.ledger[:, :-1] / totals.elapsed[:, None]
        error = each.std(0, ddof=1) / 240**0.5
        assert (np.abs(each.mean(0) - exact.ledger) < 4.5 * error + 1e-4).all(), name  # losses are too rare for an error
        costs[name] = exact.average_cost
    assert costs["optimum"] == pytest.approx(best.average_cost, rel=1e-9)
    assert costs["optimum"] < 0.98 * min(costs["static"], costs["by_queue"])


def test_a_flow_is_not_solved():
    with pytest.raises(PointsmanError, match=r"autoscaling/taxi has no exact solution: only model=markov"):
        envs.chain(problem_of("taxi"), 10)


BOUNDED = {
    "sinusoid": ("sinusoid", {}),
    "load_balancer": ("load_balancer", {}),
    "taxi": ("taxi", {"start_minute": 360.0}),
    "llm": ("llm", {"horizon_minutes": 40.0}),
    "random_starts": ("sinusoid", {"start_minutes": 1.7, "start_spread_minutes": 2.0, "slo_minutes": 1.5, "prices.stops": 0.02}),
    "waiting": ("sinusoid", {"prices": {"replica_hours": 1.0, "waiting_minutes": 0.01, "late_minutes": 0.2}, "slo_minutes": 0.0}),
}


@pytest.mark.parametrize("case", BOUNDED.values(), ids=BOUNDED)
def test_no_rule_is_ever_below_the_bound(case):
    """Over the same arrivals, episode by episode, with good and bad parameters alike."""
    name, changes = case
    problem = problem_of(name, **{"horizon_minutes": 240.0, "start_minute": 480.0} | changes)
    bound = clairvoyant(problem, 4, 9)
    prices, rng = envs.core.BatchEnv(problem).prices, np.random.default_rng(0)
    assert (bound > 0).all()
    for rule in envs.rules(problem).values():
        for _ in range(4):
            drawn = {key: (rng.uniform(p.low, p.high), p.integer) for key, p in rule.space_for(problem).items()}
            values = {key: round(x) if whole else x for key, (x, whole) in drawn.items()}
            totals = rollout(rule(problem, **values), problem, 4, 9)
            assert (totals.ledger @ prices / totals.elapsed >= bound - 1e-9).all()


def test_the_bound_is_the_optimum_where_nothing_is_relaxed():
    """Five intervals, two replicas, start-ups of one interval: every sequence of actions is tried on the kernel.

    Demand falls on the grid of backlogs, so the bound may lie below the best sequence by rounding only.
    """
    changes = {
        "amplitude": 0.0, "noise.cv": 0.0, "bursts.every_minutes": None, "service_cv": 0.0, "ticks": 1, "slo_minutes": 1.0,
        "arrival_rate": 1.1, "service_minutes": 0.75, "start_minutes": 1.0, "min_replicas": 0, "max_replicas": 2, "max_change": 2,
        "initial_replicas": 1, "horizon_minutes": 5.0,
        "prices": {"replica_hours": 6.0, "starts": 0.05, "stops": 0.02, "waiting_minutes": 0.1, "late": 0.5},
    }  # fmt: skip
    problem = problem_of("sinusoid", **changes)
    sequences = np.array(list(itertools.product(range(5), repeat=5)))
    for episode in range(6):
        indices = np.full(len(sequences), episode)
        env = envs.core.BatchEnv(problem, len(sequences), "fallback", indices, autoreset=False)
        env.reset(seed=2)
        # Sequences with an illegal action count as those that they are made into.
        cost = -sum(env.step(np.ascontiguousarray(actions))[1] for actions in sequences.T)
        bound = clairvoyant(problem, 1, 2, first=episode) * 5.0
        assert bound <= cost.min() + 1e-9
        assert bound == pytest.approx(cost.min(), abs=1e-6)
    assert len({work.tobytes() for work in worlds(problem, 6, 2, 0)[1]}) > 3


def test_prices_without_a_bound_are_refused():
    with pytest.raises(PointsmanError, match=r"prices\.busy_hours=1\.0: the clairvoyant bound knows no such price"):
        clairvoyant(problem_of("sinusoid", **{"prices.busy_hours": 1.0}), 1, 0)
    with pytest.raises(PointsmanError, match="use pointsman.solve"):
        clairvoyant(problem_of("small"), 1, 0)
