"""A small fleet as a finite chain: zones that are single points, exponential times, one place to wait.

State: (what each vehicle does, the type of the request that waits or none, event), the event being nothing, an arrival of
some type, or a vehicle set free while a request waits. A type is a pair of zones; a vehicle is idle in a zone or, as times
are exponential, on its way to one with a mean of its own. A decision takes no time; then the uniformised chain stays
1 / Lambda. What is seen in a state is written by the kernel.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pointsman.envs.arrays import Floats, Integers
from pointsman.envs.core import BatchEnv
from pointsman.envs.fleet import kernel
from pointsman.envs.ledger import Ledger
from pointsman.envs.markov import Chain
from pointsman.envs.problem import Problem
from pointsman.errors import PointsmanError

LARGEST = 400_000
"""States that a chain may have."""


class Types(NamedTuple):
    """What the chain is made of: K types of requests; Z idle states of a vehicle and then the busy ones, B in all."""

    origin: Integers  # [K] zones
    destination: Integers  # [K]
    share: Floats  # [K] of the arrivals
    km: Floats  # [Z, Z]
    place: Integers  # [B] zone of an idle vehicle, or destination
    mean: Floats  # [B] minutes, 0: idle
    after: Integers  # [Z, K] what a vehicle in a zone does that is given a type


def types_of(p: kernel.Params) -> Types:
    """Types of requests that occur, and what vehicles may be doing."""
    origin_share = np.diff(p.origin_cumulative, prepend=0.0)
    flow = origin_share[:, None] * np.diff(p.destination_cumulative, prepend=0.0, axis=1)
    origin, destination = np.nonzero(flow > 0)
    zones = len(p.zone)
    away = p.zone[:, None, :2] - p.zone[None, :, :2]
    km = p.detour * np.hypot(away[..., 0], away[..., 1])
    total = (km[:, origin] + km[origin, destination]) * p.minutes_per_km + p.service_minutes
    busy: dict[tuple[int, float], int] = {}
    after = np.zeros((zones, len(origin)), np.int64)
    for z in range(zones):
        for k in range(len(origin)):
            key = (int(destination[k]), round(float(total[z, k]), 9))
            after[z, k] = busy.setdefault(key, zones + len(busy))
    place = np.array([*range(zones), *(zone for zone, _ in busy)])
    mean = np.array([*np.zeros(zones), *(minutes for _, minutes in busy)])
    return Types(origin, destination, flow[origin, destination], km, place, mean, after)


def chain(problem: Problem, size: int) -> Chain:
    """The chain, whatever the size; an error if the problem is not of this kind."""
    p, t, ledger = problem.params, _checked(problem), Ledger(problem.columns)
    kinds, doings, vehicles = len(t.origin), len(t.place), p.vehicles
    shape = (doings,) * vehicles + (kinds + 1, kinds + 2)
    states = int(np.prod(shape, dtype=object))
    if states > LARGEST:
        raise PointsmanError(f"{problem.id} has {states:,} states, more than the {LARGEST:,} that can be solved")
    *doing, waits, event = (axis.ravel() for axis in np.indices(shape))
    does = np.stack(doing, 1)
    arrival, freed = (event > 0) & (event <= kinds), (event == kinds + 1) & (waits > 0)
    hand = np.where(arrival, event - 1, np.where(freed, waits - 1, -1))
    rates = np.divide(1.0, t.mean, out=np.zeros(doings), where=t.mean > 0)
    total = p.arrival_rate[0] + vehicles * rates.max() + 1.0 / p.patience

    def state(does: Integers, waits: Integers, event: Any) -> Integers:
        found: Integers = np.ravel_multi_index((*does.T, waits, np.broadcast_to(event, len(does))), shape)
        return found

    drift, sojourn = _between(problem, t, ledger, does, waits, rates, total, state)
    rows = np.arange(states)
    transitions, booked, mask = [], [], np.zeros((states, vehicles + 2), bool)
    left = np.where(freed, 0, waits)  # who waits once the request at hand has gone

    def decided(action: int, legal: Any, does: Integers, waits: Integers, lump: Floats) -> None:
        mask[:, action] = legal
        jump = sparse.csr_array((np.ones(states), (rows, state(does, waits, 0))), (states, states))
        transitions.append(jump @ drift)
        booked.append(lump + jump @ sojourn)

    for v in range(vehicles):
        at = t.place[does[:, v]]
        legal = (hand >= 0) & (does[:, v] < len(p.zone))
        then = does.copy()
        then[:, v] = np.where(legal, t.after[at, hand], does[:, v])
        decided(v, legal, then, np.where(legal, left, waits), legal[:, None] * _trip(p, t, ledger, at, hand))
    stays = np.where(arrival & (waits == 0), event, waits)
    decided(vehicles, (hand < 0) | freed | (waits == 0), does, stays, np.zeros_like(sojourn))
    refused = np.zeros_like(sojourn)
    refused[:, ledger["lost/refused"]] = (hand >= 0)[:, None]
    decided(vehicles + 1, hand >= 0, does, np.where(hand >= 0, left, waits), refused)
    quantities = np.stack(booked, 1)
    return Chain(
        transition=tuple(transitions),
        ledger=quantities,
        cost=quantities @ ledger.price_vector(problem.prices),
        elapsed=np.full((states, vehicles + 2), 1.0 / total),
        observation=_seen(problem, t, does, waits, hand, arrival),
        mask=mask,
        decision=mask.sum(1) > 1,
    )


def _between(
    problem: Problem, t: Types, ledger: Ledger, does: Integers, waits: Integers, rates: Floats, total: float, state: Any
) -> tuple[Any, Floats]:  # fmt: skip
    """What happens in 1 / Lambda once all is decided: transitions [S, S], and expected quantities [S, C]."""
    p, kinds, zones, states = problem.params, len(t.origin), len(problem.params.zone), len(does)
    targets, flows = [], []
    for k in range(kinds):
        targets.append(state(does, waits, k + 1))
        flows.append(np.full(states, p.arrival_rate[0] * t.share[k]))
    for v in range(does.shape[1]):
        then = does.copy()
        then[:, v] = t.place[does[:, v]]
        targets.append(state(then, waits, np.where((waits > 0) & (does[:, v] >= zones), kinds + 1, 0)))
        flows.append(rates[does[:, v]])
    targets.append(state(does, np.zeros_like(waits), 0))
    flows.append((waits > 0) / p.patience)
    targets.append(state(does, waits, 0))
    flows.append(total - np.sum(flows, 0))
    rows = np.tile(np.arange(states), len(flows))
    drift = sparse.csr_array((np.concatenate(flows) / total, (rows, np.concatenate(targets))), (states, states))
    sojourn = np.zeros((states, len(problem.columns)))
    sojourn[:, ledger["arrived"]] = p.arrival_rate[0] / total
    sojourn[:, ledger["lost/abandoned"]] = ((waits > 0) / p.patience / total)[:, None]
    sojourn[:, ledger["waiting_minutes"]] = ((waits > 0) / total)[:, None]
    sojourn[:, ledger["busy_minutes"]] = ((does >= zones).sum(1) / total)[:, None]
    sojourn[:, ledger["vehicle_minutes"]] = p.vehicles / total
    return drift, sojourn


def _trip(p: kernel.Params, t: Types, ledger: Ledger, at: Integers, hand: Integers) -> Floats:
    """Expected quantities [S, C] of giving the request at hand to a vehicle in zone `at`."""
    found = np.zeros((len(at), len(ledger.columns)))
    empty, loaded = t.km[at, t.origin[hand]], t.km[t.origin[hand], t.destination[hand]]
    value = p.value[0] + p.value[1] * loaded
    for name, quantity in {
        "served": 1.0, "value": value, "empty_km": empty, "loaded_km": loaded, "pickup_minutes": empty * p.minutes_per_km
    }.items():  # fmt: skip
        found[:, ledger[name][0]] = quantity
    return found


def _seen(
    problem: Problem, t: Types, does: Integers, waits: Integers, hand: Integers, arrival: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Observations [S, F], written by the kernel for a state that stands for each."""
    p = problem.params
    env = BatchEnv(problem, len(does), autoreset=False)
    s = env.state
    s.x[:], s.y[:] = p.zone[t.place[does], 0], p.zone[t.place[does], 1]
    s.free_at[:], s.planned[:] = t.mean[does], t.mean[does]
    s.sweep[:] = ~arrival
    s.waiting[:] = (waits > 0) + arrival
    s.hand[:] = np.where(arrival, waits > 0, 0)
    rows = np.arange(len(does))
    for place, kind in ((0, waits - 1), (s.hand, hand)):
        here = kind >= 0
        row, k = rows[here], kind[here]
        at = place[here] if isinstance(place, np.ndarray) else np.zeros(len(row), np.int64)
        origin, to = p.zone[t.origin[k]], p.zone[t.destination[k]]
        km = t.km[t.origin[k], t.destination[k]]
        values = {kernel.X: origin[:, 0], kernel.Y: origin[:, 1], kernel.TO_X: to[:, 0], kernel.TO_Y: to[:, 1], kernel.KM: km}
        values[kernel.WORTH_OF] = p.value[0] + p.value[1] * km
        for field, value in values.items():
            s.queue[row, at, field] = value
    kernel.observe_rows(p, s, env.record, env.out)
    return env.out.observation


def _checked(problem: Problem) -> Types:
    """The types, or one line that says why a problem has no finite chain here."""
    p = problem.params
    reasons = {
        "zones that are not single points": bool((p.zone[:, 2] != 0).any()),
        "times that are not exponential": not p.exponential,
        "time-varying arrivals": len(p.arrival_rate) > 1,
        "decisions in batches": p.batch > 0,
        "values that vary": p.value[2] > 0,
        "a waiting_limit other than 1": p.waiting_limit != 1,
        "places_shown other than 1": p.places_shown != 1,
    }
    found = [reason for reason, holds in reasons.items() if holds]
    if found:
        raise PointsmanError(f"{problem.id} has no exact solution here: it has {', '.join(found)}")
    return types_of(p)
