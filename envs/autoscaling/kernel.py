"""Dynamics of autoscaling, stated once: replicas with a start-up delay serve a queue of requests.

With the model `flow` a control interval has T ticks. In a tick requests arrive, each with some work, replicas that are
ready work one minute per minute, and what is left waits in order of arrival. Work is measured in minutes of one replica.
With the model `markov` requests come one at a time, service and start-up are exponential, and a step is one step of the
uniformised chain: an arrival, a completion, a replica that gets ready, or nothing.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.arrays import Floats, Integers
from pointsman.envs.compiled import batched, inlined, rests
from pointsman.envs.noise import episode_key, exponential, log, mix, normal, uniform

COLUMNS = (
    "replica_hours", "starts", "stops", "cancelled", "scale_actions", "arrived", "served", "lost", "waiting_minutes", "late",
    "late_minutes", "busy_hours", "hours",
)  # fmt: skip
"""Ledger: replicas paid for, ready or starting; replicas started, stopped when ready, and stopped before they were ready;
decisions that changed something; requests that came, were served, met a full system; their waiting before service; those
that waited longer than the objective allows, and minutes in which some did; work done; time. Served and waiting requests of the
flow are counted in requests of mean size."""
(
    REPLICA_HOURS, STARTS, STOPS, CANCELLED, SCALE_ACTIONS, ARRIVED, SERVED, LOST, WAITING, LATE, LATE_MINUTES, BUSY, HOURS,
) = range(13)  # fmt: skip
FULL: dict[int, str] = {}
DAY = 1440.0
NORMAL_FROM = 12.0
"""Poisson counts of a larger mean are rounded normals with the skewness put right (Cornish and Fisher)."""
USUAL = 0.7
"""Utilisation at which episodes begin, unless the configuration says otherwise."""
LATER = 30.0
"""Minutes beyond the start-up delay of the furthest look at the profile."""
RESET_RECORD = (1 << 62) + 2
"""Beyond all records: where an episode begins."""
NOTHING = 1e-9
"""Work below this is the rounding of sums."""


class Params(NamedTuple):
    """T ticks to a control interval, H intervals remembered, R replicas at most, S slots of a table of rates."""

    markov: bool
    rate: Floats  # [S] requests per minute at the middle of a slot
    slot: float  # minutes
    recorded: Floats  # [ticks of the recording, 2] requests and work; empty: arrivals are Poisson at the rate
    profile: Floats  # [P] requests per minute, by day or week: what is known beforehand
    profile_slot: float
    start_first: float  # minute of the table at which the first of the days begins in which episodes start
    start_days: int
    start_minute: float  # of the day; below 0: drawn
    burst_in: float  # probability per interval that a burst begins
    burst_out: float  # ... ends
    burst_factor: float
    burst_step: float  # share of the way to the factor that demand goes in an interval
    noise_keep: float  # autocorrelation of the logarithm of the rate from interval to interval
    noise_std: float  # of that logarithm
    service: float  # mean work of a request
    service_cv: float
    start: float  # minutes until a new replica is ready
    start_spread: float  # mean of an exponential on top
    control: float  # minutes between decisions; markov: of one step
    tick: float
    ticks: int
    lag: int  # ticks after which a request that waits is late
    slo: float  # the same in minutes
    queue_limit: int
    least: int
    most: int
    initial: int  # replicas; below 0: what the profile needs
    max_change: int
    history: int
    ages: int  # of starting replicas, in control intervals; the last holds all older ones
    smooth: float  # weight of the newest interval in the smoothed load
    horizon: float


class Record(NamedTuple):
    """What one control interval brings, [N, ...]."""

    arrivals: Floats  # [N, T] requests
    work: Floats  # [N, T]
    event: Floats  # [N] uniform: which event happens (markov)
    key: NDArray[np.uint64]  # [N] for start-up delays of replicas that are started now


class State(NamedTuple):
    """N rows."""

    key: NDArray[np.uint64]  # [N] of the episode
    records: Integers  # [N] consumed so far
    clock: Floats  # [N]
    begin: Floats  # [N] minute of the table of rates at clock 0
    burst: NDArray[np.bool_]  # [N] exogenous: a burst is on
    boost: Floats  # [N] exogenous: factor that bursts put on the rate
    level: Floats  # [N] exogenous: logarithm of the noise, in standard deviations
    queue: Floats  # [N] work that waits (flow), requests in the system (markov)
    ready: Integers  # [N]
    starting: Integers  # [N]
    began: Floats  # [N, R] clocks at which the starting replicas were started, the oldest first (flow)
    due: Floats  # [N, R] clocks at which they will be ready; no policy sees them
    young_work: Floats  # [N, L] work that arrived in the last L ticks, a ring
    young_requests: Floats  # [N, L]
    young: Floats  # [N] sum of young_work
    load: Floats  # [N, H] work that arrived per minute, interval by interval, the last first
    smoothed: Floats  # [N] exponentially weighted load
    utilisation: Floats  # [N, H] of the replicas that were ready
    measured: Floats  # [N, H] replicas that were ready from the beginning to the end of the interval
    replicas: Floats  # [N, H] ready and starting, at decisions


def allocate(params: Params, n: int) -> tuple[State, Record]:
    """Zeroed state and record for `n` rows."""
    flow, h = not params.markov, params.history
    state = State(
        key=np.zeros(n, np.uint64), records=np.zeros(n, np.int64), clock=np.zeros(n), begin=np.zeros(n),
        burst=np.zeros(n, np.bool_), boost=np.zeros(n), level=np.zeros(n), queue=np.zeros(n),
        ready=np.zeros(n, np.int64), starting=np.zeros(n, np.int64), began=np.zeros((n, params.most * flow)),
        due=np.zeros((n, params.most * flow)), young_work=np.zeros((n, params.lag * flow)),
        young_requests=np.zeros((n, params.lag * flow)), young=np.zeros(n), load=np.zeros((n, h)), smoothed=np.zeros(n),
        utilisation=np.zeros((n, h)), measured=np.zeros((n, h)), replicas=np.zeros((n, h)),
    )  # fmt: skip
    ticks = params.ticks * flow
    return state, Record(np.zeros((n, ticks)), np.zeros((n, ticks)), np.zeros(n), np.zeros(n, np.uint64))


def observation_names(params: Params) -> list[str]:
    """Names of the observation's entries, in the order in which `observe` writes them."""
    if params.markov:
        return ["queue", "ready", "starting"]
    lags, ages = range(params.history), range(params.ages)
    names = ["backlog", "delay", "ready", *[f"starting_{k}" for k in ages]]
    names += ["day_sine", "day_cosine", "week_sine", "week_cosine"][: 4 if len(params.profile) * params.profile_slot > DAY else 2]
    names += ["profile", "profile_ahead", "profile_later", "smoothed", "forecast", "spare"]
    return names + [f"{name}_{k}" for name in ("load", "replicas", "measured", "utilisation") for k in lags]


@inlined
def at_minute(table, slot, minute):
    """A table of values in the middle of slots, over and over, between two of them in proportion."""
    size = table.shape[0]
    place = minute / slot - 0.5
    below = math.floor(place)
    share = place - below
    k = int(below) % size
    return table[k] * (1.0 - share) + table[(k + 1) % size] * share


@inlined
def poisson(mean, key, column):
    """A Poisson count, from two columns of uniforms."""
    u = uniform(key, column)
    if mean < NORMAL_FROM:
        weight, count = math.exp(-mean), 0.0
        left = u - weight
        while left > 0.0 and count < 10.0 * NORMAL_FROM:
            count += 1.0
            weight *= mean / count
            left -= weight
        return count
    z = normal(-log(u), uniform(key, column + 1))
    return max(math.floor(mean + math.sqrt(mean) * z + (z * z - 1.0) / 6.0 + 0.5), 0.0)


@inlined
def draw(params, state, record, i):
    """Record number `state.records[i]`, and the exogenous state (burst, noise) after it."""
    key = mix(state.key[i], state.records[i])
    record.key[i] = key
    if params.markov:
        record.event[i] = uniform(key, 0)
        return
    minute = state.begin[i] + state.clock[i]
    if params.recorded.shape[0] > 0:
        first = int(math.floor(minute / params.tick + 0.5))
        for t in range(params.ticks):
            place = (first + t) % params.recorded.shape[0]
            record.arrivals[i, t], record.work[i, t] = params.recorded[place, 0], params.recorded[place, 1]
        return
    rate = at_minute(params.rate, params.slot, minute + 0.5 * params.control)
    if params.burst_in > 0.0:
        turn = uniform(key, 0)
        state.burst[i] = turn >= params.burst_out if state.burst[i] else turn < params.burst_in
        aim = params.burst_factor if state.burst[i] else 1.0
        state.boost[i] += params.burst_step * (aim - state.boost[i])
        rate *= state.boost[i]
    if params.noise_std > 0.0:
        keep = params.noise_keep
        z = normal(exponential(key, 1), uniform(key, 2))
        state.level[i] = keep * state.level[i] + math.sqrt(1.0 - keep * keep) * z
        rate *= math.exp(params.noise_std * (state.level[i] - 0.5 * params.noise_std))
    for t in range(params.ticks):
        count = poisson(rate * params.tick, key, 16 + 4 * t)
        work = count
        if params.service_cv > 0.0 and count > 0.0:
            z = normal(exponential(key, 18 + 4 * t), uniform(key, 19 + 4 * t))
            work = max(count + params.service_cv * math.sqrt(count) * z, 0.0)
        record.arrivals[i, t], record.work[i, t] = count, work * params.service


@inlined
def change(params, state, ledger, by, key, i):
    """Start or stop replicas; those that are starting go first, the youngest of them before the others."""
    if by != 0:
        ledger[i, SCALE_ACTIONS] = 1.0
    if by > 0:
        ledger[i, STARTS] = by
        if not params.markov:
            for k in range(by):
                place = state.starting[i] + k
                state.began[i, place] = state.clock[i]
                extra = params.start_spread * exponential(key, 8 + k) if params.start_spread > 0.0 else 0.0
                state.due[i, place] = state.clock[i] + params.start + extra
        state.starting[i] += by
    elif by < 0:
        cancelled = min(-by, state.starting[i])
        state.starting[i] -= cancelled
        state.ready[i] += by + cancelled
        ledger[i, CANCELLED], ledger[i, STOPS] = cancelled, -by - cancelled


@inlined
def get_ready(state, i):
    """Starting replicas whose time has come are ready."""
    left = 0
    for k in range(state.starting[i]):
        if state.due[i, k] <= state.clock[i] + NOTHING:
            state.ready[i] += 1
        else:
            state.began[i, left], state.due[i, left] = state.began[i, k], state.due[i, k]
            left += 1
    state.starting[i] = left


@inlined
def flow(params, state, requests, work, number, ledger, i):
    """Tick `number` of the episode; returns the work done."""
    tick, before = params.tick, state.queue[i]
    done = min(before + work, state.ready[i] * tick)
    after = before + work - done
    if after < NOTHING:
        after = 0.0
    state.queue[i] = after
    late, of, whose = min(work, after), work, requests
    if params.lag > 0:
        # In order of arrival the youngest work waits last: what is left beyond that of the last L ticks is older.
        place = number % params.lag
        of, whose = state.young_work[i, place], state.young_requests[i, place]
        state.young_work[i, place], state.young_requests[i, place] = work, requests
        state.young[i] += work - of
        late = min(of, max(after - state.young[i], 0.0))
    if late > NOTHING:
        ledger[i, LATE] += whose * late / of
        ledger[i, LATE_MINUTES] += tick
    ledger[i, REPLICA_HOURS] += (state.ready[i] + state.starting[i]) * tick / 60.0
    ledger[i, ARRIVED] += requests
    ledger[i, SERVED] += done / params.service
    ledger[i, WAITING] += 0.5 * (before + after) * tick / params.service
    ledger[i, BUSY] += done / 60.0
    ledger[i, HOURS] += tick / 60.0
    return done


@inlined
def interval(params, state, record, ledger, i):
    """T ticks, and what a monitor has seen of them."""
    came, done, capacity = 0.0, 0.0, 0.0
    if state.starting[i] > 0:
        get_ready(state, i)
    measured, begin = state.ready[i], state.clock[i]
    for t in range(params.ticks):
        work = record.work[i, t]
        came += work
        capacity += state.ready[i] * params.tick
        number = state.records[i] * params.ticks + t
        done += flow(params, state, record.arrivals[i, t], work, number, ledger, i)
        state.clock[i] = begin + (t + 1) * params.tick
        if state.starting[i] > 0:
            get_ready(state, i)
    for k in range(params.history - 1, 0, -1):
        state.load[i, k] = state.load[i, k - 1]
        state.utilisation[i, k] = state.utilisation[i, k - 1]
        state.measured[i, k] = state.measured[i, k - 1]
        state.replicas[i, k] = state.replicas[i, k - 1]
    state.load[i, 0] = came / params.control
    state.smoothed[i] += params.smooth * (state.load[i, 0] - state.smoothed[i])
    state.utilisation[i, 0] = done / capacity if capacity > 0.0 else 0.0
    state.measured[i, 0] = measured
    state.replicas[i, 0] = state.ready[i] + state.starting[i]


@inlined
def happen(params, state, record, ledger, i):
    """A step of the uniformised chain, in which nothing changes, and the event at its end."""
    span, service, most = params.control, 1.0 / params.service, params.most
    busy = min(int(state.queue[i]), state.ready[i])
    ledger[i, REPLICA_HOURS] = (state.ready[i] + state.starting[i]) * span / 60.0
    ledger[i, WAITING] = (state.queue[i] - busy) * span
    ledger[i, BUSY] = busy * span / 60.0
    ledger[i, HOURS] = span / 60.0
    state.clock[i] += span
    place = record.event[i] / span
    if place < params.rate[0]:
        ledger[i, ARRIVED] = 1.0
        full = state.queue[i] >= params.queue_limit
        ahead = max(state.queue[i] + 1.0 - state.ready[i], 0.0) * params.service
        ledger[i, LATE] = 1.0 if full or ahead > params.slo * state.ready[i] else 0.0
        ledger[i, LOST] = 1.0 if full else 0.0
        state.queue[i] += 0.0 if full else 1.0
    elif place < params.rate[0] + most * service:
        if int((place - params.rate[0]) / service) < busy:
            ledger[i, SERVED] = 1.0
            state.queue[i] -= 1.0
    elif int((place - params.rate[0] - most * service) * params.start) < state.starting[i]:
        state.starting[i] -= 1
        state.ready[i] += 1


@inlined
def step(params, state, action, record, out, i):
    """One decision, and the control interval or the event after it."""
    for column in range(out.ledger.shape[1]):
        out.ledger[i, column] = 0.0
    change(params, state, out.ledger, action[i] - params.max_change, record.key[i], i)
    if params.markov:
        happen(params, state, record, out.ledger, i)
    else:
        interval(params, state, record, out.ledger, i)
    state.records[i] += 1
    out.elapsed[i], out.terminated[i] = params.control, False
    out.truncated[i] = state.clock[i] >= params.horizon - 0.5 * params.control


@inlined
def reset(params, state, i, seed, index, episode):
    """Start an episode with an empty queue and replicas that are ready; it consumes no record."""
    state.key[i] = episode_key(seed, index, episode)
    key = mix(state.key[i], RESET_RECORD)
    state.records[i], state.clock[i], state.queue[i], state.starting[i] = 0, 0.0, 0.0, 0
    day = min(int(uniform(key, 0) * params.start_days), params.start_days - 1)
    into = (
        params.start_minute if params.start_minute >= 0.0 else math.floor(uniform(key, 1) * DAY / params.control) * params.control
    )
    state.begin[i] = params.start_first + DAY * day + into
    state.burst[i], state.boost[i], state.level[i], state.young[i] = False, 1.0, 0.0, 0.0
    if params.noise_std > 0.0:
        state.level[i] = normal(exponential(key, 2), uniform(key, 3))
    load = at_minute(params.profile, params.profile_slot, state.begin[i]) * params.service
    replicas = params.initial
    if replicas < 0:
        replicas = min(max(int(math.ceil(load / USUAL)), params.least), params.most)
    state.ready[i], state.smoothed[i] = replicas, load
    for k in range(state.young_work.shape[1]):
        state.young_work[i, k], state.young_requests[i, k] = 0.0, 0.0
    for k in range(params.history):
        state.load[i, k], state.measured[i, k], state.replicas[i, k] = load, replicas, replicas
        state.utilisation[i, k] = min(load / replicas, 1.0) if replicas > 0 else 0.0


@inlined
def observe(params, state, observation, mask, i):
    """Write what operations would see of row i, and which actions are legal."""
    replicas = state.ready[i] + state.starting[i]
    for a in range(2 * params.max_change + 1):
        mask[i, a] = params.least <= replicas + a - params.max_change <= params.most
    if params.markov:
        observation[i, 0], observation[i, 1], observation[i, 2] = state.queue[i], state.ready[i], state.starting[i]
        return
    observation[i, 0] = state.queue[i]
    observation[i, 1] = state.queue[i] / max(state.ready[i], 1)
    observation[i, 2] = state.ready[i]
    for k in range(params.ages):
        observation[i, 3 + k] = 0.0
    for k in range(state.starting[i]):
        age = int((state.clock[i] - state.began[i, k]) / params.control - 0.5)
        observation[i, 3 + min(age, params.ages - 1)] += 1.0
    f, minute = 3 + params.ages, state.begin[i] + state.clock[i]
    turn = 2.0 * math.pi * minute / DAY
    observation[i, f], observation[i, f + 1] = math.sin(turn), math.cos(turn)
    f += 2
    if params.profile.shape[0] * params.profile_slot > DAY:
        observation[i, f], observation[i, f + 1] = math.sin(turn / 7.0), math.cos(turn / 7.0)
        f += 2
    for k in range(3):
        ahead = minute + 0.5 * params.control + (0.0 if k == 0 else params.start + (k - 1) * LATER)
        observation[i, f + k] = at_minute(params.profile, params.profile_slot, ahead) * params.service
    observation[i, f + 3] = state.smoothed[i]
    # The newest load carried along the profile to when a replica started now is ready, and replicas beyond it.
    forecast = state.load[i, 0] * observation[i, f + 1] / max(observation[i, f], NOTHING)
    observation[i, f + 4], observation[i, f + 5] = forecast, replicas - forecast
    f, h = f + 6, params.history
    for k in range(h):
        observation[i, f + k] = state.load[i, k]
        observation[i, f + h + k] = state.replicas[i, k]
        observation[i, f + 2 * h + k] = state.measured[i, k]
        observation[i, f + 3 * h + k] = state.utilisation[i, k]


@batched
def advance(params, state, record, action, out, first, last, autoreset):
    """Step rows first..last-1, and reset those that ended; `out` is problem.Outputs. No buffer can be full: (-1, 0)."""
    for i in range(np.uint64(first), np.uint64(last)):
        if rests(out, i, autoreset):
            continue
        draw(params, state, record, i)
        step(params, state, action, record, out, i)
        if autoreset and out.truncated[i]:
            observe(params, state, out.final_observation, out.final_mask, i)
            out.episode[i] += 1
            reset(params, state, i, out.seed[i], out.stream[i], out.episode[i])
        observe(params, state, out.observation, out.mask, i)
    return -1, 0


@batched
def apply(params, state, action, record, out, first, last):
    """Step rows whose records are given; nothing is drawn or reset."""
    for i in range(first, last):
        step(params, state, action, record, out, i)
        observe(params, state, out.observation, out.mask, i)


@batched
def reset_rows(params, state, record, out, rows):
    """Start the episodes out.episode[rows] of the rows named."""
    for i in rows:
        reset(params, state, i, out.seed[i], out.stream[i], out.episode[i])
        observe(params, state, out.observation, out.mask, i)
