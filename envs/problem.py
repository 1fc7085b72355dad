"""What a configured problem is: its kernel, its names and ranges, and the layout that policies must know."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from pointsman.envs.ledger import Kpi
from pointsman.envs.picture import View
from pointsman.errors import PointsmanError


class Outputs(NamedTuple):
    """What a kernel writes for each of N rows, and the keys of its randomness.

    F entries of the observation (context, then candidate by candidate), A actions (of all parts), C ledger columns.
    """

    seed: NDArray[np.int64]  # [N]
    stream: NDArray[np.int64]  # [N] of the seed: the index of the environment
    episode: NDArray[np.int64]  # [N] since the last seeding
    observation: NDArray[np.float32]  # [N, F]
    mask: NDArray[np.bool_]  # [N, A]
    final_observation: NDArray[np.float32]  # [N, F] of rows that have just ended
    final_mask: NDArray[np.bool_]  # [N, A]
    ledger: NDArray[np.float64]  # [N, C]
    elapsed: NDArray[np.float64]  # [N]
    terminated: NDArray[np.bool_]  # [N]
    truncated: NDArray[np.bool_]  # [N]


class Events(NamedTuple):
    """What may happen after a decision: E events with probabilities that may depend on the state before.

    probability(state) -> [N, E]; fill(record, rows, event) puts event[k] into row rows[k] of a record.
    """

    probability: Callable[[Any], NDArray[np.float64]]
    fill: Callable[[Any, NDArray[np.int64], NDArray[np.int64]], None]


class Recent(NamedTuple):
    """What is shown of the recent past (recent.py): J ledger columns in K quantities, each over T times."""

    column: NDArray[np.int64]  # [J]
    which: NDArray[np.int64]  # [J] quantity that the column belongs to, rising
    over: NDArray[np.float64]  # [T]


@dataclass(frozen=True)
class Field:
    """A named entry of the observation, with its unit and range."""

    name: str
    unit: str = ""
    low: float = 0.0
    high: float = float("inf")


@dataclass(frozen=True)
class Problem:
    """A configured problem: everything that is fixed before the first reset."""

    id: str
    config: Mapping[str, Any]
    kernel: Any
    """The module with the compiled dynamics, or an object with the same functions."""
    params: Any
    allocate: Callable[[int], tuple[Any, Any]]
    observation: tuple[Field, ...]
    """Entries of the observation; with candidates, those of the context."""
    actions: tuple[str, ...]
    """Names of the actions; where one decision has several parts, those of the first part, then of the second ..."""
    columns: tuple[str, ...]
    prices: Mapping[str, float]
    kpis: Mapping[str, Kpi]
    demand: str
    """Ledger column of what is counted as one unit of demand, for the cost per unit; its name in words is `demand_unit`."""
    demand_unit: str
    time_unit: str
    horizon: float
    warmup: float
    """Time to delete before long-run averages are taken; 0 where an episode's empty start is part of the problem."""
    parts: tuple[int, ...] = ()
    """Numbers of actions by part of a decision (MultiDiscrete); empty: one part (Discrete)."""
    candidates: tuple[Field, ...] = ()
    """Entries of one candidate, the first being `present`; action m of the first `window` actions chooses candidate m."""
    window: int = 0
    bounds: tuple[tuple[float, float], ...] = ()
    """Lowest and highest value by entry of an action that is a vector of numbers (Box); empty: actions are counted."""
    image: tuple[int, ...] = ()
    """Shape of an observation that is an image of bytes; empty: it is not."""
    episodic: bool = False
    """Does the total of an episode count, however long it takes? Then averages are per episode, not per unit of time."""
    events: Events | None = None
    """What may happen after a decision, where that can be listed; null: it cannot."""
    recent: Recent | None = None
    """What the last entries of the observation show of the recent past; null: there are none."""
    render: Callable[["Problem", View], NDArray[np.uint8]] | None = None
    """Draws a decision, uint8[height, width, 3]; null: the general picture (picture.py)."""

    @property
    def fields(self) -> tuple[Field, ...]:
        """Entries of the flat observation: of the context, then candidate by candidate."""
        each = [replace(f, name=f"{f.name} of candidate {m}") for m in range(self.window) for f in self.candidates]
        return (*self.observation, *each)

    def named(self, action: NDArray[np.int64]) -> str:
        """An action [K] in words, part by part."""
        first = np.concatenate([[0], np.cumsum(self.layout.parts)])[:-1]
        return ", ".join(self.actions[place] for place in first + action)

    @property
    def _numbers(self) -> tuple[int, ...]:
        return () if self.bounds else self.parts or (len(self.actions),)

    @property
    def layout(self) -> "Layout":
        """What a policy must know of the spaces."""
        context, candidates = (tuple(field.name for field in fields) for fields in (self.observation, self.candidates))
        return Layout(context, candidates, self.window, self._numbers, self.bounds, self.image)

    @property
    def spaces(self) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
        """Observation and action space of a single environment."""
        context, candidates = _box(self.observation), _box(self.candidates, self.window)
        seen = gymnasium.spaces.Dict({"context": context, "candidates": candidates}) if self.window else context
        if self.image:
            seen = gymnasium.spaces.Box(0, 255, self.image, np.uint8)
        if self.bounds:
            low, high = np.array(self.bounds, np.float32).T
            return seen, gymnasium.spaces.Box(low, high, dtype=np.float32)
        parts = self.parts
        return seen, gymnasium.spaces.MultiDiscrete(list(parts)) if parts else gymnasium.spaces.Discrete(len(self.actions))


def _box(fields: tuple[Field, ...], rows: int = 0) -> gymnasium.spaces.Box:
    """Range of a vector of entries, or of `rows` of them."""
    low, high = (np.array([getattr(field, side) for field in fields], np.float32) for side in ("low", "high"))
    if rows:
        low, high = np.tile(low, (rows, 1)), np.tile(high, (rows, 1))
    return gymnasium.spaces.Box(low, high, dtype=np.float32)


class Layout(NamedTuple):
    """Shape of what a policy sees and does: names of context and candidate entries, M candidates, actions by part.

    Where actions are vectors of numbers, `bounds` has their ranges and `parts` is empty; `image` is the shape of an image.
    """

    context: tuple[str, ...]
    candidates: tuple[str, ...]
    window: int
    parts: tuple[int, ...]
    bounds: tuple[tuple[float, float], ...] = ()
    image: tuple[int, ...] = ()

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Layout":
        """From the dict of a saved one, whose tuples have become lists."""
        lists = {key: tuple(facts[key]) for key in ("context", "candidates", "parts")}
        bounds = tuple((float(low), float(high)) for low, high in facts.get("bounds", ()))
        return cls(window=facts["window"], bounds=bounds, image=tuple(facts.get("image", ())), **lists)

    @property
    def width(self) -> int:
        """Entries of a flat observation."""
        return len(self.context) + self.window * len(self.candidates)

    def flat(self, observation: Any) -> NDArray[np.float32]:
        """Observations [N, width] of a vector or of a dict of context [N, F] and candidates [N, M, G]."""
        if isinstance(observation, Mapping):
            context, candidates = observation["context"], observation["candidates"]
            observation = np.concatenate([context, candidates.reshape(len(context), -1)], 1)
        flat = np.asarray(observation, np.float32)
        return flat.reshape(len(flat), -1) if self.image else flat

    def shaped(self, flat: NDArray[Any]) -> Any:
        """A flat observation [N, width] as the observation space has it: what `flat` undoes."""
        if self.image:
            return flat.astype(np.uint8).reshape(len(flat), *self.image)
        if not self.window:
            return flat
        context, shape = len(self.context), (len(flat), self.window, len(self.candidates))
        return {"context": flat[:, :context], "candidates": flat[:, context:].reshape(shape)}

    def check(self, observation: NDArray[Any]) -> None:
        """An error that names the row and the entry of a flat observation that is not a finite number."""
        if not np.isfinite(observation).all():
            row, place = np.argwhere(~np.isfinite(observation))[0]
            name = self.context[place] if place < len(self.context) else self._candidate(place - len(self.context))
            raise PointsmanError(f"observation '{name}' of row {row} is {observation[row, place]}: it must be finite")

    def _candidate(self, place: int) -> str:
        which, entry = divmod(place, len(self.candidates))
        return f"{self.candidates[entry]} of candidate {which}"
