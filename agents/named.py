"""Which classes a file may name: configurations name learners, saved policies name what they are."""

from importlib import import_module
from typing import Any

from pointsman.envs import plugins
from pointsman.errors import PointsmanError


def named_class(name: str) -> Any:
    """The class module.Name of pointsman.agents or of a plug-in at hand; no other code is imported because a file names it."""
    module, _, last = name.rpartition(".")
    if not any(f"{module}.".startswith(f"{known}.") for known in ("pointsman.agents", *plugins.modules())):
        raise PointsmanError(f"{name} is neither a class of pointsman.agents nor of a module named in plugins=[...]")
    try:
        found = getattr(import_module(module), last)
    except (ImportError, AttributeError):
        raise PointsmanError(f"there is no {name}") from None
    if not isinstance(found, type) or found.__module__ != module:
        raise PointsmanError(f"{name} is no class of that module")
    return found
