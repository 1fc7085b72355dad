"""Rules for a portfolio: a plan for every project at a price of a person-week, and an index by which members choose.

The plan is open-loop: how many milestones a project should still get so that the hours it is expected to save, in what will
be left of its window, are worth most beyond the price of the work. It says whether to ship now, to go on or to stop; the
price is tuned. Rules differ in which of the projects that go on comes first.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.arrays import Floats
from pointsman.envs.portfolio.exact import gittins_index
from pointsman.envs.portfolio.kernel import EASY, HARD, LEAVE, PILOT, SHIP, STOP
from pointsman.envs.problem import Problem
from pointsman.envs.rule import Parameter, Rule

NEVER = 1e6
"""Weeks of work for what cannot be done."""
Actions = NDArray[np.int64]


class Plan(NamedTuple):
    """For each project [N, M]: what it is worth beyond the price of its work, the weeks of work, and the hours per week then."""

    worth: Floats
    weeks: Floats
    per_week: Floats


class Planned(Rule):
    """Reviews by the plan; then the highest index among the projects that a member may take."""

    def __init__(self, problem: Problem, **values: Any):
        super().__init__(problem, **values)
        p, prices = problem.params, problem.prices
        self.p, self.slots = p, p.slots
        self.roles = [name for name in self._place if name.startswith("asked/")]
        self.kinds = [name for name in self._candidate_place if name.startswith("kind/")]
        self.saved, self.error = -prices.get("hours_saved", 0.0), prices.get("excess_errors", 0.0)
        # Weeks of work from milestone g to h [C, G + 1, G + 1] at the pace of the role that is best at the kind.
        most = p.accuracy.shape[2]
        weeks = np.where(p.pace.max(0) > 0, 1.0 / np.maximum(p.pace.max(0), 1e-9), NEVER)
        done = np.concatenate([np.zeros((len(weeks), 1)), weeks.cumsum(1)], 1)
        self.weeks = done[:, None, :] - done[:, :, None]
        ahead = np.arange(most)[None, :] >= np.arange(most)[:, None]
        within = np.arange(most)[None, None, :] <= p.milestones[:, None, None]
        self.weeks = np.where(ahead[None] & within, np.minimum(self.weeks, NEVER), NEVER)

    @classmethod
    def space_for(cls, problem: Problem) -> dict[str, Parameter]:
        """The price goes up to a twentieth of what a project saves in its window; kinds that are surely easy need no pilots."""
        p = problem.params
        space = {"price": Parameter(0.0, float(p.impact.mean() * p.window) / 20.0), "crowd": Parameter(0.0, 4.0)}
        if len(p.role) > 1 and len(p.pilots) > 1:
            space["skill"] = Parameter(0.0, 6.0)  # how much a member's pace at a kind counts, as a power
        if p.most_pilots > 0 and ((p.hard_share > 0) & (p.hard_share < 1)).any():
            space["optimism"] = Parameter(1.0, 5.0)  # power of the probability of being hard: one may find out, and stop
            space["pilots"] = Parameter(0, p.most_pilots, integer=True)
        return space

    def index(self, plan: Plan, observation: Any) -> Floats:
        """Positive index of each project [N, M]."""
        raise NotImplementedError

    def decide(self, observation: Any, mask: NDArray[np.bool_]) -> Actions:
        """A reply to the review, or the project that a member takes."""
        self.kind = observation["candidates"][:, :, [self._candidate_place[name] for name in self.kinds]].argmax(2)
        self.milestones = self.candidate(observation, "milestones").astype(np.int64)
        plan = self.plan(observation)
        index = np.maximum(self.index(plan, observation), 0.0) * self._fit(observation) + 1e-12
        # Pilots first: who may run them is few, and until then nobody else may go on.
        index = index * np.where(self.candidate(observation, "piloting") > 0, 1e9, 1.0)
        best = np.where(mask[:, : self.slots], index, -1.0).argmax(1)
        chosen = np.where(mask[:, : self.slots].any(1), best, self.slots + LEAVE)
        return np.where(self.column(observation, "reviewing") > 0, self._reply(plan, observation, mask), chosen)

    def plan(self, observation: Any) -> Plan:
        """The best number of further milestones for every project, as things look now."""
        rows, at = np.nonzero(self.candidate(observation, "present"))  # only those that are there, which saves half of the work
        seen = {name: observation["candidates"][rows, at, k].astype(float)[:, None] for name, k in self._candidate_place.items()}
        kind, p = self.kind[rows, at], self.p
        weeks = self.weeks[kind, self.milestones[rows, at]]
        hard = seen["hard_probability"]
        if "optimism" in self.values:
            power = np.asarray(self.values["optimism"], float)
            hard = hard ** (power[rows][:, None] if power.ndim else power)
        accuracy = (1.0 - hard) * p.accuracy[kind, EASY] + hard * p.accuracy[kind, HARD]
        left = np.maximum(p.window - seen["age"] - weeks, 0.0) if p.closes else p.window
        per_week = (self.saved - self.error * (p.human[kind][:, None] - accuracy)) * seen["impact"]
        worth = per_week * left - self._price(observation)[rows][:, None] * weeks
        worth[accuracy < p.required[kind][:, None] - 1e-9] = -np.inf
        worth[weeks == NEVER] = -np.inf
        best, each = worth.argmax(1), np.arange(len(rows))
        plan = np.zeros((3, *self.kind.shape))
        plan[:, rows, at] = worth[each, best], weeks[each, best], per_week[each, best]
        return Plan(*plan)

    def _price(self, observation: Any) -> Floats:
        """Price of a person-week [N]; from an empty to a full portfolio it rises by `crowd` times what it is half way."""
        full = 1.0 - self.column(observation, "free_slots").astype(float) / self.slots
        found: Floats = self.values["price"] * np.maximum(1.0 + self.values["crowd"] * (full - 0.5), 0.0)
        return found

    def _reply(self, plan: Plan, observation: Any, mask: NDArray[np.bool_]) -> Actions:
        """Ship where no further work is planned, stop what is worth nothing, pilot what is uncertain, and else go on."""
        rows = np.arange(len(mask))
        at = self.candidate(observation, "reviewed").argmax(1)
        worth, weeks = plan.worth[rows, at], plan.weeks[rows, at]
        hard = self.candidate(observation, "hard_probability")[rows, at]
        pilots = self.candidate(observation, "pilots")[rows, at]
        may = mask[:, self.slots :]
        unsure = (hard > 0.05) & (hard < 0.95) & (pilots < np.asarray(self.values.get("pilots", 0)))
        reply = np.where(worth <= 0, STOP, np.where(weeks == 0, SHIP, LEAVE))
        reply = np.where(unsure & may[:, PILOT] & (reply != SHIP), PILOT, reply)
        return self.slots + np.where(may[rows, reply], reply, LEAVE)

    def _fit(self, observation: Any) -> Floats:
        """Pace of the member asked at each project, beside the best role's, to the power `skill`."""
        if "skill" not in self.values:
            return np.ones(self.milestones.shape)
        role = np.stack([self.column(observation, name) for name in self.roles], 1).argmax(1)
        g = np.minimum(self.milestones, self.p.pace.shape[2] - 1)
        pace = self.p.pace[role[:, None], self.kind, g] / np.maximum(self.p.pace.max(0)[self.kind, g], 1e-9)
        power = np.asarray(self.values["skill"], float)
        found: Floats = pace ** (power[:, None] if power.ndim else power)
        return found


class HighestImpact(Planned):
    """The most hours per week first."""

    def index(self, plan: Plan, observation: Any) -> Floats:
        return self.candidate(observation, "impact").astype(float)


class Cheapest(Planned):
    """The least work left first."""

    def index(self, plan: Plan, observation: Any) -> Floats:
        found: Floats = 1.0 / np.maximum(plan.weeks, 0.1)
        return found


class ImpactOverCost(Planned):
    """Hours per week, as promised, over the work left."""

    def index(self, plan: Plan, observation: Any) -> Floats:
        found: Floats = self.candidate(observation, "impact") / np.maximum(plan.weeks, 0.1)
        return found


class WeightedShortestJobFirst(Planned):
    """What a week's delay costs over the work left (Smith 1956): hours per week at the accuracy planned, errors taken off."""

    def index(self, plan: Plan, observation: Any) -> Floats:
        found: Floats = plan.per_week / np.maximum(plan.weeks, 0.1)
        return found


class WorthOverCost(Planned):
    """What the project will be worth beyond the price of its work, over the work left."""

    def index(self, plan: Plan, observation: Any) -> Floats:
        found: Floats = plan.worth / np.maximum(plan.weeks, 0.1)
        return found


class RoundRobin(Planned):
    """Whoever has had the least work."""

    def index(self, plan: Plan, observation: Any) -> Floats:
        effort = self.candidate(observation, "effort") if self.p.log_effort else self.milestones
        found: Floats = 1.0 / (1.0 + np.asarray(effort, np.float64))
        return found


class Gittins(Planned):
    """The Gittins index of projects that pay when they are done: optimal for one member, nothing hidden, under discounting."""

    def __init__(self, problem: Problem, **values: Any):
        super().__init__(problem, **values)
        p, discount = problem.params, problem.config["discount"]
        table = np.zeros((len(p.arrival), p.impact.shape[1], p.accuracy.shape[2]))
        for c in range(table.shape[0]):
            done = int((p.accuracy[c, EASY] >= p.required[c] - 1e-12).argmax())
            for k, impact in enumerate(p.impact[c]):
                pays = p.window * impact * (self.saved - self.error * (p.human[c] - p.accuracy[c, EASY, done]))
                table[c, k, :done] = gittins_index(p.pace[0, c, :done], pays, discount)
        self.table = table

    @classmethod
    def space_for(cls, problem: Problem) -> dict[str, Parameter]:
        """Nothing to tune: work is free, and goes on to the required accuracy."""
        return {}

    def index(self, plan: Plan, observation: Any) -> Floats:
        impact = self.candidate(observation, "impact")
        level = np.abs(self.p.impact[self.kind] - impact[:, :, None]).argmin(2)
        found: Floats = self.table[self.kind, level, self.milestones]
        return found

    def _price(self, observation: Any) -> Floats:
        return np.zeros(len(observation["context"]))


def rules(problem: Problem) -> dict[str, Any]:
    """Rules that apply to a problem, by name."""
    p = problem.params
    found: dict[str, Any] = {
        "highest_impact": HighestImpact, "cheapest": Cheapest, "impact_over_cost": ImpactOverCost,
        "wsjf": WeightedShortestJobFirst, "worth_over_cost": WorthOverCost, "round_robin": RoundRobin,
    }  # fmt: skip
    known = not ((p.hard_share > 0) & (p.hard_share < 1)).any() and p.tests == 0
    if len(p.role) == 1 and known and not p.closes and (p.required > 0).all() and problem.config["discount"] is not None:
        found["gittins"] = Gittins
    return found
