"""The clairvoyant bound: no policy, even one that knows all arrivals beforehand, costs less over the same episode.

A dynamic programme over ready replicas and backlog, which is easier on the decision maker than the simulation: a replica
costs its start-up as it gets ready, and replicas may be started again and again without a thought for others that start;
backlogs are rounded down to a grid and capped at its end. Costs never fall with the backlog, so that all of it only lowers
the bound. With start-ups that take a random time, or no whole number of control intervals, any number may get ready at any tick.
"""

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.arrays import Floats
from pointsman.envs.autoscaling.kernel import NOTHING, Params
from pointsman.envs.compiled import batched
from pointsman.envs.core import BatchEnv
from pointsman.envs.problem import Problem
from pointsman.errors import PointsmanError

CELLS, PER_TICK = 320, 4
"""Places of the grid of backlogs, and how many of them are one replica's work in a tick."""
NEGLIGIBLE = 1e-5
"""Late work below this is not held against the minute: rounding errors of a day stay below it."""
BOUNDED = (
    "replica_hours", "starts", "stops", "cancelled", "scale_actions", "arrived", "waiting_minutes", "late", "late_minutes",
)  # fmt: skip
"""Ledger columns that may be priced; other prices, and negative ones but on arrivals, have no bound here."""


def clairvoyant(problem: Problem, episodes: int, seed: int, first: int = 0) -> Floats:
    """Lower bounds on the cost per minute of episodes `first`, first + 1 ... of the stream `seed`, [E]."""
    p: Params = problem.params
    if p.markov:
        raise PointsmanError(f"{problem.id} has an exact solution: use pointsman.solve")
    for name, price in problem.prices.items():
        if price != 0.0 and (name not in BOUNDED or (price < 0.0 and name != "arrived")):
            raise PointsmanError(f"prices.{name}={price}: the clairvoyant bound knows no such price")
    prices = {name: float(problem.prices.get(name, 0.0)) for name in BOUNDED}
    requests, work, initial = worlds(problem, episodes, seed, first)
    whole = p.start_spread == 0.0 and abs(p.start / p.control - round(p.start / p.control)) < NOTHING
    up = prices["starts"] + prices["replica_hours"] * p.start / 60.0
    weights = np.array(
        [up, prices["stops"], prices["replica_hours"], prices["waiting_minutes"], prices["late"], prices["late_minutes"]]
    )
    value, moved = np.zeros((2, p.most + 1, CELLS))
    total = np.empty(episodes)
    for e in range(episodes):
        found = _solve(p, requests[e], work[e], int(initial[e]), weights, p.ticks if whole else 1, value, moved)
        total[e] = found + prices["arrived"] * requests[e].sum()
    return total / (requests.shape[1] * p.tick)


def worlds(problem: Problem, episodes: int, seed: int, first: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Requests and work of every tick of episodes [E, ticks], which no action changes, and replicas at their start [E]."""
    env = BatchEnv(problem, episodes, indices=first + np.arange(episodes), autoreset=False, copy=False)
    env.reset(seed=seed)
    initial, hold = env.state.ready.copy(), np.full(episodes, problem.params.max_change)
    requests, work = [], []
    ended = False
    while not ended:
        ended = bool(env.step(hold)[3].all())
        requests.append(env.record.arrivals.copy())
        work.append(env.record.work.copy())
    return np.concatenate(requests, 1), np.concatenate(work, 1), initial


@batched
def _solve(p, requests, work, initial, weights, every, value, moved):
    """Least cost of one episode; `value` and `moved` [R + 1, CELLS] are scratch. Replicas may change every `every` ticks."""
    cell = p.tick / PER_TICK
    most = p.most
    rise = p.max_change if every == p.ticks else most
    for n in range(most + 1):
        for c in range(CELLS):
            value[n, c] = 0.0
    for t in range(work.shape[0] - 1, -1, -1):
        young, of, whose = 0.0, work[t], requests[t]
        if p.lag > 0:
            for back in range(min(p.lag, t + 1)):
                young += work[t - back]
            of = work[t - p.lag] if t >= p.lag else 0.0
            whose = requests[t - p.lag] if t >= p.lag else 0.0
        for n in range(most + 1):
            for c in range(CELLS):
                before = c * cell
                after = max(before + work[t] - n * p.tick, 0.0)
                late = min(of, max(after - young, 0.0)) if p.lag > 0 else min(of, after)
                cost = weights[2] * n * p.tick / 60.0 + weights[3] * 0.5 * (before + after) * p.tick / p.service
                if late > NEGLIGIBLE:
                    cost += weights[4] * whose * late / of + weights[5] * p.tick
                moved[n, c] = cost + value[n, min(int(after / cell + NOTHING), CELLS - 1)]
        early = t * p.tick < p.start - NOTHING
        free = t % every == 0
        fall = p.max_change if t % p.ticks == 0 else 0
        for n in range(most + 1):
            low = max(n - fall, 0)
            high = min(n + (0 if early else rise), most) if free else n
            for c in range(CELLS):
                value[n, c] = moved[n, c]
            for m in range(low, high + 1):
                price = weights[0] * (m - n) if m > n else weights[1] * (n - m)
                for c in range(CELLS):
                    value[n, c] = min(value[n, c], price + moved[m, c])
    return value[initial, 0]
