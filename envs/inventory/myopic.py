"""Myopic rules for lost sales: the order that costs least in the period when it arrives, or in that one and the next.

Morton (1971), "The near-myopic nature of the lagged-proportional-cost inventory problem with lost sales"; Zipkin (2008),
"Old and new methods for lost-sales inventory systems".
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.arrays import Floats, Integers
from pointsman.envs.problem import Problem
from pointsman.envs.rule import Rule

CHUNK = 50_000
"""States whose distributions are worked out side by side."""


class Myopic1(Rule):
    """The least expected cost of the period in which the order arrives; nothing to tune.

    A unit sold must be bought again, so what a lost sale costs is its penalty less the price of a unit; fixed costs are left
    out. Decisions are remembered, as states come back.
    """

    def __init__(self, problem: Problem, **values: Any):
        super().__init__(problem, **values)
        p, prices = problem.params, problem.prices
        self.lead, self.quantity = int(p.lead[0]), p.quantity[0][: p.choices[0]]
        self.value, self.probability = p.demand_value, np.diff(p.demand_cumulative, prepend=0.0)
        self.holding = prices.get("held", 0.0)
        self.penalty = prices.get("lost", 0.0) - prices.get("ordered/regular", prices.get("ordered", 0.0))
        self.known: dict[bytes, int] = {}
        self.places = 0

    def decide(self, observation: Any, mask: NDArray[np.bool_]) -> Integers:
        states = np.ascontiguousarray(observation, np.int64)
        keys = [row.tobytes() for row in states]
        fresh = list({key: k for k, key in enumerate(keys) if key not in self.known}.values())
        if fresh:
            for k, action in zip(fresh, self.costs(states[fresh]).argmin(1), strict=True):
                self.known[keys[k]] = int(action)
        return np.minimum([self.known[key] for key in keys], mask.sum(1) - 1)

    def costs(self, states: Integers) -> Floats:
        """What each order costs, as far as the rule looks, [R, A] for states [R, L] of stock and units due."""
        return self.arrival_costs(states)

    def arrival_costs(self, states: Integers) -> Floats:
        """Expected cost of the period in which an order arrives [R, A]."""
        self._prepare(int(states.sum(1).max()) + 1)
        parts = [self._arrival_costs(states[k : k + CHUNK]) for k in range(0, len(states), CHUNK)]
        return np.concatenate(parts)

    def _prepare(self, places: int) -> None:
        """What one period does to stocks of 0 to `places` - 1, and what it costs."""
        if places <= self.places:
            return
        self.places = places
        at, most = np.arange(places), int(self.quantity[-1])
        # Stock after demand: left[x, y] = P((x - demand)+ = y).
        self.left = np.zeros((places, places))
        for value, probability in zip(self.value, self.probability, strict=True):
            self.left[at, np.maximum(at - value, 0)] += probability
        stock = np.arange(places + most)[:, None]
        each = self.holding * np.maximum(stock - self.value, 0) + self.penalty * np.maximum(self.value - stock, 0)
        self.period = each @ self.probability

    def _arrival_costs(self, states: Integers) -> Floats:
        share = np.zeros((len(states), self.places))
        share[np.arange(len(states)), states[:, 0]] = 1.0
        for k in range(self.lead):
            share = share @ self.left
            if k + 1 < self.lead:
                source = np.arange(self.places) - states[:, k + 1, None]
                share = np.where(source >= 0, np.take_along_axis(share, np.maximum(source, 0), 1), 0.0)
        found: Floats = share @ self.period[np.arange(self.places)[:, None] + self.quantity]
        return found


class Myopic2(Myopic1):
    """The least expected cost of the period in which the order arrives and of the next, to which the next order is fitted."""

    def costs(self, states: Integers) -> Floats:
        rows = max(CHUNK // (len(self.quantity) * len(self.value)), 1)
        return np.concatenate([self._costs(states[k : k + rows]) for k in range(0, len(states), rows)])

    def _costs(self, states: Integers) -> Floats:
        quantity, value = self.quantity[:, None], self.value
        following = np.zeros((len(states), len(quantity), len(value), states.shape[1]), np.int64)
        following[..., :-1] = states[:, None, None, 1:]
        stock = states[:, 0, None, None] + (quantity if self.lead == 0 else 0)
        if self.lead > 0:
            following[..., self.lead - 1] += quantity
        following[..., 0] += np.maximum(stock - value, 0)
        # Any demand above the stock leaves nothing: many of these are the same.
        ahead, place = np.unique(following.reshape(-1, states.shape[1]), axis=0, return_inverse=True)
        best = self.arrival_costs(ahead).min(1)[place.reshape(following.shape[:-1])]
        found: Floats = self.arrival_costs(states) + best @ self.probability
        return found
