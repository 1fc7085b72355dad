"""Reads and checks a decision log: parquet or CSV with its sidecar; every violation has the number of its row.

Rows are numbered from 1, without the header. What is wrong is repaired or left out as `RULES` says, and reported either way.
"""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from pointsman.envs.problem import Layout
from pointsman.errors import PointsmanError, unknown
from pointsman.evaluation.ope.log import DecisionLog, joint_mask
from pointsman.evaluation.ope.schema import COLUMNS, SOURCES, Sidecar, sha256, sidecar_of

REPAIRED, EPISODE_OUT, PENDING, NO_WEIGHTS, FILE = "repaired", "episode left out", "censored", "no weights", "no verdict"
"""What becomes of a violation: put right; its whole episode is left out, being bad or still waiting for an outcome; its
propensity is not used; any verdict is refused."""
MAX_BAD_SHARE = 0.01
"""More rows than this share that are left out, or whose propensity cannot be used, and no verdict rests on the log."""
MAX_PENDING = 0.05
"""More rows than this share in episodes whose outcomes are still pending: those known are no fair sample."""
SUMS = 1e-4
"""How far probabilities may be from summing to 1, and a propensity from its entry."""
LISTS = ("action_probabilities", "mask")
FLAGS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


class Violation(NamedTuple):
    """One thing that is wrong in one row; row 0 is the file."""

    row: int
    column: str
    value: str
    why: str
    effect: str


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
        raise PointsmanError(f"{path}: no whole episode is left; {summary(checked)}")
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
    return _Check(frame, side, found or []).run()


class _Check:
    """One pass over a table; violations gather in `found`, rows of episodes to leave out in `out`."""

    def __init__(self, frame: pd.DataFrame, side: Sidecar, found: list[Violation]):
        self.side, self.found, self.rows = side, found, len(frame) + sum(one.row > 0 for one in found)
        self.frame = frame if "row" in frame else frame.assign(row=np.arange(1, len(frame) + 1))
        for name in COLUMNS:
            if name not in self.frame:
                raise unknown("column in the log: it lacks", name, self.frame.columns)
        self.seen = [name for name in self.frame if name.startswith("obs.")]
        if not any(name == "reward" or name.startswith(("reward.", "ledger.")) for name in self.frame):
            raise PointsmanError("the log has no column reward, reward.<part> or ledger.<column>")
        if not self.seen:
            raise PointsmanError("the log has no column obs.<name>")
        expected = [f"obs.{name}" for name in side.context]
        for name in expected:
            if name not in self.frame:
                raise unknown("column in the log: it lacks", name, self.seen)
        if frame.empty:
            raise PointsmanError("the log has no rows" + (f"; {found[0].why} (row {found[0].row})" if found else ""))

    def flag(self, bad: Any, column: str, why: str, effect: str = EPISODE_OUT) -> None:
        """Note rows of the table in which something is wrong."""
        places = np.flatnonzero(np.asarray(bad, bool))
        if not len(places):
            return
        rows = self.frame["row"].to_numpy()[places]
        values = self.frame[column].iloc[places] if column in self.frame else [""] * len(places)
        self.found += [
            Violation(int(r), column, str(v)[:60], why, effect) for r, v in zip(rows, values, strict=True)
        ]  # fmt: skip
        if effect == EPISODE_OUT:
            self.out[places] = True

    def run(self) -> Checked:
        """Check everything, in the order in which one thing needs another."""
        self._duplicates()
        self.out = np.zeros(len(self.frame), bool)
        self._unusable = np.zeros(len(self.frame), bool)
        step = self._integers("step")
        episode = pd.factorize(self.frame["episode_id"].astype(str).where(self.frame["episode_id"].notna()))[0]
        self.flag(episode < 0, "episode_id", "is missing")
        self._order(episode, step)
        self._episodes()
        action = self._actions()
        mask, joint = self._mask(action)
        reward, pending = self._rewards()
        elapsed = self._numbers("elapsed", 1.0, lambda x: x >= 0, "must be a number of at least 0")
        observation = self._observations()
        propensity, distribution, source = self._propensities(action, joint)
        day = self._times()
        return self._finish(observation, mask, action, reward, pending, elapsed, propensity, distribution, source, day)

    def _duplicates(self) -> None:
        """Repeated rows are dropped; a repeated id of another content is not to be told from the right one."""
        frame, self.out = self.frame, np.zeros(len(self.frame), bool)
        again = frame["decision_id"].duplicated(keep=False).to_numpy() & frame["decision_id"].notna().to_numpy()
        self.flag(frame["decision_id"].isna(), "decision_id", "is missing", REPAIRED)
        if not again.any():
            return
        text = frame.loc[again].drop(columns="row").astype(str)
        copy = np.zeros(len(frame), bool)
        copy[np.flatnonzero(again)] = text.duplicated().to_numpy()
        self.flag(copy, "decision_id", "repeats an earlier row in every column: dropped", REPAIRED)
        rest = frame.loc[~copy, "decision_id"]
        conflict = np.zeros(len(frame), bool)
        conflict[np.flatnonzero(~copy)] = rest.duplicated(keep=False).to_numpy() & rest.notna().to_numpy()
        self.flag(conflict, "decision_id", "names two different rows")
        conflict_rows = set(frame.loc[conflict, "row"])
        self.frame = frame.loc[~copy].reset_index(drop=True)
        self._conflicts = self.frame["row"].isin(conflict_rows).to_numpy()

    def _order(self, episode: Any, step: Any) -> None:
        """Sort by episode (in the order of their first rows) and step."""
        if hasattr(self, "_conflicts"):
            self.out |= self._conflicts
        order = np.lexsort((step, episode))
        moved = order != np.arange(len(order))
        if moved.any():
            apart = np.r_[False, (np.diff(step) < 0) & (np.diff(episode) == 0)]
            split = np.r_[False, np.diff(episode) < 0]
            self.flag(apart, "step", "comes after a later step of its episode: put in order", REPAIRED)
            if not apart.any() and not split.any():
                self.flag(moved, "step", "is out of order: put in order", REPAIRED)
            self.flag(split & ~apart, "episode_id", "continues an episode after rows of another: put in order", REPAIRED)
            self.frame = self.frame.iloc[order].reset_index(drop=True)
            self.out = self.out[order]
            episode, step = episode[order], step[order]
        self.episode, self.step = episode, step
        self.first = np.r_[True, np.diff(episode) != 0]
        self.last = np.r_[np.diff(episode) != 0, True]

    def _episodes(self) -> None:
        """Steps without gaps, from 0 to an end."""
        self.flag(self.first & (self.step != 0), "step", "is the first of its episode, and not 0: its beginning is missing")
        gap = np.r_[False, np.diff(self.step) != 1] & ~self.first
        self.flag(gap, "step", "does not follow the one before by 1: a decision is missing or double")
        self.terminated, self.truncated = self._flags("terminated"), self._flags("truncated")
        self.flag(self.terminated & self.truncated, "terminated", "and truncated are both true")
        ends = self.terminated | self.truncated
        self.flag(ends & ~self.last, "terminated", "or truncated is true, and the episode goes on")
        self.flag(self.last & ~ends, "terminated", "and truncated are false, and no decision follows: the episode is cut off")

    def _actions(self) -> Any:
        """Joint actions; one that cannot be read is 0 and flagged."""
        side, column = self.side, self.frame["action"]
        names = joint_names(side)
        place = {name: k for k, name in enumerate(names)}
        found = column.astype(str).str.strip().map(place)
        if found.isna().any():
            numbers = pd.to_numeric(column, errors="coerce")
            whole = numbers.notna() & (numbers % 1 == 0) & numbers.between(0, len(names) - 1)
            found = found.fillna(numbers.where(whole))
        self.flag(found.isna(), "action", f"is neither one of 0 to {len(names) - 1} nor one of the names")
        return found.fillna(0).to_numpy(np.int64)

    def _mask(self, action: Any) -> tuple[Any, Any]:
        """Masks of the parts, and joint ones; all is legal where the log has none."""
        width = len(self.side.actions)
        layout = Layout((), (), 0, self.side.parts or (width,))
        if "mask" in self.frame:
            lists, bad = _lists(self.frame["mask"], width)
            self.flag(bad, "mask", f"is not a list of {width} times 1 or 0")
            mask = lists > 0.5
            mask[bad] = True
        else:
            mask = np.ones((len(self.frame), width), bool)
        joint = joint_mask(mask, layout.parts)
        self.flag(~joint[np.arange(len(joint)), action], "action", "is one that the mask forbids")
        return mask, joint

    def _rewards(self) -> tuple[Any, Any]:
        """Rewards, and where the outcome is still pending."""
        frame, side = self.frame, self.side
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
            self.flag(np.isnan(reward) & ~pending, "reward", "is not a number")
            if total is not None:
                apart = np.abs(reward - total) > 1e-6 * np.maximum(1.0, np.abs(reward))
                self.flag(apart & ~pending, "reward", "is not the sum of the columns reward.*")
        else:
            if total is None:
                raise PointsmanError("ledger columns make no reward without prices in the sidecar")
            reward, pending = np.asarray(total), np.isnan(total)
        if "outcome_ts" in frame and "reward" in frame:
            # A reward of 0 that waits for its outcome is no reward.
            waits = frame["outcome_ts"].isna().to_numpy() & ~pending & (reward == 0) & frame["outcome_ts"].notna().any()
            self.flag(waits, "reward", "is 0 while outcome_ts is missing: the outcome is pending, which is not 0", PENDING)
            pending = pending | waits
        self.flag(np.isinf(reward), "reward", "is infinite")
        if side.reward_range is not None:
            low, high = side.reward_range
            outside = ~pending & ((reward < low - 1e-9) | (reward > high + 1e-9))
            self.flag(outside, "reward", f"lies outside the declared range {low:g} to {high:g}")
        late = self._pending_episodes(pending)
        absent = frame["reward"].isna().to_numpy() if "reward" in frame else pending
        self.flag(absent, "reward", "is pending: its episode is left out, not counted as 0", PENDING)
        return np.where(pending, 0.0, np.nan_to_num(reward)), late

    def _pending_episodes(self, pending: Any) -> Any:
        """Rows of episodes in which an outcome is pending."""
        return np.isin(self.episode, np.unique(self.episode[pending]))

    def _observations(self) -> Any:
        side = self.side
        names = [f"obs.{name}" for name in side.context]
        names += [f"obs.{entry} of candidate {m}" for m in range(side.window) for entry in side.candidates]
        names = names or self.seen
        self.names = tuple(name.removeprefix("obs.") for name in names)
        columns = []
        for name in names:
            if name not in self.frame:
                raise unknown("column in the log: it lacks", name, self.seen)
            column = self.frame[name]
            if column.dtype == object or str(column.dtype) in ("str", "string", "category"):
                numbers = pd.to_numeric(column, errors="coerce")
                if numbers.isna().sum() > column.isna().sum():
                    # Words: numbered in their alphabetical order.
                    numbers = pd.Series(pd.factorize(column, sort=True)[0], dtype=float).replace(-1.0, np.nan)
                column = numbers
            values = column.to_numpy(np.float32, na_value=np.nan)
            self.flag(~np.isfinite(values), name, "is not a finite number")
            columns.append(np.nan_to_num(values))
        return np.column_stack(columns)

    def _propensities(self, action: Any, joint: Any) -> tuple[Any, Any, str]:
        """Propensities (NaN: unusable), all probabilities if there, and where they are from."""
        frame, n, actions = self.frame, len(self.frame), joint.shape[1]
        source = "logged"
        if "propensity_source" in frame:
            told = frame["propensity_source"].fillna("unknown").astype(str).to_numpy()
            self.flag(~np.isin(told, SOURCES), "propensity_source", f"is none of {', '.join(SOURCES)}", NO_WEIGHTS)
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
            self._unweighted(bad, "action_probabilities", f"is not a list of {actions} numbers")
            distribution[bad] = 1.0 / actions
            sums = np.abs(distribution.sum(1) - 1.0) > SUMS
            self._unweighted(sums, "action_probabilities", "do not sum to 1")
            self._unweighted((distribution < 0).any(1), "action_probabilities", "hold a negative number")
            self._unweighted((np.where(joint, 0.0, distribution) > SUMS).any(1), "action_probabilities",
                             "give an action that the mask forbids")  # fmt: skip
            mine = distribution[np.arange(n), action]
            if "propensity" in frame:
                apart = np.abs(given - mine) > SUMS
                self._unweighted(apart & ~bad & ~sums, "propensity", "is not the entry of action_probabilities")
            given = np.where(np.isnan(given) & ~bad, mine, given)
        missing = np.isnan(given)
        if missing.all():
            self.found.append(Violation(0, "propensity", "", "is missing in every row", NO_WEIGHTS))
            self._unusable[:] = True
        else:
            self._unweighted(missing, "propensity", "is missing")
        self._unweighted(given <= 0, "propensity", "must be above 0: an action that was taken had some probability")
        self._unweighted(given > 1 + SUMS, "propensity", "must be at most 1")
        floor = self.side.propensity_floor
        if floor is not None:
            self._unweighted(
                (given > 0) & (given < floor * (1 - 1e-6)), "propensity", f"is below the declared floor of {floor:g}"
            )
        if "override_by" in frame:
            by_hand = frame["override_by"].notna().to_numpy() & (frame["override_by"].astype(str) != "").to_numpy()
            self._unweighted(by_hand, "override_by", "decided otherwise: the propensity is not that of this action")
        return np.where(self._unusable, np.nan, np.minimum(given, 1.0)), distribution, source

    def _unweighted(self, bad: Any, column: str, why: str) -> None:
        self.flag(bad, column, why, NO_WEIGHTS)
        self._unusable |= np.asarray(bad, bool)

    def _times(self) -> Any:
        """Days since 1970; times must not fall within an episode."""
        moment = pd.to_datetime(
            self.frame["ts"], utc=True, errors="coerce", format=None if _is_time(self.frame["ts"]) else "ISO8601"
        )
        self.flag(moment.isna(), "ts", "is not a time")
        nanoseconds = moment.dt.as_unit("ns").astype("int64").to_numpy()
        back = np.r_[False, np.diff(nanoseconds) < 0] & ~self.first & moment.notna().to_numpy()
        self.flag(back, "ts", "lies before that of the step before")
        return np.where(moment.isna(), 0, nanoseconds // (86_400 * 10**9))

    def _numbers(self, column: str, default: float, good: Callable[[Any], Any], why: str) -> Any:
        if column not in self.frame:
            return np.full(len(self.frame), default)
        values = pd.to_numeric(self.frame[column], errors="coerce").to_numpy(float)
        bad = ~(np.isfinite(values) & good(np.nan_to_num(values)))
        self.flag(bad, column, why)
        return np.where(bad, default, values)

    def _integers(self, column: str) -> Any:
        values = pd.to_numeric(self.frame[column], errors="coerce")
        bad = values.isna() | (values % 1 != 0) | (values < 0)
        self.flag(bad, column, "must be a whole number of at least 0")
        return values.where(~bad, 0).to_numpy(np.int64)

    def _flags(self, column: str) -> Any:
        values = self.frame[column]
        if values.dtype == bool:
            return values.to_numpy()
        found = values.astype(str).str.strip().str.lower().map(FLAGS)
        self.flag(found.isna(), column, "is neither true nor false")
        return found.fillna(False).to_numpy(bool)

    def _finish(
        self, observation: Any, mask: Any, action: Any, reward: Any, late: Any, elapsed: Any, propensity: Any,
        distribution: Any, source: str, day: Any,
    ) -> Checked:  # fmt: skip
        side, n = self.side, self.rows
        leave = np.isin(self.episode, np.unique(self.episode[self.out])) | (self.episode < 0)
        unusable, trouble, notes = self._unusable & ~leave & ~late, [], []
        share = unusable.sum() / max((~leave & ~late).sum(), 1)
        if 0 < share <= MAX_BAD_SHARE:
            leave = leave | np.isin(self.episode, np.unique(self.episode[unusable]))
            notes.append(f"{int(unusable.sum())} rows have no propensity to use: their episodes are left out")
        elif share:
            rows = self.frame["row"].to_numpy()[unusable]
            trouble.append(
                f"{int(unusable.sum())} of {n} rows have no propensity to use (row {_some(rows)}): weighting is refused"
            )  # fmt: skip
        bad = sum(one.row > 0 for one in self.found if not one.column) + int(self.out.sum())
        if bad > MAX_BAD_SHARE * n:
            trouble.append(f"{bad} of {n} rows are bad, more than {100 * MAX_BAD_SHARE:g} %")
        trouble += [f"{one.value} {one.why}" for one in self.found if one.effect == FILE]
        if late.sum() > MAX_PENDING * n:
            waiting = f"{100 * late.sum() / n:.0f} % of the rows are in episodes that wait for outcomes"
            trouble.append(f"{waiting}: those known are no fair sample")
        frame = pd.DataFrame(self.found, columns=list(Violation._fields)).sort_values("row", kind="stable", ignore_index=True)
        if len(frame):
            notes.append(f"{summary_of(frame)}")
        if late.any():
            notes.append(f"{len(np.unique(self.episode[late]))} episodes wait for outcomes and are left out")
        keep = ~leave & ~late
        if not keep.any():
            return Checked(None, frame, n)
        length = np.bincount(pd.factorize(self.episode[keep])[0])
        names = self.names
        layout = Layout(
            names[: len(names) - side.window * len(side.candidates)],
            side.candidates,
            side.window,
            side.parts or (len(side.actions),),
        )
        log = DecisionLog(
            np.ascontiguousarray(observation[keep]), mask[keep], action[keep], propensity[keep], reward[keep], elapsed[keep],
            self.terminated[keep], np.concatenate([[0], np.cumsum(length)]), side,
            None if distribution is None else distribution[keep], source, day[keep], self.frame["row"].to_numpy()[keep],
            trouble=tuple(trouble), notes=tuple(notes), layout=layout,
        )  # fmt: skip
        return Checked(log, frame, n)


def summary(checked: Checked) -> str:
    """All violations in a line."""
    return summary_of(checked.violations)


def summary_of(violations: pd.DataFrame, most: int = 3) -> str:
    """Kinds of violations, each with its number, its first rows and what became of them."""
    if violations.empty:
        return "no violations"
    kinds = []
    for (column, why, effect), group in violations.groupby(["column", "why", "effect"], sort=False):
        where = f" (row {_some(group['row'].to_numpy(), most)})" if group["row"].iloc[0] else ""
        kinds.append(f"{len(group)} x {column} {why}{where}, {effect}".replace("  ", " "))
    return "; ".join(kinds)


def _some(rows: Any, most: int = 3) -> str:
    shown = ", ".join(str(int(row)) for row in rows[:most])
    return shown + (f" and {len(rows) - most} more" if len(rows) > most else "")


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


def _is_time(column: pd.Series) -> bool:
    return str(column.dtype).startswith("datetime")


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
