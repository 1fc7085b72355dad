"""Parts of every problem's schema."""

from dataclasses import dataclass, field


@dataclass
class AssumptionConfig:
    """Something that no log can tell; evaluation shows how the answer changes over `values` of `key`."""

    key: str = ""
    values: list[float] = field(default_factory=list)
    why: str = ""


@dataclass
class RecentConfig:
    """Rates of the recent past in the observation, for what is not shown itself (envs/recent.py)."""

    over: list[float] = field(default_factory=list)  # time constants, in the problem's unit of time; none: no rates
    of: list[str] | None = None  # ledger columns; null: the problem's demand
