"""Seconds from the start of a process until its policy is within 2 % of the optimum: pointsman's PPO and stable-baselines3's.

Both learn in the same environments with the same network (two hidden layers of 64), on one thread, from settings that an equal
search chose for each (bench/search.py; every trial is in bench/trials.csv). The cost of the greedy policy is that of the exact
chain; looking at it stops the clock. Imports count.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from pointsman.scripts.bench.measure import Budget, Progress, Row

TARGET = 0.02
CAP = 600.0
"""Seconds after which a run ends; it counts as so long."""

SIZES = {"dispatch/mini": 100, "queueing/criss_cross": 30, "inventory/lost_sales": 50}
"""The problems, and where their chains are cut off."""
SETTINGS: dict[str, dict[str, Any]] = {
    "dispatch/mini": {},
    "queueing/criss_cross": {"arrival_rate": 0.6, "mu2": 1.5},
    "inventory/lost_sales": {"lead_time": 2, "penalty": 4.0, "position_limit": "auto"},
}
SIDES = ("pointsman", "stable-baselines3")


class Finish(NamedTuple):
    """How a run ended."""

    wall: float  # seconds by the clock, from the start of the process
    processor: float  # seconds of processor time
    steps: int  # decisions
    gap: float  # cost over the optimum's, less 1
    best: float  # the least gap on the way


class RaceOver(Exception):  # noqa: N818 - not an error
    """The target is reached, or the time is up."""


class Watch:
    """Looks at a policy now and then, and stops its clocks while it does.

    Args:
        gap: of a policy.
        begun: time.time() when the process was started.
        limit: seconds of processor time after which to give up.
    """

    def __init__(self, gap: Callable[[Any], float], begun: float, limit: float):
        self._gap, self._begun, self._limit = gap, begun, limit
        self._looked_wall, self._looked_processor, self._next = 0.0, 0.0, 0.0
        self.finish = Finish(0.0, 0.0, 0, float("inf"), float("inf"))

    def look(self, steps: int, policy: Callable[[], Any], last: bool = False) -> None:
        """Raise RaceOver if the policy is good enough or the time is up."""
        wall, processor = time.time(), time.process_time()
        spent = processor - self._looked_processor
        if spent < self._next and spent < self._limit and not last:
            return
        gap = self._gap(policy())
        self.finish = Finish(wall - self._begun - self._looked_wall, spent, steps, gap, min(gap, self.finish.best))
        self._looked_wall += time.time() - wall
        self._looked_processor += time.process_time() - processor
        self._next = 1.05 * spent + 0.05
        if gap <= TARGET or spent >= self._limit:
            raise RaceOver


def pointsman_run(env: Any, settings: dict[str, Any], seed: int, watch: Watch) -> None:
    """Train PPO of agents/ppo.py."""
    from pointsman.agents.log import Log
    from pointsman.agents.networks import ActorCritic, NetworkPolicy
    from pointsman.agents.ppo import PPO

    class Watched(PPO):
        batches = 0

        def _improve(self, network: ActorCritic, *rest: Any) -> dict[str, float]:
            scalars = super()._improve(network, *rest)
            self.batches += 1
            watch.look(self.batches * self.num_envs * self.rollout_steps, lambda: NetworkPolicy(network))
            return scalars

    policy = Watched(**settings).fit(env, Log(), seed)
    watch.look(settings["total_steps"], lambda: policy, last=True)


def sb3_run(env: Any, settings: dict[str, Any], seed: int, watch: Watch) -> None:
    """Train stable-baselines3's PPO, with its normalisation, sb3-contrib's masks and a falling rate where settings say so."""
    import torch
    from sb3_contrib import MaskablePPO
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import VecNormalize

    from pointsman.agents.sb3 import SB3VecEnv

    env.illegal = "fallback"
    normal = settings["normalise"]
    wrapped: Any = SB3VecEnv(env)
    if normal:
        wrapped = VecNormalize(wrapped, gamma=settings["gamma"])
    rate = settings["learning_rate"]
    model: Any = (MaskablePPO if settings["masks"] else PPO)(
        "MlpPolicy", wrapped, seed=seed, device="cpu", policy_kwargs={"net_arch": [64, 64], "activation_fn": torch.nn.Tanh},
        n_steps=settings["rollout_steps"], batch_size=settings["minibatch"], n_epochs=settings["epochs"],
        learning_rate=(lambda left: rate * (0.1 + 0.9 * left)) if settings["decay"] else rate,
        gamma=settings["gamma"], gae_lambda=settings["gae_lambda"], ent_coef=settings["entropy"],
    )  # fmt: skip

    class Greedy:
        def act(self, observation: Any, mask: Any, u: Any) -> Any:
            seen = wrapped.normalize_obs(observation) if normal else observation
            masks = {"action_masks": mask} if settings["masks"] else {}
            return model.predict(seen, deterministic=True, **masks)[0]

    class Looks(BaseCallback):
        def _on_rollout_start(self) -> None:
            watch.look(self.num_timesteps, Greedy)

        def _on_step(self) -> bool:
            return True

    model.learn(settings["total_steps"], callback=Looks())
    watch.look(settings["total_steps"], Greedy, last=True)


def gap_of(name: str, problem: Any, optimum: float) -> Callable[[Any], float]:
    """A policy's exact cost over the optimum's, less 1."""
    from pointsman import envs
    from pointsman.agents import exact
    from pointsman.evaluation.exact_costs import choose, tabulate

    chain = None if envs.has_policy_chains(problem) else envs.chain(problem, SIZES[name])

    def gap(policy: Any) -> float:
        mine = chain or envs.policy_chain(problem, SIZES[name], partial(choose, policy, problem.parts), 250_000)
        return float(exact.evaluate(mine, tabulate(policy, mine)).average_cost / optimum - 1.0)

    return gap


def one(side: str, name: str, settings: dict[str, Any], seed: int, optimum: float, limit: float, begun: float) -> Finish:
    """One run in this process."""
    import torch

    from pointsman import envs

    torch.set_num_threads(1)
    config = envs.configure(name, **SETTINGS[name])
    env = envs.BatchEnv(envs.training(config), settings["num_envs"], copy=False)
    lazily: list[Any] = []

    def gap(policy: Any) -> float:
        if not lazily:
            lazily.append(gap_of(name, envs.build(config), optimum))
        return lazily[0](policy)

    watch = Watch(gap, begun, limit)
    with suppress(RaceOver):
        (pointsman_run if side == SIDES[0] else sb3_run)(env, settings, seed, watch)
    return watch.finish


def run(side: str, name: str, settings: dict[str, Any], seed: int, optimum: float, limit: float = CAP) -> Finish:
    """One run in a process of its own."""
    job = {"side": side, "name": name, "settings": settings, "seed": seed, "optimum": optimum, "limit": limit}
    command = [sys.executable, "-m", "pointsman.scripts.bench.race", json.dumps(job | {"begun": time.time()})]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{side} on {name} with {settings}: {done.stderr.strip().splitlines()[-1:]}")
    return Finish(*json.loads(done.stdout.strip().splitlines()[-1]))


def compare(budget: Budget, progress: Progress) -> list[Row]:
    """Seconds by the clock on seeds that no search has seen, sides taking turns; a run that does not arrive counts as CAP."""
    import pointsman
    from pointsman.scripts.bench.search import chosen

    rows = []
    for name, overrides in SETTINGS.items():
        optimum = pointsman.solve(name, **overrides).average_cost
        settings = {side: chosen(name, side) for side in SIDES}
        seconds: dict[str, list[float]] = {side: [] for side in SIDES}
        for seed in range(budget.repeats):
            for side in SIDES:
                progress(f"{name}, {side}, seed {seed}")
                end = run(side, name, settings[side], seed, optimum, budget.of(int(CAP)))
                seconds[side].append(end.wall if end.gap <= TARGET else max(end.wall, CAP))
        times = float(np.median(seconds[SIDES[1]]) / np.median(seconds[SIDES[0]]))
        rows.append(Row("race", f"{name}, {SIDES[0]}", seconds[SIDES[0]], "s", f"{times:.1f} times shorter"))
        rows.append(Row("race", f"{name}, {SIDES[1]}", seconds[SIDES[1]], "s"))
    return rows


def main() -> None:
    """What `run` starts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job")
    print(json.dumps(one(**json.loads(parser.parse_args().job))))


if __name__ == "__main__":
    main()
