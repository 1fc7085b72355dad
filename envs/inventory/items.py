"""A table of items, one a row: costs, lead time, least order and weekly demand, from which one item's problem is made.

Columns: sku, units_per_pack, fixed_cost_per_order_eur, holding_cost_eur_per_unit_year, lead_time_weeks, min_order_qty, and
a column per week named like 2012-W01. Others are ignored. Quantities are in packs, of which pieces may be sold.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pointsman.envs.checks import require
from pointsman.envs.inventory.demand import checked
from pointsman.errors import PointsmanError, unknown

WEEKS_PER_YEAR = 52.0
WEEK = re.compile(r"\d{4}-W\d{2}")
PACK, FIXED, HOLDING, LEAD, LEAST = COLUMNS = (
    "units_per_pack", "fixed_cost_per_order_eur", "holding_cost_eur_per_unit_year", "lead_time_weeks", "min_order_qty",
)  # fmt: skip


def with_item(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration with what the table knows of its item; as it is where none is named.

    With demand=trace the recorded weeks are replayed, with demand=intermittent a fit to them is drawn from.
    """
    if config["items"] is None:
        require(config["item"] is None, "item", "null, or items the path of the table that it stands in", config["item"])
        return config
    row = _row(config["items"], config["item"])
    costs = {key: _entry(row, name) for key, name in (("fixed_cost", FIXED), ("holding_cost", HOLDING))}
    if config["item_unit"] not in ("pack", "piece"):
        raise unknown("item_unit", config["item_unit"], ("pack", "piece"))
    pieces = max(_entry(row, PACK, True), 1) if config["item_unit"] == "piece" else 1
    costs["holding_cost"] /= WEEKS_PER_YEAR * pieces
    counts = {"lead_time": _entry(row, LEAD, True), "min_order": max(pieces * _entry(row, LEAST, True), 1)}
    weekly = weeks(row, pieces)
    if config["demand"] == "trace":
        fitted: dict[str, Any] = dict.fromkeys(("demand_probability", "size_mean", "size_variance"))
        fitted["trace"] = [int(units) for units in weekly]
    elif config["demand"] == "intermittent":
        fitted = {"trace": None} | fit(weekly, row["sku"])
    else:
        raise PointsmanError(f"demand must be trace or intermittent for an item of a table, got {config['demand']}")
    return dict(config) | costs | counts | fitted


def fit(weekly: NDArray[np.float64], sku: str) -> dict[str, float]:
    """Share of weeks with demand, and mean and variance of the units in them (by moments)."""
    sizes = weekly[weekly > 0]
    if not len(sizes):
        raise PointsmanError(f"item {sku} has no demand in any of its {len(weekly)} weeks: nothing can be fitted")
    variance = float(sizes.var(ddof=1)) if len(sizes) > 1 else 0.0
    return {"demand_probability": len(sizes) / len(weekly), "size_mean": float(sizes.mean()), "size_variance": variance}


def weeks(row: Mapping[str, str], pieces: int = 1) -> NDArray[np.float64]:
    """An item's weekly demand, in packs or `pieces` times as many; an error names the item and the week that does not do."""
    names = [name for name in row if WEEK.fullmatch(name)]
    given = [row[name] for name in names]
    found = pd.to_numeric(pd.Series(given), errors="coerce").to_numpy(np.float64)
    if pieces > 1:
        found = np.round(pieces * found, 6)
    elif (found % 1 > 0).any():
        k = int((found % 1 > 0).argmax())
        raise PointsmanError(
            f"item {row['sku']}: demand of {names[k]} must be a whole number of packs, got '{given[k]}': "
            "item_unit=piece counts in pieces"
        )
    return checked(found, lambda k: f"item {row['sku']}: demand of {names[k]}", given)


@lru_cache(maxsize=4)
def _table(path: str, changed: int) -> pd.DataFrame:
    """The table as text, by the path and the time of its last change."""
    del changed
    try:
        found = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, OSError, EOFError) as error:  # pandas's own errors are ValueErrors
        raise PointsmanError(f"items: {path} is not a CSV file: {' '.join(str(error).split())}") from None
    for name in ("sku", *COLUMNS):
        if name not in found:
            raise PointsmanError(f"items: {path} has no column {name}")
    if not any(WEEK.fullmatch(name) for name in found):
        raise PointsmanError(f"items: {path} has no column of a week, such as 2012-W01")
    return found


def table(path: str) -> pd.DataFrame:
    """All items of a file, every entry as text."""
    if not Path(path).is_file():
        raise PointsmanError(f"items: no file at {path}")
    return _table(path, Path(path).stat().st_mtime_ns)


def _row(path: str, item: Any) -> dict[str, str]:
    """One item's entries."""
    items = table(path)
    require(item is not None, "item", f"the sku of one of the {len(items):,} items of {path}", "null")
    found = items[items["sku"] == str(item)]
    if not len(found):
        raise unknown("item", str(item), list(items["sku"]))
    return {str(name): str(entry) for name, entry in found.iloc[0].items()}


def _entry(row: Mapping[str, str], column: str, whole: bool = False) -> Any:
    """One number of an item; an error names the item and the column."""
    text = row[column]
    value = pd.to_numeric(text, errors="coerce") if text.strip() else np.nan
    wanted = "a whole number of at least 0" if whole else "a number of at least 0"
    good = np.isfinite(value) and value >= 0 and (not whole or value == int(value))
    require(good, f"item {row['sku']}: {column}", wanted, f"'{text}'" if text.strip() else "nothing: it is missing")
    return int(value) if whole else float(value)
