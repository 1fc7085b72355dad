"""The N = 1 face of a problem, and single rows of what a batch gives."""

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from pointsman.envs.core import RENDER_MODES, BatchEnv
from pointsman.envs.problem import Problem
from pointsman.errors import PointsmanError


class SingleEnv(gymnasium.Env):
    """Gymnasium's Env over the same kernel, in the stream of environment 0."""

    metadata = {"render_modes": RENDER_MODES, "render_fps": 4}

    def __init__(self, problem: Problem, illegal: str = "raise", render_mode: str | None = None):
        self.batch = BatchEnv(problem, 1, illegal, autoreset=False, render_mode=render_mode)
        self.render_mode = render_mode
        self.observation_space = self.batch.single_observation_space
        self.action_space = self.batch.single_action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; without a seed, the next one of the seed in use."""
        super().reset(seed=seed)
        observation, info = self.batch.reset(seed=seed, options=options)
        return row_of(observation, 0), _first_row(info)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Advance by one decision; an ended episode must be reset first."""
        if self.batch.out.terminated[0] or self.batch.out.truncated[0]:
            raise PointsmanError("the episode has ended: call reset()")
        observation, reward, terminated, truncated, info = self.batch.step(np.asarray(action)[None])
        return row_of(observation, 0), float(reward[0]), bool(terminated[0]), bool(truncated[0]), _first_row(info)

    def render(self) -> Any:
        """A picture of the decision, uint8[height, width, 3]; None without a render mode."""
        drawn = self.batch.render()
        return None if drawn is None else drawn[0]

    def action_masks(self) -> NDArray[np.bool_]:
        """Legal actions now, bool[A]."""
        return self.batch.action_masks()[0]


def row_of(observation: Any, i: int) -> Any:
    """Row i of an observation, which may be a dict of arrays."""
    return {key: rows[i] for key, rows in observation.items()} if isinstance(observation, dict) else observation[i]


def _first_row(info: dict[str, Any]) -> dict[str, Any]:
    return info | {"elapsed": float(info["elapsed"][0]), "ledger": info["ledger"][0], "action_mask": info["action_mask"][0]}
