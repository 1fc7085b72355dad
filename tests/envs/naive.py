"""A slow, obvious twin of the dispatch kernel: a heap of events and lists of objects, fed with the same records."""

import heapq
import itertools
from collections import Counter
from dataclasses import dataclass

import numpy as np


@dataclass(eq=False)
class Request:
    kind: int
    easy: bool
    work: float
    patience: float
    fate: str  # what automation makes of it: solved, unnoticed, bounced
    latency: float
    score: float
    entered: float = 0.0
    tried: bool = False


class NaiveDesk:
    """One episode; `decide` books what happens until the next decision, as a Counter of ledger columns.

    Args:
        on_duty: on_duty(team, clock) -> people.
        outages: clocks at which automation goes out and comes back, in turn.
    """

    def __init__(self, config, clock, on_duty, outages=()):
        self.config, self.clock, self.on_duty = config, clock, on_duty
        self.kinds, self.teams = list(config["classes"]), list(config["teams"])
        self.busy = [0 for _ in self.teams]
        self.queues = [[] for _ in self.teams]
        self.flying = []
        self.out = False
        self.picked = None  # (team, request) that a person decides on
        self.events, self.ties = [], itertools.count()
        for k, when in enumerate(outages):
            if when > clock:
                self.schedule(when, "outage", k % 2 == 0)
            else:
                self.out = k % 2 == 0

    def column(self, family, name, names):
        return family if len(names) == 1 else f"{family}/{name}"

    def book(self, family, request, amount=1.0):
        self.ledger[self.column(family, self.kinds[request.kind], self.kinds)] += amount

    def schedule(self, when, what, *details):
        heapq.heappush(self.events, (when, next(self.ties), what, details))

    def minutes(self, team, request):
        speed = self.config["teams"][self.teams[team]]["speed"]
        if isinstance(speed, dict):
            speed = speed[self.kinds[request.kind]]
        longer = self.config["automation"]["bounce_handling_factor"] if request.tried else 1.0
        return request.work * longer / (1.0 if speed is None else speed)

    def occupy(self, team, minutes):
        self.busy[team] += 1
        self.schedule(self.clock + minutes, "completed", team)

    def usable(self):
        capacity = self.config["automation"]["capacity"]
        return not self.out and (capacity is None or len(self.flying) < capacity)

    def pick_up(self):
        for team in range(len(self.teams)):
            while self.queues[team] and self.busy[team] < self.on_duty(team, self.clock) and self.picked is None:
                request = self.queues[team].pop(0)
                wait = self.clock - request.entered
                self.book("answered", request)
                self.book("answer_wait_minutes", request, wait)
                if wait <= self.config["classes"][self.kinds[request.kind]]["target_minutes"]:
                    self.book("answered_in_target", request)
                if self.config["pickup_decisions"] and request.easy and not request.tried and self.usable():
                    self.picked = team, request
                else:
                    self.occupy(team, self.minutes(team, request))

    def join(self, team, request):
        limit = self.config["teams"][self.teams[team]]["queue_limit"]
        at_once = self.busy[team] < self.on_duty(team, self.clock) and not self.queues[team]
        if not at_once and limit is not None and len(self.queues[team]) >= limit:
            self.book("turned_away", request)
            return
        self.ledger["human_entries"] += 1
        request.entered = self.clock
        self.queues[team].append(request)
        self.schedule(self.clock + request.patience, "gives_up", team, request, self.clock)

    def leave_automation(self, request, fate):
        if fate == "solved":
            self.book("automated", request)
        elif fate == "unnoticed":
            self.ledger["undetected_errors"] += 1
        else:
            self.ledger["bounces"] += 1
            request.tried = True
            chosen = self.config["bounce_team"]
            chosen = chosen[self.kinds[request.kind]] if isinstance(chosen, dict) else chosen
            self.join(0 if chosen is None else self.teams.index(chosen), request)

    def automate(self, request):
        self.ledger["automation_attempts"] += 1
        if request.latency == 0:
            self.leave_automation(request, request.fate)
        else:
            self.flying.append((self.clock + request.latency, request))
            self.schedule(self.clock + request.latency, "landed", request)

    def decide(self, action, request, next_arrival):
        """Carry out a decision on `request` (or on the one picked up), and run to the next one or to `next_arrival`."""
        self.ledger = Counter()
        for slot in range(int(self.clock // 15) + 1, int(next_arrival // 15) + 1):
            self.schedule(slot * 15.0, "slot")
        if self.picked is not None:
            team, request = self.picked
            self.picked = None
            if action == len(self.teams) + 1:
                self.occupy(team, self.minutes(team, request))
            else:
                self.occupy(team, self.config["forward_minutes"])
                self.ledger["forwards"] += 1
                self.automate(request)
        else:
            self.book("arrived", request)
            if action == 0:
                self.automate(request)
            else:
                self.join(action - 1, request)
        self.pick_up()
        while self.picked is None and self.events and self.events[0][0] < next_arrival:
            when, _, what, details = heapq.heappop(self.events)
            self.pass_time(max(when, self.clock))
            if what == "completed":
                self.busy[details[0]] -= 1
            elif what == "gives_up":
                team, waiting, since = details
                if waiting in self.queues[team] and waiting.entered == since:
                    self.queues[team].remove(waiting)
                    self.book("abandoned", waiting)
            elif what == "landed" and any(request is details[0] for _, request in self.flying):
                self.flying = [flight for flight in self.flying if flight[1] is not details[0]]
                self.leave_automation(details[0], details[0].fate)
            elif what == "outage":
                self.out = details[0]
                if self.out:
                    lost, self.flying = sorted(self.flying, key=lambda flight: flight[0]), []
                    for _, request in lost:
                        self.leave_automation(request, "bounced")
            self.pick_up()
        if self.picked is None:
            self.pass_time(next_arrival)
        return self.ledger

    def pass_time(self, until):
        span = until - self.clock
        for team, name in enumerate(self.teams):
            on_duty = self.on_duty(team, self.clock)
            self.ledger[self.column("busy_minutes", name, self.teams)] += self.busy[team] * span
            self.ledger[self.column("paid_minutes", name, self.teams)] += max(self.busy[team], on_duty) * span
            for request in self.queues[team]:
                self.book("waiting_minutes", request, span)
        self.ledger["outage_minutes"] += span if self.out else 0.0
        self.clock = until


DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def whole_staff(config):
    """on_duty(team, clock) for whole numbers of staff, and for shifts given by single days and times such as 8:15."""
    teams = list(config["teams"].values())

    def minute(text):
        hour, rest = text.split(":")
        return 60 * int(hour) + int(rest)

    def on_duty(team, clock):
        if teams[team]["shifts"] is None:
            row = np.atleast_1d(teams[team]["staff"])
            return int(row[int(clock // 60) % len(row)])
        people = 0
        for shift in teams[team]["shifts"]:
            start, end = minute(shift["start"]), minute(shift["end"])
            for day in shift["days"].split(","):
                since = (clock - 1440 * DAYS.index(day.strip()) - start) % 10080
                people += shift["staff"] if since < (end - start) % 1440 else 0
        return int(people)

    return on_duty
