"""stable-baselines3 and sb3-contrib on the same environments.

Their algorithms maximise their own objective, the return per step discounted by `gamma` per decision; no
setting of theirs makes that the average reward per unit of time. Tables say so.
"""

import importlib
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, VecTransposeImage

from pointsman.agents.log import Log
from pointsman.agents.ranges import require_counts, require_device
from pointsman.envs.problem import Layout
from pointsman.envs.single import row_of
from pointsman.errors import PointsmanError


class SB3VecEnv(VecEnv):
    """A BatchEnv as stable-baselines3's VecEnv; `action_masks` is one batched call."""

    render_mode = None

    def __init__(self, env: Any):
        self.env = env
        env.copy = True
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> Any:
        """Observations [N, F]."""
        # stable-baselines3 hands out seed, seed + 1, ...; the engine spreads the first over its rows itself.
        observation, _ = self.env.reset(seed=self._seeds[0])
        self._reset_seeds()
        return observation

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions for step_wait."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, Any, Any, list[dict[str, Any]]]:
        """Observations, rewards, dones, and one info per row."""
        observation, reward, terminated, truncated, info = self.env.step(self._actions)
        done = terminated | truncated
        infos: list[dict[str, Any]] = [{"elapsed": elapsed} for elapsed in info["elapsed"].tolist()]
        for i in np.flatnonzero(done).tolist():
            infos[i] |= {"terminal_observation": row_of(info["final_obs"], i), "TimeLimit.truncated": bool(truncated[i])}
        self.ledger = info["ledger"]
        self.elapsed = float(info["elapsed"].sum())
        return observation, reward.astype(np.float32), done, infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Legal actions bool[N, A]."""
        masks: NDArray[np.bool_] = self.env.action_masks()
        return masks

    def close(self) -> None:
        """Nothing is held open."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute, once per row."""
        value = getattr(self, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute, for all rows alike."""
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Call a batched method once, and hand out its rows."""
        rows = getattr(self, method_name)(*args, **kwargs)
        return [rows[i] for i in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """No row has a wrapper of its own."""
        return [False for _ in self._get_indices(indices)]


class SB3:
    """Learner that trains an algorithm of stable-baselines3 or sb3-contrib.

    Args:
        algorithm: its name, such as PPO, A2C, DQN, QRDQN, MaskablePPO.
        total_steps: decisions in all, over all environments.
        num_envs: environments side by side.
        arguments: of the algorithm's constructor; plain numbers, words, lists and dicts, since the saved policy needs them.
        device: of torch.
    """

    def __init__(
        self, algorithm: str, total_steps: int, num_envs: int, arguments: dict[str, Any] | None = None, device: str = "cpu"
    ):
        require_counts(total_steps=total_steps, num_envs=num_envs)
        self.algorithm, self.total_steps, self.num_envs = algorithm, total_steps, num_envs
        require_device(device)
        self.arguments, self.device = arguments or {}, device

    def fit(self, env: Any, log: Log, seed: int = 0, checkpoint: Path | None = None) -> "SB3Policy":
        """Train on a BatchEnv. These algorithms keep no checkpoint: an interrupted run starts again."""
        # Those that know no masks may choose an illegal action: the engine takes the first legal one and counts it.
        env.illegal = "fallback"
        wrapped, kind = SB3VecEnv(env), algorithm(self.algorithm)
        try:
            json.dumps(self.arguments)
            model = kind(_network(env.layout), wrapped, seed=seed, verbose=0, device=self.device, **deepcopy(self.arguments))
        except (TypeError, ValueError, AssertionError) as error:
            raise PointsmanError(f"agent.arguments do not fit {self.algorithm}: {error}") from None
        model.learn(self.total_steps, callback=_Report(wrapped, log, self.total_steps))
        return SB3Policy(model.policy, self.algorithm, env.layout, self.arguments)


def algorithm(name: str) -> Any:
    """The class of an algorithm, from whichever of the two packages has it."""
    for package in ("stable_baselines3", "sb3_contrib"):
        found = getattr(importlib.import_module(package), name, None)
        if isinstance(found, type) and issubclass(found, BaseAlgorithm):
            return found
    raise PointsmanError(f"agent.algorithm: neither stable_baselines3 nor sb3_contrib has '{name}'")


class _Report(BaseCallback):
    """Hands ledger totals to the log about every second rollout's worth of steps."""

    def __init__(self, env: SB3VecEnv, log: Log, total: int, every: int = 100):
        super().__init__()
        self._env, self._log, self._total, self._every = env, log, total, every
        self._ledger, self._elapsed = 0.0, 0.0

    def _on_step(self) -> bool:
        self._ledger = self._ledger + self._env.ledger.sum(0)
        self._elapsed += self._env.elapsed
        if self.n_calls % self._every == 0:
            scalars = {f"learner/{k}": v for k, v in self.logger.name_to_value.items() if k.startswith("train/")}
            self._log.update(self.num_timesteps, self._total, self._ledger, self._elapsed, scalars)
            self._ledger, self._elapsed = 0.0, 0.0
        return True


class SB3Policy:
    """What a trained model acts by, as a Policy; acts greedily."""

    note = "trained on its own objective, the return discounted per decision, not the average reward per unit of time"

    def __init__(self, network: Any, name: str, layout: Layout, arguments: dict[str, Any]):
        self.network, self.name, self.layout, self.arguments = network, name, layout, arguments

    def act(self, observation: Any, mask: NDArray[np.bool_], u: NDArray[np.float64]) -> NDArray[Any]:
        """Actions int64[N] or [N, K], or vectors of numbers; without masks some may be illegal, which evaluation counts."""
        flat = self.layout.flat(observation)
        self.layout.check(flat)
        masks = {"action_masks": mask} if self.name == "MaskablePPO" else {}
        actions, _ = self.network.predict(self.layout.shaped(flat), deterministic=True, **masks)
        return np.asarray(actions, np.float64 if self.layout.bounds else np.int64)

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the weights of what acts; their library's own format holds pickled objects, which would run code when read."""
        torch.save(self.network.state_dict(), folder / "network.pt")
        return {"algorithm": self.name, "layout": self.layout._asdict(), "arguments": self.arguments}

    @classmethod
    def load(cls, folder: Path, facts: dict[str, Any]) -> "SB3Policy":
        """Build the network anew from the arguments of its algorithm, and put the weights that `save` has written into it."""
        name, layout, arguments = facts["algorithm"], Layout.of(facts["layout"]), facts["arguments"]
        model = algorithm(name)(_network(layout), None, _init_setup_model=False, device="cpu", **deepcopy(arguments))
        noise = {"use_sde": True} if model.use_sde else {}
        network = model.policy_class(*_spaces(layout), lambda share: 0.0, **model.policy_kwargs | noise)
        network.load_state_dict(torch.load(folder / "network.pt", map_location="cpu", weights_only=True))
        return cls(network, name, layout, arguments)


def _network(layout: Layout) -> str:
    """The kind of network that fits what is seen."""
    return "CnnPolicy" if layout.image else "MultiInputPolicy" if layout.window else "MlpPolicy"


def _spaces(layout: Layout) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
    """The spaces as far as networks depend on them: ranges of actions, but of images only among observations."""
    free = [(len(layout.context),), (layout.window, len(layout.candidates))]
    context, candidates = (spaces.Box(-np.inf, np.inf, shape) for shape in free)
    seen: spaces.Space[Any] = spaces.Dict({"context": context, "candidates": candidates}) if layout.window else context
    if layout.image:
        seen = VecTransposeImage.transpose_space(spaces.Box(0, 255, layout.image, np.uint8))
    if layout.bounds:
        low, high = np.array(layout.bounds, np.float32).T
        return seen, spaces.Box(low, high)
    return seen, spaces.Discrete(layout.parts[0]) if len(layout.parts) == 1 else spaces.MultiDiscrete(list(layout.parts))
