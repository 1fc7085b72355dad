"""As many episodes as it takes to know a difference well enough."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pointsman.envs.core import BatchEnv
from pointsman.envs.problem import Problem
from pointsman.errors import PointsmanError
from pointsman.evaluation.rollout import Rollout, join, run_all
from pointsman.evaluation.statistics import episodes_needed

MOST, CHUNK = 100_000, 1_000
"""Episodes that are run in all, and side by side."""


def run_until(
    problem: Problem, policies: dict[str, Any], learned: str, rules: list[str], episodes: int, until: float | None,
    seed: int, progress: Callable[[float], None],
) -> tuple[dict[str, Rollout], int | None]:  # fmt: skip
    """`run_all`, and with `until` more episodes until the learned policy's difference to the best rule is known that well.

    Returns the rollouts and, if more were asked for, the number of episodes that decided so: `until` is half the width of
    the 95 % interval as a share of the rule's cost.
    """
    if until is not None and not 0 < until < np.inf:
        raise PointsmanError(f"until must be a positive share of the cost, such as 0.005, got {until}")
    found = run_all(problem, policies, episodes, seed, progress)
    if until is None:
        return found, None
    prices = BatchEnv(problem).prices
    base = min(rules, key=lambda name: (found[name].ledger @ prices).mean())
    while True:
        cost = {name: found[name].ledger @ prices for name in (learned, base)}
        done = len(cost[base])
        elapsed = found[base].elapsed
        half_width = until * abs(cost[base].sum() / elapsed.sum())
        wanted = episodes_needed(cost[learned] - cost[base], elapsed, episodes, half_width)
        if wanted > MOST:
            raise PointsmanError(f"until={until} would take {wanted:,} episodes, and at most {MOST:,} are run: ask for less")
        if wanted <= done:
            progress(1.0)
            return found, episodes
        progress(done / wanted)
        more = run_all(problem, policies, min(wanted - done, CHUNK), seed, lambda share: None, done)
        found = {name: join(found[name], more[name]) for name in found}
