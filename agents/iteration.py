"""Fixed points of large sparse chains: Gauss-Seidel sweeps, sped up by Anderson's extrapolation.

A queue near saturation mixes slowly: plain value iteration needs a number of sweeps of the order of 1 / (1 - load)^2.
Extrapolating over the last few sweeps brings that down to its root, as Krylov methods do for linear systems.
Walker and Ni (2011), Anderson acceleration for fixed-point iterations; Odoni (1969) for the bounds.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from pointsman.envs.arrays import Floats
from pointsman.errors import PointsmanError

MEMORY = 8
"""Sweeps over which Anderson's extrapolation looks back."""
GROWTH = 4.0
"""Growth of the squared residual at which it forgets them."""


class Pairs(NamedTuple):
    """Pairs of state and legal action, those of one state in a row: a sparse matrix with a row per pair."""

    first: NDArray[np.int64]  # [S + 1] of each state
    action: NDArray[np.int64]  # [K]
    start: NDArray[np.int64]  # [K + 1] of each pair's entries
    target: NDArray[np.int32]
    weight: Floats
    cost: Floats  # [K]
    elapsed: Floats  # [K]


def pairs_of(chain: Any) -> Pairs:
    """The pairs of a Chain."""
    state, action = np.nonzero(chain.mask)
    rows = sparse.vstack(chain.transition, format="csr")[action * len(chain.mask) + state]
    first = np.concatenate([[0], chain.mask.sum(1).cumsum()])
    start, target = rows.indptr.astype(np.int64), rows.indices.astype(np.int32)
    return Pairs(first, action, start, target, rows.data, chain.cost[state, action], chain.elapsed[state, action])


@njit(cache=True, error_model="numpy")
def _ahead(pairs: Pairs, value: Floats, gain: float, k: int, s: int) -> float:
    """Value of pair k of state s, what stays in s solved for; infinite for one that never leaves s.

    Should staying for good be best, the bounds do not meet, so that no wrong answer comes of it.
    """
    total, moves = pairs.cost[k] - gain * pairs.elapsed[k], 1.0
    for e in range(pairs.start[k], pairs.start[k + 1]):
        if pairs.target[e] == s:
            moves -= pairs.weight[e]
        else:
            total += pairs.weight[e] * value[pairs.target[e]]
    return total / moves if moves > 1e-12 else np.inf


@njit(cache=True, error_model="numpy")
def bellman(pairs: Pairs, value: Floats, gain: float) -> None:
    """One sweep over the states and one back; values are written as they are found."""
    states = len(pairs.first) - 1
    for sweep in range(2):
        for j in range(states):
            s = states - 1 - j if sweep == 0 else j
            best = np.inf
            for k in range(pairs.first[s], pairs.first[s + 1]):
                best = min(best, _ahead(pairs, value, gain, k, s))
            value[s] = best


@njit(cache=True, error_model="numpy")
def rate(pairs: Pairs, value: Floats, s: int) -> float:
    """Least cost per unit of time in state s, given what lies ahead; infinite if no time passes there."""
    best = np.inf
    for k in range(pairs.first[s], pairs.first[s + 1]):
        if pairs.elapsed[k] > 0.0:
            total = pairs.cost[k] - value[s]
            for e in range(pairs.start[k], pairs.start[k + 1]):
                total += pairs.weight[e] * value[pairs.target[e]]
            best = min(best, total / pairs.elapsed[k])
    return best


@njit(cache=True, error_model="numpy")
def bounds(pairs: Pairs, value: Floats) -> tuple[float, float]:
    """Odoni's bounds on the optimal cost per unit of time, by the states in which time passes.

    Where none passes `value` is first made exact, in as many passes as decisions follow each other at most.
    """
    states, changed = len(pairs.first) - 1, True
    while changed:
        changed = False
        for s in range(states):
            if pairs.elapsed[pairs.first[s]] == 0.0:
                best = np.inf
                for k in range(pairs.first[s], pairs.first[s + 1]):
                    best = min(best, _ahead(pairs, value, 0.0, k, s))
                changed = changed or best != value[s]
                value[s] = best
    low, high = np.inf, -np.inf
    for s in range(states):
        best = rate(pairs, value, s)
        if best < np.inf:
            low, high = min(low, best), max(high, best)
    return low, high


@njit(cache=True, error_model="numpy")
def relax(pairs: Pairs, value: Floats, ahead: Floats) -> tuple[float, float]:
    """Write the next iterate of value iteration to `ahead`; Odoni's bounds, where all steps take the time of the first.

    A tenth of the old value stays (Schweitzer 1971), so that a chain that is periodic settles as well.
    """
    low, high, span = np.inf, -np.inf, pairs.elapsed[0]
    for s in range(len(value)):
        best = np.inf
        for k in range(pairs.first[s], pairs.first[s + 1]):
            total = pairs.cost[k]
            for e in range(pairs.start[k], pairs.start[k + 1]):
                total += pairs.weight[e] * value[pairs.target[e]]
            best = min(best, total)
        low, high = min(low, (best - value[s]) / span), max(high, (best - value[s]) / span)
        ahead[s] = value[s] + 0.9 * (best - value[s])
    return low, high


@njit(cache=True, error_model="numpy")
def greedy(pairs: Pairs, value: Floats, gain: float) -> NDArray[np.int64]:
    """The best action of each state, the first of equals (to rounding)."""
    states = len(pairs.first) - 1
    found = np.zeros(states, np.int64)
    for s in range(states):
        best = np.inf
        for k in range(pairs.first[s], pairs.first[s + 1]):
            ahead = _ahead(pairs, value, gain, k, s)
            if ahead < best - 1e-9 * (1.0 + abs(best)) or best == np.inf:
                best, found[s] = ahead, pairs.action[k]
    return found


@njit(cache=True, error_model="numpy")
def balance(start: NDArray[np.int64], source: NDArray[np.int32], weight: Floats, share: Floats) -> None:
    """Sweeps of the balance equations, a row per state of what flows in."""
    states = len(start) - 1
    for sweep in range(2):
        for j in range(states):
            s = states - 1 - j if sweep == 0 else j
            total, leaves = 0.0, 1.0
            for e in range(start[s], start[s + 1]):
                if source[e] == s:
                    leaves -= weight[e]
                else:
                    total += weight[e] * share[source[e]]
            share[s] = total / leaves


@njit(cache=True, error_model="numpy")
def _dot(a: Floats, b: Floats) -> float:
    """Inner product on one thread: BLAS with several is many times slower on a busy machine."""
    total = 0.0
    for k in range(len(a)):
        total += a[k] * b[k]
    return total


def accelerate(step: Callable[[Floats], tuple[Floats, bool]], x: Floats, most: int) -> Floats:
    """The fixed point of `step`, which returns the next iterate and whether its argument was good enough."""
    changes: list[tuple[Floats, Floats]] = []
    before: tuple[Floats, Floats] | None = None
    products = np.zeros((MEMORY, MEMORY))
    for _ in range(most):
        ahead, good = step(x)
        if good:
            return x
        residual = ahead - x
        if before is not None and _dot(residual, residual) > GROWTH * _dot(before[1], before[1]):
            # Where the best actions change the iteration has a kink, and the past misleads: start afresh from a plain sweep.
            changes, before = [], None
        if before is not None:
            if len(changes) == MEMORY:
                changes.pop(0)
                products[:-1, :-1] = products[1:, 1:]
            changes.append((ahead - before[0], residual - before[1]))
            last = len(changes) - 1
            for k, (_, change) in enumerate(changes):
                products[k, last] = products[last, k] = _dot(change, changes[last][1])
        before = (ahead, residual)
        x = ahead.copy()
        if changes:
            n = len(changes)
            ridge = 1e-12 * np.trace(products[:n, :n]) * np.eye(n)
            aim = np.array([_dot(change, residual) for _, change in changes])
            for_each = np.linalg.lstsq(products[:n, :n] + ridge, aim)[0]
            for amount, (change, _) in zip(for_each, changes, strict=True):
                x -= amount * change
    raise PointsmanError(f"the chain of {len(x):,} states does not settle within {most:,} sweeps: is the system stable?")
