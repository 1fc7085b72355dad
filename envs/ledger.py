"""Named physical quantities per step, their prices, and the KPIs that are ratios of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.arrays import Floats
from pointsman.errors import PointsmanError, unknown


class Ledger:
    """Column names of a problem's ledger; a family `abandoned` may be split as `abandoned/<class>`."""

    def __init__(self, columns: Sequence[str]):
        self.columns = tuple(columns)
        families: dict[str, list[int]] = {}
        for position, column in enumerate(self.columns):
            for name in {column, column.split("/")[0]}:
                families.setdefault(name, []).append(position)
        self._positions = {name: np.array(found) for name, found in families.items()}

    def __getitem__(self, name: str) -> NDArray[np.int64]:
        """Positions of a column, or of all columns of a family."""
        if name not in self._positions:
            raise unknown("ledger column", name, self._positions)
        return self._positions[name]

    def __contains__(self, name: str) -> bool:
        return name in self._positions

    def total(self, rows: Floats, name: str) -> Floats:
        """Sum of a column or family over the last axis of rows[..., C]."""
        return rows[..., self[name]].sum(-1)

    def price_vector(self, prices: Mapping[str, float]) -> Floats:
        """Prices as a vector [C]; a price of a class overrides that of its family."""
        vector = np.zeros(len(self.columns))
        for name in sorted(prices, key=lambda key: "/" in key):
            if name not in self:
                raise unknown("price: ledger column", name, self._positions)
            if not np.isfinite(prices[name]):
                raise PointsmanError(f"prices.{name} must be a finite number, got {prices[name]}")
            vector[self[name]] = prices[name]
        return vector


@dataclass(frozen=True)
class Ratio:
    """KPI: the sum of some columns over the sum of others."""

    over: tuple[str, ...]
    under: tuple[str, ...]
    unit: str = ""
    doc: str = ""

    def __call__(self, ledger: Ledger, rows: Floats) -> Floats:
        """Value per row of rows[..., C]; NaN where the denominator is 0."""
        over = sum(ledger.total(rows, name) for name in self.over)
        under = sum(ledger.total(rows, name) for name in self.under)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(under > 0, over / under, np.nan)


@dataclass(frozen=True)
class Percentile:
    """KPI: percentile of a quantity that the ledger counts in buckets; linear inside a bucket.

    Bucket k holds values from edges[k] up to edges[k + 1]; the last is open, and gives its lower edge.
    """

    family: str
    edges: tuple[float, ...]
    level: float
    unit: str = ""
    doc: str = ""

    def __call__(self, ledger: Ledger, rows: Floats) -> Floats:
        """Value per row of rows[..., C]; NaN without counts."""
        counts = rows[..., ledger[self.family]]
        cumulative = counts.cumsum(-1)
        wanted = self.level * cumulative[..., -1:]
        bucket = np.minimum((cumulative < wanted).sum(-1, keepdims=True), counts.shape[-1] - 1)
        inside = np.take_along_axis(counts, bucket, -1)
        below = np.take_along_axis(cumulative, bucket, -1) - inside
        low, high = np.array(self.edges)[bucket], np.append(self.edges[1:], self.edges[-1])[bucket]
        value = low + (high - low) * (wanted - below) / np.maximum(inside, 1e-300)
        return np.where(cumulative[..., -1] > 0, value[..., 0], np.nan)


Kpi = Ratio | Percentile
