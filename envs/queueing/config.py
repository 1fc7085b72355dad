"""What a user may write to configure a queueing network: the schema, with its defaults."""

from dataclasses import dataclass, field
from typing import Any

from pointsman.envs.schema import AssumptionConfig, RecentConfig


@dataclass
class RequestClassConfig:
    """A class of requests, with a buffer of its own."""

    arrival_rate: float = 0.0  # Poisson, per unit of time, from outside
    next: Any = None  # after service: a class, {class: probability}, or null for out of the network
    start: int = 0  # requests at the start of an episode


@dataclass
class PoolConfig:
    """Servers of one kind."""

    servers: int = 1
    rates: dict[str, float] = field(default_factory=dict)  # by class, exponential; a class not named cannot be served
    may_idle: bool | None = None  # although it could work; null: as work_conserving says


@dataclass
class QueueingConfig:
    """A multiclass queueing network; rates per unit of time."""

    id: str = "queueing/custom"
    network: str = "custom"  # or one of networks.py, with these as its parameters:
    arrival_rate: float | None = None
    arrival_rates: list[float] | None = None
    service_rate: float | None = None
    service_rates: list[float] | None = None
    holding_cost: float | None = None
    holding_costs: list[float] | None = None
    reward: float | None = None
    rewards: list[float] | None = None
    servers: int | None = None
    mu2: float | None = None
    mu_fast: float | None = None
    mu_slow: float | None = None
    rho: float | None = None
    stations: int | None = None
    classes: dict[str, RequestClassConfig] = field(default_factory=dict)  # of a custom network
    pools: dict[str, PoolConfig] = field(default_factory=dict)
    prices: dict[str, float] = field(default_factory=dict)  # beyond those of a named network
    arrival_profile: list[float] | None = None  # factors on all arrival rates, slot by slot, over and over
    slot_time: float = 1.0
    decisions: str = "servers"  # each free server in turn; or pools: all at once; or admission
    preemptive: bool = True
    work_conserving: bool = True  # no server idles that could work
    capacity: int | None = None  # requests in the system; arrivals beyond are lost
    head_ages: bool = False  # observe how long the first request of each class has been in its buffer
    queue_size: int = 2000  # places per class, only with head_ages
    horizon_time: float = 2000.0
    warmup_time: float = 200.0  # deleted before averages are taken
    recent: RecentConfig = field(default_factory=RecentConfig)  # rates of the recent past that policies see too
    provenance: str = ""
    assumptions: list[AssumptionConfig] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)  # changes under which learners train
