"""Autoscaling as a Problem: names, units and ranges of what is observed, decided and booked."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.autoscaling import kernel
from pointsman.envs.autoscaling.config import AutoscalingConfig
from pointsman.envs.autoscaling.params import params_from
from pointsman.envs.checks import number
from pointsman.envs.ledger import Kpi, Ratio
from pointsman.envs.problem import Events, Field, Problem

SCHEMA = AutoscalingConfig

_RANGES = {
    "queue": Field("queue", "requests"),
    "ready": Field("ready", "replicas"),
    "starting": Field("starting", "replicas"),
    "backlog": Field("backlog", "replica minutes"),
    "delay": Field("delay", "minutes"),
    "day": Field("day", "", -1.0, 1.0),
    "week": Field("week", "", -1.0, 1.0),
    "profile": Field("profile", "replicas at work"),
    "smoothed": Field("smoothed", "replicas at work"),
    "forecast": Field("forecast", "replicas at work"),
    "spare": Field("spare", "replicas", -float("inf")),
    "load": Field("load", "replicas at work"),
    "replicas": Field("replicas", "replicas"),
    "measured": Field("measured", "replicas"),
    "utilisation": Field("utilisation", "share", 0.0, 1.0),
}

KPIS: dict[str, Kpi] = {
    "late": Ratio(("late",), ("arrived",), "", "requests that waited longer than the objective allows"),
    "mean_wait": Ratio(("waiting_minutes",), ("arrived",), "min", "before service (Little's law)"),
    "replicas": Ratio(("replica_hours",), ("hours",), "", "paid for, on average"),
    "utilisation": Ratio(("busy_hours",), ("replica_hours",), "", "of replicas paid for"),
    "starts_per_hour": Ratio(("starts",), ("hours",), "", "replicas started"),
    "changes_per_hour": Ratio(("scale_actions",), ("hours",), "", "decisions that changed something"),
    "late_minutes_per_hour": Ratio(("late_minutes",), ("hours",), "min", "in which some request was late"),
    "lost": Ratio(("lost",), ("arrived",), "", "met a full system"),
}


def build(config: Mapping[str, Any]) -> Problem:
    """A problem from a plain, complete configuration (AutoscalingConfig as a dict)."""
    params = params_from(config)
    names = kernel.observation_names(params)
    ranges = [_RANGES[name.split("_")[0]] for name in names]
    changes = range(-params.max_change, params.max_change + 1)
    return Problem(
        id=config["id"],
        config=config,
        kernel=kernel,
        params=params,
        allocate=lambda n: kernel.allocate(params, n),
        observation=tuple(Field(name, f.unit, f.low, f.high) for name, f in zip(names, ranges, strict=True)),
        actions=tuple(f"{by:+d}" if by else "hold" for by in changes),
        columns=kernel.COLUMNS,
        prices=config["prices"],
        kpis=KPIS,
        demand="arrived",
        demand_unit="request",
        time_unit="minute",
        horizon=params.horizon,
        warmup=number("warmup_minutes", config["warmup_minutes"]),
        events=_events(params) if params.markov else None,
    )


def _events(params: kernel.Params) -> Events:
    """What may happen at the end of a step: an arrival, a completion or a start-up at each of the replicas."""
    replicas = params.most
    rates = np.array([params.rate[0]] + [1.0 / params.service] * replicas + [1.0 / params.start] * replicas)
    probability = rates * params.control
    middle = probability.cumsum() - probability / 2

    def fill(record: kernel.Record, rows: NDArray[np.int64], which: NDArray[np.int64]) -> None:
        record.event[rows] = middle[which]

    return Events(lambda state: np.broadcast_to(probability, (len(state.clock), len(probability))), fill)
