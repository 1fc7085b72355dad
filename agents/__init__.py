"""Policies and learners; they name no problem."""

from inspect import signature
from typing import Any

from pointsman.agents.named import named_class
from pointsman.errors import PointsmanError, unknown


def build_learner(config: dict[str, Any]) -> Any:
    """The learner that `_target_` names, a class of this package or of a plug-in; the other keys are its arguments."""
    arguments = {key: value for key, value in config.items() if key not in ("_target_", "name")}
    target = str(config.get("_target_"))
    try:
        learner = named_class(target)
    except PointsmanError as error:
        raise PointsmanError(f"agent._target_: {error}") from None
    if not hasattr(learner, "fit"):
        raise PointsmanError(f"agent._target_: {target} is no learner")
    wanted = signature(learner).parameters
    for key, value in arguments.items():
        if key not in wanted:
            raise unknown("key", f"agent.{key}", [f"agent.{name}" for name in wanted])
        kind = wanted[key].annotation
        fits = kind not in (int, float, str, bool) or isinstance(value, int | float if kind is float else kind)
        fits = fits and (kind not in (int, float) or not isinstance(value, bool))
        if not fits:
            raise PointsmanError(f"agent.{key} must be of type {kind.__name__}, got {value!r}")
    missing = [key for key, p in wanted.items() if p.default is p.empty and key not in arguments]
    if missing:
        raise PointsmanError(f"agent.{missing[0]} is missing")
    return learner(**arguments)
