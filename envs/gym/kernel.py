"""Environments of gymnasium's registry behind the face of a kernel: each row is a Python object of its own.

The dynamics are theirs; what is ours is that an episode is named by (seed, index, episode), whatever the batch, and that
an interrupted one is taken up again by replaying its actions from its seed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from pointsman.envs.noise import episode_key
from pointsman.errors import PointsmanError

COLUMNS = (
    "reward",
    "steps",
    "episodes",  # ended, for either reason
    "episode_return",  # of those: the sum of their rewards
    "truncated",  # of those: cut off, not ended by themselves
)
REWARD, STEPS, EPISODES, RETURN, TRUNCATED = range(len(COLUMNS))


class State(NamedTuple):
    """N rows; what is inside the environments themselves cannot be seen."""

    key: NDArray[np.uint64]  # [N] of the episode
    clock: NDArray[np.float64]  # [N] steps so far
    total: NDArray[np.float64]  # [N] rewards so far
    over: NDArray[np.bool_]  # [N] ended, and not reset
    taken: NDArray[np.float64]  # [N, L, K] actions so far


class Kernel:
    """reset_rows, advance and resume, as the engine calls them; `record` is the list of environments.

    Args:
        make: one environment, with observations of numbers.
        native: our action float[K] or int[K] as the environment takes it.
    """

    FULL: dict[int, str] = {}

    def __init__(self, make: Callable[[], Any], native: Callable[[Any], Any]):
        self._make, self._native = make, native

    def allocate(self, n: int, limit: int, parts: int) -> tuple[State, list[Any]]:
        """Zeroed state for episodes of at most `limit` steps; environments are made when they are first reset."""
        zeros = np.zeros(n)
        taken = np.zeros((n, limit, parts))
        return State(np.zeros(n, np.uint64), zeros, zeros.copy(), np.zeros(n, np.bool_), taken), [None] * n

    def reset_rows(self, params: Any, state: State, record: list[Any], out: Any, rows: Any) -> None:
        """Start the episodes out.episode[rows] of the rows named."""
        for i in rows:
            self._reset(params, state, record, out, i)

    def _reset(self, params: Any, state: State, record: list[Any], out: Any, i: int) -> None:
        if record[i] is None:
            record[i] = self._make()
        state.key[i] = episode_key(out.seed[i], out.stream[i], out.episode[i])
        state.clock[i], state.total[i], state.over[i] = 0.0, 0.0, False
        observation, _ = record[i].reset(seed=int(state.key[i] >> np.uint64(33)))
        self._show(out.observation, observation, i)
        out.mask[i] = True

    def _show(self, rows: Any, observation: Any, i: int) -> None:
        rows[i] = np.ravel(observation)

    def advance(
        self, params: Any, state: State, record: list[Any], action: Any, out: Any, first: int, last: int, autoreset: bool
    ) -> tuple[int, int]:
        """Step rows first..last-1, and reset those that ended."""
        action = action.reshape(last - first, -1)
        out.ledger[first:last] = 0.0
        for i in range(first, last):
            if state.over[i]:
                out.elapsed[i] = 0.0
                continue
            observation, reward, terminated, truncated, _ = record[i].step(self._native(action[i - first]))
            state.taken[i, int(state.clock[i])] = action[i - first]
            state.clock[i] += 1.0
            state.total[i] += reward
            out.elapsed[i], out.ledger[i, REWARD], out.ledger[i, STEPS] = 1.0, reward, 1.0
            out.terminated[i], out.truncated[i] = terminated, truncated and not terminated
            over = bool(terminated or truncated)
            if over:
                out.ledger[i, [EPISODES, RETURN, TRUNCATED]] = 1.0, state.total[i], float(out.truncated[i])
            if over and autoreset:
                self._show(out.final_observation, observation, i)
                out.final_mask[i] = True
                out.episode[i] += 1
                self._reset(params, state, record, out, i)
            else:
                state.over[i] = over
                self._show(out.observation, observation, i)
        return -1, 0

    def resume(self, params: Any, state: State, record: list[Any], out: Any) -> str:
        """After a snapshot has been put back: replay every row's actions from its seed. Says what could not be restored.

        Environments that do not repeat themselves given seed and actions begin their episodes anew.
        """
        lost, kind = 0, np.float64 if out.mask.shape[1] == 0 else np.int64
        for i in range(len(state.key)):
            seen, clock, total, over = out.observation[i].copy(), int(state.clock[i]), state.total[i], state.over[i]
            actions = state.taken[i, :clock].copy()
            self._reset(params, state, record, out, i)
            for action in actions:
                observation, reward, *_ = record[i].step(self._native(action.astype(kind)))
                self._show(out.observation, observation, i)
                state.total[i] += reward
            state.clock[i], state.over[i] = clock, over
            if not np.array_equal(out.observation[i], seen) or state.total[i] != total:
                self._reset(params, state, record, out, i)
                lost += 1
        return f"{lost} of {len(state.key)} episodes begin anew: the environment does not repeat itself" if lost else ""


def maker(name: str, arguments: dict[str, Any], limit: int | None) -> Callable[[], Any]:
    """A function that makes one environment; errors name the key."""

    def make() -> Any:
        try:
            return gymnasium.make(name, max_episode_steps=limit, disable_env_checker=True, **arguments)
        except (gymnasium.error.Error, TypeError, ImportError, AttributeError) as error:
            reason = " ".join(str(error).split())
            raise PointsmanError(f"env.id={name} cannot be made: {reason}; an own one is registered by plugins=[...]") from None

    return make
