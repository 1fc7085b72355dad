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

BLOCKS, STEPS = 15, 200


def step_speed(name: str, num_envs: int, copy: bool) -> list[float]:
    """Steps/s of BatchEnv.step alone, per block, in processor time, which others on the machine do not share.

    The policy is a static threshold; the time that it takes is not counted.
    """
    env = pointsman.make(name, num_envs, copy=copy)
    env.reset(seed=0)
    rule = envs.rules(env.problem)["threshold"](env.problem, threshold=0.5)
    speeds = []
    for block in range(BLOCKS + 2):
        spent = 0.0
        for _ in range(STEPS):
            actions = rule.act(env.out.observation, env.out.mask, env.action_uniforms())
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


def _timed(job: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    job()
    return time.perf_counter() - begun


def main() -> None:
    """Print one table."""
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    from pointsman.agents.ppo import PPO
    from pointsman.agents.sb3 import SB3

    table = Table(title=f"{platform.machine()}, {os.cpu_count()} cores, {_processor()}, Python {platform.python_version()}")
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
    Console(width=130).print(table)


def _processor() -> str:
    """Name of the processor, where Linux tells it."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


if __name__ == "__main__":
    main()
