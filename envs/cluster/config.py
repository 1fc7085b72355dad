"""What a user may write to configure a cluster: the schema, with its defaults."""

from dataclasses import dataclass, field
from typing import Any

from pointsman.envs.schema import AssumptionConfig, RecentConfig


@dataclass
class JobClassConfig:
    """A class of jobs that are drawn; ranges are [from, to], uniform."""

    share: float = 1.0
    duration: list[float] = field(default_factory=lambda: [1.0, 3.0])
    demand: dict[str, list[int]] = field(default_factory=dict)  # units by resource; a resource not named is not needed
    dominant: list[int] | None = None  # units instead, of one resource drawn at random


@dataclass
class ClusterConfig:
    """Jobs on one cluster; times in the unit of the durations, which is seconds in a trace."""

    id: str = "cluster/custom"
    resources: dict[str, int] = field(default_factory=dict)  # units by name; none: the processors that the trace's header names
    arrival_rate: float | None = None  # jobs per unit of time
    time_step: bool = False  # time runs in steps of 1, each with a job or none (at rates above 1, parts of it); else Poisson
    classes: dict[str, JobClassConfig] = field(default_factory=dict)
    users: int = 1  # each job is one of theirs, at random
    estimate_slack: float = 0.0  # estimates are 1 to 1 + this times the duration, or times what they are in a trace, uniform
    duration_factor: float = 1.0  # on durations and estimates of all jobs
    trace: str | None = None  # a file in the Standard Workload Format, .swf or .swf.gz, instead of jobs drawn
    trace_folder: str | None = None  # where a relative `trace` is looked for; null: the current folder
    trace_source: str = ""  # how to get the file
    trace_part: list[float] = field(default_factory=lambda: [0.0, 1.0])  # share of its jobs from which on, up to which
    trace_speed: float = 1.0  # jobs come so many times as fast
    stretches: bool = False  # an episode begins at a job drawn at random and lasts horizon_time
    window: int = 16  # jobs shown: the first and the last of the queue; rules see all of it
    clock_shown: bool = False
    slowdown_floor: float = 1.0  # shortest duration that a bounded slowdown is taken of
    prices: dict[str, float] = field(default_factory=dict)
    horizon_time: float | None = None  # null, for a trace only: until all its jobs are done
    warmup_time: float = 0.0  # deleted before averages are taken
    queue_size: int = 256  # buffer of waiting jobs; overflow is an error, not a drop
    recent: RecentConfig = field(default_factory=RecentConfig)  # rates of the recent past that policies see too
    provenance: str = ""
    assumptions: list[AssumptionConfig] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)  # changes under which learners train
