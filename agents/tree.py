"""A decision tree as a policy: small enough to be read, and saved without the library that grew it."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.problem import Layout

LEAF = -1
_ARRAYS = ("feature", "threshold", "left", "right", "choices", "weight")


class TreePolicy:
    """Goes left where observation[feature] <= threshold; a leaf takes its heaviest choice that is legal.

    Args:
        layout: of the observations; features are places in the flat one.
        feature, threshold, left, right: per node [M]; feature is LEAF at a leaf, the root is node 0.
        choices: [J, K] actions that are taken anywhere, each with its K parts.
        weight: [M, J] of the choices at a leaf.
    """

    def __init__(
        self, layout: Layout, feature: NDArray[np.int64], threshold: NDArray[np.float64], left: NDArray[np.int64],
        right: NDArray[np.int64], choices: NDArray[np.int64], weight: NDArray[np.float64],
    ):  # fmt: skip
        self.layout, self.feature, self.threshold = layout, feature, threshold
        self.left, self.right, self.choices, self.weight = left, right, choices, weight

    def leaf(self, flat: NDArray[np.float32]) -> NDArray[np.int64]:
        """The leaf that each row of flat observations [N, F] comes to: int64[N]."""
        node, rows = np.zeros(len(flat), np.int64), np.arange(len(flat))
        while (inside := self.feature[node] != LEAF).any():
            low = flat[rows, self.feature[node]] <= self.threshold[node]
            node = np.where(inside, np.where(low, self.left[node], self.right[node]), node)
        return node

    def act(self, observation: Any, mask: NDArray[np.bool_], u: NDArray[np.float64]) -> NDArray[np.int64]:
        """Actions int64[N] or [N, K]; the first legal one where no choice of the tree is legal."""
        flat = self.layout.flat(observation)
        self.layout.check(flat)
        first = np.concatenate([[0], np.cumsum(self.layout.parts)])
        legal = np.logical_and.reduce([mask[:, first[k] + actions] for k, actions in enumerate(self.choices.T)])
        chosen = self.choices[np.where(legal, self.weight[self.leaf(flat)], -1.0).argmax(1)]
        parts = [mask[:, begin:end] for begin, end in pairwise(first)]
        fallback = np.stack([part.argmax(1) for part in parts], 1)
        actions = np.where(legal.any(1)[:, None], chosen, fallback)
        return actions if len(parts) > 1 else actions[:, 0]

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the nodes as arrays."""
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _ARRAYS}
        np.savez(folder / "tree.npz", **arrays)
        return {"layout": self.layout._asdict()}

    @classmethod
    def load(cls, folder: Path, facts: dict[str, Any]) -> "TreePolicy":
        """Read what `save` has written."""
        with np.load(folder / "tree.npz") as arrays:
            return cls(Layout.of(facts["layout"]), *[arrays[name] for name in _ARRAYS])
