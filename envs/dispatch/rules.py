"""Rules for request dispatch: who gets automation, by the score and by what is going on."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.problem import Problem
from pointsman.envs.rule import Parameter, Rule

Mask = NDArray[np.bool_]
Actions = NDArray[np.int64]


class Dispatch(Rule):
    """Automates a request iff its score reaches `threshold`; the others go to the team with the fewest requests."""

    def __init__(self, problem: Problem, **values: Any):
        super().__init__(problem, **values)
        split = len(problem.actions) > 2
        self._teams = [f"/{name}" if split else "" for name in problem.actions[1:]]
        self._staff = float(problem.params.staff.max(1).sum())

    def requests(self, observation: Any) -> NDArray[np.float32]:
        """Requests at each team, waiting or in service: [N, J]."""
        fields = [[self.column(observation, f"{field}{team}") for team in self._teams] for field in ("in_service", "waiting")]
        return np.array(fields).sum(0).T

    def threshold(self, observation: Any) -> Any:
        """Lowest score that is automated: a number or [N]."""
        raise NotImplementedError

    def decide(self, observation: Any, mask: Mask) -> Actions:
        """Automation or a team, as far as the mask allows."""
        at_teams = self.requests(observation)
        team = 1 + np.where(mask[:, 1:], at_teams, np.inf).argmin(1)
        automate = self.column(observation, "score") >= self.threshold(observation)
        automate = np.where(mask[:, 0], automate | ~mask[:, 1:].any(1), False)
        return np.where(automate, 0, team)


class AllPeople(Dispatch):
    """Everyone to people."""

    def threshold(self, observation: Any) -> Any:
        return np.inf


class AllAutomation(Dispatch):
    """Everyone to automation first."""

    def threshold(self, observation: Any) -> Any:
        return -np.inf


class Threshold(Dispatch):
    """One threshold, whatever happens."""

    space = {"threshold": Parameter(0.0, 1.0)}

    def threshold(self, observation: Any) -> Any:
        return self.values["threshold"]


class QueueThreshold(Dispatch):
    """Two steps down: the more requests at the people beyond the number of people, the lower the threshold."""

    @classmethod
    def space_for(cls, problem: Problem) -> dict[str, Parameter]:
        staff = float(problem.params.staff.max(1).sum())
        return {
            "threshold": Parameter(0.0, 1.0),
            "first_step": Parameter(0.0, 1.0),
            "second_step": Parameter(0.0, 1.0),
            "busy": Parameter(-staff, staff, integer=True),
            "crowded": Parameter(-staff, staff, integer=True),
        }

    def threshold(self, observation: Any) -> Any:
        people: Any = self._staff
        if any(name.startswith("on_duty") for name in self._place):
            people = np.sum([self.column(observation, f"on_duty{team}") for team in self._teams], axis=0)
        excess, v = self.requests(observation).sum(1) - people, self.values
        steps = np.where(excess > v["busy"], v["first_step"], 0.0) + np.where(excess > v["crowded"], v["second_step"], 0.0)
        return v["threshold"] - steps


class RegimeThreshold(Dispatch):
    """One threshold per regime."""

    @classmethod
    def space_for(cls, problem: Problem) -> dict[str, Parameter]:
        return {f"threshold_{r}": Parameter(0.0, 1.0) for r in range(len(problem.params.switching_rate))}

    def threshold(self, observation: Any) -> Any:
        regime = self.column(observation, "regime").astype(int)
        return _choose(self.values, list(self.values), regime)


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
    return found
