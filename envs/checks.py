"""Checks of configuration values; every error names the key, what it must be, and what it is."""

import math
from typing import Any

import numpy as np

from pointsman.errors import PointsmanError

UNLIMITED = 1 << 40
"""A limit that nothing reaches."""


def require(holds: bool, key: str, wanted: str, value: Any) -> None:
    """Raise the error of a bad value: its key, what it must be, what it is."""
    if not holds:
        raise PointsmanError(f"{key} must be {wanted}, got {value}")


def number(key: str, value: Any, low: float = 0.0, strict: bool = False, high: float = math.inf) -> float:
    """A finite number in [low, high], or above low if strict."""
    wanted = f"a number {'above' if strict else 'of at least'} {low:g}" + (f" and at most {high:g}" if high < math.inf else "")
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    require(good and (value > low if strict else value >= low) and value <= high, key, wanted, value)
    return float(value)


def whole(key: str, value: Any, low: int = 0) -> int:
    """A whole number of at least `low`; 3.0 is one, 3.5 and true are not."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value == int(value)
    require(good and value >= low, key, f"a whole number of at least {low}", value)
    return int(value)


def numbers(key: str, values: Any, length: int | None = None, **limits: Any) -> np.ndarray:
    """A list of numbers, each checked."""
    require(isinstance(values, list) and len(values) > 0, key, "a list of numbers", values)
    require(length is None or len(values) == length, key, f"a list of {length} numbers", f"{len(values)} of them")
    return np.array([number(f"{key}[{k}]", value, **limits) for k, value in enumerate(values)])


def cumulative(key: str, weights: np.ndarray) -> np.ndarray:
    """Cumulative weights over the last axis, scaled to end at 1."""
    total = weights.sum(-1, keepdims=True)
    require(bool((total > 0).all()), key, "weights with a positive sum", weights.tolist())
    return np.ascontiguousarray(weights.cumsum(-1) / total)
