"""A slow, obvious twin of the dispatch kernel: a heap of events and lists of objects, fed with the same records."""

import heapq
import itertools
from collections import Counter
from dataclasses import dataclass

import numpy as np


@dataclass
class Request:
    kind: int
    work: float
    patience: float
    entered: float = 0.0


class NaiveDesk:
    """One episode; `decide(action, gap)` books what happens until `gap` later, as a Counter of ledger columns."""

    def __init__(self, config, clock, on_duty):
        self.config, self.clock, self.on_duty = config, clock, on_duty
        self.kinds, self.teams = list(config["classes"]), list(config["teams"])
        self.busy = [0 for _ in self.teams]
        self.queues = [[] for _ in self.teams]
        self.in_automation = 0
        self.events, self.ties = [], itertools.count()

    def column(self, family, name, names):
        return family if len(names) == 1 else f"{family}/{name}"

    def book(self, family, request, amount=1.0):
        self.ledger[self.column(family, self.kinds[request.kind], self.kinds)] += amount

    def schedule(self, when, what, *details):
        heapq.heappush(self.events, (when, next(self.ties), what, details))

    def start(self, team, request):
        wait = self.clock - request.entered
        self.busy[team] += 1
        self.book("answered", request)
        self.book("answer_wait_minutes", request, wait)
        if wait <= self.config["classes"][self.kinds[request.kind]]["target_minutes"]:
            self.book("answered_in_target", request)
        self.schedule(self.clock + request.work, "completed", team)

    def pick_up(self, team):
        while self.queues[team] and self.busy[team] < self.on_duty(team, self.clock):
            self.start(team, self.queues[team].pop(0))

    def join(self, team, request):
        limit = self.config["teams"][self.teams[team]]["queue_limit"]
        request.entered = self.clock
        if self.busy[team] >= self.on_duty(team, self.clock) and limit is not None and len(self.queues[team]) >= limit:
            self.book("turned_away", request)
            return
        self.ledger["human_entries"] += 1
        self.queues[team].append(request)
        self.schedule(self.clock + request.patience, "gives_up", team, request)
        self.pick_up(team)

    def leave_automation(self, ok, request):
        if ok:
            self.book("automated", request)
        else:
            self.ledger["bounces"] += 1
            self.join(0, request)

    def decide(self, action, kind, work, patience, ok, latency, gap):
        self.ledger = Counter()
        request = Request(kind, work, patience)
        self.book("arrived", request)
        end = self.clock + gap
        for hour in range(int(self.clock // 60) + 1, int(end // 60) + 1):
            self.schedule(hour * 60.0, "hour")
        if action > 0:
            self.join(action - 1, request)
        else:
            self.ledger["automation_attempts"] += 1
            if latency == 0:
                self.leave_automation(ok, request)
            else:
                self.in_automation += 1
                self.schedule(self.clock + latency, "landed", ok, request)
        while self.events and self.events[0][0] < end:
            when, _, what, details = heapq.heappop(self.events)
            self.pass_time(when)
            if what == "completed":
                self.busy[details[0]] -= 1
            elif what == "gives_up" and any(waiting is details[1] for waiting in self.queues[details[0]]):
                self.queues[details[0]] = [waiting for waiting in self.queues[details[0]] if waiting is not details[1]]
                self.book("abandoned", details[1])
            elif what == "landed":
                self.in_automation -= 1
                self.leave_automation(*details)
            for team in range(len(self.teams)):
                self.pick_up(team)
        self.pass_time(end)
        return self.ledger

    def pass_time(self, until):
        span = until - self.clock
        for team, name in enumerate(self.teams):
            on_duty = self.on_duty(team, self.clock)
            self.ledger[self.column("busy_minutes", name, self.teams)] += self.busy[team] * span
            self.ledger[self.column("paid_minutes", name, self.teams)] += max(self.busy[team], on_duty) * span
            for request in self.queues[team]:
                self.book("waiting_minutes", request, span)
        self.clock = until


def whole_staff(config):
    """on_duty(team, clock) for whole numbers of staff."""
    rows = [np.atleast_1d(team["staff"]) for team in config["teams"].values()]
    return lambda team, clock: int(rows[team][int(clock // 60) % len(rows[team])])
