"""Long-run costs without simulation, where a problem has a chain."""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from pointsman import envs
from pointsman.agents import exact
from pointsman.agents.policy import probabilities
from pointsman.errors import PointsmanError

SIZES = (25, 50, 100, 200, 400, 800)
"""Of truncation, that are tried in turn."""


def exact_costs(
    problem: envs.Problem, policies: dict[str, Any], most: int = 250_000, note: Callable[[str], None] = lambda text: None
) -> dict[str, float]:
    """Long-run cost per unit of time by the problem's chain, of every policy; empty where one of them has no chain.

    Chains of sizes 25, 50, 100 ... are tried until costs no longer change, or the next would have more than `most` states.
    `note` is told what is under way.
    """
    if envs.has_policy_chains(problem):
        found = {}
        for name, policy in policies.items():
            note(name)
            if (cost := own_cost(problem, policy, most)) is None:
                return {}
            found[name] = cost
        return found
    costs: dict[str, float] = {}
    states = 0
    for size in SIZES:
        try:
            chain = envs.chain(problem, size)
        except PointsmanError:
            return costs
        if len(chain.cost) > most:
            return costs
        before, costs = costs, {}
        known: dict[bytes, float] = {}  # rules are often the same in effect
        for name, policy in policies.items():
            note(f"{name}, {len(chain.cost):,} states")
            table = tabulate(policy, chain)
            key = hashlib.sha256(table.tobytes()).digest()
            if key not in known:
                known[key] = exact.evaluate(chain, table).average_cost
            costs[name] = known[key]
        settled = before and all(abs(costs[name] - before[name]) <= 1e-6 * abs(costs[name]) for name in costs)
        growth, states = len(chain.cost) / (states or len(chain.cost)), len(chain.cost)
        if settled or growth * states > most:
            return costs
    return costs


def own_cost(problem: envs.Problem, policy: Any, most: int = 250_000) -> float | None:
    """Long-run cost per unit of time of one policy, by the chain of the states that it reaches; None where there is none.

    Again for sizes 25, 50, 100 ... until it no longer changes, or there are more than `most` states.
    """
    cost = None
    for size in SIZES:
        try:
            chain = envs.policy_chain(problem, size, partial(choose, policy, problem.parts), most)
        except PointsmanError:
            return cost
        before, cost = cost, exact.evaluate(chain, tabulate(policy, chain)).average_cost
        if before is not None and abs(cost - before) <= 1e-6 * abs(cost):
            return cost
    return cost


def choose(policy: Any, parts: tuple[int, ...], observation: Any, mask: Any) -> Any:
    """A policy's probabilities [N, A], as a chain of what it may do asks for them."""
    return probabilities(policy, observation, mask, parts)


def tabulate(policy: Any, chain: Any) -> Any:
    """A policy's probabilities of joint actions [S, A] in the states of a chain; the only legal one where nothing is decided."""
    table = np.eye(chain.mask.shape[1])[chain.mask.argmax(1)]
    mask = chain.mask if chain.part_mask is None else chain.part_mask
    if chain.decision.any():
        table[chain.decision] = probabilities(policy, chain.observation[chain.decision], mask[chain.decision], chain.parts)
    return table
