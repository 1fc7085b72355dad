"""Checks an autoscaling configuration and turns it into the kernel's Params."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pointsman.envs.autoscaling import trace
from pointsman.envs.autoscaling.kernel import DAY, Params
from pointsman.envs.checks import UNLIMITED, number, numbers, require, whole

MODELS = ("flow", "markov")
SINE_SLOT = 5.0


def params_from(config: Mapping[str, Any]) -> Params:
    """The kernel's parameters; errors name the key."""
    markov = config["model"] == "markov"
    require(config["model"] in MODELS, "model", " or ".join(MODELS), config["model"])
    least, most, k = (whole(key, config[key], low) for key, low in (("min_replicas", 0), ("max_replicas", 1), ("max_change", 1)))
    require(least < most, "min_replicas", f"below max_replicas, {most}", least)
    initial = config["initial_replicas"]
    if initial is not None:
        require(least <= whole("initial_replicas", initial) <= most, "initial_replicas", f"from {least} to {most}", initial)
    service = number("service_minutes", config["service_minutes"], strict=True)
    start = number("start_minutes", config["start_minutes"], strict=markov)
    factor = number("demand_factor", config["demand_factor"])
    arrival = number("arrival_rate", config["arrival_rate"], strict=True)
    ticks, history = (whole(key, config[key], 1) for key in ("ticks", "history"))
    if markov:
        for key in ("hourly_rates", "bursts.every_minutes", "trace.file"):
            first, *rest = key.split(".")
            require((config[first][rest[0]] if rest else config[first]) is None, key, "null with model=markov", "a value")
        control, ticks = 1.0 / (factor * arrival + most / service + most / start), 1
    else:
        control = number("control_minutes", config["control_minutes"], strict=True)
    tick, slo = control / ticks, number("slo_minutes", config["slo_minutes"])
    lag = round(slo / tick)
    require(markov or abs(lag * tick - slo) < 1e-9, "slo_minutes", f"a multiple of a tick, {tick:g}", slo)
    limit = config["queue_limit"]
    require(limit is None or markov, "queue_limit", "null with model=flow", limit)
    horizon = number("horizon_minutes", config["horizon_minutes"], low=control)
    minute, recorded = config["start_minute"], config["trace"]["file"] is not None
    smooth = number("smooth_minutes", config["smooth_minutes"], strict=True)
    demand = _demand(config, arrival, tick, horizon)
    demand |= {"rate": factor * demand["rate"], "recorded": factor * demand["recorded"]}
    return Params(
        markov=markov,
        **demand,
        start_minute=-1.0 if minute is None else number("start_minute", minute, high=DAY - 1e-9),
        **_bursts(config["bursts"] | ({"every_minutes": None} if recorded else {}), control),
        **_noise(config["noise"] | ({"cv": 0.0} if recorded else {}), control),
        service=service,
        service_cv=number("service_cv", config["service_cv"]),
        start=start,
        start_spread=number("start_spread_minutes", config["start_spread_minutes"]),
        control=control,
        tick=tick,
        ticks=ticks,
        lag=0 if markov else lag,
        slo=slo,
        queue_limit=UNLIMITED if limit is None else whole("queue_limit", limit, 1),
        least=least,
        most=most,
        initial=-1 if initial is None else initial,
        max_change=k,
        history=history,
        ages=whole("ages", config["ages"], 1),
        smooth=1.0 - math.exp(-control / smooth),
        horizon=horizon,
    )


def _demand(config: Mapping[str, Any], arrival: float, tick: float, horizon: float) -> dict[str, Any]:
    """Tables of the rate, of what is recorded exactly, and of the profile; and the days on which episodes begin."""
    given, nothing = config["trace"], np.zeros((0, 2))
    found: dict[str, Any] = {"recorded": nothing, "start_first": 0.0, "start_days": 1}
    if config["model"] == "markov":
        rate = np.array([arrival])
        return found | {"rate": rate, "slot": DAY, "profile": rate, "profile_slot": DAY}
    if given["file"] is not None:
        return found | _recorded(given, tick, horizon, arrival, float(config["service_minutes"]))
    if config["hourly_rates"] is not None:
        rate, slot = numbers("hourly_rates", config["hourly_rates"]), 60.0
        require(len(rate) in (24, 168), "hourly_rates", "24 or 168 numbers", f"{len(rate)} of them")
        found["start_days"] = len(rate) // 24
    else:
        middle, slot = np.arange(SINE_SLOT / 2, DAY, SINE_SLOT), SINE_SLOT
        peak = number("peak_minute", config["peak_minute"], high=DAY)
        amplitude = number("amplitude", config["amplitude"], high=1.0)
        rate = arrival * (1.0 + amplitude * np.cos(2 * np.pi * (middle - peak) / DAY))
    bursts = config["bursts"]
    share = 0.0
    if bursts["every_minutes"] is not None:
        last = number("bursts.last_minutes", bursts["last_minutes"], strict=True)
        share = last / (last + number("bursts.every_minutes", bursts["every_minutes"], strict=True))
    profile = rate * (1.0 + share * (number("bursts.factor", bursts["factor"]) - 1.0))
    return found | {"rate": rate, "slot": slot, "profile": profile, "profile_slot": slot}


def _recorded(given: dict[str, Any], tick: float, horizon: float, arrival: float, service: float) -> dict[str, Any]:
    """Tables of a recording. Single requests, of which there is no more than an hour, have no profile but arrival_rate."""
    recording = trace.read(given, tick)
    size = len(recording.counts)
    if recording.exact:
        begin = number("trace.begin_minute", given["begin_minute"])
        require(begin + horizon <= size * tick, "horizon_minutes", f"within the recording, {size * tick:g} minutes", horizon)
        mean = np.array([arrival])
        return {
            "recorded": np.stack([recording.counts, recording.work * service], 1), "rate": mean, "slot": DAY, "profile": mean,
            "profile_slot": DAY, "start_first": begin, "start_days": 1,
        }  # fmt: skip
    slot = float(given["slot_minutes"])
    per_day = DAY / slot
    require(per_day == int(per_day), "trace.slot_minutes", "a divisor of a day", slot)
    first, last = _days("trace.days", given["days"], size / per_day)
    known = _days("trace.profile_days", given["profile_days"], size / per_day) if given["profile_days"] else (first, last)
    period = int(per_day) * (7 if given["weekly"] else 1)
    place, chosen = np.arange(size), slice(known[0] * int(per_day), (known[1] + 1) * int(per_day))
    weight = np.bincount(place[chosen] % period, minlength=period)
    require(bool((weight > 0).all()), "trace.profile_days", "days that hold a whole week", list(known))
    profile = np.bincount(place[chosen] % period, recording.counts[chosen], period) / weight
    return {
        "rate": recording.counts / slot, "slot": slot, "profile": profile / slot, "profile_slot": slot,
        "start_first": first * DAY, "start_days": last - first + 1,
    }  # fmt: skip


def _days(key: str, given: Any, size: float) -> tuple[int, int]:
    """First and last day; by default all that are complete."""
    if given is None:
        return 0, max(int(size) - 1, 0)
    good = len(given) == 2 and 0 <= given[0] <= given[1] < math.ceil(size)
    require(good, key, f"[first, last] day of the {math.ceil(size)} from 0 on", given)
    return given[0], given[1]


def _bursts(bursts: Mapping[str, Any], control: float) -> dict[str, Any]:
    every = bursts["every_minutes"]
    chance = 0.0 if every is None else 1.0 - math.exp(-control / number("bursts.every_minutes", every, strict=True))
    rise = number("bursts.rise_minutes", bursts["rise_minutes"])
    return {
        "burst_in": chance,
        "burst_out": 1.0 - math.exp(-control / number("bursts.last_minutes", bursts["last_minutes"], strict=True)),
        "burst_factor": number("bursts.factor", bursts["factor"]),
        "burst_step": 1.0 if rise == 0 else 1.0 - math.exp(-control / rise),
    }


def _noise(noise: Mapping[str, Any], control: float) -> dict[str, Any]:
    return {
        "noise_keep": math.exp(-control / number("noise.minutes", noise["minutes"], strict=True)),
        "noise_std": math.sqrt(math.log1p(number("noise.cv", noise["cv"]) ** 2)),
    }
