"""A small notation for changes of a configuration: absolute ones, and ones relative to what is there.

`key: value` sets a key. Relative changes are written as a mapping:

    {times: 2}                                    every number times 2 ({times: 0.7, whole: true}: rounded to whole ones)
    {towards: mean, by: 0.5, weights: other.key}  each number half the way to their mean, or to a number given
    {flip: true}                                  the largest takes the value of the smallest, and so on

Keys are dotted; a `*` stands for every name or list entry at its place (`teams.*.staff`), and `flip` then works across
them. A relative change of a key that is null changes nothing, or with `fill: x` beside it what null counts as. A key that the
configuration does not have is an error.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pointsman.envs.checks import require
from pointsman.errors import PointsmanError, unknown

OPERATIONS = {"times": {"whole", "fill"}, "towards": {"by", "weights", "fill"}, "flip": set()}
"""Relative changes, and what may stand beside each."""


def changed(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides (dotted key: value) that the changes mean for a complete configuration; without those that change nothing."""
    found: dict[str, Any] = {}
    for pattern, change in changes.items():
        before = {key: _get(config, key) for key in _keys(config, str(pattern))}
        for key, value in _apply(config, str(pattern), before, change).items():
            if value != before[key]:
                found[key] = value
    return found


def _apply(config: Mapping[str, Any], pattern: str, before: dict[str, Any], change: Any) -> dict[str, Any]:
    """New values of the keys of one pattern."""
    operation = next((name for name in OPERATIONS if isinstance(change, Mapping) and name in change), None)
    if operation is None:
        return dict.fromkeys(before, change)
    _check(pattern, operation, change)
    filled = {key: change.get("fill") if value is None else value for key, value in before.items()}
    present = {key: value for key, value in filled.items() if value is not None}
    if operation == "times":
        return {key: _each(value, lambda x: _times(x, change), key) for key, value in present.items()}
    if operation == "towards":
        return {key: _towards(config, key, value, change) for key, value in present.items()}
    if len(before) == 1 and "*" not in pattern:
        return {key: _flip(_numbers(value, key)) for key, value in present.items()}
    return dict(zip(present, _flip([_number(value, key) for key, value in present.items()]), strict=True))


def _check(pattern: str, operation: str, change: Mapping[str, Any]) -> None:
    """An error that names the part of a relative change that is not what it must be."""
    for name, value in change.items():
        if name != operation and name not in OPERATIONS[operation]:
            raise unknown(f"part of {pattern}: {operation},", str(name), sorted(OPERATIONS[operation]) or [operation])
        if name in ("whole", "flip"):
            require(value is True, f"{pattern}.{name}", "true, or left out", repr(value))
        elif name == "fill":
            _each(value, lambda x: x, f"{pattern}.fill")
        elif name != "weights" and (name, value) != ("towards", "mean"):
            good = isinstance(value, int | float) and not isinstance(value, bool)
            require(good, f"{pattern}.{name}", "a number", repr(value))


def _times(x: float, change: Mapping[str, Any]) -> float:
    product = x * change["times"]
    return round(product) if change.get("whole") or (isinstance(x, int) and float(product).is_integer()) else product


def _towards(config: Mapping[str, Any], key: str, value: Any, change: Mapping[str, Any]) -> Any:
    target = change["towards"]
    if target == "mean":
        values, by = _numbers(value, key), str(change.get("weights", ""))
        weights = _numbers(_get(config, by), by) if by else [1.0] * len(values)
        good = len(weights) == len(values) and sum(weights) > 0
        require(good, by or key, f"{len(values) or 'some'} numbers with a positive sum", weights)
        target = float(np.average(values, weights=weights))
    return _each(value, lambda x: x + change.get("by", 1.0) * (target - x), key)


def _flip(values: list[float]) -> list[float]:
    """Values by reversed rank; of equal ones the last counts as the smallest, so that a falling list is turned round."""
    order = sorted(range(len(values)), key=lambda k: (values[k], -k))
    found = np.empty(len(values))
    found[order] = np.sort(values)[::-1]
    return [float(value) for value in found]


def _each(value: Any, change: Any, key: str) -> Any:
    """A change of every number inside lists and mappings."""
    if isinstance(value, list):
        return [_each(part, change, key) for part in value]
    if isinstance(value, Mapping):
        return {name: _each(part, change, key) for name, part in value.items()}
    return change(_number(value, key))


def _number(value: Any, key: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PointsmanError(f"{key}: only numbers can be changed by a factor, got {value!r}")
    return value


def _numbers(value: Any, key: str) -> list[Any]:
    if not isinstance(value, list):
        raise PointsmanError(f"{key}: this change needs a list of numbers, got {value!r}")
    return [_number(part, key) for part in value]


def _keys(config: Mapping[str, Any], pattern: str) -> list[str]:
    """The dotted keys that a pattern names."""
    found: list[tuple[str, Any]] = [("", config)]
    for part in pattern.split("."):
        ahead = []
        for prefix, node in found:
            below = _below(node)
            if part != "*" and part not in below:
                raise unknown("key", pattern, [f"{prefix}{name}" for name in below])
            ahead += [(f"{prefix}{name}.", below[name]) for name in (below if part == "*" else [part])]
        found = ahead
    return [prefix[:-1] for prefix, _ in found]


def _below(node: Any) -> Mapping[str, Any]:
    """What lies below a node, by name, or by place in a list."""
    if isinstance(node, list):
        return {str(place): part for place, part in enumerate(node)}
    return node if isinstance(node, Mapping) else {}


def _get(config: Mapping[str, Any], key: str) -> Any:
    node: Any = config
    for part in key.split("."):
        below = _below(node)
        if part not in below:
            raise unknown("key", key, below)
        node = below[part]
    return node
