"""Rates of the recent past, against a sum over all that the ledger has booked, and by hand."""

from itertools import pairwise
from math import exp

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

import pointsman
from pointsman import envs
from pointsman.agents.ppo import PPO
from pointsman.errors import PointsmanError

HIDDEN = {"regime_observed": False, "horizon_minutes": 20.0}


def moves(env, steps, seed=0):
    """Actions at random [steps, N], which every row may take."""
    return np.random.default_rng(seed).integers(0, 2, (steps, env.num_envs))


def test_rates_by_hand(tmp_path):
    """Requests at minutes 0, 1 and 3: an arrival is booked by the decision on it, so the third is told of the first two."""
    file = tmp_path / "trace.csv"
    file.write_text("arrival_minutes,class,handling_minutes,patience_minutes\n0,request,,\n1,request,,\n3,request,,\n")
    given = {"arrival_rate": None, "trace": str(file), "recent.over": [2.0, 5.0]}
    env = pointsman.make("dispatch/mini", **given, autoreset=False)
    assert env.layout.context[-2:] == ("arrived_over_2", "arrived_over_5")
    assert env.problem.observation[-1].unit == "per minute"
    seen = [env.reset(seed=0)[0], env.step([0])[0], env.step([1])[0]]
    expected = [
        [0.0, 0.0],
        [exp(-1 / 2) / 2, exp(-1 / 5) / 5],
        [(exp(-3 / 2) + exp(-2 / 2)) / 2, (exp(-3 / 5) + exp(-2 / 5)) / 5],
    ]
    assert np.concatenate(seen)[:, -2:] == pytest.approx(np.array(expected), rel=1e-6)


def test_rates_are_a_sum_over_the_ledger_of_the_episode():
    """Every quantity, decision after decision and over the ends of episodes; arrived is a family of columns."""
    names, over = ["arrived", "bounces", "busy_minutes/specialists"], [3.0, 30.0]
    env = pointsman.make("dispatch/service_desk", 5, horizon_minutes=15.0, **{"recent.over": over, "recent.of": names})
    place = [env.ledger[name] for name in names]
    env.reset(seed=3)
    booked, ends = [[] for _ in range(5)], 0

    def rates(row):
        quantity, elapsed = (np.array(part) for part in zip(*booked[row], strict=True))
        age = elapsed[::-1].cumsum()[::-1]
        return [(quantity[:, k] * np.exp(-age / time)).sum() / time for k in range(3) for time in over]

    for _ in range(120):
        seen, _, _, truncated, info = env.step(env.action_masks().argmax(1))
        for row in range(5):
            booked[row].append(([info["ledger"][row, p].sum() for p in place], info["elapsed"][row]))
            if truncated[row]:
                assert info["final_obs"][row, -6:] == pytest.approx(rates(row), rel=1e-5)
                assert not seen[row, -6:].any()
                booked[row], ends = [], ends + 1
            else:
                assert seen[row, -6:] == pytest.approx(rates(row), rel=1e-5)
        assert env.observation_space.contains(seen)
    assert ends > 5
    env.reset()
    assert not env.out.observation[:, -6:].any()


@pytest.mark.parametrize("preset", ["dispatch/surge", "queueing/n_model", "inventory/lost_sales", "autoscaling/sinusoid"])
def test_nothing_else_changes(preset):
    plain, richer = pointsman.make(preset, 4), pointsman.make(preset, 4, **{"recent.over": [5.0]})
    plain.reset(seed=1), richer.reset(seed=1)
    first = np.concatenate([[0], np.cumsum(plain.layout.parts)])
    for _ in range(40):
        mask = plain.action_masks()
        actions = np.stack([mask[:, a:b].argmax(1) for a, b in pairwise(first)], 1)
        one, other = (env.step(actions.reshape(env.action_space.shape)) for env in (plain, richer))
        assert one[0].tolist() == other[0][:, :-1].tolist()
        assert other[0].shape[1] == plain.layout.width + 1
        assert one[1].tolist() == other[1].tolist()
        assert (richer.action_masks() == plain.action_masks()).all()


def test_a_row_does_not_depend_on_the_batch():
    given = HIDDEN | {"recent.over": [2.0, 8.0]}
    many, one = pointsman.make("dispatch/surge", 6, **given), pointsman.make("dispatch/surge", 1, indices=[4], **given)
    assert many.reset(seed=5)[0][4].tolist() == one.reset(seed=5)[0][0].tolist()
    for move in moves(many, 150):
        assert many.step(move)[0][4].tolist() == one.step(move[4:5])[0][0].tolist()


def test_a_snapshot_holds_the_rates():
    given = HIDDEN | {"recent.over": [2.0, 8.0]}
    env, other = (pointsman.make("dispatch/surge", 3, **given) for _ in range(2))
    env.reset(seed=2)
    for move in moves(env, 25):
        env.step(move)
    other.restore(env.snapshot())
    for move in moves(env, 60, seed=1):
        assert env.step(move)[0].tolist() == other.step(move)[0].tolist()
    with pytest.raises(PointsmanError, match="'recent' should have shape"):
        pointsman.make("dispatch/surge", 3, **HIDDEN | {"recent.over": [2.0]}).restore(env.snapshot())


def test_training_resumes_bit_for_bit(tmp_path):
    given = HIDDEN | {"recent.over": [4.0]}

    class Log:
        def __init__(self, stop=None):
            self.left = stop

        def flush(self):
            pass

        def update(self, *_):
            if self.left is not None:
                self.left -= 1
                if not self.left:
                    raise KeyboardInterrupt

    def fit(log, file):
        learner = PPO(total_steps=16 * 8 * 24, num_envs=16, rollout_steps=8, minibatch=64, hidden=(8,))
        return learner.fit(pointsman.make("dispatch/surge", 16, **given), log, seed=1, checkpoint=tmp_path / file).network

    whole = fit(Log(), "whole.pt").state_dict()
    with pytest.raises(KeyboardInterrupt):
        fit(Log(15), "stopped.pt")
    resumed = fit(Log(), "stopped.pt").state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_rules_do_not_mind_and_gymnasium_is_content():
    given = {"recent.over": [4.0]}
    plain, richer = (envs.build(envs.configure("dispatch/surge", **more)) for more in ({}, given))
    env = pointsman.make("dispatch/surge", 50, **given)
    seen, _ = env.reset(seed=0)
    for name, rule in envs.rules(plain).items():
        pairs = ((plain, seen[:, :-1]), (richer, seen))
        asked = [rule(problem).act(rows, env.action_masks(), np.zeros(50)) for problem, rows in pairs]
        assert (asked[0] == asked[1]).all(), name
    check_env(envs.SingleEnv(richer, "fallback"), skip_render_check=True)
    drawn = envs.SingleEnv(richer, render_mode="rgb_array")
    drawn.reset(seed=0)
    assert drawn.render().ndim == 3


@pytest.mark.parametrize(
    ("preset", "overrides", "named"),
    [
        ("dispatch/surge", {"recent.over": [0.0]}, r"recent\.over .*0"),
        ("dispatch/surge", {"recent.over": [2.0, 2.0]}, r"recent\.over .*2\.0, 2\.0"),
        ("dispatch/surge", {"recent.over": [float("inf")]}, r"recent\.over .*inf"),
        ("dispatch/surge", {"recent.over": [2.0], "recent.of": ["arived"]}, r"recent\.of: .*arived"),
        ("dispatch/surge", {"recent.over": [2.0], "recent.of": []}, r"recent\.of .*\[\]"),
        ("dispatch/surge", {"recent.ovr": [2.0]}, r"recent\.ovr"),
        ("fleet/busy", {"recent.over": [2.0]}, r"recent\.over=\[2\.0\]: fleet/busy shows candidates"),
    ],
)
def test_errors_name_the_key(preset, overrides, named):
    with pytest.raises(PointsmanError, match=named) as caught:
        pointsman.make(preset, **overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("preset", ["dispatch/surge", "queueing/criss_cross", "inventory/lost_sales"])
def test_a_chain_of_what_remembers_is_refused(preset):
    with pytest.raises(PointsmanError, match=r"no chain with recent\.over"):
        pointsman.solve(preset, **{"recent.over": [2.0]})
