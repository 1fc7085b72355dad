"""An inventory as a finite chain, enumerated from its kernel: what is simulated is what is solved."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.checks import UNLIMITED
from pointsman.envs.inventory import kernel
from pointsman.envs.inventory.demand import demand_of
from pointsman.envs.inventory.items import with_item
from pointsman.envs.inventory.params import prices, sources
from pointsman.envs.markov import Chain, enumerate_chain
from pointsman.envs.problem import Problem
from pointsman.errors import PointsmanError

LARGEST = 80_000_000
"""Triples of state, order and demand that a chain may have."""


def chain(problem: Problem, size: int) -> Chain:
    """The chain within bounds that no optimal policy leaves; where none are known, of positions and backlogs up to `size`.

    Backlogs beyond `size` are lost, which makes such a chain optimistic; no order lifts the position above it.
    """
    params, order, position = problem.params, *optimal_limits(problem)
    complete = position is not None and params.backlog_limit == 0
    params = params._replace(
        order_limit=np.minimum(params.order_limit, UNLIMITED if order is None else order),
        position_limit=min(params.position_limit, size if position is None else position),
        backlog_limit=min(params.backlog_limit, size),
        start=0,
    )
    codes = _Codes(params)
    joint = math.prod(int((row <= params.order_limit[s]).sum()) for s, row in enumerate(_choices(params)))
    triples = codes.states * joint * len(params.demand_value)
    if triples > LARGEST:
        raise PointsmanError(
            f"{problem.id} has up to {triples:,} states times orders times demands at size {size}, "
            f"more than the {LARGEST:,} that can be solved"
        )
    return enumerate_chain(_drawn(problem, params), codes)._replace(complete=complete)


def policy_chain(problem: Problem, size: int, choose: Callable[[Any, Any], NDArray[np.float64]], most: int) -> Chain:
    """The chain of one policy, of positions and backlogs up to `size`; choose(observation, mask) are its probabilities [S, A]."""
    params = problem.params
    params = params._replace(
        position_limit=min(params.position_limit, size), backlog_limit=min(params.backlog_limit, size), start=0
    )
    return enumerate_chain(_drawn(problem, params), _Codes(params), most, choose=choose)


def optimal_limits(problem: Problem) -> tuple[int | None, int | None]:
    """Units per order and units of position beyond which no optimal policy goes; None: not known.

    Without fixed costs no position is worth while beyond the quantile, at the ratio of penalty to penalty and holding cost, of
    demand over the longest lead time and review period: in the period when the last unit arrives it costs more to hold than it
    saves, whatever else is ordered meanwhile, and after that an order may be smaller by one. With lost sales nothing waits, so
    that for a single source the quantile of one period's demand bounds each order. Morton (1969); Zipkin (2008), "On the
    structure of lost-sales inventory models".
    """
    config = with_item(problem.config)
    given = {"lost": 0.0, "backlogged": 0.0} | prices(config)
    usual = {"held", "lost", "backlogged", "ordered/regular", "ordered/expedited"}
    every_unit = all((np.diff(units) == 1).all() for units in _choices(problem.params))
    if not every_unit or any(price for column, price in given.items() if column not in usual):
        return None, None
    lost = problem.params.backlog_limit == 0
    short = given["lost" if lost else "backlogged"]
    if short + given["held"] == 0:
        return None, None
    ratio, demand = short / (short + given["held"]), demand_of(config)
    position = demand.level(int(problem.params.lead.max()) + 1, ratio)
    return (demand.level(1, ratio) if lost and len(sources(config)) == 1 else None), position


def _drawn(problem: Problem, params: kernel.Params) -> Problem:
    """The problem within other limits, if its demand is drawn anew each period."""
    if problem.events is None:
        raise PointsmanError(f"{problem.id} has no exact solution here: its demand is recorded")
    return replace(problem, params=params, allocate=lambda n: kernel.allocate(params, n))


def _choices(params: kernel.Params) -> list[NDArray[np.int64]]:
    return [row[:size] for row, size in zip(params.quantity, params.choices, strict=True)]


class _Codes:
    """Whole numbers that name states, and a bound on how many there are."""

    def __init__(self, params: kernel.Params):
        most = np.minimum([units[-1] for units in _choices(params)], np.minimum(params.order_limit, params.position_limit))
        self.deepest = params.backlog_limit
        highest = len(most) * params.position_limit
        # What arrives in k periods may come from every source whose lead time is longer than k.
        self.bases = [self.deepest + highest + 1]
        self.bases += [int(most[params.lead > k].sum()) + 1 for k in range(1, int(params.lead.max()))]
        self.states = math.prod(self.bases)
        if self.states >= 2**63:
            raise PointsmanError("an inventory with so long a lead time and so large orders has no exact solution here")

    def __call__(self, state: kernel.State) -> NDArray[np.int64]:
        code = state.stock + self.deepest
        for k, base in enumerate(self.bases[1:]):
            code = code * base + state.due[:, k]
        return code
