"""Checks of hyperparameters, alone and beside the problem; errors name the key, as it stands in the configuration."""

from math import inf

import torch

from pointsman.envs.problem import Problem
from pointsman.errors import PointsmanError


def require_counts(**values: int) -> None:
    """Whole numbers of at least 1."""
    for key, value in values.items():
        if value < 1:
            raise PointsmanError(f"agent.{key} must be at least 1, got {value}")


def require_shares(**values: float) -> None:
    """Numbers from 0 to 1."""
    for key, value in values.items():
        if not 0.0 <= value <= 1.0:
            raise PointsmanError(f"agent.{key} must lie between 0 and 1, got {value}")


def require_positive(**values: float) -> None:
    """Finite numbers above 0."""
    for key, value in values.items():
        if not 0.0 < value < inf:
            raise PointsmanError(f"agent.{key} must be positive, got {value}")


def require_objective(objective: str) -> None:
    """One of the two that learners know."""
    if objective not in ("average", "discounted"):
        raise PointsmanError(f"agent.objective must be 'average' or 'discounted', got '{objective}'")


def require_average(objective: str, problem: Problem) -> None:
    """A problem that has an average per unit of time, if that is the objective."""
    if problem.episodic and objective == "average":
        raise PointsmanError(f"{problem.id} counts by the episode: take agent.objective=discounted, as agent=ppo_gym does")


def require_device(device: str) -> None:
    """A device of torch that this machine has."""
    if device != "cpu" and not (device.split(":")[0] == "cuda" and torch.cuda.is_available()):
        raise PointsmanError(
            f"device must be cpu{', or cuda' if torch.cuda.is_available() else ' on this machine'}, got {device!r}"
        )


def require_widths(hidden: object) -> None:
    """Widths of layers."""
    if not isinstance(hidden, list | tuple) or not all(isinstance(width, int) and width >= 1 for width in hidden):
        raise PointsmanError(f"agent.hidden must be a list of widths of at least 1, got {hidden}")
