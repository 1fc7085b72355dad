"""What a user may write to configure autoscaling: the schema, with its defaults."""

from dataclasses import dataclass, field
from typing import Any

from pointsman.envs.schema import AssumptionConfig, RecentConfig


@dataclass
class BurstConfig:
    """Times at which demand is a multiple of what it would be; they come and go at random."""

    every_minutes: float | None = None  # mean time from the end of one to the next; null: none
    last_minutes: float = 20.0  # mean
    factor: float = 2.0
    rise_minutes: float = 0.0  # demand approaches the factor, and 1 afterwards, with this time constant


@dataclass
class NoiseConfig:
    """Slow noise of the rate: the exponential of an autoregressive process with mean 1."""

    cv: float = 0.0  # coefficient of variation
    minutes: float = 60.0  # time constant


@dataclass
class TraceConfig:
    """Recorded demand: a CSV of counts per slot (timestamp, value), or of single requests (TIMESTAMP and tokens)."""

    file: str | None = None  # null: demand as the other keys say; else it replaces rates, bursts and noise
    slot_minutes: float = 5.0  # of a file of counts
    scale: float = 1.0  # requests per recorded request
    context_weight: float = 0.1  # work of a token that is read, beside one that is written (files of single requests)
    days: list[int] | None = None  # [first, last] day, from 0, on which episodes begin; null: all (files of counts)
    profile_days: list[int] | None = None  # [first, last] day whose mean is the profile that policies see; null: `days`
    weekly: bool = False  # the profile is that of a week, not of a day
    begin_minute: float = 0.0  # of the recording, at which episodes begin (files of single requests)


@dataclass
class AutoscalingConfig:
    """Autoscaling; times in minutes, rates per minute, days and weeks start at 0:00 of the first day."""

    id: str = "autoscaling/custom"
    model: str = "flow"  # of queue and service; or markov: one request at a time, a decision after every event
    arrival_rate: float = 60.0  # mean over a day
    amplitude: float = 0.0  # of a sinusoid over the day, as a share of the mean
    peak_minute: float = 840.0  # of the day
    hourly_rates: list[float] | None = None  # 24 or 168, replacing the three above
    demand_factor: float = 1.0  # on what comes, not on the profile that policies see
    bursts: BurstConfig = field(default_factory=BurstConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    trace: TraceConfig = field(default_factory=TraceConfig)
    service_minutes: float = 0.1  # of a replica for a request, on average
    service_cv: float = 0.0  # coefficient of variation of the work of single requests (flow)
    start_minutes: float = 3.0  # until a new replica is ready; the mean of an exponential (markov)
    start_spread_minutes: float = 0.0  # mean of an exponential part on top (flow)
    min_replicas: int = 1
    max_replicas: int = 20
    initial_replicas: int | None = None  # null: what the profile needs at 70 % utilisation
    max_change: int = 4  # of replicas, at one decision
    control_minutes: float = 1.0  # between decisions (flow)
    ticks: int = 2  # steps of the flow within it
    slo_minutes: float = 0.5  # a request that has waited longer is late; whole ticks (flow)
    queue_limit: int | None = None  # requests in the system; arrivals beyond are lost (markov)
    history: int = 5  # past intervals that policies see
    ages: int = 4  # starting replicas are seen by age in control intervals, the last of so many holding all older ones
    smooth_minutes: float = 15.0  # time constant of the smoothed load that they see
    prices: dict[str, float] = field(default_factory=dict)
    horizon_minutes: float = 1440.0
    warmup_minutes: float = 0.0  # deleted before averages are taken
    start_minute: float | None = 0.0  # of the day; null: drawn
    recent: RecentConfig = field(default_factory=RecentConfig)  # rates of the recent past that policies see too
    provenance: str = ""
    assumptions: list[AssumptionConfig] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)  # changes under which learners train
