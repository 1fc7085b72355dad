"""Rules for request dispatch: who gets automation, by the score and by what is going on."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.problem import Problem
from pointsman.envs.rule import Parameter, Rule

Mask = NDArray[np.bool_]
Actions = NDArray[np.int64]


SHORTEST_QUEUE, FASTEST_FREE, SHORTEST_DELAY = 0, 1, 2
"""Ways to choose between teams: fewest requests, the fastest with somebody free, least expected delay."""


class Dispatch(Rule):
    """Automates a request iff its score reaches `threshold`; the others go to a team.

    Where there are several teams `team_choice` says which (SHORTEST_QUEUE and so on). Where people decide on what they
    have picked up, they forward it iff at least `forward_from` requests wait for them.
    """

    fixed: ClassVar[dict[str, float]] = {}
    """What is not tuned: team_choice, forward_from."""

    def __init__(self, problem: Problem, **values: Any):
        super().__init__(problem, **values)
        p, count = problem.params, len(problem.params.staff)
        self._teams = [f"/{name}" if count > 1 else "" for name in problem.actions[1 : 1 + count]]
        self._classes = [name for name in self._layout.context if name.startswith("class")]
        self._problem = problem
        self._effort = p.effort
        self._staff = p.staff.max(1)
        self._pickup = bool(p.pickup)
        self._choice = {"team_choice": SHORTEST_QUEUE, "forward_from": np.inf} | self.fixed | self.values

    @classmethod
    def own_space(cls, problem: Problem) -> dict[str, Parameter]:
        """What is tuned beside the choice of teams and of what is forwarded."""
        return cls.space

    @classmethod
    def space_for(cls, problem: Problem) -> dict[str, Parameter]:
        found = dict(cls.own_space(problem))
        if len(problem.params.staff) > 1:
            found["team_choice"] = Parameter(SHORTEST_QUEUE, SHORTEST_DELAY, integer=True)
        if problem.params.pickup:
            found["forward_from"] = Parameter(0, 20, integer=True)
        return {name: parameter for name, parameter in found.items() if name not in cls.fixed}

    def at_teams(self, observation: Any, field: str) -> NDArray[np.float32]:
        """A field of each team, [N, J]."""
        return np.stack([self.column(observation, f"{field}{team}") for team in self._teams], 1)

    def requests(self, observation: Any) -> NDArray[np.float32]:
        """Requests at each team, waiting or in service: [N, J]."""
        return self.at_teams(observation, "in_service") + self.at_teams(observation, "waiting")

    def people(self, observation: Any) -> Any:
        """People on duty in each team: [N, J] or [J]."""
        if any(name.startswith("on_duty") for name in self._place):
            return self.at_teams(observation, "on_duty")
        return self._staff

    def kind(self, observation: Any) -> NDArray[np.int64]:
        """Class of the request at hand, [N]."""
        if not self._classes:
            return np.zeros(len(observation), np.int64)
        return np.stack([self.column(observation, name) for name in self._classes], 1).argmax(1)

    def threshold(self, observation: Any) -> Any:
        """Lowest score that is automated: a number or [N]."""
        raise NotImplementedError

    def team(self, observation: Any, mask: Mask) -> Actions:
        """The team chosen among the legal ones, [N]; the first if there is none."""
        n, people = self.requests(observation), self.people(observation)
        if len(self._teams) == 1:
            return np.zeros(len(n), np.int64)
        effort = self._effort[:, self.kind(observation)].T
        able = np.where(np.isfinite(effort), effort, 1e6)
        # The fastest that is free, else the one with the fewest requests.
        free = np.where(n < people, able, 1e5 + n)
        delay = able * np.maximum(n - people + 1.0, 0.0) / np.maximum(people, 1e-3) + able
        ways = [n.astype(np.float64), free, delay]
        chosen = np.broadcast_to(np.asarray(self._choice["team_choice"], np.int64), len(n))[:, None]
        return np.where(mask[:, 1 : 1 + n.shape[1]], np.choose(chosen, ways), np.inf).argmin(1)

    def automates(self, observation: Any) -> Mask:
        """Would it go to automation if it may? [N]."""
        return self.column(observation, "score") >= self.threshold(observation)

    def forwards(self, observation: Any, team: Actions) -> Mask:
        """Would a person of that team who has picked up an easy request forward it? [N]."""
        waiting = np.take_along_axis(self.at_teams(observation, "waiting"), team[:, None], 1)[:, 0]
        return waiting >= self._choice["forward_from"]

    def decide(self, observation: Any, mask: Mask) -> Actions:
        """Automation or a team, process or forward, as far as the mask allows."""
        teams = len(self._teams)
        automate = np.where(mask[:, 0], self.automates(observation) | ~mask[:, 1 : 1 + teams].any(1), False)
        chosen = np.where(automate, 0, 1 + self.team(observation, mask))
        if not self._pickup:
            return chosen
        own = self.at_teams(observation, "pickup").argmax(1)
        return np.where(mask[:, 1 + teams], 1 + teams + self.forwards(observation, own), chosen)


class AllPeople(Dispatch):
    """Everyone to people."""

    fixed = {"team_choice": SHORTEST_QUEUE, "forward_from": np.inf}

    def threshold(self, observation: Any) -> Any:
        return np.inf


class AllAutomation(Dispatch):
    """Everyone to automation first."""

    fixed = {"team_choice": SHORTEST_QUEUE, "forward_from": np.inf}

    def threshold(self, observation: Any) -> Any:
        return -np.inf


class Threshold(Dispatch):
    """One threshold, whatever happens."""

    space = {"threshold": Parameter(0.0, 1.0)}

    def threshold(self, observation: Any) -> Any:
        return self.values["threshold"]


class ShortestQueue(Threshold):
    """One threshold; the others go to the team with the fewest requests."""

    fixed = {"team_choice": SHORTEST_QUEUE}


class FastestFree(Threshold):
    """One threshold; the others go to the fastest team with somebody free."""

    fixed = {"team_choice": FASTEST_FREE}


class ProcessAlways(Threshold):
    """One threshold; whoever picks up a request keeps it."""

    fixed = {"forward_from": np.inf}


class ForwardAlways(Threshold):
    """One threshold; whoever picks up an easy request forwards it."""

    fixed = {"forward_from": 0.0}


class QueueThreshold(Dispatch):
    """Two steps down: the more requests at the people beyond the number of people, the lower the threshold."""

    @classmethod
    def own_space(cls, problem: Problem) -> dict[str, Parameter]:
        staff = float(problem.params.staff.max(1).sum())
        return {
            "threshold": Parameter(0.0, 1.0),
            "first_step": Parameter(0.0, 1.0),
            "second_step": Parameter(0.0, 1.0),
            "busy": Parameter(-staff, staff, integer=True),
            "crowded": Parameter(-staff, staff, integer=True),
        }

    def threshold(self, observation: Any) -> Any:
        excess, v = self.requests(observation).sum(1) - self.people(observation).sum(-1), self.values
        steps = np.where(excess > v["busy"], v["first_step"], 0.0) + np.where(excess > v["crowded"], v["second_step"], 0.0)
        return v["threshold"] - steps


class RegimeThreshold(Dispatch):
    """One threshold per regime."""

    @classmethod
    def own_space(cls, problem: Problem) -> dict[str, Parameter]:
        return {f"threshold_{r}": Parameter(0.0, 1.0) for r in range(len(problem.params.switching_rate))}

    def threshold(self, observation: Any) -> Any:
        regime = self.column(observation, "regime").astype(int)
        return _choose(self.values, list(self.own_space(self._problem)), regime)


class HourThreshold(Dispatch):
    """One threshold per six hours of the day."""

    space = {f"from_{hour}": Parameter(0.0, 1.0) for hour in range(0, 24, 6)}

    def threshold(self, observation: Any) -> Any:
        block = (self.column(observation, "hour_of_week") % 24 // 6).astype(int)
        return _choose(self.values, list(self.space), block)


def _choose(values: dict[str, Any], names: list[str], which: NDArray[np.int64]) -> NDArray[np.float64]:
    """The value of parameter names[which[i]] for every row i."""
    table = np.broadcast_arrays(*[np.asarray(values[name], np.float64) for name in names], which)[:-1]
    return np.choose(which, table)


def rules(problem: Problem) -> dict[str, type[Rule]]:
    """The rules that fit what a problem's observations show."""
    from pointsman.envs.dispatch.index import Index

    found: dict[str, type[Rule]] = {
        "all_people": AllPeople,
        "all_automation": AllAutomation,
        "threshold": Threshold,
        "queue_threshold": QueueThreshold,
    }
    names = {field.name for field in problem.observation}
    if "regime" in names:
        found["regime_threshold"] = RegimeThreshold
    if "hour_of_week" in names:
        found["hour_threshold"] = HourThreshold
    if len(problem.params.staff) > 1:
        found |= {"shortest_queue": ShortestQueue, "fastest_free": FastestFree}
    if problem.params.pickup:
        found |= {"process_always": ProcessAlways, "forward_always": ForwardAlways}
    # It weighs a request by the load that is to come, so it must know the regime.
    if len(problem.params.trace) == 0 and (len(problem.params.switching_rate) == 1 or "regime" in names):
        found["index"] = Index
    return found
