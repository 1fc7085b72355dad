"""Cells of a log: a cell is one observation where few are different, otherwise the leaf of a tree that tells outcomes apart."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from sklearn.tree import DecisionTreeRegressor

from pointsman.evaluation.ope.log import DecisionLog, Floats, Ints

DISTINCT = 2000
"""More different observations than these are put together."""
LEAVES = 200
SAMPLE = 50_000
"""Decisions from which a tree is grown."""


class Cells(NamedTuple):
    """Cell of every decision [N], numbered from 0; are they the observations themselves?"""

    of: Ints
    number: int
    exact: bool


def cells(log: DecisionLog, leaves: int = LEAVES, seed: int = 0) -> Cells:
    """The cells of a log."""
    seen, rng = log.observation, np.random.default_rng([seed, 3])
    sample = rng.choice(len(log), min(len(log), SAMPLE), replace=False)
    if seen.shape[1] == 0:
        return Cells(np.zeros(len(log), np.int64), 1, True)
    if len(np.unique(seen[sample], axis=0)) <= DISTINCT:
        code = _codes(seen)
        found, of = np.unique(code, return_inverse=True)
        if len(found) <= DISTINCT:
            return _merged(Cells(of, len(found), True), seen)
    ahead = log.reward[sample]
    # What comes at once, and what comes soon.
    scale = ahead.std() or 1.0
    grown = DecisionTreeRegressor(
        max_leaf_nodes=leaves, min_samples_leaf=max(20, len(sample) // (20 * leaves)), random_state=seed
    )
    outcome = np.column_stack([ahead / scale, _soon(log, sample) / (_soon(log, sample).std() or 1.0)])
    leaf = grown.fit(seen[sample], outcome).apply(seen)
    found, of = np.unique(leaf, return_inverse=True)
    return Cells(of, len(found), False)


def _merged(found: Cells, seen: NDArray[np.float32], least: int = 20, share: float = 1 / 2000) -> Cells:
    """Cells with hardly any decisions put to the nearest that have more: what is known of them is chance.

    A policy that comes to such a cell more often than the log did would otherwise be thought to stay in what happened there once.
    """
    size = np.bincount(found.of, minlength=found.number)
    rare = size < min(least, share * len(seen))
    if not rare.any() or rare.all():
        return found
    spread = seen.std(0)
    centre = np.stack([np.bincount(found.of, column) / size for column in seen.T], 1) / np.where(spread > 0, spread, 1.0)
    nearest = cKDTree(centre[~rare]).query(centre[rare])[1]
    place = np.empty(found.number, np.int64)
    place[~rare] = np.arange((~rare).sum())
    place[rare] = nearest
    return Cells(place[found.of], int((~rare).sum()), False)


def _codes(seen: NDArray[np.float32]) -> Ints:
    """One number per different row; columns have few different values each."""
    code = np.zeros(len(seen), np.int64)
    for column in seen.T:
        values, place = np.unique(column, return_inverse=True)
        code = code * len(values) + place
        if code.max(initial=0) > 1 << 40:
            code = np.unique(code, return_inverse=True)[1]
    return code


def _soon(log: DecisionLog, rows: Ints, ahead: int = 20) -> Floats:
    """Reward of the next `ahead` decisions of the episode, from each of `rows`."""
    total = np.concatenate([[0.0], np.cumsum(log.reward)])
    last = np.minimum(rows + ahead, log.start[log.episode[rows] + 1])
    return total[last] - total[rows]
