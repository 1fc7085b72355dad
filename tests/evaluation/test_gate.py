"""The gate: policies that are bad in one planted way are rejected for that reason, and the optimum passes."""

import re
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import toy

import pointsman
from pointsman import envs
from pointsman.agents import exact
from pointsman.envs.ledger import Ledger, Ratio
from pointsman.errors import PointsmanError
from pointsman.evaluation.gate import Limits, classes, figures, for_class, gate, load_limits, within
from pointsman.evaluation.statistics import Interval, difference_of

LIMITED = {"admit_all": {}, "admit_below": {"limit_0": 10, "limit_1": 7}}
QUICK = {"horizon_minutes": 240.0, "warmup_minutes": 60.0}


class Planted:
    """Acts by a function of observation and mask."""

    def __init__(self, act):
        self._act = act

    def act(self, observation, mask, u):
        return np.asarray(self._act(observation, mask), np.int64)


def checks(problem, learned, rules, limits=None, episodes=60):
    """Checks by name, and the names of those that failed."""
    limits = limits or load_limits(problem.id.split("/")[0])
    found = {
        check.name: check for check in gate(problem, rules | {"learned": learned}, "learned", list(rules), limits, episodes, 0)
    }
    return found, {name for name, check in found.items() if not check.passed}


@pytest.fixture(scope="module")
def mini():
    problem = envs.build(envs.configure("dispatch/mini", **QUICK))
    known = envs.rules(problem)
    tuned = {"threshold": 0.623, "first_step": 0.334, "second_step": 0.097, "busy": -4.0, "crowded": -1.0}  # by RuleSearch
    rules = {"queue_threshold": known["queue_threshold"](problem, **tuned), "all_people": known["all_people"](problem)}
    return problem, rules, pointsman.solve_problem(problem).policy


def test_the_optimum_passes(mini):
    problem, rules, best = mini
    found, failed = checks(problem, best, rules)
    assert not failed
    stressed = {name for name in found if name.startswith("stress ")}
    assert len(stressed) == 12
    assert {"cost", "divergence", "illegal actions", "latency of a decision", "service_level", "abandonment"} <= set(found)


def test_the_limits_in_the_documentation_fit_the_desk(mini, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text()
    (tmp_path / "limits.yaml").write_text(re.search(r"## The gate.*?```yaml\n(.*?)```", page, re.S)[1])
    named = [name for name, *_ in figures(mini[0], load_limits(str(tmp_path / "limits.yaml")))]
    assert {"service_level", "mean_wait", "abandonment"} <= set(named)


def test_the_optimum_of_a_loss_system_passes():
    """Costs are negative here: what is earned."""
    problem = envs.build(envs.configure("queueing/trunk_reservation", horizon_time=50.0, warmup_time=10.0))
    rules = {name: envs.rules(problem)[name](problem, **values) for name, values in LIMITED.items()}
    found, failed = checks(problem, exact.solve(envs.chain(problem, 10)).policy, rules, episodes=20)
    assert not failed
    assert float(found["cost"].reason.split()[0]) <= 0


def test_a_problem_of_ones_own_is_under_no_stress_where_no_pack_is_named():
    problem = toy.problem()
    takes_none = Planted(lambda x, mask: np.full(len(mask), problem.window))
    found, failed = checks(problem, takes_none, {"none": takes_none}, Limits(), episodes=4)
    assert not failed
    assert set(found) == {"illegal actions", "cost", "divergence", "latency of a decision"}


def test_always_idle_is_rejected_for_a_queue_without_end():
    """Nobody is ever served: costs grow, no figure of the queue is within its limit."""
    problem = envs.build(envs.configure("queueing/criss_cross", work_conserving=False, horizon_time=300.0, warmup_time=50.0))
    idle = len(problem.actions) - 1
    assert problem.actions[idle] == "idle"
    found, failed = checks(
        problem, Planted(lambda x, mask: np.full(len(mask), idle)), {"c_mu": envs.rules(problem)["c_mu"](problem)}
    )
    assert {"cost", "divergence", "in_system"} <= failed
    assert found["divergence"].reason == "the cost of learned grows without end"
    assert found["illegal actions"].passed


def test_illegal_actions_are_counted_and_rejected(mini):
    """Automation takes two requests at a time; sending more there is forbidden, and goes to people instead."""
    problem = envs.build(
        envs.configure("dispatch/mini", **QUICK, **{"automation.capacity": 2, "automation.latency_minutes": 3.0})
    )
    always = envs.rules(problem)["all_automation"](problem)  # heeds the mask
    found, failed = checks(problem, Planted(lambda x, mask: np.zeros(len(mask))), {"all_automation": always}, episodes=10)
    assert "illegal actions" in failed
    assert not {name for name in failed if "illegal" not in name}
    assert int(found["illegal actions"].reason.split()[0]) > 100
    assert found["cost"].passed  # what the environment did instead is what the rule does


def test_a_starved_class_is_rejected_though_the_total_hardly_shows_it():
    """Class 2 costs next to nothing to hold, and is never served."""
    problem = envs.build(
        envs.configure(
            "queueing/multiclass", holding_costs=[3.0, 1e-5, 2.0], work_conserving=False, horizon_time=400.0, warmup_time=100.0
        )
    )
    rule = envs.rules(problem)["c_mu"](problem)

    def starve(x, mask):
        actions = rule.act(x, mask, np.full(len(mask), 0.5))
        return np.where(problem.actions.index("serve 2") == actions, problem.actions.index("idle"), actions)

    found, failed = checks(problem, Planted(starve), {"c_mu": rule})
    assert {"in_system_2", "time_in_system of class 2"} <= failed
    assert not {"cost", "illegal actions", "in_system_1", "in_system_3"} & failed
    assert "time_in_system of class 1" in found
    assert "beyond the limit" in found["time_in_system of class 2"].reason


def test_fine_only_without_surge_is_rejected_under_more_arrivals(mini):
    """The optimum, but with more than 13 waiting, which hardly happens at these arrivals, everyone goes to people."""
    problem, rules, best = mini
    calm = Planted(lambda x, mask: np.where(x[:, 2] > 13, 1, best.act(x, mask, None)))
    found, failed = checks(problem, calm, rules)
    assert failed == {"stress arrivals_x2", "stress arrivals_x4"}
    assert "four times as many arrivals" in found["stress arrivals_x4"].reason


def test_a_slow_policy_is_rejected_for_its_latency(mini, tmp_path):
    """It takes two milliseconds for a decision, the pack holds a single stress."""
    plain = tmp_path / "plain.yaml"
    plain.write_text("busy: {change: {arrival_rate: 3.1}}")
    problem, rules, best = mini
    slow = Planted(lambda x, mask: time.sleep(0.002 if len(mask) == 1 else 0) or best.act(x, mask, None))
    limits = Limits(cost=1.0, stress=1.0, latency_ms=1.0, pack=str(plain))
    _, failed = checks(problem, slow, rules, limits, episodes=10)
    assert failed == {"latency of a decision"}


def test_limits_must_be_shown_not_only_estimated():
    """An estimate within the limit whose interval reaches beyond it is no proof."""
    assert within("cost", Interval(0.0, -0.005, 0.005), 0.01, "beside x").passed
    unsure = within("cost", Interval(0.005, -0.02, 0.03), 0.01, "beside x")
    assert not unsure.passed
    assert "+0.50 % beside x, 95 %: -2.00 % to +3.00 %; not shown to keep the limit of +1.00 %" in unsure.reason
    assert "beyond the limit of +1.00 %" in within("cost", Interval(0.05, 0.04, 0.06), 0.01, "beside x").reason


def test_differences_of_ratios_by_simulation():
    """Two ratios on the same episodes, 0.5 and 0.45: jackknife intervals cover their difference."""
    rng, hits = np.random.default_rng(0), 0
    ratio = partial(Ratio(("over",), ("under",)), Ledger(["over", "under"]))
    for _ in range(600):
        size = rng.gamma(5.0, 1.0, 60)
        shared = 0.5 * size + rng.normal(0, 0.3, 60)
        ours, theirs = (np.stack([over, size + rng.normal(0, 0.1, 60)], 1) for over in (shared, shared - 0.05 * size))
        found = difference_of(ratio, ours, theirs)
        hits += found.low <= 0.05 <= found.high
    assert 0.93 < hits / 600 < 0.97
    assert np.isnan(difference_of(ratio, np.zeros((3, 2)), np.ones((3, 2))).estimate)


def test_figures_of_one_class_come_from_its_own_columns():
    two = {"a": {"handling_minutes": 5.0}, "b": {"handling_minutes": 5.0}}
    problem = envs.build(envs.configure("dispatch/mini", classes=two))
    assert {"a", "b"} <= set(classes(problem))
    env = envs.BatchEnv(problem)
    level = for_class(problem.kpis["service_level"], env.ledger, "b")
    row = np.zeros(len(env.ledger.columns))
    for column, value in {"answered_in_target/b": 3.0, "answered/b": 4.0, "abandoned/b": 8.0, "abandoned/a": 50.0}.items():
        row[env.ledger[column]] = value
    assert partial(level, env.ledger)(row) == 0.25
    assert for_class(problem.kpis["occupancy"], env.ledger, "b") is None
    assert for_class(problem.kpis["p95_wait"], env.ledger, "b") is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("cots: 1", "cots"),
        ("cost: many", "cost"),
        ("kpis: {abandonment: 3}", "kpis.abandonment must be"),
        ("kpis: {abandonment: {rises: x}}", "kpis.abandonment.rises must be a number"),
        ("kpis: {abandonment: {rises: -1}}", "kpis.abandonment.rises must be a number"),
        ("a: [", "bad.yaml"),
    ],
)
def test_mistakes_in_limits_are_named(tmp_path, text, named):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(PointsmanError, match=named) as caught:
        load_limits(str(tmp_path / "bad.yaml"))
    assert "\n" not in str(caught.value)


def test_unknown_figures_and_limits_are_named(mini):
    problem, rules, best = mini
    with pytest.raises(PointsmanError, match="abandonmnet.*abandonment"):
        checks(problem, best, rules, Limits(kpis={"abandonmnet": {"rises": 1}}), episodes=2)
    with pytest.raises(PointsmanError, match="dispach.*dispatch"):
        load_limits("dispach")
