"""May a policy be deployed? Limits from a yaml, and for each a reason why it is kept or not."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from pointsman import envs
from pointsman.envs.ledger import Kpi, Ledger, Ratio
from pointsman.errors import PointsmanError, unknown
from pointsman.evaluation.compare import Comparison
from pointsman.evaluation.rollout import run_all
from pointsman.evaluation.statistics import Interval, difference_of
from pointsman.evaluation.stress import Stress, family_pack, load_pack, stresses, under_stress
from pointsman.shipped import load_yaml


@dataclass
class Limits:
    """How much worse than the best tuned rule a policy may be; shares of the rule's cost, and changes of key figures.

    A change is {rises: 0.02} or {falls: 0.02} in the figure's own unit, or a share of the rule's figure, as {rises: 10 %}.
    """

    cost: float = 0.01
    stress: float = 0.05  # of the cost there, under each stress of the pack
    pack: str | None = None  # a name or a path; null: that of the problem's family, if one is shipped
    illegal: int = 0  # actions that the mask forbids, here and under stress
    latency_ms: float = 50.0  # of one decision, of which one in a hundred may take longer
    kpis: dict[str, Any] = field(default_factory=dict)  # by name, which may hold wildcards
    classes: dict[str, Any] = field(default_factory=dict)  # likewise, of every class by itself


class Check(NamedTuple):
    """One limit: is it kept, and why."""

    name: str
    passed: bool
    reason: str

    def __str__(self) -> str:
        return f"{'pass' if self.passed else 'FAIL'}  {self.name}: {self.reason}"


def load_limits(name: str) -> Limits:
    """Limits by the name of shipped ones (a problem family), or by the path of a yaml file; errors name the key."""
    found: Limits = load_yaml("limits", name, "gates", Limits)
    for part in ("kpis", "classes"):
        for kpi, change in getattr(found, part).items():
            _margin(f"limits {name}: {part}.{kpi}", change, 1.0)
    return found


def _margin(key: str, change: Any, base: float) -> tuple[float, float]:
    """(direction, margin): +1 where the figure must not rise by more than the margin, -1 where it must not fall."""
    if not isinstance(change, Mapping) or set(change) not in ({"rises"}, {"falls"}):
        raise PointsmanError(f"{key} must be {{rises: <limit>}} or {{falls: <limit>}}, got {change!r}")
    way, value = next(iter(change.items()))
    number, percent, rest = str(value).partition("%")
    try:
        margin = float(number) * (abs(base) / 100 if percent else 1.0)
    except ValueError:
        margin = -1.0
    if rest or not margin >= 0:
        raise PointsmanError(f"{key}.{way} must be a number of at least 0, or a share such as 10 %, got {value!r}")
    return (1.0 if way == "rises" else -1.0), margin


def gate(
    problem: envs.Problem, policies: Mapping[str, Any], learned: str, rules: list[str], limits: Limits, episodes: int, seed: int,
    progress: Callable[[float, str], None] = lambda share, note: None,
) -> Iterator[Check]:  # fmt: skip
    """All checks of the policy `learned` beside the best of the rules, in the order in which they are known.

    What is estimated must be shown: the whole 95 % interval of a paired difference has to lie within the limit.
    """
    pack = stresses(problem, load_pack(limits.pack) if limits.pack else family_pack(problem))
    work = len(policies) + 2 * len(pack)
    found = Comparison(
        problem, run_all(problem, dict(policies), episodes, seed, lambda share: progress(share * len(policies) / work, "")),
        learned, rules,
    )  # fmt: skip
    base = found.best_rule
    yield _illegal("illegal actions", found, limits)
    yield within("cost", found.relative(learned, base), limits.cost, f"beside {base}")
    yield _divergence(found)
    for name, kpi, change in figures(problem, limits):
        check = _figure(found, name, kpi, change)
        if check is not None:
            yield check
    yield _latency(policies[learned], problem, seed, limits)
    both = {name: policies[name] for name in (base, learned)}
    for k, stress in enumerate(pack):
        progress((len(policies) + 2 * k) / work, stress.name)
        yield from _stressed(stress, both, learned, base, limits, episodes, seed)
    progress(1.0, "")


def within(name: str, excess: Interval, limit: float, where: str) -> Check:
    """Is a cost shown to be at most `limit` (a share) higher?"""
    said = f"{_percent(excess.estimate)} {where}, 95 %: {_percent(excess.low)} to {_percent(excess.high)}"
    return Check(name, bool(excess.high <= limit), f"{said}; {_verdict(excess, limit, _percent(limit))}")


def _verdict(excess: Interval, limit: float, shown: str) -> str:
    if excess.high <= limit:
        return f"the limit is {shown}"
    if excess.estimate <= limit:
        return f"not shown to keep the limit of {shown}: take more episodes"
    return f"beyond the limit of {shown}" + ("" if excess.low > limit else ", though it may be chance: take more episodes")


def figures(problem: envs.Problem, limits: Limits) -> Iterator[tuple[str, Kpi, Any]]:
    """Key figures that limits are set on: name, figure, change; those of every class after those of all."""
    for pattern in limits.kpis:
        if not any(fnmatch(name, pattern) for name in problem.kpis):
            raise unknown("key figure in limits: kpis:", pattern, problem.kpis)
    for pattern in limits.classes:
        if not any(fnmatch(name, pattern) for name in problem.kpis):
            raise unknown("key figure in limits: classes:", pattern, problem.kpis)
    for name, kpi in problem.kpis.items():
        for pattern, change in limits.kpis.items():
            if fnmatch(name, pattern):
                yield name, kpi, change
    for one in classes(problem):
        for name, kpi in problem.kpis.items():
            for pattern, change in limits.classes.items():
                of_class = for_class(kpi, Ledger(problem.columns), one)
                if fnmatch(name, pattern) and of_class is not None:
                    yield f"{name} of class {one}", of_class, change


def classes(problem: envs.Problem) -> list[str]:
    """Names of the classes that the ledger tells apart."""
    prefix = f"{problem.demand}/"
    return [column.removeprefix(prefix) for column in problem.columns if column.startswith(prefix)]


def for_class(kpi: Kpi, ledger: Ledger, name: str) -> Kpi | None:
    """A key figure of one class; None where the ledger does not split it."""
    if not isinstance(kpi, Ratio):
        return None
    over, under = (tuple(f"{column}/{name}" for column in columns) for columns in (kpi.over, kpi.under))
    return Ratio(over, under, kpi.unit) if all(column in ledger for column in over + under) else None


def _figure(found: Comparison, name: str, kpi: Kpi, change: Any) -> Check | None:
    """None where nothing happened that the figure could be taken from."""
    ledger = found.env.ledger
    ours, theirs = (found.ledger(policy) for policy in (found.learned, found.best_rule))
    before, after = (float(kpi(ledger, rows.sum(0))) for rows in (theirs, ours))
    difference = difference_of(partial(kpi, ledger), ours, theirs)
    if np.isnan(difference.estimate):
        return None
    direction, margin = _margin(name, change, before)
    ends = sorted(direction * end for end in difference[1:])
    worse = Interval(direction * difference.estimate, *ends)
    shown = f"{'+' if direction > 0 else '-'}{margin:.3g}"
    unit = f" {kpi.unit}" if kpi.unit else ""
    said = f"{after:.4g}{unit} instead of {before:.4g}{unit}, 95 %: {difference.low:+.3g} to {difference.high:+.3g}"
    return Check(name, bool(worse.high <= margin), f"{said}; {_verdict(worse, margin, shown)}")


def _illegal(name: str, found: Comparison, limits: Limits) -> Check:
    count = found.illegal(found.learned)
    said = f"{count} of {found.learned} that the mask forbids; the limit is {limits.illegal}"
    return Check(name, count <= limits.illegal, said)


def _divergence(found: Comparison) -> Check:
    """Costs that grow and grow have no long-run average to be compared by."""
    grows = [found.grows(name) for name in (found.learned, found.best_rule)]
    said = f"the cost of {found.learned} {'grows' if grows[0] else 'does not grow'} without end"
    said += f", as does that of {found.best_rule}" if all(grows) else ""
    return Check("divergence", not grows[0] or grows[1], said)


def _latency(policy: Any, problem: envs.Problem, seed: int, limits: Limits, decisions: int = 300) -> Check:
    """Of single decisions, in the states that the policy comes to; the first ones warm up."""
    env = envs.BatchEnv(problem, 1, "fallback")
    observation, _ = env.reset(seed=seed)
    spent = []
    for _ in range(decisions + 30):
        mask, u = env.action_masks(), env.action_uniforms()
        begun = time.perf_counter()
        actions = policy.act(observation, mask, u)
        spent.append(1000 * (time.perf_counter() - begun))
        observation, *_ = env.step(actions)
    slow = float(np.quantile(spent[30:], 0.99))
    middle = float(np.median(spent[30:]))
    said = f"{middle:.2g} ms, one in a hundred over {slow:.2g} ms; the limit is {limits.latency_ms:g} ms"
    return Check("latency of a decision", slow <= limits.latency_ms, said)


def _stressed(
    stress: Stress, policies: Mapping[str, Any], learned: str, base: str, limits: Limits, episodes: int, seed: int
) -> Iterator[Check]:
    found = under_stress(stress, policies, learned, [base], episodes, seed)
    yield within(f"stress {stress.name}", found.relative(learned, base), limits.stress, f"beside {base}, {stress.says}")
    if found.illegal(learned) > limits.illegal:
        yield _illegal(f"illegal actions, stress {stress.name}", found, limits)


def _percent(share: float) -> str:
    return f"{100 * share:+.2f} %"
