"""What a cluster is and what state it is in: the kernel's parameters, records and state, by name and shape."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.arrays import Floats, Integers


class Params(NamedTuple):
    """K resources, J classes of drawn jobs, T jobs of a trace (0: jobs are drawn), U users."""

    kinds: tuple[int, ...]  # as many as there are resources: a length that the compiler knows
    capacity: Floats  # [K] units of each resource
    unit: Floats  # [K] share that one unit is
    rate: float  # jobs per unit of time
    tick: float  # time between chances of an arrival; 0: arrivals are Poisson
    log_miss: float  # logarithm of the probability that a tick brings no job
    class_cumulative: Floats  # [J]
    duration: Floats  # [J, 2] uniform between these; whole numbers where time runs in steps
    demand: Floats  # [J, K, 2] whole numbers, uniform from the first to the second
    dominant: Floats  # [J, 2] the same, for one resource drawn at random; 0, 0: no resource stands out
    slack: float  # an estimate is the duration times 1 up to 1 + slack, uniform
    trace: Floats  # [T, TRACE + K] jobs in order of submission
    stretch: Integers  # [2] first row, and the row after the last, at which an episode may begin
    last: int  # row after the last
    users: int
    window: int  # M jobs shown
    clock_shown: bool
    floor: float  # shortest duration that a slowdown is taken of
    horizon: float


class Record(NamedTuple):
    """One arrival, [N] each."""

    gap: Floats  # since the last one; infinite: none comes any more
    duration: Floats
    estimate: Floats  # of its user, never less than the duration
    user: Integers
    demand: Floats  # [N, K]


class State(NamedTuple):
    """N rows; Q places for waiting jobs, R for running ones."""

    key: NDArray[np.uint64]  # [N] of the episode
    records: Integers  # [N] consumed so far
    clock: Floats  # [N]
    arrived: Floats  # [N] clock of the last arrival
    first: Integers  # [N] row of the trace that is record 0
    waiting: Integers  # [N] jobs in the queue
    job: Floats  # [N, Q, JOB + K] waiting jobs in order of arrival, see the kernel's fields
    facts: NDArray[np.float32]  # [N, Q, SHARES + K] what is shown of them and never changes
    slowness: Floats  # [N] slowdown that the queue gathers per unit of time
    work: Floats  # [N, K] units of each resource times estimated duration, of the queue
    running: Integers  # [N] jobs that run
    end: Floats  # [N, R] clock at which a job ends; jobs in order of `promised`
    promised: Floats  # [N, R] by when it ends by its estimate
    taken: Floats  # [N, R, K] units of each resource
    owner: Integers  # [N, R]
    next_end: Floats  # [N] clock of the next completion; infinite: nothing runs
    used: Floats  # [N, K] units in use
    pledged: Floats  # [N, K] sum over running jobs of units times `promised`
    held: Floats  # [N, U, K] units in use by user
    head_start: Floats  # [N] time until the job at the head could start, by estimates
    spare: Floats  # [N, K] units that are free then beside it
    written: Integers  # [N] candidates that the observation holds
