"""Dynamics of a multiclass queueing network as a uniformised Markov chain, stated once.

Requests wait in buffers, one per class; servers stand in pools. Time runs in steps of 1 / Lambda; at the end of each
one event of a fixed list may happen: an arrival at a class, or a completion at a server if what it serves is fast
enough (a server's rates are nested, so that its events need no more than its highest rate). At an epoch each free
server in turn, or each pool at once, is given a class; or an arrival is admitted or refused. Decisions after which
another server is still to be given work take no time and consume no record.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.arrays import Floats, Integers
from pointsman.envs.compiled import batched, inlined, rests
from pointsman.envs.noise import episode_key, mix, uniform

SERVERS, POOLS, ADMISSION = 0, 1, 2
"""Kinds of decisions: each free server in turn, each pool at once, admit or refuse at an arrival."""
ARRIVAL, SERVICE = 0, 1
"""Kinds of events."""
PER_CLASS = ("in_system", "arrived", "admitted", "refused", "lost", "departed")
"""Ledger families by class: request-time in the system, arrivals, those let in, turned away by decision or a full buffer,
and departures from the network."""
IN_SYSTEM, ARRIVED, ADMITTED, REFUSED, LOST, DEPARTED = range(6)
FULL = {1: "queue_size"}


class Params(NamedTuple):
    """C classes, P pools, S servers in all, E events, T slots of time-varying arrivals (1: constant)."""

    rate: float  # Lambda: events per unit of time
    event_cumulative: Floats  # [E] shares of Lambda
    event_kind: Integers  # [E] ARRIVAL or SERVICE
    event_of: Integers  # [E] class that arrives, or server that may complete
    event_level: Floats  # [E] SERVICE: completes what is served at this rate or faster
    arrival_share: Floats  # [T, C] of the highest rate of each class: an arrival happens with this probability
    slot_time: float  # length of a slot; infinite if arrivals are constant
    service: Floats  # [S, C] rate of server s at class c; 0: not able to
    pool: Integers  # [S] pool of a server
    pool_size: Integers  # [P] servers
    route_cumulative: Floats  # [C, C + 1] where a served request of a class goes; the last place is outside
    capacity: int  # most requests in the whole system; arrivals beyond are lost
    preemptive: bool
    may_idle: NDArray[np.bool_]  # [S] although it could work
    kind: int  # of decisions
    head_ages: bool  # observe since when the first request of each class has been in its buffer
    start: Integers  # [C] requests at reset
    horizon: float


class Record(NamedTuple):
    """One event, [N] each."""

    event: Integers
    route: Floats  # uniform: where the request goes next, and whether a time-varying arrival happens


class State(NamedTuple):
    """N rows; buffers hold requests that are not being served."""

    key: NDArray[np.uint64]  # [N] of the episode
    records: Integers  # [N] consumed so far
    clock: Floats  # [N]
    queue: Integers  # [N, C] requests in the buffer
    serving: Integers  # [N, S] class that a server serves; -1: none
    server: Integers  # [N] server that is being decided for; S: none
    arriving: Integers  # [N] class of the request at the door (admission); -1: none
    entered: Floats  # [N, C, B] clocks at which requests joined their buffer, a ring from `head` (B = 0: not kept)
    head: Integers  # [N, C]


def allocate(params: Params, n: int, ring: int) -> tuple[State, Record]:
    """Zeroed state and record for `n` rows; `ring` places per class for clocks of entry."""
    classes, servers = params.service.shape[1], params.service.shape[0]

    def ints(*shape: int) -> Integers:
        return np.zeros((n, *shape), np.int64)

    state = State(
        key=np.zeros(n, np.uint64), records=ints(), clock=np.zeros(n), queue=ints(classes), serving=ints(servers),
        server=ints(), arriving=ints(), entered=np.zeros((n, classes, ring)), head=ints(classes),
    )  # fmt: skip
    return state, Record(ints(), np.zeros(n))


def ledger_columns(classes: list[str], pools: list[str]) -> list[str]:
    """Names of the ledger's columns."""
    columns = [f"{family}/{name}" for family in PER_CLASS for name in classes]
    return columns + [f"busy_time/{pool}" for pool in pools] + ["time"]


def observation_names(params: Params, classes: list[str], servers: list[str]) -> list[str]:
    """Names of the observation's entries, in the order in which `observe` writes them."""
    names = [f"queue/{name}" for name in classes]
    if params.kind == ADMISSION:
        return [*names, *[f"arriving/{name}" for name in classes], "in_service"]
    if params.kind == SERVERS:
        names += [f"served/{name}" for name in classes]
        names += [f"deciding/{server}" for server in servers] if len(servers) > 1 else []
    if not params.preemptive:
        names += [f"occupied/{server}" for server in servers]
    if params.head_ages:
        names += [f"head_age/{name}" for name in classes]
    if params.arrival_share.shape[0] > 1:
        names += ["cycle_sine", "cycle_cosine"]
    return names


@inlined
def join(params, state, i, c):
    """A request joins the buffer of class c. Returns a key of FULL, or 0."""
    ring = state.entered.shape[2]
    if ring > 0:
        if state.queue[i, c] == ring:
            return 1
        state.entered[i, c, (state.head[i, c] + state.queue[i, c]) % ring] = state.clock[i]
    state.queue[i, c] += 1
    return 0


@inlined
def give_back(state, i, s):
    """What server s serves goes back to the head of its buffer."""
    c = state.serving[i, s]
    if c >= 0:
        ring = state.entered.shape[2]
        if ring > 0:
            state.head[i, c] = (state.head[i, c] + ring - 1) % ring
        state.queue[i, c] += 1
        state.serving[i, s] = -1


@inlined
def take(state, i, s, c):
    """Server s takes the first request of class c."""
    ring = state.entered.shape[2]
    if ring > 0:
        state.head[i, c] = (state.head[i, c] + 1) % ring
    state.queue[i, c] -= 1
    state.serving[i, s] = c


@inlined
def choices(params, state, i, s):
    """How many classes server s could take now, and the first of them."""
    count, first = 0, -1
    for c in range(params.service.shape[1]):
        if state.queue[i, c] > 0 and params.service[s, c] > 0.0:
            first = c if count == 0 else first
            count += 1
    return count, first


@inlined
def next_server(params, state, i, s):
    """Give servers from s on what they have no choice about; the first with a choice is to be decided for."""
    servers = params.service.shape[0]
    while s < servers:
        if state.serving[i, s] < 0:
            count, first = choices(params, state, i, s)
            if count > 1 or (count == 1 and params.may_idle[s]):
                break
            if count == 1:
                take(state, i, s, first)
        s += 1
    state.server[i] = s


@inlined
def serve_in_order(params, state, i):
    """Every free server takes the first class that it can (admission: nothing is decided about service)."""
    for s in range(params.service.shape[0]):
        if state.serving[i, s] < 0:
            count, first = choices(params, state, i, s)
            if count > 0:
                take(state, i, s, first)


@inlined
def begin_epoch(params, state, i):
    """After an event: who is to be decided for."""
    servers = params.service.shape[0]
    if params.kind == ADMISSION:
        serve_in_order(params, state, i)
        return
    if params.preemptive:
        for s in range(servers - 1, -1, -1):
            give_back(state, i, s)
    state.server[i] = servers
    if params.kind == SERVERS:
        next_server(params, state, i, 0)


@inlined
def decide(params, state, ledger, action, i):
    """Carry out a decision; True if time passes now. `action` [N, K] names a class, the last action meaning none."""
    classes, servers = params.service.shape[1], params.service.shape[0]
    if params.kind == ADMISSION:
        c = state.arriving[i]
        if c >= 0:
            state.arriving[i] = -1
            if action[i, 0] == 1:
                ledger[i, ADMITTED * classes + c] += 1.0
                join(params, state, i, c)
                serve_in_order(params, state, i)
            else:
                ledger[i, REFUSED * classes + c] += 1.0
        return True
    if params.kind == POOLS:
        for s in range(servers):
            c = action[i, params.pool[s]]
            if state.serving[i, s] < 0 and c < classes and state.queue[i, c] > 0 and params.service[s, c] > 0.0:
                take(state, i, s, c)
        return True
    s = state.server[i]
    if s < servers:
        if action[i, 0] < classes:
            take(state, i, s, action[i, 0])
        next_server(params, state, i, s + 1)
    return state.server[i] == servers


@inlined
def pass_time(params, state, ledger, i):
    """A step of 1 / Lambda in which nothing changes."""
    classes, servers, pools = params.service.shape[1], params.service.shape[0], params.pool_size.shape[0]
    span = 1.0 / params.rate
    for c in range(classes):
        ledger[i, IN_SYSTEM * classes + c] += state.queue[i, c] * span
    busy = len(PER_CLASS) * classes
    for s in range(servers):
        c = state.serving[i, s]
        if c >= 0:
            ledger[i, IN_SYSTEM * classes + c] += span
            ledger[i, busy + params.pool[s]] += span
    ledger[i, busy + pools] += span
    state.clock[i] += span


@inlined
def in_system(state, i):
    """Requests in the network."""
    total = 0
    for c in range(state.queue.shape[1]):
        total += state.queue[i, c]
    for s in range(state.serving.shape[1]):
        total += state.serving[i, s] >= 0
    return total


@inlined
def happen(params, state, record, ledger, i):
    """The event of the record. Returns a key of FULL, or 0."""
    classes, full = params.service.shape[1], 0
    event = record.event[i]
    subject = params.event_of[event]
    if params.event_kind[event] == ARRIVAL:
        slots = params.arrival_share.shape[0]
        slot = int(state.clock[i] / params.slot_time) % slots if slots > 1 else 0
        if record.route[i] < params.arrival_share[slot, subject]:
            ledger[i, ARRIVED * classes + subject] += 1.0
            if in_system(state, i) >= params.capacity:
                ledger[i, LOST * classes + subject] += 1.0
            elif params.kind == ADMISSION:
                state.arriving[i] = subject
            else:
                ledger[i, ADMITTED * classes + subject] += 1.0
                full = join(params, state, i, subject)
    else:
        c = state.serving[i, subject]
        if c >= 0 and params.service[subject, c] >= params.event_level[event]:
            state.serving[i, subject] = -1
            to = 0
            while to < classes and record.route[i] >= params.route_cumulative[c, to]:
                to += 1
            if to == classes:
                ledger[i, DEPARTED * classes + c] += 1.0
            else:
                full = join(params, state, i, to)
    begin_epoch(params, state, i)
    return full


@inlined
def step(params, state, action, record, out, i):
    """One decision; if no other is left at this epoch, time passes and the event of the record happens."""
    for column in range(out.ledger.shape[1]):
        out.ledger[i, column] = 0.0
    out.elapsed[i], full = 0.0, 0
    if decide(params, state, out.ledger, action, i):
        pass_time(params, state, out.ledger, i)
        out.elapsed[i] = 1.0 / params.rate
        full = happen(params, state, record, out.ledger, i)
        state.records[i] += 1
    out.terminated[i] = False
    # Only between epochs, so that every policy meets the same number of records.
    out.truncated[i] = out.elapsed[i] > 0.0 and state.clock[i] >= params.horizon - 0.5 / params.rate
    return full


@inlined
def draw(params, state, record, i):
    """Record number `state.records[i]`."""
    key = mix(state.key[i], state.records[i])
    u = uniform(key, 0)
    event = 0
    for e in range(params.event_cumulative.shape[0] - 1):
        event += u >= params.event_cumulative[e]
    record.event[i] = event
    record.route[i] = uniform(key, 1)


@inlined
def reset(params, state, i, seed, index, episode):
    """Start an episode with the configured numbers of requests; it consumes no record, as nothing has arrived yet."""
    state.key[i] = episode_key(seed, index, episode)
    state.records[i], state.clock[i], state.arriving[i] = 0, 0.0, -1
    for s in range(state.serving.shape[1]):
        state.serving[i, s] = -1
    for c in range(state.queue.shape[1]):
        state.queue[i, c], state.head[i, c] = 0, 0
        for _ in range(params.start[c]):
            join(params, state, i, c)
    begin_epoch(params, state, i)


@inlined
def observe(params, state, observation, mask, i):
    """Write what operations would see of row i, and which actions are legal."""
    classes, servers, pools = params.service.shape[1], params.service.shape[0], params.pool_size.shape[0]
    for c in range(classes):
        observation[i, c] = state.queue[i, c]
    f = classes
    if params.kind == ADMISSION:
        busy = 0
        for c in range(classes):
            observation[i, f + c] = 1.0 if state.arriving[i] == c else 0.0
        for s in range(servers):
            busy += state.serving[i, s] >= 0
        observation[i, f + classes] = busy
        mask[i, 0] = True
        mask[i, 1] = state.arriving[i] >= 0
        return
    if params.kind == SERVERS:
        for c in range(classes):
            observation[i, f + c] = 0.0
        for s in range(servers):
            if state.serving[i, s] >= 0:
                observation[i, f + state.serving[i, s]] += 1.0
        f += classes
        if servers > 1:
            for s in range(servers):
                observation[i, f + s] = 1.0 if state.server[i] == s else 0.0
            f += servers
    if not params.preemptive:
        for s in range(servers):
            observation[i, f + s] = 1.0 + state.serving[i, s]
        f += servers
    if params.head_ages:
        ring = state.entered.shape[2]
        for c in range(classes):
            since = state.entered[i, c, state.head[i, c] % ring] if state.queue[i, c] > 0 else state.clock[i]
            observation[i, f + c] = state.clock[i] - since
        f += classes
    slots = params.arrival_share.shape[0]
    if slots > 1:
        turn = 2.0 * np.pi * state.clock[i] / (params.slot_time * slots)
        observation[i, f], observation[i, f + 1] = np.sin(turn), np.cos(turn)
    if params.kind == SERVERS:
        s, some = state.server[i], False
        for c in range(classes):
            mask[i, c] = s < servers and state.queue[i, c] > 0 and params.service[s, c] > 0.0
            some = some or mask[i, c]
        mask[i, classes] = not some or params.may_idle[s]
    else:
        for p in range(pools):
            place, some, idle = p * (classes + 1), False, True
            for c in range(classes):
                mask[i, place + c] = False
            for s in range(servers):
                if params.pool[s] == p and state.serving[i, s] < 0:
                    idle = params.may_idle[s]
                    for c in range(classes):
                        if params.service[s, c] > 0.0 and (state.queue[i, c] > 0 or idle):
                            mask[i, place + c] = True
                            some = True
            mask[i, place + classes] = idle or not some


@batched
def advance(params, state, record, action, out, first, last, autoreset):
    """Step rows first..last-1, and reset those that ended; `out` is problem.Outputs. Returns (row, key of FULL) or (-1, 0)."""
    parts = action.reshape((out.mask.shape[0], -1))
    for i in range(np.uint64(first), np.uint64(last)):
        if rests(out, i, autoreset):
            continue
        draw(params, state, record, i)
        full = step(params, state, parts, record, out, i)
        if full > 0:
            return int(i), full
        if autoreset and out.truncated[i]:
            observe(params, state, out.final_observation, out.final_mask, i)
            out.episode[i] += 1
            reset(params, state, i, out.seed[i], out.stream[i], out.episode[i])
        observe(params, state, out.observation, out.mask, i)
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
