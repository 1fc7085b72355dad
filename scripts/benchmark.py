"""make benchmark: how fast batch steps and training are here, each beside something to compare it with, in one run.

Speeds are medians over repeated blocks with the best and worst in brackets; other work on the machine moves them.
"""

import os
import platform
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import pointsman
from pointsman import envs
from pointsman.cli import single_threaded

BLOCKS, STEPS = 15, 200


def step_speed(name: str, num_envs: int, copy: bool) -> list[float]:
    """Steps/s of BatchEnv.step alone, per block, in processor time, which others on the machine do not share.

    The policy is a static threshold, or the first rule of the family; the time that it takes is not counted.
    """
    env = pointsman.make(name, num_envs, copy=copy)
    env.reset(seed=0)
    known = envs.rules(env.problem)
    rule = known["threshold"](env.problem, threshold=0.5) if "threshold" in known else next(iter(known.values()))(env.problem)
    speeds = []
    for block in range(BLOCKS + 2):
        spent = 0.0
        for _ in range(STEPS):
            actions = rule.act(env.layout.shaped(env.out.observation), env.out.mask, env.action_uniforms())
            begun = time.thread_time()
            env.step(actions)
            spent += time.thread_time() - begun
        if block >= 2:
            speeds.append(num_envs * STEPS / spent)
    return speeds


def single_speed() -> list[float]:
    """Steps/s of the N = 1 gymnasium Env."""
    env = envs.SingleEnv(envs.build(envs.configure("dispatch/mini")))
    env.reset(seed=0)
    speeds = []
    for _ in range(BLOCKS):
        begun = time.perf_counter()
        for _ in range(STEPS):
            if env.step(1)[3]:
                env.reset()
        speeds.append(STEPS / (time.perf_counter() - begun))
    return speeds


def training_speed(learner: Any, name: str) -> list[float]:
    """Decisions/s of a learner, one short run after one to warm up."""
    from pointsman.agents.log import Log

    speeds = []
    for _ in range(4):
        env = pointsman.make(name, learner.num_envs)
        begun = time.perf_counter()
        learner.fit(env, Log(), seed=0)
        speeds.append(learner.total_steps / (time.perf_counter() - begun))
    return speeds[1:]


def solve_speed(name: str) -> list[float]:
    """Exact solutions per second."""
    return [1.0 / _timed(lambda: pointsman.solve(name)) for _ in range(5)]


def paired_seconds(episodes: int = 200) -> list[float]:
    """Seconds for paired episodes of dispatch/surge under eight policies: five rules, the optimum, a network and a tree."""
    from pointsman.agents.networks import ActorCritic, NetworkPolicy
    from pointsman.evaluation.compare import Comparison, run_all
    from pointsman.evaluation.distil import distil
    from pointsman.evaluation.visits import visits

    single_threaded()
    problem = envs.build(envs.configure("dispatch/surge"))
    rules = {name: rule(problem) for name, rule in envs.rules(problem).items()}
    best = pointsman.solve_problem(problem).policy
    policies = rules | {"optimum": best, "network": NetworkPolicy(ActorCritic(problem.layout, [64, 64]))}
    policies["tree"] = distil(best, problem, visits(best, problem, 0))
    assert len(policies) == 8

    def evaluate() -> None:
        rollouts = run_all(problem, policies, episodes, 0, lambda share: None)
        Comparison(problem, rollouts, "network", list(rules)).summary()

    return [_timed(evaluate) for _ in range(4)][1:]


def pairing(episodes: int = 2000) -> float:
    """Variance of a difference of costs on independent records over that on common ones: optimum and best static threshold."""
    from pointsman.evaluation.rollout import rollout

    problem = envs.build(envs.configure("dispatch/mini"))
    rule, best = envs.rules(problem)["threshold"](problem, threshold=0.4), pointsman.solve_problem(problem).policy
    prices = envs.BatchEnv(problem).prices
    one, other = (rollout(policy, problem, episodes, 0) for policy in (rule, best))
    costs = [totals.ledger @ prices / totals.elapsed for totals in (one, other)]
    return float((costs[0].var() + costs[1].var()) / (costs[0] - costs[1]).var())


def _timed(job: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    job()
    return time.perf_counter() - begun


def main() -> None:
    """Print one table."""
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    from pointsman.agents.ppo import PPO
    from pointsman.agents.sb3 import SB3
    from pointsman.evaluation.provenance import processor

    table = Table(title=f"{platform.machine()}, {os.cpu_count()} cores, {processor()}, Python {platform.python_version()}")
    for heading in ("what", "per second, median [worst, best]", "times the first"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    jobs: list[tuple[str, Callable[[], list[float]]]] = [
        ("BatchEnv.step, dispatch/mini, 1,024 environments, one core", lambda: step_speed("dispatch/mini", 1024, False)),
        ("  the same, with copies handed out", lambda: step_speed("dispatch/mini", 1024, True)),
        ("  the same, 64 environments", lambda: step_speed("dispatch/mini", 64, False)),
        ("  the same, 4,096 environments", lambda: step_speed("dispatch/mini", 4096, False)),
        ("BatchEnv.step, dispatch/surge, 1,024 environments", lambda: step_speed("dispatch/surge", 1024, False)),
        ("BatchEnv.step, dispatch/call_centre, 1,024 environments", lambda: step_speed("dispatch/call_centre", 1024, False)),
        ("BatchEnv.step, dispatch/service_desk, 1,024 environments", lambda: step_speed("dispatch/service_desk", 1024, False)),
        ("BatchEnv.step, fleet/city (20 vehicles), 1,024 environments", lambda: step_speed("fleet/city", 1024, False)),
        ("BatchEnv.step, fleet/busy (20 vehicles, batches), 1,024 environments", lambda: step_speed("fleet/busy", 1024, False)),
        ("gymnasium Env.step, dispatch/mini", single_speed),
        ("PPO on dispatch/mini, decisions, default config", lambda: training_speed(PPO(total_steps=400_000), "dispatch/mini")),
        (
            "stable-baselines3's PPO, 64 environments, 4 epochs",
            lambda: training_speed(
                SB3("PPO", 65_536, 64, {"n_steps": 128, "batch_size": 1024, "n_epochs": 4, "device": "cpu"}), "dispatch/mini"
            ),
        ),
        ("pointsman.solve, dispatch/surge", lambda: solve_speed("dispatch/surge")),
    ]
    first = 0.0
    for what, job in jobs:
        speeds = job()
        middle = float(np.median(speeds))
        first = first or middle
        table.add_row(what, f"{middle:,.4g} [{min(speeds):,.4g}, {max(speeds):,.4g}]", f"{middle / first:.3g}")
    evaluation = Table("evaluation", "")
    seconds = paired_seconds()
    shown = f"{np.median(seconds):.2f} s [{max(seconds):.2f}, {min(seconds):.2f}]"
    evaluation.add_row("200 paired 480-minute episodes of dispatch/surge under 8 policies, median [worst, best]", shown)
    what = "variance of optimum minus static threshold on dispatch/mini, independent over common records"
    evaluation.add_row(what, f"{pairing():.1f} times")
    Console(width=130).print(table, evaluation)


if __name__ == "__main__":
    main()
