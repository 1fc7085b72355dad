"""Logs from the simulator and from the Open Bandit Dataset; what a log without exploration still tells."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pointsman import envs
from pointsman.agents.policy import probabilities
from pointsman.errors import PointsmanError
from pointsman.evaluation.ope.collect import collect, write
from pointsman.evaluation.ope.deterministic import logging_plan, one_step_bounds, replay, truth
from pointsman.evaluation.ope.open_bandit import at_positions, frozen, read_open_bandit, uniform
from pointsman.evaluation.ope.read import check, read
from pointsman.evaluation.ope.report import estimates_table, words
from pointsman.evaluation.ope.report import write as write_report
from pointsman.evaluation.ope.select import choose, split
from pointsman.evaluation.ope.verdict import REFUSED, estimate

DATA = Path(__file__).parents[3] / "shared" / "data"
CONFIG = envs.configure("dispatch/mini", horizon_minutes=60.0, warmup_minutes=10.0)
PROBLEM = envs.without_warmup(CONFIG)
RULES = envs.rules(PROBLEM)
RULE = RULES["threshold"](PROBLEM, threshold=0.5)


@pytest.fixture(scope="module")
def explored(tmp_path_factory):
    """A log of a threshold that explores in three of ten decisions, as a file."""
    path = tmp_path_factory.mktemp("logs") / "explored.parquet"
    write(collect(RULE, CONFIG, 8000, 0.3, 0), path, CONFIG, 0.3, {"policy": "threshold", "parameters": {"threshold": 0.5}})
    return path


@pytest.fixture(scope="module")
def deterministic(tmp_path_factory):
    """The same threshold without exploration."""
    path = tmp_path_factory.mktemp("logs") / "deterministic.parquet"
    write(collect(RULE, CONFIG, 5000, 0.0, 0), path, CONFIG, 0.0, {})
    return path


def test_collected_logs_are_valid_and_their_probabilities_are_true(explored):
    checked = check(explored)
    assert checked.sound
    log = checked.log
    assert len(log) >= 8000
    target = log.target(RULE)
    assert np.allclose(log.distribution, 0.7 * target + 0.15)
    found = estimate(log, log.distribution, objective="decision")
    assert abs(found.diagnostics.calibration_z) < 4
    assert log.sidecar.propensity_floor == pytest.approx(0.15)
    assert not log.terminated.any()
    assert log.clock.max() < 60.0


def test_a_collected_episode_is_the_simulators_own(explored):
    """The logged actions, replayed in the environment, bring the logged rewards and observations."""
    log = read(explored)
    env = envs.BatchEnv(PROBLEM, 1, indices=[0], autoreset=False)
    from pointsman.evaluation.rollout import EVALUATION

    observation, _ = env.reset(seed=EVALUATION)
    for k in range(log.start[0], min(log.start[1], 100)):
        assert observation[0].tolist() == log.observation[k].tolist()
        observation, reward, _, _, info = env.step(log.action[k : k + 1])
        assert reward[0] == log.reward[k]
        assert info["elapsed"][0] == log.elapsed[k]


def test_a_csv_holds_the_same_as_parquet(explored, tmp_path):
    table = collect(RULE, CONFIG, 500, 0.3, 0)
    write(table, tmp_path / "log.csv", CONFIG, 0.3, {})
    one, other = read(tmp_path / "log.csv"), read(explored)
    n = len(one)
    assert check(tmp_path / "log.csv").sound
    assert one.reward == pytest.approx(other.reward[:n], abs=1e-9)
    assert np.array_equal(one.observation, other.observation[:n])
    assert np.array_equal(one.action, other.action[:n])


def test_marginal_weights_find_the_reward_rate_of_another_rule(explored):
    """dispatch/mini is Markov in what is observed: the simulator's own answer lies in the interval."""
    log = read(explored)
    log = replace(log, sidecar=replace(log.sidecar, markov=True))
    other = RULES["threshold"](PROBLEM, threshold=0.8)
    found = estimate(log, other, objective="rate")
    real = truth(CONFIG, other, RULE, "rate", 300).value
    interval = found.estimates["mis"].interval
    assert found.verdict != REFUSED
    assert interval.low - (real.high - real.low) / 2 < real.estimate < interval.high + (real.high - real.low) / 2
    assert estimate(replace(log, sidecar=replace(log.sidecar, markov=False)), other, objective="rate").verdict == REFUSED


def test_a_deterministic_log_is_refused_though_its_effective_sample_looks_healthy(deterministic):
    log = read(deterministic)
    other = RULES["threshold"](PROBLEM, threshold=0.8)
    found = estimate(log, other, objective="decision")
    weight = found.question.ratio
    assert set(np.unique(weight)) == {0.0, 1.0}
    assert found.diagnostics.mean_weight == pytest.approx(found.diagnostics.agreement)
    assert found.diagnostics.mean_weight_z < -4
    assert found.verdict == REFUSED
    assert found.status == 3
    assert any("had no choice" in reason for reason in found.reasons)
    assert any("instead of 1" in reason for reason in found.reasons)
    assert "extrapolation" in estimates_table(found).columns[-1]._cells


def test_bounds_hold_what_the_decisions_would_have_brought():
    """One-step bounds by hand: agreement in three of four decisions."""
    from test_ope_truth import log_of

    log = log_of([[(0, 1)], [(0, 2)], [(1, 4)], [(0, 3)]], np.array([1.0, 1.0]), reward_range=(0.0, 10.0))
    target = np.array([[1, 0], [1, 0], [1, 0], [1, 0]], float)
    bounds = one_step_bounds(log, target)
    assert bounds == (0.75, 6 / 4, 6 / 4 + 10 / 4, True)


def test_a_logging_plan_brings_the_width_that_it_promises():
    """Plan from a deterministic log, follow it in the world: the interval is about as narrow as was promised."""
    from offline_coverage import case

    given = case(1, 1.0, 1)
    greedy = np.eye(3)[given.logging.argmax(1)]
    log, state = given.world.log(greedy, 3000, np.random.default_rng(0))
    log = replace(log, sidecar=replace(log.sidecar, reward_range=(0.0, 1.0)))
    plan = logging_plan(log, given.target[state], 0.03, (0.1,))[0]
    followed = 0.9 * greedy + 0.1 / 3
    log, state = given.world.log(followed, plan.decisions, np.random.default_rng(1))
    one = estimate(log, given.target[state]).estimates["dr"].interval
    assert 0.02 < (one.high - one.low) / 2 < 0.033


def test_a_replay_needs_a_simulator_that_reproduces_the_log(deterministic):
    log, other = read(deterministic), RULES["threshold"](PROBLEM, threshold=0.8)
    right = replay(log, CONFIG, RULE, other, 60)
    assert right.missed == []
    assert right.difference.low <= right.difference.estimate <= right.difference.high
    wrong = replay(log, envs.complete(CONFIG, {"arrival_rate": 4.5}), RULE, other, 60)
    assert "decisions per minute" in wrong.missed
    assert wrong.policy is None


def test_held_out_episodes_choose_the_better_policy(explored):
    log = read(explored)
    learning, held_out = split(log, 0.3)
    assert learning.episodes + held_out.episodes == log.episodes
    assert len(learning) + len(held_out) == len(log)
    good, bad = RULES["threshold"](PROBLEM, threshold=0.4), RULES["all_people"](PROBLEM)
    assert choose({"bad": bad, "good": good}, held_out).best == "good"


def test_the_report_is_one_file_with_its_figures(explored, tmp_path):
    found = estimate(read(explored), RULES["threshold"](PROBLEM, threshold=0.8), objective="decision")
    file = write_report(tmp_path, "a <title>", found, {"log": "x"}, ["more"], None)
    text = file.read_text()
    assert text.count("<svg") == 3
    assert "a &lt;title&gt;" in text
    assert "ignores what the policy would do to the queue" in text
    assert found.verdict in words(found)[0]
    assert {p.name for p in tmp_path.glob("*.png")} == {"estimates.png", "weights.png", "overlap.png"}


def test_targets_are_checked(explored):
    log = read(explored)
    with pytest.raises(PointsmanError, match="of shape"):
        log.target(np.ones((3, 2)))
    with pytest.raises(PointsmanError, match="do not sum to 1"):
        log.target(np.full((len(log), 2), 0.4))
    with pytest.raises(PointsmanError, match="unknown estimator 'drr'; did you mean"):
        estimate(log, RULE, ["drr"])
    assert np.array_equal(log.target(RULE), probabilities(RULE, log.observation, log.mask))


@pytest.fixture(scope="module")
def bandit():
    """The two men files: shown at random, and by Thompson sampling."""
    return [read_open_bandit(DATA / "open_bandit" / f"men_{name}.csv.gz") for name in ("random", "bts")]


@pytest.mark.data
def test_open_bandit_click_rates(bandit):
    random, thompson = bandit
    assert len(random) == len(thompson) == 10_000
    assert random.reward.mean() == pytest.approx(0.0046, abs=5e-5)
    assert thompson.reward.mean() == pytest.approx(0.0069, abs=5e-5)
    assert random.actions == 34
    assert random.trouble == thompson.trouble == ()


@pytest.mark.data
def test_open_bandit_thompson_to_uniform(bandit):
    """With the logged propensities; the truth is the click rate of the other file, 46 clicks."""
    random, thompson = bandit
    found = estimate(thompson, uniform(thompson))
    for name in ("ips", "snips", "dr", "switch_dr"):
        one = found.estimates[name].interval
        assert one.low <= random.reward.mean() <= one.high
        assert one.high - one.low > 0.0025  # of some sixty clicks with uneven weights
    uneven = found.estimates["ips"].interval
    on_policy = estimate(random, uniform(random)).estimates["ips"].interval
    assert uneven.high - uneven.low > on_policy.high - on_policy.low


@pytest.mark.data
def test_open_bandit_uniform_to_frozen_thompson(bandit):
    """Approximate, as the policy went on learning; its own file had 69 clicks in 10,000."""
    random, thompson = bandit
    table = frozen(thompson)
    assert table.shape == (3, 34)
    assert np.allclose(table.sum(1), 1.0)
    found = estimate(random, at_positions(table, random))
    own = estimate(thompson, thompson.target(at_positions(table, thompson)), ["ips"]).logging
    for name in ("ips", "snips", "dr"):
        one = found.estimates[name].interval
        assert one.low < own.high
        assert one.high > own.low
        assert 0.003 < one.high - one.low < 0.01
    assert found.verdict == "inconclusive"
