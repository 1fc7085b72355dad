"""Fits a request-dispatch config to a log: arrivals, handling, patience and staffing, each with its estimator."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from pointsman.envs import complete
from pointsman.envs.arrays import Floats
from pointsman.envs.core import BatchEnv
from pointsman.envs.dispatch.env import build
from pointsman.envs.dispatch.log import Log
from pointsman.envs.dispatch.params import WEEK_HOURS
from pointsman.envs.dispatch.score import ScoreFit, fit_score
from pointsman.envs.dispatch.staffing import Period, Presence, minutes_since, presence, staffing
from pointsman.envs.problem import Problem
from pointsman.errors import PointsmanError

ENOUGH = 30
"""Observations that a class needs for a fit of its own; with fewer it gets that of all classes together."""
TOLERANCES = tuple(seconds / 60 for seconds in (15, 30, 60, 90, 120, 180))
"""Candidates for the presence rule, in minutes; a finer grid would be decided by the noise of the simulation."""
HEADER = """\
# Written by pointsman-calibrate; provenance says what was fitted. The rest is from the mapping, assumptions all.
defaults: [dispatch/schema@_here_, _self_]
"""
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FAMILIES = ("arrived", "answered", "abandoned", "waiting_minutes", "answer_wait_minutes")
"""Ledger families that `simulate` counts, in the order of their third axis."""


NOT_TOLD = (
    "the log has neither waits nor handling times, only when requests came and were closed: handling, patience and staffing"
    " cannot be identified (the time to resolution mixes work, waiting and pauses) and are assumed"
)


class Handling(NamedTuple):
    """Mean (minutes) and coefficient of variation of a lognormal."""

    mean: float
    cv: float


class Fit(NamedTuple):
    """A fitted config, and how the presence rule's tolerance was chosen (errors are relative, in-sample)."""

    config: dict[str, Any]
    tolerance: float  # NaN where the log does not tell who was there
    presence: Presence | None
    trials: pd.DataFrame  # tolerance_seconds, pause_seconds, wait_error, abandonment_error
    notes: list[str]
    score: ScoreFit | None = None


def fit(
    table: pd.DataFrame,
    period: Period,
    template: Mapping[str, Any],
    tolerances: Sequence[float] = TOLERANCES,
    weeks: int = 200,
    seed: int = 0,
    progress: Callable[[str], None] = lambda stage: None,
    score_bins: int = 8,
) -> Fit:
    """Fit the requests of a period (canonical table of log.read); `template` holds what the log cannot tell.

    A log without waits, handling times or servers tells arrivals and classes only, and the score if it has labels.

    The tolerance of the presence rule is the one whose config, simulated for `weeks` weeks with everyone to people and
    Poisson arrivals, comes closest to the period's own mean wait and abandonment (sum of squared relative errors).
    """
    training = period.of(table)
    if period.minutes < 7 * 1440 or training.empty:
        raise PointsmanError(f"the fit needs a week of requests at least; {period} has {len(training)} requests")
    rates, names = arrival_rates(training, period), ["tolerance_seconds", "pause_seconds", "wait_error", "abandonment_error"]
    scored = None
    if "solved" in training:
        progress("score")
        scored = fit_score(training, score_bins, seed)
        template = dict(template) | {"score": {**template.get("score", {}), **scored.config, "auc": None}}
    if training["wait_minutes"].isna().all() and training["handling_minutes"].isna().all():
        config = configuration(template, training, rates, None, None, None, 0.0)
        return Fit(config, np.nan, None, pd.DataFrame(columns=names), [NOT_TOLD, *(scored.notes if scored else [])], scored)
    if training["server"].isna().all():
        raise PointsmanError(f"no request of {period} names its server, so staffing cannot be told")
    wanted = np.array([training["wait_minutes"].mean(), (training["outcome"] == "abandoned").mean()])
    handling, patience, notes = handling_by_class(training), patience_by_class(training), notes_on(training)
    notes += scored.notes if scored else []
    best, trials = None, []
    for tolerance in tolerances:
        progress(f"presence rule, tolerance {60 * tolerance:.0f} s")
        found = presence(training, period, tolerance)
        config = configuration(template, training, rates, handling, patience, staffing(found, period), found.pause)
        totals = simulate(build(config | {"horizon_minutes": 10080.0, "start_minute": 0.0}), weeks, seed).sum((0, 1, 3))
        error = np.array([totals[3], totals[2]]) / totals[0] / np.maximum(wanted, 1e-9) - 1
        trials.append((60 * tolerance, 60 * found.pause, *error))
        if best is None or (error**2).sum() < best[0]:
            best = ((error**2).sum(), tolerance, found, config)
    assert best is not None
    return Fit(best[3], best[1], best[2], pd.DataFrame(trials, columns=names), notes, scored)


def configuration(
    template: Mapping[str, Any], table: pd.DataFrame, rates: Floats, handling: Mapping[str, Handling] | None,
    patience: Mapping[str, float | None] | None, staff: Floats | None, pause: float,
) -> dict[str, Any]:  # fmt: skip
    """A complete plain config; fitted numbers have four significant digits, so that what is written is what was tried.

    What is None comes from the template: `teams`, and for all classes handling_minutes, handling_cv, patience_minutes.
    """
    rest = deepcopy(dict(template))
    target = rest.pop("target_minutes", 1.0)
    assumed: dict[str, Any] = {
        key: rest.pop(key) for key in ("handling_minutes", "handling_cv", "patience_minutes") if key in rest
    }
    share = table["class"].value_counts(normalize=True)
    classes: dict[str, dict[str, Any]] = {}
    for name in share.index:
        told: dict[str, Any] = dict(assumed)
        if handling is not None and patience is not None:
            occupied, own = with_pause(handling[name], pause), patience[name]
            told |= {"handling_minutes": round_to(occupied.mean), "handling_cv": round_to(occupied.cv)}
            told |= {"patience_minutes": None if own is None else round_to(own)}
        classes[name] = {"share": round_to(share[name]), **told, "target_minutes": target}
    fitted: dict[str, Any] = {"hourly_arrival_rates": [round_to(rate) for rate in rates], "classes": classes}
    if staff is not None:
        fitted["teams"] = {"people": {"staff": [round_to(people) for people in staff]}}
    return complete(rest | fitted)


def round_to(value: Any, digits: int = 4) -> float:
    """`value` with so many significant digits."""
    return float(f"{float(value):.{digits}g}")


def hour_of_week(times: pd.Series) -> NDArray[np.int64]:
    """Hours since Monday 0:00, 0 to 167."""
    return (24 * times.dt.day_of_week + times.dt.hour).to_numpy(np.int64)


def arrival_rates(table: pd.DataFrame, period: Period) -> Floats:
    """Requests per minute by hour of the week [168]: counts over the time observed, the Poisson maximum likelihood."""
    counts = np.bincount(hour_of_week(table["arrival"]), minlength=WEEK_HOURS)
    return counts / (60.0 * np.bincount(period.hours_of_week(), minlength=WEEK_HOURS))


def handling_by_class(table: pd.DataFrame) -> dict[str, Handling]:
    """Mean and coefficient of variation of known, positive handling times: the lognormal is matched by moments."""
    known = table[table["handling_minutes"] > 0]
    if len(known) < ENOUGH:
        raise PointsmanError(f"only {len(known)} requests have a known handling time; {ENOUGH} are needed")
    found = {}
    for name in table["class"].unique():
        own = known[known["class"] == name]["handling_minutes"]
        times = own if len(own) >= ENOUGH else known["handling_minutes"]
        found[name] = Handling(times.mean(), max(times.std() / times.mean(), 1e-3))
    return found


def with_pause(handling: Handling, pause: float) -> Handling:
    """Handling plus an independent exponential pause before the next request, again by its first two moments."""
    mean = handling.mean + pause
    return Handling(mean, float(np.hypot(handling.cv * handling.mean, pause)) / mean)


def patience_by_class(table: pd.DataFrame) -> dict[str, float | None]:
    """Mean patience in minutes, exponential: all waiting over the number who abandoned; the others are censored.

    The maximum likelihood with independent censoring (Lawless 2003, section 4.1). None: nobody of any class abandoned.
    """

    def estimate(rows: pd.DataFrame) -> float | None:
        events = int((rows["outcome"] == "abandoned").sum())
        return None if events == 0 else max(float(rows["wait_minutes"].sum()) / events, 1e-3)

    pooled, found = estimate(table), {}
    for name in table["class"].unique():
        own = table[table["class"] == name]
        enough = (own["outcome"] == "abandoned").sum() >= ENOUGH
        found[name] = estimate(own) if enough else pooled
    return found


def notes_on(table: pd.DataFrame) -> list[str]:
    """Which classes have too few observations for fits of their own."""
    notes = []
    for name, own in table.groupby("class"):
        known, gone = int((own["handling_minutes"] > 0).sum()), int((own["outcome"] == "abandoned").sum())
        if known < ENOUGH:
            notes.append(f"handling of {name}: that of all classes ({known} known handling times, fewer than {ENOUGH})")
        if gone < ENOUGH:
            notes.append(f"patience of {name}: that of all classes ({gone} abandoned, fewer than {ENOUGH})")
    return notes


def trace(table: pd.DataFrame, period: Period, pause: float = 0.0) -> pd.DataFrame:
    """Recorded arrivals in the columns of config key `trace`; handling includes `pause`, and is blank where unknown.

    Patience is blank, thus drawn: recorded waits are patience only for those who abandoned, the impatient ones.
    The last request ends a replayed episode; it is not served.
    """
    rows = period.of(table)
    columns = {
        "arrival_minutes": minutes_since(rows["arrival"], period.monday).round(6),
        "class": rows["class"],
        "handling_minutes": (rows["handling_minutes"].where(rows["handling_minutes"] > 0) + pause).round(6),
        "patience_minutes": np.nan,
    }
    return pd.DataFrame(columns)


def simulate(problem: Problem, episodes: int, seed: int, progress: Callable[[float], None] = lambda share: None) -> Floats:
    """Everyone to people: totals [episodes, 24, FAMILIES, classes] by hour of the day of the decision that they follow."""
    env = BatchEnv(problem, episodes, autoreset=False, copy=False)
    env.reset(seed=seed)
    columns = np.concatenate([env.ledger[family] for family in FAMILIES])
    totals, rows, alive = np.zeros((episodes, 24, len(columns))), np.arange(episodes), np.ones(episodes, bool)
    people, start = np.ones(episodes, np.int64), env.state.clock.min()
    while alive.any():
        hour = (env.state.clock // 60 % 24).astype(np.int64)
        _, _, terminated, truncated, info = env.step(people)
        totals[rows, hour] += info["ledger"][:, columns] * alive[:, None]
        alive &= ~(terminated | truncated)
        progress(min(float(env.state.clock.min() - start) / problem.config["horizon_minutes"], 1.0))
    return totals.reshape(episodes, 24, len(FAMILIES), -1)


def provenance(given: str, command: str, fit_period: Period, found: Fit, log: Log) -> str:
    """Where a config's numbers come from, in a paragraph."""
    what = ["hourly_arrival_rates", "shares of classes"]
    parts = [
        given,
        f"Fitted by `{command}` to the {len(fit_period.of(log.table))} requests for people that arrived from"
        f" {fit_period.start:%Y-%m-%d} up to {fit_period.end:%Y-%m-%d} (excluded); the log has {log.rows} rows, of which"
        f" {log.bad_rows} are bad and {log.excluded} never reached the people.",
    ]
    if found.presence is not None:
        what += ["handling", "patience", "teams"]
        trial = found.trials.iloc[(found.trials["tolerance_seconds"] - 60 * found.tolerance).abs().argmin()]
        parts.append(
            f"Staffing: a person is away in a gap in which requests waited for more than {60 * found.tolerance:.0f} s in all."
            f" That tolerance was chosen in-sample: the simulated mean wait is off by {100 * trial['wait_error']:+.0f} %,"
            f" abandonment by {100 * trial['abandonment_error']:+.0f} %. Handling includes a pause of"
            f" {60 * found.presence.pause:.1f} s after each request."
        )
    if found.score is not None:
        what.append("score")
        area = found.score.auc
        parts.append(f"Score: area under the ROC curve {area.estimate:.3f} [{area.low:.3f}, {area.high:.3f}], cross-fitted.")
    parts.append(f"Fitted are {', '.join(what)}; all the rest is assumed.")
    parts += [f"{note[0].upper()}{note[1:]}." for note in found.notes]
    return " ".join(part.strip() for part in parts if part)


def to_yaml(config: dict[str, Any]) -> str:
    """A complete config as yaml, without what is left at its default; lists by hour of the week take a line per day."""
    lists: dict[str, str] = {}
    default = complete({"id": config["id"]})
    given = {key: value for key, value in config.items() if key == "id" or value != default[key]}

    def shown(value: Any, indent: str, usual: Any = None, free: bool = False) -> Any:
        if isinstance(value, Mapping):
            # Under training and the like a null is a choice; elsewhere it is the default.
            usual = usual if isinstance(usual, Mapping) else {}
            kept = {
                k: part for k, part in value.items() if free or not indent or not (part is None or usual.get(k, free) == part)
            }
            return {key: shown(part, indent + "  ", usual.get(key), free or key == "training") for key, part in kept.items()}
        if isinstance(value, list) and len(value) == WEEK_HOURS:
            days = [", ".join(f"{part:g}" for part in value[day : day + 24]) for day in range(0, WEEK_HOURS, 24)]
            rows = [f"{indent}  {text},  # {name}\n" for text, name in zip(days, DAYS, strict=True)]
            lists[f"@{len(lists)}@"] = f"[\n{''.join(rows)}{indent}]"
            return f"@{len(lists) - 1}@"
        return value

    text = yaml.safe_dump(shown(given, "", default), sort_keys=False, width=118, allow_unicode=True, default_flow_style=None)
    for mark, rows in lists.items():
        text = text.replace(f"'{mark}'", rows)
    return HEADER + text
