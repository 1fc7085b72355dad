"""Problems: gymnasium environments, their rules and their exact optimum."""

from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import gymnasium
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pointsman.envs import plugins
from pointsman.envs.plugins import plug
from pointsman.envs.problem import Problem
from pointsman.errors import PointsmanError, unknown

if TYPE_CHECKING:
    from pointsman.envs.core import BatchEnv
    from pointsman.envs.single import SingleEnv

__all__ = ["BatchEnv", "Problem", "SingleEnv", "build", "chain", "complete", "configure", "make", "plug", "presets", "rules"]

FAMILIES = {
    "autoscaling": "sinusoid",
    "cluster": "deeprm",
    "dispatch": "mini",
    "fleet": "busy",
    "gym": None,
    "inventory": "lost_sales",
    "portfolio": "team",
    "queueing": "criss_cross",
}
"""Problem families, each with the preset that gymnasium.make takes by default; null: it has none.

A family is a folder with config.py (a schema such as DispatchConfig), kernel.py, env.py (SCHEMA, build), rules.py and exact.py.
"""


def __getattr__(name: str) -> Any:
    """The engine, imported when it is first asked for: it brings Numba, and whoever only composes or asks for help has no use."""
    file = {"BatchEnv": "core", "SingleEnv": "single"}.get(name)
    if file:
        return getattr(import_module(f"pointsman.envs.{file}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def presets() -> list[str]:
    """Names of the shipped problems and of those plugged in, such as dispatch/mini."""
    root = files("pointsman") / "conf" / "env"
    folders = {family: root / family for family in FAMILIES if (root / family).is_dir()}
    found = [f"{family}/{file.name[:-5]}" for family, folder in folders.items() for file in folder.iterdir()]
    found += [f"{family}/{name}" for family in plugins.families() for name in plugins.presets(family)]
    return sorted(found)


def configure(name: str, **overrides: Any) -> dict[str, Any]:
    """The complete configuration of a preset with overrides (nested ones as dicts or dotted keys)."""
    if name not in presets():
        raise unknown("problem", name, presets())
    family, preset_name = name.split("/")
    if family in plugins.families():
        return complete(plugins.presets(family)[preset_name], overrides)
    preset = OmegaConf.load(str(files("pointsman") / "conf" / "env" / f"{name}.yaml"))
    own = {key: value for key, value in preset.items() if key != "defaults"}  # that one is Hydra's
    return complete(own, overrides)


def complete(given: Any, overrides: dict[str, Any] | None = None) -> dict[str, Any]:
    """Check a configuration against its family's schema and fill in the defaults; errors name the key."""
    family = family_of(given)
    if family not in (known := [*FAMILIES, *plugins.families()]):
        raise unknown("problem family in id:", family, known)
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
    from pointsman.envs.recent import with_recent  # which compiles: a command's help needs none of it

    return with_recent(_module(family_of(config), "env").build(config), config.get("recent"))


def family_of(config: Any) -> str:
    """The family of a configuration: the first part of its id, unless it says so itself (gym, whose ids are not ours)."""
    return str(config.get("family") or str(config.get("id", "")).split("/")[0])


def family(problem: Problem) -> str:
    """The family of a problem."""
    return family_of(problem.config or {"id": problem.id})


def without_warmup(config: dict[str, Any]) -> Problem:
    """The problem with nothing deleted as warm-up, which keys such as warmup_minutes say in its own unit of time."""
    return build(complete(config, {key: 0.0 for key in config if key.startswith("warmup_")}))


def training(config: dict[str, Any]) -> Problem:
    """The problem as learners meet it: with the changes under `training`, and nothing deleted as warm-up."""
    return without_warmup(complete(config, config["training"]))


def make(
    name: str, num_envs: int = 1, *, illegal: str = "raise", indices: Any = None, autoreset: bool = True,
    copy: bool = True, render_mode: str | None = None, threads: int = 1, **overrides: Any,
) -> "BatchEnv":  # fmt: skip
    """A batch of `num_envs` environments of a preset; the other keywords change its configuration."""
    from pointsman.envs.core import BatchEnv

    problem = build(configure(name, **overrides))
    return BatchEnv(problem, num_envs, illegal, indices, autoreset, copy, render_mode, threads)


def rules(problem: Problem) -> dict[str, Any]:
    """The rules that apply to a problem, by name (see the family's rules.py)."""
    return _module(family(problem), "rules").rules(problem)


def chain(problem: Problem, size: int) -> Any:
    """The problem as a finite Markov chain (see the family's exact.py), or an error that says why it has none."""
    module = _module(family(problem), "exact")
    if not hasattr(module, "chain"):
        raise PointsmanError(f"{problem.id} states no chain")
    if problem.recent is not None:
        raise PointsmanError(f"{problem.id} has no chain with recent.over={problem.recent.over.tolist()}: leave it empty")
    return module.chain(problem, size)


def has_policy_chains(problem: Problem) -> bool:
    """Whether the family makes the chain of a single policy, which is smaller than that of all."""
    return hasattr(_module(family(problem), "exact"), "policy_chain")


def policy_chain(problem: Problem, size: int, choose: Any, most: int) -> Any:
    """The chain of one policy's states, at most so many, or an error that says why it has none (see the family's exact.py)."""
    return _module(family(problem), "exact").policy_chain(problem, size, choose, most)


def _module(family: str, part: str) -> Any:
    if family in plugins.families():
        return plugins.part(family, part)
    return import_module(f"pointsman.envs.{family}.{part}")


def _single(preset: str, family: str, illegal: str = "raise", render_mode: str | None = None, **overrides: Any) -> "SingleEnv":
    from pointsman.envs.single import SingleEnv

    return SingleEnv(build(configure(f"{family}/{preset}", **overrides)), illegal, render_mode)


def _batch(preset: str, family: str, num_envs: int = 1, **options: Any) -> "BatchEnv":
    return make(f"{family}/{preset}", num_envs, **options)


for _name, _default in FAMILIES.items():
    if _default is not None:
        gymnasium.register(
            f"pointsman/{_name.capitalize()}-v0",
            entry_point="pointsman.envs:_single",
            vector_entry_point="pointsman.envs:_batch",
            kwargs={"family": _name, "preset": _default},
        )
