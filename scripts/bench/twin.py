"""dispatch/mini as one would write it in plain Python: what gymnasium's SyncVectorEnv steps in the benchmark."""

import heapq
from collections.abc import Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from pointsman import envs


class Request(NamedTuple):
    """A request that arrives `gap` minutes after the one before."""

    gap: float
    score: float
    easy: bool
    handling: float
    patience: float


class Desk(gymnasium.Env[NDArray[np.float32], np.int64]):
    """One team and one automation; requests come from `records` or, without these, from the generator of `reset`."""

    def __init__(self, records: Iterator[Request] | None = None):
        config = envs.configure("dispatch/mini")
        kind, score, self.prices = config["classes"]["request"], config["score"], config["prices"]
        self.means = 1.0 / config["arrival_rate"], kind["handling_minutes"], kind["patience_minutes"]
        self.bins, self.edges = score["bins_easy_probability"], np.cumsum(score["bins_weight"])
        self.staff, self.horizon = config["teams"]["people"]["staff"], config["horizon_minutes"]
        self.records = records
        self.observation_space = gymnasium.spaces.Box(0.0, np.inf, (3,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """An empty desk, and the first request."""
        super().reset(seed=seed, options=options)
        self.busy: list[float] = []  # clocks at which people will be free, as a heap
        self.queue: list[tuple[float, float, float]] = []  # entered, out of patience, minutes of work
        self.request = self._next()
        self.clock = self.request.gap
        return self._seen(), {}

    def step(self, action: np.int64) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Send the request to automation (0) or to the people (1), and run to the next."""
        prices, request, since, self.cost = self.prices, self.request, self.clock, 0.0
        if action == 0:
            self.cost += prices["automation_attempts"] + (0.0 if request.easy else prices["bounces"])
        if action == 1 or not request.easy:
            self.cost += prices["human_entries"]
            if len(self.busy) < self.staff:
                heapq.heappush(self.busy, self.clock + request.handling)
            else:
                self.queue.append((self.clock, self.clock + request.patience, request.handling))
        self.request = self._next()
        end = since + self.request.gap
        while self.busy and self.busy[0] < end:
            free = heapq.heappop(self.busy)
            while self.queue and len(self.busy) < self.staff:
                if self._waited(self.queue[0], since, free):
                    heapq.heappush(self.busy, free + self.queue[0][2])
                del self.queue[0]
        self.queue = [one for one in self.queue if self._waited(one, since, end)]
        self.clock = end
        return self._seen(), -self.cost, False, self.clock >= self.horizon, {}

    def _waited(self, one: tuple[float, float, float], since: float, now: float) -> bool:
        """Charge for the waiting of one in the queue from `since` to `now`; is it still there?"""
        entered, deadline, _ = one
        self.cost += self.prices["waiting_minutes"] * (min(deadline, now) - max(entered, since))
        if deadline <= now:
            self.cost += self.prices["abandoned"]
        return deadline > now

    def _next(self) -> Request:
        if self.records is not None:
            return next(self.records)
        gap, handling, patience = self.np_random.exponential(self.means)
        score = self.bins[int(np.searchsorted(self.edges, self.np_random.random()))]
        return Request(gap, score, self.np_random.random() < score, handling, patience)

    def _seen(self) -> NDArray[np.float32]:
        return np.array([self.request.score, len(self.busy), len(self.queue)], np.float32)
