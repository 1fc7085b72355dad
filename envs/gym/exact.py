"""Foreign environments have no chain."""

from typing import NoReturn

from pointsman.envs.problem import Problem
from pointsman.errors import PointsmanError


def chain(problem: Problem, size: int) -> NoReturn:
    """An error that says so."""
    raise PointsmanError(f"{problem.id} has no exact solution here: what is inside it cannot be seen")
