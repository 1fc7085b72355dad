"""What is known exactly of a portfolio: small instances as chains, the discounted optimum of a few independent projects, and
a bound for every instance."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import binom

from pointsman.envs.arrays import Floats
from pointsman.envs.markov import Chain, enumerate_chain
from pointsman.envs.portfolio.events import events
from pointsman.envs.portfolio.kernel import EASY, HARD, Params, State
from pointsman.envs.problem import Problem
from pointsman.errors import PointsmanError


def chain(problem: Problem, size: int) -> Chain:
    """The finite chain of a portfolio whose projects hold no secrets and whose windows do not close; `size` is not needed."""
    p = problem.params
    for key, fits in {
        "window_closes: true": not p.closes,
        "log_effort: true": not p.log_effort,
        "hard projects among easy ones": not ((p.hard_share > 0) & (p.hard_share < 1)).any(),
        "test_cases": p.tests == 0,
        "most_pilots": p.most_pilots == 0,
        "no proposals": bool((p.arrival > 0).any()),
        "withdrawn_per_week: 0, so that idling may never end": p.withdrawn > 0,
    }.items():
        if not fits:
            raise PointsmanError(f"{problem.id} has no exact solution here: it has {key}")
    sizes = [len(p.arrival), p.impact.shape[1], int(p.milestones.max()) + 1, 2, len(p.pilots) + 1, 2]
    if float(np.prod([float(x) for x in sizes])) ** p.slots > 2.0**60 or p.slots > 4:
        raise PointsmanError(f"{problem.id} has no exact solution here: {p.slots} slots are too many")

    def encode(state: State) -> NDArray[np.int64]:
        code = state.question.copy()
        for m in range(p.slots):
            parts = [state.kind, state.level, state.milestones, state.review, state.taken + 1, state.present]
            for part, base in zip(parts, sizes, strict=True):
                code = code * base + np.where(state.present[:, m], part[:, m], 0)
        return code

    # The average does not depend on how the portfolio begins, and true impacts count at their mean.
    small = replace(problem, params=p._replace(start=np.zeros_like(p.start), impact_error=0.0), events=events(p))
    return enumerate_chain(small, encode)


LEFT = (8, 16, 24, 32, 48)
"""Weeks before the end that the bound tells apart."""


NEVER = -1e15
"""Value of an option that there is not."""


class Bound(NamedTuple):
    """No policy costs less per week than `cost`; `price` is what a person-week of each role is worth there."""

    cost: float
    price: Floats  # [R]


def bound(problem: Problem, points: int = 41) -> Bound:
    """Lagrangian bound: the team's limit is kept on average over the weeks only, at the prices by role that bound best.

    Each project is then on its own: working on it week by week, with piloting, shipping and stopping, is a decision problem in
    its age, its milestones and the probability that it is hard. The value is convex in that probability, so that linear
    interpolation between `points` of it errs upwards (Lovejoy 1991), and the bound remains one. It is for the mean over an
    episode: a project that comes in late has no more weeks than are left (rounded up to one of LEFT).
    Hawkins (2003), A Lagrangian decomposition approach to weakly coupled dynamic optimization problems.
    """
    p, projects, wage = problem.params, projects_of(problem, points), float(problem.prices.get("person_weeks", 0.0))
    people = np.bincount(p.role, minlength=len(p.pilots))
    limits = [*[weeks for weeks in LEFT if weeks < p.horizon], p.horizon]
    late = np.diff(limits, prepend=0.0) / p.horizon  # share of the weeks whose proposals have so long left, at most

    def most(by_role: Floats) -> float:
        by_role, total = np.maximum(by_role, 0.0), 0.0
        for c, one in enumerate(projects):
            values = [one.value(by_role + wage, limit) if p.arrival[c] > 0 else 0.0 for limit in limits[:-1]]
            values.append(one.value(by_role + wage, p.horizon))
            total += p.arrival[c] * float(late @ values) + p.start[c] * values[-1] / p.horizon
        return float(people @ by_role) + total

    scale = most(np.zeros(len(people))) / people.sum()
    start = np.full(len(people), 0.2 * scale)
    found = minimize(most, start, method="Nelder-Mead", options={"xatol": 1e-3 * scale, "fatol": 1e-4 * scale, "maxiter": 120})
    return Bound(-float(found.fun), np.maximum(found.x, 0.0))


def projects_of(problem: Problem, points: int = 41) -> list["Project"]:
    """Each kind of project on its own; an error where prices are on what they do not know."""
    price = problem.prices
    if not set(price) <= {"hours_saved", "excess_errors", "person_weeks"}:
        raise PointsmanError(f"the bound of {problem.id} knows prices of hours_saved, excess_errors and person_weeks only")
    worth, error = -float(price.get("hours_saved", 0.0)), float(price.get("excess_errors", 0.0))
    return [Project(problem.params, c, worth, error, points) for c in range(len(problem.params.arrival))]


class Options(NamedTuple):
    """Value of each option [pilots run, milestones, belief], NEVER where there is none, and of the best."""

    best: Floats
    wait: Floats
    work: Floats
    pilot: Floats
    ship: Floats


class Project:
    """One kind of project on its own, for whoever pays by the person-week."""

    def __init__(self, p: Params, c: int, worth: float, error: float, points: int):
        self.p, self.c, self.worth, self.error = p, c, worth, error
        self.belief = np.linspace(0.0, 1.0, points)
        self.weights = np.diff(p.impact_cumulative[c], prepend=0.0)
        steps, accuracy = int(p.milestones[c]), p.accuracy[c]
        self.accuracy = accuracy[EASY, : steps + 1, None] * (1 - self.belief) + accuracy[HARD, : steps + 1, None] * self.belief
        tests = [self._update(binom.pmf(np.arange(p.tests + 1)[:, None], p.tests, accuracy[:, g]).T) for g in range(steps + 1)]
        self.test = np.array(tests)  # [G + 1, B, B] what a test after so many milestones does to the belief
        self.pilot = self._update(np.array([p.pilot_good[c], 1.0 - p.pilot_good[c]]).T)

    def _update(self, likelihood: Floats) -> Floats:
        """[B, B]: where beliefs go, each between the two points next to it; likelihood [2, K] of K outcomes if easy, if hard."""
        easy, hard = likelihood
        b = self.belief
        chance = (1 - b)[:, None] * easy + b[:, None] * hard  # [B, K]
        after = np.divide(b[:, None] * hard, chance, out=np.zeros_like(chance), where=chance > 0)
        place = np.minimum(after * (len(b) - 1), len(b) - 1 - 1e-9)
        low = place.astype(int)
        found = np.zeros((len(b), len(b)))
        rows = np.broadcast_to(np.arange(len(b))[:, None], low.shape)
        np.add.at(found, (rows, low), chance * (1 - (place - low)))
        np.add.at(found, (rows, low + 1), chance * (place - low))
        return found

    def value(self, price: Floats, limit: float) -> float:
        """Expected value of a new project with `limit` weeks left, over impact and difficulty, at prices [R] of a person-week."""
        prior = self.p.hard_share[self.c]
        values = [np.interp(prior, self.belief, self._value(impact, price, limit)[0]) for impact in self.p.impact[self.c]]
        return float(self.weights @ values)

    def _value(self, impact: float, price: Floats, limit: float) -> Floats:
        """[pilots run, belief] at age 0 without milestones."""
        *_, last = self.backwards(impact, price, limit)
        return last.best[:, 0]

    def backwards(self, impact: float, price: Floats, limit: float) -> Iterator["Options"]:
        """What each option is worth, age by age, backwards from `limit` or the window's end, no further than things change."""
        p, c, steps = self.p, self.c, int(self.p.milestones[self.c])
        net = impact * (self.worth - self.error * (p.human[c] - self.accuracy))
        may_ship = self.accuracy >= p.required[c] - 1e-12
        best = np.zeros((p.most_pilots + 1, steps + 1, len(self.belief)))  # by pilots run
        age = min(p.window, limit) if p.closes else limit
        while age > 0:
            age, before, wait = age - 1, best, (1.0 - p.withdrawn) * best
            work, pilot = np.full_like(wait, NEVER), np.full_like(wait, NEVER)
            after = np.einsum("gbd,kgd->kgb", self.test, wait)
            for r in range(len(p.pilots)):
                pace = p.pace[r, c, :steps, None]
                work[:, :-1] = np.maximum(work[:, :-1], pace * after[:, 1:] + (1 - pace) * after[:, :-1] - price[r])
                if p.pilots[r] and p.most_pilots:
                    pilot[:-1, 0] = np.maximum(pilot[:-1, 0], wait[1:, 0] @ self.pilot.T - price[r])
            ship = np.broadcast_to(np.where(may_ship, net * (p.window - age if p.closes else p.window), NEVER), wait.shape)
            best = np.maximum.reduce([wait, work, pilot, ship, np.zeros_like(wait)])
            yield Options(best, wait, work, pilot, ship)
            if not p.closes and np.abs(best - before).max() < 1e-9 * max(np.abs(best).max(), 1e-300):
                return


def together(weeks: list[Floats], rewards: list[float], discount: float) -> float:
    """Optimal expected discounted reward of one worker and independent projects, by value iteration over all of them together.

    `weeks[j][g]` is the chance that a week's work takes project j from milestone g to the next; the last pays rewards[j].
    """
    shape = tuple(len(w) + 1 for w in weeks)
    value = np.zeros(shape)
    for _ in range(100_000):
        best = np.zeros(shape)
        for j, (pace, reward) in enumerate(zip(weeks, rewards, strict=True)):
            now = np.moveaxis(value, j, 0)
            bonus = np.zeros(len(pace))
            bonus[-1] = reward
            per = pace.reshape(-1, *[1] * (value.ndim - 1))
            work = discount * (per * (now[1:] + bonus.reshape(per.shape)) + (1 - per) * now[:-1])
            target = np.moveaxis(best, j, 0)
            target[:-1] = np.maximum(target[:-1], work)
        if np.abs(best - value).max() < 1e-12 * max(rewards):
            return float(best[(0,) * len(shape)])
        value = best
    raise PointsmanError("value iteration did not settle")


def gittins_index(pace: Floats, reward: float, discount: float) -> Floats:
    """[G] index of a project that pays `reward` when it is done, before each milestone (Gittins 1979), per discounted week.

    A week's work only ever brings it nearer, so that no stopping time beats going on to the end: the index is
    (1 - discount) reward x / (1 - x), where x = E[discount ** weeks to the end].
    """
    through = discount * pace / (1.0 - discount * (1.0 - pace))
    x = np.cumprod(through[::-1])[::-1]
    found: Any = (1.0 - discount) * reward * x / (1.0 - x)
    return found
