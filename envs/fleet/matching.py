"""Matching of waiting requests and idle vehicles of greatest total gain, compiled.

Successive shortest augmenting paths with potentials (Kuhn 1955, Munkres 1957; in the form of Jonker and Volgenant 1987).
A pair is made only if it gains something: each request has a place of its own where it stays alone, at gain 0.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.arrays import Floats, Integers
from pointsman.envs.compiled import batched, inlined


class Room(NamedTuple):
    """Space to work in, for R requests and V vehicles."""

    gain: Floats  # [R, V] by request and idle vehicle; columns from the number of vehicles on are not read
    of: Integers  # [V + R + 1] 1 + the request in a column, 0: none; columns count from 1, those past the vehicles are nobody's
    way: Integers  # [V + R + 1] column before it on the path
    reach: Floats  # [V + R + 1] length of the path to a column
    done: NDArray[np.bool_]  # [V + R + 1]
    price: Floats  # [V + R + 1] potential of a column
    worth: Floats  # [R + 1] potential of a request
    vehicle: Integers  # [V] that a column stands for
    request: Integers  # [R] that a row stands for

    @classmethod
    def of_size(cls, requests: int, vehicles: int) -> "Room":
        """Empty space."""
        wide = requests + vehicles + 1
        return cls(
            np.zeros((requests, vehicles)), np.zeros(wide, np.int64), np.zeros(wide, np.int64), np.zeros(wide),
            np.zeros(wide, np.bool_), np.zeros(wide), np.zeros(requests + 1), np.zeros(vehicles, np.int64),
            np.zeros(requests, np.int64),
        )  # fmt: skip


@inlined
def match(room, requests, vehicles):
    """Fill `room.of` with the best matching of the first rows and columns of `room.gain`."""
    last = vehicles + requests
    for j in range(last + 1):
        room.of[j], room.price[j] = 0, 0.0
    for r in range(requests + 1):
        room.worth[r] = 0.0
    for r in range(1, requests + 1):
        for j in range(last + 1):
            room.reach[j], room.done[j], room.way[j] = math.inf, False, 0
        room.of[0] = r
        here = 0
        while room.of[here] != 0:
            room.done[here] = True
            row = room.of[here]
            step, to = math.inf, 0
            for j in range(1, last + 1):
                if not room.done[j]:
                    cost = -room.gain[row - 1, j - 1] if j <= vehicles else 0.0
                    length = cost - room.worth[row] - room.price[j]
                    if length < room.reach[j]:
                        room.reach[j], room.way[j] = length, here
                    if room.reach[j] < step:
                        step, to = room.reach[j], j
            for j in range(last + 1):
                if room.done[j]:
                    room.worth[room.of[j]] += step
                    room.price[j] -= step
                else:
                    room.reach[j] -= step
            here = to
        while here != 0:
            room.of[here] = room.of[room.way[here]]
            here = room.way[here]


@batched
def match_rows(room, x, y, idle, here, at_x, at_y, base, per_km, chosen):
    """The vehicle that the best matching gives to the first request of each row, -1: none.

    Args:
        room: for R requests and V vehicles.
        x, y, idle: [N, V] of the vehicles.
        here, at_x, at_y: [N, R] of the requests; the first is always there.
        base: [N, R] gain of a request that a vehicle stands beside.
        per_km: [N] what each kilometre in between, by air, takes from it.
        chosen: int64[N] to fill.
    """
    for i in range(x.shape[0]):
        vehicles, requests = 0, 0
        for v in range(x.shape[1]):
            if idle[i, v]:
                room.vehicle[vehicles] = v
                vehicles += 1
        for r in range(here.shape[1]):
            if here[i, r]:
                room.request[requests] = r
                requests += 1
        best = 0.0
        for k in range(requests):
            r = room.request[k]
            for j in range(vehicles):
                v = room.vehicle[j]
                dx, dy = x[i, v] - at_x[i, r], y[i, v] - at_y[i, r]
                room.gain[k, j] = base[i, r] - per_km[i] * math.sqrt(dx * dx + dy * dy)
                if k == 0:
                    best = max(best, room.gain[k, j])
        chosen[i] = -1
        if best > 0.0:
            match(room, requests, vehicles)
            for j in range(1, vehicles + 1):
                if room.of[j] == 1:
                    chosen[i] = room.vehicle[j - 1]
