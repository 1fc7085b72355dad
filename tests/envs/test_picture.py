"""render_mode="rgb_array": pictures of every problem, the ledger that they show, and a problem's own picture."""

from dataclasses import replace

import numpy as np
import pytest
import toy

import pointsman
from pointsman import envs
from pointsman.envs.core import BatchEnv
from pointsman.envs.single import SingleEnv
from pointsman.errors import PointsmanError


def test_the_ledger_so_far_is_the_sum_of_the_steps_and_starts_again():
    env = pointsman.make("dispatch/mini", 2, render_mode="rgb_array", horizon_minutes=20.0)
    env.reset(seed=0)
    total, fresh = np.zeros((2, len(env.ledger.columns))), False
    for _ in range(80):
        *_, truncated, info = env.step(np.ones(2, int))
        total += info["final_info"]["ledger"] if truncated.any() and "final_info" in info else info["ledger"]
        total[truncated] = 0.0
        fresh = fresh or bool(truncated.any())
        for row in range(2):
            view = env._view(row)
            assert view.ledger == pytest.approx(total[row])
            assert view.cost == pytest.approx(total[row] @ env.prices)
            assert view.clock == env.state.clock[row]
    assert fresh
    assert len(env.render()) == 2


def test_candidates_are_drawn_too():
    env = SingleEnv(toy.problem(), render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().std() > 10


def test_a_problem_may_draw_itself():
    """It is given one row of the state and what the decision shows."""
    seen = []

    def render(problem, view):
        seen.append(view)
        return np.full((4, 5, 3), 7, np.uint8)

    problem = replace(envs.build(envs.configure("dispatch/mini")), render=render)
    env = BatchEnv(problem, 3, render_mode="rgb_array")
    env.reset(seed=0)
    assert [image.shape for image in env.render()] == [(4, 5, 3)] * 3
    assert seen[1].observation.tolist() == env.out.observation[1].tolist()
    assert seen[2].state.clock == env.state.clock[2]


def test_no_render_mode_no_picture_and_mistakes_are_named():
    env = pointsman.make("dispatch/mini")
    env.reset(seed=0)
    assert env.render() is None
    with pytest.raises(PointsmanError, match="render_mode must be one of rgb_array or null, got 'human'"):
        pointsman.make("dispatch/mini", render_mode="human")
    with pytest.raises(PointsmanError, match="reset"):
        pointsman.make("dispatch/mini", render_mode="rgb_array").render()
