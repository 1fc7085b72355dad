"""Dynamics of periodic-review inventory of one item, stated once; the unit of time is the review period.

A period: what is due arrives; the order is placed, knowing the stock; an order with lead time 0 arrives at once; demand
comes and is filled from stock; what is left is held, what is short waits (up to `backlog_limit`) or is lost. An order
with lead time L placed in period t is there before the order of period t + L is placed.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.arrays import Floats, Integers
from pointsman.envs.checks import UNLIMITED
from pointsman.envs.compiled import batched, inlined, rests
from pointsman.envs.noise import CLOCK_RECORD, episode_key, mix, uniform

DEMAND, FILLED, LOST, BACKLOGGED, HELD, PERIODS = range(6)
PLAIN = (
    "demand",
    "filled",  # from stock, at once
    "lost",
    "backlogged",  # units waiting at the end of the period
    "held",  # units in stock at the end of the period
    "periods",
)
PER_SOURCE = ("ordered", "orders")
"""Ledger families by source: units ordered, and orders placed."""
FULL: dict[int, str] = {}


class Params(NamedTuple):
    """P sources, A most choices of a source, D values of demand, G places of the guide, T recorded periods (0: drawn)."""

    lead: Integers  # [P] lead time
    choices: Integers  # [P] number of actions
    quantity: Integers  # [P, A] units that an action orders, ascending from 0
    order_limit: Integers  # [P] units in one order
    position_limit: int  # units in stock and on order together, less those that wait, after an order
    backlog_limit: int  # units that wait; what exceeds it is lost (0: lost sales)
    demand_value: Integers  # [D] ascending
    demand_cumulative: Floats  # [D]
    guide: Integers  # [G] the first value whose cumulative probability exceeds k / G
    trace: Integers  # [T] demand as recorded
    start: int  # units in stock at reset
    horizon: float


class Record(NamedTuple):
    """What one period brings, [N]."""

    demand: Integers


class State(NamedTuple):
    """N rows."""

    key: NDArray[np.uint64]  # [N] of the episode
    records: Integers  # [N] periods so far
    first: Integers  # [N] recorded period at which the episode starts
    stock: Integers  # [N] on hand; negative: units that wait
    due: Integers  # [N, L] units that arrive in 1, 2 ... L periods, L being the longest lead time


def allocate(params: Params, n: int) -> tuple[State, Record]:
    """Zeroed state and record for `n` rows."""

    def ints(*shape: int) -> Integers:
        return np.zeros((n, *shape), np.int64)

    return State(np.zeros(n, np.uint64), ints(), ints(), ints(), ints(int(params.lead.max()))), Record(ints())


def ledger_columns(sources: list[str]) -> list[str]:
    """Names of the ledger's columns."""
    return [*PLAIN, *(f"{family}/{name}" for family in PER_SOURCE for name in sources)]


def observation_names(params: Params) -> list[str]:
    """Names of the observation's entries, in the order in which `observe` writes them."""
    return ["stock", *(f"due_{k}" for k in range(1, int(params.lead.max())))]


@inlined
def draw(params, state, record, i):
    """Record number `state.records[i]`: recorded, or by inversion with a guide table (Chen and Asau 1974)."""
    periods = params.trace.shape[0]
    if periods > 0:
        record.demand[i] = params.trace[(state.first[i] + state.records[i]) % periods]
    else:
        u = uniform(mix(state.key[i], state.records[i]), 0)
        k = params.guide[np.int64(u * params.guide.shape[0])]
        while u >= params.demand_cumulative[k]:
            k += 1
        record.demand[i] = params.demand_value[k]


@inlined
def step(params, state, action, record, out, i):
    """Place the orders action[i], meet the demand of the record, and take in what is due next."""
    ledger, sources, longest = out.ledger, params.lead.shape[0], state.due.shape[1]
    stock = state.stock[i]
    for s in range(sources):
        units = params.quantity[s, action[i, s]]
        if params.lead[s] == 0:
            stock += units
        else:
            state.due[i, params.lead[s] - 1] += units
        ledger[i, len(PLAIN) + s] = units
        ledger[i, len(PLAIN) + sources + s] = 1.0 if units > 0 else 0.0
    demand = record.demand[i]
    left = stock - demand
    lost = max(-left - params.backlog_limit, 0)
    left += lost
    ledger[i, DEMAND] = demand
    ledger[i, FILLED] = min(demand, max(stock, 0))
    ledger[i, LOST] = lost
    ledger[i, BACKLOGGED] = max(-left, 0)
    ledger[i, HELD] = max(left, 0)
    ledger[i, PERIODS] = 1.0
    ledger[i, len(PLAIN) + 2 * sources] = 0.0  # illegal actions, which the engine counts
    if longest > 0:
        left += state.due[i, 0]
        for k in range(longest - 1):
            state.due[i, k] = state.due[i, k + 1]
        state.due[i, longest - 1] = 0
    state.stock[i] = left
    state.records[i] += 1
    out.elapsed[i] = 1.0
    out.terminated[i] = False
    out.truncated[i] = state.records[i] >= params.horizon


@inlined
def reset(params, state, i, seed, index, episode):
    """Start an episode with the configured stock and nothing on order; recorded demand starts at a period drawn at random."""
    state.key[i] = episode_key(seed, index, episode)
    state.records[i], state.stock[i] = 0, params.start
    for k in range(state.due.shape[1]):
        state.due[i, k] = 0
    periods = params.trace.shape[0]
    if periods > 0:
        state.first[i] = np.int64(uniform(mix(state.key[i], CLOCK_RECORD), 0) * periods)


@inlined
def see(state, observation, i):
    """Write what operations would see of row i; returns the position."""
    position = state.stock[i]
    observation[i, 0] = position
    for k in range(state.due.shape[1] - 1):
        observation[i, 1 + k] = state.due[i, k]
        position += state.due[i, k]
    return position


@inlined
def limited(params):
    """Whether some orders may be illegal; where none is, masks stay as reset wrote them."""
    most = UNLIMITED
    for s in range(params.lead.shape[0]):
        most = min(most, params.order_limit[s])
    return min(most, params.position_limit) < UNLIMITED


@inlined
def observe(params, state, observation, mask, i):
    """Write what operations would see of row i, and which actions are legal."""
    position, place = see(state, observation, i), 0
    for s in range(params.lead.shape[0]):
        most = min(params.order_limit[s], max(params.position_limit - position, 0))
        for a in range(params.choices[s]):
            mask[i, place + a] = params.quantity[s, a] <= most
        place += params.choices[s]


@batched
def advance(params, state, record, action, out, first, last, autoreset):
    """Step rows first..last-1, and reset those that ended; `out` is problem.Outputs. Returns (-1, 0): no buffer can be full."""
    parts, may_limit = action.reshape((out.mask.shape[0], -1)), limited(params)
    for i in range(np.uint64(first), np.uint64(last)):
        if rests(out, i, autoreset):
            continue
        draw(params, state, record, i)
        step(params, state, parts, record, out, i)
        if autoreset and out.truncated[i]:
            observe(params, state, out.final_observation, out.final_mask, i)
            out.episode[i] += 1
            reset(params, state, i, out.seed[i], out.stream[i], out.episode[i])
        if may_limit:
            observe(params, state, out.observation, out.mask, i)
        else:
            see(state, out.observation, i)
    return -1, 0


@batched
def apply(params, state, action, record, out, first, last):
    """Step rows whose records are given; nothing is drawn or reset."""
    parts = action.reshape((action.shape[0], -1))
    for i in range(first, last):
        step(params, state, parts, record, out, i)
        observe(params, state, out.observation, out.mask, i)


@batched
def reset_rows(params, state, record, out, rows):
    """Start the episodes out.episode[rows] of the rows named."""
    for i in rows:
        reset(params, state, i, out.seed[i], out.stream[i], out.episode[i])
        observe(params, state, out.observation, out.mask, i)
