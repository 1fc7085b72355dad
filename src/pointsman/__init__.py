"""pointsman learns operational decisions and says how far each policy is from the best possible."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman import envs
from pointsman.envs import make, plug, presets
from pointsman.envs.checks import require, whole
from pointsman.errors import PointsmanError

if TYPE_CHECKING:
    from pointsman.agents.exact import Solution

__all__ = ["PointsmanError", "envs", "load", "make", "plug", "presets", "solve"]

LARGEST = 6400
"""Truncation beyond which no chain is built."""


def solve(name: str, *, size: int = 25, tolerance: float = 1e-4, **overrides: Any) -> "Solution":
    """The optimal policy of a problem's finite chain, its average cost per unit of time, and bounds.

    The chain is truncated at `size`, at twice that, and so on, until what is still missing is estimated at no more than a
    relative `tolerance`; the last is returned, with all of them in `truncations`. At least two are always solved, unless the
    first is known to leave nothing out. `size` is a whole number from 1 to 3,200, which leaves room for a second.
    """
    return solve_problem(envs.build(envs.configure(name, **overrides)), size, tolerance)


def solve_problem(problem: envs.Problem, size: int = 25, tolerance: float = 1e-4) -> "Solution":
    """`solve` for a problem that is built already."""
    from pointsman.agents import exact

    size = whole("size", size, 1)
    require(size <= LARGEST // 2, "size", f"at most {LARGEST // 2}", size)
    tried: list[tuple[int, float]] = []
    # One truncation says nothing of what it leaves out: if the second cannot be had, the first need not be solved.
    chain = envs.chain(problem, size)
    larger = None if chain.complete else envs.chain(problem, 2 * size)
    while True:
        solution = exact.solve(chain)
        tried.append((size, solution.average_cost))
        if chain.complete or (len(tried) > 1 and truncation_error(tried) <= tolerance * abs(tried[-1][1])):
            return solution._replace(truncations=tuple(tried))
        size *= 2
        if size > LARGEST:
            raise PointsmanError(f"{problem.id}: truncations do not settle: {tried}; is the system stable?")
        chain, larger = larger or envs.chain(problem, size), None


def truncation_error(tried: list[tuple[int, float]]) -> float:
    """How far the last of several truncations, each of twice the size before, may be off.

    The tail of a stable queue falls geometrically with the size, so that doubling squares the share that is missing:
    the last difference d belongs to the truncation before, and d (d / d')^2 is left. With two truncations d itself.
    """
    last = abs(tried[-1][1] - tried[-2][1])
    if len(tried) == 2 or last == 0.0:
        return last
    return last * min(1.0, last / max(abs(tried[-2][1] - tried[-3][1]), last)) ** 2


def load(folder: str) -> Any:
    """The policy of a run folder."""
    from pointsman.agents import policy

    return policy.load(Path(folder) / "policy")
