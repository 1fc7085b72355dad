"""Short pure functions on episode totals: intervals, shares, tests. Randomness is handed in.

Costs are arrays [E] over episodes, or [S, E] where S training seeds made a policy each. Episode e is the same world for
everyone (common random numbers), so a table [S, E] is crossed: its mean varies with the seeds and with the episodes.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from pointsman.envs.arrays import Floats

DRAWS = 2000
"""Bootstrap resamples."""


class Interval(NamedTuple):
    """An estimate and its confidence interval."""

    estimate: float
    low: float
    high: float


def rate(cost: Floats, elapsed: Floats, level: float = 0.95) -> Interval:
    """Ratio of totals, sum(cost) / sum(elapsed), over E independent episodes (and S seeds); delta method with Student's t."""
    cost, elapsed = np.broadcast_arrays(cost, elapsed)
    return _around(cost.sum() / elapsed.sum(), _influence(cost, elapsed), level)


def paired_difference(cost: Floats, baseline: Floats, elapsed: Floats, level: float = 0.95) -> Interval:
    """Difference of two cost rates on common records: episode e is the same world for both."""
    return rate(cost - baseline, elapsed, level)


def independent_difference(
    cost: Floats, elapsed: Floats, other_cost: Floats, other_elapsed: Floats, level: float = 0.95
) -> Interval:
    """Difference of two cost rates on records that have nothing in common (Welch's t): what pairing is measured against."""
    (one, df), (other, other_df) = _spread(_influence(cost, elapsed)), _spread(_influence(other_cost, other_elapsed))
    error = np.hypot(one, other)
    freedom = error**4 / (one**4 / df + other**4 / other_df) if error > 0 else df + other_df
    estimate, half = cost.sum() / elapsed.sum() - other_cost.sum() / other_elapsed.sum(), _quantile(level, freedom) * error
    return Interval(float(estimate), float(estimate - half), float(estimate + half))


def difference_of(statistic: Callable[[Floats], Floats], ours: Floats, theirs: Floats, level: float = 0.95) -> Interval:
    """Paired difference of a smooth statistic of ledger totals, such as a KPI: rows [E, C] of the same episodes; jackknife.

    NaN where the statistic is not defined on the totals of either.
    """
    n = len(ours)

    def shares(rows: Floats) -> tuple[Floats, Floats]:
        total = rows.sum(0)
        whole = statistic(total)
        return whole, (n - 1) * (whole - statistic(total - rows))

    (one, influence), (other, other_influence) = shares(ours), shares(theirs)
    if np.isnan(one - other):
        return Interval(np.nan, np.nan, np.nan)
    # Without its only event an episode leaves nothing to divide by: that it mattered is all that is known.
    return _around(float(one - other), np.nan_to_num(influence - other_influence), level)


def hierarchical_bootstrap(over: Floats, under: Floats, rng: np.random.Generator, level: float = 0.95) -> Interval:
    """Ratio of totals of two tables [S, E] (or [E]), resampling seeds and episodes (Owen 2007, the pigeonhole bootstrap).

    Few units resampled spread too little, five seeds by a fifth and more. So the resamples' deviations are stretched to the
    standard error of the crossed layout and to Student's t with its degrees of freedom (Satterthwaite); their shape is kept.
    """
    over, under = np.broadcast_arrays(*np.atleast_2d(over, under))
    seeds, episodes = over.shape
    picked, weight = _resamples(seeds, rng), _resamples(episodes, rng)

    def resampled(table: Floats) -> Floats:
        return np.asarray(((picked @ table) * weight).sum(1))

    below = resampled(under)
    # A total that may be zero makes the ratio mean nothing; resamples near it are left to widen the interval.
    ratios = resampled(over) / np.where(np.abs(below) > 1e-12 * np.abs(under).sum(), below, np.nan)
    estimate = over.sum() / under.sum()
    low, high = np.nanquantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    influence = _influence(over, under)
    error, freedom = _spread(influence)
    if error > 0 and (found := resampled(influence).std() / influence.size) > 0:
        stretch = error / found * _quantile(level, freedom) / stats.norm.ppf((1 + level) / 2)
        low, high = estimate + stretch * (low - estimate), estimate + stretch * (high - estimate)
    return Interval(float(estimate), float(low), float(high))


def gap_closed(rule: Floats, policy: Floats, optimum: Floats, rng: np.random.Generator, level: float = 0.95) -> Interval:
    """Share (rule - policy) / (rule - optimum) of the headroom, with a bootstrap interval over pairs (and seeds, if [S, E]).

    Without any headroom there is no share: all three are NaN.
    """
    headroom = rule - optimum
    if abs(headroom.mean()) <= 1e-12:
        return Interval(np.nan, np.nan, np.nan)
    return hierarchical_bootstrap(rule - policy, headroom, rng, level)


def p_value(difference: Floats, elapsed: Floats) -> float:
    """Two-sided p-value of "the rate of `difference` is zero", by the t-test over episodes (and seeds, if [S, E])."""
    error, freedom = _spread(_influence(difference, elapsed))
    estimate = difference.sum() / np.broadcast_to(elapsed, difference.shape).sum()
    if not error > 0:
        return 1.0 if estimate == 0 or np.isnan(error) else 0.0
    return float(2 * stats.t.sf(abs(estimate) / error, freedom))


def holm(p: Sequence[float]) -> Floats:
    """p-values corrected for being one of many, by Holm's step-down procedure (1979); no assumption of independence."""
    given = np.asarray(p, np.float64)
    order = np.argsort(given, kind="stable")
    steps = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    corrected = np.empty_like(given)
    corrected[order] = np.minimum(steps, 1.0)
    return corrected


def interquartile_mean(scores: Sequence[Floats]) -> Floats:
    """Mean of the middle half of all runs' scores, over all problems together (Agarwal et al. 2021); scores[p] is [..., runs]."""
    return np.asarray(stats.trim_mean(np.concatenate(scores, -1), 0.25, axis=-1))


def probability_of_improvement(ours: Sequence[Floats], theirs: Sequence[Floats]) -> Floats:
    """Probability that a run of ours costs less than one of theirs, ties counting half: the mean over problems."""
    each = []
    for a, b in zip(ours, theirs, strict=True):
        one, other = a[..., :, None], b[..., None, :]
        each.append(((one < other) + 0.5 * (one == other)).mean((-2, -1)))
    return np.asarray(np.mean(each, axis=0))


def stratified_bootstrap(
    statistic: Callable[..., Floats], *groups: Sequence[Floats], rng: np.random.Generator, level: float = 0.95
) -> Interval:
    """Interval of statistic(*groups), resampling runs within each problem: `groups[g][p]` is [runs], resampled [DRAWS, runs]."""
    drawn = statistic(*[[rng.choice(runs, (DRAWS, len(runs))) for runs in group] for group in groups])
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(statistic(*groups)), float(low), float(high))


def episodes_needed(cost: Floats, elapsed: Floats, pilot: int, half_width: float, level: float = 0.95) -> int:
    """Episodes in all that bring `sequential` to +- half_width, as those so far tell; no more than there are: it is enough."""
    widest = _sequential_half(cost, elapsed, pilot, level)
    return max(len(cost), int(np.ceil(len(cost) * (widest / half_width) ** 2 * (1 - 1e-12))))


def sequential(cost: Floats, elapsed: Floats, pilot: int, level: float = 0.95) -> Interval:
    """Interval of a rate whose number of episodes was chosen by `episodes_needed`, asked after the first `pilot` and again.

    The spread is that of the pilot (Stein 1945): the mean of all hardly depends on it, so the number may. Costs are skewed,
    though, and a pilot without a bad episode has too small a spread; so that of all episodes counts where it is wider.
    """
    half, estimate = _sequential_half(cost, elapsed, pilot, level), cost.sum() / elapsed.sum()
    return Interval(float(estimate), float(estimate - half), float(estimate + half))


def _sequential_half(cost: Floats, elapsed: Floats, pilot: int, level: float) -> float:
    """Half the width of a sequential interval: by the spread of the pilot or of all, whichever is wider."""
    (first, freedom), (all_, _) = (_spread(_influence(cost[:n], elapsed[:n])) for n in (pilot, len(cost)))
    return float(_quantile(level, freedom) * max(first * np.sqrt(pilot / len(cost)), all_))


def verdict(difference: Interval) -> str:
    """What a paired difference of costs says of the policy: better, worse or inconclusive."""
    if difference.high < 0:
        return "better"
    return "worse" if difference.low > 0 else "inconclusive"


def _influence(over: Floats, under: Floats) -> Floats:
    """Influence of every entry on the ratio of totals, which is the mean of the ratio plus these."""
    under = np.broadcast_to(under, over.shape)
    return np.asarray((over - over.sum() / under.sum() * under) / under.mean())


def _spread(influence: Floats) -> tuple[float, float]:
    """Standard error of the mean of influence [E] or [S, E], and its degrees of freedom.

    The crossed layout's is that of the means over seeds plus that over episodes, less what both hold of the rest.
    """
    if influence.ndim == 1 or len(influence) == 1:
        n = influence.size
        return (float(influence.std(ddof=1) / np.sqrt(n)), n - 1.0) if n > 1 else (np.nan, 1.0)
    seeds, episodes = influence.shape
    by_seed, by_episode = influence.mean(1), influence.mean(0)
    rest = influence - by_seed[:, None] - by_episode + influence.mean()
    parts = by_seed.var(ddof=1) / seeds, by_episode.var(ddof=1) / episodes
    both = (rest**2).sum() / ((seeds - 1) * (episodes - 1)) / (seeds * episodes)
    variance = max(sum(parts) - both, *parts)
    weight = parts[0] ** 2 / (seeds - 1) + parts[1] ** 2 / (episodes - 1)
    return float(np.sqrt(variance)), float(variance**2 / weight) if weight > 0 else seeds - 1.0


def _around(estimate: float, influence: Floats, level: float) -> Interval:
    """Estimate +- t * standard error; one episode tells nothing of the spread."""
    error, freedom = _spread(influence)
    half = np.inf if np.isnan(error) else _quantile(level, freedom) * error
    return Interval(float(estimate), float(estimate - half), float(estimate + half))


def _quantile(level: float, freedom: float) -> float:
    return float(stats.t.ppf((1 + level) / 2, freedom))


def _resamples(n: int, rng: np.random.Generator) -> Floats:
    """How often each of n is drawn, in each of DRAWS resamples: [DRAWS, n]."""
    picks = rng.integers(0, n, (DRAWS, n)) + n * np.arange(DRAWS)[:, None]
    return np.bincount(picks.ravel(), minlength=DRAWS * n).reshape(DRAWS, n).astype(np.float64)
