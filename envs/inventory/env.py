"""An inventory as a Problem: names, units and ranges of what is observed, decided and booked."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.checks import number
from pointsman.envs.inventory import kernel
from pointsman.envs.inventory.config import InventoryConfig
from pointsman.envs.inventory.demand import Demand, demand_of
from pointsman.envs.inventory.items import with_item
from pointsman.envs.inventory.params import params_from, prices, sources
from pointsman.envs.ledger import Kpi, Ratio
from pointsman.envs.problem import Events, Field, Problem

SCHEMA = InventoryConfig


def build(config: Mapping[str, Any]) -> Problem:
    """A problem from a plain, complete configuration (InventoryConfig as a dict)."""
    given = with_item(config)
    demand = demand_of(given)
    params, names = params_from(given, demand, demand_of({**given, "demand_factor": 1.0})), sources(given)
    several = len(names) > 1
    return Problem(
        id=config["id"],
        config=config,
        kernel=kernel,
        params=params,
        allocate=lambda n: kernel.allocate(params, n),
        observation=tuple(
            Field(name, "units", 0.0 if name.startswith("due") or params.backlog_limit == 0 else -np.inf)
            for name in kernel.observation_names(params)
        ),
        actions=tuple(
            f"{name}: {units}" if several else f"order {units}"
            for name, row, size in zip(names, params.quantity, params.choices, strict=True)
            for units in row[:size]
        ),
        columns=tuple(kernel.ledger_columns(names)),
        prices=prices(given),
        kpis=_kpis(names),
        demand="demand",
        demand_unit="unit",
        time_unit="period",
        horizon=params.horizon,
        warmup=number("warmup_time", config["warmup_time"]),
        events=_events(demand),
        parts=tuple(int(size) for size in params.choices) if several else (),
    )


def _kpis(names: list[str]) -> dict[str, Kpi]:
    """Key figures per period, and shares of demand."""
    found: dict[str, Kpi] = {
        "fill_rate": Ratio(("filled",), ("demand",), "", "units filled from stock at once"),
        "lost": Ratio(("lost",), ("demand",), "", "units lost"),
        "held": Ratio(("held",), ("periods",), "units", "left at the end of a period"),
        "backlogged": Ratio(("backlogged",), ("periods",), "units", "waiting at the end of a period"),
    }
    for name in names:
        found[f"ordered_{name}"] = Ratio((f"ordered/{name}",), ("periods",), "units", "per period")
        found[f"orders_{name}"] = Ratio((f"orders/{name}",), ("periods",), "", "share of periods with an order")
    return found


def _events(demand: Demand) -> Events | None:
    """Demands with their probabilities; None where demand is recorded."""
    if len(demand.trace):
        return None
    kept = demand.probability > 0
    value, probability = demand.value[kept], demand.probability[kept]

    def fill(record: kernel.Record, rows: NDArray[np.int64], which: NDArray[np.int64]) -> None:
        record.demand[rows] = value[which]

    return Events(lambda state: np.broadcast_to(probability, (len(state.stock), len(probability))), fill)
