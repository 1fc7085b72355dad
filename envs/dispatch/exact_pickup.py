"""A small desk with pickup decisions as a finite chain: the classes of problem of exact.py, with a limited queue.

State: people busy, the queue in order of arrival, and the event. A place in the queue holds the score bin of its request,
or 0 if nobody will forward it, as the observation shows them with places_shown = queue_limit. Whether it is easy is seen at the
pickup only: until then its probability is that of its bin. Events: an arrival with its bin, a person who has picked up an
easy request, or none. Decisions take no time; forwarding must not either (put a price on `forwards` instead).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from pointsman.envs.ledger import Ledger
from pointsman.envs.markov import Chain
from pointsman.envs.problem import Problem
from pointsman.errors import PointsmanError

MOST = 400_000
"""States beyond which a queue is too long to be told place by place."""


class Desk(NamedTuple):
    """People busy, bins of those who wait, first come first; `event`: 0 none, b an arrival in bin b, PICKED a pickup."""

    busy: int
    queue: tuple[int, ...]
    event: int


PICKED = -1
Outcome = tuple[float, Desk, dict[str, float]]
"""Probability, state, and what is booked on the way there."""


class Small:
    """The rules of the desk, one at a time: what a decision, an arrival, a completion and a lost patience lead to."""

    def __init__(self, problem: Problem, easy: Any, weight: Any):
        p = problem.params
        self.staff, self.places, self.bins = int(p.staff[0, 0]), int(p.queue_limit[0]), len(easy)
        self.easy, self.weight, self.success, self.unnoticed = easy, weight, p.success, p.unnoticed
        self.arrival, self.service = float(p.arrival_rate[0, 0]), 1.0 / float(p.handling[0, 0] * p.effort[0, 0])
        self.leaving = 1.0 / float(p.patience[0])
        self.pickup, self.usable = bool(p.pickup), p.automation_capacity > 0
        self.total = self.arrival + self.staff * self.service + self.places * self.leaving

    def legal(self, state: Desk) -> list[int]:
        """Actions: automation, people, process, forward; where nothing is decided, the one that stands for going on."""
        if state.event == PICKED:
            return [2, 3]
        if state.event == 0:
            return [0]
        room = state.busy < self.staff or len(state.queue) < self.places
        return ([0] if self.usable else []) + ([1] if room or not self.usable else [])

    def fails(self, easy: float) -> tuple[float, float]:
        """Probabilities of a bounce and of a failure that nobody notices."""
        lost = 1.0 - (easy * self.success[1] + (1.0 - easy) * self.success[0])
        return lost * (1.0 - self.unnoticed), lost * self.unnoticed

    def decide(self, state: Desk, action: int) -> Iterator[Outcome]:
        """Where a decision leads at once."""
        now, event = state._replace(event=0), state.event
        if event == 0:
            yield 1.0, now, {}
        elif action == 2:
            yield 1.0, now._replace(busy=now.busy + 1), {}
        elif action == 1:
            yield from self.enter(now, event if self.pickup else 0, {"arrived": 1.0})
        else:
            # Who forwards is free again at once; a bounce joins the queue before the next is called.
            booked = {"automation_attempts": 1.0} | ({"forwards": 1.0} if event == PICKED else {"arrived": 1.0})
            bounce, lost = self.fails(1.0 if event == PICKED else self.easy[event - 1])
            for chance, what in ((1.0 - bounce - lost, "automated"), (lost, "undetected_errors")):
                if chance > 0.0:
                    yield from self.call(now, chance, booked | {what: 1.0})
            if bounce > 0.0:
                booked = booked | {"bounces": 1.0}
                if event == PICKED:
                    full = len(now.queue) == self.places and now.busy + 1 == self.staff
                    queue = now.queue if full else (*now.queue, 0)
                    booked = booked | {"turned_away" if full else "human_entries": 1.0}
                    yield from self.call(now._replace(queue=queue), bounce, booked)
                else:
                    for chance, after, more in self.enter(now, 0, booked):
                        yield bounce * chance, after, more

    def enter(self, state: Desk, place: int, booked: dict[str, float]) -> Iterator[Outcome]:
        """A request with that place in the queue to be joins the people."""
        if state.busy < self.staff:
            yield from self.picked(state, place, 1.0, booked | {"human_entries": 1.0})
        elif len(state.queue) < self.places:
            yield 1.0, state._replace(queue=(*state.queue, place)), booked | {"human_entries": 1.0}
        else:
            yield 1.0, state, booked | {"turned_away": 1.0}

    def call(self, state: Desk, chance: float, booked: dict[str, float]) -> Iterator[Outcome]:
        """A person is free: the next in the queue is picked up."""
        if state.queue and state.busy < self.staff:
            yield from self.picked(state._replace(queue=state.queue[1:]), state.queue[0], chance, booked)
        else:
            yield chance, state, booked

    def picked(self, state: Desk, place: int, chance: float, booked: dict[str, float]) -> Iterator[Outcome]:
        """A free person picks up a request, and has a decision to make if it is easy and has not bounced."""
        easy = self.easy[place - 1] if place > 0 and self.usable else 0.0
        booked = booked | {"answered": 1.0}
        if easy > 0.0:
            yield chance * easy, state._replace(event=PICKED), booked
        if easy < 1.0:
            yield chance * (1.0 - easy), state._replace(busy=state.busy + 1), booked

    def events(self, state: Desk) -> Iterator[Outcome]:
        """The next event of the uniformised chain, after the decision; `state.event` is 0."""
        spent = self.arrival + state.busy * self.service + len(state.queue) * self.leaving
        for b in range(self.bins):
            yield self.arrival * self.weight[b] / self.total, state._replace(event=b + 1), {}
        if state.busy:
            yield from self.call(state._replace(busy=state.busy - 1), state.busy * self.service / self.total, {})
        for k in range(len(state.queue)):
            left = state._replace(queue=state.queue[:k] + state.queue[k + 1 :])
            yield self.leaving / self.total, left, {"abandoned": 1.0}
        yield 1.0 - spent / self.total, state, {}


def chain(problem: Problem, easy: Any, weight: Any) -> Chain:
    """All states that can be reached; `easy` and `weight` [B] are the bins' probabilities."""
    desk, ledger = Small(problem, easy, weight), Ledger(problem.columns)
    kinds = desk.bins + 1 if desk.pickup else 1
    if sum(kinds**k for k in range(desk.places + 1)) * (desk.bins + 2) > MOST:
        raise PointsmanError(f"{problem.id}: too many states with queue_limit={desk.places}: take a shorter queue or fewer bins")
    column = {name: int(ledger[name][0]) for name in ledger.columns}
    number: dict[Desk, int] = {Desk(0, (), 0): 0}
    states, mask, passing = [Desk(0, (), 0)], [], []
    entries: list[list[tuple[int, int, float]]] = [[] for _ in range(4)]
    booked: list[tuple[int, int, int, float]] = []
    k = 0

    def index(state: Desk) -> int:
        if state not in number:
            number[state] = len(states)
            states.append(state)
        return number[state]

    while k < len(states):
        legal, flows = desk.legal(states[k]), np.zeros(4)
        for action in legal:
            found: dict[Desk, float] = {}
            for chance, after, lump in desk.decide(states[k], action):
                booked += [(k, action, column[name], chance * count) for name, count in lump.items()]
                if after.event:  # another decision at once
                    found[after] = found.get(after, 0.0) + chance
                    continue
                flows[action] += chance / desk.total
                held = {"waiting_minutes": len(after.queue), "busy_minutes": after.busy, "paid_minutes": desk.staff}
                booked += [(k, action, column[name], chance * minutes / desk.total) for name, minutes in held.items()]
                for share, then, more in desk.events(after):
                    found[then] = found.get(then, 0.0) + chance * share
                    booked += [(k, action, column[name], chance * share * count) for name, count in more.items()]
            entries[action] += [(k, index(then), chance) for then, chance in found.items()]
        mask.append([action in legal for action in range(4)])
        passing.append(flows)
        k += 1

    quantities = np.zeros((k, 4, len(problem.columns)))
    rows = np.array(booked)
    np.add.at(quantities, tuple(rows[:, :3].astype(int).T), rows[:, 3])
    transition = []
    for part in entries:
        row, to, odds = np.array(part).reshape(-1, 3).T
        transition.append(sparse.csr_array((odds, (row.astype(int), to.astype(int))), (k, k)))
    actions = len(problem.actions)
    return Chain(
        transition=tuple(transition[:actions]),
        ledger=quantities[:, :actions],
        cost=quantities[:, :actions] @ ledger.price_vector(problem.prices),
        elapsed=np.array(passing)[:, :actions],
        observation=_observe(problem, states),
        mask=np.array(mask)[:, :actions],
        decision=np.array([state.event != 0 for state in states]),
    )


def _observe(problem: Problem, states: list[Desk]) -> Any:
    """What the kernel shows in each state, [S, F]."""
    score = problem.params.bin_score
    seen = {field.name: np.zeros(len(states)) for field in problem.observation}
    for k, state in enumerate(states):
        seen["score"][k] = score[state.event - 1] if state.event > 0 else float(state.event == PICKED)
        seen["in_service"][k], seen["waiting"][k] = state.busy, len(state.queue)
        if "pickup" in seen:
            seen["pickup"][k] = state.event == PICKED
            for place, b in enumerate(state.queue):
                seen[f"place_{place + 1}"][k] = score[b - 1] if b else 0.0
    return np.stack(list(seen.values()), 1).astype(np.float32)
