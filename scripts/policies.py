"""Policies as a user names them on the command line: a run folder, the folder of a policy, or a rule."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pointsman import envs
from pointsman.errors import PointsmanError, unknown


def open_policy(key: str, name: str, parameters: dict[str, float], problem: envs.Problem | None) -> Any:
    """The policy `name` of the configuration's `key`; a rule needs the problem that it is for."""
    from pointsman.agents import policy
    from pointsman.agents.rules import RulePolicy

    path = Path(name)
    for folder in (path, path / "policy"):
        if (folder / "policy.json").is_file():
            return policy.load(folder)
    if problem is None:
        raise PointsmanError(f"{key}={name}: no policy there; rules by name are for logs that came from a simulator")
    rules = envs.rules(problem)
    if name not in rules:
        raise unknown(f"{key}: no folder of a policy, and no rule", name, rules)
    return RulePolicy(name, rules[name](problem, **parameters), dict(problem.config))


def numbers(key: str, given: Any) -> dict[str, float]:
    """Parameters of a rule as they stand in a configuration: nothing, or numbers by name."""
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(value, int | float) for value in given.values()):
        raise PointsmanError(f"{key} must be numbers by name, such as {{threshold: 0.5}}, got {given}")
    return {str(name): float(value) for name, value in given.items()}
