"""A cost that no policy gets below in an episode whose requests are all known: hindsight assignment, relaxed.

Whatever is done, each vehicle serves some requests one after the other. So every request that is served has one
predecessor, a vehicle where it starts or a request, and each predecessor has at most one successor: an assignment. A pair
is possible if the predecessor can be over before the request loses patience, and costs at least its own kilometres, pickup
and waiting. Two things are relaxed: a predecessor counts as over as early as it ever could be, and vehicles may be in two
places, but for their time. Of that there is no more in any window than the fleet has, and a pair takes at least what it
takes of the window whenever it is decided. These limits are priced (Lagrangian relaxation, Geoffrion 1974): for any prices
of vehicles' time the assignment is a bound, and a subgradient search looks for good ones.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pointsman.envs.core import BatchEnv
from pointsman.envs.fleet import kernel
from pointsman.envs.problem import Problem
from pointsman.errors import PointsmanError

F = NDArray[np.float64]
PRICED = ("served", "lost/refused", "lost/abandoned", "lost/turned_away", "value", "pickup_minutes", "empty_km", "loaded_km")
PRICED += ("waiting_minutes", "arrived")
"""Ledger columns that the bound knows of."""


class Pairs(NamedTuple):
    """P = V + n predecessors, the vehicles first, and n requests."""

    gain: F  # [P, n] least cost of serving a request after a predecessor, less that of not serving it; infinite: cannot be
    first: F  # [P, n] earliest decision
    last: F  # [n] latest decision
    minutes: F  # [P, n] for which a vehicle is taken
    unserved: float  # cost of serving nobody


def hindsight(problem: Problem, seed: int, episodes: int, parts: int = 4, rounds: int = 60) -> F:
    """Lower bounds [E] on the cost of the episodes that `evaluation.rollout.rollout` runs from this seed, warm-up included.

    Args:
        problem: its prices must be of PRICED, those of minutes and kilometres not negative.
        seed: of the records; evaluation adds an offset to the seed it is given (evaluation/rollout.py).
        episodes: E, of the streams 0, 1 ...
        parts: the horizon is cut in 1, 2, 4 ... up to so many windows, in each of which vehicles' time is limited.
        rounds: of the search for prices of vehicles' time.
    """
    prices = _prices(problem)
    return np.array([_episode(problem, prices, seed, index, parts, rounds) for index in range(episodes)])


def _prices(problem: Problem) -> dict[str, float]:
    env = BatchEnv(problem)
    prices = dict(zip(env.ledger.columns, env.prices.tolist(), strict=True))
    for name, price in prices.items():
        if price != 0.0 and name not in PRICED:
            raise PointsmanError(f"the hindsight bound does not hold with a price on {name}, got {price}")
        if price < 0.0 and name in ("pickup_minutes", "empty_km", "waiting_minutes"):
            raise PointsmanError(f"the hindsight bound needs prices.{name} of at least 0, got {price}")
    return prices


def _episode(problem: Problem, prices: dict[str, float], seed: int, index: int, parts: int, rounds: int) -> float:
    requests, starts = known(problem, seed, index)
    if not len(requests):
        return 0.0
    found = pairs(problem, prices, requests, starts)
    horizon, vehicles = problem.params.horizon, problem.params.vehicles
    cuts = [np.linspace(0.0, horizon, 2**k + 1) for k in range(int(np.log2(parts)) + 1)]
    windows = [(a, b) for cut in cuts for a, b in zip(cut[:-1], cut[1:], strict=True)]
    taken = np.stack([least_overlap(found, *window) for window in windows])
    most = np.array([vehicles * (b - a) for a, b in windows])
    worth, best = np.zeros(len(windows)), -np.inf
    scale = np.abs(found.gain[np.isfinite(found.gain)]).mean() / max(found.minutes.mean(), 1e-9)
    for k in range(rounds):
        cost = np.minimum(found.gain + np.tensordot(worth, taken, 1), 0.0)  # 0: it is not served
        before, request = linear_sum_assignment(cost)
        served = cost[before, request] < 0.0
        total = found.unserved + float(cost[before, request].sum()) - float(worth @ most)
        best = max(best, total)
        used = taken[:, before[served], request[served]].sum(1)
        worth = np.maximum(worth + scale / (1.0 + 0.2 * k) * (used - most) / most, 0.0)
    return best


def known(problem: Problem, seed: int, index: int) -> tuple[F, F]:
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


def pairs(problem: Problem, prices: dict[str, float], requests: F, starts: F) -> Pairs:
    """What serving each request after each predecessor costs and takes at least."""
    p, vehicles = problem.params, len(starts)
    since, deadline, pace = (requests[:, k] for k in (kernel.SINCE, kernel.DEADLINE, kernel.PACE_OF))
    # In batches nothing is decided before the next one.
    first = np.ceil(since / p.batch) * p.batch if p.batch > 0 else since
    last = np.minimum(deadline, p.horizon)
    trip = (requests[:, kernel.KM] * p.minutes_per_km + p.service_minutes) * pace
    place = np.concatenate([starts, requests[:, [kernel.TO_X, kernel.TO_Y]]])
    away = place[:, None] - requests[None, :, [kernel.X, kernel.Y]]
    empty = p.detour * np.hypot(away[..., 0], away[..., 1])
    pickup = empty * p.minutes_per_km * pace
    possible = np.ones(empty.shape, bool)
    possible[vehicles:] = (first + trip)[:, None] <= last
    possible[vehicles:][np.diag_indices(len(requests))] = False
    soonest = np.where(possible, pickup, np.inf).min(0, initial=np.inf)
    free = np.concatenate([np.zeros(vehicles), first + np.where(np.isfinite(soonest), soonest, 0.0) + trip])
    decided = np.maximum(free[:, None], first)
    possible &= decided <= last
    fare = sum(prices[name] * quantity for name, quantity in (
        ("served", 1.0), ("value", requests[:, kernel.WORTH_OF]), ("loaded_km", requests[:, kernel.KM])
    ))  # fmt: skip
    serving = fare + prices["empty_km"] * empty + prices["pickup_minutes"] * pickup
    serving = serving + prices["waiting_minutes"] * (decided - since)
    wait = prices["waiting_minutes"]
    stays = np.where(deadline > p.horizon, wait * (p.horizon - since), prices["lost/abandoned"] + wait * (deadline - since))
    unserved = np.minimum.reduce([stays, np.full(len(since), prices["lost/refused"]), np.full(len(since), prices["lost/turned_away"])])
    gain = np.where(possible, serving - unserved, np.inf)
    return Pairs(gain, decided, last, pickup + trip, float(unserved.sum() + prices["arrived"] * len(since)))


def least_overlap(found: Pairs, begin: float, end: float) -> F:
    """Minutes [P, n] of a window that a pair takes whenever it is decided: as a function of that they rise, stay and fall."""

    def overlap(decided: F) -> F:
        return np.clip(np.minimum(decided + found.minutes, end) - np.maximum(decided, begin), 0.0, None)

    return np.where(np.isfinite(found.gain), np.minimum(overlap(found.first), overlap(found.last[None, :])), 0.0)
