"""stable-baselines3 on a BatchEnv: its conventions against its own DummyVecEnv, tiny runs, and masks."""

import inspect
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.vec_env import DummyVecEnv

from pointsman import conf, envs
from pointsman.agents.log import Log
from pointsman.agents.rules import FunctionPolicy
from pointsman.agents.sb3 import SB3, SB3VecEnv
from pointsman.envs.single import SingleEnv
from pointsman.errors import PointsmanError
from pointsman.evaluation.rollout import rollout

YAMLS = sorted(Path(inspect.getfile(conf)).parent.glob("agent/sb3_*.yaml"))
OCCUPIED = {"automation.capacity": 1, "automation.latency_minutes": 5.0}  # automation is masked while it is busy


def mini(**overrides):
    return envs.build(envs.configure("dispatch/mini", warmup_minutes=0.0, horizon_minutes=6.0, **overrides))


class Recorder(Log):
    def __init__(self):
        self.steps, self.ledger, self.elapsed = [], 0.0, 0.0

    def update(self, steps, total, ledger, elapsed, scalars):
        self.steps.append(steps)
        self.ledger, self.elapsed = self.ledger + ledger, self.elapsed + elapsed


def test_single_env_passes_their_checker():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*symmetric and normalized.*")
        check_env(SingleEnv(mini()), warn=False)


def test_vec_env_behaves_as_dummy_vec_env():
    """Three seeds, several episodes each: the same as their own vectorisation of the single environment."""
    problem, ends = mini(), 0
    ours, theirs = SB3VecEnv(envs.BatchEnv(problem, 1)), DummyVecEnv([lambda: SingleEnv(problem)])
    rng = np.random.default_rng(0)
    for seed in (0, 1, 12345):
        ours.seed(seed), theirs.seed(seed)
        np.testing.assert_array_equal(ours.reset(), theirs.reset())
        for _ in range(60):
            action = rng.integers(0, 2, 1)
            got, wanted = ours.step(action), theirs.step(action)
            for a, b in zip(got[:3], wanted[:3], strict=True):
                np.testing.assert_array_equal(a, b)
                assert a.dtype == b.dtype
            assert got[3][0]["elapsed"] == wanted[3][0]["elapsed"]
            if got[2][0]:
                ends += 1
                np.testing.assert_array_equal(got[3][0]["terminal_observation"], wanted[3][0]["terminal_observation"])
                assert got[3][0]["TimeLimit.truncated"] is wanted[3][0]["TimeLimit.truncated"] is True
            else:
                assert "terminal_observation" not in got[3][0]
    assert ends >= 6


def test_masks_by_row_equal_the_batched_masks():
    """sb3-contrib's own look-up of masks, while automation is now free, now busy."""
    env = SB3VecEnv(envs.BatchEnv(mini(**OCCUPIED), 7))
    env.seed(3)
    env.reset()
    assert is_masking_supported(env)
    seen = set()
    for _ in range(30):
        batched = env.action_masks()
        np.testing.assert_array_equal(get_action_masks(env), batched)
        np.testing.assert_array_equal(env.env_method("action_masks", indices=[4, 1]), batched[[4, 1]])
        seen |= {tuple(row) for row in batched.tolist()}
        env.step(batched.argmax(1))
    assert seen == {(True, True), (False, True)}
    assert len(env.get_attr("num_envs")) == 7
    assert env.env_is_wrapped(SingleEnv) == [False] * 7


@pytest.mark.parametrize("overrides", [OCCUPIED, {"automation.capacity": 0}], ids=["busy", "off"])
def test_maskable_ppo_never_picks_a_masked_action(overrides):
    """Neither in training nor in evaluation, where plain PPO on the same problem does."""
    counted = {}
    for name in ("MaskablePPO", "PPO"):
        problem, log = mini(**overrides), Recorder()
        arguments = {"n_steps": 8, "batch_size": 16}
        found = SB3(name, 480, 4, arguments).fit(envs.BatchEnv(problem, 4), log, seed=0)
        counted[name] = log.ledger[-1]
        if name == "MaskablePPO":
            rollout(found, problem, 20, seed=0, illegal="raise")
    assert counted["MaskablePPO"] == 0
    assert counted["PPO"] > 20


def test_seed_decides_the_result():
    def weights(seed):
        found = SB3("A2C", 200, 4, {}).fit(envs.BatchEnv(mini(), 4), Log(), seed=seed)
        return torch.cat([value.flatten() for value in found.network.state_dict().values()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_states_of_a_chain_which_are_flat_are_met_as_those_of_the_environment():
    env = envs.BatchEnv(toy.problem(), 8)
    seen, _ = env.reset(seed=0)
    flat = np.hstack([seen["context"], seen["candidates"].reshape(8, -1)])
    largest = FunctionPolicy("largest", lambda one: int(one["candidates"][:, 1].argmax()), env.layout)
    for policy in (largest, SB3("A2C", 40, 8).fit(env, Log(), seed=0)):
        acts = policy.act(seen, env.action_masks(), env.action_uniforms())
        np.testing.assert_array_equal(policy.act(flat, env.action_masks(), env.action_uniforms()), acts)
    np.testing.assert_array_equal(largest.act(flat, env.action_masks(), None), flat[:, 2::2].argmax(1))


def test_unknown_algorithm_and_argument_are_one_line_errors():
    env = envs.BatchEnv(mini(), 2)
    with pytest.raises(PointsmanError, match="^agent.algorithm: .*'PPPO'$"):
        SB3("PPPO", 100, 2).fit(env, Log())
    with pytest.raises(PointsmanError, match="^agent.arguments do not fit A2C: .*gama"):
        SB3("A2C", 100, 2, {"gama": 0.9}).fit(env, Log())


@pytest.mark.parametrize(("steps", "rows", "named"), [(0, 2, "total_steps"), (100, 0, "num_envs")])
def test_no_training_at_all_is_refused(steps, rows, named):
    """What would be left is the policy as it was drawn."""
    with pytest.raises(PointsmanError, match=f"^agent.{named} must be at least 1, got 0$"):
        SB3("A2C", steps, rows)
