"""From a configuration of request dispatch to the kernel's parameters; every check names the key at fault."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from pointsman.envs.checks import cumulative, number, numbers, require
from pointsman.envs.dispatch.kernel import BUCKETS, UNLIMITED, Params
from pointsman.errors import PointsmanError, unknown

WEEK_HOURS = 168


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
    staff = [_staff(f"teams.{name}.staff", teams[name]["staff"]) for name in team_names]
    hours = max(len(row) for row in staff)
    limits = [teams[name]["queue_limit"] for name in team_names]
    bounce = config["bounce_team"] or team_names[0]
    if bounce not in teams:
        raise unknown("team in bounce_team:", bounce, team_names)
    automation = config["automation"]
    capacity = automation["capacity"]
    start = config["start_minute"]
    return Params(
        arrival_rate=arrival_rate,
        switching_rate=switching_rate,
        slot_minutes=60.0,
        class_cumulative=_class_mix(config, names),
        **_scores(config["score"], names),
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
        automation_capacity=UNLIMITED if capacity is None else int(number("automation.capacity", capacity)),
        latency=number("automation.latency_minutes", automation["latency_minutes"]),
        bounce_team=np.full(len(names), team_names.index(bounce)),
        staff=np.array([np.resize(row, hours) for row in staff]),
        queue_limit=np.array(
            [
                UNLIMITED if limit is None else int(number(f"teams.{name}.queue_limit", limit))
                for name, limit in zip(team_names, limits, strict=True)
            ]
        ),
        bucket_edge=np.concatenate([[0.0, 0.0], 0.1 * 1.6 ** np.arange(BUCKETS - 2)]),
        horizon=number("horizon_minutes", config["horizon_minutes"], strict=True),
        start=-1.0 if start is None else number("start_minute", start),
        trace=_trace(config["trace"], names),
        regime_observed=config["regime_observed"],
    )


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


def _staff(key: str, given: Any) -> np.ndarray:
    return numbers(key, given, WEEK_HOURS) if isinstance(given, list) else np.array([number(key, given)])


def _scores(config: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """The classifier's part of Params."""
    bins, auc = config["bins_easy_probability"], config["auc"]
    require((bins is None) != (auc is None), "score", "given by either bins_easy_probability or auc", "both or neither")
    if bins is not None:
        easy = numbers("score.bins_easy_probability", bins, high=1)
        weight = numbers("score.bins_weight", config["bins_weight"], len(easy))
        return {
            "bin_score": easy, "bin_easy": easy, "bin_cumulative": cumulative("score.bins_weight", weight),
            "easy_share": np.full(len(names), 0.5), "separation": 0.0, "overconfidence": 1.0,
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
        # Two normals of equal variance, d apart, have the area Phi(d / sqrt 2) under the ROC curve.
        "separation": math.sqrt(2.0) * float(norm.ppf(auc)),
        "overconfidence": number("score.overconfidence", config["overconfidence"]),
    }  # fmt: skip


def _trace(path: str | None, names: list[str]) -> np.ndarray:
    """Recorded arrivals [T, 4] in time order: minute, class, handling, patience; NaN where the record is silent."""
    if path is None:
        return np.zeros((0, 4))
    if not Path(path).is_file():
        raise PointsmanError(f"trace: no file at {path}")
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
