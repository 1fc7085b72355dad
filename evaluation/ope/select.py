"""Chooses among policies by what held-out episodes of a log say of them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from pointsman.errors import PointsmanError
from pointsman.evaluation.ope.log import DecisionLog
from pointsman.evaluation.ope.verdict import estimate
from pointsman.evaluation.statistics import Interval


class Choice(NamedTuple):
    """The policy with the highest estimate, and the estimates of all: differences to the logging policy."""

    best: str
    differences: dict[str, Interval]


def split(log: DecisionLog, held_out: float, seed: int = 0) -> tuple[DecisionLog, DecisionLog]:
    """Episodes to learn from, and a share of them to choose by; units stay whole."""
    units = int(log.units.max()) + 1
    if not 0.0 < held_out < 1.0 or units < 4:
        raise PointsmanError(f"held_out must lie between 0 and 1, and the log hold 4 units or more; got {held_out}, {units}")
    kept = np.random.default_rng([seed, 7]).permutation(units)[: min(max(2, round(held_out * units)), units - 2)]
    out = np.isin(log.units, kept)
    return log.select(np.flatnonzero(~out)), log.select(np.flatnonzero(out))


def choose(policies: Mapping[str, Any], log: DecisionLog) -> Choice:
    """Compare policies on a log that none of them has seen: by the reward rate of a stream, else by the value of an episode.

    Long streams leave no product of weights to speak of, so they are compared by marginalised weights. A ranking needs less
    than a verdict: what they take for granted is the same for all.
    """
    stream = log.sidecar.episode_rule == "stream" and log.horizon > 1
    name = "mis" if log.horizon > 1 else "dr"
    found: dict[str, Interval] = {}
    for key, policy in policies.items():
        one = estimate(log, policy, [name], objective="rate" if stream else None).estimates.get(name)
        if one is None or one.difference is None:
            raise PointsmanError("the log has no propensities to choose by: give one setting")
        found[key] = one.difference
    return Choice(max(found, key=lambda key: found[key].estimate), found)
