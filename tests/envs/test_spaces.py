"""Decisions of several parts, and observations with candidates: spaces, legality, and both adapters, on the toys."""

from itertools import pairwise

import numpy as np
import pytest
import toy
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from pointsman import envs
from pointsman.agents.log import Log
from pointsman.agents.sb3 import SB3
from pointsman.envs.single import SingleEnv
from pointsman.errors import PointsmanError
from pointsman.evaluation.rollout import rollout

TOYS = {"pick": {"window": 5}, "signs": {"signs": 4}}


@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.parametrize("shape", TOYS.values(), ids=TOYS)
def test_checkers_pass(shape):
    check_env(SingleEnv(toy.problem(**shape), illegal="fallback"), skip_render_check=True)
    sb3_check_env(SingleEnv(toy.problem(**shape), illegal="fallback"))


@pytest.mark.parametrize("shape", TOYS.values(), ids=TOYS)
def test_batches_stay_in_their_spaces_and_keep_the_last_observation(shape):
    env = envs.BatchEnv(toy.problem(**shape), 3)
    observation, _ = env.reset(seed=1)
    twin = envs.BatchEnv(toy.problem(**shape), 3, autoreset=False)
    twin.reset(seed=1)
    for step in range(10):
        assert env.observation_space.contains(observation)
        first = np.concatenate([[0], np.cumsum(env.layout.parts)])
        mask = env.action_masks()
        actions = np.stack([mask[:, a:b].argmax(1) for a, b in pairwise(first)], 1)
        actions = actions.reshape(env.action_space.shape)
        observation, *_, truncated, info = env.step(actions)
        last, *_ = twin.step(actions)
        assert truncated.all() == (step == 9)
    np.testing.assert_array_equal(env.layout.flat(info["final_obs"]), env.layout.flat(last))


def test_illegal_parts_are_named_or_replaced_part_by_part():
    """Sign s allows the actions up to s + 1."""
    strict, loose = (envs.BatchEnv(toy.problem(signs=4), 40, illegal) for illegal in ("raise", "fallback"))
    signs, _ = strict.reset(seed=2)
    loose.reset(seed=2)
    asked = np.stack([signs[:, 0].astype(int), np.full(40, 3)], 1)
    illegal = signs[:, 1] < 2
    row = int(illegal.argmax())
    with pytest.raises(PointsmanError, match=rf"action 3 \(right 3\) in environment {row}, part 1, is masked.*0 \(right 0\)"):
        strict.step(asked)
    with pytest.raises(PointsmanError, match=r"integers of shape \(40, 2\)"):
        strict.step(asked[:, 0])
    *_, info = loose.step(asked)
    np.testing.assert_array_equal(info["ledger"][:, -1] == 1, illegal)
    right = np.where(illegal, signs[:, 1] == 0, signs[:, 1] == 3)  # the first legal action is 0
    np.testing.assert_array_equal(info["ledger"][:, 0], 0.5 + 0.5 * right)
    assert asked[row, 1] == 3  # what was asked for is left as it was


@pytest.mark.parametrize("shape", TOYS.values(), ids=TOYS)
def test_stable_baselines3_trains_on_them(shape, tmp_path):
    problem = toy.problem(**shape)
    learner = SB3("PPO", 320, 4, {"n_steps": 20, "batch_size": 40})
    found = learner.fit(envs.BatchEnv(problem, 4), Log(), seed=0)
    assert 0 < rollout(found, problem, 5, seed=3).ledger[:, 0].sum() <= 50
