"""Exact solution of finite chains for the long-run average cost per unit of time, by policy iteration.

Puterman, Markov Decision Processes (1994), sections 8.6 (policy iteration) and 11.4 (semi-Markov).
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from pointsman.errors import PointsmanError

Floats = NDArray[np.float64]


class Solution(NamedTuple):
    """Optimum of a chain; costs per unit of time."""

    average_cost: float
    lower: float
    upper: float
    policy: "TablePolicy"
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


def _relative_values(chain: Any, probability: Floats) -> tuple[float, Floats]:
    """Average cost g and bias h of a policy: h = c - g tau + P h, h[0] = 0."""
    cost, elapsed = (chain.cost * probability).sum(1), (chain.elapsed * probability).sum(1)
    states = len(cost)
    # Column 0 of I - P gives way to tau: h[0] is 0, and its place in the unknowns is taken by g.
    system = (sparse.eye_array(states) - _mixture(chain, probability)).tolil()
    system[:, [0]] = elapsed[:, None]
    unknowns = splu(sparse.csc_matrix(system)).solve(cost)
    return float(unknowns[0]), np.concatenate([[0.0], unknowns[1:]])


def evaluate(chain: Any, probability: Floats) -> Score:
    """Long-run averages of a randomised policy [S, A], from its stationary distribution."""
    states = len(probability)
    balance = (sparse.eye_array(states) - _mixture(chain, probability)).T.tolil()
    balance[[0], :] = np.ones((1, states))
    frequency = splu(sparse.csc_matrix(balance)).solve(np.eye(states)[0])
    elapsed = frequency @ (chain.elapsed * probability).sum(1)
    ledger = np.einsum("s,sa,sac->c", frequency, probability, chain.ledger) / elapsed
    return Score(float(frequency @ (chain.cost * probability).sum(1) / elapsed), frequency, ledger)


def solve(chain: Any, most: int = 1000) -> Solution:
    """Policy iteration; `lower` and `upper` bracket the optimum of this chain (Odoni's bounds)."""
    rows = np.arange(len(chain.cost))
    actions = np.where(chain.mask, chain.cost, np.inf).argmin(1)
    for _ in range(most):
        gain, bias = _relative_values(chain, np.eye(chain.mask.shape[1])[actions])
        ahead = np.stack([chain.cost[:, a] + P @ bias for a, P in enumerate(chain.transition)], 1)
        advantage = np.where(chain.mask, ahead - gain * chain.elapsed, np.inf)
        best = advantage.argmin(1)
        # Keep the present action on ties, or rounding would make policies take turns.
        better = advantage[rows, best] < advantage[rows, actions] - 1e-11 * (1.0 + np.abs(bias))
        if not better.any():
            rate = (np.where(chain.mask, ahead - bias[:, None], np.inf) / chain.elapsed).min(1)
            policy = TablePolicy.from_states(chain.observation, actions, chain.decision)
            return Solution(gain, float(rate.min()), float(rate.max()), policy, bias, actions)
        actions = np.where(better, best, actions)
    raise PointsmanError(f"policy iteration did not settle within {most} rounds")


class TablePolicy:
    """Looks the action up by observation; values beyond the table count as its nearest."""

    def __init__(self, axes: list[Floats], table: NDArray[np.int64]):
        self.axes, self.table = axes, table

    @classmethod
    def from_states(cls, observation: Any, actions: NDArray[np.int64], decision: NDArray[np.bool_]) -> "TablePolicy":
        """Table over the product of the values seen; -1 where no state has that observation."""
        seen, chosen = observation[decision], actions[decision]
        axes = [np.unique(column) for column in seen.T]
        table = np.full([len(axis) for axis in axes], -1)
        table[tuple(np.searchsorted(axis, column) for axis, column in zip(axes, seen.T, strict=True))] = chosen
        return cls(axes, table)

    def act(self, observation: Any, mask: NDArray[np.bool_], u: Floats) -> NDArray[np.int64]:
        """The tabulated action, or the first legal one where the table has none."""
        places = []
        for axis, column in zip(self.axes, np.asarray(observation).T, strict=True):
            middle = (axis[1:] + axis[:-1]) / 2
            places.append(np.searchsorted(middle, column))
        found = self.table[tuple(places)]
        legal = (found >= 0) & np.take_along_axis(mask, np.maximum(found, 0)[:, None], 1)[:, 0]
        return np.where(legal, found, mask.argmax(1))

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the table as arrays."""
        arrays: dict[str, Any] = {f"axis_{k}": axis for k, axis in enumerate(self.axes)}
        np.savez(folder / "table.npz", table=self.table, **arrays)
        return {}

    @classmethod
    def load(cls, folder: Path, facts: dict[str, Any]) -> "TablePolicy":
        """Read what `save` has written."""
        with np.load(folder / "table.npz") as arrays:
            return cls([arrays[f"axis_{k}"] for k in range(len(arrays) - 1)], arrays["table"])
