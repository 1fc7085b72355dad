"""A lower bound on what any policy can cost: the demand of an episode known beforehand, as a linear program."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

from pointsman.envs.checks import UNLIMITED
from pointsman.envs.core import BatchEnv
from pointsman.envs.problem import Problem
from pointsman.errors import PointsmanError


def demands(problem: Problem, episodes: int, seed: int) -> NDArray[np.int64]:
    """Demand [E, T] of the episodes 0, 1 ... of a stream of records: the same whatever is ordered."""
    env = BatchEnv(problem, episodes, autoreset=False, copy=False)
    env.reset(seed=seed)
    parts = len(env.layout.parts)
    none = np.zeros((episodes, parts) if parts > 1 else episodes, np.int64)
    column, found = int(env.ledger["demand"][0]), []
    while not env.out.truncated.all():
        env.step(none)
        found.append(env.out.ledger[:, column].astype(np.int64))
    return np.stack(found, 1)


def hindsight(problem: Problem, episodes: int, seed: int) -> NDArray[np.float64]:
    """The least cost per period [E] after the warm-up, had the demand of each episode been known.

    A relaxation besides: orders may be of any fraction of a unit and below the least order, and one with a fixed cost bears
    the share of it that its units have in the largest order. What is ordered and arrives after the end is not needed,
    and what happens during the warm-up costs nothing. Where it is uncertainty alone that costs, as with lost sales of units
    that are free, hardly anything is left.
    """
    priced = BatchEnv(problem).ledger.price_vector(problem.prices)
    prices = dict(zip(problem.columns, priced[:-1], strict=True))
    for name, price in prices.items():
        if price < 0 or (price > 0 and name not in _BOUNDED and not name.startswith(("ordered/", "orders/"))):
            raise PointsmanError(
                f"prices.{name}={price:g}: the hindsight bound needs prices of at least 0, of {', '.join(_BOUNDED)}, "
                "ordered and orders"
            )
    return np.array([_least(problem, prices, demand) for demand in demands(problem, episodes, seed)])


_BOUNDED = ("held", "lost", "backlogged")


def _least(problem: Problem, prices: dict[str, float], demand: NDArray[np.int64]) -> float:
    """Unknowns by period: units held, waiting, lost, then ordered by source."""
    p, periods = problem.params, len(demand)
    counted = np.arange(periods) >= problem.warmup
    if not counted.any():
        raise PointsmanError(f"warmup_time={problem.warmup:g} leaves no period of horizon_time={problem.horizon:g}")
    names = [name.removeprefix("ordered/") for name in problem.columns if name.startswith("ordered/")]
    one, later = sparse.eye_array(periods), sparse.eye_array(periods, k=-1)
    # What is held less what waits: that of the period before, plus what arrives, less demand, plus what is lost of it.
    blocks = [one - later, later - one, -one]
    cost = [prices[name] * counted for name in ("held", "backlogged", "lost")]
    waits = p.backlog_limit == UNLIMITED
    bounds = [(0.0, None)] * periods + [(0.0, None if waits else float(p.backlog_limit))] * periods
    bounds += [(0.0, 0.0 if waits else float(units)) for units in demand]
    for s, name in enumerate(names):
        most = float(p.quantity[s, p.choices[s] - 1])
        blocks.append(-sparse.eye_array(periods, k=-int(p.lead[s])))
        cost.append((prices[f"ordered/{name}"] + prices[f"orders/{name}"] / most) * counted)
        bounds += [(0.0, most)] * periods
    given = -demand.astype(float)
    given[0] += p.start
    found = linprog(np.concatenate(cost), A_eq=sparse.hstack(blocks, format="csc"), b_eq=given, bounds=bounds, method="highs")
    if found.x is None:
        raise PointsmanError(f"the hindsight bound of {problem.id} was not found: {found.message}")
    return float(found.fun) / counted.sum()
