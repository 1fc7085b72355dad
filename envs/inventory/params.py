"""From a configuration of an inventory problem to the kernel's parameters; every check names the key at fault."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pointsman.envs.checks import UNLIMITED, number, require, whole
from pointsman.envs.inventory.demand import Demand
from pointsman.envs.inventory.kernel import Params
from pointsman.errors import PointsmanError, unknown

GUIDE = 4096
"""Places of the guide table: with so many the search after it hardly ever takes a step."""
CHOICES, FEW = 1000, 200
"""Order quantities that a source may have, and how many it has at most where no lot is given."""


def sources(config: Mapping[str, Any]) -> list[str]:
    """Names of the sources."""
    return ["regular"] if config["expedite_lead_time"] is None else ["regular", "expedited"]


def prices(config: Mapping[str, Any]) -> dict[str, float]:
    """Prices of ledger columns, from the costs."""
    short = "lost" if config["unmet"] == "lost" else "backlogged"
    found = {"held": number("holding_cost", config["holding_cost"]), short: number("penalty", config["penalty"])}
    found |= {"ordered/regular": number("order_cost", config["order_cost"])}
    found |= {"orders/regular": number("fixed_cost", config["fixed_cost"])}
    if len(sources(config)) > 1:
        found |= {"ordered/expedited": number("expedite_cost", config["expedite_cost"])}
        found |= {"orders/expedited": number("expedite_fixed_cost", config["expedite_fixed_cost"])}
    return found | dict(config["prices"])


def params_from(config: Mapping[str, Any], demand: Demand, usual: Demand) -> Params:
    """The kernel's parameters; what may be ordered goes by `usual` demand, so that it stays as it is in hard times."""
    if config["unmet"] not in ("lost", "backlog"):
        raise unknown("unmet", config["unmet"], ("lost", "backlog"))
    lead = [whole("lead_time", config["lead_time"])]
    if len(sources(config)) > 1:
        lead.append(whole("expedite_lead_time", config["expedite_lead_time"]))
        require(lead[1] < lead[0], "expedite_lead_time", f"below lead_time={lead[0]}", lead[1])
    limit = UNLIMITED if config["position_limit"] is None else config["position_limit"]
    limit = worth_while(config, usual, max(lead)) if limit == "auto" else whole("position_limit", limit)
    quantity = [_quantities(config, s, usual, lead[s]) for s in range(len(lead))]
    most = max(map(len, quantity))
    cumulative = demand.probability.cumsum()
    cumulative[-1] = 1.0
    return Params(
        lead=np.array(lead),
        choices=np.array([len(units) for units in quantity]),
        quantity=np.array([np.pad(units, (0, most - len(units)), mode="edge") for units in quantity]),
        order_limit=np.full(len(lead), UNLIMITED),
        position_limit=limit,
        backlog_limit=0 if config["unmet"] == "lost" else UNLIMITED,
        demand_value=demand.value,
        demand_cumulative=cumulative,
        guide=np.searchsorted(cumulative, np.arange(GUIDE) / GUIDE, side="right"),
        trace=demand.trace,
        start=whole("start", config["start"]),
        horizon=number("horizon_time", config["horizon_time"], strict=True),
    )


def _quantities(config: Mapping[str, Any], source: int, demand: Demand, lead: int) -> np.ndarray:
    """Units by action: none, the least order, and on in lots."""
    key = ("max_order", "max_expedite")[source]
    given, lot = config[key], config["lot"]
    if lot is not None:
        lot = whole("lot", lot, 1)
    least = max(whole("min_order", config["min_order"]), 1) if source == 0 else lot or 1
    most = worth_while(config, demand, lead) if given is None else whole(key, given, 1)
    require(given is None or most >= least, key, f"at least min_order={least}", most)
    lot = lot or max(math.ceil((most - least) / FEW), 1)
    steps = max(math.ceil((most - least) / lot), 0)
    if steps >= CHOICES:
        raise PointsmanError(f"{key}={most} in lots of {lot} makes {steps:,} choices, more than {CHOICES:,}: raise lot")
    return np.concatenate([[0], least + lot * np.arange(steps + 1)])


def worth_while(config: Mapping[str, Any], demand: Demand, lead: int) -> int:
    """Units in one order and in position that are not worth while to exceed.

    The optimal base stock under lost sales is no higher than with backlogs (Janakiraman, Seshadri and Shanthikumar 2007), where
    it is a quantile of demand over lead time and review period; fixed costs add an economic order quantity. Orders that
    replace the demand of one period fit as well.
    """
    holding, penalty = (number(key, config[key]) for key in ("holding_cost", "penalty"))
    require(holding > 0, "holding_cost", "positive where max_order is null", holding)
    fixed = number("fixed_cost", config["fixed_cost"])
    batch = math.ceil(math.sqrt(2 * fixed * demand.mean / holding))
    return max(demand.level(lead + 1, penalty / (penalty + holding)), demand.level(1, 1 - 1e-4), 1) + batch
