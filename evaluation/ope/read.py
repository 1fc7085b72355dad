"""Reads and checks a decision log: parquet or CSV with its sidecar; every violation has the number of its row.

Rows are numbered from 1, without the header. What is wrong is repaired (table.py) or left out, and reported either way.
"""

import gzip
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from pointsman.envs.problem import Layout
from pointsman.errors import PointsmanError
from pointsman.evaluation.ope import values
from pointsman.evaluation.ope.log import DecisionLog
from pointsman.evaluation.ope.schema import Sidecar, sha256, sidecar_of
from pointsman.evaluation.ope.table import LogTable
from pointsman.evaluation.ope.violations import EPISODE_OUT, FILE, Violation, some, summary

MAX_BAD_SHARE = 0.01
"""More rows than this share that are left out, or whose propensity cannot be used, and no verdict rests on the log."""
MAX_PENDING = 0.05
"""More rows than this share in episodes whose outcomes are still pending: those known are no fair sample."""


class Checked(NamedTuple):
    """A log as read: its good episodes (None if there are none), and all that is wrong."""

    log: DecisionLog | None
    violations: pd.DataFrame
    rows: int

    @property
    def sound(self) -> bool:
        """Nothing is wrong at all."""
        return self.violations.empty


def read(path: str | Path, sidecar: Sidecar | None = None) -> DecisionLog:
    """The log at a path, with what its violations mean for a verdict in `trouble` and `notes`."""
    checked = check(path, sidecar)
    if checked.log is None:
        raise PointsmanError(f"{path}: no whole episode is left; {summary(checked.violations)}")
    return checked.log


def check(path: str | Path, sidecar: Sidecar | None = None) -> Checked:
    """Read a log and list every violation."""
    path = Path(path)
    if not path.is_file():
        raise PointsmanError(f"log: no file at {path}")
    side = sidecar or Sidecar.read(path)
    frame, found = load(path)
    expected = side.hashes.get(path.name)
    if expected and sha256(path) != expected:
        found.append(
            Violation(0, "", path.name, f"is not the file whose hash {sidecar_of(path).name} has: cut off or changed", FILE)
        )
    return check_frame(frame, side, found)


def load(path: Path) -> tuple[pd.DataFrame, list[Violation]]:
    """The table of a file, with the column `row`; rows of a CSV with too few or too many cells are violations."""
    if not path.is_file():
        raise PointsmanError(f"log: no file at {path}")
    name = path.name.removesuffix(".gz")
    found: list[Violation] = []
    try:
        if name.endswith(".parquet"):
            frame = pa.parquet.read_table(path).to_pandas()
            frame["row"] = np.arange(1, len(frame) + 1)
            return frame, found
        if not name.endswith(".csv"):
            raise PointsmanError(f"log: {path} must end in .parquet, .csv or .csv.gz")
        return _load_csv(path, found), found
    except (pa.ArrowException, OSError, EOFError, gzip.BadGzipFile) as error:
        reason = " ".join(str(error).split())[:200]
        raise PointsmanError(f"log: {path} is not readable, it may be cut off: {reason}") from None


def _load_csv(path: Path, found: list[Violation]) -> pd.DataFrame:
    def wrong(bad: Any) -> str:
        # pyarrow counts the header as row 1.
        why = f"row has {bad.actual_columns} cells, the header {bad.expected_columns}"
        found.append(Violation(bad.number - 1, "", str(bad.text)[:80], why, EPISODE_OUT))
        return "skip"

    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        header = file.readline().strip().split(",")
    text = {
        name: pa.string() for name in header if name.split(".")[0] not in ("obs", "reward", "ledger", "elapsed", "propensity")
    }
    table = pa.csv.read_csv(
        path,
        read_options=pa.csv.ReadOptions(use_threads=False),
        parse_options=pa.csv.ParseOptions(invalid_row_handler=wrong),
        convert_options=pa.csv.ConvertOptions(column_types=text, strings_can_be_null=True),
    )
    frame = table.to_pandas()
    bad = np.array([one.row for one in found], np.int64)
    frame["row"] = np.setdiff1d(np.arange(1, len(frame) + len(bad) + 1), bad)
    return frame


def check_frame(frame: pd.DataFrame, side: Sidecar, found: list[Violation] | None = None) -> Checked:
    """Check a table with the column `row` (added if it is missing), as `check` does a file."""
    table = LogTable(frame, side, found or [])
    table.sort()
    action = values.actions_of(table)
    mask, joint = values.masks_of(table, action)
    reward, late = values.rewards_of(table)
    elapsed = table.numbers("elapsed", 1.0, lambda x: x >= 0, "must be a number of at least 0")
    names, observation = values.observations_of(table)
    propensity, distribution, source = values.propensities_of(table, action, joint)
    day = values.days_of(table)
    leave, trouble, notes = _left_out(table, late)
    frame = pd.DataFrame(table.found, columns=list(Violation._fields)).sort_values("row", kind="stable", ignore_index=True)
    if len(frame):
        notes.append(f"{summary(frame)}")
    if late.any():
        notes.append(f"{len(np.unique(table.episode[late]))} episodes wait for outcomes and are left out")
    keep = ~leave & ~late
    if not keep.any():
        return Checked(None, frame, table.rows)
    length = np.bincount(pd.factorize(table.episode[keep])[0])
    layout = Layout(
        names[: len(names) - side.window * len(side.candidates)],
        side.candidates,
        side.window,
        side.parts or (len(side.actions),),
    )
    log = DecisionLog(
        np.ascontiguousarray(observation[keep]), mask[keep], action[keep], propensity[keep], reward[keep], elapsed[keep],
        table.terminated[keep], np.concatenate([[0], np.cumsum(length)]), side,
        None if distribution is None else distribution[keep], source, day[keep], table.frame["row"].to_numpy()[keep],
        trouble=tuple(trouble), notes=tuple(notes), layout=layout,
    )  # fmt: skip
    return Checked(log, frame, table.rows)


def _left_out(table: LogTable, late: Any) -> tuple[Any, list[str], list[str]]:
    """Rows of episodes that are left out, why no verdict may rest on what is left, and what else is to be said."""
    n = table.rows
    leave = np.isin(table.episode, np.unique(table.episode[table.out])) | (table.episode < 0)
    unusable = table.unusable & ~leave & ~late
    trouble: list[str] = []
    notes: list[str] = []
    share = unusable.sum() / max((~leave & ~late).sum(), 1)
    if 0 < share <= MAX_BAD_SHARE:
        leave = leave | np.isin(table.episode, np.unique(table.episode[unusable]))
        notes.append(f"{int(unusable.sum())} rows have no propensity to use: their episodes are left out")
    elif share:
        rows = table.frame["row"].to_numpy()[unusable]
        trouble.append(
            f"{int(unusable.sum())} of {n} rows have no propensity to use (row {some(rows)}): weighting is refused"
        )  # fmt: skip
    bad = sum(one.row > 0 for one in table.found if not one.column) + int(table.out.sum())
    if bad > MAX_BAD_SHARE * n:
        trouble.append(f"{bad} of {n} rows are bad, more than {100 * MAX_BAD_SHARE:g} %")
    trouble += [f"{one.value} {one.why}" for one in table.found if one.effect == FILE]
    if late.sum() > MAX_PENDING * n:
        waiting = f"{100 * late.sum() / n:.0f} % of the rows are in episodes that wait for outcomes"
        trouble.append(f"{waiting}: those known are no fair sample")
    return leave, trouble, notes
