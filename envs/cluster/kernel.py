"""Dynamics of a cluster, stated once.

Jobs arrive, wait in a queue and run without interruption on units of one or more resources. A step carries out one
decision - start the candidate named, or wait (the last action) - and, once no shown job fits any more or the policy
waits, runs on to the next decision: an arrival, or a completion after which a shown job fits. Completions at an instant
come before an arrival at the same one. A start takes no time and consumes no record. Where the queue is longer than the
window, its first and its last jobs are shown.
"""

import math

import numpy as np

from pointsman.envs.arrays import Floats, Integers
from pointsman.envs.cluster.state import Params, Record, State
from pointsman.envs.compiled import batched, inlined, rests
from pointsman.envs.noise import episode_key, exponential, log, mix, uniform

# Columns of a trace, before the units of each resource.
SUBMITTED, DURATION, ESTIMATED, USED_BY, TRACE = 0, 1, 2, 3, 4
# Fields of a waiting job, before the units of each resource.
ENTERED, RUN, SLOWNESS, USER, ESTIMATE, JOB = range(6)
# Columns of a record's noise.
GAP, CLASS, LENGTH, DOMINANT, SLACK, OWNER, START, DEMAND = range(8)
# Ledger, before used and idle time of each resource; waiting and slowdown grow with time, what is `at start` is booked there.
ARRIVED, STARTED, DONE, WAITING, SLOWDOWN, START_WAIT, BOUNDED, TIME, PLAIN = range(9)
COLUMNS = (
    "arrived", "started", "done",
    "waiting_time",
    "slowdown",  # waiting over duration, or over the floor if that is longer: the price of making short jobs wait
    "start_wait",
    "bounded_slowdown",
    "time",
)  # fmt: skip
# Entries of a candidate: four that change, some that are worked out once, when it arrives, and its share of each resource;
# and the share of its user, if there are several.
PRESENT, FITS, PASSES, AGE, FACTS, SHARES = 0, 1, 2, 3, 4, 3
CANDIDATE = ("present", "fits", "passes", "age", "estimate", "area", "log_area")
FULL = {1: "queue_size"}
INFINITY = math.inf


def allocate(params: Params, n: int, queue_size: int) -> tuple[State, Record]:
    """Zeroed state and record for `n` rows; no more jobs can run than there are units."""
    resources, places = len(params.capacity), int(params.capacity.sum())

    def floats(*shape: int) -> Floats:
        return np.zeros((n, *shape))

    def ints(*shape: int) -> Integers:
        return np.zeros((n, *shape), np.int64)

    state = State(
        key=np.zeros(n, np.uint64), records=ints(), clock=floats(), arrived=floats(), first=ints(), waiting=ints(),
        job=floats(queue_size, JOB + resources), facts=np.zeros((n, queue_size, SHARES + resources), np.float32),
        slowness=floats(), work=floats(resources), running=ints(), end=floats(places), promised=floats(places),
        taken=floats(places, resources), owner=ints(places), next_end=floats(), used=floats(resources),
        pledged=floats(resources), held=floats(params.users, resources), head_start=floats(), spare=floats(resources),
        written=ints(),
    )  # fmt: skip
    return state, Record(floats(), floats(), floats(), ints(), floats(resources))


def ledger_columns(resources: list[str]) -> list[str]:
    """Names of the ledger's columns."""
    return [*COLUMNS, *[f"used_time/{name}" for name in resources], *[f"idle_time/{name}" for name in resources]]


def observation_names(params: Params, resources: list[str]) -> tuple[list[str], list[str]]:
    """Names of the entries of the context and of a candidate, in the order in which `observe` writes them."""
    context = ["waiting", "hidden", "running", "next_end", "head_start"]
    for name in resources:
        context += [f"free/{name}", f"spare/{name}", f"hidden_work/{name}", f"running_work/{name}"]
    if params.clock_shown:
        context.append("clock")
    candidate = [*CANDIDATE, *[f"share/{name}" for name in resources]]
    return context, candidate + (["user_share"] if params.users > 1 else [])


@inlined
def context_size(params):
    """Entries before the first candidate's."""
    return 5 + 4 * len(params.kinds) + (1 if params.clock_shown else 0)


@inlined
def place(params, state, i, m):
    """Position in the queue of candidate m: from the head for the first half of the window, from the tail for the rest."""
    if state.waiting[i] <= params.window or m < (params.window + 1) // 2:
        return m
    return state.waiting[i] - params.window + m


@inlined
def fits(params, state, i, q):
    """Are enough units free for the job at a position of the queue?"""
    good = True
    for k in range(len(params.kinds)):
        good &= state.used[i, k] + state.job[i, q, JOB + k] <= params.capacity[k]
    return good


@inlined
def any_fits(params, state, i):
    """Does a job that is shown fit?"""
    m, shown = 0, min(state.waiting[i], params.window)
    while m < shown and not fits(params, state, i, place(params, state, i, m)):
        m += 1
    return m < shown


@inlined
def over(params, state, i):
    """Has the trace ended, and every job of it?"""
    exhausted = params.trace.shape[0] > 0 and state.first[i] + state.records[i] >= params.last
    return exhausted and state.waiting[i] == 0 and state.running[i] == 0


@inlined
def start(params, state, ledger, i, q):
    """The job at a position of the queue begins to run."""
    resources, clock, user = len(params.kinds), state.clock[i], int(state.job[i, q, USER])
    run, estimate, slowness = state.job[i, q, RUN], state.job[i, q, ESTIMATE], state.job[i, q, SLOWNESS]
    wait = clock - state.job[i, q, ENTERED]
    at = state.running[i]
    while at > 0 and state.promised[i, at - 1] > clock + estimate:
        move(params, state, i, at - 1, at)
        at -= 1
    state.end[i, at], state.promised[i, at], state.owner[i, at] = clock + run, clock + estimate, user
    for k in range(resources):
        units = state.job[i, q, JOB + k]
        state.taken[i, at, k] = units
        state.used[i, k] += units
        state.pledged[i, k] += units * (clock + estimate)
        state.held[i, user, k] += units
        state.work[i, k] -= units * estimate
    state.running[i] += 1
    state.next_end[i] = min(state.next_end[i], clock + run)
    state.slowness[i] -= slowness
    leave(state, i, q)
    if state.waiting[i] == 0:  # nothing is left of what rounding has added up
        state.slowness[i] = 0.0
        for k in range(resources):
            state.work[i, k] = 0.0
    ledger[i, STARTED] += 1.0
    ledger[i, START_WAIT] += wait
    ledger[i, BOUNDED] += max((wait + run) * slowness, 1.0)


@inlined
def leave(state, i, q):
    """Those behind a position of the queue close up."""
    state.waiting[i] -= 1
    for later in range(np.uint64(q), np.uint64(state.waiting[i])):
        for field in range(state.job.shape[2]):
            state.job[i, later, field] = state.job[i, later + np.uint64(1), field]
        for fact in range(state.facts.shape[2]):
            state.facts[i, later, fact] = state.facts[i, later + np.uint64(1), fact]


@inlined
def move(params, state, i, a, b):
    """A running job changes its place from a to b."""
    state.end[i, b], state.promised[i, b], state.owner[i, b] = state.end[i, a], state.promised[i, a], state.owner[i, a]
    for k in range(len(params.kinds)):
        state.taken[i, b, k] = state.taken[i, a, k]


@inlined
def complete(params, state, ledger, i):
    """Every job whose end has come leaves."""
    kept, next_end = 0, INFINITY
    for r in range(state.running[i]):
        if state.end[i, r] <= state.clock[i]:
            for k in range(len(params.kinds)):
                state.used[i, k] -= state.taken[i, r, k]
                state.pledged[i, k] -= state.taken[i, r, k] * state.promised[i, r]
                state.held[i, state.owner[i, r], k] -= state.taken[i, r, k]
        else:
            next_end = min(next_end, state.end[i, r])
            if kept < r:
                move(params, state, i, r, kept)
            kept += 1
    if kept == 0:  # nothing is left of what rounding has added up
        for k in range(len(params.kinds)):
            state.pledged[i, k] = 0.0
    ledger[i, DONE] += state.running[i] - kept
    state.running[i], state.next_end[i] = kept, next_end


@inlined
def pass_time(params, state, ledger, i, until):
    """Nothing changes until then."""
    resources, span = len(params.kinds), until - state.clock[i]
    ledger[i, WAITING] += state.waiting[i] * span
    ledger[i, SLOWDOWN] += state.slowness[i] * span
    ledger[i, TIME] += span
    for k in range(resources):
        ledger[i, PLAIN + k] += state.used[i, k] * span
        ledger[i, PLAIN + resources + k] += (params.capacity[k] - state.used[i, k]) * span
    state.clock[i] = until


@inlined
def join(params, state, record, i):
    """The job of the record joins the queue. Returns a key of FULL, or 0."""
    resources = len(params.kinds)
    q = state.waiting[i]
    if q == state.job.shape[1]:
        return 1
    run, estimate, area = record.duration[i], record.estimate[i], 0.0
    for k in range(resources):
        units = record.demand[i, k]
        state.job[i, q, JOB + k], state.facts[i, q, SHARES + k] = units, units * params.unit[k]
        state.work[i, k] += units * estimate
        area += units * params.unit[k]
    area *= estimate / resources
    slowness = 1.0 / max(run, params.floor)
    state.job[i, q, ENTERED], state.job[i, q, RUN], state.job[i, q, SLOWNESS] = state.clock[i], run, slowness
    state.job[i, q, USER], state.job[i, q, ESTIMATE] = record.user[i], estimate
    state.facts[i, q, 0], state.facts[i, q, 1], state.facts[i, q, 2] = estimate, area, log(max(area, 1e-9))
    state.slowness[i] += slowness
    state.waiting[i] += 1
    state.arrived[i] = state.clock[i]
    state.records[i] += 1
    return 0


@inlined
def run_on(params, state, record, ledger, i):
    """Time passes to the next decision, or to the horizon. Returns a key of FULL, or 0."""
    arrival = state.arrived[i] + record.gap[i]
    while not over(params, state, i):
        now = min(state.next_end[i], arrival, params.horizon)
        pass_time(params, state, ledger, i, now)
        if state.next_end[i] <= now:
            complete(params, state, ledger, i)
        if arrival <= now:
            ledger[i, ARRIVED] += 1.0
            return join(params, state, record, i)
        if now >= params.horizon or any_fits(params, state, i):
            break
    return 0


@inlined
def step(params, state, action, record, out, i):
    """One decision, and whatever follows before the next. Returns a key of FULL, or 0."""
    for column in range(out.ledger.shape[1]):
        out.ledger[i, column] = 0.0
    before, full, waits = state.clock[i], 0, action[i] == params.window
    if not waits:
        start(params, state, out.ledger, i, place(params, state, i, action[i]))
    if waits or not any_fits(params, state, i):
        full = run_on(params, state, record, out.ledger, i)
    out.elapsed[i] = state.clock[i] - before
    out.terminated[i] = over(params, state, i)
    out.truncated[i] = not out.terminated[i] and state.clock[i] >= params.horizon
    return full


@inlined
def draw(params, state, record, i):
    """Record number `state.records[i]`: the next row of the trace, or a job drawn."""
    resources = len(params.kinds)
    if params.trace.shape[0] > 0:
        row = state.first[i] + state.records[i]
        if row >= params.last:
            record.gap[i] = INFINITY
            return
        record.gap[i] = params.trace[row, SUBMITTED] - params.trace[max(row - 1, 0), SUBMITTED]
        slack = params.slack * uniform(mix(state.key[i], state.records[i]), SLACK) if params.slack > 0.0 else 0.0
        record.duration[i], record.estimate[i] = params.trace[row, DURATION], params.trace[row, ESTIMATED] * (1.0 + slack)
        record.user[i] = int(params.trace[row, USED_BY])
        for k in range(resources):
            record.demand[i, k] = params.trace[row, TRACE + k]
        return
    key = mix(state.key[i], state.records[i])
    steps = params.tick > 0.0
    if steps:
        record.gap[i] = params.tick * (1.0 + math.floor(log(uniform(key, GAP)) / params.log_miss))
    else:
        record.gap[i] = exponential(key, GAP) / params.rate
    c, u = 0, uniform(key, CLASS)
    for other in range(params.class_cumulative.shape[0] - 1):
        c += u >= params.class_cumulative[other]
    low, high, u = params.duration[c, 0], params.duration[c, 1], uniform(key, LENGTH)
    run = low + math.floor(u * (high - low + 1.0)) if steps else low + u * (high - low)
    record.duration[i] = run
    record.estimate[i] = run * (1.0 + params.slack * uniform(key, SLACK)) if params.slack > 0.0 else run
    record.user[i] = int(uniform(key, OWNER) * params.users) if params.users > 1 else 0
    dominant = int(uniform(key, DOMINANT) * resources) if params.dominant[c, 1] > 0.0 else -1
    for k in range(resources):
        least, most = params.demand[c, k, 0], params.demand[c, k, 1]
        if k == dominant:
            least, most = params.dominant[c, 0], params.dominant[c, 1]
        record.demand[i, k] = least + math.floor(uniform(key, DEMAND + k) * (most - least + 1.0))


@inlined
def reset(params, state, record, i, seed, index, episode):
    """An empty cluster, whose clock begins with the first job: record 0."""
    state.key[i] = episode_key(seed, index, episode)
    state.records[i], state.first[i], state.clock[i] = 0, params.stretch[0], 0.0
    beginnings = params.stretch[1] - params.stretch[0]
    if beginnings > 1:
        state.first[i] += int(uniform(mix(state.key[i], 0), START) * beginnings)
    state.waiting[i], state.running[i], state.slowness[i], state.next_end[i] = 0, 0, 0.0, INFINITY
    for k in range(len(params.kinds)):
        state.used[i, k], state.pledged[i, k], state.work[i, k] = 0.0, 0.0, 0.0
        for user in range(state.held.shape[1]):
            state.held[i, user, k] = 0.0
    draw(params, state, record, i)
    join(params, state, record, i)


@inlined
def reserve(params, state, i):
    """When the job at the head could start if all that run end as estimated, and what is spare then beside it."""
    resources = len(params.kinds)
    state.head_start[i] = 0.0
    for k in range(resources):
        state.spare[i, k] = params.capacity[k] - state.used[i, k]
    if state.waiting[i] == 0:
        return
    r, when = 0, state.clock[i]
    while r < state.running[i]:
        enough = True
        for k in range(resources):
            enough = enough and state.job[i, 0, JOB + k] <= state.spare[i, k]
        if enough and state.promised[i, r] > when:
            break
        when = state.promised[i, r]
        for k in range(resources):
            state.spare[i, k] += state.taken[i, r, k]
        r += 1
    for k in range(resources):
        state.spare[i, k] -= state.job[i, 0, JOB + k]
    state.head_start[i] = when - state.clock[i]


@inlined
def observe(params, state, observation, mask, i, clean):
    """Write what operations would see of row i, and which actions are legal; `clean`: nothing is known of what stands there."""
    resources, users, clock = len(params.kinds), state.held.shape[1], state.clock[i]
    reserve(params, state, i)
    waiting, shown = state.waiting[i], min(state.waiting[i], params.window)
    head, skipped = (shown if shown == waiting else (params.window + 1) // 2), waiting - shown
    facts, some = SHARES + resources, False
    f, width = context_size(params), FACTS + facts + (1 if users > 1 else 0)
    for m in range(shown):
        q = np.uint64(m if m < head else m + skipped)
        estimate, fit, within = state.job[i, q, ESTIMATE], True, True
        for k in range(resources):
            units = state.job[i, q, JOB + k]
            fit &= state.used[i, k] + units <= params.capacity[k]
            within &= units <= state.spare[i, k]
        mask[i, m], some = fit, some | fit
        passes = fit & ((m == 0) | within | (estimate <= state.head_start[i]))
        observation[i, f + PRESENT], observation[i, f + FITS], observation[i, f + PASSES] = 1.0, fit, passes
        observation[i, f + AGE] = clock - state.job[i, q, ENTERED]
        for entry in range(facts):
            observation[i, f + FACTS + entry] = state.facts[i, q, entry]
        if users > 1:
            user, most = np.uint64(state.job[i, q, USER]), 0.0
            for k in range(resources):
                most = max(most, state.held[i, user, k] * params.unit[k])
            observation[i, f + FACTS + facts] = most
        f += width
    stale = params.window if clean else state.written[i]
    for m in range(shown, stale):
        mask[i, m] = False
        for entry in range(width):
            observation[i, f + entry] = 0.0
        f += width
    if not clean:
        state.written[i] = shown
    observation[i, 0], observation[i, 1], observation[i, 2] = waiting, skipped, state.running[i]
    observation[i, 3] = state.promised[i, 0] - clock if state.running[i] > 0 else 0.0
    observation[i, 4] = state.head_start[i]
    for k in range(resources):
        hidden = 0.0
        if skipped > 0:
            hidden = state.work[i, k]
            for m in range(shown):
                q = np.uint64(m if m < head else m + skipped)
                hidden -= state.job[i, q, JOB + k] * state.job[i, q, ESTIMATE]
        f = 5 + 4 * k
        observation[i, f] = (params.capacity[k] - state.used[i, k]) * params.unit[k]
        observation[i, f + 1] = state.spare[i, k] * params.unit[k]
        observation[i, f + 2] = max(hidden, 0.0) * params.unit[k]
        left = state.pledged[i, k] - clock * state.used[i, k]
        observation[i, f + 3] = max(left, 0.0) * params.unit[k] if state.running[i] > 0 else 0.0
    if params.clock_shown:
        observation[i, 5 + 4 * resources] = clock
    # On an empty cluster every job fits, and one of them starts.
    mask[i, params.window] = not some or state.running[i] > 0


@batched
def advance(params, state, record, action, out, first, last, autoreset):
    """Step rows first..last-1, and reset those that ended; `out` is problem.Outputs. Returns (row, key of FULL) or (-1, 0)."""
    for i in range(np.uint64(first), np.uint64(last)):
        if rests(out, i, autoreset):
            continue
        draw(params, state, record, i)
        full = step(params, state, action, record, out, i)
        if full > 0:
            return np.int64(i), full
        if autoreset and (out.truncated[i] or out.terminated[i]):
            observe(params, state, out.final_observation, out.final_mask, i, True)
            out.episode[i] += 1
            reset(params, state, record, i, out.seed[i], out.stream[i], out.episode[i])
        observe(params, state, out.observation, out.mask, i, False)
    return -1, 0


@batched
def reset_rows(params, state, record, out, rows):
    """Start the episodes out.episode[rows] of the rows named."""
    for i in rows:
        reset(params, state, record, i, out.seed[i], out.stream[i], out.episode[i])
        observe(params, state, out.observation, out.mask, i, False)
