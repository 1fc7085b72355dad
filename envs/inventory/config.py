"""What a user may write to configure an inventory problem: the schema, with its defaults."""

from dataclasses import dataclass, field
from typing import Any

from pointsman.envs.schema import AssumptionConfig, RecentConfig


@dataclass
class InventoryConfig:
    """One item under periodic review; quantities in units, times in review periods, costs in any currency."""

    id: str = "inventory/custom"
    demand: str = "poisson"  # or geometric, negative_binomial, uniform, intermittent (see demand.py), or trace
    demand_mean: float | None = None  # per period
    demand_variance: float | None = None  # negative_binomial
    demand_low: Any = None  # uniform, whole
    demand_high: Any = None
    demand_probability: float | None = None  # intermittent: share of periods with demand
    size_mean: float | None = None  # intermittent: units, where there is demand
    size_variance: float | None = None
    demand_factor: float = 1.0  # on means, shares of periods with demand and recorded units
    trace: Any = None  # recorded demand: a list, or the path of a CSV file with a column demand
    items: str | None = None  # path of a table of items (see items.py), from which `item` is taken
    item: str | None = None
    item_unit: str = "pack"  # in which its quantities are counted; or piece
    unmet: str = "lost"  # or backlog
    lead_time: Any = 1  # of the regular source
    expedite_lead_time: Any = None  # of a second, faster source; null: there is none
    holding_cost: float = 1.0  # per unit left at the end of a period
    penalty: float = 1.0  # per unit lost, or per unit waiting at the end of a period
    order_cost: float = 0.0  # per unit
    fixed_cost: float = 0.0  # per order
    expedite_cost: float = 0.0  # per unit
    expedite_fixed_cost: float = 0.0  # per order
    prices: dict[str, float] = field(default_factory=dict)  # of ledger columns, over those that follow from the costs
    min_order: Any = 1  # units of the regular source; an order is none, or at least so many
    lot: Any = None  # units by which orders grow; null: 1, or more where that would make over 200 choices
    max_order: Any = None  # units per regular order; null: more than is ever worth while (see params.py)
    max_expedite: Any = None
    position_limit: Any = None  # units in stock and on order; null: no limit; auto: no less than is ever worth while
    start: Any = 0  # units in stock at the start of an episode
    horizon_time: float = 1200.0
    warmup_time: float = 200.0  # deleted before averages are taken
    recent: RecentConfig = field(default_factory=RecentConfig)  # rates of the recent past that policies see too
    provenance: str = ""
    assumptions: list[AssumptionConfig] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)  # changes under which learners train
