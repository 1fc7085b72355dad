"""The environment engine: one compiled batch loop behind gymnasium's VectorEnv.

A problem gives its kernel and its names; the engine owns buffers, seeding, autoreset and prices.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from pointsman.envs.compiled import batched
from pointsman.envs.ledger import Ledger
from pointsman.envs.legality import ILLEGAL, first_illegal, legalise, why_illegal
from pointsman.envs.noise import policy_uniforms
from pointsman.envs.picture import View, picture
from pointsman.envs.problem import Outputs, Problem
from pointsman.envs.recent import Rates
from pointsman.envs.split import Split
from pointsman.errors import PointsmanError

RENDER_MODES = ["rgb_array"]


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


class BatchEnv(VectorEnv):
    """N environments of one problem, stepped by one compiled call; autoreset is SAME_STEP.

    Args:
        problem: what to simulate.
        num_envs: N.
        illegal: "raise" an error on an action that the mask forbids, or "fallback" to the first legal one and count it.
        indices: environment i draws from the stream (seed, indices[i], episode), whatever the batch; null: 0, 1, 2 ...
        autoreset: False leaves ended rows as they are, until `reset`: nothing is booked there, and no time passes.
        copy: False returns views of buffers that the next step overwrites (for hot loops).
        render_mode: "rgb_array" lets `render` draw every row.
        threads: at most so many work on a large batch; trajectories are the same with any number.
    """

    def __init__(
        self,
        problem: Problem,
        num_envs: int = 1,
        illegal: str = "raise",
        indices: Sequence[int] | NDArray[np.int64] | None = None,
        autoreset: bool = True,
        copy: bool = True,
        render_mode: str | None = None,
        threads: int = 1,
    ):
        _check_render_mode(render_mode)
        if not isinstance(num_envs, int) or num_envs < 1:
            raise PointsmanError(f"num_envs must be a positive integer, got {num_envs!r}")
        if illegal not in ("raise", "fallback"):
            raise PointsmanError(f"illegal must be 'raise' or 'fallback', got {illegal!r}")
        self.problem, self.num_envs, self.illegal, self.autoreset, self.copy = problem, num_envs, illegal, autoreset, copy
        mode = AutoresetMode.SAME_STEP if autoreset else AutoresetMode.DISABLED
        self.metadata = {"autoreset_mode": mode, "render_modes": RENDER_MODES, "render_fps": 4}
        self.render_mode = render_mode
        self.ledger = Ledger([*problem.columns, ILLEGAL])
        self.set_prices(problem.prices)
        self.single_observation_space, self.single_action_space = problem.spaces
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.layout = problem.layout
        self._first = np.concatenate([[0], np.cumsum(self.layout.parts, dtype=np.int64)])
        self.state, self.record = problem.allocate(num_envs)
        # A kernel in plain Python holds the lock, and need not stand being called twice at a time.
        self._split = Split(num_envs, threads if hasattr(problem.kernel.advance, "py_func") else 1)
        self.out = self._outputs(np.arange(num_envs) if indices is None else np.array(indices, np.int64))
        self._recent = None if problem.recent is None else Rates(problem.recent, num_envs)
        self._decision = np.zeros(num_envs, np.int64)
        self._reward, self._done = np.zeros(num_envs), np.zeros(num_envs, np.bool_)
        self._rows = np.arange(num_envs)
        self._seeded = False
        self._so_far = np.zeros_like(self.out.ledger)  # kept for pictures only

    def _outputs(self, indices: NDArray[np.int64]) -> Outputs:
        n = self.num_envs
        observation, mask = np.zeros((n, self.layout.width), np.float32), np.zeros((n, len(self.problem.actions)), np.bool_)
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
        self.out.ledger[:], self.out.elapsed[:], self._so_far[:] = 0.0, 0.0, 0.0
        self.out.terminated[:], self.out.truncated[:] = False, False
        self.problem.kernel.reset_rows(self.problem.params, self.state, self.record, self.out, self._rows)
        if self._recent is not None:
            self._recent.begin(self.out)
        return self._seen(self.out.observation), self._info(self.out.mask)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Advance every row by one decision -> observation, reward, terminated, truncated, info.

        Actions are int[N], or int[N, K] where a decision has K parts; numbers [N, K] where it is a vector of them.
        """
        if not self._seeded:
            raise PointsmanError("call reset() before step()")
        actions = np.asarray(actions)
        kinds, what = ("fiu", "numbers") if self.layout.bounds else ("iu", "integers")
        if actions.shape != self.action_space.shape or actions.dtype.kind not in kinds:
            wanted = f"{what} of shape {self.action_space.shape}"
            raise PointsmanError(f"actions must be {wanted}, got {actions.dtype} of shape {actions.shape}")
        actions, fallen = self._inside(actions) if self.layout.bounds else self._legal(actions)
        out, advance = self.out, self.problem.kernel.advance
        given = self.problem.params, self.state, self.record, actions, out
        row, full = self._split(lambda first, last: advance(*given, first, last, self.autoreset))
        if row >= 0:
            key = self.problem.kernel.FULL[full]
            raise PointsmanError(f"the buffer {key}={self.problem.config[key]} is full in environment {int(row)}: raise {key}")
        if self._recent is not None:
            self._recent.follow(out, self.autoreset)
        if fallen is not None:
            out.ledger[fallen, -1] = 1.0
        any_done = _settle(
            out.ledger, out.terminated, out.truncated, self._priced, self._price, self._reward, self._done, self._decision
        )
        if self.render_mode is not None:
            self._so_far += out.ledger
            self._so_far[self._done & self.autoreset] = 0.0
        info = self._info(out.mask)
        if self.autoreset and any_done:
            done = self._given(self._done)
            self._decision[done] = 0
            info |= {"final_obs": self._seen(out.final_observation), "_final_obs": done}
            info |= {"final_info": self._info(out.final_mask), "_final_info": done}
        terminated, truncated = self._given(out.terminated), self._given(out.truncated)
        return self._seen(out.observation), self._given(self._reward), terminated, truncated, info

    def _legal(self, actions: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_] | None]:
        """Legal actions, and which rows had others (None: none had)."""
        actions = np.ascontiguousarray(actions, np.int64)
        by_part = actions.reshape(self.num_envs, -1)
        row, part = first_illegal(by_part, self.out.mask, self._first)
        if row < 0:
            return actions, None
        if self.illegal == "raise":
            raise PointsmanError(why_illegal(self.problem, self.out.mask[row], row, part, int(by_part[row, part])))
        return legalise(actions, self.out.mask, self.layout.parts)

    def _inside(self, actions: NDArray[Any]) -> tuple[NDArray[np.float64], None]:
        """Vectors of numbers, cut at their bounds."""
        if not np.isfinite(actions).all():
            row, part = np.argwhere(~np.isfinite(actions))[0]
            raise PointsmanError(f"entry {part} of the action in environment {row} is {actions[row, part]}: it must be finite")
        low, high = np.array(self.layout.bounds).T
        return np.clip(np.asarray(actions, np.float64), low, high), None

    def _given(self, array: NDArray[Any]) -> NDArray[Any]:
        return array.copy() if self.copy else array

    def _seen(self, flat: NDArray[np.float32]) -> Any:
        """A flat observation as the observation space has it."""
        return self.layout.shaped(self._given(flat))

    def _info(self, mask: NDArray[np.bool_]) -> dict[str, Any]:
        """`elapsed` and `ledger` of the transition just made, and the mask of the observation it goes with."""
        given = self._given
        return {
            "elapsed": given(self.out.elapsed),
            "ledger": given(self.out.ledger),
            "action_mask": given(mask).view(np.int8),
        }

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """A picture of every row at its decision, uint8[height, width, 3]; None without a render mode."""
        if self.render_mode is None:
            return None
        if not self._seeded:
            raise PointsmanError("call reset() before render()")
        return tuple(picture(self.problem, self._view(i)) for i in range(self.num_envs))

    def _view(self, i: int) -> View:
        out, booked = self.out, self._so_far[i]
        state = row_of_state(self.state, i)
        clock = float(getattr(state, "clock", self._decision[i]))
        cost, columns = float(booked @ self.prices), tuple(self.ledger.columns)
        return View(state, out.observation[i], out.mask[i], clock, booked, columns, cost)

    def action_masks(self) -> NDArray[np.bool_]:
        """Legal actions now, bool[N, A], part after part; the name is sb3-contrib's."""
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
        if hasattr(self.problem.kernel, "resume"):
            lost = self.problem.kernel.resume(self.problem.params, self.state, self.record, self.out)
            if lost:
                warnings.warn(f"{self.problem.id}: {lost}", stacklevel=2)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        found: dict[str, NDArray[Any]] = {"decision": self._decision}
        if self._recent is not None:
            found["recent"] = self._recent.rate

        def walk(prefix: str, part: Any) -> None:
            for name, value in part._asdict().items():
                if isinstance(value, np.ndarray):
                    found[prefix + name] = value
                else:
                    walk(f"{prefix}{name}.", value)

        walk("state.", self.state)
        walk("out.", self.out)
        return found


def row_of_state(tree: Any, i: int) -> Any:
    """Row i of every array of a nested NamedTuple."""
    return type(tree)(*(row_of_state(part, i) if hasattr(part, "_fields") else part[i] for part in tree))


def _check_render_mode(render_mode: str | None) -> None:
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise PointsmanError(f"render_mode must be one of {', '.join(RENDER_MODES)} or null, got {render_mode!r}")
