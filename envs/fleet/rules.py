"""Rules for fleets: the nearest vehicle, one near enough, and matching all that wait with all that are idle."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.arrays import Floats
from pointsman.envs.fleet.matching import Room, match_rows
from pointsman.envs.problem import Problem
from pointsman.envs.rule import Parameter, Rule

Actions = NDArray[np.int64]


class Nearest(Rule):
    """The nearest idle vehicle; a request waits if there is none."""

    def decide(self, observation: Any, mask: NDArray[np.bool_]) -> Actions:
        """The vehicle of least pickup time."""
        chosen, _ = self.nearest(observation, mask)
        return self.otherwise(chosen, np.zeros(len(mask), bool), mask)

    def nearest(self, observation: Any, mask: NDArray[np.bool_]) -> tuple[Actions, Floats]:
        """The nearest idle vehicle of each row, -1 if none is idle, and its minutes to the pickup."""
        minutes = np.where(mask[:, :-2], self.candidate(observation, "pickup_minutes"), np.inf)
        best, rows = minutes.argmin(1), np.arange(len(minutes))
        return np.where(mask[rows, best], best, -1), minutes[rows, best]

    def otherwise(self, chosen: Actions, refuse: NDArray[np.bool_], mask: NDArray[np.bool_]) -> Actions:
        """Where no vehicle is chosen (-1): refuse, or wait; what is not legal gives way to the other."""
        wait = mask.shape[1] - 2
        no = wait + ((refuse & mask[:, -1]) | ~mask[:, -2])
        return np.where(chosen >= 0, chosen, no).astype(np.int64)

    def crowded(self, observation: Any) -> NDArray[np.bool_]:
        """Rows in which more requests wait than the rule lets wait."""
        found: NDArray[np.bool_] = self.column(observation, "waiting_per_vehicle") > self.values["most_waiting"]
        return found


class NearestWithin(Nearest):
    """The nearest idle vehicle if it is near enough; else the request waits, or is refused if too many do. Both are tuned."""

    @classmethod
    def space_for(cls, problem: Problem) -> dict[str, Parameter]:
        return {"within": Parameter(0.0, across(problem)), "most_waiting": most_waiting(problem)}

    def decide(self, observation: Any, mask: NDArray[np.bool_]) -> Actions:
        """The nearest vehicle within so many minutes."""
        chosen, minutes = self.nearest(observation, mask)
        return self.otherwise(np.where(minutes <= self.values["within"], chosen, -1), self.crowded(observation), mask)


class Batched(Nearest):
    """All requests and idle vehicles are matched every `interval` batches: as many as can be, with the least pickup time.

    No pickup takes longer than `within` minutes; each minute less counts as much as a pair more counts `within`. The
    interval, the limit, and how many requests may wait are tuned. With decisions at events there is no interval.
    """

    @classmethod
    def space_for(cls, problem: Problem) -> dict[str, Parameter]:
        own = {"within": Parameter(0.0, across(problem)), "most_waiting": most_waiting(problem)}
        return intervals(problem) | own

    def __init__(self, problem: Problem, **values: Any):
        super().__init__(problem, **values)
        p = problem.params
        self.batch, self.by_air, self.minutes_per_km = p.batch, p.detour, p.minutes_per_km
        self.room = Room.of_size(p.places_shown + 1, p.vehicles)
        self.prices = {
            name: problem.prices.get(name, 0.0) for name in ("value", "empty_km", "loaded_km", "pickup_minutes", "lost")
        }
        self.service_minutes = p.service_minutes

    def gains(self, trip_minutes: Floats, value: Floats) -> tuple[Floats, Any]:
        """Gain [N, R] of a vehicle that stands beside a request, and what a minute of pickup takes from it (a number, or [N])."""
        return np.broadcast_to(self.row("within"), trip_minutes.shape), 1.0

    def row(self, name: str) -> Any:
        """A parameter as a column [N, 1], or a number."""
        found = np.asarray(self.values[name], float)
        return found[:, None] if found.ndim else found

    def decide(self, observation: Any, mask: NDArray[np.bool_]) -> Actions:
        """What the matching gives to the request at hand; the others will be at hand in turn, and get what is theirs."""
        shown = range(self.room.gain.shape[0] - 1)

        def each(name: str) -> Floats:
            columns = [self.column(observation, name)] + [self.column(observation, f"other_{k}/{name}") for k in shown]
            return np.stack(columns, 1).astype(float)

        present = [self.column(observation, f"other_{k}/present") for k in shown]
        here: NDArray[np.bool_] = np.stack([np.ones(len(mask), np.float32), *present], 1).astype(bool)
        base, per_minute = self.gains(each("trip_minutes"), each("value"))
        per_km = np.broadcast_to(per_minute * self.minutes_per_km * self.by_air, len(mask)).astype(float)
        place = [np.ascontiguousarray(self.candidate(observation, axis), float) for axis in "xy"]
        chosen = np.empty(len(mask), np.int64)
        idle = np.ascontiguousarray(mask[:, :-2])
        match_rows(self.room, *place, idle, here, each("x"), each("y"), np.ascontiguousarray(base, float), per_km, chosen)
        now = self.now(observation)
        hopeless = self.crowded(observation) | (base[:, 0] <= 0)
        return self.otherwise(np.where(now, chosen, -1), hopeless & now, mask)

    def now(self, observation: Any) -> Any:
        """Rows whose interval is over."""
        if self.batch == 0:
            return np.ones(len(observation["context"]), bool)
        batches = np.rint(self.column(observation, "minute") / self.batch)
        return batches % np.rint(self.values["interval"]) == 0


class BatchedValue(Batched):
    """The same, but a pair gains what it earns at the problem's prices, less a wage for each minute that a vehicle is taken.

    The wage, `minute_worth`, is tuned. A request that could not earn that, even with a vehicle beside it, is refused.
    """

    @classmethod
    def space_for(cls, problem: Problem) -> dict[str, Parameter]:
        own = {"minute_worth": Parameter(0.0, 2.0 * earnings(problem)), "most_waiting": most_waiting(problem)}
        return intervals(problem) | own

    def gains(self, trip_minutes: Floats, value: Floats) -> tuple[Floats, Any]:
        price, worth = self.prices, self.row("minute_worth")
        km = (trip_minutes - self.service_minutes) / self.minutes_per_km
        base = price["lost"] - price["value"] * value - price["loaded_km"] * km - worth * trip_minutes
        per_minute = price["empty_km"] / self.minutes_per_km + price["pickup_minutes"] + self.values["minute_worth"]
        return base, per_minute


def across(problem: Problem) -> float:
    """Minutes from one corner of the area to the opposite one."""
    p = problem.params
    return float(np.hypot(p.width, p.height) * p.detour * p.minutes_per_km)


def earnings(problem: Problem) -> float:
    """What a trip across half the area earns per minute."""
    p = problem.params
    minutes = across(problem) / 2
    value = p.value[0] + p.value[1] * minutes / p.minutes_per_km
    return float(value * abs(problem.prices.get("value", 0.0)) / (minutes + p.service_minutes))


def most_waiting(problem: Problem) -> Parameter:
    """Range of how many requests per vehicle may wait."""
    p = problem.params
    # Half a request above the limit, so that the search can also refuse nobody, whatever the rounding.
    return Parameter(0.0, (p.waiting_limit + 0.5) / p.vehicles)


def intervals(problem: Problem) -> dict[str, Parameter]:
    """Range of the interval, in batches."""
    batch = problem.params.batch
    return {"interval": Parameter(1, 12, integer=True)} if batch > 0 else {}


def rules(problem: Problem) -> dict[str, type[Rule]]:
    """The rules that fit; a matching needs to see those that wait one by one."""
    found: dict[str, type[Rule]] = {"nearest": Nearest, "nearest_within": NearestWithin}
    if problem.params.places_shown:
        found |= {"batched": Batched, "batched_value": BatchedValue}
    return found
