"""Time of paired evaluation and of exact solution, and what common records are worth."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pointsman
from pointsman import envs
from pointsman.scripts.bench.measure import Budget, Progress, Row, timed

SOLVED = ("dispatch/mini", "dispatch/surge", "queueing/criss_cross", "inventory/lost_sales")


def evaluation(budget: Budget, progress: Progress) -> list[Row]:
    """Seconds of 200 episodes under all kinds of policies, and of a solution; a ratio of variances."""
    episodes, minutes = max(2, budget.of(200)), max(90, budget.of(480))
    progress("evaluation of all kinds of policies")
    number, evaluate = _policies(episodes, minutes)
    evaluate()
    what = f"{episodes} paired {minutes}-minute episodes of dispatch/surge under {number} policies"
    rows = [Row("evaluation", what, [timed(evaluate) for _ in range(budget.repeats)], "s")]
    for name in SOLVED[: max(1, budget.of(len(SOLVED)))]:
        progress(f"solution of {name}")
        seconds = [timed(partial(pointsman.solve, name)) for _ in range(budget.repeats)]
        rows.append(Row("evaluation", f"pointsman.solve, {name}", seconds, "s"))
    progress("common records")
    what = "variance of optimum minus static threshold on dispatch/mini, independent over common records"
    return [*rows, Row("evaluation", what, [_pairing(max(20, budget.of(2000)), minutes)], "times")]


def _policies(episodes: int, minutes: int) -> tuple[int, Callable[[], Any]]:
    """How many policies, and what evaluates them: the rules, the optimum and a network."""
    from pointsman.agents.networks import ActorCritic, NetworkPolicy
    from pointsman.cli import single_threaded
    from pointsman.evaluation.compare import Comparison
    from pointsman.evaluation.rollout import run_all

    single_threaded()
    problem = envs.build(envs.configure("dispatch/surge", horizon_minutes=minutes))
    rules = {name: rule(problem) for name, rule in envs.rules(problem).items()}
    best = pointsman.solve_problem(problem).policy
    policies = rules | {"optimum": best, "network": NetworkPolicy(ActorCritic(problem.layout, [64, 64]))}

    def evaluate() -> None:
        rollouts = run_all(problem, policies, episodes, 0, lambda share: None)
        Comparison(problem, rollouts, "network", list(rules)).summary()

    return len(policies), evaluate


def _pairing(episodes: int, minutes: int) -> float:
    """Variance of a difference of costs on independent records over that on common ones: optimum and best static threshold."""
    from pointsman.evaluation.rollout import rollout

    problem = envs.build(envs.configure("dispatch/mini", horizon_minutes=minutes))
    rule, best = envs.rules(problem)["threshold"](problem, threshold=0.4), pointsman.solve_problem(problem).policy
    prices = envs.BatchEnv(problem).prices
    one, other = (rollout(policy, problem, episodes, 0) for policy in (rule, best))
    costs = [totals.ledger @ prices / totals.elapsed for totals in (one, other)]
    return float((costs[0].var() + costs[1].var()) / (costs[0] - costs[1]).var())
