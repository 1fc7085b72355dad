"""Would another policy have been better? Estimates, intervals, diagnostics, and a verdict: or that the log cannot tell."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pointsman.errors import PointsmanError, unknown
from pointsman.evaluation.ope.diagnostics import Diagnostics, diagnose
from pointsman.evaluation.ope.estimators import ESTIMATORS, Question, contributions, limits, logged, question, suited
from pointsman.evaluation.ope.intervals import Contributions, interval
from pointsman.evaluation.ope.log import DecisionLog, Floats
from pointsman.evaluation.statistics import Interval, verdict

BETTER, WORSE, INCONCLUSIVE, REFUSED = "better", "worse", "inconclusive", "refused"
STATUS = {BETTER: 0, WORSE: 1, INCONCLUSIVE: 2, REFUSED: 3}
"""Exit status of each verdict."""


class Limits(NamedTuple):
    """What a log must hold for a verdict."""

    units: int = 30  # independent episodes, decisions or blocks
    ess: float = 60.0  # effective ones, unless they are half of all: then as many as `units`
    whole_share: float = 0.35  # for intervals of IS and WIS, which weight whole episodes: below it they are too short
    whole_ess: float = 1000.0  # unless so many are effective
    ess_share: float = 0.01  # of all
    top_share: float = 0.5  # of all weight, on 1 % of the units
    mean_weight_z: float = 4.0
    calibration_z: float = 5.0
    unsupported: float = 0.01  # of the policy's decisions
    deterministic: float = 0.5  # of the logging policy's
    influence: float = 0.3  # of the variance, on one unit, where marginal weights bear the verdict


LIMITS = Limits()


class Estimate(NamedTuple):
    """One estimator's answer; `why` says why it has no interval."""

    name: str
    family: str
    value: float
    interval: Interval | None
    difference: Interval | None  # to the logging policy, paired
    bias: tuple[float, float] | None  # what truncation takes away lies between these
    why: str
    influence: Floats  # [U]


class Evaluation(NamedTuple):
    """All that a log tells about a policy."""

    estimates: dict[str, Estimate]
    logging: Interval
    primary: str
    verdict: str
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    diagnostics: Diagnostics
    question: Question

    @property
    def status(self) -> int:
        """Exit status."""
        return STATUS[self.verdict]


def estimate(
    log: DecisionLog, policy: Any, estimators: Sequence[str] | None = None, *, objective: str | None = None, method: str = "t",
    level: float = 0.95, block_days: int | None = None, bounds: Limits = LIMITS, **options: Any,
) -> Evaluation:  # fmt: skip
    """Evaluate a policy on the log of another.

    Args:
        policy: a Policy, or its probabilities [N, A] on the logged observations.
        estimators: their names (see ESTIMATORS); null: all that fit.
        objective: decision (mean reward of a decision, each for itself), episode (discounted reward of an episode) or rate
            (reward per unit of time); null: decision where every episode has one, else episode.
        method: of the intervals (see intervals.interval).
        block_days: days that make a unit; null: every episode is one, which a coupled stream is not.
        bounds: what the log must hold.
        options: see estimators.Question.
    """
    if block_days is not None:
        log = log.blocked(block_days)
    q = question(log, policy, objective, **options)
    names = list(estimators) if estimators else suited(q.log)
    for name in names:
        if name not in ESTIMATORS:
            raise unknown("estimator", name, ESTIMATORS)
        if name not in suited(q.log):
            kind = "single decisions" if q.log.horizon == 1 else "episodes of several decisions"
            raise PointsmanError(f"estimator {name} is not for {kind}; these are: {', '.join(suited(q.log))}")
    found = diagnose(q)
    refusal, notes = _reasons(q, found, bounds)
    known = bool(np.isfinite(q.log.propensity).all())
    base = logged(q).by(q.log.units)
    settings = {"method": method, "level": level, "seed": q.seed}
    estimates = {name: _one(name, q, base, known, settings) for name in names if known or ESTIMATORS[name].family == "model"}
    if found.ess_share < bounds.whole_share and found.ess < bounds.whole_ess:
        why = f"an effective share of {100 * found.ess_share:.2g} % is too small to weight whole episodes"
        estimates |= {
            n: one._replace(interval=None, difference=None, why=why) for n, one in estimates.items() if n in ("is", "wis")
        }
    primary = _primary(q, estimates)
    if primary == "mis" and known and _thin(found, bounds):
        why = f"{found.ess:.1f} effective {_units(q)} are too few to weight episodes along the way"
        lost = {n: one._replace(interval=None, difference=None, why=why) for n, one in estimates.items()}
        estimates |= {n: one for n, one in lost.items() if one.family in ("weights", "both")}
    if not primary and not refusal:
        raise PointsmanError("a verdict needs an estimator that rests on weights, such as dr")
    notes += _more_notes(q, found, estimates)
    best = estimates.get(primary)
    if primary == "mis" and best is not None:
        square = best.influence**2
        if square.max() > bounds.influence * square.sum():
            refusal.append(f"one of the {_units(q)} holds {100 * square.max() / square.sum():.0f} % of the estimate's variance")
    answer, difference = REFUSED, None if best is None else best.difference
    if not refusal and difference is not None:
        answer = verdict(Interval(*[-x for x in (difference.estimate, difference.high, difference.low)]))  # of rewards, not costs
    return Evaluation(
        estimates, interval(base, method="t", level=level), primary, answer, tuple(refusal), tuple(notes), found, q
    )  # fmt: skip


def _one(name: str, q: Question, base: Contributions, known: bool, settings: dict[str, Any]) -> Estimate:
    """An estimator's answer, by unit."""
    estimator = ESTIMATORS[name]
    ours = contributions(name, q).by(q.log.units)
    value, influence = float(ours.value()), ours.influence()
    if not np.isfinite(value):
        return Estimate(name, estimator.family, value, None, None, None, "no weight is left", influence)
    if estimator.family == "model" and q.model is not None:
        return Estimate(name, estimator.family, value, None, None, None, "the model's own error is not known", influence)
    if settings["method"] in ("bernstein", "hoeffding"):
        # Linearised estimates and ratios have no bounds.
        declared = limits(name, q)
        if declared is None:
            why = "only for IPS, IS and PDIS with declared reward_range and propensity_floor (or truncate)"
            return Estimate(name, estimator.family, value, None, None, _bias(name, q), why, influence)
        own = interval(ours, limits=declared, **settings)
        both = _difference_limits(declared, q)
        return Estimate(
            name, estimator.family, value, own, interval(ours, base, limits=both, **settings), _bias(name, q), "", influence
        )
    own, difference = interval(ours, **settings), interval(ours, base, **settings)
    return Estimate(name, estimator.family, value, own, difference, _bias(name, q) if known else None, "", influence)


def _difference_limits(declared: tuple[float, float], q: Question) -> tuple[float, float]:
    """Of a contribution less what the episode got."""
    low, high = q.log.sidecar.reward_range or (0.0, 0.0)
    discount = q.log.sidecar.discount if q.objective == "episode" else 1.0
    total = float((discount ** np.arange(q.log.horizon)).sum())
    return declared[0] - max(total * high, 0.0), declared[1] - min(total * low, 0.0)


def _bias(name: str, q: Question) -> tuple[float, float] | None:
    """Between which limits truncation may have moved an estimate; null: nothing was cut, or no range of rewards is known."""
    if q.truncate is None or not (q.full_ratio > q.truncate).any() or q.log.horizon > 1 or q.objective == "rate":
        return None
    missing = float((q.full_ratio - q.ratio).mean())
    low, high = q.log.sidecar.reward_range or (float(q.log.reward.min()), float(q.log.reward.max()))
    family = ESTIMATORS[name].family
    if family == "model":
        return None
    if name == "ips":
        return -missing * max(high, 0.0), -missing * min(low, 0.0)
    return -missing * (high - low), missing * (high - low)


def _primary(q: Question, estimates: dict[str, Estimate]) -> str:
    """The estimator that the verdict rests on: fixed before anything is seen."""
    order = ("dr", "snips", "ips", "switch_dr") if q.log.horizon == 1 else ("wdr", "dr", "cwpdis", "wis", "pdis", "is")
    if q.log.horizon > 1 and q.log.sidecar.markov:
        order = ("mis", *order)
    return next((name for name in order if name in estimates and estimates[name].difference is not None), "")


def _reasons(q: Question, d: Diagnostics, bounds: Limits) -> tuple[list[str], list[str]]:
    """Why the log cannot tell, and what should be known besides."""
    found, notes = list(q.log.trouble), list(q.log.notes)
    if d.units < bounds.units:
        found.append(f"{d.units} independent {_units(q)} are too few: {bounds.units} at least")
    if d.deterministic > bounds.deterministic:
        found.append(
            f"the logging policy had no choice in {100 * d.deterministic:.0f} % of the decisions: its log holds nothing of what "
            "other actions would have brought"
        )
    if d.unsupported > bounds.unsupported:
        found.append(f"in {100 * d.unsupported:.1f} % of its decisions the policy does what the logging policy never does there")
    elif d.unsupported > 1e-9:
        notes.append(f"{100 * d.unsupported:.2g} % of the policy's decisions were never tried; nothing is known of them")
    if not np.isfinite(q.log.propensity).all():
        if not q.log.trouble:
            found.append("propensities are missing")
        return found, notes
    markov = q.log.horizon > 1 and q.log.sidecar.markov
    # Where marginal weights bear the verdict, products over whole episodes may have lost sight of the policy.
    z = d.decision_z if markov else max(d.decision_z, d.mean_weight_z, key=abs)
    if abs(z) > bounds.mean_weight_z:
        mean = f"average {d.mean_weight:.3g} instead of 1" if z == d.mean_weight_z else "of decisions do not average 1"
        found.append(
            f"weights {mean} ({z:+.1f} standard errors): the propensities are wrong, or part of what the policy does was "
            "never logged"
        )
    if max(d.calibration_z, abs(d.inverse_z)) > bounds.calibration_z:
        found.append("actions were not taken as often as their propensities say")
    if markov:
        return found, notes
    if _thin(d, bounds):
        found.append(f"too little overlap: {d.units} {_units(q)} tell as much as {d.ess:.1f} of the policy's own would")
    if d.top_share > bounds.top_share:
        found.append(f"{100 * d.top_share:.0f} % of all weight lies on 1 % of the {_units(q)}")
    return found, notes


def _thin(d: Diagnostics, bounds: Limits) -> bool:
    """Too little overlap along the episodes."""
    return d.ess < (bounds.ess if d.ess_share < 0.5 else bounds.units) or d.ess_share < bounds.ess_share


def _units(q: Question) -> str:
    if q.log.unit is not None:
        return "blocks"
    return "decisions" if q.log.horizon == 1 else "episodes"


def _more_notes(q: Question, d: Diagnostics, estimates: dict[str, Estimate]) -> list[str]:
    log, notes = q.log, []
    if log.source == "estimated":
        notes.append("propensities were estimated from the log itself; intervals leave that out")
    if log.sidecar.episode_rule == "stream":
        notes.append("decisions of an episode are coupled, as they meet the same queue: units are whole episodes, or days")
        if log.horizon == 1:
            notes.append(
                "weighting single decisions ignores what the policy would do to the queue that later requests meet: the "
                "estimate is of decisions in the states that the logging policy came to"
            )
    if log.horizon > 1 and ("mis" in estimates or "dm" in estimates):
        said = "declares" if log.sidecar.markov else "does not declare"
        notes.append(f"dm and mis take the observation for all that the future depends on, which the sidecar {said} (markov)")
    if q.model is None and estimates and not q.cells.exact:
        notes.append(f"the model is a table of {q.cells.number} groups of observations: dm and mis carry its error")
    if np.isfinite(log.propensity).all():
        notes += _agreement(estimates)
    if q.truncate is not None and np.isfinite(log.propensity).all() and (share := (q.full_ratio > q.truncate).mean()) > 0:
        missing = float((q.full_ratio - q.ratio).mean())
        cut = f"{100 * share:.2g} % of the weights were cut at {q.truncate:g}"
        notes.append(f"{cut}, which takes away {100 * missing:.2g} % of all weight")
    return notes


def _agreement(estimates: dict[str, Estimate]) -> list[str]:
    """Pairs of families that contradict each other by more than chance."""
    heads: dict[str, Estimate] = {}
    for one in estimates.values():
        if one.interval is not None:
            heads[one.family] = one
    notes, families = [], list(heads.values())
    for k, one in enumerate(families):
        for other in families[k + 1 :]:
            apart = one.influence - other.influence
            error = float(apart.std(ddof=1) / np.sqrt(len(apart))) if len(apart) > 1 else 0.0
            widths = [each.interval.high - each.interval.low for each in (one, other) if each.interval is not None]
            if error > 0 and abs(one.value - other.value) > max(4 * error, min(widths) / 4):
                notes.append(
                    f"{one.name} ({one.value:.4g}) and {other.name} ({other.value:.4g}) contradict each other by "
                    f"{abs(one.value - other.value) / error:.1f} standard errors: a model or a propensity is wrong"
                )
    return notes
