"""pointsman learns operational decisions and says how far each policy is from the best possible."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman import envs
from pointsman.envs import make, presets
from pointsman.errors import PointsmanError

if TYPE_CHECKING:
    from pointsman.agents.exact import Solution

__all__ = ["PointsmanError", "envs", "load", "make", "presets", "solve"]


def solve(name: str, *, size: int = 50, tolerance: float = 1e-9, **overrides: Any) -> "Solution":
    """The optimal policy of a problem's finite chain, its average cost per unit of time, and bounds.

    The chain is truncated at `size` and again at twice that, until two truncations in a row agree to a relative
    `tolerance`; the last is returned, with all of them in `truncations`.
    """
    return solve_problem(envs.build(envs.configure(name, **overrides)), size, tolerance)


def solve_problem(problem: envs.Problem, size: int = 50, tolerance: float = 1e-9) -> "Solution":
    """`solve` for a problem that is built already."""
    from pointsman.agents import exact

    tried: list[tuple[int, float]] = []
    while size <= 6400:
        solution = exact.solve(envs.chain(problem, size))
        tried.append((size, solution.average_cost))
        if len(tried) > 1 and abs(tried[-1][1] - tried[-2][1]) <= tolerance * abs(tried[-1][1]):
            return solution._replace(truncations=tuple(tried))
        size *= 2
    raise PointsmanError(f"{problem.id}: truncations do not settle: {tried}; is the system stable?")


def load(folder: str) -> Any:
    """The policy of a run folder."""
    from pointsman.agents import policy

    return policy.load(Path(folder) / "policy")
