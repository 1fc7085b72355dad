"""What may happen at the end of a step of the uniformised chain, as a list: for exact solution, and for looking ahead."""

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.problem import Events
from pointsman.envs.queueing import kernel


def events(params: kernel.Params) -> Events | None:
    """The events with their probabilities; None where arrivals vary over time."""
    if params.arrival_share.shape[0] > 1:
        return None
    routes = np.unique(np.concatenate([[0.0], params.route_cumulative.ravel()]))
    middle, width = (routes[1:] + routes[:-1]) / 2, np.diff(routes)
    share = np.diff(params.event_cumulative, prepend=0.0)
    event, route = (axis.ravel() for axis in np.indices((len(share), len(middle))))
    # Where requests go matters to completions only, and only where it is left to chance.
    probability = share[event] * width[route]

    def fill(record: kernel.Record, rows: NDArray[np.int64], which: NDArray[np.int64]) -> None:
        record.event[rows], record.route[rows] = event[which], middle[route[which]]

    return Events(lambda state: np.broadcast_to(probability, (len(state.clock), len(probability))), fill)
