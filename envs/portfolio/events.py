"""What a week may bring, as a list: proposals, whether work on each project gets on, and which are withdrawn."""

import itertools

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.portfolio.kernel import LEVEL, Params, Record
from pointsman.envs.problem import Events


def events(params: Params) -> Events:
    """All combinations of proposals with their impact, and of luck and fate by slot; nothing is hidden, tested or piloted."""
    edges = np.unique(np.concatenate([[0.0, 1.0], params.pace.ravel()]))
    luck = list(zip((edges[1:] + edges[:-1]) / 2, np.diff(edges), strict=True))
    fates = [(1.0, 1.0 - params.withdrawn), (0.0, params.withdrawn)]
    axes = []
    for arrival, levels in zip(params.arrival, params.impact_cumulative, strict=True):
        low = np.concatenate([[0.0], levels[:-1]])
        some = [((level + before) / 2, arrival * (level - before)) for level, before in zip(levels, low, strict=True)]
        axes.append([(-1.0, 1.0 - arrival), *some])
    axes += [luck] * params.slots + [fates] * params.slots
    listed = np.array(list(itertools.product(*axes)))  # [E, axis, (value, probability)]
    value, chance = listed[:, :, 0], listed[:, :, 1].prod(1)
    value, chance = value[chance > 0], chance[chance > 0]
    kinds, slots = len(params.arrival), params.slots

    def fill(record: Record, rows: NDArray[np.int64], which: NDArray[np.int64]) -> None:
        now = value[which]
        record.proposal[rows] = now[:, :kinds] >= 0
        record.truth[rows], record.test[rows] = 0.5, 0.5
        record.truth[rows, :, LEVEL] = np.maximum(now[:, :kinds], 0.0)
        record.work[rows], record.interest[rows] = now[:, kinds : kinds + slots], now[:, kinds + slots :]

    return Events(lambda state: np.broadcast_to(chance, (len(state.clock), len(chance))), fill)
