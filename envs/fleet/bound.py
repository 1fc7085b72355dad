"""A cost that no policy gets below in an episode whose requests are all known: requests are assigned to vehicles' paths.

Whatever is done, each vehicle serves some requests one after the other, each as soon as it is free and the request is there
or later, and no request is served twice. The last condition is relaxed and priced (Lagrangian relaxation, Geoffrion
1974): serving a request costs its price, which all who serve it pay. The best path of each vehicle is then found by itself,
going back through time, and the best paths less the prices are a bound whatever the prices are; a subgradient search looks
for good ones. Clocks are rounded down to slots on the way, which can only help a vehicle.
"""

import math
from typing import NamedTuple

import numpy as np

from pointsman.envs.arrays import Floats, Integers
from pointsman.envs.compiled import batched, inlined
from pointsman.envs.core import BatchEnv
from pointsman.envs.fleet import kernel
from pointsman.envs.problem import Problem
from pointsman.errors import PointsmanError

PRICED = ("arrived", "served", "lost/refused", "lost/abandoned", "lost/turned_away", "value", "loaded_km")
NOT_NEGATIVE = ("pickup_minutes", "empty_km", "waiting_minutes")
"""Ledger columns that may have a price, and those whose price must not be negative."""


class Day(NamedTuple):
    """V vehicles and n requests in the order of their arrival; what comes before a request is a vehicle or a request."""

    since: Floats  # [n]
    first: Floats  # [n] earliest decision
    last: Floats  # [n] latest decision
    minutes: Floats  # [V + n, n] from a decision until the vehicle is free again
    gain: Floats  # [V + n, n] of serving a request instead of not, waiting left aside
    wait: float  # what each minute takes from it
    batch: float  # decisions are at its multiples; 0: at any time
    earliest: Integers  # [n] slots in which a vehicle may come free after a request, first and last
    latest: Integers
    slot: float  # minutes


class Paths(NamedTuple):
    """The best that a vehicle can do from a request on, K slots; filled by `best_paths`."""

    worth: Floats  # [n, K] from a slot on in which it is free at the destination
    then: Integers  # [n, K] the request that it serves next; -1: none
    ahead: Floats  # [V + n] by a request that has not arrived yet
    ahead_by: Integers  # [V + n]
    used: Integers  # [n] how many of the vehicles serve a request


def hindsight(problem: Problem, seed: int, episodes: int, slot: float = 0.25, rounds: int = 200) -> Floats:
    """Lower bounds [E] on the cost of the episodes that `evaluation.rollout.rollout` runs from this seed, warm-up included.

    Args:
        problem: its prices must be of PRICED, or of NOT_NEGATIVE and not negative.
        seed: of the records; evaluation adds an offset to the seed that it is given (evaluation/rollout.py).
        episodes: E, of the streams 0, 1 ...
        slot: minutes to which clocks are rounded down; the shorter, the tighter.
        rounds: of the search for prices of requests.
    """
    prices = _prices(problem)
    return np.array([_episode(problem, prices, seed, index, slot, rounds) for index in range(episodes)])


def _prices(problem: Problem) -> dict[str, float]:
    env = BatchEnv(problem)
    prices = dict(zip(env.ledger.columns, env.prices.tolist(), strict=True))
    for name, price in prices.items():
        if price != 0.0 and name not in (*PRICED, *NOT_NEGATIVE):
            raise PointsmanError(f"the hindsight bound does not hold with a price on {name}, got {price}")
        if price < 0.0 and name in NOT_NEGATIVE:
            raise PointsmanError(f"the hindsight bound needs prices.{name} of at least 0, got {price}")
    return prices


def _episode(problem: Problem, prices: dict[str, float], seed: int, index: int, slot: float, rounds: int) -> float:
    requests, starts = known(problem, seed, index)
    n, slots = len(requests), int(problem.params.horizon / slot) + 1
    if n == 0:
        return 0.0
    day, unserved = day_of(problem, prices, requests, starts, slot)
    paths = Paths(
        np.zeros((n, slots)), np.full((n, slots), -1), np.zeros(len(starts) + n), np.zeros(len(starts) + n, np.int64),
        np.zeros(n, np.int64),
    )  # fmt: skip

    def most(price: Floats) -> float:
        """The most that can be gained over serving nobody."""
        return float(best_paths(day, paths, price)) + float(price.sum())

    # Begin with what requests gain beyond a wage for each minute that they take; the highest wage makes all prices 0.
    reach, trip = day.gain.max(0), day.minutes.min(0)
    wages = np.linspace(0.0, 1.0, 11) * max(float((reach / trip).max()), 0.0)
    trials = [np.maximum(reach - wage * trip, 0.0) for wage in wages]
    best, start = min(((most(price), k) for k, price in enumerate(trials)), key=lambda pair: pair[0])
    kept = price = trials[start]
    length, way, since_better = 0.05, np.zeros(n), 0
    for _ in range(rounds):
        found = most(price)
        if found < best - 1e-4 * abs(best):
            kept, since_better = price, 0
        else:
            since_better += 1
        best = min(best, found)
        slope = paths.used - 1.0
        slope[(price <= 0.0) & (slope < 0.0)] = 0.0
        way = 0.7 * way + slope
        if since_better == 15:  # no way on from here with steps of this length
            length, since_better, price, way = 0.6 * length, 0, kept, np.zeros(n)
        elif way.any():
            price = np.maximum(price + length * best / (way @ way) * way, 0.0)
    return unserved - best


def known(problem: Problem, seed: int, index: int) -> tuple[Floats, Floats]:
    """All requests of an episode [n, FIELDS], and where its vehicles start [V, 2]."""
    env = BatchEnv(problem, 1, indices=np.array([index]), autoreset=False)
    size = int(problem.params.horizon * problem.params.arrival_rate.max() * 2) + 100
    while True:
        env.reset(seed=seed)
        starts = np.stack([env.state.x[0], env.state.y[0]], 1)
        found = np.zeros((size, kernel.FIELDS))
        count = kernel.list_requests(problem.params, env.state, env.record, found)
        if count <= size:
            return found[:count], starts
        size = count


def day_of(problem: Problem, prices: dict[str, float], requests: Floats, starts: Floats, slot: float) -> tuple[Day, float]:
    """The day, and what it costs to serve nobody."""
    p, wait = problem.params, prices["waiting_minutes"]
    since, deadline, pace = (requests[:, k].copy() for k in (kernel.SINCE, kernel.DEADLINE, kernel.PACE_OF))
    first = np.ceil(since / p.batch) * p.batch if p.batch > 0 else since
    last = np.minimum(deadline, p.horizon)
    trip = (requests[:, kernel.KM] * p.minutes_per_km + p.service_minutes) * pace
    place = np.concatenate([starts, requests[:, [kernel.TO_X, kernel.TO_Y]]])
    away = place[:, None] - requests[None, :, [kernel.X, kernel.Y]]
    empty = p.detour * np.hypot(away[..., 0], away[..., 1])
    pickup = empty * p.minutes_per_km * pace
    fare = prices["served"] + prices["value"] * requests[:, kernel.WORTH_OF] + prices["loaded_km"] * requests[:, kernel.KM]
    serving = fare + prices["empty_km"] * empty + prices["pickup_minutes"] * pickup
    # Who is still waiting at the end has cost nothing but the waiting.
    patient = np.where(deadline > p.horizon, 0.0, prices["lost/abandoned"]) + wait * (last - since)
    unserved = np.minimum.reduce([patient, *(np.full(len(since), prices[f"lost/{how}"]) for how in ("refused", "turned_away"))])
    earliest, latest = (first + trip) / slot, (last + trip + pickup.max(0)) / slot
    # One slot more on either side, for rounding.
    begin, end = np.floor(earliest).astype(np.int64) - 1, np.floor(latest).astype(np.int64) + 1
    day = Day(since, first, last, pickup + trip, unserved - serving, wait, p.batch, begin, end, slot)
    return day, float(unserved.sum() + prices["arrived"] * len(since))


@inlined
def served_at(day, clock, j):
    """When a request is decided by a vehicle that is free from a clock on."""
    if clock <= day.first[j]:
        return day.first[j]
    return math.ceil(clock / day.batch - 1e-9) * day.batch if day.batch > 0.0 else clock


@inlined
def worth_of(day, paths, price, i, j, clock):
    """What a vehicle gains from a clock on that is free after i and serves j next."""
    decided = served_at(day, clock, j)
    if decided > day.last[j]:
        return -math.inf
    gain = day.gain[i, j] - day.wait * (decided - day.since[j]) - price[j]
    slot = int((decided + day.minutes[i, j]) / day.slot)
    return gain + paths.worth[j, slot] if slot < paths.worth.shape[1] else gain


@batched
def best_paths(day, paths, price):
    """Going back through time, fill `paths`; what all vehicles gain together on their best ones, each by itself."""
    before, n = day.minutes.shape
    vehicles, slots = before - n, paths.worth.shape[1]
    for i in range(before):
        paths.ahead[i], paths.ahead_by[i] = 0.0, -1
    here = n  # requests from this one on arrive after the slot's beginning
    for k in range(slots - 1, -1, -1):
        clock = k * day.slot
        while here > 0 and day.first[here - 1] >= clock:
            here -= 1
            for i in range(before):
                if i != vehicles + here:
                    worth = worth_of(day, paths, price, i, here, 0.0)
                    if worth > paths.ahead[i]:
                        paths.ahead[i], paths.ahead_by[i] = worth, here
        for i in range(n):
            if day.earliest[i] <= k <= day.latest[i]:
                paths.worth[i, k], paths.then[i, k] = paths.ahead[vehicles + i], paths.ahead_by[vehicles + i]
        for j in range(here):
            if day.last[j] >= clock:
                for i in range(n):
                    if day.earliest[i] <= k <= day.latest[i] and i != j:
                        worth = worth_of(day, paths, price, vehicles + i, j, clock)
                        if worth > paths.worth[i, k]:
                            paths.worth[i, k], paths.then[i, k] = worth, j
    for j in range(n):
        paths.used[j] = 0
    total = 0.0
    for v in range(vehicles):
        total += paths.ahead[v]
        i, j, clock = v, paths.ahead_by[v], 0.0
        while j >= 0:
            paths.used[j] += 1
            slot = int((served_at(day, clock, j) + day.minutes[i, j]) / day.slot)
            i, clock = vehicles + j, slot * day.slot
            j = paths.then[j, slot] if slot < slots else -1
    return total
