"""Many runs, of several problems and learners: what holds over training seeds, over problems, and for how many candidates."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

from pointsman import envs
from pointsman.errors import PointsmanError
from pointsman.evaluation.compare import Comparison
from pointsman.evaluation.exact_costs import exact_costs
from pointsman.evaluation.rollout import run_all
from pointsman.evaluation.runfolder import RunFolder
from pointsman.evaluation.statistics import (
    Floats,
    Interval,
    holm,
    interquartile_mean,
    p_value,
    probability_of_improvement,
    stratified_bootstrap,
)
from pointsman.evaluation.stress import family_pack, stresses, under_all
from pointsman.evaluation.understand import understand


class Group(NamedTuple):
    """The runs of one problem, by learner and settings; rules and optimum are those of the first run that has them."""

    problem: envs.Problem
    runs: dict[str, list[RunFolder]]

    @property
    def first(self) -> RunFolder:
        """The run whose rules and optimum stand for all."""
        runs = [run for each in self.runs.values() for run in each]
        return next((run for run in runs if (run.path / "rules").is_dir()), runs[0])


def groups(runs: Sequence[RunFolder]) -> list[Group]:
    """Runs by problem and learner; an error where two runs differ in what they were made for, or one is named twice.

    Where runs of one learner differ in its settings, as in a sweep, each setting is a learner of its own.
    """
    found: dict[str, Group] = {}
    seen: set[tuple[str, str, int]] = set()
    configs = [run.config() for run in runs]
    for run, config, learner in zip(runs, configs, labels([config.agent for config in configs]), strict=True):
        problem = envs.build(envs.complete(config.env))
        if (key := (problem.id, learner, int(config.seed))) in seen:
            raise PointsmanError(f"run={run.path}: there are two runs of {learner} on {problem.id} with seed {config.seed}")
        seen.add(key)
        group = found.setdefault(problem.id, Group(problem, {}))
        different = [name for name, value in problem.config.items() if group.problem.config.get(name) != value]
        if different:
            where = f"{run.path} and {group.first.path}"
            raise PointsmanError(f"{where} differ in env.{different[0]}: runs of {problem.id} that are compared must not")
        group.runs.setdefault(learner, []).append(run)
    return list(found.values())


def labels(agents: Sequence[Any]) -> list[str]:
    """Names of learners, with those settings in which runs of the same learner differ."""
    every = [dict(agent) for agent in agents]
    same: dict[str, list[dict[str, Any]]] = {}
    for agent in every:
        same.setdefault(str(agent["name"]), []).append(agent)
    found = []
    for agent in every:
        others = same[str(agent["name"])]
        keys = [key for key, value in agent.items() if any(other.get(key) != value for other in others)]
        found.append(" ".join([str(agent["name"]), *(f"{key}={agent[key]}" for key in keys)]))
    return found


def compare(group: Group, episodes: int, seed: int, progress: Any) -> dict[str, Comparison]:
    """By learner, the best first, all on the same rollouts: each compared with the rules, the optimum and the other learners."""
    rules, policies = group.first.rules(), group.first.policies(next(iter(group.runs)))
    for name in group.runs:
        policies.pop(name, None)
        policies |= {f"{name}#{k}": run.learned() for k, run in enumerate(group.runs[name])}
    task = progress.add_task(group.problem.id, total=1.0, note="")
    rollouts = run_all(group.problem, policies, episodes, seed, lambda share: progress.update(task, completed=share))
    exact = exact_costs(group.problem, policies, note=lambda text: progress.update(task, note=text))
    for name, runs in group.runs.items():
        each = [f"{name}#{k}" for k in range(len(runs))]
        rollouts[name] = [rollouts.pop(one) for one in each]  # type: ignore[assignment]
        if exact:
            exact[name] = float(np.mean([exact.pop(one) for one in each]))
    optimum = group.first.optimal_cost()
    every = [Comparison(group.problem, rollouts, name, rules, optimum, exact) for name in group.runs]
    return {one.learned: one for one in sorted(every, key=lambda one: float(one.cost[one.learned].mean()))}


def in_depth(group: Group, found: Comparison, stressed: bool, episodes: int, seed: int, progress: Any) -> dict[str, Any]:
    """What the report shows of one policy: stress and understanding of the first run of the learner that `found` is about."""
    policies = group.first.policies(found.learned)
    policies[found.learned] = group.runs[found.learned][0].learned()
    chosen = stresses(group.problem, family_pack(group.problem)) if stressed else []
    under = under_all(chosen, policies, found.learned, found.rules, episodes, seed, progress) if chosen else {}
    known = understand(found, policies, seed)
    return {"stress": under, "says": {stress.name: stress.says for stress in chosen}, "understanding": known}


def per_problem(found: Sequence[dict[str, Comparison]]) -> Table:
    """A row per problem and learner: cost beside the best tuned rule, p-value corrected for all rows, share of the gap."""
    every = [one for group in found for one in group.values()]
    corrected = holm([p_value(one.cost[one.learned] - one.cost[one.best_rule], one.elapsed) for one in every])
    shown = Table(title="Beside the best tuned rule, over training seeds and episodes", title_justify="left")
    for heading in (
        "problem",
        "learner",
        "seeds",
        "best rule",
        "cost beside it",
        "95 % interval",
        "p (Holm)",
        "gap closed",
        "95 %",
    ):
        shown.add_column(heading, justify="left" if heading in ("problem", "learner", "best rule") else "right")
    for one, p in zip(every, corrected, strict=True):
        beside, gap, room = one.relative(one.learned, one.best_rule), one.headroom(), one.room()
        if room is None or room.high >= 0:
            gap = None  # a share of what is not told from nothing
        share = [f"{100 * gap.estimate:.0f} %", f"[{100 * gap.low:.0f}, {100 * gap.high:.0f}]"] if gap else ["-", ""]
        span = f"[{100 * beside.low:+.2f}, {100 * beside.high:+.2f}]"
        cells = [one.problem.id, one.learned, str(one.seeds(one.learned)), one.best_rule]
        shown.add_row(*cells, f"{100 * beside.estimate:+.2f} %", span, f"{p:.2g}", *share)
    return shown


def over_problems(found: Sequence[dict[str, Comparison]], rng: np.random.Generator) -> Table:
    """A row per learner with runs on every problem: interquartile mean beside the best rule, and chances to be better."""
    learners = [name for name in found[0] if all(name in group for group in found)]
    if not learners:
        raise PointsmanError("no learner has runs on every problem: nothing can be said over all of them")
    scores = {name: [_scores(group[name], name) for group in found] for name in learners}
    rules = [np.zeros(1)] * len(found)
    shown = Table(title=f"Over {len(found)} problems: runs resampled within each", title_justify="left")
    headings = ["learner", "interquartile mean beside the best rule", "95 %", "probability to beat the rule"]
    for heading in headings + [f"{name}?" for name in learners if len(learners) > 1]:
        shown.add_column(heading, justify="left" if heading == "learner" else "right")
    for name in learners:
        middle = stratified_bootstrap(interquartile_mean, scores[name], rng=rng)
        chances = [probability_of_improvement(scores[name], rules)]
        chances += [probability_of_improvement(scores[name], scores[other]) for other in learners if len(learners) > 1]
        cells = [f"{chance:.2f}" for chance in chances]
        shown.add_row(name, f"{100 * middle.estimate:+.2f} %", _span(middle), *cells)
    return shown


def _scores(found: Comparison, name: str) -> Floats:
    """Cost of each run beside the best rule's [S]."""
    base = found.cost[found.best_rule].mean()
    return np.asarray((np.atleast_2d(found.cost[name]).mean(1) - base) / abs(base))


def _span(interval: Interval) -> str:
    return f"[{100 * interval.low:+.2f}, {100 * interval.high:+.2f}]"
