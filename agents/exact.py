"""Exact solution of finite chains for the long-run average cost per unit of time.

Chains whose equations can be factorised are solved by policy iteration, to rounding; larger ones by value iteration,
to bounds. Puterman, Markov Decision Processes (1994), sections 8.6 (policy iteration) and 11.4 (semi-Markov).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from pointsman.agents import iteration
from pointsman.agents.table import TablePolicy
from pointsman.envs.arrays import Floats
from pointsman.errors import PointsmanError

WORK, PLANAR = 2e10, 4.0
"""Equations are factorised up to this much work (states times the square of the bandwidth), and however many states there
are if the bandwidth stays below so many times their root, as with two queues."""


class Solution(NamedTuple):
    """Optimum of a chain; costs per unit of time."""

    average_cost: float
    lower: float
    upper: float
    policy: TablePolicy
    bias: Floats  # [S] relative values, 0 in state 0
    actions: NDArray[np.int64]  # [S]
    truncations: tuple[tuple[int, float], ...] = ()  # (size, average cost) of the chains that were solved


class Score(NamedTuple):
    """Long-run averages of a policy on a chain."""

    average_cost: float
    frequency: Floats  # [S] share of the visits
    ledger: Floats  # [C] quantities per unit of time


def _mixture(chain: Any, probability: Floats) -> Any:
    """Transition matrix of a randomised policy."""
    return sum(sparse.diags_array(probability[:, a]) @ chain.transition[a] for a in range(probability.shape[1]))


def relative_values(chain: Any, probability: Floats) -> tuple[float, Floats]:
    """Average cost g and bias h of a policy: h = c - g tau + P h, h[0] = 0."""
    cost, elapsed = (chain.cost * probability).sum(1), (chain.elapsed * probability).sum(1)
    states = len(cost)
    # Column 0 of I - P gives way to tau: h[0] is 0, and its place in the unknowns is taken by g.
    system = (sparse.eye_array(states) - _mixture(chain, probability)).tolil()
    system[:, [0]] = elapsed[:, None]
    unknowns = splu(sparse.csc_matrix(system)).solve(cost)
    return float(unknowns[0]), np.concatenate([[0.0], unknowns[1:]])


def _factorable(chain: Any) -> bool:
    """Whether a factorisation is fast: three queues fill in so much that it is not, long before two do."""
    states = len(chain.cost)
    width = max(int(np.abs(P.row - P.col).max(initial=0)) for P in (P.tocoo() for P in chain.transition))
    return states * width**2 < WORK or width < PLANAR * states**0.5


def evaluate(chain: Any, probability: Floats, tolerance: float = 1e-10) -> Score:
    """Long-run averages of a randomised policy [S, A], from its stationary distribution."""
    states, mixture = len(probability), _mixture(chain, probability)
    if _factorable(chain):
        system = (sparse.eye_array(states) - mixture).T.tolil()
        system[[0], :] = np.ones((1, states))
        frequency = splu(sparse.csc_matrix(system)).solve(np.eye(1, states)[0])
    else:
        inflow = sparse.csr_array(mixture.T)
        start, source = inflow.indptr.astype(np.int64), inflow.indices.astype(np.int32)

        def step(share: Floats) -> tuple[Floats, bool]:
            ahead = np.maximum(share, 0.0)  # extrapolation may overshoot, and then settle nowhere
            iteration.balance(start, source, inflow.data, ahead)
            ahead /= ahead.sum()
            return ahead, bool(np.abs(ahead - share).sum() < tolerance)

        frequency = np.maximum(iteration.accelerate(step, np.full(states, 1.0 / states), 20_000), 0.0)
        frequency /= frequency.sum()
    elapsed = frequency @ (chain.elapsed * probability).sum(1)
    ledger = np.einsum("s,sa,sac->c", frequency, probability, chain.ledger) / elapsed
    return Score(float(frequency @ (chain.cost * probability).sum(1) / elapsed), frequency, ledger)


def solve(chain: Any, tolerance: float = 1e-5) -> Solution:
    """The optimum of this chain; `lower` and `upper` bracket it, to a relative `tolerance` or closer (Odoni's bounds)."""
    pairs = iteration.pairs_of(chain)
    gain, bias, actions = _policy_iteration(chain) if _factorable(chain) else _value_iteration(pairs, tolerance)
    lower, upper = iteration.bounds(pairs, bias.copy())
    policy = TablePolicy.from_states(chain.observation, actions, chain.decision, chain.parts)
    return Solution(gain, min(lower, gain), max(upper, gain), policy, bias, actions)


def _policy_iteration(chain: Any, most: int = 1000) -> tuple[float, Floats, NDArray[np.int64]]:
    rows, actions = np.arange(len(chain.cost)), None
    # Begin with any action as likely as another: a policy picked by its cost alone may never leave some states.
    choice = chain.mask / chain.mask.sum(1, keepdims=True)
    for _ in range(most):
        gain, bias = relative_values(chain, choice)
        ahead = np.stack([chain.cost[:, a] + P @ bias for a, P in enumerate(chain.transition)], 1)
        advantage = np.where(chain.mask, ahead - gain * chain.elapsed, np.inf)
        best = advantage.argmin(1)
        if actions is not None:
            # Keep the present action on ties, or rounding would make policies take turns.
            better = advantage[rows, best] < advantage[rows, actions] - 1e-11 * (1.0 + np.abs(bias))
            if not better.any():
                return gain, bias, actions
            best = np.where(better, best, actions)
        actions = best
        choice = np.eye(chain.mask.shape[1])[actions]
    raise PointsmanError(f"policy iteration did not settle within {most} rounds")


def _plain(pairs: iteration.Pairs, tolerance: float, look: int = 100) -> tuple[Floats, float, float] | None:
    """Plain value iteration, where all steps take the same time; None if it takes too many sweeps to halve the bounds' distance.

    Inventories forget where they began within some lead times, which makes it fast; and it needs no state that is often visited.
    """
    value, before = np.zeros(len(pairs.first) - 1), np.inf
    ahead = np.empty_like(value)
    for sweep in range(100 * look):
        low, high = iteration.relax(pairs, value, ahead)
        if high - low <= 0.01 * tolerance * max(abs(low), abs(high)):  # sweeps are cheap, and the middle is not the optimum
            return value, low, high
        if sweep % look == look - 1:
            if high - low > before / 2:
                return None
            before = high - low
        value, ahead = ahead - ahead[0], value
    return None


def _value_iteration(pairs: iteration.Pairs, tolerance: float, look: int = 10) -> tuple[float, Floats, NDArray[np.int64]]:
    if np.ptp(pairs.elapsed) == 0.0 and (found := _plain(pairs, tolerance)) is not None:
        bias, low, high = found
        return (low + high) / 2, bias, iteration.greedy(pairs, bias, (low + high) / 2)
    timed = int(pairs.elapsed[pairs.first[:-1]].argmax())

    def steps(central: bool) -> Callable[[Floats], tuple[Floats, bool]]:
        """Sweeps with the gain that one state suggests, which is fast where it is often visited; or all states, which is sure."""
        sweeps = 0

        def step(value: Floats) -> tuple[Floats, bool]:
            nonlocal sweeps
            ahead, sweeps = value.copy(), sweeps + 1
            gain = 0.0 if central else iteration.rate(pairs, ahead, timed)
            if central or sweeps % look == 0:
                low, high = iteration.bounds(pairs, ahead)
                if high - low <= tolerance * max(abs(low), abs(high)):
                    return ahead, True
                gain = (low + high) / 2 if central else gain
            iteration.bellman(pairs, ahead, gain)
            return ahead - ahead[0], False

        return step

    start = np.zeros(len(pairs.first) - 1)
    try:
        bias = iteration.accelerate(steps(central=False), start, 4000)
    except PointsmanError:
        bias = iteration.accelerate(steps(central=True), start, 20_000)
    low, high = iteration.bounds(pairs, bias)
    gain = (low + high) / 2
    return gain, bias, iteration.greedy(pairs, bias, gain)
