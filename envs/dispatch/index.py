"""The index rule: automate iff that is cheaper than what one more request costs the people.

With instant automation and one team this is "automate iff p > (c_a + c_b) / (c_b + c_H + D(n))": c_a, c_b and c_H are the
prices of an attempt, a bounce and an entry, and D(n) = V(n + 1) - V(n) is what one more request costs a team that has n.
V is that of an M/M/N+M queue, team by team, as if the present hour lasted for ever (pointwise stationary), each with
a share of the arrivals in proportion to its capacity. A few rounds of policy iteration let arrivals depend on n as well.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from pointsman.envs.arrays import Floats
from pointsman.envs.dispatch.rules import Dispatch
from pointsman.envs.ledger import Ledger
from pointsman.envs.problem import Problem
from pointsman.envs.rule import Parameter

BEYOND = 100
"""Requests in the queue up to which D is tabulated; beyond it stays as it is there."""


CELLS = 25
"""Cells into which continuous scores are gathered."""


class Prices(NamedTuple):
    """Cost of an attempt, bounce, entry, forward and undetected error, of a minute in the queue, and of an abandonment."""

    attempt: float
    bounce: float
    entry: float
    forward: float
    undetected: float
    waiting: float
    abandoned: float

    @classmethod
    def of(cls, problem: Problem) -> "Prices":
        """Where the price depends on the class, the mean."""
        ledger = Ledger(problem.columns)
        vector = ledger.price_vector(problem.prices)
        names = (
            "automation_attempts",
            "bounces",
            "human_entries",
            "forwards",
            "undetected_errors",
            "waiting_minutes",
            "abandoned",
        )
        return cls(*(float(vector[ledger[name]].mean()) if name in ledger else 0.0 for name in names))


class Index(Dispatch):
    """Compares the costs of all that may be done with a request; `weight` is a factor on D, 1 for the theory."""

    space = {"weight": Parameter(0.0, 2.0)}
    fixed = {"team_choice": 0.0, "forward_from": 0.0}

    def __init__(self, problem: Problem, **values: Any):
        super().__init__(problem, **values)
        self._prices, self._p = Prices.of(problem), problem.params
        self._handling = _mean_handling(self._p)
        self._work = _mean_work(self._p, self._handling)
        self.marginal = marginal_costs(problem)
        """D [J, R, H, people, n]; may be replaced, say by that of an exact solution."""

    def _marginals(self, observation: Any) -> Floats:
        """D of each team as it is now, times the weight: [N, J]."""
        teams, regimes, slots, people, n = self.marginal.shape
        rows = len(observation)
        regime = self.column(observation, "regime").astype(np.int64) if regimes > 1 else np.zeros(rows, np.int64)
        slot = np.zeros(rows, np.int64)
        if slots > 1:
            slot = (self.column(observation, "hour_of_week") * (60.0 / self._p.slot_minutes)).astype(np.int64) % slots
        staff = np.broadcast_to(self.people(observation), (rows, teams)).astype(np.int64)
        place = np.minimum(self.requests(observation).astype(np.int64), n - 1)
        found = self.marginal[np.arange(teams), regime[:, None], slot[:, None], np.minimum(staff, people - 1), place]
        return found * np.reshape(self.values["weight"], (-1, 1))

    def _failure(self, score: Any, marginal: Any) -> Any:
        """Cost of automation: the attempt, and what follows if it fails."""
        c, p = self._prices, self._p
        fails = 1.0 - (score * p.success[1] + (1.0 - score) * p.success[0])
        bounced = c.bounce + c.entry + p.bounce_effort * marginal
        return c.attempt + fails * ((1.0 - p.unnoticed) * bounced + p.unnoticed * c.undetected)

    def decide(self, observation: Any, mask: Any) -> Any:
        """The cheapest of what the mask allows."""
        p, d, rows = self._p, self._marginals(observation), np.arange(len(observation))
        teams = d.shape[1]
        kind, score = self.kind(observation), self.column(observation, "score").astype(np.float64)
        hard, easy = self._handling[kind].T
        mine = (hard * (1.0 - score) + easy * score)[:, None] * np.where(np.isfinite(p.effort), p.effort, 0.0)[:, kind].T
        size = mine / self._work
        cost = np.full((len(rows), mask.shape[1]), np.inf)
        cost[:, 0] = self._failure(score, (d * size)[rows, p.bounce_team[kind]])
        cost[:, 1 : 1 + teams] = self._prices.entry + d * size
        if p.pickup:
            # Nobody has the request yet: who forwards it is free after the time that this takes.
            own = self.at_teams(observation, "pickup").argmax(1)
            kept, passing = (d * size)[rows, own], (d / self._work)[rows, own] * p.forward_minutes
            cost[:, 1 + teams] = kept
            cost[:, 2 + teams] = self._prices.forward + passing + self._failure(1.0, (d * size)[rows, p.bounce_team[kind]])
        return np.where(mask, cost, np.inf).argmin(1)


def _mean_handling(p: Any) -> Floats:
    """Mean base handling [K, 2], hard and easy."""
    return p.handling * np.exp(p.handling_sigma**2 / 2.0)[:, None]


def _share(p: Any) -> Floats:
    """Mean share of each class, [K]."""
    return np.diff(p.class_cumulative, prepend=0.0, axis=1).mean(0)


def _mean_work(p: Any, base: Floats) -> Floats:
    """Mean minutes of each team over the requests that it may have, [J]."""
    able = np.isfinite(p.effort)
    weight = able * _share(p)
    minutes = np.where(able, p.effort, 0.0) * (base[:, 0] * (1.0 - p.easy_share) + base[:, 1] * p.easy_share)
    return (minutes * weight).sum(1) / np.maximum(weight.sum(1), 1e-12)


def score_points(p: Any) -> tuple[Floats, Floats]:
    """Values of the probability of easy, and their weights."""
    if len(p.bin_easy):
        return p.bin_score, np.diff(p.bin_cumulative, prepend=0.0)
    evidence = np.linspace(-5.0, 5.0, 61)
    points, weights = [], []
    for share, easy in zip(_share(p), p.easy_share, strict=True):
        density = [w * np.exp(-((evidence - m * p.separation) ** 2) / 2) for w, m in ((easy, 0.5), (1 - easy, -0.5))]
        points.append(1.0 / (1.0 + np.exp(-(math.log(easy / (1 - easy)) + p.separation * evidence))))
        weights.append(share * (density[0] + density[1]))
    point, weight = np.concatenate(points), np.concatenate(weights)
    cell = np.minimum((point * CELLS).astype(int), CELLS - 1)
    total = np.bincount(cell, weight, CELLS)
    kept = total > 0
    return np.bincount(cell, weight * point, CELLS)[kept] / total[kept], total[kept] / total.sum()


def marginal_costs(problem: Problem, rounds: int = 8) -> Floats:
    """D [J, R, H, people, n]: the cost of one more request at a team that has n, by regime, slot and people on duty."""
    p, c = problem.params, Prices.of(problem)
    point, weight = score_points(p)
    fails = 1.0 - (point * p.success[1] + (1.0 - point) * p.success[0])
    noticed = fails * (1.0 - p.unnoticed)
    slots = max(p.staff.shape[1], p.arrival_rate.shape[1])
    staff = np.repeat(p.staff, slots, 1) if p.staff.shape[1] == 1 else p.staff
    rate = np.repeat(p.arrival_rate, slots, 1) if p.arrival_rate.shape[1] == 1 else p.arrival_rate
    work = _mean_work(p, _mean_handling(p))
    capacity = staff / work[:, None] + 1e-9
    flow = rate[None] * (capacity / capacity.sum(0))[:, None]  # [J, R, H]
    most = int(math.ceil(p.staff.max()))
    people = np.arange(most + 1.0)[:, None]
    size = most + BEYOND
    n = np.arange(size + 1.0)
    leaving = float((_share(p) / p.patience).sum())
    waiting = np.maximum(n - people, 0.0)  # [people, n]
    found = np.empty((*flow.shape, most + 1, size))
    for j in range(len(flow)):
        death = np.minimum(n, people) / work[j] + waiting * leaving
        death[:, 1:] = np.maximum(death[:, 1:], 1e-6)
        held = waiting * (c.waiting + c.abandoned * leaving)
        lam, where = np.unique(flow[j], return_inverse=True)
        d = np.zeros((len(lam), most + 1, size + 1))
        for _ in range(rounds):
            to_people = c.entry + d[..., None]
            automated = c.attempt + noticed * (c.bounce + c.entry + p.bounce_effort * d[..., None])
            automated = automated + (fails - noticed) * c.undetected
            uses = (automated < to_people) if p.automation_capacity > 0 else np.zeros(automated.shape, bool)
            enters = np.where(uses, noticed, 1.0) @ weight
            lump = np.where(uses, c.attempt + noticed * (c.bounce + c.entry) + (fails - noticed) * c.undetected, c.entry) @ weight
            d = _difference(lam[:, None, None], enters, lump, held, death)
        found[j] = d[np.reshape(where, flow[j].shape)][..., :size]
    return found


def _difference(flow: Any, enters: Floats, lump: Floats, held: Floats, death: Floats) -> Floats:
    """V(n + 1) - V(n) of birth-death queues that turn requests away at the last n; all [rates, people, n]."""
    birth = flow * enters
    cost = held + flow * lump
    birth[..., -1] = 0.0
    scale = np.zeros_like(birth)
    scale[..., 1:] = np.cumsum(np.log(np.maximum(birth[..., :-1], 1e-300)) - np.log(death[..., 1:]), -1)
    share = np.exp(scale - scale.max(-1, keepdims=True))
    gain = (share * cost).sum(-1) / share.sum(-1)
    d = np.zeros_like(birth)
    for n in range(birth.shape[-1] - 1, 0, -1):
        d[..., n - 1] = (cost[..., n] - gain + birth[..., n] * d[..., n]) / death[..., n]
    d[..., -1] = d[..., -2]
    return d
