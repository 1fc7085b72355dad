"""Decisions of a log as arrays, in the order of episodes and steps."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pointsman.agents import policy as policies
from pointsman.envs.arrays import Floats
from pointsman.envs.problem import Layout
from pointsman.errors import PointsmanError
from pointsman.evaluation.ope.schema import Sidecar

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
DENSE = 40_000_000
"""Episodes times steps of the longest one that may be laid out as a table."""


def joint_mask(mask: Bools, parts: tuple[int, ...]) -> Bools:
    """Legal joint actions [N, A] from masks of the parts, the last part varying fastest."""
    pieces = np.split(mask, np.cumsum(parts)[:-1], 1)
    joint = pieces[0]
    for piece in pieces[1:]:
        joint = (joint[:, :, None] & piece[:, None, :]).reshape(len(joint), -1)
    return joint


class Transitions(NamedTuple):
    """What a learner of values needs: N decisions, with what was seen next where the episode went on in the log."""

    observation: NDArray[np.float32]  # [N, F] flat
    mask: Bools  # [N, sum of parts]
    action: Ints  # [N] joint
    reward: Floats  # [N]
    elapsed: Floats  # [N] time to the next decision
    following: Ints  # [N] row of the next decision; -1: none
    terminated: Bools  # [N]
    episode: Ints  # [N]
    layout: Layout


@dataclass(frozen=True)
class DecisionLog:
    """N decisions of E episodes; rows of an episode are adjacent and in the order of its steps.

    A joint actions (the last part varying fastest where a decision has several), F entries of the flat observation.
    """

    observation: NDArray[np.float32]  # [N, F]
    mask: Bools  # [N, sum of parts]
    action: Ints  # [N]
    propensity: Floats  # [N], NaN: not known
    reward: Floats  # [N]
    elapsed: Floats  # [N] time from this decision to the next
    terminated: Bools  # [N]
    start: Ints  # [E + 1] first row of every episode, and N
    sidecar: Sidecar
    distribution: Floats | None = None  # [N, A] probabilities of all actions
    source: str = "logged"  # of the propensities
    day: Ints | None = None  # [N] whole days since 1970
    row: Ints | None = None  # [N] number of the row in its file
    unit: Ints | None = None  # [E] what episodes belong to; null: each stands alone
    trouble: tuple[str, ...] = ()  # why no verdict may rest on this log
    notes: tuple[str, ...] = ()  # what was repaired or left out
    layout: Layout = field(default_factory=lambda: Layout((), (), 0, ()))

    def __post_init__(self) -> None:
        if not len(self.action):
            raise PointsmanError("the log holds no whole episode")

    def __len__(self) -> int:
        return len(self.action)

    @property
    def episodes(self) -> int:
        """E."""
        return len(self.start) - 1

    @cached_property
    def length(self) -> Ints:
        """Decisions of every episode [E]."""
        return np.diff(self.start)

    @property
    def horizon(self) -> int:
        """Decisions of the longest episode, T."""
        return int(self.length.max())

    @cached_property
    def episode(self) -> Ints:
        """Episode of every decision [N]."""
        return np.repeat(np.arange(self.episodes), self.length)

    @cached_property
    def step(self) -> Ints:
        """Place of every decision in its episode [N], from 0."""
        return np.arange(len(self)) - self.start[self.episode]

    @cached_property
    def following(self) -> Ints:
        """Row of the next decision [N]; -1 at the end of an episode."""
        found = np.arange(1, len(self) + 1)
        found[self.start[1:] - 1] = -1
        return found

    @property
    def actions(self) -> int:
        """A."""
        return int(np.prod(self.layout.parts))

    @cached_property
    def legal(self) -> Bools:
        """Legal joint actions [N, A]."""
        return joint_mask(self.mask, self.layout.parts)

    @cached_property
    def units(self) -> Ints:
        """Unit of every episode [E], numbered from 0."""
        return np.arange(self.episodes) if self.unit is None else np.unique(self.unit, return_inverse=True)[1]

    def target(self, policy: Any, batch: int = 200_000) -> Floats:
        """Probabilities [N, A] of a policy's actions on the logged observations; or such an array itself, checked."""
        if isinstance(policy, np.ndarray):
            found = np.asarray(policy, np.float64)
        else:
            parts = []
            for first in range(0, len(self), batch):
                rows = slice(first, first + batch)
                seen, mask = self.layout.shaped(self.observation[rows]), self.mask[rows]
                parts.append(policies.probabilities(policy, seen, mask, self.layout.parts))
            found = np.concatenate(parts)
        if found.shape != (len(self), self.actions):
            raise PointsmanError(f"target probabilities must be of shape {(len(self), self.actions)}, got {found.shape}")
        bad = ~(np.abs(found.sum(1) - 1.0) < 1e-4) | (found < -1e-9).any(1)
        if bad.any():
            raise PointsmanError(f"target probabilities of decision {np.argmax(bad)} do not sum to 1: {found[np.argmax(bad)]}")
        if (found[~self.legal] > 1e-9).any():
            row = int(np.argmax(((found > 1e-9) & ~self.legal).any(1)))
            raise PointsmanError(f"the policy gives decision {row} an action that its mask forbids")
        return found

    def table(self, values: Floats, fill: float = 0.0) -> Floats:
        """Values [N] as [E, T], filled up behind the end of an episode."""
        if self.episodes * self.horizon > DENSE:
            raise PointsmanError(
                f"{self.episodes} episodes of up to {self.horizon} decisions are too many to follow one by one: "
                "cut the log into shorter episodes, or look at decisions one at a time (objective=decision)"
            )
        found = np.full((self.episodes, self.horizon), fill)
        found[self.episode, self.step] = values
        return found

    def discounts(self, discount: float, per: str = "step") -> Floats:
        """Factor of every decision's reward [N]: discount to the power of the steps, or of the time, before it."""
        if discount == 1.0:
            return np.ones(len(self))
        return np.power(discount, self.step.astype(np.float64) if per == "step" else self.clock)

    @cached_property
    def clock(self) -> Floats:
        """Time since the start of the episode [N]."""
        total = np.concatenate([[0.0], np.cumsum(self.elapsed)])[:-1]
        return total - total[self.start[:-1]][self.episode]

    def sums(self, values: Floats) -> Floats:
        """Totals of values [N] by episode [E]."""
        return np.add.reduceat(values, self.start[:-1])

    def one_by_one(self) -> "DecisionLog":
        """Every decision as an episode of its own; those of one episode stay one unit."""
        return replace(self, start=np.arange(len(self) + 1), unit=self.units[self.episode], terminated=np.ones(len(self), bool))

    def blocked(self, days: int) -> "DecisionLog":
        """The same with blocks of so many days as units; an episode belongs to the day on which it begins."""
        if days < 1:
            raise PointsmanError(f"block_days must be at least 1, got {days}")
        if self.day is None:
            raise PointsmanError("blocks of days need the times of the decisions (column ts)")
        first = self.day[self.start[:-1]]
        return replace(self, unit=(first - first.min()) // days)

    def select(self, episodes: Sequence[int] | Ints) -> "DecisionLog":
        """Some episodes only."""
        chosen = np.asarray(episodes, np.int64)
        keep = np.concatenate([np.arange(self.start[e], self.start[e + 1]) for e in chosen]) if len(chosen) else chosen
        rows: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[keep]
            for name in (
                "observation", "mask", "action", "propensity", "reward", "elapsed", "terminated", "distribution", "day", "row"
            )
        }  # fmt: skip
        start = np.concatenate([[0], np.cumsum(self.length[chosen])])
        return replace(self, start=start, unit=None if self.unit is None else self.unit[chosen], **rows)

    def transitions(self) -> Transitions:
        """For learners of values."""
        return Transitions(
            self.observation, self.mask, self.action, self.reward, self.elapsed, self.following, self.terminated,
            self.episode, self.layout,
        )  # fmt: skip
