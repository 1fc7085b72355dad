"""A log as a table that is put in order: repeated rows, episodes and steps; violations gather on the way."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from pointsman.errors import PointsmanError, unknown
from pointsman.evaluation.ope.schema import COLUMNS, Sidecar
from pointsman.evaluation.ope.violations import EPISODE_OUT, NO_WEIGHTS, REPAIRED, Violation

FLAGS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


class LogTable:
    """A table of decisions sorted by episode and step; `found` has its violations, `out` the rows of episodes to leave out."""

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

    def unweighted(self, bad: Any, column: str, why: str) -> None:
        """Note rows whose propensity cannot be used."""
        self.flag(bad, column, why, NO_WEIGHTS)
        self.unusable |= np.asarray(bad, bool)

    def sort(self) -> None:
        """Drop repeated rows, put episodes and steps in order, and check that they are whole."""
        self.out = np.zeros(len(self.frame), bool)
        self._duplicates()
        self.unusable = np.zeros(len(self.frame), bool)
        step = self._integers("step")
        episode = pd.factorize(self.frame["episode_id"].astype(str).where(self.frame["episode_id"].notna()))[0]
        self.flag(episode < 0, "episode_id", "is missing")
        self._order(episode, step)
        self._episodes()

    def _duplicates(self) -> None:
        """Repeated rows are dropped; a repeated id of another content is not to be told from the right one."""
        frame = self.frame
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
        self.frame, self.out = frame.loc[~copy].reset_index(drop=True), self.out[~copy]

    def _order(self, episode: Any, step: Any) -> None:
        """Sort by episode (in the order of their first rows) and step."""
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

    def numbers(self, column: str, default: float, good: Callable[[Any], Any], why: str) -> Any:
        """A column of numbers, with the default where it is absent or not `good`."""
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
