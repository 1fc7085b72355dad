"""Decisions per second of training on dispatch/mini: this package's PPO and stable-baselines3's, same environment and network.

Two hidden layers of 64, four epochs, one core, curves written; what an update is worth is another question.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pointsman
from pointsman.scripts.bench.measure import Budget, Progress, Row, timed

PROBLEM, EPOCHS, HIDDEN = "dispatch/mini", 4, [64, 64]
OWN = {"2,048 environments": {"num_envs": 2048, "rollout_steps": 16, "minibatch": 4096}}
PEER = {
    "8 environments, batches of 64": (8, 256, 64),
    "64 environments, batches of 1,024": (64, 128, 1024),
    "64 environments, one batch of 8,192": (64, 128, 8192),
    "256 environments, batches of 4,096": (256, 64, 4096),
    "1,024 environments, batches of 4,096": (1024, 16, 4096),
    "1,024 environments, one batch of 16,384": (1024, 16, 16_384),
}
"""Settings of stable-baselines3, from its usual ones to its fastest: environments, steps per rollout, rows per batch."""
UPDATES = 4


def training(budget: Budget, progress: Progress) -> list[Row]:
    """Steps/s from the first reset to the last update; settings take turns, so that all meet the machine as it is."""
    import torch

    from pointsman.agents.ppo import PPO
    from pointsman.agents.sb3 import SB3

    torch.set_num_threads(1)
    makers: dict[str, Callable[[], Any]] = {}
    for what, own in OWN.items():
        sizes: dict[str, Any] = {key: max(2, budget.of(value)) for key, value in own.items()}
        total = 2 * UPDATES * sizes["num_envs"] * sizes["rollout_steps"]
        makers[f"pointsman's PPO, {what}"] = partial(PPO, total, epochs=EPOCHS, hidden=tuple(HIDDEN), **sizes)
    for what, peer in PEER.items():
        n, steps, rows = (max(2, budget.of(value)) for value in peer)
        rows = min(rows, n * steps)
        policy = {"net_arch": HIDDEN}
        arguments = {"n_steps": steps, "batch_size": rows, "n_epochs": EPOCHS, "policy_kwargs": policy}
        makers[f"stable-baselines3's PPO, {what}"] = partial(SB3, "PPO", UPDATES * n * steps, n, arguments)
    speeds: dict[str, list[float]] = {what: [] for what in makers}
    for repeat in range(budget.repeats + 1):
        for what, make in makers.items():
            progress(f"{what}, {repeat} of {budget.repeats}")
            speeds[what].append(_speed(make()))
    found = {what: Row("training", what, values[1:], "steps/s") for what, values in speeds.items()}  # the first warms up
    best = max(row.median for what, row in found.items() if what.startswith("stable"))
    times = f" times stable-baselines3's fastest, {EPOCHS} epochs"
    return [row._replace(note=f"{row.median / best:.2f}{times}") for row in found.values()]


def _speed(learner: Any) -> float:
    """Decisions per processor second of one run with curves and progress bar."""
    from pointsman.agents.log import RunLog

    env = pointsman.make(PROBLEM, learner.num_envs, copy=False)

    def fit(folder: Path) -> None:
        with RunLog(folder, env, "benchmark") as log:
            learner.fit(env, log, seed=0)

    with TemporaryDirectory() as folder:
        return float(learner.total_steps / timed(lambda: fit(Path(folder))))
