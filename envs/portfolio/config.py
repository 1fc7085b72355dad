"""What a user may write to configure a project portfolio: the schema, with its defaults."""

from dataclasses import dataclass, field
from typing import Any

from pointsman.envs.schema import AssumptionConfig, RecentConfig


@dataclass
class KindConfig:
    """A kind of project. Of every two numbers the first is for an easy project, the second for a hard one."""

    proposals_per_week: float = 0.0  # probability that one comes in
    start: int = 0  # projects of this kind in the portfolio when an episode begins
    hours_per_week: list[float] = field(default_factory=lambda: [40.0])  # of people's work that it would save, as predicted
    hours_weight: list[float] | None = None  # how often each of these; null: equally often
    hard_share: float = 0.0  # of the projects; which are hard is not known
    human_accuracy: float = 0.9  # share of the cases that people get right
    required_accuracy: float = 0.0  # ships only if it is expected to be at least so accurate
    base_accuracy: float = 0.5  # before any work
    top_accuracy: list[float] = field(default_factory=lambda: [0.98, 0.98])  # that no work gets beyond
    halfway: list[float] = field(default_factory=lambda: [2.0, 6.0])  # milestones to half of the way from base to top
    exponent: float = 1.0  # of the power law of accuracy in milestones
    milestones: int = 10  # after which there is nothing left to try
    pace: list[float] = field(default_factory=lambda: [0.8])  # chance of a milestone in a week's work, by milestones reached
    pilot_good: list[float] = field(default_factory=lambda: [0.9, 0.1])  # chance that a pilot goes well


@dataclass
class RoleConfig:
    """People who are alike."""

    people: int = 1
    skill: dict[str, float] = field(default_factory=dict)  # factor on the pace of a kind; 1 if it is not named
    pilots: bool = True  # may run pilots


@dataclass
class PortfolioConfig:
    """Projects that a team may work on, one person a project, decided week by week."""

    id: str = "portfolio/custom"
    kinds: dict[str, KindConfig] = field(default_factory=dict)
    roles: dict[str, RoleConfig] = field(default_factory=dict)
    slots: int = 10  # projects in the portfolio; proposals beyond are turned away
    window_weeks: int = 104  # in which a project is of use, from its proposal on
    window_closes: bool = True  # false: of use for so long from when it ships, however late that is
    withdrawn_per_week: float = 0.0  # chance that whoever proposed a project takes it back before it has shipped
    test_cases: int = 25  # on which accuracy is measured after every week's work; 0: it is not
    most_pilots: int = 2  # per project, before it is begun
    impact_error: float = 0.5  # true impact is uniform within this share of the predicted one
    log_effort: bool = True  # observe person-weeks and age of every project
    horizon_weeks: int = 520
    prices: dict[str, float] = field(default_factory=dict)  # by ledger column; hours saved have a negative one
    discount: float | None = None  # per week; what the Gittins index goes by
    recent: RecentConfig = field(default_factory=RecentConfig)  # rates of the recent past that policies see too
    provenance: str = ""
    assumptions: list[AssumptionConfig] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)  # changes under which learners train
