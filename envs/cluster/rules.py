"""Rules for clusters: the order in which jobs start, and which jobs may start while the first in that order does not fit."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.arrays import Floats
from pointsman.envs.cluster.env import build
from pointsman.envs.problem import Problem
from pointsman.envs.rule import Parameter, Rule

Actions = NDArray[np.int64]

BLOCKS, ANY, BACKFILLS = 0, 1, 2
"""While the first job in a rule's order does not fit: all wait; any that fits starts; one that does not delay the job that has
waited longest, by estimates (Lifka 1995, EASY)."""


class Ordered(Rule):
    """Starts the job of lowest index; `passing` says which jobs may pass it while it does not fit, and is tuned."""

    space = {"passing": Parameter(BLOCKS, BACKFILLS, integer=True)}

    def __init__(self, problem: Problem, **values: Any):
        super().__init__(problem, **values)
        self.shares = [name for name in self._layout.candidates if name.startswith("share/")]
        self.units = float(problem.params.capacity[0])

    def view(self, problem: Problem) -> Problem:
        """With a window that covers the whole queue, and the clock."""
        wide = dict(problem.config) | {"window": problem.config["queue_size"], "clock_shown": True}
        return replace(build(wide), config=problem.config)

    def act(self, observation: Any, mask: NDArray[np.bool_], u: NDArray[np.float64]) -> Actions:
        """Actions int64[N]; places of the window that are empty in all rows are not looked at."""
        context, candidates = observation["context"], observation["candidates"]
        shown = max(int(min(context[:, self._place["waiting"]].max(), candidates.shape[1])), 1)
        return super().act({"context": context, "candidates": candidates[:, :shown]}, mask, u)

    def decide(self, observation: Any, mask: NDArray[np.bool_]) -> Actions:
        """The place of the job that starts, or the last action: wait."""
        wait, rows = mask.shape[1] - 1, np.arange(len(mask))
        shown = observation["candidates"].shape[1]
        present, fits = self.candidate(observation, "present") > 0, mask[:, :shown]
        passing = self.value("passing")
        allowed = np.where(passing == BLOCKS, present, np.where(passing == ANY, fits, self.candidate(observation, "passes") > 0))
        index = np.where(allowed, self.index(observation), np.inf)
        best = index.argmin(1)
        # An empty cluster starts something, whatever the rule.
        return np.where(allowed[rows, best] & fits[rows, best], best, np.where(mask[:, wait], wait, fits.argmax(1)))

    def index(self, observation: Any) -> Floats:
        """What the jobs are ordered by [N, M], lowest first; of equals the one that came first."""
        raise NotImplementedError

    def value(self, name: str) -> Floats:
        """A parameter as a column [N, 1], or [1, 1]."""
        return np.atleast_1d(np.asarray(self.values[name], float))[:, None]

    def share(self, observation: Any) -> Floats:
        """Dominant share of each job [N, M]."""
        return np.max([self.candidate(observation, name) for name in self.shares], 0).astype(float)

    def size(self, observation: Any) -> Floats:
        """The same in units of the first resource: the processors of a job, where there are only processors."""
        return self.share(observation) * self.units

    def time(self, observation: Any, name: str) -> Floats:
        """Age or estimate of each job [N, M], above 0 where there is a job."""
        return np.maximum(self.candidate(observation, name).astype(float), 1e-9)


class FirstComeFirstServed(Ordered):
    """In order of arrival."""

    passing = BLOCKS
    space = {}

    def value(self, name: str) -> Floats:
        """Fixed."""
        return np.array([[float(self.passing)]])

    def act(self, observation: Any, mask: NDArray[np.bool_], u: NDArray[np.float64]) -> Actions:
        """Only the head counts."""
        return np.where(mask[:, 0], 0, mask.shape[1] - 1)

    def index(self, observation: Any) -> Floats:
        return np.zeros((1, 1))


class Easy(FirstComeFirstServed):
    """EASY backfilling: the head has a reservation; another job starts only if it does not delay it, by estimates."""

    passing = BACKFILLS

    def act(self, observation: Any, mask: NDArray[np.bool_], u: NDArray[np.float64]) -> Actions:
        return Ordered.act(self, observation, mask, u)


class ShortestJobFirst(Ordered):
    """By estimated duration."""

    def index(self, observation: Any) -> Floats:
        return self.time(observation, "estimate")


class SmallestFirst(Ordered):
    """By dominant share."""

    def index(self, observation: Any) -> Floats:
        return self.share(observation)


class SmallestAreaFirst(Ordered):
    """By the share of the cluster, over all resources, times estimated duration."""

    def index(self, observation: Any) -> Floats:
        return self.candidate(observation, "area").astype(float)


class Wfp3(Ordered):
    """Processors times the cube of waiting over estimate, highest first (Tang et al. 2009)."""

    def index(self, observation: Any) -> Floats:
        return -self.size(observation) * (self.time(observation, "age") / self.time(observation, "estimate")) ** 3


class Unicep(Ordered):
    """Waiting over the estimate and the logarithm of the processors, highest first (Tang et al. 2009); one processor as two."""

    def index(self, observation: Any) -> Floats:
        spread = np.log2(np.maximum(self.size(observation), 2.0))
        return -self.time(observation, "age") / (spread * self.time(observation, "estimate"))


class F1(Ordered):
    """log10(estimate) processors + 870 log10(time of submission) (Carastan-Santos and de Camargo 2017)."""

    def index(self, observation: Any) -> Floats:
        age = self.candidate(observation, "age").astype(float)
        # Where no clock is shown, time begins with the job that has waited longest.
        clock = self.column(observation, "clock")[:, None] if self._shows_clock(observation) else age.max(1, keepdims=True)
        log = np.log10(self.time(observation, "estimate"))
        return log * self.size(observation) + 870.0 * np.log10(np.maximum(clock - age, 1.0))

    def _shows_clock(self, observation: Any) -> bool:
        return observation["context"].shape[1] > len(self._layout.context) or "clock" in self._place

    def column(self, observation: Any, name: str) -> NDArray[np.float32]:
        """The clock is the last entry of the context."""
        return observation["context"][:, -1] if name == "clock" else super().column(observation, name)


class Tetris(Ordered):
    """Units asked for times units free, over estimated duration to a power that is tuned, highest first (Grandl et al. 2014)."""

    space = Ordered.space | {"shortness": Parameter(0.0, 2.0)}

    def index(self, observation: Any) -> Floats:
        free = [self.column(observation, name.replace("share/", "free/"))[:, None] for name in self.shares]
        dot = sum(self.candidate(observation, name) * free[k] for k, name in enumerate(self.shares))
        return -dot / self.time(observation, "estimate") ** self.value("shortness")


class DominantResourceFairness(Ordered):
    """The user whose dominant share is least comes first (Ghodsi et al. 2011)."""

    def index(self, observation: Any) -> Floats:
        return self.candidate(observation, "user_share").astype(float)


class Weighted(Ordered):
    """Logarithms of estimate, dominant share and age with tuned weights; SJF, smallest first and areas are among them."""

    space = Ordered.space | {"smallness": Parameter(0.0, 1.0), "aging": Parameter(0.0, 1.0)}

    def index(self, observation: Any) -> Floats:
        estimate, small = self.time(observation, "estimate"), self.value("smallness")
        index = (1.0 - small) * np.log(estimate) + small * np.log(np.maximum(self.share(observation), 1e-9))
        return index - self.value("aging") * np.log1p(self.candidate(observation, "age") / estimate)


def rules(problem: Problem) -> dict[str, type[Rule]]:
    """All rules; fairness needs several users."""
    found: dict[str, type[Rule]] = {
        "fcfs": FirstComeFirstServed, "easy": Easy, "sjf": ShortestJobFirst, "smallest": SmallestFirst,
        "area": SmallestAreaFirst, "wfp3": Wfp3, "unicep": Unicep, "f1": F1, "tetris": Tetris, "weighted": Weighted,
    }  # fmt: skip
    if problem.params.users > 1:
        found["drf"] = DominantResourceFairness
    return found
