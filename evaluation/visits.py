"""Where a policy goes, and what a wrong action would cost there."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pointsman import envs
from pointsman.envs.core import BatchEnv
from pointsman.evaluation.rollout import VISITS, rollout


class Visits(NamedTuple):
    """A sample of the decisions of a policy: R of them, F features, J choices."""

    observation: NDArray[np.float32]  # [R, F] flat
    mask: NDArray[np.bool_]  # [R, A]
    choice: NDArray[np.int64]  # [R] row of `choices`
    choices: NDArray[np.int64]  # [J, K] actions by part: all of them, or those that were seen where a decision has parts
    names: tuple[str, ...]  # [J] of the choices
    rate: float  # cost per unit of time
    decisions: int  # in the longest episode

    def named(self, actions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Actions [N] or [N, K] as rows of `choices`; -1 for those that are not among them."""
        same = (actions.reshape(len(actions), 1, -1) == self.choices).all(2)
        return np.where(same.any(1), same.argmax(1), -1)


def visits(policy: Any, problem: envs.Problem, seed: int, episodes: int = 32, most: int = 20_000) -> Visits:
    """Decisions after the warm-up, evenly spread over the episodes, about `most` of them."""
    kept: list[tuple[Any, Any, Any]] = []
    flat, every, seen = problem.layout.flat, 1, 0

    def keep(env: BatchEnv, observation: Any, actions: Any, counted: Any) -> None:
        nonlocal every, seen
        seen += 1
        if seen % every == 0 and counted.any():
            kept.append((flat(observation)[counted].copy(), env.action_masks()[counted], actions[counted].copy()))
        if len(kept) * episodes > 4 * most:  # long episodes are thinned as they go, so that memory stays bounded
            del kept[::2]
            every *= 2

    totals = rollout(policy, problem, episodes, VISITS + seed, watch=keep)
    rate = float((totals.ledger @ BatchEnv(problem).prices).sum() / totals.elapsed.sum())
    parts = [np.concatenate(column) for column in zip(*kept, strict=True)]
    stride = max(len(parts[0]) // most, 1)
    observation, mask, action = (part[::stride] for part in parts)
    if problem.parts:
        choices, choice = np.unique(action, axis=0, return_inverse=True)
    else:
        choices, choice = np.arange(len(problem.actions))[:, None], action
    names = tuple(problem.named(row) for row in choices)
    return Visits(observation, mask, choice.ravel(), choices, names, rate, seen)


def wrong_action_costs(
    policy: Any, problem: envs.Problem, known: Visits, seed: int, rows: int = 128, times: int = 128, ahead: int = 100
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """What one wrong action costs: flat observations [R, F] of visited states, and cost [R] of another legal action, once, there.

    At about `times` moments all `rows` episodes branch: one branch takes the policy's action, one another legal choice
    drawn at random, and both follow the policy for `ahead` decisions in the same world. The cost is the difference of
    the two, at the policy's own rate for time in which they differ. It is noisy, but unbiased but for what happens
    later still; where it is negative on average the policy itself is wrong.
    """
    every = max(known.decisions // (times + 1), 1)
    branch, row = BatchEnv(problem, rows, "fallback", autoreset=False, copy=False), np.arange(rows)
    rng, seen, costs, decision = np.random.default_rng([seed, 1]), [], [], 0
    first = np.concatenate([[0], np.cumsum(problem.layout.parts)])[:-1]

    def follow(arrays: Any, actions: Any) -> Any:
        branch.restore(arrays)
        cost, alive = np.zeros(rows), np.ones(rows, bool)
        for _ in range(ahead):
            observation, reward, terminated, truncated, info = branch.step(actions)
            cost -= (reward + known.rate * info["elapsed"]) * alive
            alive &= ~(terminated | truncated)
            actions = policy.act(observation, branch.action_masks(), branch.action_uniforms())
        return cost

    def watch(env: BatchEnv, observation: Any, actions: Any, counted: Any) -> None:
        nonlocal decision
        decision += 1
        if decision % every or not counted.any():
            return
        mask = env.action_masks()
        others = np.logical_and.reduce([mask[:, first[k] + part] for k, part in enumerate(known.choices.T)])
        taken = known.named(actions)
        others[row[taken >= 0], taken[taken >= 0]] = False
        chosen = counted & others.any(1)
        other = known.choices[(others * rng.random(others.shape)).argmax(1)].reshape(actions.shape)
        other[~chosen] = actions[~chosen]
        arrays = env.snapshot()
        seen.append(problem.layout.flat(observation)[chosen].copy())
        costs.append((follow(arrays, other) - follow(arrays, actions))[chosen])

    rollout(policy, problem, rows, VISITS + seed + 1, watch=watch)
    return np.concatenate(seen), np.concatenate(costs)
