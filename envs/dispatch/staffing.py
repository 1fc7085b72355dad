"""Staffing from who was active: a rule of presence on the requests that each person handled."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pointsman.envs.arrays import Floats
from pointsman.envs.dispatch.params import WEEK_HOURS
from pointsman.errors import PointsmanError

LONGEST_PAUSE = 60.0
"""Minutes without a request after which a person counts as away even if nobody waited."""


class Period(NamedTuple):
    """Whole days from `start` up to, not including, `end`."""

    start: pd.Timestamp
    end: pd.Timestamp

    @property
    def monday(self) -> pd.Timestamp:
        """Monday 0:00 of the first week: where `trace` and the simulation's clock count from."""
        return self.start - pd.Timedelta(days=self.start.weekday())

    @property
    def start_minute(self) -> float:
        return 1440.0 * self.start.weekday()

    @property
    def minutes(self) -> float:
        return (self.end - self.start) / pd.Timedelta(minutes=1)

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d} up to {self.end:%Y-%m-%d}"

    def hours_of_week(self) -> NDArray[np.int64]:
        """Hour of the week of each hour of the period."""
        return (24 * self.start.weekday() + np.arange(int(self.minutes // 60))) % WEEK_HOURS

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        """The requests that arrived in the period."""
        return table[(table["arrival"] >= self.start) & (table["arrival"] < self.end)].reset_index(drop=True)


class Presence(NamedTuple):
    """When people were at work: minutes since the period's Monday, one entry per unbroken stay; `pause` after a request."""

    starts: Floats
    ends: Floats
    pause: float


def time_before(starts: Floats, ends: Floats, at: Floats) -> Floats:
    """Total length before each time `at` of the intervals from starts to ends (which may overlap)."""

    def since(edges: Floats) -> Floats:
        edges = np.sort(edges)
        passed = np.searchsorted(edges, at, "right")
        return passed * at - np.concatenate([[0.0], edges.cumsum()])[passed]

    return since(starts) - since(ends)


def union(starts: Floats, ends: Floats) -> tuple[Floats, Floats]:
    """Disjoint intervals that cover the same time, in order."""
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], np.maximum.accumulate(ends[order])
    fresh = np.flatnonzero(np.concatenate([[True], starts[1:] > ends[:-1]])) if len(starts) else np.zeros(0, int)
    return starts[fresh], ends[np.concatenate([fresh[1:] - 1, [len(ends) - 1]])] if len(starts) else ends


def minutes_since(times: pd.Series, origin: pd.Timestamp) -> Floats:
    """Minutes from `origin`, float64[n]."""
    return ((times - origin) / pd.Timedelta(minutes=1)).to_numpy(np.float64)


def presence(table: pd.DataFrame, period: Period, tolerance: float, longest: float = LONGEST_PAUSE) -> Presence:
    """When people were at work, from the requests that they handled.

    Someone is there during and between requests, except in a gap in which requests waited for more than `tolerance`
    minutes in all (a person at work would have taken one), or which is longer than `longest`. What was waited in the
    gaps that stay is the pause after a request, spread over all requests.
    """
    arrival = minutes_since(table["arrival"], period.monday)
    answer = arrival + table["wait_minutes"].to_numpy()
    queue = union(arrival[answer > arrival], answer[answer > arrival])
    rows = table["server"].notna() & (table["handling_minutes"] > 0)
    served = pd.DataFrame({"server": table["server"], "start": answer, "end": answer + table["handling_minutes"]})[rows]
    starts, ends, paused = [], [], 0.0
    for _, own in served.sort_values("start", kind="stable").groupby("server"):
        start, end = own["start"].to_numpy(), np.maximum.accumulate(own["end"].to_numpy())
        gap = np.maximum(start[1:] - end[:-1], 0.0)
        waited = np.where(gap > 0, time_before(*queue, start[1:]) - time_before(*queue, end[:-1]), 0.0)
        away = (waited > tolerance + 1e-9) | (gap > longest)
        starts.append(np.concatenate([start[:1], start[1:][away]]))
        ends.append(np.concatenate([end[:-1][away], end[-1:]]))
        paused += float(waited[~away].sum())
    return Presence(np.concatenate(starts), np.concatenate(ends), paused / max(len(served), 1))


def staff_by_slot(found: Presence, period: Period, slot: float) -> Floats:
    """People at work, averaged over each slot of `slot` minutes of the period."""
    edges: Floats = period.start_minute + slot * np.arange(int(period.minutes // slot) + 1, dtype=np.float64)
    return np.maximum(np.diff(time_before(found.starts, found.ends, edges)) / slot, 0.0).round(9)


def staffing(found: Presence, period: Period) -> Floats:
    """People at work by hour of the week [168], averaged over the weeks of the period; 0 where it has no such hour."""
    hours = period.hours_of_week()
    total = np.bincount(hours, staff_by_slot(found, period, 60.0), WEEK_HOURS)
    return total / np.maximum(np.bincount(hours, minlength=WEEK_HOURS), 1)


def day(key: str, value: Any) -> pd.Timestamp:
    """Midnight of a day written as 1999-02-22; an error names the key."""
    try:
        found = pd.Timestamp(str(value))
    except ValueError:
        found = pd.NaT
    if found is pd.NaT or found.tzinfo is not None or found != found.normalize():
        raise PointsmanError(f"{key} must be a day such as 1999-02-22, got {value}")
    return found


def periods(arrivals: pd.Series, fit_from: Any, fit_until: Any, heldout_until: Any) -> tuple[Period, Period | None]:
    """The fitted and the held-out period, in whole days of a log's arrivals (see conf/calibrate.yaml for the defaults)."""
    first, end = arrivals.min().normalize(), arrivals.max().normalize() + pd.Timedelta(days=1)
    training = Period(
        first if fit_from is None else max(first, day("fit_from", fit_from)),
        end if fit_until is None else day("fit_until", fit_until),
    )
    if not first < training.end <= end or training.start >= training.end:
        raise PointsmanError(f"fit_from and fit_until must leave days of the log, {Period(first, end)}, to fit; got {training}")
    if training.end == end:
        return training, None
    wanted = training.end + pd.Timedelta(days=7) if heldout_until is None else day("heldout_until", heldout_until)
    heldout = Period(training.end, min(wanted, end))
    if not ((arrivals >= heldout.start) & (arrivals < heldout.end)).any():
        raise PointsmanError(f"no requests to hold out: {heldout} has none")
    return training, heldout
