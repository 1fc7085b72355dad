"""Any environment of gymnasium's registry as a Problem: reward and episodes as its ledger, one step as the unit of time."""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from pointsman.envs.checks import number, require
from pointsman.envs.gym.config import GymConfig
from pointsman.envs.gym.kernel import COLUMNS, Kernel, maker
from pointsman.envs.ledger import Ratio
from pointsman.envs.problem import Field, Problem
from pointsman.errors import PointsmanError

SCHEMA = GymConfig
LONGEST = 10_000
"""Steps after which an episode is cut off where nothing else limits it."""
CHANNELS = (1, 3, 4)
"""An array of bytes with so many layers is an image."""

_KPIS = {
    "episode_return": Ratio(("episode_return",), ("episodes",), "", "sum of the rewards of an episode"),
    "episode_steps": Ratio(("steps",), ("episodes",), "steps"),
    "truncated": Ratio(("truncated",), ("episodes",), "", "episodes that were cut off"),
}


def build(config: Mapping[str, Any]) -> Problem:
    """A problem from a plain, complete configuration (GymConfig as a dict)."""
    name, limit = config["id"], config["max_episode_steps"]
    if ":" in name:
        raise PointsmanError(f"env.id={name}: no module is imported by an id; give it as plugins=[{name.split(':')[0]}]")
    if limit is not None:
        number("max_episode_steps", limit, 1.0)
    env = maker(name, config["arguments"], limit)()
    if limit is None:
        limit = env.spec.max_episode_steps or LONGEST
    make = maker(name, config["arguments"], limit)
    fields, image, wrap = _observation(name, env.observation_space)
    names, parts, bounds, native = _action(name, env.action_space)
    kernel = Kernel(lambda: wrap(make()), native)
    return Problem(
        id=name,
        config=config,
        kernel=kernel,
        params=None,
        allocate=lambda n: kernel.allocate(n, limit, len(bounds) or max(len(parts), 1)),
        observation=fields,
        actions=names,
        columns=COLUMNS,
        prices=config["prices"],
        kpis=_KPIS,
        demand="episodes",
        demand_unit="episode",
        time_unit="episode",
        horizon=float(limit),
        warmup=0.0,
        parts=parts if len(parts) > 1 else (),
        bounds=bounds,
        image=image,
        episodic=True,
    )


def _observation(name: str, space: Any) -> tuple[tuple[Field, ...], tuple[int, ...], Any]:
    """Fields of the flat observation, the shape if it is an image, and what makes an environment show it so."""

    def as_is(env: Any) -> Any:
        return env

    wrap: Any = as_is
    image: tuple[int, ...] = ()
    if isinstance(space, spaces.Box) and len(space.shape) == 3 and space.dtype == np.uint8 and space.shape[2] in CHANNELS:
        image = space.shape
    elif not isinstance(space, spaces.Box):
        try:
            wrap, space = gymnasium.wrappers.FlattenObservation, spaces.flatten_space(space)
        except NotImplementedError:
            space = None
        if not isinstance(space, spaces.Box):
            raise PointsmanError(f"env.id={name}: observations of {space} are not numbers of a fixed count")
    low, high = np.ravel(space.low), np.ravel(space.high)
    pairs = enumerate(zip(low, high, strict=True))
    return tuple(Field(f"x{k}", "", float(a), float(b)) for k, (a, b) in pairs), image, wrap


def _action(name: str, space: Any) -> tuple[tuple[str, ...], tuple[int, ...], tuple[tuple[float, float], ...], Any]:
    """Names of the actions, numbers by part, bounds of a box, and what turns our action [K] into the environment's."""
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        return tuple(f"action {start + a}" for a in range(space.n)), (int(space.n),), (), lambda action: start + int(action[0])
    if isinstance(space, spaces.MultiDiscrete) and len(space.shape) == 1:
        first = space.start
        names = tuple(f"part {k}: {first[k] + a}" for k, size in enumerate(space.nvec) for a in range(size))
        return names, tuple(int(size) for size in space.nvec), (), lambda action: first + action.astype(np.int64)
    if isinstance(space, spaces.MultiBinary) and isinstance(space.n, int):
        names = tuple(f"part {k}: {a}" for k in range(space.n) for a in range(2))
        return names, (2,) * space.n, (), lambda action: action.astype(np.int8)
    require(isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating), f"env.id={name}: actions",
            "Discrete, MultiDiscrete, MultiBinary or a Box of floats", space)  # fmt: skip
    pairs = zip(np.ravel(space.low), np.ravel(space.high), strict=True)
    shape, kind = space.shape, space.dtype
    return (), (), tuple((float(a), float(b)) for a, b in pairs), lambda action: action.reshape(shape).astype(kind)
