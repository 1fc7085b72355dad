"""Recorded demand: counts per slot, or single requests with their tokens, as tables that the kernel reads."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pointsman.envs.checks import number, require
from pointsman.errors import PointsmanError

DAY = 1440.0


class Recording(NamedTuple):
    """Requests and work (in requests of mean size) per slot, from 0:00 of the first day on; slots without a row are filled."""

    counts: np.ndarray  # [S]
    work: np.ndarray  # [S]
    exact: bool  # single requests: replayed as they came, instead of drawn at the rate
    size_cv: float = 0.0  # coefficient of variation of the work of single requests


def read(trace: dict[str, Any], tick: float) -> Recording:
    """The recording of a file; errors name the file, and the row where one is bad."""
    path = Path(str(trace["file"]))
    if not path.is_file():
        raise PointsmanError(
            f"trace.file: no file at {path} (looked for as {path.absolute()}); docs/autoscaling.md says where to get it, "
            "and trace.file=null trains on the preset's synthetic demand"
        )
    try:
        table = pd.read_csv(path)
    except (ValueError, OSError, UnicodeDecodeError, EOFError) as error:
        raise PointsmanError(f"trace.file: {path} is no CSV file: {str(error).splitlines()[0]}") from None
    scale = number("trace.scale", trace["scale"], strict=True)
    if list(table.columns) == ["timestamp", "value"]:
        return _counts(path, table, number("trace.slot_minutes", trace["slot_minutes"], strict=True), scale)
    if list(table.columns) == ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]:
        return _requests(path, table, tick, scale, number("trace.context_weight", trace["context_weight"]))
    wanted = "timestamp,value or TIMESTAMP,ContextTokens,GeneratedTokens"
    raise PointsmanError(f"trace.file: {path} must have the columns {wanted}, got {','.join(map(str, table.columns))}")


def _minutes(path: Path, table: pd.DataFrame, column: str, values: list[str]) -> np.ndarray:
    """Minutes of a column of times since 0:00 of the first day, in order; an error names the first bad row."""
    if table.empty:
        raise PointsmanError(f"trace.file: {path} has no rows")
    times = pd.to_datetime(table[column], format="ISO8601", errors="coerce")
    numbers = table[values].apply(pd.to_numeric, errors="coerce")
    bad = times.isna() | ~np.isfinite(numbers).all(axis=1) | (numbers < 0).any(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise PointsmanError(f"trace.file: line {row + 2} of {path} is bad: {','.join(map(str, table.iloc[row]))}")
    minutes = ((times - times.min().normalize()) / pd.Timedelta(minutes=1)).to_numpy(float)
    early = np.flatnonzero(np.diff(minutes) < 0)
    if len(early):
        raise PointsmanError(f"trace.file: line {early[0] + 3} of {path} is earlier than the line before")
    return minutes


def _counts(path: Path, table: pd.DataFrame, slot: float, scale: float) -> Recording:
    minutes = _minutes(path, table, "timestamp", ["value"])
    place = (minutes // slot).astype(int)
    counts = np.full(place[-1] + 1, np.nan)
    counts[place] = table["value"].to_numpy(float)
    missing, known = np.isnan(counts), np.flatnonzero(~np.isnan(counts))
    counts[missing] = np.interp(np.flatnonzero(missing), known, counts[known])
    return Recording(counts * scale, counts * scale, False)


def _requests(path: Path, table: pd.DataFrame, tick: float, scale: float, context_weight: float) -> Recording:
    """Time is counted from the first request's minute: such files hold an hour, not days."""
    minutes = _minutes(path, table, "TIMESTAMP", ["ContextTokens", "GeneratedTokens"])
    require(scale == 1.0, "trace.scale", "1 for a file of single requests", scale)
    minutes = minutes - np.floor(minutes[0])
    tokens = table["GeneratedTokens"].to_numpy(float) + context_weight * table["ContextTokens"].to_numpy(float)
    require(tokens.sum() > 0, "trace.file", "a file with some work", path)
    place = np.floor(minutes / tick + 1e-9).astype(int)
    size = place[-1] + 1
    counts, work = np.bincount(place, minlength=size).astype(float), np.bincount(place, tokens / tokens.mean(), size)
    return Recording(counts, work, True, float(tokens.std() / tokens.mean()))
