"""From a configuration of request dispatch to the kernel's parameters; every check names the key at fault."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from pointsman.envs.checks import UNLIMITED, cumulative, number, numbers, require, whole
from pointsman.envs.dispatch.kernel import BUCKETS, RICH, Params
from pointsman.errors import PointsmanError, unknown

WEEK_HOURS = 168
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def params_from(config: Mapping[str, Any]) -> Params:
    """The kernel's parameters of a plain configuration (DispatchConfig as a dict); errors name the key."""
    classes, teams = config["classes"], config["teams"]
    require(len(classes) > 0, "classes", "at least one class of requests", dict(classes))
    require(len(teams) > 0, "teams", "at least one team", dict(teams))
    names, team_names = list(classes), list(teams)
    for key in ("queue_size", "automation_size"):
        number(key, config[key], low=1)
    arrival_rate, switching_rate = _arrivals(config)
    handling, sigma = zip(*(_handling(f"classes.{name}", classes[name]) for name in names), strict=True)
    patience = [classes[name]["patience_minutes"] for name in names]
    staff, parts = staffing(teams)
    effort = np.array([_effort(f"teams.{name}.speed", teams[name]["speed"], names) for name in team_names])
    limits = [teams[name]["queue_limit"] for name in team_names]
    automation = config["automation"]
    capacity = automation["capacity"]
    start = config["start_minute"]
    pickup, places = config["pickup_decisions"], whole("places_shown", config["places_shown"])
    require(pickup or not places, "places_shown", "0 without pickup_decisions", places)
    require(places <= config["queue_size"], "places_shown", f"at most queue_size, {config['queue_size']}", places)
    scores, outage = _scores(config["score"], names), _outage(automation["outages"])
    unnoticed = number("automation.unnoticed_failures", automation["unnoticed_failures"], high=1)
    rich = pickup or unnoticed > 0 or outage[0] < math.inf or scores["drift"][0] < 1 or bool(set(RICH) & set(config["prices"]))
    for name in team_names:
        taken = ("automation", *(("process", "forward") if pickup else ()))
        require(name not in taken, "teams", f"named otherwise than actions ({', '.join(taken)})", name)
    return Params(
        arrival_rate=_finer(arrival_rate, parts),
        switching_rate=switching_rate,
        slot_minutes=60.0 / parts,
        class_cumulative=np.ascontiguousarray(_finer(_class_mix(config, names).T, parts).T),
        **scores,
        handling=np.array(handling),
        handling_sigma=np.array(sigma),
        patience=np.array(
            [
                math.inf if minutes is None else number(f"classes.{name}.patience_minutes", minutes, strict=True)
                for name, minutes in zip(names, patience, strict=True)
            ]
        ),
        target=np.array([number(f"classes.{name}.target_minutes", classes[name]["target_minutes"]) for name in names]),
        success=np.array([number(f"automation.{key}", automation[key], high=1) for key in ("success_hard", "success_easy")]),
        automation_capacity=UNLIMITED if capacity is None else whole("automation.capacity", capacity),
        latency=number("automation.latency_minutes", automation["latency_minutes"]),
        unnoticed=unnoticed,
        outage=outage,
        bounce_team=_bounce_team(config["bounce_team"], names, team_names, effort),
        bounce_effort=number("automation.bounce_handling_factor", automation["bounce_handling_factor"], strict=True),
        effort=effort,
        staff=staff,
        queue_limit=np.array(
            [
                UNLIMITED if limit is None else whole(f"teams.{name}.queue_limit", limit)
                for name, limit in zip(team_names, limits, strict=True)
            ]
        ),
        bucket_edge=np.concatenate([[0.0, 0.0], 0.1 * 1.6 ** np.arange(BUCKETS - 2)]),
        horizon=number("horizon_minutes", config["horizon_minutes"], strict=True),
        start=-1.0 if start is None else number("start_minute", start),
        trace=_trace(config["trace"], names),
        regime_observed=config["regime_observed"],
        rich=(True,) if rich else (),
        pickup=pickup,
        forward_minutes=number("forward_minutes", config["forward_minutes"]),
        places_shown=places,
    )


def _finer(by_hour: np.ndarray, parts: int) -> np.ndarray:
    """Hourly columns [..., 168] as columns by part of an hour; a single column stands for all of them anyway."""
    return np.repeat(by_hour, parts, -1) if by_hour.shape[-1] > 1 else by_hour


def _arrivals(config: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Arrival rates [R, H] and switching rates [R]."""
    sources = ("arrival_rate", "arrival_rates", "hourly_arrival_rates", "trace")
    given = [key for key in sources if config[key] is not None]
    require(len(given) == 1, "arrivals", f"exactly one of {', '.join(sources)}", f"{', '.join(given) or 'none'}")
    still = np.zeros(1)
    if given == ["arrival_rate"]:
        return np.array([[number("arrival_rate", config["arrival_rate"], strict=True)]]), still
    if given == ["arrival_rates"]:
        rates = numbers("arrival_rates", config["arrival_rates"])
        require(rates.max() > 0, "arrival_rates", "positive in some regime", rates.tolist())
        switching = numbers("switching_rates", config["switching_rates"], len(rates), strict=True)
        return rates[:, None], switching
    if given == ["hourly_arrival_rates"]:
        rates = numbers("hourly_arrival_rates", config["hourly_arrival_rates"], WEEK_HOURS)
        require(rates.max() > 0, "hourly_arrival_rates", "positive in some hour", "zeros")
        return rates[None, :], still
    return np.zeros((1, 1)), still


def _class_mix(config: Mapping[str, Any], names: list[str]) -> np.ndarray:
    """Cumulative class shares [H, K]."""
    hourly = config["hourly_class_shares"]
    if hourly is None:
        shares = [number(f"classes.{name}.share", config["classes"][name]["share"]) for name in names]
        return cumulative("classes.*.share", np.array([shares]))
    require(set(hourly) == set(names), "hourly_class_shares", f"given for the classes {', '.join(names)}", ", ".join(hourly))
    shares_by_hour = [numbers(f"hourly_class_shares.{name}", hourly[name], WEEK_HOURS) for name in names]
    return cumulative("hourly_class_shares", np.array(shares_by_hour).T)


def _handling(key: str, config: Mapping[str, Any]) -> tuple[np.ndarray, float]:
    """Means (exponential: sigma 0) or medians (lognormal) [hard, easy], and sigma."""
    given, cv = config["handling_minutes"], config["handling_cv"]
    means = given if isinstance(given, dict) else {"easy": given, "hard": given}
    require(set(means) == {"easy", "hard"}, f"{key}.handling_minutes", "a number, or {easy: , hard: }", given)
    values = np.array([number(f"{key}.handling_minutes.{kind}", means[kind], strict=True) for kind in ("hard", "easy")])
    if cv is None:
        return values, 0.0
    variance = math.log1p(number(f"{key}.handling_cv", cv, strict=True) ** 2)
    return values * math.exp(-variance / 2), math.sqrt(variance)


def staffing(teams: Mapping[str, Any]) -> tuple[np.ndarray, int]:
    """Staff [J, H] and the number of parts into which shifts divide the hour: 1, 2 or 4."""
    rows, edges = [], []
    for name, team in teams.items():
        key, given, shifts = f"teams.{name}", team["staff"], team["shifts"]
        require(given is None or shifts is None, key, "given either staff or shifts", "both")
        if shifts is not None:
            require(len(shifts) > 0, f"{key}.shifts", "a list of at least one shift", shifts)
            rows.append(np.zeros(4 * WEEK_HOURS))
            for k, shift in enumerate(shifts):
                edges += _add_shift(f"{key}.shifts[{k}]", shift, rows[-1])
        elif isinstance(given, list):
            rows.append(np.repeat(numbers(f"{key}.staff", given, WEEK_HOURS), 4))
        else:
            rows.append(np.array([1.0 if given is None else number(f"{key}.staff", given)]))
    finest = np.gcd.reduce([60, *edges])
    quarters = max(len(row) for row in rows)
    every = max(int(finest) // 15, 1) if quarters > 1 else 1
    return np.array([np.resize(row, quarters)[::every] for row in rows]), 60 // int(finest)


def _add_shift(key: str, shift: Mapping[str, Any], row: np.ndarray) -> list[int]:
    """Add a shift's people to a week of quarters of an hour; returns its edges in minutes of the day."""
    days: set[int] = set()
    for part in str(shift["days"]).split(","):
        ends = [DAYS.index(day.strip()) if day.strip() in DAYS else -1 for day in part.lower().split("-")]
        require(len(ends) in (1, 2) and min(ends) >= 0, f"{key}.days", f"days or ranges of {', '.join(DAYS)}", shift["days"])
        days |= {(ends[0] + k) % 7 for k in range((ends[-1] - ends[0]) % 7 + 1)}
    start, end = (_time_of_day(f"{key}.{side}", shift[side]) for side in ("start", "end"))
    people = number(f"{key}.staff", shift["staff"])
    quarters = np.arange(start // 15, (end if end > start else end + 1440) // 15)
    for day in days:
        row[(96 * day + quarters) % len(row)] += people
    return [start, end]


def _time_of_day(key: str, given: Any) -> int:
    """Minutes since midnight of 8:15 or "8:15" (which yaml may have read as a number to base 60, that is, in minutes)."""
    minutes = given
    if isinstance(given, str) and (found := re.fullmatch(r"(\d{1,2}):(\d\d)", given.strip())):
        minutes = 60 * int(found[1]) + int(found[2])
    good = isinstance(minutes, int) and not isinstance(minutes, bool) and 0 <= minutes <= 1440 and minutes % 15 == 0
    require(good, key, 'a time of day in quarters of an hour, such as "8:15"', given)
    return int(minutes)


def _effort(key: str, given: Any, names: list[str]) -> np.ndarray:
    """Minutes that a team takes for a minute of base handling, by class; infinite: it may not have that class."""
    speed = given if isinstance(given, dict) else dict.fromkeys(names, 1.0 if given is None else given)
    for name in speed:
        if name not in names:
            raise unknown(f"class in {key}:", name, names)
    row = [speed.get(name) for name in names]
    return np.array(
        [math.inf if v is None else 1.0 / number(f"{key}.{name}", v, strict=True) for name, v in zip(names, row, strict=True)]
    )


def _bounce_team(given: Any, names: list[str], teams: list[str], effort: np.ndarray) -> np.ndarray:
    """Index of the team that gets the bounces of each class."""
    chosen = given if isinstance(given, dict) else dict.fromkeys(names, given)
    for name in chosen:
        if name not in names:
            raise unknown("class in bounce_team:", name, names)
    found = []
    for k, name in enumerate(names):
        able = [team for j, team in enumerate(teams) if effort[j, k] < math.inf]
        require(len(able) > 0, "teams.*.speed", f"given for class {name} in some team", "null in all")
        team = able[0] if chosen.get(name) is None else str(chosen[name])
        if team not in teams:
            raise unknown("team in bounce_team:", team, teams)
        require(team in able, "bounce_team", f"a team that may have class {name} ({', '.join(able)})", team)
        found.append(teams.index(team))
    return np.array(found)


def _outage(given: Mapping[str, Any]) -> np.ndarray:
    """Mean minutes between outages and of an outage."""
    keys = ("every_minutes", "last_minutes")
    if given["every_minutes"] is None:
        return np.array([math.inf, number(f"automation.outages.{keys[1]}", given[keys[1]], strict=True)])
    return np.array([number(f"automation.outages.{key}", given[key], strict=True) for key in keys])


def _scores(config: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """The classifier's part of Params."""
    drift = config["drift"]
    times = [number(f"score.drift.{key}", drift[key]) for key in ("from_minute", "until_minute")]
    require(times[0] <= times[1], "score.drift.until_minute", f"at least from_minute, {times[0]:g}", times[1])
    drifts = np.array([number("score.drift.remains", drift["remains"], high=1), *times])
    bins, auc = config["bins_easy_probability"], config["auc"]
    require((bins is None) != (auc is None), "score", "given by either bins_easy_probability or auc", "both or neither")
    if bins is not None:
        easy = numbers("score.bins_easy_probability", bins, high=1)
        weight = numbers("score.bins_weight", config["bins_weight"], len(easy))
        return {
            "bin_score": easy, "bin_easy": easy, "bin_cumulative": cumulative("score.bins_weight", weight),
            "easy_share": np.full(len(names), 0.5), "easy_odds": np.zeros(len(names)), "separation": 0.0, "overconfidence": 1.0,
            "bin_mean": float(easy @ weight / weight.sum()), "drift": drifts,
        }  # fmt: skip
    auc = number("score.auc", auc, low=0.5)
    require(auc < 1, "score.auc", "below 1", auc)
    share = config["easy_share"]
    shares = share if isinstance(share, dict) else dict.fromkeys(names, share)
    require(set(shares) == set(names), "score.easy_share", f"a number, or one per class ({', '.join(names)})", share)
    for name in names:
        value = number(f"score.easy_share.{name}", shares[name], strict=True)
        require(value < 1, f"score.easy_share.{name}", "below 1", value)
    return {
        "bin_score": np.zeros(0), "bin_easy": np.zeros(0), "bin_cumulative": np.zeros(0),
        "easy_share": np.array([float(shares[name]) for name in names]),
        "easy_odds": np.array([math.log(shares[name] / (1.0 - shares[name])) for name in names]),
        # Two normals of equal variance, d apart, have the area Phi(d / sqrt 2) under the ROC curve.
        "separation": math.sqrt(2.0) * NormalDist().inv_cdf(auc),
        "overconfidence": number("score.overconfidence", config["overconfidence"]),
        "bin_mean": 0.0, "drift": drifts,
    }  # fmt: skip


def _trace(path: str | None, names: list[str]) -> np.ndarray:
    """Recorded arrivals [T, 4] in time order: minute, class, handling, patience; NaN where the record is silent."""
    if path is None:
        return np.zeros((0, 4))
    if not Path(path).is_file():
        raise PointsmanError(f"trace: no file at {path}")
    import pandas as pd  # here only: no other desk needs it, and it takes a fifth of a second

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False)
    except (ValueError, OSError) as error:  # pandas's own errors are ValueErrors
        raise PointsmanError(f"trace: {path} is not a CSV file: {' '.join(str(error).split())}") from None
    columns = ["arrival_minutes", "class", "handling_minutes", "patience_minutes"]
    if "arrival_minutes" not in table or len(table) == 0:
        raise PointsmanError(f"trace: {path} needs rows and a column arrival_minutes; it has {', '.join(table.columns)}")
    table = table.reindex(columns=columns, fill_value="")
    codes = {name: float(code) for code, name in enumerate(names)} | {"": math.nan}

    def good(rows: Any, column: str, wanted: str) -> None:
        for row in np.flatnonzero(~np.asarray(rows))[:1]:
            raise PointsmanError(f"trace {path}, line {row + 2}: {column} must be {wanted}, got '{table[column].iloc[row]}'")

    good(table["class"].isin(list(codes)), "class", f"among {', '.join(names)}")
    trace = np.full((len(table), 4), math.nan)
    trace[:, 1] = [codes[name] for name in table["class"]]
    for k in (0, 2, 3):
        values = pd.to_numeric(table[columns[k]], errors="coerce").to_numpy(np.float64)
        empty = (table[columns[k]] == "").to_numpy() & (k > 0)
        good(empty | (np.isfinite(values) & (values >= 0)), columns[k], "a number of at least 0")
        trace[:, k] = values
    good(np.diff(trace[:, 0], prepend=0.0) >= 0, "arrival_minutes", "in order of time")
    return trace
