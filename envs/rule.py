"""What every rule-based policy shares: named parameters with a search space, and vectorised decisions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.problem import Problem
from pointsman.errors import PointsmanError, unknown


@dataclass(frozen=True)
class Parameter:
    """Range of a rule's parameter, for tuning."""

    low: float
    high: float
    integer: bool = False


class Rule:
    """A policy that reads observations only; parameters are numbers, or arrays [N] with one value per row.

    A row of parameters per row of the batch lets a search compare many settings in one simulation.
    """

    space: ClassVar[dict[str, Parameter]] = {}

    def __init__(self, problem: Problem, **values: Any):
        space = self.space_for(problem)
        for name in values:
            if name not in space:
                raise unknown(f"parameter of rule {type(self).__name__}", name, space)
        middle = {name: (p.low + p.high) / 2 for name, p in space.items()}
        self.values: dict[str, Any] = middle | values
        self._layout = problem.layout
        self._place = {name: k for k, name in enumerate(self._layout.context)}
        self._candidate_place = {name: k for k, name in enumerate(self._layout.candidates)}

    @classmethod
    def space_for(cls, problem: Problem) -> dict[str, Parameter]:
        """The search space on a problem; most rules have the same everywhere."""
        return cls.space

    def view(self, problem: Problem) -> Problem:
        """The problem as the rule is shown it in rollouts: one that needs to see more than learners do says so here."""
        return problem

    def column(self, observation: Any, name: str) -> NDArray[np.float32]:
        """A named column [N] of an observation [N, F], or of its context."""
        if name not in self._place:
            raise PointsmanError(f"rule {type(self).__name__} needs the observation '{name}', which this problem lacks")
        context = observation["context"] if self._layout.window else observation
        found: NDArray[np.float32] = context[:, self._place[name]]
        return found

    def candidate(self, observation: Any, name: str) -> NDArray[np.float32]:
        """A named entry of every candidate [N, M]."""
        if name not in self._candidate_place:
            raise PointsmanError(f"rule {type(self).__name__} needs '{name}' of candidates, which this problem lacks")
        found: NDArray[np.float32] = observation["candidates"][:, :, self._candidate_place[name]]
        return found

    def act(self, observation: Any, mask: NDArray[np.bool_], u: NDArray[np.float64]) -> NDArray[np.int64]:
        """Actions int64[N] (or [N, K], where a decision has K parts); candidates may come flat, as chains have them."""
        flat = self._layout.flat(observation)
        self._layout.check(flat)
        shaped = observation if isinstance(observation, Mapping) else self._layout.shaped(flat)  # which may show more candidates
        return self.decide(shaped, mask)

    def decide(self, observation: Any, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Actions for finite observations: what makes one rule differ from another."""
        raise NotImplementedError
