"""The hand-worked logs of truth/offline.json, and closed forms, for every estimator."""

import json
from pathlib import Path

import numpy as np
import pytest

from pointsman.envs.problem import Layout
from pointsman.evaluation.ope.diagnostics import effective_sample_size
from pointsman.evaluation.ope.estimators import ESTIMATORS, contributions, logged, question
from pointsman.evaluation.ope.log import DecisionLog
from pointsman.evaluation.ope.schema import Sidecar

TRUTH = json.loads((Path(__file__).parents[1] / "truth" / "offline.json").read_text())
BEHAVIOUR, TARGET = np.array([0.75, 0.25]), np.array([0.25, 0.75])
SEQUENTIAL = [name for name, one in ESTIMATORS.items() if one.one_step is not True]


def log_of(episodes, behaviour=BEHAVIOUR, **facts):
    """A log of one observed state from lists of (action, reward)."""
    rows = [pair for episode in episodes for pair in episode]
    action, reward = np.array([a for a, _ in rows]), np.array([float(r) for _, r in rows])
    start = np.concatenate([[0], np.cumsum([len(episode) for episode in episodes])])
    n, actions = len(rows), len(behaviour)
    terminated = np.zeros(n, bool)
    terminated[start[1:] - 1] = True
    names = tuple(f"a{k}" for k in range(actions))
    return DecisionLog(
        np.zeros((n, 1), np.float32), np.ones((n, actions), bool), action, behaviour[action], reward, np.ones(n), terminated,
        start, Sidecar(names, **facts), layout=Layout(("one",), (), 0, (actions,)),
    )  # fmt: skip


def value(log, name, target=TARGET, **options):
    q = question(log, np.tile(target, (len(log), 1)), folds=1, **options)
    return float(contributions(name, q).value())


def model_fail():
    pairs = [(0, 0)] * 9 + [(0, 1)] * 3 + [(1, 0)] * 3 + [(1, 1)]
    return log_of([[(a, 0.0), (b, 1.0 if a == 0 else -1.0)] for a, b in pairs])


def early_termination():
    return log_of([[(0, 1), (0, 2)]] * 9 + [[(0, 1), (1, 4)]] * 3 + [[(1, 0)]] * 4)


@pytest.mark.parametrize("name", ["is", "pdis", "wis", "cwpdis", "dr"])
def test_model_fail_by_weights(name):
    assert value(model_fail(), name) == pytest.approx(TRUTH["model_fail_16"]["IS = PDIS = WIS = CWPDIS = DR"], abs=1e-12)


def test_model_fail_by_model_and_the_log_itself():
    truth, log = TRUTH["model_fail_16"], model_fail()
    assert value(log, "dm") == pytest.approx(truth["pooled-model direct method"], abs=1e-12)
    q = question(log, np.tile(TARGET, (len(log), 1)))
    assert float(logged(q).value()) == pytest.approx(truth["on-policy mean of the log"], abs=1e-12)
    over, under = map(int, truth["effective sample size"].split("/"))
    assert effective_sample_size(q.cumulative[:, -1]) == pytest.approx(over / under, abs=1e-12)


def test_a_hidden_state_deceives_whatever_forgets_the_way():
    """Marginalised weights belong to the models here: the observation is no state."""
    assert value(model_fail(), "mis") == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_early_termination(name):
    truth = TRUTH["early_termination_16"]["every importance-sampling and doubly robust estimator"]
    assert value(early_termination(), name) == pytest.approx(truth, abs=1e-12)


def test_early_termination_on_policy():
    log = early_termination()
    q = question(log, np.tile(TARGET, (len(log), 1)))
    assert float(logged(q).value()) == TRUTH["early_termination_16"]["on-policy mean of the log"]


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_the_logging_policy_itself_is_worth_what_it_got(name):
    assert value(early_termination(), name, BEHAVIOUR) == pytest.approx(2.625, abs=1e-12)


def test_one_step_by_hand():
    """Twelve times action 0 (3/4) worth 1, four times action 1 (1/4) worth 5: the target (1/4, 3/4) gets 4."""
    log = log_of([[(0, 1)]] * 12 + [[(1, 5)]] * 4)
    for name in ("dm", "ips", "snips", "dr", "switch_dr"):
        assert value(log, name) == pytest.approx(4.0, abs=1e-12)


def test_snips_and_ips_by_hand_on_an_unlucky_log():
    """Action 1 came once in four instead of once in two, with propensities of one half each."""
    log = log_of([[(0, 1)], [(0, 1)], [(0, 3)], [(1, 8)]], np.array([0.5, 0.5]))
    assert value(log, "ips", np.array([0.5, 0.5])) == pytest.approx(13 / 4)
    assert value(log, "ips", np.array([0.0, 1.0])) == pytest.approx(2 * 8 / 4)
    assert value(log, "snips", np.array([0.0, 1.0])) == pytest.approx(8.0)
    assert value(log, "snips", np.array([0.25, 0.75])) == pytest.approx((0.5 * 5 + 1.5 * 8) / (0.5 * 3 + 1.5))


def test_truncation_and_switch_by_hand():
    log = log_of([[(0, 1)]] * 12 + [[(1, 5)]] * 4)
    # Weights 1/3 and 3, the latter cut to 2; switch: action 1 is left to the model, which is right.
    assert value(log, "ips", truncate=2.0) == pytest.approx((12 / 3 * 1 + 4 * 2 * 5) / 16)
    assert value(log, "switch_dr", switch=2.0) == pytest.approx(4.0)


def test_discount_per_step_and_per_time():
    log = early_termination()
    per_step = log_of([[(0, 1), (0, 2)]] * 3 + [[(1, 0)]], discount=0.5)
    assert value(per_step, "pdis", BEHAVIOUR) == pytest.approx(3 * 2 / 4)
    assert value(per_step, "dm", BEHAVIOUR) == pytest.approx(3 * 2 / 4)
    del log
    slow = log_of([[(0, 1), (0, 2)]] * 3 + [[(1, 0)]], discount=0.5, discount_per="time")
    slow.elapsed[:] = 2.0
    for name in ("pdis", "dr", "dm", "wdr", "mis"):
        assert value(slow, name, BEHAVIOUR) == pytest.approx(3 * (1 + 0.25 * 2) / 4)


def test_reward_rate_is_the_ratio_of_the_totals():
    log = early_termination()
    log.elapsed[:] = np.where(log.action == 0, 1.0, 3.0)
    # Of itself: 12 + 18 + 12 of reward in 9 * 2 + 3 * 4 + 4 * 3 of time.
    for name in ("is", "pdis", "wis", "cwpdis", "dr", "wdr", "dm", "mis"):
        assert value(log, name, BEHAVIOUR, objective="rate") == pytest.approx(42 / 42)
    # Target: reward 1.125; time 1/4 (1 + 1/4 + 3 * 3/4) + 3/4 * 3.
    for name in ("is", "pdis", "wis", "cwpdis", "dr", "wdr"):
        assert value(log, name, objective="rate") == pytest.approx(1.125 / (0.25 * 3.5 + 2.25))
