"""What holds for every registered problem, whatever it is about: the environment contract, on one recorded walk each."""

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import gymnasium
import numpy as np
import pytest
from data import marked
from gymnasium.utils.env_checker import check_env
from plain import plain_kernel
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import pointsman
from pointsman import envs
from pointsman.envs.core import BatchEnv
from pointsman.errors import PointsmanError

STEPS, KEPT, ROWS = 40, 15, 3
"""Decisions of a walk, the decision at which a snapshot is taken, and rows side by side."""
DEFAULTS = {family: f"{family}/{preset}" for family, preset in envs.FAMILIES.items() if preset}
EVERY = pytest.mark.parametrize("name", marked(envs.presets()))
EACH_FAMILY = pytest.mark.parametrize("name", DEFAULTS.values(), ids=DEFAULTS)


@lru_cache
def problem(name):
    """A preset whose episodes end within a walk, if its horizon can be set: after some twelve decisions."""
    config = envs.configure(name)
    horizon = next(key for key in config if key.startswith("horizon"))
    env, rng = BatchEnv(envs.build(config), ROWS), np.random.default_rng(0)
    env.reset(seed=3)
    clock = float(sum(env.step(random_actions(env, rng))[4]["elapsed"] for _ in range(12)).min())
    warmup = {key: 0.0 for key in config if key.startswith("warmup")}
    if unit := 1 if isinstance(config[horizon], int) else config.get("control_minutes", 0.0):
        clock = max(1, int(clock / unit)) * unit
    return envs.build(envs.complete(config, {**warmup, horizon: clock}))


def random_actions(env, rng):
    """A legal action per row and part."""
    mask, first = env.out.mask, np.concatenate([[0], np.cumsum(env.layout.parts)])
    parts = [(mask[:, a:b] * rng.random((len(mask), b - a))).argmax(1) for a, b in pairwise(first)]
    return np.stack(parts, 1).reshape(env.action_space.shape)


class Walk:
    """Random legal decisions, and all that was seen of them."""

    def __init__(self, name):
        self.env = BatchEnv(problem(name), ROWS)
        self.seen, rng = [self.env.reset(seed=3)], np.random.default_rng(0)
        self.actions, self.kept = [], None
        for step in range(STEPS):
            if step == KEPT:
                self.kept = self.env.snapshot()
            self.actions.append(random_actions(self.env, rng))
            self.seen.append(self.env.step(self.actions[-1]))


walk = lru_cache(Walk)


def assert_same_steps(first, second, row=slice(None), other=slice(None)):
    """Observation, reward, ends, ledger, elapsed and mask of two steps are equal, bit for bit."""
    for one, two in zip(first[1:4], second[1:4], strict=True):
        np.testing.assert_array_equal(one[row], two[other])
    for key in ("ledger", "elapsed", "action_mask"):
        np.testing.assert_array_equal(first[4][key][row], second[4][key][other])


@EACH_FAMILY
def test_a_warm_up_is_a_time(name):
    config = envs.configure(name)
    for key in [key for key in config if key.startswith("warmup")]:
        for value in (-1.0, float("nan")):
            with pytest.raises(PointsmanError, match=f"{key} must be a number of at least 0, got {value}"):
                envs.build(envs.complete(config, {key: value}))


@EVERY
def test_spaces_masks_and_ledger(name):
    """What is seen lies in the spaces, something is always legal, and the reward is what the ledger costs."""
    found = walk(name)
    env, first = found.env, np.concatenate([[0], np.cumsum(found.env.layout.parts)])
    ends = 0
    for observation, reward, terminated, truncated, info in found.seen[1:]:
        done = terminated | truncated
        ends += done.sum()
        assert env.observation_space.contains(observation)
        assert np.isfinite(env.layout.flat(observation)).all()
        for a, b in pairwise(first):
            assert info["action_mask"][:, a:b].any(1).all()
        assert (info["elapsed"] >= 0).all()
        np.testing.assert_allclose(reward, -(info["ledger"] @ env.prices), rtol=1e-12, atol=1e-12)
        assert (info["ledger"][:, -1] == 0).all()  # no illegal action
        if done.any():
            assert env.observation_space.contains(info["final_obs"])
            assert set(info["final_info"]) == {"elapsed", "ledger", "action_mask"}
    assert ends > 0
    assert len(set(env.ledger.columns)) == len(env.ledger.columns)
    assert set(env.problem.prices) <= {name for column in env.ledger.columns for name in (column, column.split("/")[0])}


@EVERY
def test_a_row_depends_on_nothing_but_its_own_actions(name):
    """Batch size and neighbours do not matter, nor does what is paid: one row alone, at other prices, a second time."""
    found = walk(name)
    alone = BatchEnv(problem(name), 1, indices=[1])
    alone.set_prices(dict.fromkeys(found.env.problem.prices, 2.0))
    alone.reset(seed=3)
    for actions, step in zip(found.actions, found.seen[1:], strict=True):
        again = alone.step(actions[1:2])
        np.testing.assert_array_equal(again[4]["ledger"][0], step[4]["ledger"][1])
        np.testing.assert_array_equal(again[4]["elapsed"][0], step[4]["elapsed"][1])
        np.testing.assert_array_equal(again[4]["action_mask"][0], step[4]["action_mask"][1])
        np.testing.assert_array_equal(alone.layout.flat(again[0])[0], alone.layout.flat(step[0])[1])
        np.testing.assert_allclose(again[1], -(again[4]["ledger"] @ alone.prices))


@EVERY
def test_a_snapshot_goes_on_bit_for_bit(name):
    found = walk(name)
    other = BatchEnv(problem(name), ROWS)
    other.restore(found.kept)
    for actions, step in zip(found.actions[KEPT:], found.seen[KEPT + 1 :], strict=True):
        again = other.step(actions)
        assert_same_steps(step, again)
        np.testing.assert_array_equal(other.layout.flat(step[0]), other.layout.flat(again[0]))


@EACH_FAMILY
def test_another_seed_is_another_world(name):
    found, other, rng = walk(name), BatchEnv(problem(name), ROWS), np.random.default_rng(0)
    other.reset(seed=4)
    assert any((other.step(random_actions(other, rng))[4]["ledger"] != step[4]["ledger"]).any() for step in found.seen[1:])


@EVERY
def test_autoreset_keeps_what_was_seen_last(name):
    """And without it an ended row stays as it is: nothing is booked, no time passes."""
    found, rng = walk(name), np.random.default_rng(0)
    env = BatchEnv(problem(name), ROWS, autoreset=False)
    env.reset(seed=3)
    for actions, step in zip(found.actions, found.seen[1:], strict=True):
        last = env.step(actions)
        done = step[2] | step[3]
        if done.any():
            row = int(done.argmax())
            assert (last[2][row], last[3][row]) == (step[2][row], step[3][row])
            np.testing.assert_array_equal(env.layout.flat(last[0])[row], env.layout.flat(step[4]["final_obs"])[row])
            assert (step[4]["final_info"]["ledger"][row] == last[4]["ledger"][row]).all()
            for _ in range(3):
                after = env.step(random_actions(env, rng))
                assert not after[4]["ledger"][row].any()
                assert after[4]["elapsed"][row] == after[1][row] == 0.0
                assert (after[2][row], after[3][row]) == (last[2][row], last[3][row])
                np.testing.assert_array_equal(env.layout.flat(after[0])[row], env.layout.flat(last[0])[row])
            return


@EACH_FAMILY
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_compiled_equals_plain_python(name):
    fast, slow = (BatchEnv(problem(name), 2, copy=False) for _ in range(2))
    slow.problem = replace(slow.problem, kernel=plain_kernel(fast.problem.kernel))
    fast.reset(seed=5), slow.reset(seed=5)
    rng = np.random.default_rng(2)
    for _ in range(25):
        actions = random_actions(fast, rng)
        fast.step(actions), slow.step(actions)
        for key, array in fast.snapshot().items():
            np.testing.assert_allclose(slow.snapshot()[key], array, rtol=1e-12, atol=1e-12, err_msg=key)


ENTERS_AND_LEAVES = {
    "autoscaling": ("arrived", ["lost"], 0),  # those served are counted by their mean work, not one by one
    "cluster": ("arrived", ["done"], 1),
    "dispatch": ("arrived", ["answered", "automated", "abandoned", "turned_away", "undetected_errors"], 1),
    "fleet": ("arrived", ["served", "lost"], 1),
    "inventory": ("demand", ["filled", "lost"], 0),
    "portfolio": ("proposed", ["turned_away", "shipped", "stopped", "expired", "withdrawn"], 14),
    "queueing": ("arrived", ["departed", "refused", "lost"], 0),
}
"""Ledger families: what comes in, the ways in which it goes, and what may be there at the beginning."""


@EACH_FAMILY
def test_nothing_leaves_that_has_not_come(name):
    """What is inside never is less than nothing, or more than has come; the tests of each kernel hold it to the unit."""
    env = pointsman.make(name, 8, autoreset=False)
    env.reset(seed=1)
    enters, leaves, there = ENTERS_AND_LEAVES[name.split("/")[0]]
    rng, totals = np.random.default_rng(0), np.zeros((8, len(env.ledger.columns)))
    for _ in range(300):
        totals += env.step(random_actions(env, rng))[4]["ledger"]
        went = sum(env.ledger.total(totals, family) for family in leaves if family in env.ledger)
        assert (went <= env.ledger.total(totals, enters) + there).all()
    assert env.ledger.total(totals, enters).min() > 0


@EACH_FAMILY
@pytest.mark.filterwarnings("ignore:.*")
def test_checkers_of_gymnasium_and_stable_baselines3_pass_and_pictures_follow_the_state(name):
    family, preset = name.split("/")
    env = gymnasium.make(
        f"pointsman:pointsman/{family.capitalize()}-v0", preset=preset, illegal="fallback", render_mode="rgb_array"
    ).unwrapped
    check_env(env, skip_render_check=True)
    sb3_check_env(env)
    env.reset(seed=0)
    first = env.render()
    assert (first.dtype, first.ndim, first.shape[2]) == (np.uint8, 3, 3)
    assert first.std() > 10  # something is drawn
    for _ in range(20):
        if any(env.step(env.action_space.sample())[2:4]):
            env.reset()
    assert env.render().shape == first.shape
    assert (env.render() != first).any()


def test_every_family_is_held_to_this():
    assert set(ENTERS_AND_LEAVES) == set(DEFAULTS) == {name.split("/")[0] for name in envs.presets()} - {"gym"}
