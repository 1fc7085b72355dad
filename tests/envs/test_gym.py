"""Environments of other libraries behind the engine's face: beside gymnasium's own loop, with what ends kept apart."""

import gym_toys  # noqa: F401  (registers them)
import gymnasium
import numpy as np
import pytest

from pointsman import envs
from pointsman.errors import PointsmanError
from pointsman.evaluation.rollout import rollout


def problem(name, **keys):
    return envs.build(envs.complete({"family": "gym", "id": name, **keys}))


def test_rows_are_gymnasiums_own_episodes():
    """Each row, episode by episode, is what gymnasium.make and the row's seeds give."""
    env = envs.BatchEnv(problem("CartPole-v1"), 3)
    observation, _ = env.reset(seed=7)
    rng, twins, rows = np.random.default_rng(0), [gymnasium.make("CartPole-v1") for _ in range(3)], range(3)
    expected = [twin.reset(seed=int(env.state.key[i] >> np.uint64(33)))[0] for i, twin in enumerate(twins)]
    ended = 0
    for _ in range(120):
        np.testing.assert_array_equal(observation, np.array(expected, np.float32))
        actions = rng.integers(0, 2, 3)
        observation, reward, terminated, truncated, info = env.step(actions)
        for i in rows:
            expected[i], gain, over, cut, _ = twins[i].step(int(actions[i]))
            assert (reward[i], terminated[i], truncated[i]) == (gain, over, cut)
            if over:
                ended += 1
                np.testing.assert_array_equal(info["final_obs"][i], np.float32(expected[i]))
                expected[i], _ = twins[i].reset(seed=int(env.state.key[i] >> np.uint64(33)))
    assert ended > 6


def test_ended_and_cut_off_are_kept_apart_and_returns_are_booked():
    env = envs.BatchEnv(problem("PointsmanWalk-v0", max_episode_steps=6), 2, autoreset=False)
    env.reset(seed=1)
    start = -env.out.observation[:, 0]
    total = 0
    for _ in range(8):
        *_, info = env.step(np.array([1, 0]))  # the first goes right, the second left
        total = total + info["ledger"]
    book = {name: env.ledger.total(total, name).tolist() for name in env.problem.columns}
    assert book["steps"] == [start[0] + 1, 6]
    assert book["episodes"] == [1, 1]
    assert book["truncated"] == [0, 1]
    assert book["episode_return"] == book["reward"] == [5 - start[0], -6]
    assert env.out.terminated.tolist() == [True, False]
    assert env.out.truncated.tolist() == [False, True]


def test_episodes_do_not_depend_on_the_batch_and_are_the_unit():
    found = problem("CartPole-v1")
    rule = envs.rules(found)["random"](found)
    wide, narrow = rollout(rule, found, 6, 3), rollout(rule, found, 2, 3, first=4)
    np.testing.assert_array_equal(wide.ledger[4:], narrow.ledger)
    assert wide.elapsed.tolist() == [1.0] * 6
    assert 15 < rollout(rule, found, 300, 0).ledger[:, 3].mean() < 30  # known: about 22


def test_snapshots_are_replayed_or_said_to_be_lost():
    found, rng = problem("CartPole-v1"), np.random.default_rng(1)
    env = envs.BatchEnv(found, 4)
    env.reset(seed=2)
    moves = rng.integers(0, 2, (60, 4))
    for move in moves[:23]:
        env.step(move)
    kept, other = env.snapshot(), envs.BatchEnv(found, 4)
    other.restore(kept)
    for move in moves[23:]:
        np.testing.assert_array_equal(env.step(move)[0], other.step(move)[0])
    forgetful = problem("PointsmanWalk-v0", arguments={"forgetful": True})
    env, other = envs.BatchEnv(forgetful, 3), envs.BatchEnv(forgetful, 3)
    env.reset(seed=0)
    env.step(np.zeros(3, int))
    with pytest.warns(UserWarning, match="3 of 3 episodes begin anew"):
        other.restore(env.snapshot())


def test_boxes_are_cut_at_their_bounds():
    env = envs.BatchEnv(problem("PointsmanPush-v0"), 2)
    wish, _ = env.reset(seed=0)
    _, reward, *_ = env.step(np.array([[9.0, -9.0], [0.5, 0.25]]))
    cut = np.array([[2.0, -1.0], [0.5, 0.25]])
    np.testing.assert_allclose(reward, -np.square(cut - wish).sum(1), rtol=1e-6)
    with pytest.raises(PointsmanError, match="entry 1 of the action in environment 0 is nan: it must be finite"):
        env.step(np.array([[0.0, np.nan], [0.0, 0.0]]))
    rule = envs.rules(env.problem)["random"](env.problem)
    actions = rule.act(wish.repeat(2000, 0), np.zeros((4000, 0), bool), np.random.default_rng(0).random(4000))
    assert (np.abs(actions) <= [2, 1]).all()
    np.testing.assert_allclose(actions.std(0), np.array([4, 2]) / 12**0.5, rtol=0.05)
    assert abs(np.corrcoef(actions.T)[0, 1]) < 0.05


def test_images_and_flattened_spaces():
    seen, _ = envs.BatchEnv(problem("PointsmanWalk-v0", arguments={"image": True}), 2).reset(seed=0)
    assert seen.shape == (2, 36, 36, 1)
    assert seen.dtype == np.uint8
    assert len(np.unique(seen[0])) == 1
    assert problem("FrozenLake-v1").layout.width == 16  # one place of 16, as indicators


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"id": "CartPol-v1"}, "env.id=CartPol-v1 cannot be made: .*CartPole"),
        ({"id": "os:CartPole-v1"}, r"no module is imported by an id; give it as plugins=\[os\]"),
        ({"id": "CartPole-v1", "arguments": {"colour": 1}}, "cannot be made: .*colour"),
        ({"id": "CartPole-v1", "max_episode_steps": 0}, "max_episode_steps"),
        ({"id": "PointsmanWalk-v0", "arguments": {"words": True}}, "not numbers of a fixed count"),
    ],
)
def test_what_does_not_fit_is_one_line(keys, named):
    with pytest.raises(PointsmanError, match=named):
        envs.BatchEnv(problem(keys.pop("id"), **keys))
