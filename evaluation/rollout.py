"""Runs policies on an environment and returns ledger totals, one row per episode."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.core import BatchEnv
from pointsman.envs.problem import Problem
from pointsman.errors import PointsmanError

EVALUATION = 1 << 40
"""Added to seeds, so that no evaluation meets a record that training has seen."""
TUNING = 1 << 41
"""Added to seeds: rules are tuned on records of their own."""
VISITS = 1 << 42
"""Added to seeds: what is learned from visits is scored on other records."""
SELECTION = 1 << 43
"""Added to seeds: settings of learners are chosen on records of their own."""
REPLAY, TRUTH = EVALUATION + 7_919, EVALUATION + 104_729
"""Added to seeds: a log from a simulator has those of evaluation, its replay and the simulated truth have others."""
WINDOWS = 240
"""Parts of the horizon over which the course of the cost is kept."""


class Rollout(NamedTuple):
    """Totals after the warm-up: E episodes, C ledger columns; where only totals count, an episode is the unit of time."""

    ledger: NDArray[np.float64]  # [E, C]
    elapsed: NDArray[np.float64]  # [E]
    course: NDArray[np.float64]  # [E, WINDOWS] cost by the time of its decision, warm-up included


def join(first: Rollout, second: Rollout) -> Rollout:
    """Episodes of two rollouts as one."""
    return Rollout(*[np.concatenate(pair) for pair in zip(first, second, strict=True)])


def rollout(
    policy: Any,
    problem: Problem,
    episodes: int,
    seed: int,
    *,
    first: int = 0,
    copies: int = 1,
    illegal: str = "fallback",
    progress: Callable[[float], None] = lambda share: None,
    watch: Callable[[BatchEnv, Any, Any, Any], None] = lambda env, observation, actions, counted: None,
) -> Rollout:
    """Episodes `first`, first + 1 ... of the stream `seed`, each from its start to its end, all side by side.

    With `copies`, the same episodes are run that many times for a policy whose parameters differ by row
    (copy-major); totals have copies * episodes rows. A step counts if its decision falls after the warm-up;
    arrivals are the same for every policy, so all policies are counted over the same time. Before every step `watch` is
    shown the environment, the observation, the actions, and the rows that count.
    """
    require_counted(problem)
    n = episodes * copies
    if hasattr(policy, "view"):  # rules may be shown more than learners are, of the same world
        problem = policy.view(problem)
    env = BatchEnv(problem, n, illegal, np.tile(first + np.arange(episodes), copies), autoreset=False, copy=False)
    observation, info = env.reset(seed=seed)
    ledger, elapsed, clock = np.zeros_like(info["ledger"]), np.zeros(n), np.zeros(n)
    course, rows, alive = np.zeros((n, WINDOWS)), np.arange(n), np.ones(n, bool)
    while alive.any():
        actions = policy.act(observation, env.action_masks(), env.action_uniforms())
        counted = alive & (clock >= problem.warmup)
        watch(env, observation, actions, counted)
        observation, reward, terminated, truncated, info = env.step(actions)
        course[rows, np.minimum(clock / problem.horizon * WINDOWS, WINDOWS - 1).astype(int)] -= reward * alive
        ledger += info["ledger"] * counted[:, None]
        elapsed += info["elapsed"] * counted
        clock += info["elapsed"]
        alive &= ~(terminated | truncated)
        progress(min(float(clock.min()) / problem.horizon, 1.0))
    return Rollout(ledger, np.ones(n) if problem.episodic else elapsed, course)


def cost_rates(problem: Problem, rule: Any, copies: int, episodes: int, seed: int) -> NDArray[np.float64]:
    """Cost per unit of time [copies, episodes] of a rule with parameters by row: what a search minimises."""
    totals = rollout(rule, problem, episodes, TUNING + seed, copies=copies)
    cost = totals.ledger @ BatchEnv(problem).prices
    return (cost / totals.elapsed).reshape(copies, episodes)


def require_counted(problem: Problem) -> None:
    """An error unless the warm-up leaves something of an episode to be counted."""
    if not problem.warmup < problem.horizon:
        key = next((key for key in problem.config if key.startswith("warmup")), "warmup")
        raise PointsmanError(f"{key} must be less than the horizon, {problem.horizon:g}, got {problem.warmup:g}")


def require_episodes(episodes: Any) -> None:
    """An error unless there are enough episodes for an interval."""
    if not isinstance(episodes, int) or episodes < 2:
        raise PointsmanError(f"episodes must be an integer of at least 2, got {episodes}")


def require_seed(seed: int) -> None:
    """An error unless every generator takes the seed; those of other purposes are far above."""
    if not 0 <= seed < 1 << 32:
        raise PointsmanError(f"seed must be an integer from 0 to {(1 << 32) - 1}, got {seed}")


def run_all(
    problem: Problem, policies: dict[str, Any], episodes: int, seed: int, progress: Callable[[float], None], first: int = 0
) -> dict[str, Rollout]:
    """Every policy on the same episodes of the evaluation stream, from `first` on; progress is told the share that is done."""
    found = {}
    for k, (name, policy) in enumerate(policies.items()):

        def show(share: float, before: int = k) -> None:
            progress((before + share) / len(policies))

        found[name] = rollout(policy, problem, episodes, EVALUATION + seed, first=first, progress=show)
    return found
