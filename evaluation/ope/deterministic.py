"""What a log without exploration still tells: agreement, bounds, an extrapolation, a replay, and how to log better."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from pointsman import envs
from pointsman.errors import PointsmanError
from pointsman.evaluation.ope.log import DecisionLog, Floats
from pointsman.evaluation.ope.values import joint_names
from pointsman.evaluation.rollout import REPLAY, TRUTH, rollout
from pointsman.evaluation.statistics import Interval, paired_difference, rate


class Bounds(NamedTuple):
    """Mean reward of a decision under a policy, as far as rewards of the logged actions and their range allow."""

    agreement: float  # share of the decisions in which the policy would do what was done
    low: float
    high: float
    declared: bool  # was the range of rewards declared, or taken from the log?


def one_step_bounds(log: DecisionLog, target: Floats) -> Bounds:
    """Where the policy agrees the reward is known; elsewhere it may be anything in the range (Manski 1990).

    Of decisions in the states that the logging policy came to, and of their own rewards only.
    """
    chosen = target[np.arange(len(log)), log.action]
    declared = log.sidecar.reward_range is not None
    low, high = log.sidecar.reward_range or (float(log.reward.min()), float(log.reward.max()))
    known, rest = float((chosen * log.reward).mean()), float(1.0 - chosen.mean())
    return Bounds(float(chosen.mean()), known + rest * low, known + rest * high, declared)


class Plan(NamedTuple):
    """How to log: explore with probability epsilon, and so many decisions, for intervals of this half-width."""

    epsilon: float
    decisions: int
    half_width: float


def logging_plan(
    log: DecisionLog, target: Floats, half_width: float, epsilons: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2), level: float = 0.95
) -> list[Plan]:
    """Decisions that estimate the policy's mean reward of a decision to +- half_width, by epsilon.

    The logging policy goes on as it is, and takes any legal action alike with probability epsilon. Then a weight has the mean
    square sum over actions of target^2 / logging. Rewards of what was never done may vary as much as the declared range lets
    them; without one they are taken to vary as those in the log do.
    """
    if not half_width > 0:
        raise PointsmanError(f"half_width must be positive, got {half_width}")
    now = np.zeros_like(target)
    now[np.arange(len(log)), log.action] = 1.0
    legal = log.legal / log.legal.sum(1, keepdims=True)
    # With the mean taken off, as doubly robust estimates do; coupled decisions of one stream need as many times more.
    variance, quantile = float(log.reward.var()), float(stats.norm.ppf((1 + level) / 2))
    if log.sidecar.reward_range is not None:
        variance = (log.sidecar.reward_range[1] - log.sidecar.reward_range[0]) ** 2 / 4
    several = _coupling(log)
    plans = []
    for epsilon in epsilons:
        logging = (1.0 - epsilon) * now + epsilon * legal
        square = float(np.where(target > 0, target**2 / np.where(logging > 0, logging, 1.0), 0.0).sum(1).mean())
        needed = np.ceil(several * variance * square * (quantile / half_width) ** 2)
        plans.append(Plan(epsilon, int(max(needed, 100)), half_width))
    return plans


def _coupling(log: DecisionLog) -> float:
    """Variance of the mean reward over units, as a multiple of what independent decisions would have; at least 1."""
    unit = log.units[log.episode]
    size = np.bincount(unit)
    if len(size) < 10 or len(size) == len(log):
        return 1.0
    total = np.bincount(unit, log.reward - log.reward.mean())
    return float(max(1.0, (total**2).sum() / max(((log.reward - log.reward.mean()) ** 2).sum(), 1e-300)))


class Replay(NamedTuple):
    """A policy and the logging policy in a calibrated simulator."""

    figures: dict[str, tuple[Interval, Interval]]  # of the logging policy, by name: simulated, and in the log
    policy: Interval | None = None  # reward rate; None: the simulator does not reproduce the log
    difference: Interval | None = None  # to the logging policy, paired

    @property
    def missed(self) -> list[str]:
        """Figures that the simulator gets wrong by more than chance and 2 %."""
        return [name for name, pair in self.figures.items() if not _alike(*pair)]


def _alike(one: Interval, other: Interval) -> bool:
    slack = np.hypot(one.high - one.low, other.high - other.low) / 2 + 0.02 * abs(other.estimate)
    return bool(abs(one.estimate - other.estimate) <= slack)


def replay(
    log: DecisionLog, config: dict[str, Any], logging: Any, policy: Any, episodes: int = 100, seed: int = 0
) -> Replay:  # fmt: skip
    """Both policies in the simulator of `config`, on the same records; the new one only if the old one comes out as logged.

    The figures that must come out: reward and decisions per unit of time, and the share of every action.
    """
    problem = envs.without_warmup(config)
    if problem.layout.parts != log.layout.parts:
        raise PointsmanError(f"the simulator {problem.id} has other actions than the log")
    prices, actions = envs.BatchEnv(problem).prices, log.actions
    taken = np.zeros((episodes, actions))

    def count(env: Any, observation: Any, chosen: Any, counted: Any) -> None:
        joint = np.ravel_multi_index(tuple(np.asarray(chosen).reshape(episodes, -1).T), log.layout.parts)
        taken[np.flatnonzero(counted), joint[counted]] += 1.0

    base = rollout(logging, problem, episodes, REPLAY + seed, watch=count)
    cost, time = base.ledger @ prices, log.sums(log.elapsed)
    figures = {
        f"reward per {problem.time_unit}": (rate(-cost, base.elapsed), rate(log.sums(log.reward), time)),
        f"decisions per {problem.time_unit}": (rate(taken.sum(1), base.elapsed), rate(log.length.astype(float), time)),
    }
    names = joint_names(log.sidecar)
    for a in range(actions):
        share = log.sums((log.action == a).astype(float))
        figures[f"share of {names[a]}"] = (rate(taken[:, a], taken.sum(1)), rate(share, log.length.astype(float)))
    found = Replay(figures)
    if found.missed:
        return found
    ours = rollout(policy, problem, episodes, REPLAY + seed).ledger @ prices
    return Replay(figures, rate(-ours, base.elapsed), paired_difference(cost, ours, base.elapsed))


class Truth(NamedTuple):
    """A policy's own value in the simulator that the log came from, and the paired difference to the logging one unexplored."""

    value: Interval
    difference: Interval | None


def truth(
    config: dict[str, Any], policy: Any, logging: Any, objective: str, episodes: int = 200, seed: int = 0,
    progress: Callable[[float], None] = lambda share: None,
) -> Truth:  # fmt: skip
    """Simulate both on the same records: reward per unit of time, or per episode; `logging` may be None."""
    problem = envs.without_warmup(config)
    prices = envs.BatchEnv(problem).prices
    found = rollout(policy, problem, episodes, TRUTH + seed, progress=progress)
    under, reward = found.elapsed if objective == "rate" else np.ones(episodes), -(found.ledger @ prices)
    if logging is None:
        return Truth(rate(reward, under), None)
    other = rollout(logging, problem, episodes, TRUTH + seed)
    return Truth(rate(reward, under), paired_difference(reward, -(other.ledger @ prices), under))
