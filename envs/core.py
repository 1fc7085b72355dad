"""The environment engine: one compiled batch loop behind gymnasium's VectorEnv and Env.

A problem gives its kernel and its names; the engine owns buffers, seeding, legality, autoreset and prices.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from pointsman.envs.compiled import batched
from pointsman.envs.ledger import Kpi, Ledger
from pointsman.envs.noise import policy_uniforms
from pointsman.errors import PointsmanError

ILLEGAL = "illegal"
"""Ledger column that counts actions which the mask forbids (only with illegal="fallback")."""


class Outputs(NamedTuple):
    """What a kernel writes for each of N rows, and the keys of its randomness; F features, A actions, C columns."""

    seed: NDArray[np.int64]  # [N]
    stream: NDArray[np.int64]  # [N] of the seed: the index of the environment
    episode: NDArray[np.int64]  # [N] since the last seeding
    observation: NDArray[np.float32]  # [N, F]
    mask: NDArray[np.bool_]  # [N, A]
    final_observation: NDArray[np.float32]  # [N, F] of rows that have just ended
    final_mask: NDArray[np.bool_]  # [N, A]
    ledger: NDArray[np.float64]  # [N, C]
    elapsed: NDArray[np.float64]  # [N]
    terminated: NDArray[np.bool_]  # [N]
    truncated: NDArray[np.bool_]  # [N]


@dataclass(frozen=True)
class Field:
    """A named entry of the observation, with its unit and range."""

    name: str
    unit: str = ""
    low: float = 0.0
    high: float = float("inf")


@dataclass(frozen=True)
class Problem:
    """A configured problem: everything that is fixed before the first reset."""

    id: str
    config: Mapping[str, Any]
    kernel: ModuleType
    params: Any
    allocate: Callable[[int], tuple[Any, Any]]
    observation: tuple[Field, ...]
    actions: tuple[str, ...]
    columns: tuple[str, ...]
    prices: Mapping[str, float]
    kpis: Mapping[str, Kpi]
    demand: str
    """Ledger column of what is counted as one unit of demand, for the cost per unit; its name in words is `demand_unit`."""
    demand_unit: str
    time_unit: str
    horizon: float
    warmup: float
    """Time to delete before long-run averages are taken; 0 where an episode's empty start is part of the problem."""


@batched
def _first_illegal(action, mask):
    for i in range(action.shape[0]):
        if action[i] < 0 or action[i] >= mask.shape[1] or not mask[i, action[i]]:
            return i
    return -1


@batched
def _settle(ledger, terminated, truncated, column, price, reward, done, decision):
    """After a step: reward[N] = -ledger . prices over the priced columns, done[N], decisions so far; is any done?"""
    any_done = False
    for i in range(reward.shape[0]):
        total = 0.0
        for k in range(column.shape[0]):
            total -= ledger[i, column[k]] * price[k]
        reward[i] = total
        done[i] = terminated[i] or truncated[i]
        decision[i] += 1
        any_done = any_done or done[i]
    return any_done


def check_finite(observation: NDArray[Any], names: Sequence[str]) -> None:
    """An error that names the row and the entry of an observation [N, F] that is not a finite number."""
    if not np.isfinite(observation).all():
        row, place = np.argwhere(~np.isfinite(observation))[0]
        raise PointsmanError(f"observation '{names[place]}' of row {row} is {observation[row, place]}: it must be finite")


class BatchEnv(VectorEnv):
    """N environments of one problem, stepped by one compiled call; autoreset is SAME_STEP.

    Args:
        problem: what to simulate.
        num_envs: N.
        illegal: "raise" an error on an action that the mask forbids, or "fallback" to the first legal one and count it.
        indices: environment i draws from the stream (seed, indices[i], episode), whatever the batch; null: 0, 1, 2 ...
        autoreset: False leaves ended rows as they are, until `reset`.
        copy: False returns views of buffers that the next step overwrites (for hot loops).
    """

    def __init__(
        self,
        problem: Problem,
        num_envs: int = 1,
        illegal: str = "raise",
        indices: Sequence[int] | NDArray[np.int64] | None = None,
        autoreset: bool = True,
        copy: bool = True,
    ):
        if not isinstance(num_envs, int) or num_envs < 1:
            raise PointsmanError(f"num_envs must be a positive integer, got {num_envs!r}")
        if illegal not in ("raise", "fallback"):
            raise PointsmanError(f"illegal must be 'raise' or 'fallback', got {illegal!r}")
        self.problem, self.num_envs, self.illegal, self.autoreset, self.copy = problem, num_envs, illegal, autoreset, copy
        mode = AutoresetMode.SAME_STEP if autoreset else AutoresetMode.DISABLED
        self.metadata = {"autoreset_mode": mode, "render_modes": []}
        self.ledger = Ledger([*problem.columns, ILLEGAL])
        self.set_prices(problem.prices)
        low = np.array([field.low for field in problem.observation], np.float32)
        high = np.array([field.high for field in problem.observation], np.float32)
        self.single_observation_space = gymnasium.spaces.Box(low, high, dtype=np.float32)
        self.single_action_space = gymnasium.spaces.Discrete(len(problem.actions))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_names = tuple(field.name for field in problem.observation)
        self.state, self.record = problem.allocate(num_envs)
        self.out = self._outputs(np.arange(num_envs) if indices is None else np.array(indices, np.int64))
        self._decision = np.zeros(num_envs, np.int64)
        self._reward, self._done = np.zeros(num_envs), np.zeros(num_envs, np.bool_)
        self._rows = np.arange(num_envs)
        self._seeded = False

    def _outputs(self, indices: NDArray[np.int64]) -> Outputs:
        n, features, actions = self.num_envs, len(self.problem.observation), len(self.problem.actions)
        observation, mask = np.zeros((n, features), np.float32), np.zeros((n, actions), np.bool_)
        return Outputs(
            np.zeros(n, np.int64), indices, np.zeros(n, np.int64),
            observation, mask, observation.copy(), mask.copy(),
            np.zeros((n, len(self.ledger.columns))), np.zeros(n), np.zeros(n, np.bool_), np.zeros(n, np.bool_),
        )  # fmt: skip

    def set_prices(self, prices: Mapping[str, float]) -> None:
        """Change the prices: dynamics stay as they are, rewards from now on follow the new ones."""
        self.prices = self.ledger.price_vector(prices)
        self._priced = np.flatnonzero(self.prices)
        self._price = self.prices[self._priced]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start new episodes in all rows; without a seed, the next episode of the seed in use (0 at first)."""
        del options
        if seed is not None and (not isinstance(seed, int | np.integer) or seed < 0):
            raise PointsmanError(f"seed must be a non-negative integer, got {seed!r}")
        if seed is None and self._seeded:
            self.out.episode[:] += 1
        else:
            self.out.seed[:], self.out.episode[:] = seed or 0, 0
        self._seeded = True
        self._decision[:] = 0
        self.out.ledger[:], self.out.elapsed[:] = 0.0, 0.0
        self.out.terminated[:], self.out.truncated[:] = False, False
        self.problem.kernel.reset_rows(self.problem.params, self.state, self.record, self.out, self._rows)
        return self._given(self.out.observation), self._info(self.out.mask)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Advance every row by one decision: actions int[N] -> observation, reward, terminated, truncated, info."""
        if not self._seeded:
            raise PointsmanError("call reset() before step()")
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
            wanted = f"integers of shape ({self.num_envs},)"
            raise PointsmanError(f"actions must be {wanted}, got {actions.dtype} of shape {actions.shape}")
        actions = np.ascontiguousarray(actions, np.int64)
        out = self.out
        fallen = None
        if (row := _first_illegal(actions, out.mask)) >= 0:
            if self.illegal == "raise":
                raise PointsmanError(self._why_illegal(row, int(actions[row])))
            inside = (actions >= 0) & (actions < out.mask.shape[1])
            fallen = ~(inside & out.mask[self._rows, np.where(inside, actions, 0)])
            actions = np.where(fallen, out.mask.argmax(1), actions)
        row, full = self.problem.kernel.advance(
            self.problem.params, self.state, self.record, actions, out, 0, self.num_envs, self.autoreset
        )
        if row >= 0:
            key = self.problem.kernel.FULL[full]
            raise PointsmanError(f"the buffer {key}={self.problem.config[key]} is full in environment {row}: raise {key}")
        if fallen is not None:
            out.ledger[fallen, -1] = 1.0
        any_done = _settle(
            out.ledger, out.terminated, out.truncated, self._priced, self._price, self._reward, self._done, self._decision
        )
        info = self._info(out.mask)
        if self.autoreset and any_done:
            done = self._given(self._done)
            self._decision[done] = 0
            info |= {"final_obs": self._given(out.final_observation), "_final_obs": done}
            info |= {"final_info": self._info(out.final_mask), "_final_info": done}
        terminated, truncated = self._given(out.terminated), self._given(out.truncated)
        return self._given(out.observation), self._given(self._reward), terminated, truncated, info

    def _given(self, array: NDArray[Any]) -> NDArray[Any]:
        return array.copy() if self.copy else array

    def _info(self, mask: NDArray[np.bool_]) -> dict[str, Any]:
        """`elapsed` and `ledger` of the transition just made, and the mask of the observation it goes with."""
        given = self._given
        return {
            "elapsed": given(self.out.elapsed),
            "ledger": given(self.out.ledger),
            "action_mask": given(mask).view(np.int8),
        }

    def _why_illegal(self, row: int, action: int) -> str:
        names = self.problem.actions
        legal = ", ".join(f"{a} ({names[a]})" for a in np.flatnonzero(self.out.mask[row]))
        if not 0 <= action < len(names):
            return f"action {action} in environment {row} does not exist; legal now: {legal}"
        return f"action {action} ({names[action]}) in environment {row} is masked in this state; legal now: {legal}"

    def action_masks(self) -> NDArray[np.bool_]:
        """Legal actions now, bool[N, A]; the name is sb3-contrib's."""
        return self._given(self.out.mask)

    def action_uniforms(self) -> NDArray[np.float64]:
        """One uniform per row for the policy at hand, float64[N], keyed by (seed, index, episode, decision)."""
        u = np.empty(self.num_envs)
        policy_uniforms(self.state.key, self._decision, u)
        return u

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """All arrays that the future depends on, by name; `restore` continues from them bit for bit."""
        return {name: array.copy() for name, array in self._arrays().items()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Continue from a snapshot of an environment of the same problem and size."""
        own = self._arrays()
        for name, array in own.items():
            if name not in arrays or arrays[name].shape != array.shape:
                raise PointsmanError(f"snapshot does not fit: '{name}' should have shape {array.shape}")
            array[...] = arrays[name]
        self._seeded = True

    def _arrays(self) -> dict[str, NDArray[Any]]:
        found: dict[str, NDArray[Any]] = {"decision": self._decision}

        def walk(prefix: str, part: Any) -> None:
            for name, value in part._asdict().items():
                if isinstance(value, np.ndarray):
                    found[prefix + name] = value
                else:
                    walk(f"{prefix}{name}.", value)

        walk("state.", self.state)
        walk("out.", self.out)
        return found


class SingleEnv(gymnasium.Env):
    """The N = 1 face of a problem: gymnasium's Env over the same kernel, in the stream of environment 0."""

    def __init__(self, problem: Problem, illegal: str = "raise"):
        self.batch = BatchEnv(problem, 1, illegal, autoreset=False)
        self.metadata = {"render_modes": []}
        self.observation_space = self.batch.single_observation_space
        self.action_space = self.batch.single_action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; without a seed, the next one of the seed in use."""
        super().reset(seed=seed)
        observation, info = self.batch.reset(seed=seed, options=options)
        return observation[0], _first_row(info)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Advance by one decision; an ended episode must be reset first."""
        if self.batch.out.terminated[0] or self.batch.out.truncated[0]:
            raise PointsmanError("the episode has ended: call reset()")
        observation, reward, terminated, truncated, info = self.batch.step(np.array([action]))
        return observation[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), _first_row(info)

    def action_masks(self) -> NDArray[np.bool_]:
        """Legal actions now, bool[A]."""
        return self.batch.action_masks()[0]


def _first_row(info: dict[str, Any]) -> dict[str, Any]:
    return info | {"elapsed": float(info["elapsed"][0]), "ledger": info["ledger"][0], "action_mask": info["action_mask"][0]}
