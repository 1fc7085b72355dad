"""What a desk is and what state it is in: the kernel's parameters, records and state, by name and shape."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.arrays import Floats, Integers


class Params(NamedTuple):
    """What the problem is; K classes, J teams, R regimes, B score bins, H slots of the week (1 or 168)."""

    arrival_rate: Floats  # [R, H] per minute
    switching_rate: Floats  # [R] per minute, of leaving a regime for the next
    slot_minutes: float  # length of a slot; infinite if nothing changes with the hour
    class_cumulative: Floats  # [H, K] class mix
    bin_score: Floats  # [B] score shown
    bin_easy: Floats  # [B] probability of easy; empty: binormal scores
    bin_cumulative: Floats  # [B]
    easy_share: Floats  # [K] binormal: share of easy requests
    easy_odds: Floats  # [K] logarithm of its odds
    separation: float  # binormal: distance of the means in standard deviations
    overconfidence: float  # factor on the log-odds of the binormal score; 1 is calibrated
    handling: Floats  # [K, 2] by class and easy (0 hard, 1 easy): mean (exponential) or median (lognormal)
    handling_sigma: Floats  # [K] of the lognormal; 0: exponential
    patience: Floats  # [K] mean
    target: Floats  # [K] wait within which an answer counts as in target
    success: Floats  # [2] automation succeeds, hard and easy
    automation_capacity: int
    latency: float  # mean, exponential
    bounce_team: Integers  # [K]
    bounce_effort: float  # factor on the handling of requests that have bounced
    effort: Floats  # [J, K] minutes that a team takes for one of base handling; infinite: it may not have that class
    staff: Floats  # [J, H]; the fraction is the probability of one more in that slot and episode
    queue_limit: Integers  # [J]
    bucket_edge: Floats  # [BUCKETS] lower edges of the wait buckets
    horizon: float
    start: float  # minute of the week at which an episode starts; negative: drawn
    trace: Floats  # [T, 4] recorded arrival minute, class, handling, patience; NaN: drawn
    regime_observed: bool
    rich: tuple[bool, ...]  # (): without pickups, outages, drift and unnoticed failures, and what follows is not read
    pickup: bool  # people decide on easy requests that they have picked up
    forward_minutes: float  # of the person who forwards
    places_shown: int  # of each queue, in the observation
    unnoticed: float  # share of automation's failures that nobody notices
    outage: Floats  # [2] mean minutes from an outage to the next, and of an outage, exponential; infinite: none
    drift: Floats  # [3] share of the discrimination that remains in the end, minutes of the episode when its loss begins and ends
    bin_mean: float  # mean of bin_easy


class Request(NamedTuple):
    """What one arrival brings, [N] each; handling and patience are base quantities in minutes."""

    kind: Integers  # class
    score: Floats
    easy: Integers
    handling: Floats
    patience: Floats  # measured from joining a queue
    success: Floats  # uniform: automation succeeds iff below its success probability
    latency: Floats


class Record(NamedTuple):
    """The request drawn next, and what it is drawn from; a function of the exogenous state, so drawing it twice does no harm."""

    gap: Floats  # [N] minutes since the request before
    regime: Integers  # [N] at its arrival
    switch: Floats  # [N]
    request: Request
    key: NDArray[np.uint64]  # [N]
    noise: Floats  # [C, N] exponentials of mean 1 in GAP, HANDLING, PATIENCE and LATENCY, else uniforms


class State(NamedTuple):
    """Everything that the future depends on; N rows, Q places to wait, S staff, A places in automation.

    Regime and switch are as of the last arrival. Without pickup decisions `second` and `held` have no columns.
    """

    key: NDArray[np.uint64]  # [N] of the episode
    records: Integers  # [N] consumed so far
    clock: Floats  # [N] minutes since the start of the first week
    origin: Floats  # [N] clock at reset
    arrived: Floats  # [N] clock of the last arrival
    regime: Integers  # [N]
    switch: Floats  # [N] clock of the next regime switch
    request: Request  # that arrived last
    picked: Integers  # [N] 1 + the team of the person who has picked up a request and decides; 0: the arrival is at hand
    held: Floats  # [N, 5] the request picked up
    busy: Integers  # [N, J]
    completion: Floats  # [N, J, S] clocks, latest first
    on_duty: Integers  # [N, J] staff in the present slot
    slot_end: Floats  # [N] clock of the next staffing change
    waiting: Integers  # [N, J]
    called: Integers  # [N, J] of those waiting, who have left since the last decision; 0 at a decision
    queue: Floats  # [N, J, Q, 4]
    second: Floats  # [N, J, Q, 3] the same requests, for those who might forward them
    in_automation: Integers  # [N]
    outages: Integers  # [N] begun and ended so far: odd in an outage
    outage_switch: Floats  # [N] clock at which the next begins or ends
    flight: Floats  # [N, A, 5]
