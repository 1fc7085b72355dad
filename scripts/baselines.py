"""The yardsticks of a problem: its rules, each tuned, and its optimum where there is one."""

from collections.abc import Callable
from functools import partial
from typing import Any

from pointsman import envs, solve_problem
from pointsman.agents.log import bar, write_level
from pointsman.agents.rules import RulePolicy
from pointsman.agents.search import RuleSearch
from pointsman.envs import Problem
from pointsman.errors import PointsmanError
from pointsman.evaluation.rollout import TUNING, cost_rates, rollout

TRUNCATION = 3e-3
"""Estimated relative error of truncation with which an optimum is good enough to compare with."""


def tuned_rules(
    problem: Problem, seed: int, search: dict[str, Any], progress: Callable[[str], None] = lambda name: None
) -> dict[str, RulePolicy]:
    """Every rule that applies, tuned on the same simulation budget (`search`: the arguments of RuleSearch)."""
    found = {}
    for name, rule in envs.rules(problem).items():
        tuned = RuleSearch(rule, **search).fit(problem, partial(cost_rates, problem), 1000 * seed, partial(progress, name))
        found[name] = RulePolicy(name, tuned, dict(problem.config))
    return found


def optimum(problem: Problem) -> Any:
    """The exact solution, or None where the problem has no finite chain."""
    try:
        return solve_problem(problem, tolerance=TRUNCATION)
    except PointsmanError:
        return None


def keep_baselines(run: Any, problem: Problem, training: Problem, seed: int, search: dict[str, Any], steps: int) -> None:
    """Tune the rules, find the optimum, keep both in the run folder, and draw them as level lines beside the learner.

    The lines are taken where the learner trains (its episodes, no warm-up deleted), so that curves compare.
    """
    names = list(envs.rules(problem))
    with bar() as progress:
        task = progress.add_task("tuning rules", total=search["rounds"] * len(names), note="")
        rules = tuned_rules(problem, seed, search, lambda name: progress.update(task, advance=1, note=name))
        progress.update(task, completed=search["rounds"] * len(names), note="")
    policies: dict[str, Any] = dict(rules)
    if (best := optimum(problem)) is not None:
        run.save_optimum(best.average_cost, best.policy)
        policies["optimum"] = best.policy
    env = envs.BatchEnv(training)
    for name, policy in policies.items():
        totals = rollout(policy, training, 200, TUNING + 1000 * seed)
        write_level(run.tensorboard / name, env, totals.ledger.sum(0), totals.elapsed.sum(), steps)
    # Last and at once, since a resumed run takes rules in the folder to mean that all of this is done.
    for name, rule in rules.items():
        run.save_policy(f"rules.draft/{name}", rule)
    (run.path / "rules.draft").rename(run.path / "rules")
