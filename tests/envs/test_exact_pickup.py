"""The chain of a desk with pickup decisions: against the chain without them, and against the kernel's simulation."""

import numpy as np
import pytest

import pointsman
from pointsman import envs
from pointsman.agents import exact
from pointsman.errors import PointsmanError
from pointsman.evaluation.exact_costs import tabulate
from pointsman.evaluation.rollout import rollout
from pointsman.evaluation.statistics import rate

NAME = "dispatch/mini_pickup"
WITHOUT = {"pickup_decisions": False, "places_shown": 0}
ROUGH = {"automation.success_easy": 0.8, "automation.success_hard": 0.1, "automation.unnoticed_failures": 0.3}
ROUGH |= {"prices.undetected_errors": 5.0}
WORLDS = [{}, ROUGH, {"arrival_rate": 0.3, "prices.forwards": 0.0}, {"arrival_rate": 1.6}, {"teams.people.staff": 2}]
SILENT = ("answered_in_target", "answer_wait_minutes", "wait_bucket")


def build(**overrides):
    return envs.build(envs.configure(NAME, horizon_minutes=4000.0, warmup_minutes=200.0, **overrides))


@pytest.mark.parametrize("overrides", WORLDS)
def test_the_decision_never_costs(overrides):
    """Whoever may decide may also always process; at these prices it is worth something, too, and no bound is loose."""
    free = pointsman.solve(NAME, **overrides)
    without = pointsman.solve(NAME, **(overrides | WITHOUT))
    assert free.average_cost < without.average_cost
    for solution in (free, without):
        assert solution.lower <= solution.average_cost * (1 + 1e-12)
        assert solution.average_cost <= solution.upper * (1 + 1e-12)
        assert solution.upper - solution.lower < 1e-9


def test_forwarding_that_costs_too_much_is_worth_nothing():
    dear = {"prices.forwards": 1000.0}
    free, without = pointsman.solve(NAME, **dear), pointsman.solve(NAME, **WITHOUT)
    assert free.average_cost == pytest.approx(without.average_cost, rel=1e-12)


def test_what_is_forwarded_depends_on_who_is_free():
    problem = build()
    chain, solution = envs.chain(problem, 1), pointsman.solve(NAME)
    picked, forwards = chain.mask[:, 2], solution.actions == 3
    names = [field.name for field in problem.observation]
    busy, waiting = (chain.observation[:, names.index(name)] for name in ("in_service", "waiting"))
    assert forwards[picked & (waiting > 0)].all()
    assert not forwards[picked & (busy == 0)].any()


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.7])
def test_processing_always_is_the_desk_without_the_decision(threshold):
    costs = []
    for overrides in ({}, WITHOUT):
        problem = build(**overrides)
        name = "threshold" if overrides else "process_always"
        chain, rule = envs.chain(problem, 1), envs.rules(problem)[name](problem, threshold=threshold)
        costs.append(exact.evaluate(chain, tabulate(rule, chain)).average_cost)
    assert costs[0] == pytest.approx(costs[1], rel=1e-10)


def test_a_long_queue_is_that_of_the_unlimited_desk():
    limited = pointsman.solve("dispatch/mini", **{"teams.people.queue_limit": 90})
    assert limited.average_cost == pytest.approx(pointsman.solve("dispatch/mini").average_cost, rel=1e-8)


@pytest.mark.parametrize("overrides", [pytest.param({}, marks=pytest.mark.long), ROUGH])  # the rough one has all of the plain one
def test_optimum_simulates_to_its_cost_in_every_quantity(overrides):
    """99.98 % intervals of simulation hold the chain's stationary averages, and the cost's half-width is below 1 %."""
    problem, solution = build(**overrides), pointsman.solve(NAME, **overrides)
    chain = envs.chain(problem, 1)
    score = exact.evaluate(chain, tabulate(solution.policy, chain))
    assert score.average_cost == pytest.approx(solution.average_cost, rel=1e-9)
    totals = rollout(solution.policy, problem, 400, seed=1)
    cost = rate(totals.ledger @ envs.BatchEnv(problem).prices, totals.elapsed, level=0.9998)
    assert cost.low < solution.average_cost < cost.high
    assert cost.high - cost.low < 0.03 * solution.average_cost
    for k, column in enumerate(problem.columns):
        if not column.startswith(SILENT):
            found = rate(totals.ledger[:, k], totals.elapsed, level=0.9998)
            assert found.low - 1e-9 <= score.ledger[k] <= found.high + 1e-9, (column, found, score.ledger[k])


def test_random_decisions_simulate_to_the_same_averages():
    """Nothing that the optimum avoids is left untested: every legal action with the same probability."""
    problem = build(**ROUGH)
    chain = envs.chain(problem, 1)
    score = exact.evaluate(chain, chain.mask / chain.mask.sum(1, keepdims=True))

    class Anything:
        def act(self, observation, mask, u):
            return (np.cumsum(mask / mask.sum(1, keepdims=True), 1) > u[:, None]).argmax(1)

    totals = rollout(Anything(), problem, 400, seed=2)
    for k, column in enumerate(problem.columns):
        if not column.startswith(SILENT):
            found = rate(totals.ledger[:, k], totals.elapsed, level=0.9998)
            assert found.low - 1e-9 <= score.ledger[k] <= found.high + 1e-9, (column, found, score.ledger[k])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"teams.people.queue_limit": None}, "pickup decisions without a queue_limit"),
        ({"places_shown": 2}, "places_shown other than the queue_limit"),
        ({"forward_minutes": 0.5}, "time that forwarding takes"),
        ({"teams.people.queue_limit": 12, "places_shown": 12}, "too many states with queue_limit=12"),
        ({"automation.outages": {"every_minutes": 10}}, "outages"),
    ],
)
def test_desks_without_a_chain_say_why(overrides, message):
    with pytest.raises(PointsmanError, match=message):
        pointsman.solve(NAME, **overrides)
