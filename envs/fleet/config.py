"""What a user may write to configure a fleet: the schema, with its defaults."""

from dataclasses import dataclass, field
from typing import Any

from pointsman.envs.schema import AssumptionConfig, RecentConfig


@dataclass
class ZoneConfig:
    """Where requests begin and end: points around a centre."""

    x: float = 0.0  # centre, km
    y: float = 0.0
    spread_km: float | None = None  # standard deviation in both directions, cut at the border; null: anywhere in the area
    share: float = 1.0  # of the origins
    to: dict[str, float] | None = None  # weights of the zones of destination; null: as the shares


@dataclass
class FleetConfig:
    """A fleet on a plane; minutes and kilometres."""

    id: str = "fleet/custom"
    vehicles: int = 20
    width_km: float = 10.0
    height_km: float = 10.0
    zones: dict[str, ZoneConfig] = field(default_factory=dict)
    speed_kmh: float = 24.0
    detour_factor: float = 1.3  # kilometres by road over those by air
    service_minutes: float = 2.0  # of a trip, beside driving: to load and unload
    exponential_times: bool = False  # a trip, pickup included, takes exponential time with the mean that is planned
    arrival_rate: float = 1.0  # requests per minute, Poisson
    arrival_profile: list[float] | None = None  # factors on it, slot by slot, over and over
    slot_minutes: float = 60.0
    patience_minutes: float = 5.0  # mean, exponential: who has no vehicle by then leaves
    value_base: float = 3.0  # of a request served, in the unit of the ledger column `value`
    value_per_km: float = 1.0  # of its trip
    value_spread: float = 0.0  # factor on the value, uniform within so much of 1
    batch_minutes: float = 0.0  # decide at the multiples of this; 0: as soon as a request or a vehicle is there
    waiting_limit: int = 60  # requests that may wait; arrivals beyond are lost
    places_shown: int = 0  # other waiting requests in the observation, one by one
    prices: dict[str, float] = field(default_factory=dict)
    horizon_minutes: float = 240.0
    warmup_minutes: float = 0.0  # deleted before averages are taken
    recent: RecentConfig = field(default_factory=RecentConfig)  # rates of the recent past that policies see too
    provenance: str = ""
    assumptions: list[AssumptionConfig] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)  # changes under which learners train
