"""Visits, wrong actions, trees, maps and monotonicity: against the chain of dispatch/mini, and on planted policies."""

import numpy as np
import pytest

import pointsman
from pointsman import envs
from pointsman.agents import policy as policies
from pointsman.envs.problem import Field
from pointsman.evaluation.distil import LEAVES, distil, readable
from pointsman.evaluation.exact_costs import exact_costs
from pointsman.evaluation.maps import action_map, axis, monotonicity, telling_pairs
from pointsman.evaluation.rollout import rollout
from pointsman.evaluation.visits import visits, wrong_action_costs


def build(name="dispatch/mini", **overrides):
    return envs.build(envs.configure(name, **overrides))


class Planted:
    """Acts by a function of the flat observation."""

    def __init__(self, act):
        self._act = act

    def act(self, observation, mask, u):
        return self._act(observation).astype(np.int64)


@pytest.fixture(scope="module")
def mini():
    problem = build()
    solution = pointsman.solve_problem(problem)
    return problem, solution, visits(solution.policy, problem, 0)


def test_visits_are_spread_as_the_chain_says(mini):
    """Shares of requests at the people, in the decisions of the optimum, against the chain's stationary distribution."""
    from pointsman.agents import exact
    from pointsman.evaluation.exact_costs import tabulate

    problem, solution, known = mini
    chain = envs.chain(problem, 60)
    frequency = exact.evaluate(chain, tabulate(solution.policy, chain)).frequency * chain.decision
    busy = chain.observation[:, 1]
    for n in (5, 8, 10):
        share = frequency[busy == n].sum() / frequency.sum()
        assert (known.observation[:, 1] == n).mean() == pytest.approx(share, abs=0.02)
    assert 20_000 <= len(known.choice) < 40_000
    assert known.rate == pytest.approx(solution.average_cost, rel=0.05)


def test_costs_of_wrong_actions_are_the_advantages_of_the_chain(mini):
    """Mean measured cost by score bin, against Q(other) - Q(own) of the same states from the relative values of the chain."""
    problem, solution, known = mini
    chain = envs.chain(problem, 100)
    from pointsman.agents import exact

    solved = exact.solve(chain)
    ahead = np.stack([chain.cost[:, a] + P @ solved.bias for a, P in enumerate(chain.transition)], 1)
    gap = ahead[:, 1] - ahead[:, 0]
    other = np.where(solved.actions == 1, -gap, gap)[chain.decision]  # two actions: the other one
    table = {tuple(row): cost for row, cost in zip(chain.observation[chain.decision].tolist(), other, strict=True)}
    seen, cost = wrong_action_costs(solution.policy, problem, known, 0)
    wanted = np.array([table[tuple(row)] for row in seen.tolist()])
    for score in np.unique(seen[:, 0]):
        at = seen[:, 0] == score
        error = cost[at].std() / np.sqrt(at.sum())
        assert abs(cost[at].mean() - wanted[at].mean()) < 4 * error
        assert error < 0.2


def test_distilled_tree_of_surge_loses_at_most_two_per_cent():
    """By the exact chain, from the optimal policy; the rules cover every decision once."""
    problem = build("dispatch/surge")
    best = pointsman.solve_problem(problem).policy
    known = visits(best, problem, 0)
    tree = distil(best, problem, known)
    cost = exact_costs(problem, {"optimum": best, "tree": tree})
    assert cost["optimum"] < cost["tree"] < 1.02 * cost["optimum"]
    rules = readable(tree, problem, known)
    assert len(rules) <= LEAVES
    assert sum(rule.share for rule in rules) == pytest.approx(1.0)
    assert any(str(rule).startswith("regime = 1 and score > 0.375: automation (4") for rule in rules)


def test_a_planted_threshold_is_found_and_survives_saving(mini, tmp_path):
    """One that is sensible: where a policy is plainly wrong, imitating it has no weight."""
    problem, *_ = mini
    planted = Planted(lambda x: x[:, 0] < 0.4)
    known = visits(planted, problem, 1)
    tree = distil(planted, problem, known)
    assert {rule.action for rule in readable(tree, problem, known)} == {"automation", "people"}
    u = np.full(len(known.mask), 0.5)
    assert (tree.act(known.observation, known.mask, u) == known.choice).mean() == 1.0
    policies.save(tree, tmp_path)
    loaded = policies.load(tmp_path)
    assert (loaded.act(known.observation, known.mask, u) == known.choice).all()
    only_people = np.tile([False, True], (len(u), 1))
    assert (loaded.act(known.observation, only_people, u) == 1).all()
    assert [str(rule).split(":")[0] for rule in readable(tree, problem, known)] == ["score ≤ 0.375", "score > 0.375"]


def test_trees_decide_for_several_parts_at_once():
    """The N-model deciding for both pools: joint choices that were seen, always legal, and near the rule that is imitated."""
    problem = build("queueing/n_model", decisions="pools", horizon_time=100.0, warmup_time=20.0)
    rule = envs.rules(problem)["max_weight"](problem)
    known = visits(rule, problem, 0)
    assert known.choices.shape[1] == 2
    assert all(name.startswith("server1: ") and ", server2: " in name for name in known.names)
    tree = distil(rule, problem, known)
    actions = tree.act(known.observation, known.mask, np.full(len(known.mask), 0.5))
    assert (known.named(actions) == known.choice).mean() > 0.7  # max-weight compares queues, which no such tree can
    totals = [rollout(policy, problem, 200, 0).ledger @ envs.BatchEnv(problem).prices for policy in (rule, tree)]
    assert totals[1].sum() < 1.1 * totals[0].sum()
    parts = np.split(known.mask, [problem.parts[0]], 1)
    for k, part in enumerate(parts):
        assert part[np.arange(len(actions)), actions[:, k]].all()


def test_action_map_by_hand(mini):
    """Three scores and two places; a reference that disagrees in one cell."""
    problem, _, known = mini
    observation = np.array([[0.1, 0, 0], [0.1, 0, 0], [0.5, 0, 0], [0.5, 1, 0], [0.9, 1, 0]], np.float32)
    few = known._replace(observation=observation, mask=np.ones((5, 2), bool), choice=np.array([1, 0, 1, 0, 0]))
    found = action_map(problem, few, 0, 1, Planted(lambda x: x[:, 0] < 0.3))
    assert found.x.labels == ("0.1", "0.5", "0.9")
    assert found.visits.tolist() == [[2, 1, 0], [0, 1, 1]]
    assert found.share[1].tolist()[0][:2] == [0.5, 1.0]
    assert np.isnan(found.share[1][0, 2])
    assert found.reference[1].tolist()[0][:2] == [1.0, 0.0]


def test_axes_of_many_values_have_few_cells_of_equal_width():
    field = Field("x")
    whole = axis(field, np.arange(100, dtype=np.float32))
    assert np.diff(whole.edges) == pytest.approx(5.0)
    smooth = axis(field, np.random.default_rng(0).random(5000).astype(np.float32))
    assert len(smooth.edges) == 25
    assert smooth.cell(np.array([-5.0, 0.5, 5.0])).tolist() == [0, 12, 23]


def test_what_tells_the_actions_comes_first(mini):
    problem, *_ = mini
    planted = Planted(lambda x: (x[:, 0] < 0.6) & (x[:, 1] < 9))
    assert telling_pairs(visits(planted, problem, 0))[0] == (1, 0)


def test_violations_of_monotonicity_are_found_and_named(mini):
    problem, solution, known = mini
    clean = monotonicity(solution.policy, problem, known)
    assert clean["not_monotone"].sum() == 0
    assert (clean["lines"] > 50).all()
    odd = Planted(lambda x: (x[:, 1] == 5) | (x[:, 0] < 0.3))
    found = monotonicity(odd, problem, visits(odd, problem, 0)).set_index("observation")
    assert found["not_monotone"]["score"] == 0
    assert found["not_monotone"]["in_service"] > 50
    assert "automation from 0, people from 5, automation from 6" in found["example"]["in_service"]
