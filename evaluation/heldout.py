"""Predicted against observed on a period held out of a calibration, with everyone to people; see `DEFINITIONS`."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pointsman.envs import build
from pointsman.envs.arrays import Floats
from pointsman.envs.dispatch import kernel
from pointsman.envs.dispatch.calibrate import (
    ENOUGH,
    Fit,
    handling_by_class,
    patience_by_class,
    round_to,
    simulate,
    trace,
    with_pause,
)
from pointsman.envs.dispatch.staffing import Period, minutes_since, presence, staff_by_slot, staffing, time_before
from pointsman.envs.problem import Problem
from pointsman.evaluation.rollout import EVALUATION

BAR = 0.15
"""Largest relative error, of the mean wait and of abandonment, of a prediction that passes."""
MEASURES = {"mean wait": (3, 0), "mean wait of the answered": (4, 1), "abandonment": (2, 0)}
"""Positions in calibrate.FAMILIES of what is divided by what."""
JUDGED = ("mean wait", "abandonment")
DEFINITIONS = """\
Everyone goes to people; automation is unused. *Mean wait*: all waiting over all arrivals, of those who were answered at
once and of those who abandoned too. *Mean wait of the answered*: their waiting over their number; requests handed over
count as answered. *Abandonment*: abandoned over arrivals. *By hour*: what happens between an arrival and the next belongs
to the hour of the former, in the log as in the simulation, and is divided by that hour's arrivals. Intervals are 95 %
prediction intervals: the 2.5th and 97.5th percentile of single simulated periods. Errors are relative to the observed."""


class Scenario(NamedTuple):
    """One way to predict the held-out period; totals [E, 24, FAMILIES, K] over E simulated periods."""

    name: str
    removes: str  # the assumption that it does without, in words; empty: none
    totals: Floats


def as_fitted(table: pd.DataFrame, classes: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """The table with classes that the fit has not met given to its largest class, and a note on each."""
    new = table["class"].where(~table["class"].isin(classes)).value_counts()
    notes = [f"{count} requests of class {name}, absent from the fit, are taken for {classes[0]}" for name, count in new.items()]
    return table.assign(**{"class": table["class"].where(table["class"].isin(classes), classes[0])}), notes


def observe(table: pd.DataFrame, period: Period, classes: list[str]) -> Floats:
    """What `simulate` counts, of the recorded requests (in known classes): [24, FAMILIES, K]."""
    rows = period.of(table)
    start = minutes_since(rows["arrival"], period.monday)
    wait = rows["wait_minutes"].to_numpy(np.float64)
    kind = rows["class"].map({name: k for k, name in enumerate(classes)}).to_numpy(np.int64)
    gone = (rows["outcome"] == "abandoned").to_numpy()
    hour, after = (start // 60 % 24).astype(np.int64), np.append(start[1:], (start + wait).max() + 1)
    # The interval between arrivals in which a wait ends; one that ends at an arrival's own second belongs to that arrival.
    ended = hour[np.searchsorted(start, start + wait, "right") - 1]
    totals = np.zeros((24, 5, len(classes)))
    np.add.at(totals[:, 0], (hour, kind), 1.0)
    np.add.at(totals, (ended, np.where(gone, 2, 1), kind), 1.0)
    np.add.at(totals, (ended[~gone], 4, kind[~gone]), wait[~gone])
    for k in range(len(classes)):
        own = kind == k
        waited = time_before(start[own], (start + wait)[own], after) - time_before(start[own], (start + wait)[own], start)
        np.add.at(totals[:, 3, k], hour, waited)
    return totals


def measure(totals: Floats, name: str, by: str = "") -> Floats:
    """A measure from totals [..., 24, FAMILIES, K]: [...], or [..., 24] by hour, or [..., K] by class; NaN without any."""
    axes = {"": (-3, -1), "hour": (-1,), "class": (-3,)}[by]
    over, under = (totals[..., position, :] for position in MEASURES[name])
    axes = tuple(axis + (axis == -3) for axis in axes)
    over, under = over.sum(axes), under.sum(axes)
    return np.divide(over, under, out=np.full(over.shape, np.nan), where=under > 0)


def predictions(observed: Floats, scenarios: list[Scenario], classes: list[str]) -> pd.DataFrame:
    """Rows of scenario, removes, by, key, measure, arrivals, observed, predicted, low, high, error; waits in minutes."""
    hours = [f"{hour:02d}" for hour in range(24)]
    found = []
    for scenario in scenarios:
        for by, keys in (("", ["all"]), ("hour", hours), ("class", classes)):
            arrivals = observed[:, 0].sum(axis={"": None, "hour": 1, "class": 0}[by])
            for name in MEASURES:
                seen, each = measure(observed, name, by), measure(scenario.totals, name, by)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)  # an hour in which nobody ever arrives has no interval
                    bounds = np.nanquantile(each, [0.025, 0.975], axis=0)
                columns = (arrivals, seen, measure(scenario.totals.sum(0), name, by), *bounds)
                for key, *values in zip(keys, *(np.atleast_1d(column) for column in columns), strict=True):
                    found.append((scenario.name, scenario.removes, by or "overall", key, name, *map(float, values)))
    table = pd.DataFrame(
        found, columns=["scenario", "removes", "by", "key", "measure", "arrivals", "observed", "predicted", "low", "high"]
    )
    table["error"] = table["predicted"] / table["observed"].where(table["observed"] > 0) - 1
    return table


def _on(problem: Problem, **changes: Any) -> Problem:
    """The problem with other kernel parameters."""
    params = problem.params._replace(**changes)
    size = problem.config["queue_size"]
    return replace(problem, params=params, allocate=lambda n: kernel.allocate(params, n, size, 1))


def scenarios(
    fitted: Fit, table: pd.DataFrame, training: Period, heldout: Period, trace_csv: Path, weeks: int, seed: int,
    progress: Callable[[str], None] = lambda stage: None,
) -> list[Scenario]:  # fmt: skip
    """The forecast, the replay of the held-out arrivals, replays with an assumption removed, and two mechanism checks.

    The trace of the held-out period is written to `trace_csv`. All scenarios draw from the same counters.
    """
    assert fitted.presence is not None
    pause, held, base = fitted.presence.pause, heldout.of(table), fitted.config
    span = {"horizon_minutes": heldout.minutes, "start_minute": heldout.start_minute, "warmup_minutes": 0.0}
    trace(table, heldout, pause).to_csv(trace_csv, index=False)
    replayed = base | span | {"hourly_arrival_rates": None, "trace": str(trace_csv)}
    latest = Period(max(training.start, training.end - pd.Timedelta(days=7)), training.end)
    present = presence(held, heldout, fitted.tolerance)
    own_staff = {"teams": {"people": base["teams"]["people"] | {"staff": staffing(present, heldout).tolist()}}}
    own_handling = {"classes": _classes(base, held, pause)}
    patience = patience_by_class(held)
    own_patience = {name: values | {"patience_minutes": patience.get(name)} for name, values in base["classes"].items()}
    minutes = staff_by_slot(present, heldout, 1.0)
    by_minute = np.concatenate([np.zeros(int(heldout.start_minute)), minutes, minutes[-1:]])[None, :]
    silent = build(replayed).params.trace.copy()
    silent[:, 2] = np.nan
    recorded = build(replayed | own_staff)
    plans: list[tuple[str, str, Problem]] = [
        ("forecast", "", build(base | span)),
        ("replay", "", _on(build(replayed), trace=silent)),
    ]
    for name, removes, changes in (
        ("replay, handling of its own period", "handling times as in the fitted period", own_handling),
        (f"replay, handling of the latest fitted week ({latest})", "handling times that do not change over the fitted weeks",
         {"classes": _classes(base, latest.of(table), pause)}),
        ("replay, staffing of its own period", "staffing as in the fitted period", own_staff),
        ("replay, patience of its own period", "patience as in the fitted period", {"classes": own_patience}),
        ("replay, handling and staffing of its own period", "both handling times and staffing as in the fitted period",
         own_handling | own_staff),
    ):  # fmt: skip
        plans.append((name, removes, _on(build(replayed | changes), trace=silent)))
    plans.append(("check: each request's recorded handling, own staffing by hour", "", recorded))
    by_minute_check = _on(recorded, staff=by_minute, slot_minutes=1.0)
    plans.append(("check: each request's recorded handling, own staffing by minute", "", by_minute_check))
    found = []
    for name, removes, problem in plans:
        progress(name)
        found.append(Scenario(name, removes, simulate(problem, weeks, EVALUATION + seed)))
    return found


def _classes(base: Mapping[str, Any], rows: pd.DataFrame, pause: float) -> dict[str, Any]:
    """The classes of a config with the handling of other requests; a class that these lack keeps its own."""
    other = {name: with_pause(handling, pause) for name, handling in handling_by_class(rows).items()}
    changes = {
        name: {"handling_minutes": round_to(handling.mean), "handling_cv": round_to(handling.cv)}
        for name, handling in other.items()
    }
    return {name: values | changes.get(name, {}) for name, values in base["classes"].items()}


def errors(found: pd.DataFrame) -> pd.DataFrame:
    """Relative errors overall: a row per scenario with removes, the judged measures, and `worst`, the larger of the two."""
    overall = found[found["by"] == "overall"]
    wide = overall.pivot(index="scenario", columns="measure", values="error").reindex(overall["scenario"].unique())
    wide["removes"] = overall.groupby("scenario")["removes"].first()
    wide["worst"] = wide[list(JUDGED)].abs().max(axis=1)
    return wide


def conclusions(found: pd.DataFrame) -> list[str]:
    """What passes the bar, which assumption's removal closes the gap, and where the details are off, in plain words."""
    table, words = errors(found), []

    def off(name: str) -> str:
        return f"wait {100 * table.loc[name, 'mean wait']:+.0f} %, abandonment {100 * table.loc[name, 'abandonment']:+.0f} %"

    plain = {"forecast": "The forecast (nothing of the held-out period)", "replay": "The replay of its arrivals"}
    for name, what in plain.items():
        passes = table.loc[name, "worst"] <= BAR
        words.append(f"{what} {'is within' if passes else 'is NOT within'} {100 * BAR:.0f} % overall: {off(name)}.")
    singles = table[(table["removes"] != "") & ~table["removes"].str.startswith("both")].sort_values("worst")
    closing = singles[singles["worst"] <= BAR]
    if table.loc["replay", "worst"] > BAR:
        if closing.empty:
            best = str(table[table["removes"] != ""]["worst"].idxmin())
            how = "closes it" if table.loc[best, "worst"] <= BAR else "comes closest"
            words.append(f"No single assumption closes the gap; without {table.loc[best, 'removes']} {how} ({off(best)}).")
        else:
            listed = "; ".join(f"{row.removes} ({off(str(name))})" for name, row in closing.iterrows())
            words.append(f"The replay's gap closes if one assumption is removed, the best first: {listed}.")
    if table.loc["forecast", "worst"] <= BAR < table.loc["replay", "worst"]:
        words.append(
            "The forecast owes its pass to errors that cancel: with the held-out arrivals, and all else as fitted, it fails."
        )
    for by, label in (("class", "By class"), ("hour", "By hour")):
        for name in JUDGED:
            rows = found[(found["scenario"] == "forecast") & (found["by"] == by) & (found["measure"] == name)]
            rows = rows[rows["arrivals"] >= ENOUGH]
            outside = rows[(rows["observed"] < rows["low"]) | (rows["observed"] > rows["high"])]
            which = f" ({', '.join(outside['key'])})" if len(outside) else ""
            words.append(
                f"{label} ({ENOUGH} arrivals or more), the {name} observed is outside the forecast's interval"
                f" in {len(outside)} of {len(rows)}{which}."
            )
    return words
