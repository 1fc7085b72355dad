"""What all parts of the benchmark share: rows, medians, and the processor's clock, which others on the machine do not move."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import pointsman
from pointsman import envs


class Row(NamedTuple):
    """One line of the tables: what was measured, its values in repeated trials, their unit, and what to say of them."""

    part: str
    what: str
    values: list[float]
    unit: str
    note: str = ""

    @property
    def median(self) -> float:
        """The middle of the trials."""
        return float(np.median(self.values))


class Budget(NamedTuple):
    """How much is measured: repetitions, and a factor on all sizes, which tests make small."""

    repeats: int = 5
    share: float = 1.0

    def of(self, steps: int) -> int:
        """So many steps, or the share of them."""
        return max(1, int(steps * self.share))


Progress = Callable[[str], None]
"""Told what is measured now."""


def stepper(name: str, num_envs: int, copy: bool = False, random: bool = False, **overrides: Any) -> Callable[[int], float]:
    """seconds(steps) of BatchEnv.step on a problem, in processor time, without those of the policy.

    The policy is a static threshold for dispatch, else the first rule of the family; with `random`, any legal action alike.
    """
    env = pointsman.make(name, num_envs, copy=copy, **overrides)
    env.reset(seed=0)
    known, generator = envs.rules(env.problem), np.random.default_rng(0)
    dispatch = name.startswith("dispatch/")
    rule = known["threshold"](env.problem, threshold=0.5) if dispatch else next(iter(known.values()))(env.problem)
    edges = np.cumsum(env.layout.parts)[:-1]

    def any_legal() -> NDArray[np.int64]:
        drawn = generator.random(env.out.mask.shape, np.float32) + env.out.mask
        return np.stack([part.argmax(1) for part in np.split(drawn, edges, 1)], 1).reshape(env.action_space.shape)

    def seconds(steps: int) -> float:
        spent = 0.0
        for _ in range(steps):
            actions = any_legal() if random else rule.act(env.out.observation, env.out.mask, env.action_uniforms())
            begun = time.thread_time()
            env.step(actions)
            spent += time.thread_time() - begun
        return spent

    return seconds


def timed(job: Callable[[], Any]) -> float:
    """Processor seconds of the whole process, all its threads together."""
    begun = time.process_time()
    job()
    return time.process_time() - begun
