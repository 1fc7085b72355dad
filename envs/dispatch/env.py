"""Request dispatch as a Problem: names, units and ranges of what is observed, decided and booked."""

from collections.abc import Mapping
from typing import Any

from pointsman.envs.checks import number
from pointsman.envs.dispatch import kernel
from pointsman.envs.dispatch.config import DispatchConfig
from pointsman.envs.dispatch.params import params_from
from pointsman.envs.dispatch.render import render
from pointsman.envs.ledger import Kpi, Percentile, Ratio
from pointsman.envs.problem import Field, Problem

SCHEMA = DispatchConfig

_RANGES = {
    "score": Field("score", "probability", 0.0, 1.0),
    "class": Field("class", "indicator", 0.0, 1.0),
    "pickup": Field("pickup", "indicator", 0.0, 1.0),
    "place": Field("place", "probability", 0.0, 1.0),
    "in_service": Field("in_service", "requests"),
    "waiting": Field("waiting", "requests"),
    "on_duty": Field("on_duty", "people"),
    "in_automation": Field("in_automation", "requests"),
    "outage": Field("outage", "indicator", 0.0, 1.0),
    "regime": Field("regime", "index"),
    "hour_of_week": Field("hour_of_week", "hours", 0.0, 168.0),
    "hour_sine": Field("hour_sine", "", -1.0, 1.0),
    "hour_cosine": Field("hour_cosine", "", -1.0, 1.0),
}


def build(config: Mapping[str, Any]) -> Problem:
    """A problem from a plain, complete configuration (DispatchConfig as a dict)."""
    params = params_from(config)
    classes, teams = list(config["classes"]), list(config["teams"])
    places = 1 if params.latency == 0 else min(params.automation_capacity, config["automation_size"])
    names = kernel.observation_names(params, classes, teams)
    ranges = [_RANGES[name.split("/")[0].rstrip("_0123456789")] for name in names]
    return Problem(
        id=config["id"],
        config=config,
        kernel=kernel,
        params=params,
        allocate=lambda n: kernel.allocate(params, n, config["queue_size"], max(places, 1)),
        observation=tuple(Field(name, f.unit, f.low, f.high) for name, f in zip(names, ranges, strict=True)),
        actions=("automation", *teams, *(("process", "forward") if params.pickup else ())),
        columns=tuple(kernel.ledger_columns(classes, teams, bool(params.rich))),
        prices=config["prices"],
        kpis=_kpis(params),
        demand="arrived",
        demand_unit="request",
        time_unit="minute",
        horizon=params.horizon,
        warmup=number("warmup_minutes", config["warmup_minutes"]),
        render=render,
    )


def _kpis(params: kernel.Params) -> dict[str, Kpi]:
    """Key figures; waits in minutes."""
    edges = tuple(params.bucket_edge)
    answered = ("answered", "abandoned")
    found: dict[str, Kpi] = {
        "service_level": Ratio(("answered_in_target",), answered, "", "answered in target; those who abandon count as missed"),
        "mean_wait": Ratio(("answer_wait_minutes",), ("answered",), "min", "average speed of answer"),
        "p50_wait": Percentile("wait_bucket", edges, 0.50, "min", "of those answered"),
        "p95_wait": Percentile("wait_bucket", edges, 0.95, "min", "of those answered"),
        "abandonment": Ratio(("abandoned",), ("human_entries",), "", "of those who join a team"),
        "occupancy": Ratio(("busy_minutes",), ("paid_minutes",), "", "busy of paid staff time"),
        "automation_rate": Ratio(("automated",), ("arrived",), "", "solved by automation"),
        "bounce_rate": Ratio(("bounces",), ("automation_attempts",), "", "of automation's attempts"),
        "turned_away": Ratio(("turned_away",), ("arrived",), "", "met a full queue"),
    }
    if params.unnoticed > 0:
        found["undetected_errors"] = Ratio(("undetected_errors",), ("automation_attempts",), "", "of automation's attempts")
    if params.pickup:
        found["forwarded"] = Ratio(("forwards",), ("answered",), "", "by the person who had picked the request up")
    return found
