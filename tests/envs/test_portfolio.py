"""The project portfolio beside closed forms, dynamic programmes, conservation, and what Bayes says of hidden difficulty."""

import itertools
from functools import partial

import numpy as np
import pytest

import pointsman
from pointsman import envs
from pointsman.agents.exact import evaluate
from pointsman.agents.search import RuleSearch
from pointsman.envs.portfolio import exact, kernel
from pointsman.errors import PointsmanError
from pointsman.evaluation.exact_costs import tabulate
from pointsman.evaluation.rollout import cost_rates, rollout


def problem(name, **overrides):
    return envs.build(envs.configure(f"portfolio/{name}", **overrides))


def discounted(rule, found, rows, discount, seed=0):
    """Discounted reward of each row, until all projects are gone."""
    env = envs.BatchEnv(found, rows, autoreset=False)
    observation, _ = env.reset(seed=seed)
    total, clock, alive = np.zeros(rows), np.zeros(rows), np.ones(rows, bool)
    while alive.any():
        actions = rule.act(observation, env.action_masks(), env.action_uniforms())
        observation, reward, terminated, truncated, info = env.step(actions)
        total += alive * discount**clock * reward
        clock += info["elapsed"]
        alive &= ~(terminated | truncated)
    return total


def within(sample, value, width=2.6):
    """Is a value inside the 99 % interval of a mean?"""
    return abs(sample.mean() - value) < width * sample.std() / len(sample) ** 0.5


def done_at(p):
    return [int((p.accuracy[c, 0] >= p.required[c]).argmax()) for c in range(len(p.arrival))]


@pytest.mark.long
def test_gittins_index_is_worth_what_the_dynamic_programme_says():
    found = problem("gittins")
    p, discount = found.params, found.config["discount"]
    weeks = [p.pace[0, c, :g] for c, g in enumerate(done_at(p))]
    assert [len(w) for w in weeks] == [2, 4, 3]
    rewards = [p.window * impact for impact in p.impact[:, 0]]
    best = exact.together(weeks, rewards, discount)
    rules = envs.rules(found)
    assert within(discounted(rules["gittins"](found), found, 6_000, discount), best)
    for other in ("highest_impact", "cheapest"):
        sample = discounted(rules[other](found, price=0.0), found, 6_000, discount)
        assert sample.mean() < best - 2.6 * sample.std() / len(sample) ** 0.5, other


def test_gittins_index_by_retirement():
    """The index of a state is the reward rate of retiring that makes going on and retiring worth the same."""
    pace, reward, discount = np.array([0.25, 0.9, 0.5]), 7.0, 0.9
    for g, index in enumerate(exact.gittins_index(pace, reward, discount)):
        retired, value = index / (1 - discount), np.full(4, 0.0)
        value[:3] = retired
        for _ in range(2000):
            ahead = np.append(value[1:3], reward + retired)
            value[:3] = np.maximum(retired, discount * (pace * ahead + (1 - pace) * value[:3]))
        go_on = discount * (pace[g] * (value[g + 1] if g < 2 else reward + retired) + (1 - pace[g]) * value[g])
        assert go_on == pytest.approx(retired, rel=1e-9)


def test_weighted_shortest_job_first_is_smiths_rule():
    """Without luck, one person loses the sum of hours per week times weeks of completion; sorting by their ratio is best."""
    work, hours, window = [3, 1, 4, 2], [9.0, 2.0, 20.0, 8.0], 60
    accuracy = 0.98 - 0.48 / (1 + np.arange(5) / 2.0)
    kinds = {
        f"k{j}": {"start": 1, "hours_per_week": [hours[j]], "required_accuracy": float(accuracy[work[j]]) - 1e-6, "pace": [1.0]}
        for j in range(4)
    }
    common = {"kinds": kinds, "roles": {"analyst": {"people": 1}}, "slots": 4, "window_weeks": window, "test_cases": 0}
    rest = {"most_pilots": 0, "impact_error": 0.0, "prices": {"hours_saved": -1.0}, "id": "portfolio/smith"}
    found = envs.build(envs.complete(common | rest))

    def saved(order):
        return sum(hours[j] * (window - done) for j, done in zip(order, np.cumsum([work[j] for j in order]), strict=True))

    smith = sorted(range(4), key=lambda j: -hours[j] / work[j])
    assert saved(smith) == max(saved(order) for order in itertools.permutations(range(4)))
    for name, order in {"wsjf": smith, "cheapest": [1, 3, 0, 2], "highest_impact": [2, 0, 3, 1]}.items():
        total = discounted(envs.rules(found)[name](found, price=0.0), found, 2, 1.0)
        assert total.tolist() == pytest.approx([saved(order)] * 2), name


def test_projects_and_person_weeks_are_conserved():
    env = pointsman.make("portfolio/team", 20, autoreset=False)
    env.reset(seed=3)
    rng, total = np.random.default_rng(0), np.zeros((20, len(env.ledger.columns)))
    proposed = np.full(20, float(env.problem.params.start.sum()))
    for _ in range(1200):
        mask = env.action_masks()
        *_, info = env.step((mask * rng.random(mask.shape)).argmax(1))
        total += info["ledger"]
    sums = {name: env.ledger.total(total, name) for name in ("weeks", "person_weeks", "idle_weeks")}
    np.testing.assert_array_equal(sums["person_weeks"] + sums["idle_weeks"], 5 * sums["weeks"])
    np.testing.assert_array_equal(sums["weeks"], env.state.clock)
    gone = sum(env.ledger.total(total, name) for name in ("shipped", "stopped", "expired", "withdrawn", "turned_away"))
    np.testing.assert_array_equal(proposed + env.ledger.total(total, "proposed"), gone + env.state.present.sum(1))


def test_hard_probability_is_what_bayes_says():
    """Among projects that are held to be hard with some probability, that share is; and true impact is right on average."""
    env = pointsman.make("portfolio/team", 400, autoreset=False)
    env.reset(seed=5)
    rng, held, truth, factor = np.random.default_rng(1), [], [], []
    for k in range(400):
        mask = env.action_masks()
        weight = rng.random(mask.shape)
        weight[:, env.problem.params.slots + np.array([kernel.SHIP, kernel.STOP])] *= 0.3
        env.step((mask * weight).argmax(1))
        if k % 100 == 99:
            there = env.state.present & (env.state.effort > 0)
            held.append(1 / (1 + np.exp(-env.state.odds[there])))
            truth.append(env.state.hard[there])
            factor.append(env.state.factor[there])
    held, truth, factor = (np.concatenate(x) for x in (held, truth, factor))
    for low, high in itertools.pairwise([0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0]):
        rows = (held >= low) & (held <= high)
        assert rows.sum() > 30
        spread = (held[rows] * (1 - held[rows])).sum() ** 0.5
        assert abs(truth[rows].sum() - held[rows].sum()) < 4 * spread + 1
    assert factor.mean() == pytest.approx(1.0, abs=0.05)


def test_tests_are_binomial():
    share, draws = 0.8, (np.arange(20_000) + 0.5) / 20_000
    found = np.array([kernel.binomial(10, share, u) for u in draws])
    assert found.mean() == pytest.approx(8.0, abs=1e-2)
    assert found.var() == pytest.approx(1.6, abs=1e-2)


def test_optimum_of_a_small_portfolio_bounds_and_is_bounded():
    """The chain's optimum is simulated to what it says; no rule beats it, and it does not beat the Lagrangian bound."""
    found = problem("mini")
    best = pointsman.solve("portfolio/mini")
    chain = envs.chain(found, 1)
    totals = rollout(best.policy, found, 200, 0)
    costs = totals.ledger @ envs.BatchEnv(found).prices / totals.elapsed
    # The episode of 520 weeks begins empty and ends in the midst of things, which costs some weeks of it.
    assert costs.mean() == pytest.approx(best.average_cost, rel=0.03)
    for rule in envs.rules(found).values():
        assert evaluate(chain, tabulate(rule(found, price=20.0), chain)).average_cost > best.average_cost - 1e-9
    assert exact.bound(found).cost <= best.average_cost


def test_bound_is_tight_where_people_are_never_short():
    """With a person and a slot for each project that is there, the limit that is relaxed does not bind."""
    kind = envs.configure("portfolio/mini")["kinds"]["tool"] | {"proposals_per_week": 0.01}
    found = problem("mini", kinds={"tool": kind}, roles={"analyst": {"people": 2}}, horizon_weeks=100_000)
    assert exact.bound(found).cost == pytest.approx(pointsman.solve_problem(found).average_cost, rel=0.02)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"slots": 0}, "slots"),
        ({"roles.analyst.people": -1}, r"roles\.analyst\.people"),
        ({"roles.analyst.skill": {"vison": 1.0}}, r"roles\.analyst\.skill"),
        ({"kinds.vision.pace": [1.2]}, r"kinds\.vision\.pace\[0\]"),
        ({"kinds.vision.top_accuracy": [0.9]}, r"kinds\.vision\.top_accuracy"),
        ({"kinds.vision.start": 90}, "start .*slots=14"),
    ],
)
def test_bad_values_are_named(overrides, named):
    with pytest.raises(PointsmanError, match=named):
        problem("team", **overrides)


@pytest.mark.long
def test_bound_of_the_team_is_never_beaten_and_near():
    """At most 15 % between the bound and the best tuned rule."""
    found = problem("team")
    bound, costs = exact.bound(found).cost, []
    for rule in envs.rules(found).values():
        search = RuleSearch(rule, population=24, rounds=5, episodes=4)
        tuned = search.fit(found, partial(cost_rates, found), 0)
        totals = rollout(tuned, found, 100, 1 << 40)
        cost = totals.ledger @ envs.BatchEnv(found).prices / totals.elapsed
        assert cost.mean() > bound
        costs.append(cost.mean())
    assert min(costs) <= 0.85 * bound
