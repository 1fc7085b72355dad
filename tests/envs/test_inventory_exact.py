"""Optima of inventories: published values by the solver, rules by exact evaluation, closed forms, bounds and simulation."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import pointsman
from pointsman import envs
from pointsman.envs.inventory import exact as inventory
from pointsman.envs.inventory.bound import demands, hindsight
from pointsman.evaluation.exact_costs import own_cost
from pointsman.evaluation.rollout import EVALUATION, rollout

TRUTH = json.loads((Path(__file__).parents[1] / "truth/inventory.json").read_text())
LOST, DUAL = TRUTH["lost_sales"], TRUTH["dual_sourcing"]
DIGITS = LOST["tolerance"]
TABLES = [("poisson", LOST["poisson"]), ("geometric", LOST["geometric (P(d)=(1/6)(5/6)^d)"])]


def truth(what):
    """(demand, penalty, lead time, cost) of the rows of one kind."""
    found = []
    for demand, table in TABLES:
        for penalty, rows in table.items():
            for lead, cost in rows.get(what, {}).items():
                found.append((demand, float(penalty.removeprefix("p=")), int(lead.removeprefix("L=")), cost))
    return found


def problem(demand="poisson", penalty=4.0, lead_time=2, **given):
    return envs.build(envs.configure("inventory/lost_sales", demand=demand, penalty=penalty, lead_time=lead_time, **given))


def exact_cost(found, rule, **values):
    return own_cost(found, envs.rules(found)[rule](found, **values))


@pytest.mark.parametrize(("demand", "penalty", "lead", "cost"), truth("optimal"))
def test_lost_sales(demand, penalty, lead, cost):
    found = pointsman.solve("inventory/lost_sales", demand=demand, penalty=penalty, lead_time=lead)
    assert found.average_cost == pytest.approx(cost, abs=DIGITS)
    assert found.lower <= found.average_cost <= found.upper


@pytest.mark.parametrize(
    ("demand", "penalty", "lead", "cost"),
    [
        ("poisson", 4, 3, 4.60), ("poisson", 4, 4, 4.73), ("poisson", 19, 3, 8.36), ("geometric", 4, 3, 10.47),
        pytest.param("poisson", 19, 4, 8.89, marks=pytest.mark.long),
        pytest.param("geometric", 19, 3, 22.06, marks=pytest.mark.long),
    ],
)  # fmt: skip
def test_lost_sales_at_longer_lead_times(demand, penalty, lead, cost):
    """Zipkin (2008), Tables 3 and 4."""
    found = pointsman.solve("inventory/lost_sales", demand=demand, penalty=penalty, lead_time=lead)
    assert found.average_cost == pytest.approx(cost, abs=DIGITS)


@pytest.mark.parametrize(("demand", "penalty", "lead", "cost"), truth("best base-stock"))
def test_best_base_stock(demand, penalty, lead, cost):
    """The cost is convex in the level (Janakiraman and Roundy 2004): the search may stop once it rises."""
    found, level = problem(demand, penalty, lead), 5 * lead
    costs = [exact_cost(found, "base_stock", level=level)]
    while len(costs) < 2 or costs[-1] < costs[-2]:
        level += 1
        costs.append(exact_cost(found, "base_stock", level=level))
    assert len(costs) > 2
    assert costs[-2] == pytest.approx(cost, abs=DIGITS)


CONSTANT = [
    (demand, float(penalty.removeprefix("p=")), rows["best constant order"])
    for demand, table in TABLES
    for penalty, rows in table.items()
    if "best constant order" in rows
]


@pytest.mark.parametrize(("demand", "penalty", "cost"), CONSTANT)
def test_best_constant_order(demand, penalty, cost):
    costs = {q: exact_cost(problem(demand, penalty, 1), "constant_order", quantity=q) for q in (2, 3, 4)}
    assert min(costs.values()) == pytest.approx(cost, abs=DIGITS)


def test_constant_orders_cost_the_same_whatever_the_lead_time():
    """Which is why they are good at long ones."""
    costs = [exact_cost(problem(lead_time=lead), "constant_order", quantity=4) for lead in (1, 3)]
    assert costs[1] == pytest.approx(costs[0], rel=1e-4)


@pytest.mark.parametrize(
    ("rule", "lead", "cost"),
    [("myopic1", 1, 4.11), ("myopic1", 2, 4.56), ("myopic1", 3, 4.84), ("myopic2", 1, 4.04), ("myopic2", 2, 4.41)],
)
def test_myopic_rules(rule, lead, cost):
    """Zipkin (2008), Table 3, penalty 4."""
    assert exact_cost(problem(lead_time=lead), rule) == pytest.approx(cost, abs=DIGITS)


@pytest.mark.parametrize(("given", "cost"), DUAL["(regular lead time, c_e) -> optimal average cost"].items())
def test_dual_sourcing(given, cost):
    lead, expedite = map(int, given.split(","))
    found = pointsman.solve("inventory/dual_sourcing", lead_time=lead, expedite_cost=expedite)
    assert found.average_cost == pytest.approx(cost, rel=2e-4)
    assert found.upper - found.lower < 2e-5 * cost
    assert len(found.truncations) >= 2


@pytest.mark.parametrize(
    ("demand", "penalty", "lead"), [("poisson", 4, 2), ("poisson", 19, 2), ("geometric", 9, 2), ("poisson", 9, 3)]
)
def test_wider_bounds_do_not_change_the_optimum(demand, penalty, lead, monkeypatch):
    tight = pointsman.solve("inventory/lost_sales", demand=demand, penalty=penalty, lead_time=lead)
    order, position = inventory.optimal_limits(problem(demand, penalty, lead))
    monkeypatch.setattr(inventory, "optimal_limits", lambda _: (order + 3, position + 6))
    wide = pointsman.solve("inventory/lost_sales", demand=demand, penalty=penalty, lead_time=lead)
    assert len(wide.bias) > 1.3 * len(tight.bias)  # there was more to choose from
    assert wide.average_cost == pytest.approx(tight.average_cost, rel=2e-5)


def test_wider_bounds_do_not_change_the_optimum_of_two_sources(monkeypatch):
    tight = pointsman.solve("inventory/dual_sourcing")
    monkeypatch.setattr(inventory, "optimal_limits", lambda _: (None, None))
    wide = pointsman.solve("inventory/dual_sourcing")
    assert len(wide.bias) > 1.5 * len(tight.bias)
    assert wide.average_cost == pytest.approx(tight.average_cost, rel=2e-5)


@pytest.mark.parametrize("penalty", [4.0, 19.0])
def test_the_limit_that_is_never_met_costs_nothing(penalty):
    free, within = (pointsman.solve("inventory/lost_sales", penalty=penalty, position_limit=limit) for limit in (None, "auto"))
    assert within.average_cost == pytest.approx(free.average_cost, rel=1e-9)
    assert envs.build(envs.configure("inventory/lost_sales", position_limit="auto")).params.position_limit < 30


@pytest.mark.parametrize("lead", [0, 1, 2])
def test_backlogs_have_their_closed_form(lead):
    """Newsvendor: base stock at the quantile of demand over lead time and review period; ordering costs c times the mean."""
    holding, penalty, price = 1.0, 9.0, 2.0
    given = {"lead_time": lead, "penalty": penalty, "order_cost": price, "fixed_cost": 0.0, "max_order": 30}
    found = pointsman.solve("inventory/backlog", **given)
    law = stats.poisson(5 * (lead + 1))
    level = int(law.ppf(penalty / (penalty + holding)))
    short = law.expect(lambda d: np.maximum(d - level, 0))
    best = holding * (level - law.mean()) + (holding + penalty) * short + 5 * price
    assert found.average_cost == pytest.approx(best, rel=1e-5)
    backlog = envs.build(envs.configure("inventory/backlog", **given))
    assert exact_cost(backlog, "base_stock", level=level) == pytest.approx(best, rel=1e-5)


def test_reorder_points_are_optimal_with_fixed_costs():
    """Scarf (1960): the best (s, S) costs what the optimum does; other rules cost more."""
    given = {"lead_time": 0, "demand_mean": 2.0, "fixed_cost": 16.0}
    found = pointsman.solve("inventory/backlog", **given)
    backlog = envs.build(envs.configure("inventory/backlog", **given))
    costs = {(s, b): exact_cost(backlog, "s_S", reorder=s, batch=b) for s in range(-1, 4) for b in range(6, 12)}
    assert min(costs.values()) == pytest.approx(found.average_cost, rel=1e-5)
    assert exact_cost(backlog, "base_stock", level=4) > 1.2 * found.average_cost


def interval(policy, found, episodes=64):
    """Mean cost per period and half of its 99 % Student interval; episodes are independent."""
    totals = rollout(policy, found, episodes, seed=5)
    cost = totals.ledger @ envs.BatchEnv(found).prices / totals.elapsed
    return cost.mean(), stats.t.ppf(0.995, episodes - 1) * cost.std(ddof=1) / episodes**0.5


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("lost_sales", {}),
        ("lost_sales", {"demand": "geometric", "penalty": 9.0, "lead_time": 1}),
        ("lost_sales", {"demand": "negative_binomial", "demand_variance": 9.0}),
        ("backlog", {}),
        ("dual_sourcing", {}),
    ],
)
def test_optimum_simulates_to_its_cost(name, given):
    found = envs.build(envs.configure(f"inventory/{name}", **given))
    best = pointsman.solve_problem(found)
    cost, half = interval(best.policy, found)
    assert abs(cost - best.average_cost) < half
    assert half < 0.03 * best.average_cost
    assert own_cost(found, best.policy) == pytest.approx(best.average_cost, rel=1e-4)
    for rule in envs.rules(found).values():
        assert own_cost(found, rule(found)) >= best.average_cost * (1 - 1e-5)


@pytest.mark.parametrize(
    ("name", "given", "share"),
    [
        ("lost_sales", {"order_cost": 2.0}, 0.2),
        ("backlog", {}, 0.2),
        ("dual_sourcing", {}, 0.2),
        ("spare_parts", {"lead_time": 3}, 0.02),
    ],
)
def test_hindsight_is_never_beaten(name, given, share):
    """Episode by episode, by any rule; and it is some share of what the best of the untuned ones costs."""
    found = envs.build(envs.configure(f"inventory/{name}", horizon_time=120, warmup_time=20, **given))
    bound = hindsight(found, 6, EVALUATION)
    best = np.inf
    for rule in envs.rules(found).values():
        totals = rollout(rule(found), found, 6, EVALUATION)
        cost = totals.ledger @ envs.BatchEnv(found).prices / totals.elapsed
        assert (cost >= bound - 1e-6).all()
        best = min(best, cost.mean())
    assert bound.mean() > share * best


def test_hindsight_of_a_case_worked_by_hand():
    """Start empty, lead time 1: the first demand is lost; the other is ordered in time and nothing is held."""
    given = {"demand": "trace", "demand_mean": None, "trace": [3, 2], "horizon_time": 2, "warmup_time": 0, "max_order": 10}
    for seed in range(20):
        lost = problem(lead_time=1, penalty=4.0, order_cost=0.5, **given)
        first, second = demands(lost, 1, seed)[0]
        assert {first, second} == {3, 2}
        assert hindsight(lost, 1, seed)[0] == pytest.approx((4.0 * first + 0.5 * second) / 2)
