"""Estimators on one contract: (log, target probabilities) -> contributions by episode.

With one decision per episode, IS and PDIS are inverse propensity scores (IPS), WIS and CWPDIS self-normalised ones (SNIPS).
Sources: Precup, Sutton and Singh (2000) for IS, PDIS, WIS; Thomas (2015) for CWPDIS; Jiang and Li (2016) for DR; Thomas and
Brunskill (2016) for weighted DR; Wang, Agarwal and Dudik (2017) for switch-DR.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from pointsman.errors import PointsmanError
from pointsman.evaluation.ope.cells import Cells, cells
from pointsman.evaluation.ope.intervals import Contributions, Terms
from pointsman.evaluation.ope.log import DecisionLog, Floats
from pointsman.evaluation.ope.tabular import fitted_q, marginalised, stationary

OBJECTIVES = ("decision", "episode", "rate")
"""Mean reward of a decision, discounted reward of an episode, reward per unit of time."""
LARGEST = 300.0
"""Logarithm at which products of ratios are cut, far beyond any that an estimate could rest on."""


class Model(Protocol):
    """A model of values that is fitted outside: (log, target, reward [N], keep [N]) -> q [N, A], cross-fitted by unit."""

    def __call__(self, log: DecisionLog, target: Floats, reward: Floats, keep: Floats) -> Floats: ...


class Question:
    """What is to be estimated, with what estimators share: ratios and models, each made once.

    Args:
        target: probabilities [N, A] of the policy in question.
        objective: see OBJECTIVES.
        truncate: the largest weight of a decision; null: as it is.
        switch: the weight beyond which switch-DR leaves a decision to the model.
        folds: of the model's cross-fitting by unit; 1: none.
        model: of values; null: tables on cells.
    """

    def __init__(
        self, log: DecisionLog, target: Floats, objective: str, *, truncate: float | None = None, switch: float = 10.0,
        folds: int = 2, model: Model | None = None, seed: int = 0,
    ):  # fmt: skip
        self.log, self.target, self.objective = log, target, objective
        self.truncate, self.switch, self.folds, self.model, self.seed = truncate, switch, folds, model, seed
        discount = log.sidecar.discount if objective == "episode" else 1.0
        self.factor = log.discounts(discount, log.sidecar.discount_per)
        per_step = log.sidecar.discount_per == "step"
        self.keep = np.full(len(log), discount) if per_step else discount**log.elapsed

    @cached_property
    def chosen(self) -> Floats:
        """Target's probability of the logged action [N]."""
        return self.target[np.arange(len(self.log)), self.log.action]

    @cached_property
    def full_ratio(self) -> Floats:
        """Target's probability over the propensity [N]."""
        return self.chosen / self.log.propensity

    @cached_property
    def ratio(self) -> Floats:
        """The same, cut at `truncate`."""
        return self.full_ratio if self.truncate is None else np.minimum(self.full_ratio, self.truncate)

    @cached_property
    def cumulative(self) -> Floats:
        """Products of the ratios up to each step [E, T]; behind the end of an episode they stay what they are."""
        if self.log.horizon == 1:
            return self.ratio[:, None]
        with np.errstate(divide="ignore"):
            logs = np.cumsum(self.log.table(np.log(self.ratio)), 1)
        return np.exp(np.minimum(logs, LARGEST))

    @cached_property
    def cells(self) -> Cells:
        """Cells of the tables."""
        return cells(self.log, seed=self.seed)

    def values(self, reward: Floats) -> tuple[Floats, Floats]:
        """q [N, A] and v [N] of a model, cross-fitted."""
        if self.model is None:
            folds = min(self.folds, int(self.log.units.max()) + 1)
            return fitted_q(self.log, self.cells, self.target, reward, self.keep, folds)
        q = self.model(self.log, self.target, reward, self.keep)
        return q, (q * self.target).sum(1)

    def discounted(self, values: Floats) -> Floats:
        """Discounted values by episode and step [E, T]."""
        return self.log.table(self.factor * values)


def importance_sampling(q: Question, reward: Floats) -> Terms:
    """Total reward of an episode times the product of all its ratios."""
    return Terms.mean(q.log.sums(q.factor * reward) * q.cumulative[:, -1])


def per_decision(q: Question, reward: Floats) -> Terms:
    """Every reward times the product of the ratios up to it."""
    return Terms.mean((q.cumulative * q.discounted(reward)).sum(1))


def weighted(q: Question, reward: Floats) -> Terms:
    """IS over the mean weight."""
    weight = q.cumulative[:, -1:]
    return Terms(weight * q.log.sums(q.factor * reward)[:, None], weight)


def weighted_per_decision(q: Question, reward: Floats) -> Terms:
    """PDIS, every step over its mean weight; episodes that have ended keep theirs."""
    return Terms(q.cumulative * q.discounted(reward), q.cumulative)


def doubly_robust(q: Question, reward: Floats) -> Terms:
    """The model's value, and what it misses, by PDIS."""
    values, v = q.values(reward)
    rest = reward + q.keep * _next(q.log, v) - values[np.arange(len(q.log)), q.log.action]
    return Terms.mean(v[q.log.start[:-1]] + (q.cumulative * q.discounted(rest)).sum(1))


def weighted_doubly_robust(q: Question, reward: Floats) -> Terms:
    """The model's value, and what it misses, by CWPDIS."""
    values, v = q.values(reward)
    ahead = reward + q.keep * _next(q.log, v) - values[np.arange(len(q.log)), q.log.action]
    over, under = q.cumulative * q.discounted(ahead), q.cumulative
    first = v[q.log.start[:-1], None]
    # The value of the next state has the weight up to here in one step, the same in the next: they meet in one term.
    return Terms(np.hstack([first, over]), np.hstack([np.ones_like(first), under]))


def switch_doubly_robust(q: Question, reward: Floats) -> Terms:
    """DR where the weight is at most `switch`, and the model alone beyond; one decision at a time."""
    values, v = q.values(reward)
    rest = reward - values[np.arange(len(q.log)), q.log.action]
    return Terms.mean(v + np.where(q.full_ratio <= q.switch, q.ratio * rest, 0.0))


def direct(q: Question, reward: Floats) -> Terms:
    """Value of the model alone: tables fitted on the whole log, or a model from outside."""
    if q.model is not None:
        return Terms.mean(q.values(reward)[1][q.log.start[:-1]])
    return Terms.mean(marginalised(q.log, q.cells, q.target, reward, q.keep, q.factor, None).contribution)


def marginal(q: Question, reward: Floats) -> Terms:
    """Marginalised importance sampling: weights of the cells instead of products along the way."""
    return Terms.mean(marginalised(q.log, q.cells, q.target, reward, q.keep, q.factor, q.log.propensity).contribution)


def _next(log: DecisionLog, v: Floats) -> Floats:
    """Value of the next decision [N], 0 after the last of an episode."""
    return np.where(log.following >= 0, v[log.following], 0.0)


class Estimator(NamedTuple):
    """An estimator by name."""

    says: str
    family: str  # weights, model, both or marginal
    terms: Callable[[Question, Floats], Terms]
    one_step: bool | None = None  # only for single decisions (True), only for episodes (False)
    unbiased: bool = False  # contributions whose limits are known, where those of weights and rewards are


ESTIMATORS = {
    "dm": Estimator("direct method", "model", direct),
    "ips": Estimator("inverse propensity scores", "weights", importance_sampling, True, True),
    "snips": Estimator("self-normalised IPS", "weights", weighted, True),
    "is": Estimator("importance sampling", "weights", importance_sampling, False, True),
    "pdis": Estimator("per-decision IS", "weights", per_decision, False, True),
    "wis": Estimator("weighted IS", "weights", weighted, False),
    "cwpdis": Estimator("consistent weighted per-decision IS", "weights", weighted_per_decision, False),
    "dr": Estimator("doubly robust", "both", doubly_robust),
    "switch_dr": Estimator("switch-DR", "both", switch_doubly_robust, True),
    "wdr": Estimator("weighted doubly robust", "both", weighted_doubly_robust, False),
    "mis": Estimator("marginalised importance sampling", "marginal", marginal, False),
}


def suited(log: DecisionLog) -> list[str]:
    """Names of the estimators that are for such a log: of one decision at a time, or of episodes."""
    one_step = log.horizon == 1
    return [name for name, one in ESTIMATORS.items() if one.one_step in (None, one_step)]


def contributions(name: str, q: Question) -> Contributions:
    """What each episode adds to an estimate."""
    estimator = ESTIMATORS[name]
    if q.objective == "rate" and estimator.family in ("model", "marginal") and q.log.horizon > 1 and q.model is None:
        found = stationary(q.log, q.cells, q.target, None if estimator.family == "model" else q.log.propensity)
        return Contributions(Terms(found.over[:, None], found.under[:, None]))
    reward = estimator.terms(q, q.log.reward)
    return Contributions(reward, estimator.terms(q, q.log.elapsed) if q.objective == "rate" else None)


def logged(q: Question) -> Contributions:
    """The logging policy's own value, from the same episodes."""
    reward = Terms.mean(q.log.sums(q.factor * q.log.reward))
    return Contributions(reward, Terms.mean(q.log.sums(q.factor * q.log.elapsed)) if q.objective == "rate" else None)


def limits(name: str, q: Question) -> tuple[float, float] | None:
    """Between which the contributions of an episode lie, by what the sidecar declares; null: not known."""
    side, estimator = q.log.sidecar, ESTIMATORS[name]
    if side.reward_range is None or not estimator.unbiased or q.objective == "rate":
        return None
    bounds = [1.0 / side.propensity_floor] if side.propensity_floor else []
    bounds += [q.truncate] if q.truncate else []
    if not bounds:
        return None
    largest, steps = min(bounds), np.arange(q.log.horizon)
    if side.discount_per != "step":
        return None
    factor = side.discount**steps if q.objective == "episode" else np.ones(len(steps))
    weight = largest ** (steps + 1.0) if name == "pdis" else np.full(len(steps), largest ** float(len(steps)))
    low, high = side.reward_range
    return min(0.0, float((factor * weight * low).sum())), max(0.0, float((factor * weight * high).sum()))


def question(log: DecisionLog, policy: Any, objective: str | None = None, **options: Any) -> Question:
    """A question about a policy; the objective is by default the decision where decisions stand alone, else the episode."""
    objective = objective or ("decision" if log.horizon == 1 else "episode")
    if objective not in OBJECTIVES:
        raise PointsmanError(f"objective must be {', '.join(OBJECTIVES)}, got {objective!r}")
    target = log.target(policy)
    return Question(log.one_by_one() if objective == "decision" else log, target, objective, **options)
