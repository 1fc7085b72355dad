"""A cluster in plain Python, event by event, with lists and sorting: slow and obvious."""

import math


class Job:
    """One job of a list: arrival, duration, estimate, units by resource."""

    def __init__(self, arrival, duration, estimate, units):
        self.arrival, self.duration, self.estimate, self.units = arrival, duration, estimate, list(units)
        self.began = None


def simulate(jobs, capacity, choose, horizon=math.inf):
    """Run jobs in order of arrival; `choose(clock, queue, running, free)` names the job to start, or None. Returns the clock."""
    queue, running, coming, clock = [], [], list(jobs), 0.0

    def free():
        return [c - sum(job.units[k] for job in running) for k, c in enumerate(capacity)]

    while queue or running or coming:
        ends = [job.began + job.duration for job in running]
        clock = min([*ends, *[job.arrival for job in coming[:1]]])
        if clock >= horizon:
            return horizon
        running = [job for job in running if job.began + job.duration > clock]
        if coming and coming[0].arrival <= clock:
            queue.append(coming.pop(0))
        while (job := choose(clock, queue, running, free())) is not None:
            assert all(units <= left for units, left in zip(job.units, free(), strict=True))
            job.began = clock
            queue.remove(job)
            running.append(job)
    return clock


def fit(job, free):
    """Are enough units free?"""
    return all(units <= left for units, left in zip(job.units, free, strict=True))


def blocking(key):
    """The first by a key starts, once it fits."""

    def choose(clock, queue, running, free):
        first = min(queue, key=key, default=None)
        return first if first is not None and fit(first, free) else None

    return choose


def greedy(key):
    """The first by a key of those that fit."""

    def choose(clock, queue, running, free):
        return min((job for job in queue if fit(job, free)), key=key, default=None)

    return choose


def reservation(clock, head, running, free):
    """When the head can start by estimates, and what is free then beside it: at the first instant at which it fits."""
    for when in sorted({clock, *[job.began + job.estimate for job in running]}):
        gone = [job for job in running if job.began + job.estimate <= when]
        then = [left + sum(job.units[k] for job in gone) for k, left in enumerate(free)]
        if fit(head, then):
            return when, [left - units for left, units in zip(then, head.units, strict=True)]
    raise AssertionError("a job larger than the cluster")


def easy(clock, queue, running, free):
    """EASY backfilling, in order of arrival."""
    if not queue:
        return None
    head, *others = queue
    if fit(head, free):
        return head
    when, spare = reservation(clock, head, running, free)
    for job in others:
        if fit(job, free) and (clock + job.estimate <= when or fit(job, spare)):
            return job
    return None
