"""Demand of one period as a finite list of whole values with probabilities, or as recorded."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import signal, stats

from pointsman.envs.arrays import Floats, Integers
from pointsman.envs.checks import number, require, whole
from pointsman.errors import PointsmanError, unknown

TAIL = 1e-10
"""Demand of smaller probability is cut off: it counts as the largest value kept. With a penalty p the long-run cost of any
policy moves by no more than p times the sum of all tail probabilities beyond that value, some 1e-9 p for the laws here."""
NOTHING = 1e-14
"""Probability that is not carried on from sum to sum."""
LARGEST = 200_000
"""Values that a list may have."""


class Demand(NamedTuple):
    """Values ascending from 0 in steps of 1, their probabilities, and the recorded periods, if that is what is replayed."""

    value: Integers  # [D]
    probability: Floats  # [D]
    trace: Integers  # [T]

    @property
    def mean(self) -> float:
        """Units per period."""
        return float(self.value @ self.probability)

    @property
    def variance(self) -> float:
        """Of the units in a period."""
        return float(self.value**2 @ self.probability) - self.mean**2

    def over(self, periods: int) -> Floats:
        """Probabilities of total demand 0, 1, 2 ... in so many independent periods."""
        found = np.ones(1)
        for _ in range(periods):
            found = np.maximum(signal.convolve(found, self.probability), 0.0)
            found = found[: len(found) - int(np.argmax(found[::-1].cumsum() > NOTHING))]
        return found

    def level(self, periods: int, ratio: float) -> int:
        """The least number that demand of so many periods stays within with probability `ratio`."""
        return int(np.argmax(self.over(periods).cumsum() >= min(ratio, 1 - TAIL)))


def demand_of(config: Mapping[str, Any]) -> Demand:
    """From a configuration; errors name the key at fault."""
    kind = config["demand"]
    if kind not in LAWS:
        raise unknown("demand", kind, LAWS)
    keys, law = LAWS[kind]
    for key in PARAMETERS:
        given = config[key] is not None
        if given and key not in keys and key != "demand_mean":  # a preset's mean may stand beside another law
            raise PointsmanError(f"{key} has no meaning for demand={kind}: set it to null")
        require(given or key not in keys, key, f"given for demand={kind}", "null")
    factor = number("demand_factor", config["demand_factor"], strict=True)
    return law(config, factor)


def _listed(probability: Any, trace: Integers | None = None) -> Demand:
    """Probabilities of 0, 1, 2 ..., the rest of the mass at the end of the list."""
    kept = np.array(probability, float)
    kept[-1] += max(1.0 - kept.sum(), 0.0)
    return Demand(np.arange(len(kept)), kept / kept.sum(), np.zeros(0, np.int64) if trace is None else trace)


def _tabulated(law: Any) -> Demand:
    """A distribution of scipy's, cut where its tail is small."""
    most = int(law.isf(TAIL))
    if most >= LARGEST:
        raise PointsmanError(f"demand reaches {most:,} units in a period, more than {LARGEST:,}: count in larger units")
    return _listed(law.pmf(np.arange(most + 1)))


def _poisson(config: Mapping[str, Any], factor: float) -> Demand:
    return _tabulated(stats.poisson(factor * number("demand_mean", config["demand_mean"], strict=True)))


def _geometric(config: Mapping[str, Any], factor: float) -> Demand:
    """P(d) = (1 - q) q^d with q = mean / (1 + mean)."""
    mean = factor * number("demand_mean", config["demand_mean"], strict=True)
    return _tabulated(stats.geom(1 / (1 + mean), loc=-1))


def _negative_binomial(config: Mapping[str, Any], factor: float) -> Demand:
    mean = number("demand_mean", config["demand_mean"], strict=True)
    variance = number("demand_variance", config["demand_variance"])
    require(variance > mean, "demand_variance", f"above demand_mean={mean:g} (at most that it is Poisson)", variance)
    return _tabulated(overdispersed(factor * mean, factor * variance))


def overdispersed(mean: float, variance: float) -> Any:
    """Negative binomial of a mean and a variance above it; Poisson where the variance is no larger."""
    if variance <= mean * (1 + 1e-9):
        return stats.poisson(mean)
    return stats.nbinom(mean**2 / (variance - mean), mean / variance)


def _uniform(config: Mapping[str, Any], factor: float) -> Demand:
    low, high = (whole(key, config[key]) for key in ("demand_low", "demand_high"))
    require(high >= low and high > 0, "demand_high", f"above 0 and at least demand_low={low}", high)
    low, high = round(factor * low), max(round(factor * high), 1)
    require(high < LARGEST, "demand_high", f"below {LARGEST:,}", high)
    return _listed([0.0] * low + [1 / (high - low + 1)] * (high - low + 1))


def _intermittent(config: Mapping[str, Any], factor: float) -> Demand:
    """No demand in most periods; otherwise 1 and a negative binomial number of units."""
    share = min(factor * number("demand_probability", config["demand_probability"], strict=True, high=1.0), 1.0)
    mean, variance = number("size_mean", config["size_mean"], low=1.0), number("size_variance", config["size_variance"])
    if mean == 1.0:
        return _listed([1 - share, share])
    size = _tabulated(overdispersed(mean - 1.0, variance))
    return _listed(np.concatenate([[1 - share], share * size.probability]))


def _trace(config: Mapping[str, Any], factor: float) -> Demand:
    found = np.round(factor * recorded(config["trace"])).astype(np.int64)
    return _listed(np.bincount(found) / len(found), found)


LAWS: dict[str, tuple[tuple[str, ...], Callable[[Mapping[str, Any], float], Demand]]] = {
    "poisson": (("demand_mean",), _poisson),
    "geometric": (("demand_mean",), _geometric),
    "negative_binomial": (("demand_mean", "demand_variance"), _negative_binomial),
    "uniform": (("demand_low", "demand_high"), _uniform),
    "intermittent": (("demand_probability", "size_mean", "size_variance"), _intermittent),
    "trace": (("trace",), _trace),
}
"""By name: the keys that a law needs, and how it is made."""
PARAMETERS = tuple(sorted({key for keys, _ in LAWS.values() for key in keys}))


def recorded(trace: Any) -> Floats:
    """Recorded demand [T] of a list, or of a CSV file's column demand; errors name the place."""
    if isinstance(trace, str):
        if not Path(trace).is_file():
            raise PointsmanError(f"trace: no file at {trace}")
        import pandas as pd  # slow to import, and seldom needed

        try:
            table = pd.read_csv(trace, dtype=str, keep_default_na=False, skip_blank_lines=False)
        except (ValueError, OSError) as error:  # pandas's own errors are ValueErrors
            raise PointsmanError(f"trace: {trace} is not a CSV file: {' '.join(str(error).split())}") from None
        if "demand" not in table or len(table) == 0:
            raise PointsmanError(f"trace: {trace} needs rows and a column demand; it has {', '.join(table.columns)}")
        found = pd.to_numeric(table["demand"], errors="coerce").to_numpy(np.float64)
        return checked(found, lambda k: f"trace {trace}, line {k + 2}: demand", table["demand"])
    require(isinstance(trace, list) and len(trace) > 0, "trace", "a list of demands or the path of a CSV file", trace)
    return checked(np.array([_float(value) for value in trace]), lambda k: f"trace[{k}]", trace)


def checked(found: Floats, where: Callable[[int], str], given: Any) -> Floats:
    """Demands that are all whole numbers of at least 0 and not all 0; an error names the first that is not."""
    bad = ~(np.isfinite(found) & (found >= 0) & (found == np.floor(found)))
    for k in np.flatnonzero(bad)[:1]:
        entry = str(list(given)[k]).strip()
        require(False, where(int(k)), "a whole number of at least 0", f"'{entry}'" if entry else "nothing: it is missing")
    require(found.max() < LARGEST, where(int(found.argmax())), f"below {LARGEST:,}", found.max())
    return found


def _float(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
