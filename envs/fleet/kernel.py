"""Dynamics of a fleet on a plane, stated once; minutes and kilometres.

A request appears at its origin and waits until it is given a vehicle, is refused, or loses patience. A vehicle that is
given one drives there, takes it to its destination, and is free again at that place. A decision concerns one request, the
one at hand: vehicle v (v), wait (V), or refuse (V + 1). With events (`params.batch` 0) a request is at hand when it
arrives, and those that wait are gone through, first come first, whenever a vehicle becomes free; in batches they are gone
through at the multiples of `params.batch`. Going through ends when no vehicle is left; its decisions take no time. What a
trip brings and takes is booked when it is decided, what accrues with time while it passes. A step takes in as many records
as there are arrivals before the next decision.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.arrays import Floats, Integers
from pointsman.envs.compiled import batched, inlined, rests
from pointsman.envs.noise import CLOCK_RECORD, episode_key, exponential, mix, uniform

COLUMNS = (
    "arrived", "served", "lost/refused", "lost/abandoned", "lost/turned_away", "value", "pickup_minutes", "empty_km",
    "loaded_km", "waiting_minutes", "busy_minutes", "vehicle_minutes",
)  # fmt: skip
"""The ledger. Waiting is of those who have no vehicle yet, a pickup is from being given one; busy and all vehicles' minutes."""
ARRIVED, SERVED, REFUSED, ABANDONED, TURNED_AWAY, VALUE, PICKUP, EMPTY, LOADED, WAITING, BUSY, FLEET = range(12)
# Columns of a record's noise, two for a point.
GAP, FROM_ZONE, FROM, TO_ZONE, TO, PATIENCE, WORTH, PACE = 0, 1, 2, 4, 5, 7, 8, 9
# Fields of a waiting request.
X, Y, TO_X, TO_Y, KM, WORTH_OF, SINCE, DEADLINE, PACE_OF, FIELDS = range(10)
# Entries of the observation: of the request at hand, of each other that is shown, of a vehicle.
OTHER = ("present", "x", "y", "to_x", "to_y", "trip_minutes", "value")
VEHICLE = (
    "present", "idle", "free_in", "pickup_minutes", "x", "y",
    "other_pickup_minutes", "other_trip_minutes", "other_value",  # of the nearest other request that waits
)  # fmt: skip
INFINITY = math.inf
FULL: dict[int, str] = {}


class Params(NamedTuple):
    """T slots of time-varying arrivals (1: constant), Z zones."""

    vehicles: int
    arrival_rate: Floats  # [T] per minute
    slot_minutes: float
    zone: Floats  # [Z, 3] centre and spread in km; spread below 0: anywhere
    origin_cumulative: Floats  # [Z]
    destination_cumulative: Floats  # [Z, Z] by zone of origin
    width: float  # km
    height: float
    detour: float
    minutes_per_km: float  # by road
    service_minutes: float
    patience: float
    value: Floats  # [3] base, per km of the trip, spread
    exponential: bool  # times of trips; nothing is shown then that tells how long one has lasted
    batch: float  # 0: decisions at events
    waiting_limit: int
    places_shown: int
    horizon: float


class Record(NamedTuple):
    """The request that arrives, and space to work in."""

    request: Floats  # [N, FIELDS]; PACE_OF scales the minutes of its trip
    nearest: Floats  # [N, V] squared kilometres from a vehicle to the nearest other request
    other: Integers  # [N, V] its place in the queue, -1: there is none


class State(NamedTuple):
    """N rows, V vehicles, Q places to wait. A vehicle is where it has been set free, or will be."""

    key: NDArray[np.uint64]  # [N] of the episode
    records: Integers  # [N] consumed so far
    clock: Floats  # [N]
    arrival: Floats  # [N] clock of the next arrival
    batches: Integers  # [N] whose time has come
    x: Floats  # [N, V]
    y: Floats  # [N, V]
    free_at: Floats  # [N, V]
    planned: Floats  # [N, V] minutes of the trip under way, as expected
    waiting: Integers  # [N]
    queue: Floats  # [N, Q, FIELDS] first come first
    hand: Integers  # [N] place of the request at hand
    sweep: NDArray[np.bool_]  # [N] the queue is being gone through; else the request at hand has just arrived


def allocate(params: Params, n: int) -> tuple[State, Record]:
    """Zeroed state and record for `n` rows."""

    def floats(*shape: int) -> Floats:
        return np.zeros((n, *shape))

    def ints() -> Integers:
        return np.zeros(n, np.int64)

    v = params.vehicles
    state = State(
        key=np.zeros(n, np.uint64), records=ints(), clock=floats(), arrival=floats(), batches=ints(), x=floats(v), y=floats(v),
        free_at=floats(v), planned=floats(v), waiting=ints(), queue=floats(params.waiting_limit + 1, FIELDS), hand=ints(),
        sweep=np.zeros(n, np.bool_),
    )  # fmt: skip
    return state, Record(floats(FIELDS), floats(v), np.zeros((n, v), np.int64))


def context_names(params: Params) -> list[str]:
    """Names of the context's entries, in the order in which `observe` writes them."""
    names = ["x", "y", "to_x", "to_y", "trip_minutes", "value", "waiting_per_vehicle", "idle_share"]
    names += [] if params.exponential else ["waited_minutes"]
    names += ["minute"] if shows_time(params) else []
    return names + [f"other_{k}/{entry}" for k in range(params.places_shown) for entry in OTHER]


@inlined
def shows_time(params):
    """Is the minute of the episode shown?"""
    return params.batch > 0.0 or params.arrival_rate.shape[0] > 1


@inlined
def kilometres(params, x, y, to_x, to_y):
    """By road."""
    return params.detour * math.sqrt((x - to_x) * (x - to_x) + (y - to_y) * (y - to_y))


@inlined
def point(params, zone, key, column):
    """A point of a zone."""
    spread = params.zone[zone, 2]
    if spread < 0.0:
        return uniform(key, column) * params.width, uniform(key, column + 1) * params.height
    x, y = params.zone[zone, 0], params.zone[zone, 1]
    if spread > 0.0:  # Box and Muller
        radius, angle = spread * math.sqrt(2.0 * exponential(key, column)), 2.0 * math.pi * uniform(key, column + 1)
        x += radius * math.cos(angle)
        y += radius * math.sin(angle)
    return min(max(x, 0.0), params.width), min(max(y, 0.0), params.height)


@inlined
def zone_of(cumulative, u):
    """Index of the zone that a uniform falls to."""
    zone = 0
    for z in range(cumulative.shape[0] - 1):
        zone += u >= cumulative[z]
    return zone


@inlined
def draw(params, state, record, i):
    """Record number `state.records[i]`: the request that arrives at `state.arrival[i]`."""
    key = mix(state.key[i], state.records[i])
    origin = zone_of(params.origin_cumulative, uniform(key, FROM_ZONE))
    to = zone_of(params.destination_cumulative[origin], uniform(key, TO_ZONE))
    x, y = point(params, origin, key, FROM)
    to_x, to_y = point(params, to, key, TO)
    km = kilometres(params, x, y, to_x, to_y)
    r = record.request
    r[i, X], r[i, Y], r[i, TO_X], r[i, TO_Y], r[i, KM] = x, y, to_x, to_y, km
    spread = params.value[2] * (2.0 * uniform(key, WORTH) - 1.0)
    r[i, WORTH_OF] = (params.value[0] + params.value[1] * km) * (1.0 + spread)
    r[i, SINCE] = state.arrival[i]
    r[i, DEADLINE] = state.arrival[i] + params.patience * exponential(key, PATIENCE)
    r[i, PACE_OF] = exponential(key, PACE) if params.exponential else 1.0


@inlined
def next_arrival(params, state, i):
    """Clock of the arrival of record number `state.records[i]`, the one before being at `state.arrival[i]`."""
    need = exponential(mix(state.key[i], state.records[i]), GAP)
    clock, slots = state.arrival[i], params.arrival_rate.shape[0]
    if slots == 1:
        return clock + need / params.arrival_rate[0]
    slot = int(clock / params.slot_minutes)
    while True:
        rate, end = params.arrival_rate[slot % slots], (slot + 1) * params.slot_minutes
        room = max(end - clock, 0.0) * rate
        if need < room:
            return clock + need / rate
        need -= room
        clock, slot = end, slot + 1


@inlined
def arrive(params, state, record, ledger, i):
    """The next request joins those that wait, unless they are too many."""
    draw(params, state, record, i)
    state.records[i] += 1
    ledger[i, ARRIVED] += 1.0
    n = state.waiting[i]
    # With events there is one place more: whoever finds the others taken is at hand, and may still be given a vehicle.
    if n < params.waiting_limit + (params.batch == 0.0):
        for k in range(FIELDS):
            state.queue[i, n, k] = record.request[i, k]
        state.waiting[i] = n + 1
    else:
        ledger[i, TURNED_AWAY] += 1.0
    state.arrival[i] = next_arrival(params, state, i)


@inlined
def remove(state, i, place):
    """Take a request out of the queue."""
    state.waiting[i] -= 1
    for q in range(place, state.waiting[i]):
        for k in range(FIELDS):
            state.queue[i, q, k] = state.queue[i, q + 1, k]


@inlined
def idle(state, i):
    """Number of idle vehicles."""
    count = 0
    for v in range(state.free_at.shape[1]):
        count += state.free_at[i, v] <= state.clock[i]
    return count


@inlined
def decide(params, state, ledger, action, i):
    """Carry out a decision; True if time passes now."""
    place = state.hand[i]
    if action < params.vehicles:
        q, v = state.queue[i, place], action
        empty = kilometres(params, state.x[i, v], state.y[i, v], q[X], q[Y])
        pickup = empty * params.minutes_per_km
        state.planned[i, v] = pickup + q[KM] * params.minutes_per_km + params.service_minutes
        state.free_at[i, v] = state.clock[i] + state.planned[i, v] * q[PACE_OF]
        state.x[i, v], state.y[i, v] = q[TO_X], q[TO_Y]
        ledger[i, SERVED] += 1.0
        ledger[i, VALUE] += q[WORTH_OF]
        ledger[i, PICKUP] += pickup * q[PACE_OF]
        ledger[i, EMPTY] += empty
        ledger[i, LOADED] += q[KM]
        remove(state, i, place)
    elif action > params.vehicles:
        ledger[i, REFUSED] += 1.0
        remove(state, i, place)
    else:
        state.hand[i] += 1
    return not (state.sweep[i] and state.hand[i] < state.waiting[i] and idle(state, i) > 0)


@inlined
def next_look(params, state, i):
    """Clock at which those that wait are gone through next: a vehicle is free then."""
    soonest, now = INFINITY, state.clock[i]
    for v in range(state.free_at.shape[1]):
        free = state.free_at[i, v]
        # With events, only one that is set free from now on; in batches, one that is idle will do.
        if free > now or params.batch > 0.0:
            soonest = min(soonest, free)
    if params.batch > 0.0:
        soonest = max(state.batches[i] + 1.0, math.ceil(soonest / params.batch)) * params.batch
    return soonest if soonest < params.horizon else INFINITY


@inlined
def run(params, state, record, ledger, i):
    """Run the world to the next decision, or to the first arrival from the horizon on."""
    look = next_look(params, state, i) if state.waiting[i] > 0 else INFINITY
    while True:
        n, leaves = state.waiting[i], -1
        to = min(look, state.arrival[i])
        for q in range(n):
            if state.queue[i, q, DEADLINE] < to:
                to, leaves = state.queue[i, q, DEADLINE], q
        ledger[i, WAITING] += n * (to - state.clock[i])
        state.clock[i] = to
        if leaves >= 0:
            ledger[i, ABANDONED] += 1.0
            remove(state, i, leaves)
            look = look if n > 1 else INFINITY
        elif to < look:
            arrive(params, state, record, ledger, i)
            if to >= params.horizon or params.batch == 0.0:
                state.sweep[i], state.hand[i] = False, state.waiting[i] - 1
                return
            if n == 0:
                # Batches that nobody waited for are over.
                state.batches[i] = int(math.floor(to / params.batch))
                look = next_look(params, state, i)
        else:
            if params.batch > 0.0:
                state.batches[i] = int(round(to / params.batch))
            if idle(state, i) > 0:
                state.sweep[i], state.hand[i] = True, 0
                return
            look = next_look(params, state, i)


@inlined
def step(params, state, action, record, out, i):
    """One decision; if no other is left at this epoch, the world runs to the next."""
    for column in range(out.ledger.shape[1]):
        out.ledger[i, column] = 0.0
    before = state.clock[i]
    if decide(params, state, out.ledger, action, i):
        run(params, state, record, out.ledger, i)
        busy = 0.0
        for v in range(state.free_at.shape[1]):
            busy += max(min(state.free_at[i, v], state.clock[i]) - before, 0.0)
        out.ledger[i, BUSY] = busy
        out.ledger[i, FLEET] = params.vehicles * (state.clock[i] - before)
    out.elapsed[i] = state.clock[i] - before
    out.terminated[i] = False
    out.truncated[i] = state.clock[i] >= params.horizon


@inlined
def reset(params, state, i, seed, index, episode):
    """Start an episode with idle vehicles where requests come from; nothing is at hand yet, so all there is to do is to wait."""
    state.key[i] = episode_key(seed, index, episode)
    state.records[i], state.clock[i], state.arrival[i], state.batches[i] = 0, 0.0, 0.0, 0
    state.waiting[i], state.hand[i], state.sweep[i] = 0, 0, False
    for k in range(FIELDS):
        state.queue[i, 0, k] = 0.0
    key = mix(state.key[i], CLOCK_RECORD)
    for v in range(params.vehicles):
        zone = zone_of(params.origin_cumulative, uniform(key, 3 * v))
        state.x[i, v], state.y[i, v] = point(params, zone, key, 3 * v + 1)
        state.free_at[i, v], state.planned[i, v] = 0.0, 0.0
    state.arrival[i] = next_arrival(params, state, i)


@inlined
def observe(params, state, record, observation, mask, i):
    """Write what operations would see of row i, and which actions are legal."""
    hand, n, mpk, vehicles = state.hand[i], state.waiting[i], params.minutes_per_km, params.vehicles
    clock, x, y = state.clock[i], state.queue[i, hand, X], state.queue[i, hand, Y]
    free = 0
    for v in range(vehicles):
        idle_now = state.free_at[i, v] <= clock
        free += idle_now
        mask[i, v] = idle_now and n > 0
    mask[i, vehicles] = state.sweep[i] or n <= params.waiting_limit
    mask[i, vehicles + 1] = n > 0
    observation[i, 0], observation[i, 1] = x, y
    observation[i, 2], observation[i, 3] = state.queue[i, hand, TO_X], state.queue[i, hand, TO_Y]
    observation[i, 4] = trip_minutes(params, state, i, hand)
    observation[i, 5] = state.queue[i, hand, WORTH_OF]
    observation[i, 6], observation[i, 7] = n / vehicles, free / vehicles
    f = 8
    if not params.exponential:
        observation[i, f] = clock - state.queue[i, hand, SINCE]
        f += 1
    if shows_time(params):
        observation[i, f] = clock
        f += 1
    # Of those that are gone through the ones still to come, else those that were there before the arrival.
    first, last = (hand + 1, n) if state.sweep[i] else (0, hand)
    for k in range(params.places_shown):
        other = first + k
        here = other < last
        observation[i, f] = 1.0 if here else 0.0
        observation[i, f + 1] = state.queue[i, other, X] if here else 0.0
        observation[i, f + 2] = state.queue[i, other, Y] if here else 0.0
        observation[i, f + 3] = state.queue[i, other, TO_X] if here else 0.0
        observation[i, f + 4] = state.queue[i, other, TO_Y] if here else 0.0
        observation[i, f + 5] = trip_minutes(params, state, i, other) if here else 0.0
        observation[i, f + 6] = state.queue[i, other, WORTH_OF] if here else 0.0
        f += 7
    scale = params.detour * params.detour
    far = scale * (params.width * params.width + params.height * params.height)
    for v in range(vehicles):
        record.nearest[i, v], record.other[i, v] = far, -1
    for q in range(n):
        if q != hand:
            qx, qy = state.queue[i, q, X], state.queue[i, q, Y]
            for v in range(vehicles):  # without branches, so that it compiles to vector instructions
                dx, dy = state.x[i, v] - qx, state.y[i, v] - qy
                square = scale * (dx * dx + dy * dy)
                closer = square < record.nearest[i, v]
                record.nearest[i, v] = square if closer else record.nearest[i, v]
                record.other[i, v] = q if closer else record.other[i, v]
    for v in range(vehicles):
        vx, vy, other = state.x[i, v], state.y[i, v], record.other[i, v]
        left = max(state.free_at[i, v] - clock, 0.0)
        observation[i, f] = 1.0
        observation[i, f + 1] = 1.0 if left == 0.0 else 0.0
        observation[i, f + 2] = state.planned[i, v] if params.exponential and left > 0.0 else left
        observation[i, f + 3] = mpk * kilometres(params, vx, vy, x, y)
        observation[i, f + 4], observation[i, f + 5] = vx, vy
        observation[i, f + 6] = mpk * math.sqrt(record.nearest[i, v])
        observation[i, f + 7] = trip_minutes(params, state, i, other) if other >= 0 else 0.0
        observation[i, f + 8] = state.queue[i, other, WORTH_OF] if other >= 0 else 0.0
        f += 9


@inlined
def trip_minutes(params, state, i, place):
    """Minutes that a vehicle is taken by a waiting request from its pickup on."""
    return state.queue[i, place, KM] * params.minutes_per_km + params.service_minutes


@batched
def advance(params, state, record, action, out, first, last, autoreset):
    """Step rows first..last-1, and reset those that ended; `out` is problem.Outputs. Returns (-1, 0): nothing overflows."""
    for i in range(np.uint64(first), np.uint64(last)):
        if rests(out, i, autoreset):
            continue
        step(params, state, action[i], record, out, i)
        if autoreset and out.truncated[i]:
            observe(params, state, record, out.final_observation, out.final_mask, i)
            out.episode[i] += 1
            reset(params, state, i, out.seed[i], out.stream[i], out.episode[i])
        observe(params, state, record, out.observation, out.mask, i)
    return -1, 0


@batched
def reset_rows(params, state, record, out, rows):
    """Start the episodes out.episode[rows] of the rows named."""
    for i in rows:
        reset(params, state, i, out.seed[i], out.stream[i], out.episode[i])
        observe(params, state, record, out.observation, out.mask, i)


@batched
def observe_rows(params, state, record, out):
    """Observe states that were put together by hand."""
    for i in range(state.clock.shape[0]):
        observe(params, state, record, out.observation, out.mask, i)


@batched
def list_requests(params, state, record, found):
    """All requests before the horizon of the episode that row 0 is at the start of, into found[M, FIELDS]; their number."""
    count = 0
    while state.arrival[0] < params.horizon:
        draw(params, state, record, 0)
        if count < found.shape[0]:
            for k in range(FIELDS):
                found[count, k] = record.request[0, k]
        count += 1
        state.records[0] += 1
        state.arrival[0] = next_arrival(params, state, 0)
    return count
