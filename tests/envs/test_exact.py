"""The exact chain of request dispatch against the truth file and against the kernel's simulation."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import pointsman
from pointsman import envs
from pointsman.agents import exact
from pointsman.errors import PointsmanError
from pointsman.evaluation.exact_costs import tabulate
from pointsman.evaluation.rollout import rollout
from pointsman.evaluation.statistics import rate

TRUTH = json.loads((Path(__file__).parents[1] / "truth" / "dispatch.json").read_text())
BINS = np.array(TRUTH["instance"]["score_bins_easy_probability"], np.float32)


def test_mini_has_the_instance_of_the_truth_file():
    config, instance = envs.configure("dispatch/mini"), TRUTH["instance"]
    assert config["score"]["bins_easy_probability"] == instance["score_bins_easy_probability"]
    assert config["score"]["bins_weight"] == instance["score_bins_weight"]
    prices = config["prices"]
    assert prices["automation_attempts"] == instance["cost_per_automation_attempt"]
    assert prices["bounces"] == instance["cost_per_bounce"]
    assert prices["human_entries"] == instance["cost_per_human_entry"]
    assert prices["waiting_minutes"] == instance["holding_cost_per_waiting_minute"]
    assert prices["abandoned"] == instance["cost_per_abandonment"]


@pytest.mark.parametrize("arrival_rate", [2.0, 3.0])
def test_mini_optimum(arrival_rate):
    solution = pointsman.solve("dispatch/mini", arrival_rate=arrival_rate)
    published = TRUTH["poisson_arrivals"]["rate_per_minute -> optimal average cost per minute"][str(arrival_rate)]
    assert solution.average_cost == pytest.approx(published, rel=1e-4)
    assert solution.lower <= solution.average_cost <= solution.upper
    assert solution.upper - solution.lower < 1e-6
    assert len(solution.truncations) >= 2


def test_surge_optimum():
    published = TRUTH["markov_modulated_arrivals"]["optimal average cost per minute"]
    assert pointsman.solve("dispatch/surge").average_cost == pytest.approx(published, rel=1e-4)


def automated_bins(policy, n):
    observation = np.stack([BINS, np.full(6, min(n, 10)), np.full(6, max(n - 10, 0))], 1).astype(np.float32)
    return int((policy.act(observation, np.ones((6, 2), bool), np.zeros(6)) == 0).sum())


def test_mini_policy_is_that_of_the_truth_file():
    """3 bins automated for n <= 6, 4 for 7 to 10, 5 from 11 on."""
    policy = pointsman.solve("dispatch/mini").policy
    assert [automated_bins(policy, n) for n in range(30)] == [3] * 7 + [4] * 4 + [5] * 19


def index_rule(problem, solution=None):
    """The index rule, with D of the exact value function if given a solution."""
    rule = envs.rules(problem)["index"](problem)
    if solution is not None:
        difference = np.diff(solution.bias.reshape(-1, 7)[:, 0])
        rule.marginal = np.broadcast_to(difference, (*rule.marginal.shape[:-1], len(difference)))
    return rule


@pytest.mark.parametrize("arrival_rate", [2.0, 3.0, 3.6])
def test_optimal_decisions_are_those_of_the_index_rule(arrival_rate):
    """Automate iff p > (c_a + c_b) / (c_b + c_H + D(n)), D from the value function, in states of 99 % of the time."""
    problem = envs.build(envs.configure("dispatch/mini", arrival_rate=arrival_rate))
    chain = envs.chain(problem, 200)
    solution = exact.solve(chain)
    frequency = exact.evaluate(chain, tabulate(solution.policy, chain)).frequency
    rule = index_rule(problem, solution)
    same = rule.act(chain.observation, chain.mask, None) == solution.actions
    assert frequency[same | ~chain.decision].sum() > 0.99
    value = solution.bias.reshape(-1, 7)[:, 0]
    for n in range(30):
        index = (0.3 + 2.0) / (2.0 + 1.0 + value[n + 1] - value[n])
        assert automated_bins(rule, n) == (index < BINS).sum(), n


@pytest.mark.parametrize(
    ("preset", "overrides"), [("dispatch/mini", {}), ("dispatch/mini", {"arrival_rate": 3.6}), ("dispatch/surge", {})]
)
def test_index_rule_with_a_queue_model_costs_within_one_per_cent(preset, overrides):
    problem = envs.build(envs.configure(preset, **overrides))
    chain = envs.chain(problem, 200)
    cost = exact.evaluate(chain, tabulate(index_rule(problem), chain)).average_cost
    assert cost <= 1.01 * exact.solve(chain).average_cost


@pytest.mark.parametrize(
    ("preset", "overrides"),
    [
        ("dispatch/mini", {}),
        ("dispatch/surge", {}),
        ("dispatch/mini", {"automation.success_easy": 0.8, "teams.people.staff": 4}),
    ],
)
@pytest.mark.parametrize("rule", ["all_people", "all_automation", "threshold"])
def test_chain_and_kernel_agree_on_every_quantity(preset, overrides, rule):
    """Stationary averages of the chain lie in 99.9 % intervals of simulation, column by column, and states likewise."""
    problem = envs.build(envs.configure(preset, horizon_minutes=3000.0, warmup_minutes=300.0, **overrides))
    policy = envs.rules(problem)[rule](problem, **({"threshold": 0.6} if rule == "threshold" else {}))
    chain = envs.chain(problem, 120)
    score = exact.evaluate(chain, tabulate(policy, chain))
    totals = rollout(policy, problem, 100, seed=5)
    silent = ("answered_in_target", "answer_wait_minutes", "wait_bucket")
    for k, column in enumerate(problem.columns):
        if column.startswith(silent):
            continue
        found = rate(totals.ledger[:, k], totals.elapsed, level=0.9998)
        assert found.low - 1e-9 <= score.ledger[k] <= found.high + 1e-9, (column, found, score.ledger[k])


def test_state_frequencies_seen_by_arrivals_agree():
    """Arrivals see time averages (Wolff 1982): shares of n at decisions against the chain."""
    env = pointsman.make("dispatch/mini", 256, horizon_minutes=1e9, copy=False)
    problem = envs.build(envs.configure("dispatch/mini"))
    policy = pointsman.solve("dispatch/mini").policy
    observation, _ = env.reset(seed=3)
    counts = np.zeros((256, 40))
    for step in range(2300):
        if step >= 300:
            n = (observation[:, 1] + observation[:, 2]).astype(int)
            counts[np.arange(256), np.minimum(n, 39)] += 1
        observation, *_ = env.step(policy.act(observation, env.action_masks(), None))
    chain = envs.chain(problem, 100)
    frequency = exact.evaluate(chain, tabulate(policy, chain)).frequency.reshape(101, 7)[:, 1:].sum(1)
    share = counts / counts.sum(1, keepdims=True)
    for n in range(16):
        found = rate(share[:, n], np.ones(256), level=0.9998)
        assert found.low <= frequency[n] / frequency.sum() <= found.high, n


def test_what_drift_costs():
    """Half of the discrimination lost: optimum 5.369; a static threshold of before +29 %, the old optimal policy +10 %."""
    before, after = (
        envs.build(envs.configure("dispatch/mini", arrival_rate=3.6, **{"score.drift.remains": r})) for r in (1, 0.5)
    )
    old, new = envs.chain(before, 200), envs.chain(after, 200)
    best, policy = exact.solve(new).average_cost, exact.solve(old).policy

    def cost(found, chain):
        return exact.evaluate(chain, tabulate(found, chain)).average_cost

    rule = envs.rules(before)["threshold"]
    cuts = [rule(before, threshold=cut) for cut in [1.5, *(BINS - 0.01)]]
    static = min(cuts, key=lambda found: cost(found, old))
    assert best == pytest.approx(5.369, abs=5e-4)
    assert cost(static, new) / best - 1 == pytest.approx(0.29, abs=0.02)
    assert cost(policy, new) / best - 1 == pytest.approx(0.10, abs=0.015)


@pytest.mark.long
def test_drifted_scores_keep_what_they_show_and_lose_what_they_say():
    """Half-way through the drift a quarter of the discrimination is gone; the mean share of easy requests stays."""
    drift = {"score.drift.remains": 0.5, "score.drift.from_minute": 100, "score.drift.until_minute": 300}
    env = pointsman.make("dispatch/mini", 4000, horizon_minutes=1e9, copy=False, **drift)
    env.reset(seed=0)
    easy, score, clock = [], [], []
    for _ in range(1200):
        request = env.state.request
        easy.append(request.easy.copy()), score.append(request.score.copy()), clock.append(env.state.clock.copy())
        env.step(np.zeros(4000, int))
    easy, score, clock = (np.concatenate(part) for part in (easy, score, clock))
    bins, weight = np.array(TRUTH["instance"]["score_bins_easy_probability"]), TRUTH["instance"]["score_bins_weight"]
    mean = float(bins @ weight)
    for remains, low, high in ((1.0, 0, 100), (0.75, 190, 210), (0.5, 300, 1e9)):
        for p in bins:
            met = easy[(score == p) & (clock > low) & (clock <= high)]
            assert met.mean() == pytest.approx(mean + remains * (p - mean), abs=4 * 0.5 / np.sqrt(len(met)))


def test_problems_without_a_chain_say_why():
    with pytest.raises(PointsmanError, match="binormal scores"):
        pointsman.solve("dispatch/mini", score={"auc": 0.8, "bins_easy_probability": None, "bins_weight": None})
    with pytest.raises(PointsmanError, match="latency"):
        pointsman.solve("dispatch/mini", **{"automation.latency_minutes": 1.0})


def test_optimum_simulates_to_its_cost_and_no_rule_beats_it():
    """99 % interval of half-width at most 0.5 %, paired against every rule on the same records."""
    problem = envs.build(envs.configure("dispatch/mini", horizon_minutes=4000.0, warmup_minutes=200.0))
    solution = pointsman.solve("dispatch/mini")
    prices = envs.BatchEnv(problem).prices
    totals = rollout(solution.policy, problem, 1200, seed=1)
    cost = totals.ledger @ prices
    found = rate(cost, totals.elapsed, level=0.99)
    assert (found.high - found.low) / 2 < 0.005 * solution.average_cost
    assert found.low < solution.average_cost < found.high
    settings = {"threshold": {"threshold": 0.4}, "queue_threshold": {"busy": -3.5, "crowded": 0.5, "threshold": 0.6}}
    settings["queue_threshold"] |= {"first_step": 0.3, "second_step": 0.2}
    found_rules = envs.rules(problem)
    del found_rules["index"]  # which is the optimum here
    for name, rule in found_rules.items():
        other = rollout(rule(problem, **settings.get(name, {})), problem, 300, seed=1)
        gap = rate(other.ledger @ prices - cost[:300], other.elapsed, level=0.99)
        assert gap.high >= 0, name


@pytest.mark.parametrize("size", [0, -25, 2.5, 7000])
def test_solve_names_a_size_that_is_none(size):
    """Twice 0 is 0: two equal truncations would look as if they had settled."""
    with pytest.raises(PointsmanError, match=f"size must be .*, got {size}"):
        pointsman.solve("dispatch/mini", size=size)


def test_truncations_that_do_not_settle_say_so_and_no_larger_chain_is_built(monkeypatch):
    """A cost that grows with the size, as that of an unstable queue does; a chain beyond the limit has an error of its own."""
    built = []

    def chain(problem, size):
        built.append(size)
        return SimpleNamespace(complete=False, size=size)

    monkeypatch.setattr(envs, "chain", chain)
    monkeypatch.setattr(exact, "solve", lambda chain: SimpleNamespace(average_cost=float(chain.size)))
    with pytest.raises(PointsmanError, match=r"dispatch/mini: truncations do not settle: \[\(1000, 1000\.0\), \(2000, 2000\.0\)"):
        pointsman.solve("dispatch/mini", size=1000)
    assert max(built) == 4000
