"""A fleet as a Problem: names, units and ranges of what is observed, decided and booked."""

from collections.abc import Mapping
from typing import Any

from pointsman.envs.checks import number
from pointsman.envs.fleet import kernel
from pointsman.envs.fleet.config import FleetConfig
from pointsman.envs.fleet.params import params_from
from pointsman.envs.ledger import Kpi, Ratio
from pointsman.envs.problem import Field, Problem

SCHEMA = FleetConfig

_KPIS: dict[str, Kpi] = {
    "served": Ratio(("served",), ("arrived",), "", "of all requests"),
    "refused": Ratio(("lost/refused",), ("arrived",), "", "by decision"),
    "abandoned": Ratio(("lost/abandoned",), ("arrived",), "", "lost patience before they were given a vehicle"),
    "mean_pickup": Ratio(("pickup_minutes",), ("served",), "min", "from being given a vehicle"),
    "mean_wait": Ratio(("waiting_minutes",), ("arrived",), "min", "until given a vehicle, or until the request is lost"),
    "value_per_request": Ratio(("value",), ("arrived",), "", "of those served, per request"),
    "empty_share": Ratio(("empty_km",), ("empty_km", "loaded_km"), "", "of all kilometres"),
    "km_per_served": Ratio(("empty_km", "loaded_km"), ("served",), "km", "empty and loaded"),
    "utilisation": Ratio(("busy_minutes",), ("vehicle_minutes",), "", "of vehicles' time"),
}


def build(config: Mapping[str, Any]) -> Problem:
    """A problem from a plain, complete configuration (FleetConfig as a dict)."""
    params = params_from(config)
    ranges = {
        "x": Field("x", "km", 0.0, params.width),
        "y": Field("y", "km", 0.0, params.height),
        "to_x": Field("to_x", "km", 0.0, params.width),
        "to_y": Field("to_y", "km", 0.0, params.height),
        "trip_minutes": Field("trip_minutes", "minutes"),
        "value": Field("value"),
        "waiting_per_vehicle": Field("waiting_per_vehicle", "requests"),
        "idle_share": Field("idle_share", "", 0.0, 1.0),
        "waited_minutes": Field("waited_minutes", "minutes"),
        "minute": Field("minute", "minutes"),
        "present": Field("present", "indicator", 0.0, 1.0),
        "idle": Field("idle", "indicator", 0.0, 1.0),
        "free_in": Field("free_in", "minutes"),
        "pickup_minutes": Field("pickup_minutes", "minutes"),
        "other_pickup_minutes": Field("other_pickup_minutes", "minutes"),
        "other_trip_minutes": Field("other_trip_minutes", "minutes"),
        "other_value": Field("other_value"),
    }

    def fields(names: Any) -> tuple[Field, ...]:
        known = [ranges[name.split("/")[-1]] for name in names]
        return tuple(Field(name, f.unit, f.low, f.high) for name, f in zip(names, known, strict=True))

    return Problem(
        id=config["id"],
        config=config,
        kernel=kernel,
        params=params,
        allocate=lambda n: kernel.allocate(params, n),
        observation=fields(kernel.context_names(params)),
        actions=(*(f"vehicle {v}" for v in range(params.vehicles)), "wait", "refuse"),
        columns=kernel.COLUMNS,
        prices=config["prices"],
        kpis=_KPIS,
        demand="arrived",
        demand_unit="request",
        time_unit="minute",
        horizon=params.horizon,
        warmup=number("warmup_minutes", config["warmup_minutes"]),
        candidates=fields(kernel.VEHICLE),
        window=params.vehicles,
    )
