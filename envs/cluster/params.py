"""From a configuration of a cluster to the kernel's parameters; every check names the key at fault."""

import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pointsman.envs.arrays import Floats
from pointsman.envs.checks import cumulative, number, numbers, require
from pointsman.envs.cluster import swf
from pointsman.envs.cluster.kernel import SUBMITTED, TRACE
from pointsman.envs.cluster.state import Params
from pointsman.errors import PointsmanError, unknown


def params_from(config: Mapping[str, Any]) -> tuple[Params, list[str]]:
    """The kernel's parameters and the names of the resources."""
    traced = config["trace"] is not None
    for key in ("arrival_rate", "classes"):
        given = config[key] not in (None, {})
        require(given != traced, key, "left out beside a trace" if traced else "given, or else a trace", config[key])
    trace = traced_jobs(config) if traced else None
    resources = _resources(config["resources"], trace)
    names, capacity = list(resources), np.array([float(units) for units in resources.values()])
    classes = _classes(config["classes"], resources, config["time_step"]) if trace is None else _no_classes(len(names))
    rate = 0.0 if trace is not None else number("arrival_rate", config["arrival_rate"], strict=True)
    tick, log_miss = 0.0, 0.0
    if config["time_step"] and trace is None:
        tick = 1.0 / max(math.ceil(rate), 1)
        log_miss = math.log1p(-rate * tick) if rate * tick < 1.0 else -math.inf
    horizon = config["horizon_time"]
    require(horizon is not None or trace is not None, "horizon_time", "given where jobs are drawn", horizon)
    until = math.inf if horizon is None else number("horizon_time", horizon, strict=True)
    for key in ("window", "queue_size", "users"):
        require(config[key] >= 1, key, "at least 1", config[key])
    factor = number("duration_factor", config["duration_factor"], strict=True)
    speed = number("trace_speed", config["trace_speed"], strict=True)
    whole = not config["time_step"] or factor == math.floor(factor)
    require(whole, "duration_factor", "a whole number with time_step", factor)
    table = np.zeros((0, TRACE + len(names)))
    if trace is not None:
        times = trace.submit / speed, trace.run * factor, trace.estimate * factor
        table = np.column_stack([*times, trace.user, trace.size])
    first, last = _part(config, table[:, SUBMITTED], until)
    return Params(
        kinds=(0,) * len(names),
        capacity=capacity,
        unit=1.0 / capacity,
        rate=rate,
        tick=tick,
        log_miss=log_miss,
        class_cumulative=classes[0],
        duration=classes[1] * factor,
        demand=classes[2],
        dominant=classes[3],
        slack=number("estimate_slack", config["estimate_slack"]),
        trace=np.ascontiguousarray(table),
        stretch=first,
        last=last,
        users=int(trace.user.max()) + 1 if trace is not None else config["users"],
        window=config["window"],
        clock_shown=config["clock_shown"],
        floor=number("slowdown_floor", config["slowdown_floor"], strict=True),
        horizon=until,
    ), names


def traced_jobs(config: Mapping[str, Any]) -> swf.Trace:
    """The trace of a configuration, or an error that says where it was looked for and how to get it."""
    path = Path(config["trace_folder"] or ".").expanduser() / Path(config["trace"]).expanduser()
    if not path.is_file():
        how = f"; {config['trace_source']}" if config["trace_source"] else ""
        raise PointsmanError(
            f"trace: no file {path.name} in {path.parent.absolute()}{how}; "
            "then set env.trace_folder=<its folder>, or env.trace=<its path>"
        )
    resources = config["resources"]
    return _read(path, next(iter(resources.values())) if resources else None, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read(path: Path, processors: int | None, version: int) -> swf.Trace:
    del version  # of the file: a changed one is read again
    return swf.read(path, processors)


def _resources(given: Any, trace: swf.Trace | None) -> dict[str, int]:
    """Units by resource, as given or as the trace's header has them."""
    if not given:
        require(trace is not None, "resources", "given where jobs are drawn", given)
        assert trace is not None
        require(trace.processors > 0, "resources", "given: the trace's header does not say how large the cluster is", given)
        return {"processors": trace.processors}
    require(trace is None or len(given) == 1, "resources", "one beside a trace, whose jobs take processors only", given)
    for name, units in given.items():
        require(units >= 1, f"resources.{name}", "at least 1", units)
    return dict(given)


def _range(key: str, given: Any, low: float, most: float = math.inf, whole: bool = True) -> Floats:
    """A range [from, to]."""
    found = numbers(key, given, 2, low=low)
    require(bool(found[0] <= found[1]), key, "a range [from, to]", given)
    require(not whole or bool((found == np.floor(found)).all()), key, "a range of whole numbers", given)
    require(bool(found[1] <= most), key, f"at most the {most:g} units of the cluster", given)
    return found


def _classes(given: Mapping[str, Any], resources: Mapping[str, int], steps: bool) -> tuple[Floats, Floats, Floats, Floats]:
    """Cumulative shares, and ranges of durations and of units."""
    share = np.array([number(f"classes.{name}.share", one["share"]) for name, one in given.items()])
    duration, demand, dominant = _no_classes(len(resources), len(given))[1:]
    for c, (name, one) in enumerate(given.items()):
        duration[c] = _range(f"classes.{name}.duration", one["duration"], 1.0 if steps else 1e-9, whole=steps)
        for resource, units in one["demand"].items():
            if resource not in resources:
                raise unknown(f"resource in classes.{name}.demand:", resource, resources)
            k = list(resources).index(resource)
            demand[c, k] = _range(f"classes.{name}.demand.{resource}", units, 0.0, resources[resource])
        if one["dominant"] is not None:
            dominant[c] = _range(f"classes.{name}.dominant", one["dominant"], 1.0, min(resources.values()))
        needs = demand[c, :, 0].max() >= 1 or dominant[c, 0] >= 1
        require(bool(needs), f"classes.{name}.demand", "at least 1 unit of some resource", one["demand"])
    return cumulative("classes.*.share", share), duration, demand, dominant


def _no_classes(resources: int, classes: int = 1) -> tuple[Floats, Floats, Floats, Floats]:
    return np.ones(classes), np.ones((classes, 2)), np.zeros((classes, resources, 2)), np.zeros((classes, 2))


def _part(config: Mapping[str, Any], submitted: Floats, until: float) -> tuple[Any, int]:
    """Rows at which an episode may begin, first and last + 1, and the row after the last that it may use."""
    if len(submitted) == 0:
        require(not config["stretches"], "stretches", "false without a trace", True)
        return np.zeros(2, np.int64), 0
    share = numbers("trace_part", config["trace_part"], 2, high=1.0)
    first, last = (int(round(one * len(submitted))) for one in share)
    require(last > first, "trace_part", "shares of the jobs from which on and up to which, such as [0.7, 1.0]", share.tolist())
    if not config["stretches"]:
        return np.array([first, first + 1]), last
    require(math.isfinite(until), "horizon_time", "given with stretches", None)
    # A stretch ends before the part does.
    beginnings = int(np.searchsorted(submitted[first:last], submitted[last - 1] - until, side="right"))
    require(beginnings > 0, "horizon_time", "shorter than that part of the trace", until)
    return np.array([first, first + beginnings]), last
