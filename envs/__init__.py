"""Problems: gymnasium environments, their rules and their exact optimum."""

from importlib import import_module
from importlib.resources import files
from typing import Any

import gymnasium
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pointsman.envs.core import BatchEnv, SingleEnv
from pointsman.envs.problem import Problem
from pointsman.errors import PointsmanError, unknown

FAMILIES = ("dispatch", "fleet", "queueing")
"""Problem families; each is a folder with kernel.py, env.py (SCHEMA, build), rules.py and exact.py."""


def presets() -> list[str]:
    """Names of the shipped problems, such as dispatch/mini."""
    root = files("pointsman.conf") / "env"
    found = [f"{family}/{file.name[:-5]}" for family in FAMILIES for file in (root / family).iterdir()]
    return sorted(name for name in found)


def configure(name: str, **overrides: Any) -> dict[str, Any]:
    """The complete configuration of a preset with overrides (nested ones as dicts or dotted keys)."""
    if name not in presets():
        raise unknown("problem", name, presets())
    preset = OmegaConf.load(str(files("pointsman.conf") / "env" / f"{name}.yaml"))
    own = {key: value for key, value in preset.items() if key != "defaults"}  # that one is Hydra's
    return complete(own, overrides)


def complete(given: Any, overrides: dict[str, Any] | None = None) -> dict[str, Any]:
    """Check a configuration against its family's schema and fill in the defaults; errors name the key."""
    family = str(given.get("id", "")).split("/")[0]
    if family not in FAMILIES:
        raise unknown("problem family in id:", family, FAMILIES)
    schema = OmegaConf.structured(_module(family, "env").SCHEMA)
    try:
        merged = OmegaConf.merge(schema, given)
        for key, value in (overrides or {}).items():
            OmegaConf.update(merged, key, value)
        plain = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise PointsmanError(f"{error.full_key or 'configuration'}: {reason}") from None
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def build(config: dict[str, Any]) -> Problem:
    """The problem of a complete configuration."""
    return _module(config["id"].split("/")[0], "env").build(config)


_WARMUP = {"warmup_minutes", "warmup_time"}
"""Keys by which problems say how much of an episode averages leave out."""


def training(config: dict[str, Any]) -> Problem:
    """The problem as learners meet it: with the changes under `training`, and nothing deleted as warm-up."""
    return build(complete(config, {**config["training"], **dict.fromkeys(_WARMUP & config.keys(), 0.0)}))


def make(
    name: str, num_envs: int = 1, *, illegal: str = "raise", indices: Any = None, autoreset: bool = True,
    copy: bool = True, render_mode: str | None = None, **overrides: Any,
) -> BatchEnv:  # fmt: skip
    """A batch of `num_envs` environments of a preset; the other keywords change its configuration."""
    problem = build(configure(name, **overrides))
    return BatchEnv(problem, num_envs, illegal, indices, autoreset, copy, render_mode)


def rules(problem: Problem) -> dict[str, Any]:
    """The rules that apply to a problem, by name (see the family's rules.py)."""
    return _module(problem.id.split("/")[0], "rules").rules(problem)


def chain(problem: Problem, size: int) -> Any:
    """The problem as a finite Markov chain (see the family's exact.py), or an error that says why it has none."""
    return _module(problem.id.split("/")[0], "exact").chain(problem, size)


def _module(family: str, part: str) -> Any:
    return import_module(f"pointsman.envs.{family}.{part}")


def _single(preset: str, family: str, illegal: str = "raise", render_mode: str | None = None, **overrides: Any) -> SingleEnv:
    return SingleEnv(build(configure(f"{family}/{preset}", **overrides)), illegal, render_mode)


def _batch(preset: str, family: str, num_envs: int = 1, **options: Any) -> BatchEnv:
    return make(f"{family}/{preset}", num_envs, **options)


for _family, _default in {"dispatch": "mini", "fleet": "busy", "queueing": "criss_cross"}.items():
    gymnasium.register(
        f"pointsman/{_family.capitalize()}-v0",
        entry_point="pointsman.envs:_single",
        vector_entry_point="pointsman.envs:_batch",
        kwargs={"family": _family, "preset": _default},
    )
