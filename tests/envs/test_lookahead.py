"""Looking ahead: what may follow a decision, against frequencies of the simulated world, and without touching it."""

import numpy as np
import pytest

from pointsman import envs
from pointsman.envs.markov import Lookahead
from pointsman.errors import PointsmanError

COPIES = 20_000


def first_legal(env):
    return env.out.mask.argmax(1)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("queueing/criss_cross", {}),
        ("queueing/slow_server", {}),  # not preemptive, may idle
        ("queueing/trunk_reservation", {}),  # admission
        ("queueing/reentrant", {"stations": 2}),
        ("inventory/lost_sales", {"start": 500}),
    ],
)
def test_expected_observations_are_the_simulated_means(name, given):
    """Many copies of one state, each with its own future: the mean next observation lies within five standard errors."""
    problem = envs.build(envs.configure(name, **given))
    env = envs.BatchEnv(problem, COPIES, copy=False)
    env.reset(seed=3)
    for _ in range(60):
        env.step(first_legal(env))
    now = env.snapshot()
    fullest = [int(env.out.observation.sum(1).argmax())] * COPIES
    env.restore({key: array if key == "state.key" else array[fullest] for key, array in now.items()})
    actions = first_legal(env)
    seen, probability, reward = Lookahead(env).after(actions)
    np.testing.assert_allclose(probability.sum(1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(probability, probability[:1].repeat(COPIES, 0))
    expected = (seen.reshape(COPIES, -1, problem.layout.width) * probability[:, :, None]).sum(1)
    np.testing.assert_allclose(expected, expected[:1].repeat(COPIES, 0), rtol=1e-6)
    _, simulated, *_ = env.step(actions)
    np.testing.assert_allclose(reward, reward[0], rtol=1e-9)
    assert abs(simulated.mean() - reward[0]) <= 5 * simulated.std() / COPIES**0.5 + 1e-9
    found, error = env.out.observation.mean(0), env.out.observation.std(0) / COPIES**0.5
    assert (np.abs(found - expected[0]) <= 5 * error + 1e-5).all()
    assert error.max() > 0.0  # something may happen


def test_looking_ahead_leaves_the_environment_as_it_is():
    env = envs.make("queueing/reentrant", 16, stations=2)
    env.reset(seed=0)
    for _ in range(30):
        env.step(first_legal(env))
    before = env.snapshot()
    ahead = Lookahead(env)
    seen, *_ = ahead.after(first_legal(env))
    kept = seen.copy()
    again, *_ = ahead.after(first_legal(env))
    np.testing.assert_array_equal(kept, again)
    for key, array in env.snapshot().items():
        np.testing.assert_array_equal(array, before[key], err_msg=key)


@pytest.mark.parametrize(
    ("name", "given"),
    [("dispatch/mini", {}), ("queueing/criss_cross", {"arrival_profile": [0.5, 1.0], "slot_time": 10.0})],
)
def test_where_events_cannot_be_listed_it_is_said(name, given):
    with pytest.raises(PointsmanError, match=rf"{name} has no finite list of events .* agent.lookahead=false"):
        Lookahead(envs.make(name, 2, **given))
