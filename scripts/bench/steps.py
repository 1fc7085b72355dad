"""Decisions per second of environments alone: the kernels, gymnasium's faces, and a twin in plain Python."""

from collections.abc import Callable
from functools import partial

import gymnasium
import numpy as np

from pointsman import envs
from pointsman.scripts.bench.measure import Budget, Progress, Row, stepper, timed
from pointsman.scripts.bench.twin import Desk

SIZES = (64, 1024, 4096)
ROWS = 100_000
"""Rows that are stepped per trial, whatever the batch."""
PROBLEMS = (
    "dispatch/mini", "dispatch/surge", "dispatch/call_centre", "dispatch/service_desk", "queueing/criss_cross",
    "queueing/n_model", "cluster/deeprm", "cluster/busy", "cluster/gpu", "autoscaling/sinusoid", "inventory/lost_sales",
    "fleet/city", "fleet/busy", "portfolio/team",
)  # fmt: skip


def steps(budget: Budget, progress: Progress) -> list[Row]:
    """Steps/s of every problem at several batch sizes, and of dispatch/mini by other means."""
    rows = []
    for name in PROBLEMS[: budget.of(len(PROBLEMS))]:
        for n in SIZES:
            progress(f"{name}, {n} environments")
            count = budget.of(ROWS // n)
            seconds = stepper(name, max(2, budget.of(n)))
            seconds(2 * count)
            rows.append(Row("steps", f"{name}, {n:,} environments", _speeds(seconds, count, n, budget), "steps/s"))
    others: list[tuple[str, int, Callable[[], Callable[[int], float]]]] = [
        ("dispatch/mini, 1,024 environments, copies handed out", 1024, partial(stepper, "dispatch/mini", 1024, copy=True)),
        ("dispatch/mini as gymnasium.Env", 1, _single),
        ("plain-Python twin as gymnasium.Env", 1, _twin),
        ("plain-Python twin in SyncVectorEnv, 8 environments", 8, partial(_sync, 8)),
        ("plain-Python twin in SyncVectorEnv, 64 environments", 64, partial(_sync, 64)),
    ]
    for what, n, begin in others:
        progress(what)
        seconds = begin()
        seconds(budget.of(20))
        rows.append(Row("steps", what, _speeds(seconds, budget.of(max(100, 2000 // n)), n, budget), "steps/s"))
    return rows


def _speeds(seconds: Callable[[int], float], count: int, n: int, budget: Budget) -> list[float]:
    return [n * count / seconds(count) for _ in range(budget.repeats)]


def _single() -> Callable[[int], float]:
    return _clocked(envs.SingleEnv(envs.build(envs.configure("dispatch/mini"))))


def _twin() -> Callable[[int], float]:
    return _clocked(Desk())


def _clocked(env: gymnasium.Env) -> Callable[[int], float]:
    """Seconds of so many steps of one environment, with its resets."""
    env.reset(seed=0)

    def run(count: int) -> None:
        for _ in range(count):
            if env.step(1)[3]:
                env.reset()

    return lambda count: timed(lambda: run(count))


def _sync(n: int) -> Callable[[int], float]:
    env, people = gymnasium.vector.SyncVectorEnv([Desk] * n), np.ones(n, np.int64)
    env.reset(seed=0)

    def run(count: int) -> None:
        for _ in range(count):
            env.step(people)

    return lambda count: timed(lambda: run(count))
