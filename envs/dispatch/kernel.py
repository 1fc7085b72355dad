"""Dynamics of request dispatch, stated once; times in minutes, `week` clocks count from the start of the week.

A request arrives with a score; the action sends it to automation (0) or to team j (1 + j). Automation takes
`latency` and then succeeds, fails unnoticed, or bounces the request to the people. A team serves first come first
served; requests that wait may abandon. A step runs the world to the next decision: an arrival or, with
`params.pickup`, a person who has picked up a request and sees that it is easy, and who now processes it (1 + J) or
forwards it to automation (2 + J). Such a decision consumes no record.
"""

import math

import numpy as np

from pointsman.envs.arrays import Floats, Integers
from pointsman.envs.compiled import batched, inlined, rests
from pointsman.envs.dispatch.state import Params, Record, Request, State
from pointsman.envs.noise import CLOCK_RECORD, episode_key, exponential, log, mix, normal, uniform

# Columns of a record's noise, NOISE of them drawn ahead; those from SWITCH on serve the regime switches inside one gap.
GAP, CLASS, SCORE, EASY, HANDLING, PATIENCE, SUCCESS, LATENCY, START, SWITCH = 0, 1, 2, 4, 5, 7, 8, 9, 10, 16
NOISE = 10
# What comes of a request in automation; NONE: it is not to go there again.
NONE, SOLVED, BOUNCED, UNNOTICED = -1, 0, 1, 2
# Fields of a waiting request; of one that a person might forward; of one picked up; of one in automation.
ENTERED, DEADLINE, WORK, KIND = 0, 1, 2, 3
FATE, LATER, SCORED = 0, 1, 2
HELD_WORK, HELD_PATIENCE, HELD_KIND, HELD_FATE, HELD_LATENCY = 0, 1, 2, 3, 4
LANDING, LAND_PATIENCE, LAND_WORK, LAND_KIND, LAND_FATE = 0, 1, 2, 3, 4
# Ledger: per-class families (position family * K + class), then the rest, and last what only a rich desk has.
ARRIVED, AUTOMATED, ANSWERED, IN_TARGET, ABANDONED, TURNED_AWAY, WAITING, ANSWER_WAIT = range(8)
PER_CLASS = (
    "arrived", "automated", "answered", "answered_in_target", "abandoned", "turned_away",
    "waiting_minutes",  # of everyone, booked while it passes
    "answer_wait_minutes",  # of those answered, booked when they are
)  # fmt: skip
ATTEMPTS, BOUNCES, ENTRIES = range(3)
PLAIN = ("automation_attempts", "bounces", "human_entries")
UNDETECTED, FORWARDS, OUT = range(3)
RICH = (
    "undetected_errors",  # failures of automation that nobody notices: the request leaves unsolved
    "forwards",  # of requests that a person had picked up; such a request is answered, and then inside again
    "outage_minutes",
)
BUCKETS = 16
# What `advance` returns when a fixed buffer is full: the configuration key of its size.
FULL = {1: "queue_size", 2: "automation_size"}
INFINITY = math.inf
OUTAGES = CLOCK_RECORD + 1
"""Record of the outages' own randomness."""


def allocate(params: Params, n: int, queue_size: int, automation_size: int) -> tuple[State, Record]:
    """Zeroed state and record for `n` rows."""
    teams = params.staff.shape[0]
    staff = max(int(np.ceil(params.staff.max())), 1)

    def floats(*shape: int) -> Floats:
        return np.zeros((n, *shape))

    def ints(*shape: int) -> Integers:
        return np.zeros((n, *shape), np.int64)

    def request() -> Request:
        return Request(ints(), floats(), ints(), floats(), floats(), floats(), floats())

    on = int(params.pickup)
    state = State(
        key=np.zeros(n, np.uint64), records=ints(), clock=floats(), origin=floats(), arrived=floats(), regime=ints(),
        switch=floats(), request=request(), picked=ints(), held=floats(5 * on), busy=ints(teams),
        completion=floats(teams, staff), on_duty=ints(teams), slot_end=floats(), waiting=ints(teams), called=ints(teams),
        queue=floats(teams, queue_size, 4), second=floats(teams, queue_size, 3 * on), in_automation=ints(),
        outages=ints(), outage_switch=floats(), flight=floats(automation_size, 5),
    )  # fmt: skip
    return state, Record(floats(), ints(), floats(), request(), np.zeros(n, np.uint64), np.zeros((NOISE, n)))


def ledger_columns(classes: list[str], teams: list[str], extended: bool = False) -> list[str]:
    """Names of the ledger's columns, `extended` for a rich desk; a single class or team has no suffix."""

    def split(family: str, names: list[str]) -> list[str]:
        return [family] if len(names) == 1 else [f"{family}/{name}" for name in names]

    columns = [column for family in PER_CLASS for column in split(family, classes)] + list(PLAIN)
    columns += split("busy_minutes", teams) + split("paid_minutes", teams)
    columns += [f"wait_bucket/{k}" for k in range(BUCKETS)]
    return columns + list(RICH if extended else ())


@inlined
def rich(params):
    """Is there more than the plain desk? A tuple's length is part of its type, so the compiled plain desk has no trace of it."""
    return len(params.rich) > 0


@inlined
def picks(params):
    """Do people decide on what they have picked up?"""
    return rich(params) and params.pickup


@inlined
def rich_column(params, which):
    """Position in the ledger of one of RICH."""
    return len(PER_CLASS) * params.patience.shape[0] + len(PLAIN) + 2 * params.staff.shape[0] + BUCKETS + which


@inlined
def deciding(params, state, i):
    """1 + the team of the person who decides; 0: the decision is on the request that arrived last."""
    return state.picked[i] if rich(params) else 0


@inlined
def in_outage(params, state, i):
    """Is automation out?"""
    return rich(params) and state.outages[i] & 1 == 1


@inlined
def slot_of(params, slots, clock):
    """Slot of the week at a clock, of `slots` in all (1: nothing changes with the hour)."""
    if slots == 1:
        return 0
    return int(math.floor(clock / params.slot_minutes)) % slots


@inlined
def draw_noise(params, state, record, first, last):
    """The noise of the next record of rows first..last-1, by columns: tight loops, which compile to vector instructions."""
    for i in range(first, last):
        record.key[i] = mix(state.key[i], state.records[i])
    lognormal = False
    for k in range(params.handling_sigma.shape[0]):
        lognormal = lognormal or params.handling_sigma[k] > 0.0
    for c in range(NOISE):
        unused = (
            (c == CLASS and params.class_cumulative.shape[1] == 1)
            or (c == SCORE + 1 and params.bin_easy.shape[0] > 0)
            or (c == HANDLING + 1 and not lognormal)
            or (c == LATENCY and params.latency <= 0.0)
        )
        if unused:
            continue
        if c in (GAP, HANDLING, PATIENCE, LATENCY):
            for i in range(first, last):
                record.noise[c, i] = exponential(record.key[i], c)
        else:
            for i in range(first, last):
                record.noise[c, i] = uniform(record.key[i], c)


@inlined
def draw_gap(params, state, record, i, hazard):
    """Time from the last arrival to the next, and the regime that it meets."""
    clock, switches = state.arrived[i], 0
    regime, switch = state.regime[i], state.switch[i]
    slots = params.arrival_rate.shape[1]
    slot = slot_of(params, slots, clock)
    slot_end = INFINITY if slots == 1 else (math.floor(clock / params.slot_minutes) + 1.0) * params.slot_minutes
    while True:
        rate = params.arrival_rate[regime, slot]
        end = min(slot_end, switch)
        if rate * (end - clock) >= hazard:
            if params.switching_rate.shape[0] > 1:
                record.regime[i], record.switch[i] = regime, switch
            return clock + hazard / rate - state.arrived[i]
        hazard -= rate * (end - clock)
        clock = end
        if switch <= slot_end:
            regime, switch = next_regime(params, record.key[i], regime, switch, switches)
            switches += 1
        else:
            slot = (slot + 1) % slots
            slot_end += params.slot_minutes


@inlined
def next_regime(params, key, regime, switch, switches):
    """The regime after a switch, and the clock of the one that follows; `switches` have been drawn from the key before."""
    regime = (regime + 1) % params.switching_rate.shape[0]
    return regime, switch + exponential(key, SWITCH + switches) / params.switching_rate[regime]


@inlined
def regime_now(params, state, record, i):
    """The regime at the clock, which lies between the last arrival and the next."""
    regime, switch, switches = state.regime[i], state.switch[i], 0
    while switch <= state.clock[i]:
        regime, switch = next_regime(params, record.key[i], regime, switch, switches)
        switches += 1
    return regime


@inlined
def discrimination(params, minutes):
    """Share of the classifier's discrimination that is left so many minutes into an episode."""
    remains, begins, ends = params.drift[0], params.drift[1], params.drift[2]
    if minutes >= ends:
        return remains
    if minutes <= begins:
        return 1.0
    return 1.0 + (remains - 1.0) * (minutes - begins) / (ends - begins)


@inlined
def first_above(cumulative, u):
    """Index of the first cumulative weight above u; counts rather than stops, which spares mispredicted branches."""
    k = 0
    for c in range(cumulative.shape[0] - 1):
        k += u >= cumulative[c]
    return k


@inlined
def draw(params, state, record, i):
    """Record number `state.records[i]` from its noise and the exogenous state, which it leaves as it is."""
    noise, request = record.noise, record.request
    recorded = params.trace.shape[0] > 0
    if recorded:
        row = min(state.records[i], params.trace.shape[0] - 1)
        record.gap[i] = params.trace[row, 0] - state.arrived[i]
    else:
        record.gap[i] = draw_gap(params, state, record, i, noise[GAP, i])
    arrival = state.arrived[i] + record.gap[i]
    sharp = discrimination(params, arrival - state.origin[i]) if rich(params) else 1.0
    kind = 0
    if params.class_cumulative.shape[1] > 1:
        slot = slot_of(params, params.class_cumulative.shape[0], arrival)
        kind = first_above(params.class_cumulative[slot], noise[CLASS, i])
    if recorded and not math.isnan(params.trace[row, 1]):
        kind = int(params.trace[row, 1])
    request.kind[i] = kind
    if params.bin_easy.shape[0] > 0:
        b = first_above(params.bin_cumulative, noise[SCORE, i])
        request.score[i] = params.bin_score[b]
        chance = params.bin_easy[b]
        if sharp < 1.0:
            chance = params.bin_mean + sharp * (chance - params.bin_mean)
        easy = 1 if noise[EASY, i] < chance else 0
    else:
        share = params.easy_share[kind]
        easy = 1 if noise[EASY, i] < share else 0
        deviate = normal(-log(noise[SCORE, i]), noise[SCORE + 1, i])
        # The classifier weighs what it sees as before, whatever is left of the separation.
        evidence = params.separation * (deviate + (easy - 0.5) * sharp * params.separation)
        odds = params.overconfidence * (params.easy_odds[kind] + evidence)
        request.score[i] = 1.0 / (1.0 + math.exp(-odds))
    request.easy[i] = easy
    sigma = params.handling_sigma[kind]
    handling = noise[HANDLING, i] if sigma <= 0.0 else math.exp(sigma * normal(noise[HANDLING, i], noise[HANDLING + 1, i]))
    request.handling[i] = params.handling[kind, easy] * handling
    request.patience[i] = params.patience[kind] * noise[PATIENCE, i]
    if recorded:
        if not math.isnan(params.trace[row, 2]):
            request.handling[i] = params.trace[row, 2]
        if not math.isnan(params.trace[row, 3]):
            request.patience[i] = params.trace[row, 3]
    request.success[i] = noise[SUCCESS, i]
    request.latency[i] = params.latency * noise[LATENCY, i] if params.latency > 0.0 else 0.0


@inlined
def take_request(params, state, record, i):
    """The request drawn arrives, and is at hand."""
    state.request.kind[i] = record.request.kind[i]
    state.request.score[i] = record.request.score[i]
    state.request.easy[i] = record.request.easy[i]
    state.request.handling[i] = record.request.handling[i]
    state.request.patience[i] = record.request.patience[i]
    state.request.success[i] = record.request.success[i]
    state.request.latency[i] = record.request.latency[i]
    state.arrived[i] += record.gap[i]
    state.clock[i] = state.arrived[i]
    if params.switching_rate.shape[0] > 1:
        state.regime[i], state.switch[i] = record.regime[i], record.switch[i]
    state.records[i] += 1


@inlined
def start_slot(params, state, i, clock):
    """Set the staff on duty for the slot that holds `clock`, and the clock of its end."""
    slots = params.staff.shape[1]
    if slots == 1:
        number, slot, state.slot_end[i] = 0, 0, INFINITY
    else:
        number = int(math.floor(clock / params.slot_minutes))
        slot, state.slot_end[i] = number % slots, (number + 1) * params.slot_minutes
    for j in range(params.staff.shape[0]):
        whole = math.floor(params.staff[j, slot])
        state.on_duty[i, j] = int(whole)
        if params.staff[j, slot] > whole:
            u = uniform(mix(state.key[i], CLOCK_RECORD), number * params.staff.shape[0] + j)
            state.on_duty[i, j] += 1 if u < params.staff[j, slot] - whole else 0


@inlined
def schedule_outage(params, state, i):
    """From one switch of the automation, out or in again, to the next."""
    minutes = params.outage[state.outages[i] & 1] * exponential(mix(state.key[i], OUTAGES), 1 + state.outages[i])
    state.outage_switch[i] += minutes


@inlined
def reset(params, state, record, i, seed, index, episode):
    """Start an episode with an empty desk, and take record 0."""
    state.key[i] = episode_key(seed, index, episode)
    key = mix(state.key[i], 0)
    state.records[i] = 0
    start = params.start
    if start < 0.0:
        slots = max(params.arrival_rate.shape[1], params.staff.shape[1])
        start = uniform(key, START) * slots * params.slot_minutes if slots > 1 else 0.0
    state.clock[i] = start
    state.origin[i], state.arrived[i], state.picked[i] = start, start, 0
    state.regime[i], state.switch[i] = 0, INFINITY
    regimes = params.switching_rate.shape[0]
    if regimes > 1:
        # Stationary start: a regime is as likely as it is long.
        total = 0.0
        for regime in range(regimes):
            total += 1.0 / params.switching_rate[regime]
        share = uniform(key, START + 1) * total
        while state.regime[i] < regimes - 1 and share >= 1.0 / params.switching_rate[state.regime[i]]:
            share -= 1.0 / params.switching_rate[state.regime[i]]
            state.regime[i] += 1
        state.switch[i] = start + exponential(key, START + 2) / params.switching_rate[state.regime[i]]
    for j in range(params.staff.shape[0]):
        state.busy[i, j], state.waiting[i, j], state.called[i, j] = 0, 0, 0
    state.in_automation[i] = 0
    start_slot(params, state, i, start)
    draw_noise(params, state, record, i, i + np.uint64(1))
    draw(params, state, record, i)
    # A first arrival past the present slot meets the staff of its own, and the automation of its time.
    if start + record.gap[i] >= state.slot_end[i]:
        start_slot(params, state, i, start + record.gap[i])
    state.outages[i], state.outage_switch[i] = 0, INFINITY
    if rich(params) and params.outage[0] < INFINITY:
        # Stationary start: as likely to be out as it is in the long run.
        out = uniform(mix(state.key[i], OUTAGES), 0) * (params.outage[0] + params.outage[1]) >= params.outage[0]
        state.outages[i], state.outage_switch[i] = 1 if out else 0, start
        schedule_outage(params, state, i)
        while state.outage_switch[i] <= start + record.gap[i]:
            state.outages[i] += 1
            schedule_outage(params, state, i)
    take_request(params, state, record, i)


@inlined
def serve(params, state, i, j, done):
    """A person of team j is busy until the clock `done`."""
    busy = state.busy[i, j]
    for place in range(busy):
        # Keep the later of the two here and carry the other on; a search for the place would mispredict.
        other = state.completion[i, j, place]
        state.completion[i, j, place] = max(other, done)
        done = min(other, done)
    state.completion[i, j, busy] = done
    state.busy[i, j] = busy + 1


@inlined
def usable(params, state, i):
    """May a request be sent to automation now?"""
    return state.in_automation[i] < params.automation_capacity and not in_outage(params, state, i)


@inlined
def pick_up(params, state, ledger, i, j, clock, entered, work, patience, kind, fate, latency):
    """A person of team j takes a request that entered the queue at `entered`, and begins with it or has a decision to make."""
    wait = clock - entered
    classes = params.patience.shape[0]
    ledger[i, ANSWERED * classes + kind] += 1.0
    ledger[i, ANSWER_WAIT * classes + kind] += wait
    if wait <= params.target[kind]:
        ledger[i, IN_TARGET * classes + kind] += 1.0
    bucket = 0
    if wait > 0.0:
        bucket = 1
        for k in range(2, BUCKETS):
            bucket += wait >= params.bucket_edge[k]
    ledger[i, len(PER_CLASS) * classes + len(PLAIN) + 2 * params.staff.shape[0] + bucket] += 1.0
    if picks(params) and fate != NONE and usable(params, state, i):
        state.picked[i] = 1 + j
        state.held[i, HELD_WORK], state.held[i, HELD_PATIENCE], state.held[i, HELD_KIND] = work, patience, kind
        state.held[i, HELD_FATE], state.held[i, HELD_LATENCY] = fate, latency
    else:
        serve(params, state, i, j, clock + params.effort[j, kind] * work)


@inlined
def call_next(params, state, ledger, i, j, clock):
    """Free people of team j take the first in the queue, up to one who must decide; those out of patience have left before.

    The places of those called are given up by `tidy_queue` only. Waiting counts from the last decision on.
    """
    classes, since = params.patience.shape[0], state.clock[i]
    while state.called[i, j] < state.waiting[i, j] and state.busy[i, j] < state.on_duty[i, j]:
        if deciding(params, state, i) > 0:
            return
        q = state.called[i, j]
        state.called[i, j] = q + 1
        entered, deadline = state.queue[i, j, q, ENTERED], state.queue[i, j, q, DEADLINE]
        kind = int(state.queue[i, j, q, KIND])
        ledger[i, WAITING * classes + kind] += max(min(deadline, clock) - max(entered, since), 0.0)
        if deadline <= clock:
            ledger[i, ABANDONED * classes + kind] += 1.0
        else:
            fate, latency = NONE, 0.0
            if picks(params):
                fate, latency = int(state.second[i, j, q, FATE]), state.second[i, j, q, LATER]
            work = state.queue[i, j, q, WORK]
            pick_up(params, state, ledger, i, j, clock, entered, work, deadline - entered, kind, fate, latency)


@inlined
def tidy_queue(params, state, ledger, i, j, clock, close):
    """Close the ranks of team j's queue: those whose patience has ended leave; with `close`, book all the waiting so far."""
    classes, since = params.patience.shape[0], state.clock[i]
    kept, kind, minutes = 0, 0, 0.0
    for q in range(state.called[i, j], state.waiting[i, j]):
        entered, deadline = state.queue[i, j, q, ENTERED], state.queue[i, j, q, DEADLINE]
        if classes > 1 and state.queue[i, j, q, KIND] != kind:
            ledger[i, WAITING * classes + kind] += minutes
            kind, minutes = int(state.queue[i, j, q, KIND]), 0.0
        gone = deadline <= clock
        if gone or close:
            minutes += max(min(deadline, clock) - max(entered, since), 0.0)
        if gone:
            ledger[i, ABANDONED * classes + kind] += 1.0
        else:
            if kept < q:
                for field in range(4):
                    state.queue[i, j, kept, field] = state.queue[i, j, q, field]
                if picks(params):
                    for field in range(3):
                        state.second[i, j, kept, field] = state.second[i, j, q, field]
            kept += 1
    ledger[i, WAITING * classes + kind] += minutes
    state.waiting[i, j], state.called[i, j] = kept, 0


@inlined
def enter(params, state, ledger, i, clock, j, work, patience, kind, fate, latency, score):
    """A request joins team j: picked up at once, queued, or turned away. Returns a key of FULL, or 0."""
    classes = params.patience.shape[0]
    # While a person decides, others may be free and requests in the queue: nobody passes these.
    if state.busy[i, j] < state.on_duty[i, j] and (not picks(params) or state.called[i, j] == state.waiting[i, j]):
        ledger[i, len(PER_CLASS) * classes + ENTRIES] += 1.0
        pick_up(params, state, ledger, i, j, clock, clock, work, patience, kind, fate, latency)
        return 0
    if state.waiting[i, j] >= min(params.queue_limit[j], state.queue.shape[2]):
        tidy_queue(params, state, ledger, i, j, clock, False)
    if state.waiting[i, j] >= params.queue_limit[j]:
        ledger[i, TURNED_AWAY * classes + kind] += 1.0
        return 0
    place = state.waiting[i, j]
    if place == state.queue.shape[2]:
        return 1
    ledger[i, len(PER_CLASS) * classes + ENTRIES] += 1.0
    state.queue[i, j, place, ENTERED] = clock
    state.queue[i, j, place, DEADLINE] = clock + patience
    state.queue[i, j, place, WORK] = work
    state.queue[i, j, place, KIND] = kind
    if picks(params):
        state.second[i, j, place, FATE], state.second[i, j, place, LATER] = fate, latency
        state.second[i, j, place, SCORED] = score
    state.waiting[i, j] = place + 1
    return 0


@inlined
def bounces(params, ledger, i, fate, kind):
    """Automation is done with a request: book what has come of it. Does it go to the people?"""
    classes = params.patience.shape[0]
    if fate == SOLVED:
        ledger[i, AUTOMATED * classes + kind] += 1.0
    elif rich(params) and fate == UNNOTICED:
        ledger[i, rich_column(params, UNDETECTED)] += 1.0
    else:
        ledger[i, len(PER_CLASS) * classes + BOUNCES] += 1.0
        return True
    return False


@inlined
def fate_of(params, request, i):
    """What comes of a request in automation; the uniform's part above the success probability says if a failure is noticed."""
    success = params.success[request.easy[i]]
    if request.success[i] < success:
        return SOLVED
    return UNNOTICED if rich(params) and request.success[i] >= 1.0 - params.unnoticed * (1.0 - success) else BOUNCED


@inlined
def carry_out(params, state, ledger, i, action):
    """Carry out the decision on the request that has arrived or been picked up. Returns a key of FULL, or 0."""
    request, clock, classes, teams = state.request, state.clock[i], params.patience.shape[0], params.staff.shape[0]
    if deciding(params, state, i) > 0:
        team, kind, fate = state.picked[i] - 1, int(state.held[i, HELD_KIND]), int(state.held[i, HELD_FATE])
        work, patience, latency = state.held[i, HELD_WORK], state.held[i, HELD_PATIENCE], state.held[i, HELD_LATENCY]
        forwards = action == 2 + teams
        state.picked[i] = 0
        serve(params, state, i, team, clock + (params.forward_minutes if forwards else params.effort[team, kind] * work))
        if not forwards:
            return 0
        ledger[i, rich_column(params, FORWARDS)] += 1.0
        action = 0
    else:
        kind, work, patience, latency = request.kind[i], request.handling[i], request.patience[i], request.latency[i]
        fate = fate_of(params, request, i)
        ledger[i, ARRIVED * classes + kind] += 1.0
    team, score = action - 1, request.score[i]
    if action > 0:
        fate = fate if request.easy[i] > 0 else NONE
    else:
        ledger[i, len(PER_CLASS) * classes + ATTEMPTS] += 1.0
        if latency > 0.0:
            place = state.in_automation[i]
            if place == state.flight.shape[1]:
                return 2
            state.flight[i, place, LANDING] = clock + latency
            state.flight[i, place, LAND_PATIENCE] = patience
            state.flight[i, place, LAND_WORK] = work
            state.flight[i, place, LAND_KIND] = kind
            state.flight[i, place, LAND_FATE] = fate
            state.in_automation[i] = place + 1
            return 0
        if not bounces(params, ledger, i, fate, kind):
            return 0
        team, work, fate, score = params.bounce_team[kind], params.bounce_effort * work, NONE, 0.0
    return enter(params, state, ledger, i, clock, team, work, patience, kind, fate, latency, score)


@inlined
def land(params, state, ledger, i, clock, place):
    """The request at `place` in automation comes out, in an outage as a bounce. Returns a key of FULL, or 0."""
    fate, work = int(state.flight[i, place, LAND_FATE]), state.flight[i, place, LAND_WORK]
    patience, kind = state.flight[i, place, LAND_PATIENCE], int(state.flight[i, place, LAND_KIND])
    last = state.in_automation[i] - 1
    for field in range(5):
        state.flight[i, place, field] = state.flight[i, last, field]
    state.in_automation[i] = last
    if not bounces(params, ledger, i, BOUNCED if in_outage(params, state, i) else fate, kind):
        return 0
    team, work = params.bounce_team[kind], params.bounce_effort * work
    return enter(params, state, ledger, i, clock, team, work, patience, kind, NONE, 0.0, 0.0)


@inlined
def run(params, state, ledger, i, end):
    """What happens up to `end` or the next decision of a person, in order of time. Returns its clock, and a key of FULL or 0."""
    teams = params.staff.shape[0]
    busy_column = len(PER_CLASS) * params.patience.shape[0] + len(PLAIN)
    now, full = state.clock[i], 0
    # Teams that may have somebody free for the queue; more than one may where somebody has just decided.
    first, last = 0, teams if picks(params) else 0
    while True:
        for j in range(first, last):
            call_next(params, state, ledger, i, j, now)
        if deciding(params, state, i) > 0:
            break
        event, team, landing = min(end, state.slot_end[i]), -1, -1
        if rich(params):
            event = min(event, state.outage_switch[i])
        for j in range(teams):
            busy = state.busy[i, j]
            if busy > 0 and state.completion[i, j, busy - 1] < event:
                event, team = state.completion[i, j, busy - 1], j
        out = in_outage(params, state, i)
        for place in range(state.in_automation[i]):
            # In an outage all come out at once, those who were next first.
            if state.flight[i, place, LANDING] < (INFINITY if out and landing < 0 else event):
                event, landing = state.flight[i, place, LANDING], place
        if out and landing >= 0:
            event = now
        for j in range(teams):
            ledger[i, busy_column + j] += state.busy[i, j] * (event - now)
            ledger[i, busy_column + teams + j] += max(state.busy[i, j], state.on_duty[i, j]) * (event - now)
        if out:
            ledger[i, rich_column(params, OUT)] += event - now
        now, first, last = event, 0, 0
        if landing >= 0:
            full = max(full, land(params, state, ledger, i, now, landing))
        elif team >= 0:
            state.busy[i, team] -= 1
            first, last = team, team + 1
        elif now >= end:
            break
        elif now >= state.slot_end[i]:
            start_slot(params, state, i, now)
            last = teams
        else:
            state.outages[i] += 1
            schedule_outage(params, state, i)
    for j in range(teams):
        if state.waiting[i, j] > 0:
            tidy_queue(params, state, ledger, i, j, now, True)
    return now, full


@inlined
def step(params, state, action, record, out, i):
    """One decision: carry it out, run to the next, and take the request that arrives. Returns a key of FULL, or 0."""
    for column in range(out.ledger.shape[1]):
        out.ledger[i, column] = 0.0
    before, full, now = state.clock[i], carry_out(params, state, out.ledger, i, action), state.clock[i]
    if deciding(params, state, i) == 0:
        now, late = run(params, state, out.ledger, i, state.arrived[i] + record.gap[i])
        full = max(full, late)
    out.terminated[i], out.truncated[i] = False, False
    if deciding(params, state, i) > 0:
        state.clock[i] = now
    else:
        take_request(params, state, record, i)
        out.truncated[i] = state.clock[i] - state.origin[i] >= params.horizon or (
            params.trace.shape[0] > 0 and state.records[i] >= params.trace.shape[0]
        )
    out.elapsed[i] = state.clock[i] - before
    return full


def observation_names(params: Params, classes: list[str], teams: list[str]) -> list[str]:
    """Names of the observation's fields, in the order in which `observe` writes them."""
    names = ["score"] + ([f"class/{name}" for name in classes] if len(classes) > 1 else [])
    if params.pickup:
        names += [f"pickup/{team}" if len(teams) > 1 else "pickup" for team in teams]
    fields = ["in_service", "waiting"] + (["on_duty"] if params.staff.shape[1] > 1 else [])
    fields += [f"place_{k + 1}" for k in range(params.places_shown)]
    names += [f"{field}/{team}" if len(teams) > 1 else field for team in teams for field in fields]
    if params.latency > 0.0:
        names.append("in_automation")
    if params.outage[0] < INFINITY:
        names.append("outage")
    if params.regime_observed and len(params.switching_rate) > 1:
        names.append("regime")
    if params.staff.shape[1] > 1 or params.arrival_rate.shape[1] > 1:
        names += ["hour_of_week", "hour_sine", "hour_cosine"]
    return names


@inlined
def observe(params, state, record, observation, mask, i):
    """Write what operations would see of row i, and which actions are legal."""
    classes, teams = params.patience.shape[0], params.staff.shape[0]
    kind, picked = state.request.kind[i], deciding(params, state, i)
    observation[i, 0] = state.request.score[i]
    if picked > 0:
        # The person sees that it is easy.
        observation[i, 0], kind = 1.0, int(state.held[i, HELD_KIND])
    f = 1
    if classes > 1:
        for k in range(classes):
            observation[i, f + k] = 1.0 if kind == k else 0.0
        f += classes
    if picks(params):
        for j in range(teams):
            observation[i, f + j] = 1.0 if picked == 1 + j else 0.0
        f += teams
    for j in range(teams):
        observation[i, f] = state.busy[i, j]
        observation[i, f + 1] = state.waiting[i, j]
        f += 2
        if params.staff.shape[1] > 1:
            observation[i, f] = state.on_duty[i, j]
            f += 1
        if picks(params):
            for place in range(params.places_shown):
                observation[i, f + place] = state.second[i, j, place, SCORED] if place < state.waiting[i, j] else 0.0
            f += params.places_shown
    if params.latency > 0.0:
        observation[i, f] = state.in_automation[i]
        f += 1
    if rich(params) and params.outage[0] < INFINITY:
        observation[i, f] = state.outages[i] & 1
        f += 1
    if params.regime_observed and params.switching_rate.shape[0] > 1:
        observation[i, f] = regime_now(params, state, record, i) if picked > 0 else state.regime[i]
        f += 1
    if params.staff.shape[1] > 1 or params.arrival_rate.shape[1] > 1:
        hour = (state.clock[i] / 60.0) % 168.0
        observation[i, f] = hour
        observation[i, f + 1] = math.sin(hour * math.pi / 12.0)
        observation[i, f + 2] = math.cos(hour * math.pi / 12.0)
    mask[i, 0] = picked == 0 and usable(params, state, i)
    some = mask[i, 0]
    for j in range(teams):
        room = state.busy[i, j] < state.on_duty[i, j] or state.waiting[i, j] < params.queue_limit[j]
        mask[i, 1 + j] = picked == 0 and room and params.effort[j, kind] < INFINITY
        some = some or mask[i, 1 + j]
    if picks(params):
        mask[i, 1 + teams], mask[i, 2 + teams] = picked > 0, picked > 0
    if not some and picked == 0:
        # No place anywhere: the request is turned away at the team that bounces would go to.
        mask[i, 1 + params.bounce_team[kind]] = True


@batched
def advance(params, state, record, action, out, first, last, autoreset):
    """Step rows first..last-1, and reset those that ended; `out` is problem.Outputs. Returns (row, key of FULL) or (-1, 0)."""
    first, last = np.uint64(first), np.uint64(last)  # an unsigned index spares the test for negative ones
    draw_noise(params, state, record, first, last)
    for i in range(first, last):
        draw(params, state, record, i)
    for i in range(first, last):
        if rests(out, i, autoreset):
            continue
        full = step(params, state, action[i], record, out, i)
        if full > 0:
            return int(i), full
    for i in range(first, last):
        if autoreset and (out.terminated[i] or out.truncated[i]):
            observe(params, state, record, out.final_observation, out.final_mask, i)
            out.episode[i] += 1
            reset(params, state, record, i, out.seed[i], out.stream[i], out.episode[i])
        observe(params, state, record, out.observation, out.mask, i)
    return -1, 0


@batched
def reset_rows(params, state, record, out, rows):
    """Start the episodes out.episode[rows] of the rows named."""
    for row in rows:
        i = np.uint64(row)
        reset(params, state, record, i, out.seed[i], out.stream[i], out.episode[i])
        observe(params, state, record, out.observation, out.mask, i)
