"""What a user may write to train on an environment of gymnasium's registry: the schema, with its defaults."""

from dataclasses import dataclass, field
from typing import Any

from pointsman.envs.schema import AssumptionConfig


@dataclass
class GymConfig:
    """An environment that gymnasium knows by name."""

    family: str = "gym"
    id: str = "CartPole-v1"  # as in gymnasium.make; an own one is registered by a plug-in
    arguments: dict[str, Any] = field(default_factory=dict)  # of the environment, as gymnasium.make takes them
    max_episode_steps: int | None = None  # then an episode is cut off; null: the environment's own limit, or 10,000
    prices: dict[str, float] = field(default_factory=lambda: {"reward": -1.0})
    provenance: str = ""
    assumptions: list[AssumptionConfig] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)  # changes under which learners train
