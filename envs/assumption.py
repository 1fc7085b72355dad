"""Part of every problem's schema."""

from dataclasses import dataclass, field


@dataclass
class AssumptionConfig:
    """Something that no log can tell; evaluation shows how the answer changes over `values` of `key`."""

    key: str = ""
    values: list[float] = field(default_factory=list)
    why: str = ""
