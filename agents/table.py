"""A deterministic policy as a table, looked up by observation."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Actions = NDArray[np.int64]


class TablePolicy:
    """Looks the action up by observation; one that the table lacks counts as the nearest that it has."""

    def __init__(self, keys: NDArray[np.float32], actions: Actions, parts: tuple[int, ...] = ()):
        """keys [D, F]: observations; actions int [D], joint where a decision has several `parts`."""
        self.parts = tuple(int(part) for part in parts)
        self.axes = [np.unique(column) for column in keys.T]
        code = self._code([np.searchsorted(axis, column) for axis, column in zip(self.axes, keys.T, strict=True)])
        self.code, first = np.unique(code, return_index=True)
        self.keys, self.actions = keys[first], actions[first]

    @classmethod
    def from_states(
        cls, observation: Any, actions: Actions, decision: NDArray[np.bool_], parts: tuple[int, ...] = ()
    ) -> "TablePolicy":
        """Table of the states in which something is decided."""
        return cls(observation[decision], actions[decision], parts)

    def _code(self, places: list[NDArray[np.int64]]) -> NDArray[np.int64]:
        """One whole number per row of places on the axes."""
        code = np.zeros(len(places[0]), np.int64)
        for axis, place in zip(self.axes, places, strict=True):
            code = code * len(axis) + place
        return code

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.keys)

    def act(self, observation: Any, mask: NDArray[np.bool_], u: Any) -> Actions:
        """The tabulated action where it is legal, otherwise the first legal one."""
        if isinstance(observation, Mapping):  # context and candidates, as Layout.flat has them
            observation = np.concatenate([observation[key].reshape(len(mask), -1) for key in ("context", "candidates")], 1)
        seen = np.asarray(observation, np.float32)
        if not len(self.keys):
            return self._legal(np.zeros(len(seen), np.int64), mask)
        places = []
        for axis, column in zip(self.axes, seen.T, strict=True):
            places.append(np.searchsorted((axis[1:] + axis[:-1]) / 2, column))
        code = self._code(places)
        row = np.minimum(np.searchsorted(self.code, code), len(self.code) - 1)
        # Where only one action is legal there is nothing to look up.
        missing = np.flatnonzero((self.code[row] != code) & (mask.sum(1) > max(len(self.parts), 1)))
        if len(missing):
            row[missing] = self._tree.query(seen[missing])[1]
        return self._legal(self.actions[row], mask)

    def _legal(self, joint: Actions, mask: NDArray[np.bool_]) -> Actions:
        parts = self.parts or (mask.shape[1],)
        chosen, first = [], 0
        for size, action in zip(parts, np.unravel_index(joint, parts), strict=True):
            mine = mask[:, first : first + size]
            legal = np.take_along_axis(mine, action[:, None], 1)[:, 0]
            chosen.append(np.where(legal, action, mine.argmax(1)))
            first += size
        return np.stack(chosen, 1) if len(parts) > 1 else chosen[0]

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the table as arrays."""
        np.savez(folder / "table.npz", keys=self.keys, actions=self.actions, parts=np.array(self.parts, np.int64))
        return {}

    @classmethod
    def load(cls, folder: Path, facts: dict[str, Any]) -> "TablePolicy":
        """Read what `save` has written."""
        with np.load(folder / "table.npz") as arrays:
            return cls(arrays["keys"], arrays["actions"], tuple(arrays["parts"]))
