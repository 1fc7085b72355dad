"""Rules for queueing networks: which class a server takes, as the one of highest index, and whom to let in."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.arrays import Floats
from pointsman.envs.problem import Problem
from pointsman.envs.queueing.kernel import ADMISSION, POOLS
from pointsman.envs.rule import Parameter, Rule

Actions = NDArray[np.int64]


class Index(Rule):
    """A server takes the legal class with the highest index; if it may idle, only one with an index above `floor`."""

    floor = -np.inf

    def __init__(self, problem: Problem, **values: Any):
        super().__init__(problem, **values)
        p = problem.params
        self.service, self.pool, self.kind = p.service, p.pool, p.kind
        self.classes = [name.removeprefix("queue/") for name in self._place if name.startswith("queue/")]
        self.pools = [name.removeprefix("busy_time/") for name in problem.columns if name.startswith("busy_time/")]
        self.following = np.diff(p.route_cumulative, prepend=0.0, axis=1)[:, :-1]
        prices = problem.prices
        self.cost = np.array([prices.get(f"in_system/{name}", prices.get("in_system", 0.0)) for name in self.classes])

    def index(self, s: int, queue: Floats, observation: Any) -> Floats:
        """Index of each class [N, C] for server s, given the requests in the buffers [N, C]."""
        raise NotImplementedError

    def decide(self, observation: Any, mask: NDArray[np.bool_]) -> Actions:
        """The class for the server at hand, or for every pool in turn, each taking from what the last has left."""
        queue = np.stack([self.column(observation, f"queue/{name}") for name in self.classes], 1).astype(float)
        idle = len(self.classes)
        if self.kind != POOLS:
            deciding = np.zeros(len(queue), np.int64)
            if len(self.service) > 1:
                columns = [k for name, k in self._place.items() if name.startswith("deciding/")]
                deciding = np.asarray(observation)[:, columns].argmax(1)
            chosen = np.full(len(queue), idle)
            for s in range(len(self.service)):
                rows = np.flatnonzero(deciding == s)
                if len(rows):
                    chosen[rows] = self._best(s, queue[rows], np.asarray(observation)[rows], mask[rows], rows)
            return chosen
        parts, rows = [], np.arange(len(queue))
        for p in range(len(self.pools)):
            mine = mask[:, p * (idle + 1) : (p + 1) * (idle + 1)].copy()
            mine[:, :idle] &= queue > 0
            mine[:, idle] |= ~mine[:, :idle].any(1)
            s = int((self.pool == p).argmax())
            best = self._best(s, queue, observation, mine, rows)
            taken = (np.arange(idle) == best[:, None]) * (self.pool == p).sum()
            # Earlier pools may have left it nothing: it idles then by naming a class whose requests are gone.
            allowed = mask[:, p * (idle + 1) : (p + 1) * (idle + 1)]
            parts.append(np.where(allowed[rows, best], best, allowed.argmax(1)))
            queue = np.maximum(queue - taken, 0)
        chosen = np.stack(parts, 1)
        return chosen if len(self.pools) > 1 else chosen[:, 0]

    def _best(self, s: int, queue: Floats, observation: Any, mask: NDArray[np.bool_], rows: Any) -> Actions:
        self._rows = rows  # for parameters that differ by row
        index = np.where(mask[:, :-1], self.index(s, queue, observation), -np.inf)
        best = index.argmax(1)
        worth = index[np.arange(len(best)), best] > self.floor
        return np.where(worth | ~mask[:, -1], best, len(self.classes))

    def value(self, name: str) -> Any:
        """A parameter for the rows at hand, as a column [N, 1] where it differs by row."""
        found = np.asarray(self.values[name], float)
        return found[self._rows][:, None] if found.ndim else found


class CMu(Index):
    """Highest holding cost times service rate first (Cox and Smith 1961)."""

    def index(self, s: int, queue: Floats, observation: Any) -> Floats:
        return np.broadcast_to(self.cost * self.service[s], queue.shape)


class GeneralisedCMu(Index):
    """Cost times queue length to a power times service rate (van Mieghem 1995); the power is tuned."""

    space = {"power": Parameter(0.0, 3.0)}

    def index(self, s: int, queue: Floats, observation: Any) -> Floats:
        found: Floats = self.cost * np.maximum(queue, 1e-9) ** self.value("power") * self.service[s]
        return found


class MaxWeight(Index):
    """Queue length times service rate (Tassiulas and Ephremides 1992)."""

    def index(self, s: int, queue: Floats, observation: Any) -> Floats:
        return queue * self.service[s]


class MaxPressure(Index):
    """Service rate times what service takes off the weighted difference of queues (Dai and Lin 2005)."""

    def index(self, s: int, queue: Floats, observation: Any) -> Floats:
        weighted = self.cost * queue
        found: Floats = self.service[s] * (weighted - weighted @ self.following.T)
        return found


class LongestQueue(Index):
    """The longest queue first."""

    def index(self, s: int, queue: Floats, observation: Any) -> Floats:
        return queue


class FirstComeFirstServed(Index):
    """The request that has been in its buffer longest; needs the observation head_age."""

    def index(self, s: int, queue: Floats, observation: Any) -> Floats:
        return np.stack([self.column(observation, f"head_age/{name}") for name in self.classes], 1).astype(float)


class Priority(Index):
    """Fixed priorities, tuned: each class has a weight."""

    @classmethod
    def space_for(cls, problem: Problem) -> dict[str, Parameter]:
        return {f"weight_{c}": Parameter(0.0, 1.0) for c in range(problem.params.service.shape[1])}

    def index(self, s: int, queue: Floats, observation: Any) -> Floats:
        return np.concatenate([np.broadcast_to(self.value(name), (len(queue), 1)) for name in self.values], 1)


class LastBufferFirst(Index):
    """The class with the least work left on its way out."""

    sign = -1.0

    def __init__(self, problem: Problem, **values: Any):
        super().__init__(problem, **values)
        fastest = 1.0 / np.maximum(self.service.max(0), 1e-12)
        self.left = np.linalg.solve(np.eye(len(self.classes)) - self.following, fastest)

    def index(self, s: int, queue: Floats, observation: Any) -> Floats:
        return np.broadcast_to(self.sign * self.left, queue.shape)


class FirstBufferFirst(LastBufferFirst):
    """The class with the most work left on its way out."""

    sign = 1.0


class Threshold(Index):
    """c-mu, but a pool helps a class that another pool serves faster only from a queue length on, which is tuned.

    Of two such pools on one class the one with the lower threshold is asked first, as it comes first in turn.
    """

    floor = 0.0

    @staticmethod
    def helpers(problem: Problem) -> list[tuple[int, int]]:
        """Pairs of pool and class in which the pool is not the fastest."""
        p = problem.params
        rates = np.stack([p.service[(p.pool == k).argmax()] for k in range(len(p.pool_size))])
        slower = (rates > 0) & (rates < rates.max(0))
        return [(int(k), int(c)) for k, c in np.argwhere(slower)]

    @classmethod
    def space_for(cls, problem: Problem) -> dict[str, Parameter]:
        return {f"from_{p}_{c}": Parameter(1, 40, integer=True) for p, c in cls.helpers(problem)}

    def index(self, s: int, queue: Floats, observation: Any) -> Floats:
        found = np.tile(self.cost * self.service[s], (len(queue), 1))
        for name in self.values:
            p, c = map(int, name.split("_")[1:])
            if p == self.pool[s]:
                short = queue[:, c] < np.broadcast_to(self.value(name), (len(queue), 1))[:, 0]
                # Below its threshold a class comes last: taken only if there is nothing else and idling is not allowed.
                found[:, c] = np.where(short, found[:, c] - 1e6, found[:, c])
        return found


class Admit(Rule):
    """Everyone who arrives is let in."""

    def __init__(self, problem: Problem, **values: Any):
        super().__init__(problem, **values)
        self.classes = [name.removeprefix("queue/") for name in self._place if name.startswith("queue/")]

    def limit(self, arriving: Floats) -> Any:
        """Numbers in the system from which on an arrival is refused [N]."""
        return np.inf

    def decide(self, observation: Any, mask: NDArray[np.bool_]) -> Actions:
        """Admit (1) or refuse (0)."""
        queue = sum(self.column(observation, f"queue/{name}") for name in self.classes)
        arriving = np.stack([self.column(observation, f"arriving/{name}") for name in self.classes], 1)
        within = queue + self.column(observation, "in_service") < self.limit(arriving.astype(float))
        return (mask[:, 1] & within).astype(np.int64)


class AdmitBelow(Admit):
    """A class is let in while fewer than so many are in the system, a limit per class."""

    @classmethod
    def space_for(cls, problem: Problem) -> dict[str, Parameter]:
        most = min(problem.params.capacity, 40)
        return {f"limit_{c}": Parameter(0, most, integer=True) for c in range(problem.params.service.shape[1])}

    def limit(self, arriving: Floats) -> Any:
        limits = [np.broadcast_to(np.asarray(value, float), len(arriving)) for value in self.values.values()]
        return (arriving * np.stack(limits, 1)).sum(1)


def rules(problem: Problem) -> dict[str, type[Rule]]:
    """The rules that fit the kind of decisions and what is observed."""
    if problem.params.kind == ADMISSION:
        return {"admit_all": Admit, "admit_below": AdmitBelow}
    found: dict[str, type[Rule]] = {
        "c_mu": CMu,
        "generalised_c_mu": GeneralisedCMu,
        "max_weight": MaxWeight,
        "max_pressure": MaxPressure,
        "longest_queue": LongestQueue,
        "priority": Priority,
    }
    if np.diff(problem.params.route_cumulative, prepend=0.0, axis=1)[:, :-1].any():
        found |= {"last_buffer_first": LastBufferFirst, "first_buffer_first": FirstBufferFirst}
    if Threshold.helpers(problem):
        found["threshold"] = Threshold
    if any(field.name.startswith("head_age/") for field in problem.observation):
        found["first_come_first_served"] = FirstComeFirstServed
    return found
