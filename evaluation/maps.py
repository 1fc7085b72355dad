"""What a policy does where it goes: maps of its actions over two observations, and where it is not monotone."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from pointsman import envs
from pointsman.envs.arrays import Floats
from pointsman.envs.problem import Field
from pointsman.evaluation.visits import Visits

CELLS = 24
"""Most cells along an axis."""


@dataclass(frozen=True)
class Axis:
    """Cells of one observation: `edges` [K + 1] in its unit, and a label per cell if its values are few."""

    field: Field
    edges: Floats
    labels: tuple[str, ...]

    def cell(self, values: NDArray[np.float32]) -> NDArray[np.int64]:
        """The cell of each value; those beyond the ends count as the outermost."""
        return np.clip(np.searchsorted(self.edges, values, side="right") - 1, 0, len(self.edges) - 2)


@dataclass(frozen=True)
class ActionMap:
    """Shares of the actions among the decisions in each cell: [A, Y, X], NaN where the policy never came."""

    x: Axis
    y: Axis
    visits: NDArray[np.int64]  # [Y, X]
    share: Floats
    reference: Floats | None  # of the reference, in the same decisions


def axis(field: Field, values: NDArray[np.float32]) -> Axis:
    """Cells for what was seen of an observation: one per value if they are few, else of equal width, the rarest ends cut off."""
    distinct = np.unique(values)
    if len(distinct) <= CELLS:
        middle = (distinct[1:] + distinct[:-1]) / 2.0
        edges = np.concatenate([[distinct[0] - 0.5], middle, [distinct[-1] + 0.5]])
        return Axis(field, edges, tuple(f"{value:.3g}" for value in distinct))
    low, high = np.quantile(values, [0.002, 0.998])
    if (distinct == np.round(distinct)).all():
        width = np.ceil((high - low + 1) / CELLS)
        return Axis(field, np.arange(low, high + width + 1, width) - 0.5, ())
    return Axis(field, np.linspace(low, high, CELLS + 1), ())


def action_map(problem: envs.Problem, known: Visits, x: int, y: int, reference: Any = None) -> ActionMap:
    """The map over observations x and y (positions); the others are as they were when the policy came there."""
    across, up = (axis(problem.fields[k], known.observation[:, k]) for k in (x, y))
    cell = up.cell(known.observation[:, y]), across.cell(known.observation[:, x])
    shape = (len(up.edges) - 1, len(across.edges) - 1)
    visits = np.zeros(shape, np.int64)
    np.add.at(visits, cell, 1)

    def share(actions: NDArray[np.int64]) -> Floats:  # rows of known.choices
        counts = np.zeros((len(known.names), *shape))
        named = actions >= 0
        np.add.at(counts, (actions[named], cell[0][named], cell[1][named]), 1)
        with np.errstate(invalid="ignore"):
            return counts / visits

    others = None
    if reference is not None:
        seen = problem.layout.shaped(known.observation)
        others = share(known.named(reference.act(seen, known.mask, np.full(len(known.mask), 0.5))))
    return ActionMap(across, up, visits, share(known.choice), others)


def telling_pairs(known: Visits, most: int = 3) -> list[tuple[int, int]]:
    """Pairs (x, y) of the observations that tell the policy's actions best, the two best ones first."""
    grown = DecisionTreeClassifier(max_leaf_nodes=30, random_state=0).fit(known.observation, known.choice)
    order = [int(k) for k in np.argsort(-grown.feature_importances_) if grown.feature_importances_[k] > 0]
    pairs = sorted(combinations(range(len(order[:4])), 2), key=sum)
    return [(order[second], order[first]) for first, second in pairs[:most]]


def monotonicity(policy: Any, problem: envs.Problem, known: Visits, lines: int = 400) -> pd.DataFrame:
    """How often a policy takes up again an action that it had left, as one observation rises and all others stay.

    One row per observation (those of candidates are left out): lines that were looked at, how many are not monotone, and
    one of those in words. A line goes through a visited decision, over values that were seen together with each of its
    other observations and with what is legal there. A decision of several parts counts as one action.
    """
    axes = [axis(field, known.observation[:, k]) for k, field in enumerate(problem.observation)]
    cells = [a.cell(known.observation[:, k]) for k, a in enumerate(axes)]
    legal = np.unique(known.mask, axis=0, return_inverse=True)[1].ravel()
    picked = np.linspace(0, len(legal) - 1, min(lines, len(legal))).astype(int)
    rows = []
    for k, along in enumerate(axes):
        if len(along.edges) <= 3:
            continue
        values = _representatives(along, known.observation[:, k], cells[k])
        supported = np.ones((len(picked), len(values)), bool)
        for other in [legal, *cells[:k], *cells[k + 1 :]]:
            together = np.zeros((other.max() + 1, len(values)), bool)
            together[other, cells[k]] = True
            supported &= together[other[picked]]
        points = np.repeat(known.observation[picked][:, None], len(values), 1)
        points[:, :, k] = values
        mask = np.repeat(known.mask[picked], len(values), 0)
        taken = policy.act(problem.layout.shaped(points.reshape(len(mask), -1)), mask, np.full(len(mask), 0.5))
        choices, choice = np.unique(taken.reshape(len(mask), -1), axis=0, return_inverse=True)
        actions = choice.reshape(supported.shape)
        looked = supported.sum(1) > 2
        broken = np.flatnonzero([_comes_back(a[s]) for a, s in zip(actions, supported, strict=True)] & looked)
        example = ""
        if len(broken):
            state, on = known.observation[picked[broken[0]]], supported[broken[0]]
            example = _words(problem, state, k, values[on], choices[actions[broken[0]][on]])
        row = {"observation": along.field.name, "lines": int(looked.sum()), "not_monotone": len(broken)}
        rows.append(row | {"example": example})
    return pd.DataFrame(rows, columns=["observation", "lines", "not_monotone", "example"])


def _representatives(along: Axis, seen: NDArray[np.float32], cells: NDArray[np.int64]) -> NDArray[np.float32]:
    """A value seen in each cell (the median), or its middle where none was."""
    middle = (along.edges[1:] + along.edges[:-1]) / 2
    return np.array(
        [np.quantile(seen[cells == c], 0.5, method="lower") if (cells == c).any() else middle[c] for c in range(len(middle))],
        np.float32,
    )


def _comes_back(actions: NDArray[np.int64]) -> bool:
    runs = 1 + int((actions[1:] != actions[:-1]).sum()) if len(actions) else 0
    return runs > len(np.unique(actions))


def _words(problem: envs.Problem, state: Any, k: int, values: Any, actions: Any) -> str:
    """One line in words: where, and the runs of actions [V, K] along it."""
    where = ", ".join(f"{field.name} {state[f]:.3g}" for f, field in enumerate(problem.observation) if f != k and state[f] != 0)
    begins = [0, *np.flatnonzero((actions[1:] != actions[:-1]).any(1)) + 1]
    runs = ", ".join(f"{problem.named(actions[b])} from {values[b]:.3g}" for b in begins)
    return f"at {where or 'zeros'}: {runs}"
