"""A cluster as a Problem: names, units and ranges of what is observed, decided and booked."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pointsman.envs.checks import number
from pointsman.envs.cluster import kernel
from pointsman.envs.cluster.config import ClusterConfig
from pointsman.envs.cluster.params import params_from
from pointsman.envs.ledger import Kpi, Ratio
from pointsman.envs.problem import Field, Problem

SCHEMA = ClusterConfig

_RANGES = {
    "waiting": Field("waiting", "jobs"),
    "hidden": Field("hidden", "jobs"),
    "running": Field("running", "jobs"),
    "next_end": Field("next_end", "time"),
    "head_start": Field("head_start", "time"),
    "free": Field("free", "share", 0.0, 1.0),
    "spare": Field("spare", "share", 0.0, 1.0),
    "hidden_work": Field("hidden_work", "time of the whole cluster"),
    "running_work": Field("running_work", "time of the whole cluster"),
    "clock": Field("clock", "time"),
    "present": Field("present", "indicator", 0.0, 1.0),
    "fits": Field("fits", "indicator", 0.0, 1.0),
    "passes": Field("passes", "indicator", 0.0, 1.0),
    "age": Field("age", "time"),
    "estimate": Field("estimate", "time"),
    "area": Field("area", "time of the whole cluster"),
    "log_area": Field("log_area", "", -float("inf")),
    "share": Field("share", "share", 0.0, 1.0),
    "user_share": Field("user_share", "share", 0.0, 1.0),
}


def build(config: Mapping[str, Any]) -> Problem:
    """A problem from a plain, complete configuration (ClusterConfig as a dict)."""
    params, resources = params_from(config)
    context, candidate = kernel.observation_names(params, resources)
    span = float(np.diff(params.trace[[params.stretch[0], params.last - 1], kernel.SUBMITTED])[0]) if params.last else 0.0
    return Problem(
        id=config["id"],
        config=config,
        kernel=kernel,
        params=params,
        allocate=lambda n: kernel.allocate(params, n, config["queue_size"]),
        observation=_fields(context),
        actions=(*[f"start job {m}" for m in range(params.window)], "wait"),
        columns=tuple(kernel.ledger_columns(resources)),
        prices=config["prices"],
        kpis=_kpis(resources),
        demand="arrived",
        demand_unit="job",
        time_unit="second" if params.last else "unit of time",
        horizon=params.horizon if np.isfinite(params.horizon) else span,
        warmup=number("warmup_time", config["warmup_time"]),
        candidates=_fields(candidate),
        window=params.window,
    )


def _fields(names: list[str]) -> tuple[Field, ...]:
    ranges = [_RANGES[name.split("/")[0]] for name in names]
    return tuple(Field(name, f.unit, f.low, f.high) for name, f in zip(names, ranges, strict=True))


def _kpis(resources: list[str]) -> dict[str, Kpi]:
    """Key figures; waits in the unit of time."""
    found: dict[str, Kpi] = {
        "mean_wait": Ratio(("start_wait",), ("started",), "", "of jobs that have started"),
        "bounded_slowdown": Ratio(("bounded_slowdown",), ("started",), "", "of jobs that have started"),
        "waiting_jobs": Ratio(("waiting_time",), ("time",), "", "mean number in the queue"),
        "done": Ratio(("done",), ("time",), "", "jobs per unit of time"),
    }
    used = {name: (f"used_time/{name}", f"idle_time/{name}") for name in resources}
    return found | {f"used_{name}": Ratio(both[:1], both, "", "share of its units") for name, both in used.items()}
