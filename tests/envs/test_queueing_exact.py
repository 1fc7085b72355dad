"""Optima of queueing networks: published values and closed forms by the solver, and the same by simulation."""

import json
from pathlib import Path

import numpy as np
import pytest

import pointsman
from pointsman import envs
from pointsman.agents import exact
from pointsman.evaluation.exact_costs import tabulate
from pointsman.evaluation.rollout import rollout

TRUTH = json.loads((Path(__file__).parents[1] / "truth/queueing.json").read_text())


def rows(table, keys, separator=","):
    """A truth table whose keys are numbers as [(parameters, value)]; with ';' between lists of numbers."""
    found = []
    for text, value in table.items():
        parts = [[float(x) for x in part.split(",")] for part in text.split(separator)]
        parts = [part[0] if len(part) == 1 else part for part in parts]
        found.append((dict(zip(keys, parts, strict=False)), value))
    return found


CRISS_CROSS = ("arrival_rate", "mu2")
SLOW_SERVER = ("arrival_rate", "mu_fast", "mu_slow")
NAOR = ("arrival_rate", "service_rate", "reward", "holding_cost")
MULTICLASS = ("arrival_rates", "service_rates", "holding_costs")
TRUNK = ("servers", "arrival_rates", "rewards")
N_MODEL = [({"rho": float(rho)}, cost) for rho, cost in TRUTH["n_model"]["rho -> optimum"].items()]


def trunk():
    table = TRUTH["trunk_reservation"][
        "(c; lambda high, low; reward high, low), mu=1 -> admit low iff busy < t; reward rate; accept-all"
    ]
    return [
        (given | {"servers": int(given["servers"]), "capacity": int(given["servers"])}, v) for given, v in rows(table, TRUNK, ";")
    ]


def naor():
    table = TRUTH["naor_admission"]["(lambda, mu, reward, holding) -> individual threshold, social threshold, gain at social"]
    return rows(table, NAOR)


def slow_server():
    table = TRUTH["slow_server"]["(lambda, mu_fast, mu_slow) -> use the slow server iff waiting >= k; mean number in system"]
    return rows(table, SLOW_SERVER)


def chain_and_rule(name, rule, size, values=None, **given):
    """A preset's chain, and the exact cost of a rule in it."""
    problem = envs.build(envs.configure(name, **given))
    chain = envs.chain(problem, size)
    return chain, exact.evaluate(chain, tabulate(envs.rules(problem)[rule](problem, **(values or {})), chain)).average_cost


@pytest.mark.parametrize(("given", "cost"), rows(TRUTH["criss_cross"]["(l, mu2) -> optimum"], CRISS_CROSS))
def test_criss_cross(given, cost):
    found = pointsman.solve("queueing/criss_cross", **given)
    assert found.average_cost == pytest.approx(cost, rel=1e-3)
    assert len(found.truncations) >= 2
    assert found.lower <= found.average_cost <= found.upper


PRIORITY = rows(TRUTH["criss_cross"]["priority to class 1 (closed form rho1/(1-rho1)+rho2/(1-rho2))"], CRISS_CROSS)


@pytest.mark.parametrize(("given", "cost"), [row for row in PRIORITY if row[0]["arrival_rate"] < 0.9])
def test_priority_to_class_1_has_its_closed_form(given, cost):
    """c-mu prefers class 1 to class 3, its equal; both stations are then M/M/1 queues."""
    assert chain_and_rule("queueing/criss_cross", "c_mu", 60, **given)[1] == pytest.approx(cost, rel=1e-6)


@pytest.mark.long
@pytest.mark.parametrize(("given", "cost"), [row for row in PRIORITY if row[0]["arrival_rate"] >= 0.9])
def test_priority_to_class_1_has_its_closed_form_in_heavy_traffic(given, cost):
    assert chain_and_rule("queueing/criss_cross", "c_mu", 120, **given)[1] == pytest.approx(cost, rel=2e-2)


@pytest.mark.parametrize(("given", "cost"), N_MODEL)
def test_n_model(given, cost):
    assert pointsman.solve("queueing/n_model", **given).average_cost == pytest.approx(cost, rel=1e-3)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "given"),
    [("criss_cross", {"arrival_rate": 0.9}), ("n_model", {"rho": 0.9}), ("n_model", {"rho": 0.95})],
)
def test_heavy_traffic_settles(name, given):
    """Doubling the truncation once more would change less than 0.1 %, as the fall of the differences tells."""
    found = pointsman.solve(f"queueing/{name}", **given)
    assert pointsman.truncation_error(list(found.truncations)) < 1e-3 * found.average_cost
    assert found.upper - found.lower < 1e-4 * found.average_cost


@pytest.mark.parametrize(("given", "truth"), slow_server())
def test_slow_server(given, truth):
    """The slow server is used from a number of waiting requests on."""
    threshold, cost = truth
    found = pointsman.solve("queueing/slow_server", **given)
    assert found.average_cost == pytest.approx(cost, rel=1e-4)
    problem = envs.build(envs.configure("queueing/slow_server", **given))
    names = [field.name for field in problem.observation]
    for waiting in range(1, 12):
        seen = np.zeros((1, len(names)), np.float32)
        seen[0, names.index("queue/request")], seen[0, names.index("served/request")] = waiting, 1
        seen[0, names.index("deciding/slow")], seen[0, names.index("occupied/fast")] = 1, 1
        served = found.policy.act(seen, np.ones((1, 2), bool), np.zeros(1))[0] == 0
        assert served == (waiting >= threshold), waiting


@pytest.mark.parametrize(("given", "cost"), rows(TRUTH["c_mu"]["(lambda; mu; c) -> optimal cost rate"], MULTICLASS, ";"))
def test_c_mu_is_optimal_and_has_its_closed_form(given, cost):
    """The printed value of the first instance is good to 2e-6."""
    found = pointsman.solve("queueing/multiclass", tolerance=1e-2, **given)
    assert found.average_cost == pytest.approx(cost, rel=3e-6 if cost < 2 else 1e-4)
    size = found.truncations[-1][0]
    assert chain_and_rule("queueing/multiclass", "c_mu", size, **given)[1] == pytest.approx(found.average_cost, rel=1e-5)


@pytest.mark.parametrize(("given", "truth"), trunk())
def test_trunk_reservation(given, truth):
    """The low class is admitted while fewer than t servers are busy; and the reward of admitting all is Erlang's."""
    threshold, reward, all_admitted = truth
    name = "queueing/trunk_reservation"
    assert pointsman.solve(name, **given).average_cost == pytest.approx(-reward, rel=1e-6)
    size, servers = given["capacity"], given["servers"]
    limits = {"limit_0": servers, "limit_1": threshold}
    assert chain_and_rule(name, "admit_below", size, limits, **given)[1] == pytest.approx(-reward, rel=1e-6)
    assert chain_and_rule(name, "admit_all", size, **given)[1] == pytest.approx(-all_admitted, rel=1e-6)


@pytest.mark.parametrize(("given", "truth"), naor())
def test_naor(given, truth):
    _, threshold, gain = truth
    assert pointsman.solve("queueing/admission", **given).average_cost == pytest.approx(-gain, rel=1e-6)
    cost = chain_and_rule("queueing/admission", "admit_below", 60, {"limit_0": threshold}, **given)[1]
    assert cost == pytest.approx(-gain, rel=1e-6)


SIMULATED = [
    ("criss_cross", {"arrival_rate": 0.3, "mu2": 1.5}),
    ("criss_cross", {"arrival_rate": 0.6, "mu2": 1.5}),
    ("n_model", {"rho": 0.8}),
    ("slow_server", {}),
    ("multiclass", {}),
    ("trunk_reservation", {}),
    ("admission", {}),
]


@pytest.mark.parametrize(("name", "given"), SIMULATED)
def test_optimum_simulates_to_its_cost_and_no_rule_beats_it(name, given):
    """Episodes are independent, so their mean has a Student interval; 99 %."""
    problem = envs.build(envs.configure(f"queueing/{name}", **given, horizon_time=800, warmup_time=100))
    found = pointsman.solve_problem(problem, tolerance=1e-3)
    totals = rollout(found.policy, problem, 64, seed=5)
    cost = totals.ledger @ envs.BatchEnv(problem).prices / totals.elapsed
    half = 2.66 * cost.std(ddof=1) / 8
    assert abs(cost.mean() - found.average_cost) < half
    assert half < 0.15 * abs(found.average_cost)
    chain = envs.chain(problem, found.truncations[-1][0])
    for rule in envs.rules(problem).values():
        assert exact.evaluate(chain, tabulate(rule(problem), chain)).average_cost >= found.average_cost * (1 - 1e-5) - 1e-9


@pytest.mark.parametrize("rule", ["c_mu", "max_weight"])
def test_decisions_pool_by_pool_and_server_by_server_are_the_same(rule):
    """With work conservation on, and pools of one server, the two ways to decide have the same optimum and rules."""
    costs = {}
    for decisions in ("servers", "pools"):
        given = {"arrival_rate": 0.3, "decisions": decisions}
        chain, cost = chain_and_rule("queueing/criss_cross", rule, 15, **given)
        costs[decisions] = (exact.solve(chain).average_cost, cost)
    assert costs["pools"] == pytest.approx(costs["servers"], rel=1e-6)


def test_idling_never_helps_here_and_may_be_allowed():
    """Without work conservation there are more policies, and on this network no better ones."""
    costs = []
    for conserving in (True, False):
        problem = envs.build(envs.configure("queueing/criss_cross", arrival_rate=0.3, work_conserving=conserving))
        costs.append(exact.solve(envs.chain(problem, 15)).average_cost)
    assert costs[1] == pytest.approx(costs[0], rel=1e-5)


def test_frequencies_of_a_light_load_are_the_same_by_sweeps_and_never_negative(monkeypatch):
    """At load 0.3 most states are next to never visited, where extrapolation overshoots; any policy, against a factorisation."""
    chain = envs.chain(envs.build(envs.configure("queueing/criss_cross", arrival_rate=0.3)), 30)
    wish = chain.mask * np.random.default_rng(1).random(chain.mask.shape)
    choice = np.eye(chain.mask.shape[1])[wish.argmax(1)]
    direct = exact.evaluate(chain, choice)
    monkeypatch.setattr(exact, "WORK", 0)
    monkeypatch.setattr(exact, "PLANAR", 0)
    swept = exact.evaluate(chain, choice)
    assert swept.average_cost == pytest.approx(direct.average_cost, rel=1e-7)
    np.testing.assert_allclose(swept.frequency, direct.frequency, atol=1e-9)
    assert swept.frequency.min() >= 0.0
