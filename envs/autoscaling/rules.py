"""Rules for autoscaling: how many replicas there should be; the action goes there as far as it may."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.arrays import Floats
from pointsman.envs.autoscaling import kubernetes
from pointsman.envs.problem import Problem
from pointsman.envs.rule import Parameter, Rule


class Target(Rule):
    """Changes the replicas, ready and starting, towards a target."""

    def __init__(self, problem: Problem, **values: Any):
        super().__init__(problem, **values)
        self.params = problem.params

    def target(self, observation: Any, replicas: Floats) -> Any:
        """Replicas that there should be [N], given those that there are; what is no whole number is rounded up."""
        raise NotImplementedError

    def replicas(self, observation: Any) -> Floats:
        """Ready and starting [N]."""
        names = [name for name in self._place if name == "ready" or name.startswith("starting")]
        found: Floats = np.stack([self.read(observation, name) for name in names]).sum(0)
        return found

    def read(self, observation: Any, name: str) -> Floats:
        """A column as float64, so that ratios round as on paper."""
        return self.column(observation, name).astype(float)

    def decide(self, observation: Any, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The change as an action, within the limits."""
        p, replicas = self.params, self.replicas(observation)
        wanted = np.clip(np.ceil(self.target(observation, replicas) - kubernetes.ROUNDING), p.least, p.most)
        by = np.clip(wanted - replicas, -p.max_change, p.max_change)
        return (by + p.max_change).astype(np.int64)

    def lately(self, observation: Any) -> Floats:
        """The highest load of the last `memory` intervals, mixed with the smoothed one in the proportion `newest` [N]."""
        loads = np.stack([self.read(observation, f"load_{k}") for k in range(self.params.history)], 1)
        last = np.broadcast_to(np.asarray(self.values["memory"], np.int64), len(loads)) - 1
        peak = np.maximum.accumulate(loads, 1)[np.arange(len(loads)), last]
        newest = self.values["newest"]
        found: Floats = newest * peak + (1.0 - newest) * self.read(observation, "smoothed")
        return found


class Static(Target):
    """Always as many replicas."""

    @classmethod
    def space_for(cls, problem: Problem) -> dict[str, Parameter]:
        return {"replicas": Parameter(problem.params.least, problem.params.most, integer=True)}

    def target(self, observation: Any, replicas: Floats) -> Any:
        return self.values["replicas"]


class ByQueue(Target):
    """One replica for so many requests in the system."""

    space = {"requests": Parameter(0.5, 20.0), "spare": Parameter(0, 3, integer=True)}

    def target(self, observation: Any, replicas: Floats) -> Any:
        return self.read(observation, "queue") / self.values["requests"] + self.values["spare"]


def staffing(load: Any, safety: Any) -> Any:
    """Square-root staffing: load and a multiple of its root in reserve (Halfin and Whitt 1981)."""
    load = np.maximum(load, 0.0)
    return load + safety * np.sqrt(load)


class StaticByHour(Target):
    """A plan for the day: square-root staffing for the profile of the load, looked up some time ahead."""

    space = {"safety": Parameter(0.0, 4.0), "factor": Parameter(0.8, 2.0), "ahead": Parameter(0.0, 1.0)}

    def target(self, observation: Any, replicas: Floats) -> Any:
        now, ahead = self.read(observation, "profile"), self.read(observation, "profile_ahead")
        load = now + self.values["ahead"] * (ahead - now)
        return np.ceil(self.values["factor"] * staffing(load, self.values["safety"]))


class Proportional(Target):
    """So many replicas per load, as it was lately, and for the backlog; stops some only when several are too many."""

    own = {"utilisation": Parameter(0.3, 1.0)}

    @classmethod
    def space_for(cls, problem: Problem) -> dict[str, Parameter]:
        return cls.own | {
            "memory": Parameter(1, problem.params.history, integer=True),
            "newest": Parameter(0.0, 1.0),
            "drain_minutes": Parameter(0.5, 20.0),
            "slack": Parameter(0.0, 4.0),
        }

    def target(self, observation: Any, replicas: Floats) -> Any:
        wanted = (
            self.lately(observation) / self.values["utilisation"]
            + self.read(observation, "backlog") / self.values["drain_minutes"]
        )
        return hold(np.ceil(wanted - kubernetes.ROUNDING), replicas, self.values["slack"])


def hold(wanted: Floats, replicas: Floats, slack: Any) -> Floats:
    """The replicas that there are, if no more than `slack` of them are too many."""
    return np.where((wanted < replicas) & (replicas - wanted <= slack), replicas, wanted)


class Kubernetes(Target):
    """The horizontal pod autoscaler on the utilisation of its pods, with its defaults; the target is tuned.

    Replicas that started or became ready within the last interval are unready to it; nothing is missing here.
    """

    space = {"utilisation": Parameter(0.2, 0.95)}

    def recommendation(self, observation: Any, lag: int) -> Floats:
        """What it recommended `lag` intervals ago."""
        replicas = self.replicas(observation) if lag == 0 else self.read(observation, f"replicas_{lag}")
        measured = np.minimum(self.read(observation, f"measured_{lag}"), replicas)
        return kubernetes.recommend(
            self.read(observation, f"utilisation_{lag}"), self.values["utilisation"], measured, replicas - measured
        )

    def target(self, observation: Any, replicas: Floats) -> Any:
        p = self.params
        lags = min(int(np.ceil(kubernetes.WINDOW / p.control - kubernetes.ROUNDING)), p.history)
        past = np.stack([self.recommendation(observation, lag) for lag in range(lags)], 1)
        added, removed = np.zeros_like(replicas), np.zeros_like(replicas)
        # Decisions strictly within the period of this one; with a control interval of at least that, there are none.
        for lag in range(1, min(int(np.ceil(kubernetes.PERIOD / p.control - kubernetes.ROUNDING)), p.history)):
            change = self.read(observation, f"replicas_{lag - 1}") - self.read(observation, f"replicas_{lag}")
            added, removed = added + np.maximum(change, 0.0), removed + np.maximum(-change, 0.0)
        return kubernetes.behave(replicas, past, p.least, p.most, added, removed)


class KubernetesRequests(Kubernetes):
    """The same autoscaler on the load that arrives, a metric of the whole service with a target per pod, which is tuned."""

    def recommendation(self, observation: Any, lag: int) -> Floats:
        replicas = self.replicas(observation) if lag == 0 else self.read(observation, f"replicas_{lag}")
        return kubernetes.recommend_external(self.read(observation, f"load_{lag}"), self.values["utilisation"], replicas)


class Forecast(Proportional):
    """Square-root staffing for a forecast of the load at the time at which a replica started now is ready.

    The forecast is the profile then, times how far the load lately was from the profile, to a power between 0 (the
    profile alone) and 1 (all of the deviation stays); to the load lately a share of its trend over the last two intervals
    is added, drawn out to then (Holt 1957). The backlog is to be served within some minutes.
    """

    own = {"safety": Parameter(0.0, 4.0), "deviation": Parameter(0.0, 1.0), "trend": Parameter(0.0, 1.5)}

    def target(self, observation: Any, replicas: Floats) -> Any:
        value, p = self.values, self.params
        back = min(2, p.history - 1)
        steps = p.start / p.control / max(back, 1)
        drift = self.read(observation, "load_0") - self.read(observation, f"load_{back}")
        lately = self.lately(observation) + value["trend"] * steps * drift
        now, ahead = (np.maximum(self.read(observation, name), 1e-6) for name in ("profile", "profile_ahead"))
        load = ahead * (np.maximum(lately, 1e-6) / now) ** value["deviation"]
        wanted = staffing(load, value["safety"]) + self.read(observation, "backlog") / value["drain_minutes"]
        return hold(np.ceil(wanted - kubernetes.ROUNDING), replicas, value["slack"])


def rules(problem: Problem) -> dict[str, type[Rule]]:
    """The rules that fit what is observed."""
    if problem.params.markov:
        return {"static": Static, "by_queue": ByQueue}
    return {
        "static": Static,
        "static_by_hour": StaticByHour,
        "proportional": Proportional,
        "kubernetes": Kubernetes,
        "kubernetes_requests": KubernetesRequests,
        "forecast": Forecast,
    }
