"""A queueing network as a Problem: names, units and ranges of what is observed, decided and booked."""

from collections.abc import Mapping
from typing import Any

from pointsman.envs.checks import number
from pointsman.envs.ledger import Kpi, Ratio
from pointsman.envs.problem import Field, Problem
from pointsman.envs.queueing import kernel
from pointsman.envs.queueing.config import QueueingConfig
from pointsman.envs.queueing.events import events
from pointsman.envs.queueing.params import network_of, params_from

SCHEMA = QueueingConfig

_RANGES = {
    "queue": Field("queue", "requests"),
    "served": Field("served", "requests"),
    "arriving": Field("arriving", "indicator", 0.0, 1.0),
    "in_service": Field("in_service", "requests"),
    "deciding": Field("deciding", "indicator", 0.0, 1.0),
    "occupied": Field("occupied", "1 + class, 0: free"),
    "head_age": Field("head_age", "time"),
    "cycle_sine": Field("cycle_sine", "", -1.0, 1.0),
    "cycle_cosine": Field("cycle_cosine", "", -1.0, 1.0),
}


def build(config: Mapping[str, Any]) -> Problem:
    """A problem from a plain, complete configuration (QueueingConfig as a dict)."""
    network = network_of(config)
    params = params_from(config, network)
    classes, pools = list(network["classes"]), list(network["pools"])
    servers = [
        pool if size == 1 else f"{pool}.{k + 1}" for pool, size in zip(pools, params.pool_size, strict=True) for k in range(size)
    ]
    names = kernel.observation_names(params, classes, servers)
    ranges = [_RANGES[name.split("/")[0]] for name in names]
    choices = [*[f"serve {name}" for name in classes], "idle"]
    actions = ["refuse", "admit"] if params.kind == kernel.ADMISSION else choices
    if params.kind == kernel.POOLS:
        actions = [f"{pool}: {choice}" for pool in pools for choice in choices]
    ring = config["queue_size"] if config["head_ages"] else 0
    return Problem(
        id=config["id"],
        config=config,
        kernel=kernel,
        params=params,
        allocate=lambda n: kernel.allocate(params, n, ring),
        observation=tuple(Field(name, f.unit, f.low, f.high) for name, f in zip(names, ranges, strict=True)),
        actions=tuple(actions),
        columns=tuple(kernel.ledger_columns(classes, pools)),
        prices=network["prices"],
        kpis=_kpis(classes, pools),
        demand="arrived",
        demand_unit="request",
        time_unit="unit of time",
        horizon=params.horizon,
        warmup=number("warmup_time", config["warmup_time"]),
        events=events(params),
        parts=(len(choices),) * len(pools) if params.kind == kernel.POOLS and len(pools) > 1 else (),
    )


def _kpis(classes: list[str], pools: list[str]) -> dict[str, Kpi]:
    """Key figures; times in the network's unit."""
    found: dict[str, Kpi] = {
        "in_system": Ratio(("in_system",), ("time",), "", "mean number of requests in the network"),
        "time_in_system": Ratio(("in_system",), ("admitted",), "", "per request let in (Little's law)"),
        "refused": Ratio(("refused",), ("arrived",), "", "by decision"),
        "lost": Ratio(("lost",), ("arrived",), "", "met a full system"),
    }
    if len(classes) > 1:
        found |= {f"in_system_{name}": Ratio((f"in_system/{name}",), ("time",)) for name in classes}
    return found | {f"busy_{pool}": Ratio((f"busy_time/{pool}",), ("time",), "", "servers at work") for pool in pools}
