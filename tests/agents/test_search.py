"""The search that tunes rules: its threshold against all thresholds on the exact chain, and its own mechanics."""

import json
from pathlib import Path

import numpy as np
import pytest

import pointsman
from pointsman import envs
from pointsman.agents import exact, policy
from pointsman.agents.rules import RulePolicy
from pointsman.agents.search import RuleSearch
from pointsman.envs.rule import Parameter, Rule
from pointsman.errors import PointsmanError
from pointsman.evaluation.exact_costs import tabulate
from pointsman.evaluation.rollout import cost_rates
from pointsman.scripts.baselines import tuned_rules

TRUTH = json.loads((Path(__file__).parents[1] / "truth" / "dispatch.json").read_text())
BINS = TRUTH["instance"]["score_bins_easy_probability"]


def exact_cost(problem, chain, rule):
    return exact.evaluate(chain, tabulate(rule, chain)).average_cost


def static_thresholds(problem, chain):
    """Exact cost of the seven thresholds that differ: none automated, the best bin only, ... all."""
    rule = envs.rules(problem)["threshold"]
    return {cut: exact_cost(problem, chain, rule(problem, threshold=cut)) for cut in [1.5, *(b - 0.01 for b in BINS)]}


@pytest.mark.parametrize(("preset", "above", "rule"), [("dispatch/mini", 2.2, "poisson"), ("dispatch/surge", 10.1, "markov")])
def test_tuned_threshold_is_the_best_static_one(preset, above, rule):
    """The truth file's gap between best threshold and optimum, and a search that finds that threshold within 0.3 %."""
    problem = envs.build(envs.configure(preset))
    chain, best = envs.chain(problem, 200), pointsman.solve(preset).average_cost
    costs = static_thresholds(problem, chain)
    published = next(part for key, part in TRUTH.items() if key.startswith(rule))
    assert f"{above}% above" in next(text for key, text in published.items() if "best single" in key)
    assert 100 * (min(costs.values()) / best - 1) == pytest.approx(above, abs=0.06)
    search = RuleSearch(envs.rules(problem)["threshold"], population=20, rounds=5, episodes=16)
    tuned = search.fit(problem, lambda *task: cost_rates(problem, *task), seed=1)
    assert exact_cost(problem, chain, tuned) <= 1.003 * min(costs.values())
    assert isinstance(tuned.values["threshold"], float)


@pytest.mark.long
def test_richer_rules_do_not_end_worse_than_the_threshold():
    """All rules of mini on one budget; by the exact chain the queue rule lies between optimum and best threshold."""
    problem = envs.build(envs.configure("dispatch/mini"))
    chain, best, names = envs.chain(problem, 200), pointsman.solve("dispatch/mini").average_cost, []
    found = tuned_rules(problem, 0, {"population": 32, "rounds": 5, "episodes": 16}, names.append)
    cost = {name: exact_cost(problem, chain, rule) for name, rule in found.items()}
    assert set(cost) == {"all_people", "all_automation", "threshold", "queue_threshold", "index"}
    assert best <= cost["index"] * (1 + 1e-9)
    assert best < cost["queue_threshold"] < 1.005 * cost["threshold"] < cost["all_automation"] < cost["all_people"]
    assert names.count("threshold") == 5
    assert float(found["queue_threshold"].parameters["busy"]).is_integer()


class Bowl(Rule):
    """Cost (x - 3.3)^2 + (k - 2)^2, known in closed form; k is an integer."""

    space = {"x": Parameter(-10.0, 10.0), "k": Parameter(0, 9, integer=True)}


def bowl(rule, copies, episodes, seed):
    """Common noise by episode, which must not change the ranking of candidates."""
    x, k = rule.values["x"].reshape(copies, episodes), rule.values["k"].reshape(copies, episodes)
    noise = np.random.default_rng(seed).normal(0, 100, episodes)
    return (x - 3.3) ** 2 + (k - 2) ** 2 + noise


def plain_problem():
    return envs.build(envs.configure("dispatch/mini"))


def test_search_finds_the_minimum_of_a_bowl_under_common_noise():
    found = RuleSearch(Bowl, population=64, rounds=10, episodes=4).fit(plain_problem(), bowl, seed=0)
    assert found.values["x"] == pytest.approx(3.3, abs=0.1)
    assert found.values["k"] == 2.0


def test_search_keeps_to_its_budget_and_repeats_itself():
    """The same episodes in every round, fewer for more candidates at first, and finals among few; points stay in range."""
    calls = []

    def counted(rule, copies, episodes, seed):
        assert (abs(rule.values["x"]) <= 10).all()
        assert np.isin(rule.values["k"], np.arange(10)).all()
        calls.append((copies, episodes, seed))
        return bowl(rule, copies, episodes, seed)

    search = RuleSearch(Bowl, population=20, rounds=5, episodes=8, elite=0.2)
    values = [search.fit(plain_problem(), counted, seed=7).values for _ in range(2)]
    assert values[0] == values[1]
    assert calls[:5] == [(160, 1, 7), (80, 2, 8), (40, 4, 9), (20, 8, 10), (20, 8, 11)]
    assert calls[5][0] <= 2 * 3 + 1
    assert calls[5][1:] == (16, 12)  # fresh episodes, twice as many
    assert calls[6:] == [(2, 64, 13), *calls[:7]]  # one is left; the second search does the same
    assert RuleSearch(Bowl, population=4, rounds=2, episodes=1).fit(plain_problem(), bowl, seed=0)


def test_values_that_a_rule_has_by_itself_stand_in_the_finals():
    """The theory's values, which no draw would hit: only at x = 0 and k = 4 does this cost nothing."""

    def cost(rule, copies, episodes, seed):
        return ((rule.values["x"] != 0) | (rule.values["k"] != 4)).astype(float).reshape(copies, episodes)

    assert RuleSearch(Bowl, population=20, rounds=4, episodes=4).fit(plain_problem(), cost, seed=0).values == {"x": 0, "k": 4}


def test_rules_without_parameters_are_not_searched():
    found = RuleSearch(envs.rules(plain_problem())["all_people"]).fit(plain_problem(), None, seed=0)
    assert found.values == {}


@pytest.mark.parametrize("key", ["population", "rounds", "episodes"])
def test_an_empty_budget_is_a_one_line_error(key):
    with pytest.raises(PointsmanError, match=rf"^search\.{key} must be .*0$"):
        RuleSearch(Bowl, **{key: 0})


def test_tuned_rule_survives_saving(tmp_path):
    problem = envs.build(envs.configure("dispatch/surge"))
    rule = envs.rules(problem)["regime_threshold"](problem, threshold_0=0.6, threshold_1=0.2)
    policy.save(RulePolicy("regime_threshold", rule, dict(problem.config)), tmp_path)
    again, rng = policy.load(tmp_path), np.random.default_rng(0)
    observation = np.stack([rng.random(200), rng.integers(0, 11, 200), rng.integers(0, 9, 200), rng.integers(0, 2, 200)], 1)
    mask = np.ones((200, 2), bool)
    by_hand = np.where(observation[:, 0] >= np.where(observation[:, 3] == 1, 0.2, 0.6), 0, 1)
    np.testing.assert_array_equal(again.act(observation.astype(np.float32), mask, np.zeros(200)), by_hand)
    assert again.parameters == {"threshold_0": 0.6, "threshold_1": 0.2}
