"""No finite chain, as what runs remembers since when; instead, lower bounds on what any scheduler must let jobs wait.

Squash the cluster into one machine that may serve a job at any speed and put it back at any time. The work of a job on it
is its share of the cluster times its duration: its area. Every schedule of the cluster is one of that machine, so the best
of that machine is a bound. Two of its optima are known, at every horizon at once:

- the least sum of weight times unfinished fraction, by always serving the job of the highest weight over area (mean busy
  times: Goemans 1997); a job that runs from S to S + p on the cluster is on average done at S + p/2;
- the least number of jobs in the system, by the shortest remaining area (Schrage 1968), less those that run.

Any weighting of the resources gives a machine, and so does any function of shares that adds up to at most 1 over jobs that
run together: of jobs with more than half of a resource there is one at most (Fekete and Schepers 2001, dual feasible
functions). The largest bound counts.
"""

import heapq
from itertools import product
from typing import Any

import numpy as np

from pointsman.envs.arrays import Floats
from pointsman.envs.cluster import kernel
from pointsman.envs.core import BatchEnv
from pointsman.envs.problem import Problem
from pointsman.errors import PointsmanError

PRICED = {"waiting_time", "slowdown"}


def chain(problem: Problem, size: int) -> Any:
    """An error: what runs remembers since when."""
    del size
    raise PointsmanError(f"{problem.id} has no exact solution here: how long each job has run is part of its state")


def arrivals(problem: Problem, episodes: int, seed: int, first: int = 0) -> list[Floats]:
    """The jobs of episodes as `evaluation.rollout` numbers them, rows [arrival, duration, share of each resource ...]."""
    env = BatchEnv(problem, episodes, indices=first + np.arange(episodes), autoreset=False)
    env.reset(seed=seed)
    p, found = problem.params, []
    for i in range(episodes):
        jobs: list[list[float]] = []
        clock = 0.0
        env.state.records[i] = 0
        while True:
            kernel.draw(p, env.state, env.record, i)
            clock += env.record.gap[i] if jobs else 0.0
            if not clock <= p.horizon or clock == np.inf:
                break
            jobs.append([clock, env.record.duration[i], *(env.record.demand[i] * p.unit)])
            env.state.records[i] += 1
        found.append(np.array(jobs))
    return found


def bound(problem: Problem, episodes: int, seed: int, first: int = 0) -> Floats:
    """A cost [E] in whole episodes that no policy can go below; only for prices of waiting and slowdown."""
    prices = {name: price for name, price in problem.prices.items() if price}
    if not set(prices) <= PRICED or min(prices.values(), default=0.0) < 0 or problem.warmup > 0:
        raise PointsmanError(f"the bound is for prices of {' and '.join(sorted(PRICED))} without a warm-up, not {prices}")
    resources, horizon = len(problem.params.capacity), problem.params.horizon
    weightings = np.unique(np.vstack([np.eye(resources), np.ones(resources) / resources]), axis=0)
    shares = (lambda share: share, lambda share: np.where(share > 0.5, 1.0, np.where(share == 0.5, 0.5, 0.0)))
    found = np.zeros(episodes)
    for e, jobs in enumerate(arrivals(problem, episodes, seed, first)):
        arrival, duration = jobs[:, 0], jobs[:, 1]
        weight = prices.get("waiting_time", 0.0) + prices.get("slowdown", 0.0) / np.maximum(duration, problem.params.floor)
        for weighting, of in product(weightings, shares):
            area = duration * (of(jobs[:, 2:]) @ weighting)
            some = area > 0  # others are done on it as soon as they come
            if not some.any():
                continue
            parts = arrival[some], duration[some], area[some], weight[some]
            found[e] = max(found[e], mean_busy(*parts, horizon), shortest_remaining(*parts, horizon))
    return found


def mean_busy(arrival: Floats, duration: Floats, area: Floats, weight: Floats, horizon: float) -> float:
    """Least weighted waiting until the horizon, by mean busy times on the squashed machine."""
    run = np.minimum(duration, horizon - arrival)
    # A job that runs, or is cut off by the horizon, is unfinished for this long without waiting.
    own = float((weight * (run - run**2 / (2.0 * duration))).sum())
    return serve(arrival, area, weight, horizon, lambda j, left: -weight[j] / area[j], fractions=True) - own


def shortest_remaining(arrival: Floats, duration: Floats, area: Floats, weight: Floats, horizon: float) -> float:
    """Least waiting until the horizon by the number in the system, each job at the least of the weights."""
    run = np.minimum(duration, horizon - arrival)
    count = serve(arrival, area, np.ones_like(area), horizon, lambda j, left: left, fractions=False)
    return float(weight.min() * (count - run.sum()))


def serve(arrival: Floats, area: Floats, weight: Floats, horizon: float, key: Any, fractions: bool) -> float:
    """Integral over time of the weights of unfinished jobs, or of what is left of each, while the lowest key is served."""
    queue: list[tuple[float, int, float]] = []  # key, job, work left
    clock, inside, total, n = 0.0, 0.0, 0.0, 0
    while n < len(arrival) or queue:
        if not queue:
            clock = arrival[n]
        while n < len(arrival) and arrival[n] <= clock:
            heapq.heappush(queue, (key(n, area[n]), n, area[n]))
            inside += weight[n]
            n += 1
        if clock >= horizon:
            break
        _, j, left = heapq.heappop(queue)
        until = min(clock + left, arrival[n] if n < len(arrival) else np.inf, horizon)
        span = until - clock
        total += inside * span
        if fractions:
            total -= 0.5 * weight[j] / area[j] * span**2
            inside -= weight[j] * span / area[j]
        left = 0.0 if until == clock + left else left - span
        if left > 0.0:
            heapq.heappush(queue, (key(j, left), j, left))
        elif not fractions:
            inside -= weight[j]
        clock = until
    return float(total)
