"""What the columns of a log say: actions, masks, rewards, observations, propensities and times, each checked row by row."""

import json
from typing import Any

import numpy as np
import pandas as pd

from pointsman.envs.problem import Layout
from pointsman.errors import PointsmanError, unknown
from pointsman.evaluation.ope.log import joint_mask
from pointsman.evaluation.ope.schema import SOURCES, Sidecar
from pointsman.evaluation.ope.table import LogTable
from pointsman.evaluation.ope.violations import NO_WEIGHTS, PENDING, Violation

SUMS = 1e-4
"""How far probabilities may be from summing to 1, and a propensity from its entry."""


def actions_of(table: LogTable) -> Any:
    """Joint actions; one that cannot be read is 0 and flagged."""
    side, column = table.side, table.frame["action"]
    names = joint_names(side)
    place = {name: k for k, name in enumerate(names)}
    found = column.astype(str).str.strip().map(place)
    if found.isna().any():
        numbers = pd.to_numeric(column, errors="coerce")
        whole = numbers.notna() & (numbers % 1 == 0) & numbers.between(0, len(names) - 1)
        found = found.fillna(numbers.where(whole))
    table.flag(found.isna(), "action", f"is neither one of 0 to {len(names) - 1} nor one of the names")
    return found.fillna(0).to_numpy(np.int64)


def masks_of(table: LogTable, action: Any) -> tuple[Any, Any]:
    """Masks of the parts, and joint ones; all is legal where the log has none."""
    width = len(table.side.actions)
    layout = Layout((), (), 0, table.side.parts or (width,))
    if "mask" in table.frame:
        lists, bad = _lists(table.frame["mask"], width)
        table.flag(bad, "mask", f"is not a list of {width} times 1 or 0")
        mask = lists > 0.5
        mask[bad] = True
    else:
        mask = np.ones((len(table.frame), width), bool)
    joint = joint_mask(mask, layout.parts)
    table.flag(~joint[np.arange(len(joint)), action], "action", "is one that the mask forbids")
    return mask, joint


def rewards_of(table: LogTable) -> tuple[Any, Any]:
    """Rewards, and where the outcome is still pending."""
    frame, side = table.frame, table.side
    parts = [name for name in frame if name.startswith("reward.")]
    booked = [name for name in frame if name.startswith("ledger.") and name.removeprefix("ledger.") in side.prices]
    for name in side.prices:
        if f"ledger.{name}" not in frame and "reward" not in frame:
            raise unknown("price in the sidecar: ledger column", name, [c.removeprefix("ledger.") for c in booked])
    total = None
    if parts:
        total = sum(pd.to_numeric(frame[name], errors="coerce").to_numpy(float) for name in parts)
    elif booked and "reward" not in frame:
        columns = [(pd.to_numeric(frame[c], errors="coerce"), side.prices[c.removeprefix("ledger.")]) for c in booked]
        total = -sum(values.to_numpy(float) * price for values, price in columns)
    if "reward" in frame:
        reward = pd.to_numeric(frame["reward"], errors="coerce").to_numpy(float)
        pending = frame["reward"].isna().to_numpy()
        table.flag(np.isnan(reward) & ~pending, "reward", "is not a number")
        if total is not None:
            apart = np.abs(reward - total) > 1e-6 * np.maximum(1.0, np.abs(reward))
            table.flag(apart & ~pending, "reward", "is not the sum of the columns reward.*")
    else:
        if total is None:
            raise PointsmanError("ledger columns make no reward without prices in the sidecar")
        reward, pending = np.asarray(total), np.isnan(total)
    if "outcome_ts" in frame and "reward" in frame:
        # A reward of 0 that waits for its outcome is no reward.
        waits = frame["outcome_ts"].isna().to_numpy() & ~pending & (reward == 0) & frame["outcome_ts"].notna().any()
        table.flag(waits, "reward", "is 0 while outcome_ts is missing: the outcome is pending, which is not 0", PENDING)
        pending = pending | waits
    table.flag(np.isinf(reward), "reward", "is infinite")
    if side.reward_range is not None:
        low, high = side.reward_range
        outside = ~pending & ((reward < low - 1e-9) | (reward > high + 1e-9))
        table.flag(outside, "reward", f"lies outside the declared range {low:g} to {high:g}")
    late = np.isin(table.episode, np.unique(table.episode[pending]))  # rows of episodes in which an outcome is pending
    absent = frame["reward"].isna().to_numpy() if "reward" in frame else pending
    table.flag(absent, "reward", "is pending: its episode is left out, not counted as 0", PENDING)
    return np.where(pending, 0.0, np.nan_to_num(reward)), late


def observations_of(table: LogTable) -> Any:
    side = table.side
    names = [f"obs.{name}" for name in side.context]
    names += [f"obs.{entry} of candidate {m}" for m in range(side.window) for entry in side.candidates]
    names = names or table.seen
    columns = []
    for name in names:
        if name not in table.frame:
            raise unknown("column in the log: it lacks", name, table.seen)
        column = table.frame[name]
        if column.dtype == object or str(column.dtype) in ("str", "string", "category"):
            numbers = pd.to_numeric(column, errors="coerce")
            if numbers.isna().sum() > column.isna().sum():
                # Words: numbered in their alphabetical order.
                numbers = pd.Series(pd.factorize(column, sort=True)[0], dtype=float).replace(-1.0, np.nan)
            column = numbers
        values = column.to_numpy(np.float32, na_value=np.nan)
        table.flag(~np.isfinite(values), name, "is not a finite number")
        columns.append(np.nan_to_num(values))
    return tuple(name.removeprefix("obs.") for name in names), np.column_stack(columns)


def propensities_of(table: LogTable, action: Any, joint: Any) -> tuple[Any, Any, str]:
    """Propensities (NaN: unusable), all probabilities if there, and where they are from."""
    frame, n, actions = table.frame, len(table.frame), joint.shape[1]
    source = "logged"
    if "propensity_source" in frame:
        told = frame["propensity_source"].fillna("unknown").astype(str).to_numpy()
        table.flag(~np.isin(told, SOURCES), "propensity_source", f"is none of {', '.join(SOURCES)}", NO_WEIGHTS)
        values, counts = np.unique(told, return_counts=True)
        source = str(values[counts.argmax()]) if len(values) else "unknown"
        if (told == "estimated").any():
            source = "estimated"
    elif "propensity" not in frame:
        source = "unknown"
    absent = pd.Series(np.nan, index=frame.index)
    given = pd.to_numeric(frame.get("propensity", absent), errors="coerce").to_numpy(float)
    distribution = None
    if "action_probabilities" in frame and frame["action_probabilities"].notna().any():
        distribution, bad = _lists(frame["action_probabilities"], actions)
        table.unweighted(bad, "action_probabilities", f"is not a list of {actions} numbers")
        distribution[bad] = 1.0 / actions
        sums = np.abs(distribution.sum(1) - 1.0) > SUMS
        table.unweighted(sums, "action_probabilities", "do not sum to 1")
        table.unweighted((distribution < 0).any(1), "action_probabilities", "hold a negative number")
        table.unweighted((np.where(joint, 0.0, distribution) > SUMS).any(1), "action_probabilities",
                         "give an action that the mask forbids")  # fmt: skip
        mine = distribution[np.arange(n), action]
        if "propensity" in frame:
            apart = np.abs(given - mine) > SUMS
            table.unweighted(apart & ~bad & ~sums, "propensity", "is not the entry of action_probabilities")
        given = np.where(np.isnan(given) & ~bad, mine, given)
    missing = np.isnan(given)
    if missing.all():
        table.found.append(Violation(0, "propensity", "", "is missing in every row", NO_WEIGHTS))
        table.unusable[:] = True
    else:
        table.unweighted(missing, "propensity", "is missing")
    table.unweighted(given <= 0, "propensity", "must be above 0: an action that was taken had some probability")
    table.unweighted(given > 1 + SUMS, "propensity", "must be at most 1")
    floor = table.side.propensity_floor
    if floor is not None:
        table.unweighted((given > 0) & (given < floor * (1 - 1e-6)), "propensity", f"is below the declared floor of {floor:g}")
    if "override_by" in frame:
        by_hand = frame["override_by"].notna().to_numpy() & (frame["override_by"].astype(str) != "").to_numpy()
        table.unweighted(by_hand, "override_by", "decided otherwise: the propensity is not that of this action")
    return np.where(table.unusable, np.nan, np.minimum(given, 1.0)), distribution, source


def days_of(table: LogTable) -> Any:
    """Days since 1970; times must not fall within an episode."""
    moment = pd.to_datetime(
        table.frame["ts"],
        utc=True,
        errors="coerce",
        format=None if str(table.frame["ts"].dtype).startswith("datetime") else "ISO8601",
    )
    table.flag(moment.isna(), "ts", "is not a time")
    nanoseconds = moment.dt.as_unit("ns").astype("int64").to_numpy()
    back = np.r_[False, np.diff(nanoseconds) < 0] & ~table.first & moment.notna().to_numpy()
    table.flag(back, "ts", "lies before that of the step before")
    return np.where(moment.isna(), 0, nanoseconds // (86_400 * 10**9))


def joint_names(side: Sidecar) -> list[str]:
    """Names of joint actions: those of the parts, joined."""
    if len(side.parts) < 2:
        return list(side.actions)
    first = np.concatenate([[0], np.cumsum(side.parts)])
    names = [""]
    for k in range(len(side.parts)):
        mine = side.actions[first[k] : first[k + 1]]
        names = [f"{left}, {right}" if left else right for left in names for right in mine]
    return names


def _lists(column: pd.Series, width: int) -> tuple[Any, Any]:
    """Lists of numbers as [N, width], and the rows that are none; text is JSON, or numbers with blanks or ; between."""
    values = column.to_numpy()
    if len(values) and isinstance(values[0], np.ndarray):
        lengths = np.array([len(x) if isinstance(x, np.ndarray) else -1 for x in values])
        if (lengths == width).all():
            found = np.concatenate(values).reshape(len(values), width).astype(float)
            return found, ~np.isfinite(found).all(1)
    found, bad = np.zeros((len(values), width)), np.zeros(len(values), bool)
    cache: dict[Any, Any] = {}
    for k, value in enumerate(values):
        key = value if isinstance(value, str) else None
        parsed = cache.get(key) if key is not None else None
        if parsed is None:
            parsed = _parse(value, width)
            if key is not None:
                cache[key] = parsed
        bad[k] = len(parsed) != width
        if not bad[k]:
            found[k] = parsed
    return found, bad


def _parse(value: Any, width: int) -> Any:
    """A list of numbers, or an empty one where there is none to read."""
    try:
        if isinstance(value, str):
            value = json.loads(value) if value.lstrip().startswith("[") else value.replace(";", " ").split()
        parsed = np.asarray(value, float)
        return parsed if parsed.shape == (width,) and np.isfinite(parsed).all() else np.zeros(0)
    except (TypeError, ValueError):
        return np.zeros(0)
