"""Request dispatch as a finite chain: one class, one team, exponential times, instant automation, score bins.

State: (regime, requests at the people n, event), the event being an arrival with its score bin or none. A
decision takes no time; then the uniformised chain stays 1 / Lambda. At n = `size` a request to the people is
lost without a cost, which makes a truncated chain optimistic: solve a larger one too (pointsman.solve does).
"""

import numpy as np
from scipy import sparse

from pointsman.envs.checks import UNLIMITED
from pointsman.envs.dispatch import exact_pickup
from pointsman.envs.ledger import Ledger
from pointsman.envs.markov import Chain
from pointsman.envs.problem import Problem
from pointsman.errors import PointsmanError

_SILENT = ("answered_in_target", "answer_wait_minutes", "wait_bucket")
"""Ledger columns that need the wait of a single request, which the chain does not carry."""


def chain(problem: Problem, size: int) -> Chain:
    """The chain with at most `size` requests at the people; an error if the problem is not of this kind.

    A desk with a queue limit is solved as it is, whatever the size, by exact_pickup.py.
    """
    _check(problem)
    p, ledger = problem.params, Ledger(problem.columns)
    weight = np.diff(p.bin_cumulative, prepend=0.0)
    # What is left of the classifier; the scores are shown as before.
    easy = p.bin_mean + p.drift[0] * (p.bin_easy - p.bin_mean)
    if p.queue_limit[0] < UNLIMITED:
        return exact_pickup.chain(problem, easy, weight)
    staff, service, abandonment = int(p.staff[0, 0]), 1.0 / (p.handling[0, 0] * p.effort[0, 0]), 1.0 / p.patience[0]
    bins, regimes = len(p.bin_easy), len(p.switching_rate)
    fails = 1.0 - (easy * p.success[1] + (1.0 - easy) * p.success[0])
    total = p.arrival_rate.max() + staff * service + max(size - staff, 0) * abandonment + p.switching_rate.max()

    r, n, e = (axis.ravel() for axis in np.indices((regimes, size + 1, bins + 1)))
    states = len(r)

    def state(r, n, e):
        return (r * (size + 1) + n) * (bins + 1) + e

    waiting, busy = np.maximum(n - staff, 0), np.minimum(n, staff)

    # What happens between decisions: from (r, n) after the decision, whatever the event was.
    rows, columns, rates = [], [], []

    def flow(rate, target):
        rows.append(np.arange(states))
        columns.append(target)
        rates.append(rate / total)

    for b in range(bins):
        flow(p.arrival_rate[r, 0] * weight[b], state(r, n, b + 1))
    leaving = busy * service + waiting * abandonment
    flow(leaving, state(r, np.maximum(n - 1, 0), 0))
    flow(p.switching_rate[r], state((r + 1) % regimes, n, 0))
    flow(total - p.arrival_rate[r, 0] - leaving - p.switching_rate[r], state(r, n, 0))
    drift = sparse.csr_array((np.concatenate(rates), (np.concatenate(rows), np.concatenate(columns))), (states, states))

    sojourn = np.zeros((states, len(problem.columns)))
    sojourn[:, ledger["waiting_minutes"]] = (waiting / total)[:, None]
    sojourn[:, ledger["abandoned"]] = (waiting * abandonment / total)[:, None]
    sojourn[:, ledger["busy_minutes"]] = (busy / total)[:, None]
    sojourn[:, ledger["paid_minutes"]] = staff / total
    # A completion lets the next in the queue be answered.
    sojourn[:, ledger["answered"]] = np.where(n > staff, busy * service / total, 0.0)[:, None]

    # Where a decision leads at once: to the people with probability `enters`, else nowhere.
    arrival = e > 0
    bounce = np.where(arrival, fails[np.maximum(e - 1, 0)], 0.0)
    after_entry = np.minimum(n + 1, size)
    transitions, booked = [], []
    for enters in (bounce, arrival.astype(float)):
        stay = sparse.csr_array((1.0 - enters, (np.arange(states), state(r, n, 0))), (states, states))
        move = sparse.csr_array((enters, (np.arange(states), state(r, after_entry, 0))), (states, states))
        jump = stay + move
        lump = np.zeros_like(sojourn)
        lump[:, ledger["arrived"]] = arrival[:, None]
        lump[:, ledger["human_entries"]] = enters[:, None]
        lump[:, ledger["answered"]] = np.where(n < staff, enters, 0.0)[:, None]
        transitions.append(jump @ drift)
        booked.append(lump + jump @ sojourn)
    booked[0][:, ledger["automation_attempts"]] += arrival[:, None]
    booked[0][:, ledger["bounces"]] += bounce[:, None]
    booked[0][:, ledger["automated"]] += (arrival * (1.0 - bounce))[:, None]

    score = np.where(arrival, p.bin_score[np.maximum(e - 1, 0)], 0.0)
    seen = [score, busy, waiting] + ([r] if regimes > 1 else [])
    quantities = np.stack(booked, 1)
    usable = p.automation_capacity > 0
    return Chain(
        transition=tuple(transitions),
        ledger=quantities,
        cost=quantities @ ledger.price_vector(problem.prices),
        elapsed=np.full((states, 2), 1.0 / total),
        observation=np.stack(seen, 1).astype(np.float32),
        mask=np.stack([np.where(arrival, usable, True), arrival], 1),
        decision=arrival,
    )


def _check(problem: Problem) -> None:
    """Say in one line why a problem has no finite chain here."""
    p, ledger = problem.params, Ledger(problem.columns)
    reasons = {
        "more than one class": p.patience.shape[0] > 1,
        "more than one team": p.staff.shape[0] > 1,
        "hours of the week": p.staff.shape[1] > 1 or p.arrival_rate.shape[1] > 1,
        "a recorded trace": len(p.trace) > 0,
        "binormal scores": len(p.bin_easy) == 0,
        "handling that is not exponential, or differs with difficulty": p.handling_sigma[0] > 0 or np.ptp(p.handling[0]) > 0,
        "automation with latency": p.latency > 0,
        "failures that nobody notices": p.unnoticed > 0 and p.queue_limit[0] == UNLIMITED,
        "outages": p.outage[0] < np.inf,
        "a classifier that goes on drifting": p.drift[0] < 1 and p.drift[2] > 0,
        "handling that takes longer after a bounce": p.bounce_effort != 1,
        "pickup decisions without a queue_limit": p.pickup and p.queue_limit[0] == UNLIMITED,
        "places_shown other than the queue_limit": p.pickup and p.queue_limit[0] not in (UNLIMITED, p.places_shown),
        "time that forwarding takes": p.pickup and p.forward_minutes > 0,
        "regimes and a queue limit": len(p.switching_rate) > 1 and p.queue_limit[0] < UNLIMITED,
        "a fraction of a person": p.staff[0, 0] % 1 > 0,
        "a hidden regime": len(p.switching_rate) > 1 and not p.regime_observed,
    }
    priced = ledger.price_vector(problem.prices)
    reasons |= {f"a price on {name}": bool(priced[ledger[name]].any()) for name in _SILENT}
    found = [reason for reason, holds in reasons.items() if holds]
    if found:
        raise PointsmanError(f"{problem.id} has no exact solution here: it has {', '.join(found)}")
