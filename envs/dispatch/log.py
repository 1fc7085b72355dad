"""Reads a log of requests through a mapping of its columns into one table; what it cannot read it reports by line."""

import csv
import gzip
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from omegaconf import MISSING

from pointsman.envs.dispatch.score import FEATURE
from pointsman.errors import PointsmanError, unknown
from pointsman.shipped import load_yaml

UNITS = {"second": 1 / 60, "minute": 1.0, "hour": 60.0}
"""Minutes per unit of a column of times."""
Violation = tuple[int, str, str, str]
"""Line, column, value, why."""
OUTCOMES = ("answered", "abandoned", "other")
"""What becomes of a request; `other` (handed over, cut off) neither abandoned nor is it known to have been answered."""


@dataclass
class ArrivalColumns:
    """When a request joined the queue for people, or would have if nobody had been free."""

    columns: list[str] = MISSING  # the first one that is filled in
    format: str | None = None  # as in strptime; null: ISO 8601
    date: str | None = None  # column of the date, where `columns` hold the time of day only
    date_format: str = "%Y-%m-%d"
    absent: list[str] = field(default_factory=lambda: [""])  # what stands for "not filled in"
    not_before: str | None = None  # time of day; an arrival before it fell after midnight, on the next day
    timezone: str | None = None  # of the place; times with an offset are brought there (null: to UTC)


@dataclass
class DurationColumn:
    """A column of times; a log may lack it."""

    column: str | None = None
    unit: str = "second"
    unknown: list[str] = field(default_factory=lambda: [""])  # what stands for "not known"


@dataclass
class OutcomeColumn:
    """A column of outcomes, and which values mean what."""

    column: str = MISSING
    answered: list[str] = MISSING
    abandoned: list[str] = MISSING
    other: list[str] = field(default_factory=list)


@dataclass
class NameColumn:
    """A column of names; `none` lists the values that name nobody."""

    column: str = MISSING
    none: list[str] = field(default_factory=lambda: [""])


@dataclass
class ServerColumn:
    """A column of who handled the request; a log may lack it."""

    column: str | None = None
    none: list[str] = field(default_factory=lambda: [""])


@dataclass
class ScoreColumns:
    """What the score is fitted to: features known at arrival, and the requests that automation or first contact solves."""

    features: list[str] = field(default_factory=list)
    solved: dict[str, list[str]] = field(default_factory=dict)  # values by column, all of which must hold
    unlabelled: dict[str, list[str]] = field(default_factory=dict)  # values by column, any of which says: nobody knows
    bins: int = 8


@dataclass
class LogMapping:
    """What the columns of a log mean, and what the log cannot tell."""

    arrival: ArrivalColumns = field(default_factory=ArrivalColumns)
    request_class: NameColumn = field(default_factory=NameColumn)
    wait: DurationColumn = field(default_factory=DurationColumn)
    handling: DurationColumn = field(default_factory=DurationColumn)
    outcome: OutcomeColumn = field(default_factory=OutcomeColumn)
    server: ServerColumn = field(default_factory=ServerColumn)
    score: ScoreColumns = field(default_factory=ScoreColumns)
    case: str | None = (
        None  # column that names a request which has several rows: features as of the first, the rest as of the last
    )
    separator: str | None = None  # null: a tab in .tsv and .tsv.gz, a comma elsewhere
    id: list[str] = field(default_factory=list)  # columns that together name a row; a second row of that name is bad
    non_negative: list[str] = field(default_factory=list)  # further columns that must be numbers of at least 0
    reached_people: list[str] = field(default_factory=list)  # unless answered, one of them is filled in; empty: all rows
    provenance: str = ""  # of the data: source, licence, what else a reader of the numbers should know
    env: dict[str, Any] = field(default_factory=dict)  # the part of the env config that no log tells


class Log(NamedTuple):
    """A log as read.

    table: one row per request for people, by arrival: line, arrival, class, wait_minutes, handling_minutes (NaN: unknown),
        outcome (see OUTCOMES), server (missing: nobody known); where a score is asked for solved (1, 0, NaN: unlabelled)
        and feature:<column> of each feature (numbers if all are).
    violations: line, column, value, why; a bad row has one or more and is not in the table.
    rows: rows of the file; `excluded` of them are well-formed and never reached the people.
    """

    table: pd.DataFrame
    violations: pd.DataFrame
    rows: int
    excluded: int

    @property
    def bad_rows(self) -> int:
        return int(self.violations["line"].nunique())


def load_mapping(name: str) -> LogMapping:
    """A mapping by the name of a shipped one, or by the path of a yaml file."""
    given: LogMapping = load_yaml("mapping", name, "mappings", LogMapping)
    if bool(given.score.features) != bool(given.score.solved):
        raise PointsmanError(f"mapping {name}: score needs both features and solved, or neither")
    if given.score.bins < 2:
        raise PointsmanError(f"mapping {name}: score.bins must be at least 2, got {given.score.bins}")
    for key in ("wait", "handling"):
        if getattr(given, key).unit not in UNITS:
            raise unknown(f"mapping {name}: {key}.unit", getattr(given, key).unit, UNITS)
    return given


def read(path: str | Path, mapping: LogMapping, max_bad_share: float = 0.01, report: Path | None = None) -> Log:
    """Read a .csv or .tsv file (or .gz of one); the violations go to the CSV file `report` before any complaint.

    Raises PointsmanError if a column is missing, the file is empty, or more than `max_bad_share` of its rows are bad.
    """
    raw, lines, found = _rows(Path(path), mapping)
    score = mapping.score
    columns = [*mapping.arrival.columns, *mapping.id, *mapping.non_negative, *mapping.reached_people]
    parts = (mapping.request_class, mapping.wait, mapping.handling, mapping.outcome, mapping.server)
    columns += [part.column for part in parts if part.column is not None]
    columns += [*score.features, *score.solved, *score.unlabelled, *([mapping.case] if mapping.case else [])]
    columns += [name for name in (mapping.arrival.date, mapping.arrival.not_before) if name is not None]
    for column in columns:
        if column not in raw:
            raise unknown(f"column in {path}:", column, raw.columns)
    events = len(raw)
    if mapping.case:
        first = raw.groupby(mapping.case, sort=False)[score.features].transform("first")
        raw[[f"{FEATURE}{name}" for name in score.features]] = first
        last = (~raw.duplicated(mapping.case, keep="last")).to_numpy()
        raw, lines = raw[last].reset_index(drop=True), lines[last]
    table = _table(raw, lines, mapping, found)
    violations = pd.DataFrame(found, columns=["line", "column", "value", "why"]).sort_values("line", kind="stable")
    if report is not None:
        violations.to_csv(report, index=False)
    rows = events + sum(column == "" for _, column, _, _ in found)
    good = table[~table["line"].isin(violations["line"])]
    kept = good[good["request"]].drop(columns="request").sort_values("arrival", kind="stable", ignore_index=True)
    log = Log(kept, violations.reset_index(drop=True), rows, len(good) - len(kept))
    if log.bad_rows > max_bad_share * rows:
        where = f"; all of them: {report}" if report is not None else ""
        share = f"{log.bad_rows} of {rows} rows are bad, more than max_bad_share={max_bad_share:g}"
        raise PointsmanError(f"{path}: {share}; {summary(log)}{where}")
    if kept.empty:
        raise PointsmanError(f"{path}: no requests for people among its {rows} rows")
    return log


def summary(log: Log, most: int = 3) -> str:
    """The bad rows in a line: how many, and the first of each kind."""
    if log.violations.empty:
        return "no bad rows"
    kinds = []
    for (column, why), group in log.violations.groupby(["column", "why"], sort=False):
        first = ", ".join(str(line) for line in group["line"][:most])
        more = f" and {len(group) - most} more" if len(group) > most else ""
        kinds.append(f"{column} {why}".strip() + f" (line {first}{more}; '{group['value'].iloc[0]}')")
    return f"{log.bad_rows} bad rows: " + "; ".join(kinds)


def _rows(path: Path, mapping: LogMapping) -> tuple[pd.DataFrame, np.ndarray, list[Violation]]:
    """The cells as text, the line on which each row starts, and the rows with too few or too many cells."""
    if not path.is_file():
        raise PointsmanError(f"log: no file at {path}")
    separator = mapping.separator or ("\t" if path.name.removesuffix(".gz").endswith(".tsv") else ",")
    cells: list[list[str]] = []
    lines: list[int] = []
    found: list[Violation] = []
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as file:
            reader = csv.reader(file, delimiter=separator)
            header = [name.strip() for name in next(reader, [])]
            line = reader.line_num + 1
            for row in reader:
                if row and len(row) == len(header):
                    cells.append(row)
                    lines.append(line)
                elif row:
                    why = f"row has {len(row)} cells, the header {len(header)}"
                    # A stray quote swallows whole lines: each of them is a bad row.
                    found += [(k, "", separator.join(row)[:80], why) for k in range(line, reader.line_num + 1)]
                line = reader.line_num + 1
    except (csv.Error, OSError, EOFError, zlib.error) as error:
        raise PointsmanError(f"log: {path} is not readable: {error}") from None
    if not cells:
        raise PointsmanError(f"log: {path} has no rows" + (f" as wide as its header; line {found[0][0]}" if found else ""))
    return pd.DataFrame(cells, columns=header, dtype=str).apply(lambda column: column.str.strip()), np.array(lines), found


def _table(raw: pd.DataFrame, lines: np.ndarray, mapping: LogMapping, found: list[Violation]) -> pd.DataFrame:
    """All rows in the canonical columns, `request` (whether for people) beside them; what is wrong is added to `found`."""

    def flag(bad: Any, column: str, why: str) -> None:
        found.extend((int(lines[k]), column, str(raw[column].iloc[k]), why) for k in np.flatnonzero(np.asarray(bad)))

    def duration(column: str | None, unit: str, unknown_values: list[str], required: bool) -> pd.Series:
        if column is None:
            return pd.Series(np.nan, index=raw.index)
        silent = raw[column].isin(unknown_values)
        values = pd.to_numeric(raw[column].mask(silent), errors="coerce").astype(float)
        flag((values.isna() & (required | ~silent)) | np.isinf(values), column, "is not a number")
        flag(values < 0, column, "is negative")
        return values * UNITS[unit]

    def moment(column: str, form: str | None, silent: Any = False, why: str = "is not a time") -> pd.Series:
        text = raw[column].mask(silent) if silent is not False else raw[column]
        parsed = pd.to_datetime(text, format=form or "ISO8601", errors="coerce", utc=True)
        flag(parsed.isna() & ~np.asarray(silent), column, f"{why} (format {form or 'ISO 8601'})")
        if mapping.arrival.timezone and text.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", na=False).any():
            parsed = parsed.dt.tz_convert(mapping.arrival.timezone)
        return parsed.dt.tz_localize(None)

    a = mapping.arrival
    if mapping.id:
        flag(raw.duplicated(mapping.id), mapping.id[-1], "repeats an earlier row's id")
    for column in dict.fromkeys(mapping.non_negative):
        if column not in (mapping.wait.column, mapping.handling.column):
            duration(column, "minute", [], True)
    arrival = pd.Series(pd.NaT, index=raw.index, dtype="datetime64[ns]")
    for column in a.columns:
        later = arrival.notna().to_numpy() | raw[column].isin(a.absent).to_numpy()
        arrival = arrival.fillna(moment(column, a.format, later))
    flag(raw[a.columns].isin(a.absent).all(axis=1), a.columns[0], "is not filled in")
    if a.date is not None:
        day = moment(a.date, a.date_format, why="is not a date")
        time_of_day = arrival - arrival.dt.normalize()
        if a.not_before is not None:
            bound = moment(a.not_before, a.format)
            time_of_day += pd.to_timedelta((time_of_day < bound - bound.dt.normalize()).astype(int), unit="D")
        arrival = day + time_of_day
    o = mapping.outcome
    outcome = pd.Series(pd.NA, index=raw.index, dtype="object")
    for name in OUTCOMES:
        outcome[raw[o.column].isin(getattr(o, name)).to_numpy()] = name
    flag(outcome.isna(), o.column, f"is none of {', '.join([*o.answered, *o.abandoned, *o.other])}")
    flag(raw[mapping.request_class.column].isin(mapping.request_class.none), mapping.request_class.column, "names no class")
    handling = duration(mapping.handling.column, mapping.handling.unit, mapping.handling.unknown, False)
    filled = ~raw[mapping.reached_people].isin(a.absent)
    who = mapping.server.column
    table = pd.DataFrame(
        {
            "line": lines,
            "arrival": arrival,
            "class": raw[mapping.request_class.column],
            "wait_minutes": duration(mapping.wait.column, mapping.wait.unit, [], True),
            "handling_minutes": handling.mask(outcome == "abandoned"),  # whoever has left is not handled
            "outcome": outcome,
            "server": pd.Series(pd.NA, index=raw.index) if who is None else raw[who].mask(raw[who].isin(mapping.server.none)),
            "request": filled.any(axis=1) | (outcome == "answered") | (not mapping.reached_people),
        }
    )
    return pd.concat([table, _score_columns(raw, mapping.score)], axis=1)


def _score_columns(raw: pd.DataFrame, score: ScoreColumns) -> pd.DataFrame:
    """What the score is fitted to; no columns where none is asked for."""
    found = pd.DataFrame(index=raw.index)
    if not score.features:
        return found
    solved = np.logical_and.reduce([raw[name].isin(values) for name, values in score.solved.items()])
    silent = np.logical_or.reduce([np.zeros(len(raw), bool), *(raw[name].isin(v) for name, v in score.unlabelled.items())])
    found["solved"] = np.where(silent, np.nan, solved.astype(float))
    for name in score.features:
        text = raw[FEATURE + name] if FEATURE + name in raw else raw[name]
        numbers = pd.to_numeric(text, errors="coerce")
        found[FEATURE + name] = numbers if np.isfinite(numbers).all() else text
    return found
