"""Batches shared out over threads: the same trajectories with any number of them, and the same errors."""

import threading
from dataclasses import replace

import numpy as np
import pytest

import pointsman
from pointsman import envs
from pointsman.envs import split
from pointsman.envs.core import BatchEnv
from pointsman.errors import PointsmanError


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(split, "ROWS", 3)


@pytest.mark.parametrize("name", ["dispatch/surge", "queueing/criss_cross", "inventory/lost_sales", "autoscaling/small"])
def test_trajectories_are_the_same_with_any_number_of_threads(name):
    def trajectory(threads):
        env = pointsman.make(name, 11, threads=threads)
        rule = next(iter(envs.rules(env.problem).values()))(env.problem)
        observation, info = env.reset(seed=3)
        seen = [observation]
        for _ in range(60):
            actions = rule.act(observation, info["action_mask"].astype(bool), env.action_uniforms())
            observation, reward, _, truncated, info = env.step(actions)
            seen += [observation, reward, truncated, info["ledger"], info["elapsed"]]
        return seen

    alone = trajectory(1)
    for threads in (2, 3, 8):
        for one, other in zip(alone, trajectory(threads), strict=True):
            np.testing.assert_array_equal(one, other)


def test_rows_are_shared_out_evenly_and_worked_on_side_by_side():
    shares, both = split.Split(10, 2), threading.Barrier(2, timeout=20)
    assert shares.parts == [(0, 5), (5, 10)]
    assert split.Split(10, 9).parts == [(0, 3), (3, 6), (6, 10)]
    assert split.Split(5, 2).parts == [(0, 5)]

    def meet(first, last):
        both.wait()  # which two calls after one another would never leave
        return -1, 0

    assert shares(meet) == (-1, 0)


def test_the_first_row_in_trouble_is_named():
    assert split.Split(9, 3)(lambda first, last: (first + 1, last) if first else (-1, 0)) == (4, 6)
    env = pointsman.make("dispatch/mini", 9, threads=3, queue_size=2)
    env.reset(seed=0)
    with pytest.raises(PointsmanError, match=r"queue_size=2 is full in environment \d+: raise queue_size"):
        for _ in range(500):
            env.step(np.ones(9, int))


def test_number_of_threads_must_be_positive():
    with pytest.raises(PointsmanError, match="threads must be a positive integer, got 0"):
        pointsman.make("dispatch/mini", threads=0)


def test_kernels_in_plain_python_stay_on_one_thread():
    problem = envs.build(envs.configure("dispatch/mini"))
    kernel = problem.kernel

    class Plain:
        advance, reset_rows, FULL = staticmethod(kernel.advance.py_func), staticmethod(kernel.reset_rows), kernel.FULL

    assert BatchEnv(replace(problem, kernel=Plain), 9, threads=3)._split.parts == [(0, 9)]
