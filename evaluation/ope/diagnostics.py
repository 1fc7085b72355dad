"""What a log can bear: how much of it speaks about a policy, and whether its propensities can be right."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pointsman.evaluation.ope.estimators import Question
from pointsman.evaluation.ope.log import DecisionLog, Floats
from pointsman.evaluation.ope.tabular import by_step

CERTAIN = 1.0 - 1e-9


def effective_sample_size(weight: NDArray[Any]) -> float:
    """(sum w)^2 / sum w^2: as many equal weights would be as uncertain."""
    square = float((weight**2).sum())
    return float(weight.sum() ** 2 / square) if square > 0 else 0.0


class Diagnostics(NamedTuple):
    """Figures of the weights of a question; by unit where units are blocks."""

    units: int
    ess: float  # effective units, by the expected square of the weights
    ess_share: float  # of all units
    sample_ess: float  # by the weights that happened to occur, as textbooks have it
    mean_weight: float
    mean_weight_z: float  # standard errors between the mean weight and 1, which it must be
    decision_z: float  # the same of the weights of single decisions
    top_share: float  # of all weight, on the 1 % of units with the most
    largest_weight: float
    unsupported: float  # probability that the policy does what the logging policy never does there
    deterministic: float  # share of the decisions with a choice in which the logging policy had none
    agreement: float  # mean probability of the logged action under the policy
    ess_by_step: Floats  # [T] share of the episodes
    calibration: NDArray[np.float64]  # [A, 4] by action: mean propensity, share taken, z, decisions
    calibration_z: float  # largest deviation, as a standard normal after correction for the number of actions
    inverse_z: float  # mean of 1 / (propensity * legal actions) must be 1


def diagnose(q: Question) -> Diagnostics:
    """All figures; those of weights are NaN where propensities are not known."""
    log, several = q.log, q.log.legal.sum(1) > 1
    sure = several & ~(log.propensity < CERTAIN)
    deterministic = float((log.propensity[several] >= CERTAIN).mean()) if several.any() else 0.0
    calibration, worst = _calibration(log)
    known = np.isfinite(log.propensity).all()
    units = int(log.units.max()) + 1
    if not known:
        nan = float("nan")
        return Diagnostics(
            units, 0.0, 0.0, 0.0, nan, nan, nan, nan, nan, _unsupported(q, sure), deterministic, float(q.chosen.mean()),
            np.full(log.horizon, nan), calibration, worst, nan,
        )  # fmt: skip
    last = q.cumulative[:, -1]
    by_unit, size = np.bincount(log.units, last), np.bincount(log.units)
    # Blocks of unequal size: what counts is how far their totals are from being alike.
    sample = _share(last, log.units, units)
    share = min(expected_share(q), 1.0) if log.unit is None else sample
    most = np.sort(by_unit)[::-1][: max(1, int(np.ceil(units / 100)))].sum() / max(by_unit.sum(), 1e-300)
    unit_of = log.units[log.episode]
    decisions = np.bincount(unit_of)
    inverse = 1.0 / (log.propensity * np.maximum(log.legal.sum(1), 1))
    return Diagnostics(
        units, share * units, share, sample * units, float(last.mean()), _z(by_unit, size),
        _z(np.bincount(unit_of, q.ratio), decisions), float(most), float(last.max()),
        _unsupported(q, sure), deterministic, float(q.chosen.mean()), _ess_by_step(q.cumulative),
        calibration, worst, _z(np.bincount(unit_of, inverse), decisions),
    )  # fmt: skip


def expected_share(q: Question) -> float:
    """1 / E[w^2] over episodes: what the effective sample size is of, in the long run, as a share of the episodes.

    The weights of a sample lack the large ones that it missed, and make a log look twice as good as it is. Here the square is
    followed step by step as a mean over the cells, with the ratio's square in expectation where all probabilities are logged.
    """
    log, square = q.log, q.ratio**2
    sample = effective_sample_size(q.cumulative[:, -1]) / log.episodes
    ahead = square
    if log.distribution is not None and q.truncate is None:
        p = log.distribution
        ahead = np.where(p > 0, q.target**2 / np.where(p > 0, p, 1.0), 0.0).sum(1)
    if log.horizon == 1:
        return float(1.0 / max(ahead.mean(), 1e-300))
    steps, weight, last = by_step(log), np.ones(len(log)), log.start[1:] - 1
    for t in range(1, log.horizon):
        rows = steps.at(t)
        place = np.unique(q.cells.of[rows], return_inverse=True)[1]
        mass = np.bincount(place, np.minimum(weight[rows - 1] * square[rows - 1], 1e200))
        weight[rows] = (mass / np.bincount(place))[place]
    mean = float((weight * ahead)[last].mean())
    # It cannot be below 1: then the log has lost sight of the policy on the way.
    return 1.0 / mean if mean > 0.9 else min(sample, 1.0)


def _share(weight: Floats, unit: NDArray[np.int64], units: int) -> float:
    """ESS of single weights as a share of their number; of blocks, of the spread that remains between their totals."""
    single = effective_sample_size(weight) / len(weight)
    if units == len(weight):
        return single
    size = np.bincount(unit).astype(float)
    total = np.bincount(unit, weight)
    if total.sum() <= 0:
        return 0.0
    # Without reweighting a block weighs what its size is.
    return float(min(effective_sample_size(total) / effective_sample_size(size), 1.0))


def _z(total: NDArray[Any], size: NDArray[Any]) -> float:
    """Standard errors between sum(total) / sum(size) and 1."""
    mean = total.sum() / size.sum()
    rest = (total - mean * size) / size.mean()
    error = rest.std(ddof=1) / np.sqrt(len(rest)) if len(rest) > 1 else 0.0
    if error > 1e-12:
        return float((mean - 1.0) / error)
    return 0.0 if abs(mean - 1.0) < 1e-9 else float(np.copysign(np.inf, mean - 1.0))


def _ess_by_step(cumulative: Floats) -> Floats:
    over, under = cumulative.sum(0) ** 2, (cumulative**2).sum(0)
    return np.where(under > 0, over / np.where(under > 0, under, 1.0), 0.0) / len(cumulative)


def _unsupported(q: Question, sure: NDArray[np.bool_]) -> float:
    """Mean probability of actions that the logging policy takes with probability 0, as far as the log tells."""
    log = q.log
    mass = np.zeros(len(log))
    if log.distribution is not None:
        mass = np.where(log.distribution <= 0.0, q.target, 0.0).sum(1)
    mass = np.maximum(mass, np.where(sure & (log.propensity >= CERTAIN), 1.0 - q.chosen, 0.0))
    never = np.bincount(log.action, minlength=log.actions) == 0
    return float(np.maximum(mass, q.target[:, never].sum(1)).mean())


def _calibration(log: DecisionLog) -> tuple[NDArray[np.float64], float]:
    """Were actions taken as often as their probabilities say? By action, where the log has all probabilities."""
    if log.distribution is None:
        return np.zeros((0, 4)), 0.0
    p = log.distribution
    expected, spread = p.sum(0), np.sqrt((p * (1.0 - p)).sum(0))
    taken = np.bincount(log.action, minlength=log.actions)
    z = np.where(spread > 0, (taken - expected) / np.where(spread > 0, spread, 1.0), 0.0)
    found = np.column_stack([expected / len(log), taken / len(log), z, expected])
    tested = spread > 0
    if not tested.any():
        return found, 0.0
    # Bonferroni over the actions, back as a standard normal.
    p_value = min(1.0, float(2 * stats.norm.sf(np.abs(z[tested]).max()) * tested.sum()))
    return found, float(stats.norm.isf(p_value / 2)) if p_value > 0 else 40.0
