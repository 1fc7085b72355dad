"""What a user may write to configure request dispatch: the schema, with its defaults."""

from dataclasses import dataclass, field
from typing import Any

from pointsman.envs.schema import AssumptionConfig, RecentConfig


@dataclass
class ClassConfig:
    """A class of requests; times in minutes."""

    share: float = 1.0
    handling_minutes: Any = 5.0  # mean; a number, or {easy: , hard: }
    handling_cv: float | None = None  # coefficient of variation of a lognormal; null: exponential
    patience_minutes: float | None = None  # mean, exponential; null: never abandons
    target_minutes: float = 1.0


@dataclass
class ShiftConfig:
    """People who work the same hours; times of day in quarters of an hour, an end before the start is on the next day."""

    days: str = "mon-fri"  # days or ranges of days on which it starts, such as "mon-wed, sat"
    start: Any = "8:00"
    end: Any = "16:00"
    staff: float = 1.0


@dataclass
class TeamConfig:
    """A team of people; a fraction of a person is there in that share of the hours."""

    staff: Any = None  # a number, or 168 numbers by hour of the week from Monday 0:00; null: as shifts say, or one person
    shifts: list[ShiftConfig] | None = None
    speed: Any = None  # skill: a number or {class: number}, 1 being as in handling_minutes; null: may not have that class
    queue_limit: int | None = None


@dataclass
class OutageConfig:
    """Automation that fails now and then, with everything in it; exponential times."""

    every_minutes: float | None = None  # mean time from the end of one to the next; null: none
    last_minutes: float = 30.0


@dataclass
class AutomationConfig:
    """Automation; capacity 0 switches it off, null is unlimited."""

    capacity: int | None = None
    latency_minutes: float = 0.0
    success_easy: float = 1.0
    success_hard: float = 0.0
    unnoticed_failures: float = 0.0  # share of its failures that nobody notices: undetected errors instead of bounces
    bounce_handling_factor: float = 1.0  # on the handling of a request that has bounced
    outages: OutageConfig = field(default_factory=OutageConfig)


@dataclass
class DriftConfig:
    """How the classifier loses discrimination in the course of an episode; the scores that it shows take no notice."""

    remains: float = 1.0  # of the distance of its bins from their mean, or of its two normals, in the end
    from_minute: float = 0.0
    until_minute: float = 0.0


@dataclass
class ScoreConfig:
    """The classifier: bins with their easy-probabilities, or binormal scores with an area under the ROC curve."""

    bins_easy_probability: list[float] | None = None
    bins_weight: list[float] | None = None
    auc: float | None = None
    easy_share: Any = 0.5  # binormal only; a number, or one per class
    overconfidence: float = 1.0  # binormal only; factor on the log-odds shown, 1 is calibrated
    drift: DriftConfig = field(default_factory=DriftConfig)


@dataclass
class DispatchConfig:
    """Request dispatch; times in minutes, rates per minute, weeks start on Monday 0:00."""

    id: str = "dispatch/custom"
    arrival_rate: float | None = None
    arrival_rates: list[float] | None = None  # by regime, with switching_rates
    switching_rates: list[float] | None = None
    regime_observed: bool = True
    hourly_arrival_rates: list[float] | None = None  # 168, by hour of the week
    trace: str | None = None  # CSV with arrival_minutes, class, handling_minutes, patience_minutes
    classes: dict[str, ClassConfig] = field(default_factory=dict)
    hourly_class_shares: dict[str, list[float]] | None = None  # 168 per class; replaces the shares
    teams: dict[str, TeamConfig] = field(default_factory=dict)
    bounce_team: Any = None  # a team, or one per class; null: the first that may have the class
    automation: AutomationConfig = field(default_factory=AutomationConfig)
    pickup_decisions: bool = False  # whoever picks up a request and sees that it is easy may forward it to automation
    forward_minutes: float = 0.0  # of the person who forwards
    places_shown: int = 0  # of each queue: the scores of those who wait, 0 of those who have bounced (with pickup_decisions)
    score: ScoreConfig = field(default_factory=ScoreConfig)
    prices: dict[str, float] = field(default_factory=dict)
    horizon_minutes: float = 480.0
    warmup_minutes: float = 0.0  # deleted before averages are taken
    start_minute: float | None = 0.0  # of the week; null: drawn
    queue_size: int = 150  # buffer; overflow is an error, not a drop
    automation_size: int = 64  # buffer, where capacity is unlimited
    recent: RecentConfig = field(default_factory=RecentConfig)  # rates of the recent past that policies see too
    provenance: str = ""
    assumptions: list[AssumptionConfig] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)  # changes under which learners train, such as start_minute
