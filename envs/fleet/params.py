"""From a configuration of a fleet to the kernel's parameters; every check names the key at fault."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pointsman.envs.checks import cumulative, number, numbers, require, whole
from pointsman.envs.fleet.kernel import Params
from pointsman.errors import unknown

ANYWHERE = {"anywhere": {"x": 0.0, "y": 0.0, "spread_km": None, "share": 1.0, "to": None}}
"""What no zones at all mean."""


def params_from(config: Mapping[str, Any]) -> Params:
    """The kernel's parameters of a plain configuration (FleetConfig as a dict); errors name the key."""
    width, height = (number(key, config[key], strict=True) for key in ("width_km", "height_km"))
    zones = config["zones"] or ANYWHERE
    centre = np.array([_zone(f"zones.{name}", zone, width, height) for name, zone in zones.items()])
    origin, destination = _flows(zones)
    rate, profile = number("arrival_rate", config["arrival_rate"], strict=True), config["arrival_profile"]
    factors = np.ones(1) if profile is None else numbers("arrival_profile", profile)
    require(bool(factors.max() > 0), "arrival_profile", "positive in some slot", profile)
    kmh = number("speed_kmh", config["speed_kmh"], strict=True)
    value = np.array([number(key, config[key]) for key in ("value_base", "value_per_km")])
    limit = whole("waiting_limit", config["waiting_limit"], 1)
    shown = whole("places_shown", config["places_shown"], 0)
    require(shown <= limit, "places_shown", f"at most waiting_limit, {limit}", shown)
    exponential, batch = config["exponential_times"], number("batch_minutes", config["batch_minutes"])
    horizon = number("horizon_minutes", config["horizon_minutes"], strict=True)
    require(batch <= horizon, "batch_minutes", f"at most horizon_minutes, {horizon:g}", batch)
    require(not (exponential and batch), "batch_minutes", "0 with exponential_times", batch)
    service = number("service_minutes", config["service_minutes"])
    spread = centre[:, 2]
    require(service > 0 or bool((spread != 0).all()), "service_minutes", "above 0 where zones are single points", service)
    return Params(
        vehicles=whole("vehicles", config["vehicles"], 1),
        arrival_rate=rate * factors,
        slot_minutes=number("slot_minutes", config["slot_minutes"], strict=True),
        zone=centre,
        origin_cumulative=origin,
        destination_cumulative=destination,
        width=width,
        height=height,
        detour=number("detour_factor", config["detour_factor"], low=1.0),
        minutes_per_km=60.0 / kmh,
        service_minutes=service,
        patience=number("patience_minutes", config["patience_minutes"], strict=True),
        value=np.append(value, number("value_spread", config["value_spread"], high=1.0)),
        exponential=exponential,
        batch=batch,
        waiting_limit=limit,
        places_shown=shown,
        horizon=horizon,
    )


def _zone(key: str, zone: Mapping[str, Any], width: float, height: float) -> tuple[float, float, float]:
    """Centre and spread; a spread below 0 stands for the whole area."""
    spread = zone["spread_km"]
    x, y = number(f"{key}.x", zone["x"], high=width), number(f"{key}.y", zone["y"], high=height)
    return x, y, -1.0 if spread is None else number(f"{key}.spread_km", spread, high=math.hypot(width, height))


def _flows(zones: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Cumulative shares of the zones of origin [Z], and of destination by zone of origin [Z, Z]."""
    names = list(zones)
    share = np.array([number(f"zones.{name}.share", zones[name]["share"]) for name in names])
    origin = cumulative("zones.*.share", share)
    weights = []
    for name in names:
        to = zones[name]["to"]
        for other in to or {}:
            if other not in names:
                raise unknown(f"zone in zones.{name}.to:", other, names)
        weights.append(share if to is None else [number(f"zones.{name}.to.{n}", to.get(n, 0.0)) for n in names])
        require(sum(weights[-1]) > 0, f"zones.{name}.to", "weights with a positive sum", to)
    return origin, cumulative("zones.*.to", np.array(weights, float))
