"""Comparison: its files against what is worked out by hand from scores.csv, and its words on invented costs."""

import json
import math

import numpy as np
import pandas as pd
import pytest

import pointsman
from pointsman import envs
from pointsman.agents import exact
from pointsman.evaluation.assumptions import assumption_table, under_assumptions
from pointsman.evaluation.compare import Comparison
from pointsman.evaluation.exact_costs import exact_costs, tabulate
from pointsman.evaluation.rollout import EVALUATION, WINDOWS, Rollout, rollout, run_all
from pointsman.evaluation.shown import words
from pointsman.evaluation.statistics import rate

SHARED = {"env", "episodes", "policies", "best_rule", "optimum", "headroom", "comparisons"}


def strict(path):
    """JSON without NaN or infinity."""
    return json.loads(path.read_text(), parse_constant=pytest.fail)


class NoBar:
    """Stands in for a progress bar."""

    def add_task(self, *args, **kwargs):
        return 0

    def update(self, *args, **kwargs): ...

    def advance(self, *args): ...


def build(**overrides):
    return envs.build(envs.configure("dispatch/mini", **({"horizon_minutes": 200.0, "warmup_minutes": 50.0} | overrides)))


def policies_of(problem):
    rules = envs.rules(problem)
    chosen = {"threshold": rules["threshold"](problem, threshold=0.4), "all_automation": rules["all_automation"](problem)}
    learned = pointsman.solve("dispatch/mini", arrival_rate=2.0).policy  # good, but not made for this problem
    return chosen | {"learned": learned, "optimum": pointsman.solve_problem(problem).policy}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder, problem = tmp_path_factory.mktemp("evaluation"), build()
    policies = policies_of(problem)
    rollouts = run_all(problem, policies, 40, 3, lambda share: None)
    costs = exact_costs(problem, policies)
    Comparison(problem, rollouts, "learned", ["threshold", "all_automation"], 3.13068, costs).write(folder)
    return (
        problem,
        pd.read_csv(folder / "scores.csv"),
        json.loads((folder / "summary.json").read_text(), parse_constant=pytest.fail),
    )


def test_summary_has_the_documented_structure(written):
    problem, scores, summary = written
    names = list(scores["policy"].unique())
    assert set(summary) >= SHARED
    assert (summary["env"], summary["episodes"], summary["best_rule"]) == ("dispatch/mini", 40, "threshold")
    assert summary["optimum"] == 3.13068
    assert list(summary["policies"]) == names == ["threshold", "all_automation", "learned", "optimum"]
    for found in summary["policies"].values():
        assert found["ci"][0] < found["cost_rate"] < found["ci"][1]
        assert set(found["kpis"]) == {*problem.kpis, "cost_per_request"}
    assert summary["headroom"]["ci"][0] < summary["headroom"]["gap_closed"] < summary["headroom"]["ci"][1]
    assert [(c["policy"], c["baseline"]) for c in summary["comparisons"]] == [("learned", n) for n in names if n != "learned"]
    assert {c["verdict"] for c in summary["comparisons"]} <= {"better", "worse", "inconclusive"}


def test_scores_priced_by_hand_give_the_costs(written):
    """Quantities times the prices of the yaml, column by column; one row per policy and episode."""
    problem, scores, summary = written
    assert len(scores) == 4 * 40
    assert scores.groupby("policy")["episode"].apply(list).map(lambda rows: rows == list(range(40))).all()
    cost = sum(price * scores[column] for column, price in problem.config["prices"].items())
    np.testing.assert_allclose(scores["cost"], cost, rtol=1e-9)
    totals = scores.groupby("policy")[["cost", "elapsed"]].sum()
    for name, found in summary["policies"].items():
        assert found["cost_rate"] == pytest.approx(totals.loc[name, "cost"] / totals.loc[name, "elapsed"], rel=1e-9)


def test_kpis_and_differences_by_hand(written):
    _, scores, summary = written
    total = scores.groupby("policy").sum(numeric_only=True)
    for name, found in summary["policies"].items():
        row, kpis = total.loc[name], found["kpis"]
        assert kpis["service_level"] == pytest.approx(row["answered_in_target"] / (row["answered"] + row["abandoned"]))
        assert kpis["abandonment"] == pytest.approx(row["abandoned"] / row["human_entries"])
        assert kpis["automation_rate"] == pytest.approx(row["automated"] / row["arrived"])
        assert kpis["mean_wait"] == pytest.approx(row["answer_wait_minutes"] / row["answered"])
        assert kpis["cost_per_request"] == pytest.approx(row["cost"] / row["arrived"])
    time = total.loc["learned", "elapsed"]
    for found in summary["comparisons"]:
        gap = (total.loc["learned", "cost"] - total.loc[found["baseline"], "cost"]) / time
        assert found["difference"] == pytest.approx(gap, rel=1e-9)
    rule, own, best = (total.loc[name, "cost"] for name in ("threshold", "learned", "optimum"))
    assert summary["headroom"]["gap_closed"] == pytest.approx((rule - own) / (rule - best))


def test_exact_costs_order_policies_as_the_chain_does(written):
    _, _, summary = written
    cost = {name: found["exact_cost_rate"] for name, found in summary["policies"].items()}
    assert cost["optimum"] == pytest.approx(3.13068, rel=1e-4)
    assert cost["threshold"] == pytest.approx(1.022 * cost["optimum"], rel=1e-3)
    assert cost["optimum"] < cost["learned"] < cost["threshold"] < cost["all_automation"]
    share = (cost["threshold"] - cost["learned"]) / (cost["threshold"] - cost["optimum"])
    assert summary["headroom"]["exact"] == pytest.approx(share)


def test_exact_costs_are_those_of_all_policies_or_of_none():
    """With a cap on orders 156 states are reached, without one 266."""
    problem = envs.build(envs.configure("inventory/lost_sales"))
    capped, base_stock = (envs.rules(problem)[name](problem) for name in ("capped_base_stock", "base_stock"))
    assert list(exact_costs(problem, {"capped": capped}, most=200)) == ["capped"]
    assert exact_costs(problem, {"capped": capped, "base stock": base_stock}, most=200) == {}


def test_optimal_policy_simulates_to_the_exact_optimum():
    """Long horizon, warm-up deleted, the evaluation stream: inside a 99 % interval of half-width under 1.5 %."""
    problem = build(horizon_minutes=4000.0, warmup_minutes=200.0)
    solution = pointsman.solve_problem(problem)
    totals = rollout(solution.policy, problem, 150, EVALUATION)
    found = rate(totals.ledger @ envs.BatchEnv(problem).prices, totals.elapsed, 0.99)
    assert found.low < solution.average_cost < found.high
    assert found.high - found.low < 0.03 * solution.average_cost


def test_tabulate_decides_only_where_something_is_decided():
    problem = build()
    chain = envs.chain(problem, 20)
    table = tabulate(envs.rules(problem)["all_people"](problem), chain)
    assert (table[chain.decision] == [0, 1]).all()
    assert (table[~chain.decision] == [1, 0]).all()
    assert exact.evaluate(chain, table).ledger[problem.columns.index("automation_attempts")] == 0


def test_a_rule_that_is_the_optimum_leaves_no_headroom(tmp_path):
    """Automation switched off: every policy sends everyone to people; the summary is strict JSON with nulls."""
    problem = build(**{"automation.capacity": 0}, arrival_rate=1.5)
    policies = policies_of(problem)
    found = Comparison(problem, run_all(problem, policies, 4, 0, lambda share: None), "learned", ["threshold"])
    found.write(tmp_path)
    summary = strict(tmp_path / "summary.json")
    assert {summary["headroom"][key] for key in ("gap_closed", "ci", "exact")} == {None}
    assert summary["policies"]["learned"]["kpis"]["bounce_rate"] is None
    assert "not told from none" in words(found)[1]
    assert {c["verdict"] for c in summary["comparisons"]} == {"inconclusive"}


@pytest.mark.parametrize(
    ("rates", "said", "room"),
    [
        (
            (10, 8, 7),
            "learned costs 20.00 % less than the best tuned rule, r.",
            "costs 30.00 % less than r; learned closes 67 % of it",
        ),
        ((10, 11, 9), "does not beat the best tuned rule: it costs 10.00 % more than r.", "closes -100 % of it"),
    ],
)
def test_words_on_invented_costs(rates, said, room):
    """Bounces at 2 each make costs of any size; worlds differ, but all policies share them."""
    problem, world = build(), np.random.default_rng(0).normal(0, 0.001, 30)
    rollouts = {}
    for name, cost in zip(("r", "learned", "optimum"), rates, strict=True):
        ledger = np.zeros((30, len(problem.columns) + 1))
        ledger[:, problem.columns.index("bounces")] = (cost + world) * 100 / 2
        ledger[:, problem.columns.index("arrived")] = 300
        rollouts[name] = Rollout(ledger, np.full(30, 100.0), np.ones((30, WINDOWS)))
    found = Comparison(problem, rollouts, "learned", ["r"], optimum=rates[2])
    lines = words(found)
    assert lines[0].endswith(said)
    assert room in lines[1]
    assert math.isclose(found.difference("learned", "r").estimate, rates[1] - rates[0])
    del rollouts["optimum"]
    assert "not known" in words(Comparison(problem, rollouts, "learned", ["r"]))[1]


@pytest.mark.parametrize(("courses", "growing"), [("rule demand", ""), ("rule queue", "learned"), ("flood queue", "r learned")])
def test_costs_that_rise_with_the_demand_do_not_grow_without_end(courses, growing):
    """Demand, and the cost of the rule, rise by two fifths of their mean; the learned policy's by a little over half of it."""
    time, noise = np.linspace(0, 1, WINDOWS), np.random.default_rng(0).uniform(0.9, 1.1, (30, 1))
    course = {"rule": 1 + time / 2, "demand": 1 + 3 * time / 4, "queue": 1 + 20 * time, "flood": 1 + 9 * time}
    problem = build()
    ledger = np.zeros((30, len(problem.columns) + 1))
    rollouts = {
        name: Rollout(ledger + k, np.full(30, 100.0), course[which] * noise)
        for k, (name, which) in enumerate(zip(("r", "learned"), courses.split(), strict=True))
    }
    found = Comparison(problem, rollouts, "learned", ["r"])
    assert [name for name in rollouts if found.grows(name)] == growing.split()


def test_assumptions_change_one_thing_at_a_time():
    """A value that is the shipped one repeats the first row; another equals a comparison on the changed problem."""
    problem = build(assumptions=[{"key": "automation.success_easy", "values": [1.0, 0.7], "why": "unknown"}])
    policies = {name: policy for name, policy in policies_of(problem).items() if name != "optimum"}
    shipped = Comparison(
        problem, run_all(problem, policies, 10, 0, lambda share: None), "learned", ["threshold", "all_automation"]
    )
    rows = under_assumptions(shipped, policies, 10, 0, NoBar())
    assert list(rows["assumption"]) == ["as shipped", "automation.success_easy = 1", "automation.success_easy = 0.7"]
    assert rows.iloc[0, 1:].tolist() == rows.iloc[1, 1:].tolist()
    changed = build(**{"automation.success_easy": 0.7})
    totals = rollout(policies["learned"], changed, 10, EVALUATION)
    cost = totals.ledger @ envs.BatchEnv(changed).prices
    assert rows["learned_cost"][2] == pytest.approx(cost.sum() / totals.elapsed.sum())
    assert rows["learned_cost"][2] > 1.1 * rows["learned_cost"][0]
    assert assumption_table(rows, "learned").row_count == 3
