"""What a cluster is and what state it is in: the kernel's parameters, records and state, by name and shape."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F = NDArray[np.float64]
I = NDArray[np.int64]  # noqa: E741


class Params(NamedTuple):
    """K resources, J classes of drawn jobs, T jobs of a trace (0: jobs are drawn), U users."""

    kinds: tuple[int, ...]  # as many as there are resources: a length that the compiler knows
    capacity: F  # [K] units of each resource
    unit: F  # [K] share that one unit is
    rate: float  # jobs per unit of time
    tick: float  # time between chances of an arrival; 0: arrivals are Poisson
    log_miss: float  # logarithm of the probability that a tick brings no job
    class_cumulative: F  # [J]
    duration: F  # [J, 2] uniform between these; whole numbers where time runs in steps
    demand: F  # [J, K, 2] whole numbers, uniform from the first to the second
    dominant: F  # [J, 2] the same, for one resource drawn at random; 0, 0: no resource stands out
    slack: float  # an estimate is the duration times 1 up to 1 + slack, uniform
    trace: F  # [T, TRACE + K] jobs in order of submission
    stretch: I  # [2] first row, and the row after the last, at which an episode may begin
    last: int  # row after the last
    users: int
    window: int  # M jobs shown
    clock_shown: bool
    floor: float  # shortest duration that a slowdown is taken of
    horizon: float


class Record(NamedTuple):
    """One arrival, [N] each."""

    gap: F  # since the last one; infinite: none comes any more
    duration: F
    estimate: F  # of its user, never less than the duration
    user: I
    demand: F  # [N, K]


class State(NamedTuple):
    """N rows; Q places for waiting jobs, R for running ones."""

    key: NDArray[np.uint64]  # [N] of the episode
    records: I  # [N] consumed so far
    clock: F  # [N]
    arrived: F  # [N] clock of the last arrival
    first: I  # [N] row of the trace that is record 0
    waiting: I  # [N] jobs in the queue
    job: F  # [N, Q, JOB + K] waiting jobs in order of arrival, see the kernel's fields
    facts: NDArray[np.float32]  # [N, Q, SHARES + K] what is shown of them and never changes
    slowness: F  # [N] slowdown that the queue gathers per unit of time
    work: F  # [N, K] units of each resource times estimated duration, of the queue
    running: I  # [N] jobs that run
    end: F  # [N, R] clock at which a job ends; jobs in order of `promised`
    promised: F  # [N, R] by when it ends by its estimate
    taken: F  # [N, R, K] units of each resource
    owner: I  # [N, R]
    next_end: F  # [N] clock of the next completion; infinite: nothing runs
    used: F  # [N, K] units in use
    pledged: F  # [N, K] sum over running jobs of units times `promised`
    held: F  # [N, U, K] units in use by user
    head_start: F  # [N] time until the job at the head could start, by estimates
    spare: F  # [N, K] units that are free then beside it
    written: I  # [N] candidates that the observation holds
