"""What is wrong with a log, row by row, and in a line."""

from typing import Any, NamedTuple

import pandas as pd

REPAIRED, EPISODE_OUT, PENDING, NO_WEIGHTS, FILE = "repaired", "episode left out", "censored", "no weights", "no verdict"
"""What becomes of a violation: put right; its whole episode is left out, being bad or still waiting for an outcome; its
propensity is not used; any verdict is refused."""


class Violation(NamedTuple):
    """One thing that is wrong in one row; row 0 is the file."""

    row: int
    column: str
    value: str
    why: str
    effect: str


def summary(violations: pd.DataFrame, most: int = 3) -> str:
    """Kinds of violations, each with its number, its first rows and what became of them."""
    if violations.empty:
        return "no violations"
    kinds = []
    for (column, why, effect), group in violations.groupby(["column", "why", "effect"], sort=False):
        where = f" (row {some(group['row'].to_numpy(), most)})" if group["row"].iloc[0] else ""
        kinds.append(f"{len(group)} x {column} {why}{where}, {effect}".replace("  ", " "))
    return "; ".join(kinds)


def some(rows: Any, most: int = 3) -> str:
    """The first of the rows, and how many more there are."""
    shown = ", ".join(str(int(row)) for row in rows[:most])
    return shown + (f" and {len(rows) - most} more" if len(rows) > most else "")
