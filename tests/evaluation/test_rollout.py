"""Rollouts against a slow loop over single environments, and what policies share in a comparison."""

import numpy as np
import pytest

from pointsman import envs
from pointsman.agents.networks import ActorCritic, NetworkPolicy
from pointsman.envs.core import BatchEnv
from pointsman.envs.problem import Layout
from pointsman.envs.single import SingleEnv
from pointsman.errors import PointsmanError
from pointsman.evaluation.rollout import EVALUATION, REPLAY, SELECTION, TRUTH, TUNING, VISITS, cost_rates, rollout
from pointsman.scripts.baselines import optimum


def mini(**overrides):
    return envs.build(envs.configure("dispatch/mini", **({"horizon_minutes": 60.0, "warmup_minutes": 20.0} | overrides)))


def rule(problem, name="queue_threshold", **values):
    return envs.rules(problem)[name](problem, **values)


def slow_totals(policy, problem, seed):
    """Ledger and time of episode 0 after the warm-up, decision by decision in gymnasium's single environment."""
    env, clock = SingleEnv(problem), 0.0
    observation, info = env.reset(seed=seed)
    ledger, elapsed, ended = np.zeros_like(info["ledger"]), 0.0, False
    while not ended:
        mask = env.action_masks()[None]
        action = policy.act(observation[None], mask, np.array([0.5]))[0]
        observation, _, terminated, truncated, info = env.step(action)
        if clock >= problem.warmup:
            ledger, elapsed = ledger + info["ledger"], elapsed + info["elapsed"]
        clock += info["elapsed"]
        ended = terminated or truncated
    return ledger, elapsed


@pytest.mark.parametrize(
    "overrides", [{}, {"warmup_minutes": 0.0}, {"automation.capacity": 1, "automation.latency_minutes": 3.0}]
)
def test_totals_equal_a_slow_loop(overrides):
    problem = mini(**overrides)
    policy = rule(problem, threshold=0.7, first_step=0.3)
    for seed in range(4):
        found = rollout(policy, problem, 5, seed)
        ledger, elapsed = slow_totals(policy, problem, seed)
        np.testing.assert_allclose(found.ledger[0], ledger, rtol=1e-12)
        assert found.elapsed[0] == pytest.approx(elapsed, rel=1e-12)


def test_a_drawing_policy_meets_its_own_uniforms_whatever_the_batch():
    """Episode 3 alone, in a batch of one, equals its row among six."""
    network = ActorCritic(Layout(("score", "in_service", "waiting"), (), 0, (2,)), [8])
    problem, policy = mini(warmup_minutes=0.0), NetworkPolicy(network, greedy=False)
    found = rollout(policy, problem, 6, seed=2)
    env = BatchEnv(problem, 1, indices=[3], autoreset=False)
    observation, _ = env.reset(seed=2)
    ledger, actions, ended = 0.0, [], False
    while not ended:
        action = policy.act(observation, env.action_masks(), env.action_uniforms())
        observation, _, _, truncated, info = env.step(action)
        ledger, ended = ledger + info["ledger"][0], truncated[0]
        actions.append(int(action[0]))
    assert 0.2 < np.mean(actions) < 0.8
    np.testing.assert_allclose(found.ledger[3], ledger, rtol=1e-12)


def test_copies_equal_separate_runs():
    """Three thresholds by row in one simulation, copy-major, against three rollouts."""
    problem, values = mini(), [0.2, 0.55, 0.95]
    together = rollout(rule(problem, "threshold", threshold=np.repeat(values, 8)), problem, 8, seed=5, copies=3)
    for k, value in enumerate(values):
        alone = rollout(rule(problem, "threshold", threshold=value), problem, 8, seed=5)
        np.testing.assert_array_equal(together.ledger[8 * k : 8 * k + 8], alone.ledger)
        np.testing.assert_array_equal(together.elapsed[8 * k : 8 * k + 8], alone.elapsed)
    costs = cost_rates(problem, rule(problem, "threshold", threshold=np.repeat(values, 8)), 3, 8, seed=5)
    totals = rollout(rule(problem, "threshold", threshold=0.55), problem, 8, TUNING + 5)
    np.testing.assert_allclose(costs[1], totals.ledger @ BatchEnv(problem).prices / totals.elapsed, rtol=1e-12)


def test_all_policies_are_counted_over_the_same_time_and_arrivals():
    problem = mini()
    runs = [rollout(rule(problem, name), problem, 30, seed=1) for name in envs.rules(problem)]
    arrived = BatchEnv(problem).ledger["arrived"]
    for other in runs[1:]:
        np.testing.assert_allclose(other.elapsed, runs[0].elapsed, rtol=1e-12)
        np.testing.assert_array_equal(other.ledger[:, arrived], runs[0].ledger[:, arrived])
    assert not np.allclose(runs[1].ledger, runs[0].ledger)
    assert abs(runs[0].elapsed - 40).max() < 5  # 60 minutes less 20, to within one gap at each end


def test_streams_differ_by_what_they_are_for():
    """The same seed, so many purposes, so many worlds."""
    problem, offsets = mini(), (0, EVALUATION, TUNING, SELECTION, VISITS, REPLAY, TRUTH)
    elapsed = [rollout(rule(problem), problem, 4, offset + 7).elapsed for offset in offsets]
    assert len({tuple(row) for row in elapsed}) == len(offsets)


def test_illegal_actions_fall_back_and_are_counted_or_are_refused():
    class Stubborn:
        def act(self, observation, mask, u):
            return np.zeros(len(mask), np.int64)

    problem = mini(**{"automation.capacity": 0}, warmup_minutes=0.0)
    found, people = rollout(Stubborn(), problem, 3, seed=0), rollout(rule(problem, "all_people"), problem, 3, seed=0)
    assert (found.ledger[:, -1] == found.ledger[:, 0]).all()  # every arrival
    np.testing.assert_array_equal(found.ledger[:, :-1], people.ledger[:, :-1])
    with pytest.raises(PointsmanError, match="automation.* is masked"):
        rollout(Stubborn(), problem, 3, seed=0, illegal="raise")


def test_a_warm_up_that_leaves_nothing_to_count_is_refused():
    problem = mini(warmup_minutes=60.0)
    with pytest.raises(PointsmanError, match="warmup_minutes must be less than the horizon, 60, got 60"):
        rollout(rule(problem), problem, 3, seed=0)


def test_progress_ends_at_one_and_never_falls():
    told = []
    rollout(rule(mini()), mini(), 3, seed=0, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0, abs=0.05)


def test_optimum_is_none_where_there_is_no_chain():
    assert optimum(mini(**{"automation.latency_minutes": 1.0})) is None
    assert optimum(mini()).average_cost == pytest.approx(3.13068, rel=1e-4)
