"""A tuned rule as a policy that can be saved: it needs the problem only to be built again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pointsman import envs
from pointsman.envs.problem import Layout
from pointsman.envs.single import row_of
from pointsman.errors import PointsmanError


class FunctionPolicy:
    """A function of one observation (as the environment's space has it) that returns one action."""

    def __init__(self, name: str, function: Callable[[Any], Any], layout: Layout):
        self.name, self.function, self.layout = name, function, layout

    def act(self, observation: Any, mask: Any, u: Any) -> Any:
        """Actions [N] or [N, K], row by row."""
        shape = () if len(self.layout.parts) == 1 else (len(self.layout.bounds) or len(self.layout.parts),)
        actions, seen = [], self.layout.shaped(self.layout.flat(observation))  # states of a chain come flat
        for i in range(len(mask)):
            action = np.asarray(self.function(row_of(seen, i)))
            if action.size != int(np.prod(shape)) or action.dtype.kind not in ("fiu" if self.layout.bounds else "iu"):
                wanted = f"numbers of shape {shape}" if self.layout.bounds else f"integers of shape {shape}"
                raise PointsmanError(f"rule={self.name} must return {wanted}, got {action!r}")
            actions.append(action.reshape(shape))
        return np.stack(actions)


class RulePolicy:
    """A rule of a problem family by name, with its parameters."""

    def __init__(self, name: str, rule: Any, config: dict[str, Any]):
        self.name, self.rule, self.config = name, rule, config

    def act(self, observation: Any, mask: Any, u: Any) -> Any:
        """The rule's actions int64[N]."""
        return self.rule.act(observation, mask, u)

    def view(self, problem: Any) -> Any:
        """The problem as the rule is shown it in rollouts."""
        return self.rule.view(problem)

    @property
    def parameters(self) -> dict[str, float]:
        """The tuned values, by name."""
        return dict(self.rule.values)

    def save(self, folder: Path) -> dict[str, Any]:
        """Name, parameters and the configuration that the rule was built for."""
        (folder / "env.json").write_text(json.dumps(self.config) + "\n")
        return {"rule": self.name, "parameters": self.parameters}

    @classmethod
    def load(cls, folder: Path, facts: dict[str, Any]) -> "RulePolicy":
        """Build the rule again."""
        config = json.loads((folder / "env.json").read_text())
        problem = envs.build(envs.complete(config))  # keys that are newer than the run have their defaults
        return cls(facts["rule"], envs.rules(problem)[facts["rule"]](problem, **facts["parameters"]), config)
