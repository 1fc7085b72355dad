"""Dynamics of a project portfolio, stated once; time in weeks.

A week begins with a review of every project that is new or was worked on: leave it, run a pilot next, ship it, stop it.
Then each member of the team takes a project or none, one member a project. All of this takes no time. In the week, work
reaches a milestone or does not, and what has been built is tested on a number of cases; a pilot goes well or badly. How
accurate a project is depends on its milestones and on whether it is hard, which nobody sees: what tests and pilots say of
that is kept as log-odds (Bayes). Then time passes, projects that are withdrawn or whose window has closed are gone, and
proposals come in.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.arrays import Floats, Integers
from pointsman.envs.compiled import batched, inlined, rests
from pointsman.envs.noise import episode_key, mix, uniform

B = NDArray[np.bool_]

FULL: dict[int, str] = {}
LEAVE, PILOT, SHIP, STOP = range(4)
"""Actions after those that choose a project: leave it (or stay idle), pilot, ship, stop."""
REPLIES = ("leave", "pilot", "ship", "stop")
EASY, HARD = 0, 1
PLAIN = (
    "weeks", "proposed", "turned_away", "shipped", "stopped", "expired", "withdrawn", "pilots", "idle_weeks",
    "project_weeks",  # projects in the portfolio, times weeks
    "hours_saved",  # by projects shipped, over what is left of their window
    "excess_errors",  # hours' worth of cases that they get wrong, less those that people would
    "delay_hours",  # that they did not save, since the window had opened before they shipped
)  # fmt: skip
(WEEKS, PROPOSED, TURNED_AWAY, SHIPPED, STOPPED, EXPIRED, WITHDRAWN, PILOTS, IDLE_WEEKS, PROJECT_WEEKS, HOURS_SAVED,
 EXCESS_ERRORS, DELAY_HOURS) = range(len(PLAIN))  # fmt: skip
LEVEL, DIFFICULTY, FACTOR = range(3)
TRUTH, INTEREST = 1 << 20, 1 << 21
"""Columns of a project's key; its weeks of work have keys of their own, numbered from 1, and those of its age from INTEREST."""


class Params(NamedTuple):
    """C kinds, L levels of impact, G milestones, R roles, P people, M slots."""

    arrival: Floats  # [C] probability of a proposal in a week
    start: Integers  # [C]
    impact: Floats  # [C, L] hours saved per week
    impact_cumulative: Floats  # [C, L]
    hard_share: Floats  # [C]
    human: Floats  # [C]
    required: Floats  # [C]
    accuracy: Floats  # [C, 2, G + 1] of easy and hard projects, by milestones
    milestones: Integers  # [C]
    pace: Floats  # [R, C, G] probability of the next milestone in a week's work
    pilot_good: Floats  # [C, 2]
    role: Integers  # [P]
    pilots: B  # [R] may run them
    most_pilots: int
    slots: int
    window: float
    closes: bool
    withdrawn: float
    tests: int
    impact_error: float
    log_effort: bool
    horizon: float


class Record(NamedTuple):
    """What one week brings."""

    proposal: B  # [N, C]
    truth: Floats  # [N, C, 3] uniforms behind impact, difficulty, and how far the prediction of impact is off
    work: Floats  # [N, M] uniform behind the milestone, or the pilot, of each project
    test: Floats  # [N, M] uniform behind its test
    interest: Floats  # [N, M] uniform behind whether it is withdrawn


class State(NamedTuple):
    """N rows; arrays [N, M] are by slot."""

    key: NDArray[np.uint64]  # [N] of the episode
    records: Integers  # [N] weeks
    clock: Floats  # [N]
    question: Integers  # [N] a slot under review, M + a member who is asked, M + P: none
    project: NDArray[np.uint64]  # key of the project
    present: B
    kind: Integers
    level: Integers  # of impact
    factor: Floats  # true over predicted impact
    hard: Integers
    milestones: Integers
    odds: Floats  # log-odds that it is hard
    measured: Floats  # share of the cases right in the last test
    age: Floats
    effort: Floats  # person-weeks
    pilots: Integers  # run
    piloting: B  # the next to take it runs a pilot
    review: B  # to be reviewed this week
    taken: Integers  # role of who works on it this week; -1: nobody


def allocate(params: Params, n: int) -> tuple[State, Record]:
    """Zeroed state and record for `n` rows."""
    m = params.slots

    def ints() -> Integers:
        return np.zeros((n, m), np.int64)

    def flags() -> B:
        return np.zeros((n, m), np.bool_)

    def floats() -> Floats:
        return np.zeros((n, m))

    state = State(
        key=np.zeros(n, np.uint64), records=np.zeros(n, np.int64), clock=np.zeros(n), question=np.zeros(n, np.int64),
        project=np.zeros((n, m), np.uint64), present=flags(), kind=ints(), level=ints(), factor=floats(), hard=ints(),
        milestones=ints(), odds=floats(), measured=floats(), age=floats(), effort=floats(), pilots=ints(), piloting=flags(),
        review=flags(), taken=ints(),
    )  # fmt: skip
    kinds = len(params.arrival)
    return state, Record(np.zeros((n, kinds), np.bool_), np.zeros((n, kinds, 3)), floats(), floats(), floats())


@inlined
def hard_probability(state, i, m):
    return 1.0 / (1.0 + np.exp(-state.odds[i, m]))


@inlined
def expected_accuracy(params, state, i, m):
    """Of the project as it stands, by all that was measured."""
    c, g, p = state.kind[i, m], state.milestones[i, m], hard_probability(state, i, m)
    return (1.0 - p) * params.accuracy[c, EASY, g] + p * params.accuracy[c, HARD, g]


@inlined
def propose(params, state, ledger, record, i, c, key):
    """A project of kind c comes in."""
    ledger[i, PROPOSED] += 1.0
    m = 0
    while m < params.slots and state.present[i, m]:
        m += 1
    if m == params.slots:
        ledger[i, TURNED_AWAY] += 1.0
        return
    u, level = record.truth[i, c, LEVEL], 0
    while level < params.impact.shape[1] - 1 and u >= params.impact_cumulative[c, level]:
        level += 1
    share = params.hard_share[c]
    state.project[i, m], state.present[i, m], state.kind[i, m], state.level[i, m] = key, True, c, level
    state.factor[i, m] = 1.0 + params.impact_error * (2.0 * record.truth[i, c, FACTOR] - 1.0)
    state.hard[i, m] = 1 if record.truth[i, c, DIFFICULTY] < share else 0
    state.odds[i, m] = np.log(max(share, 1e-300) / max(1.0 - share, 1e-300))
    state.milestones[i, m], state.pilots[i, m], state.measured[i, m] = 0, 0, 0.0
    state.age[i, m], state.effort[i, m], state.taken[i, m] = 0.0, 0.0, -1
    state.piloting[i, m], state.review[i, m] = False, True


@inlined
def may_take(params, state, i, m, role):
    """May a member of a role take the project in slot m?"""
    if not state.present[i, m] or state.taken[i, m] >= 0:
        return False
    if state.piloting[i, m]:
        return params.pilots[role]
    c, g = state.kind[i, m], state.milestones[i, m]
    return g < params.milestones[c] and params.pace[role, c, g] > 0.0


@inlined
def ask(params, state, i, q):
    """The first question from q on that leaves a choice."""
    slots, people = params.slots, params.role.shape[0]
    while q < slots and not (state.present[i, q] and state.review[i, q]):
        q += 1
    while slots <= q < slots + people:
        some = False
        for m in range(slots):
            some = some or may_take(params, state, i, m, params.role[q - slots])
        if some:
            break
        q += 1
    state.question[i] = q


@inlined
def reply(params, state, ledger, i, action):
    """Carry out the answer to the question at hand, and ask the next."""
    q, slots = state.question[i], params.slots
    if q < slots:
        state.review[i, q] = False
        if action == slots + PILOT:
            state.piloting[i, q] = True
        elif action == slots + SHIP:
            c, age = state.kind[i, q], min(state.age[i, q], params.window)
            per_week = params.impact[c, state.level[i, q]] * state.factor[i, q]
            hours = per_week * (params.window - age if params.closes else params.window)
            accuracy = params.accuracy[c, state.hard[i, q], state.milestones[i, q]]
            ledger[i, SHIPPED] += 1.0
            ledger[i, HOURS_SAVED] += hours
            ledger[i, EXCESS_ERRORS] += hours * (params.human[c] - accuracy)
            ledger[i, DELAY_HOURS] += per_week * age
            state.present[i, q] = False
        elif action == slots + STOP:
            ledger[i, STOPPED] += 1.0
            state.present[i, q] = False
    elif action < slots:
        state.taken[i, action] = params.role[q - slots]
    ask(params, state, i, q + 1)


@inlined
def binomial(cases, share, u):
    """Number of right cases, by inversion."""
    chance = (1.0 - share) ** cases
    total, k = chance, 0
    while k < cases and u >= total:
        chance *= (cases - k) / (k + 1.0) * share / (1.0 - share)
        total += chance
        k += 1
    return k


@inlined
def work(params, state, record, ledger, i, m):
    """A week's work on the project in slot m: a pilot, or a try at the next milestone and a test."""
    c, hard, role = state.kind[i, m], state.hard[i, m], state.taken[i, m]
    ledger[i, len(PLAIN) + role] += 1.0
    state.effort[i, m] += 1.0
    state.review[i, m], state.taken[i, m] = True, -1
    if state.piloting[i, m]:
        good = record.work[i, m] < params.pilot_good[c, hard]
        easy, difficult = params.pilot_good[c, EASY], params.pilot_good[c, HARD]
        state.odds[i, m] += np.log(difficult / easy if good else (1.0 - difficult) / (1.0 - easy))
        state.pilots[i, m] += 1
        state.piloting[i, m] = False
        ledger[i, PILOTS] += 1.0
        return
    if record.work[i, m] < params.pace[role, c, state.milestones[i, m]]:
        state.milestones[i, m] += 1
    if params.tests > 0:
        easy, difficult = params.accuracy[c, EASY, state.milestones[i, m]], params.accuracy[c, HARD, state.milestones[i, m]]
        right = binomial(params.tests, difficult if hard else easy, record.test[i, m])
        state.measured[i, m] = right / params.tests
        state.odds[i, m] += right * np.log(difficult / easy)
        state.odds[i, m] += (params.tests - right) * np.log((1.0 - difficult) / (1.0 - easy))


@inlined
def pass_week(params, state, record, ledger, i):
    """Work, age, close, propose."""
    people = params.role.shape[0]
    ledger[i, WEEKS], ledger[i, IDLE_WEEKS] = 1.0, people
    for m in range(params.slots):
        if state.present[i, m]:
            ledger[i, PROJECT_WEEKS] += 1.0
            if state.taken[i, m] >= 0:
                ledger[i, IDLE_WEEKS] -= 1.0
                work(params, state, record, ledger, i, m)
            state.age[i, m] += 1.0
            if params.closes and state.age[i, m] >= params.window:
                state.present[i, m] = False
                ledger[i, EXPIRED] += 1.0
            elif record.interest[i, m] < params.withdrawn:
                state.present[i, m] = False
                ledger[i, WITHDRAWN] += 1.0
    state.clock[i] += 1.0
    week = mix(state.key[i], state.records[i])
    for c in range(params.arrival.shape[0]):
        if record.proposal[i, c]:
            propose(params, state, ledger, record, i, c, mix(week, c))
    state.records[i] += 1
    ask(params, state, i, 0)


@inlined
def step(params, state, action, record, out, i):
    """Answer one question; when none is left the week passes."""
    people = params.role.shape[0]
    for column in range(out.ledger.shape[1]):
        out.ledger[i, column] = 0.0
    out.elapsed[i] = 0.0
    last = state.question[i] == params.slots + people
    if not last:
        reply(params, state, out.ledger, i, action[i])
        last = state.question[i] == params.slots + people
    if last:
        pass_week(params, state, record, out.ledger, i)
        out.elapsed[i] = 1.0
    # Without proposals an empty portfolio stays empty.
    over = True
    for c in range(params.arrival.shape[0]):
        over = over and params.arrival[c] == 0.0
    for m in range(params.slots):
        over = over and not state.present[i, m]
    out.terminated[i] = over
    out.truncated[i] = not over and out.elapsed[i] > 0.0 and state.clock[i] >= params.horizon


@inlined
def find_out(record, i, c, key):
    """The truth of a project, from its key."""
    for k in range(record.truth.shape[2]):
        record.truth[i, c, k] = uniform(key, TRUTH + k)


@inlined
def draw(params, state, record, i):
    """Record number `state.records[i]`: the week's proposals, and the luck of whoever is worked on."""
    week = mix(state.key[i], state.records[i])
    for c in range(params.arrival.shape[0]):
        record.proposal[i, c] = uniform(mix(week, c), 0) < params.arrival[c]
        find_out(record, i, c, mix(week, c))
    for m in range(params.slots):
        if state.present[i, m]:
            key = mix(state.project[i, m], np.int64(state.effort[i, m]) + 1)
            record.work[i, m], record.test[i, m] = uniform(key, 0), uniform(key, 1)
            record.interest[i, m] = uniform(state.project[i, m], INTEREST + np.int64(state.age[i, m]))


@inlined
def reset(params, state, record, out, i):
    """Start an episode with the projects of `start`."""
    state.key[i] = episode_key(out.seed[i], out.stream[i], out.episode[i])
    state.records[i], state.clock[i] = 1, 0.0
    for m in range(params.slots):
        state.present[i, m] = False
    first = mix(state.key[i], 0)
    for c in range(params.start.shape[0]):
        for k in range(params.start[c]):
            key = mix(mix(first, c), k)
            find_out(record, i, c, key)
            propose(params, state, out.ledger, record, i, c, key)
    ask(params, state, i, 0)


def context_names(roles: list[str]) -> list[str]:
    """Names of the entries that are not of a project."""
    return ["reviewing", *[f"asked/{role}" for role in roles], "people_left", "free_slots"]


def project_names(kinds: list[str], log_effort: bool) -> list[str]:
    """Names of the entries of one project."""
    names = ["present", "reviewed", "taken", "piloting", "impact", "human_accuracy", "milestones", "expected_accuracy"]
    names += ["hard_probability", "measured_accuracy", "pilots", *[f"kind/{kind}" for kind in kinds]]
    return names + (["effort", "age"] if log_effort else [])


@inlined
def observe(params, state, observation, mask, i):
    """Write what the team knows of row i, and which answers are legal."""
    slots, people, roles, kinds = params.slots, params.role.shape[0], params.pilots.shape[0], params.arrival.shape[0]
    q = state.question[i]
    asked = params.role[q - slots] if slots <= q < slots + people else -1
    observation[i, 0] = q < slots
    for r in range(roles):
        observation[i, 1 + r] = r == asked
    observation[i, 1 + roles] = slots + people - max(q, slots)
    f, free = 3 + roles, 0
    entries = 11 + kinds + (2 if params.log_effort else 0)
    for m in range(slots):
        mask[i, m] = asked >= 0 and may_take(params, state, i, m, asked)
        for k in range(entries):
            observation[i, f + k] = 0.0
        if state.present[i, m]:
            c = state.kind[i, m]
            observation[i, f], observation[i, f + 1], observation[i, f + 2] = 1.0, q == m, state.taken[i, m] >= 0
            observation[i, f + 3], observation[i, f + 4] = state.piloting[i, m], params.impact[c, state.level[i, m]]
            observation[i, f + 5], observation[i, f + 6] = params.human[c], state.milestones[i, m]
            observation[i, f + 7] = expected_accuracy(params, state, i, m)
            observation[i, f + 8], observation[i, f + 9] = hard_probability(state, i, m), state.measured[i, m]
            observation[i, f + 10], observation[i, f + 11 + c] = state.pilots[i, m], 1.0
            if params.log_effort:
                observation[i, f + 11 + kinds], observation[i, f + 12 + kinds] = state.effort[i, m], state.age[i, m]
        else:
            free += 1
        f += entries
    observation[i, 2 + roles] = free
    mask[i, slots + LEAVE] = True
    for k in range(PILOT, STOP + 1):
        mask[i, slots + k] = False
    if q < slots:
        some = False
        for r in range(roles):
            some = some or params.pilots[r]
        begun = state.milestones[i, q] > 0 or state.piloting[i, q]
        mask[i, slots + PILOT] = some and not begun and state.pilots[i, q] < params.most_pilots
        mask[i, slots + SHIP] = expected_accuracy(params, state, i, q) >= params.required[state.kind[i, q]] - 1e-12
        mask[i, slots + STOP] = True


@batched
def advance(params, state, record, action, out, first, last, autoreset):
    """Step rows first..last-1, and reset those that ended; `out` is problem.Outputs. Returns (-1, 0): nothing can be full."""
    for i in range(np.uint64(first), np.uint64(last)):
        if rests(out, i, autoreset):
            continue
        draw(params, state, record, i)
        step(params, state, action, record, out, i)
        if autoreset and (out.terminated[i] or out.truncated[i]):
            observe(params, state, out.final_observation, out.final_mask, i)
            out.episode[i] += 1
            proposed, away = out.ledger[i, PROPOSED], out.ledger[i, TURNED_AWAY]
            reset(params, state, record, out, i)
            out.ledger[i, PROPOSED], out.ledger[i, TURNED_AWAY] = proposed, away
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
        reset(params, state, record, out, i)
        for column in range(out.ledger.shape[1]):
            out.ledger[i, column] = 0.0
        observe(params, state, out.observation, out.mask, i)
