"""Problems and environments of the user's own: modules that the command line names; no run folder can.

A plug-in is a module by its dotted name, a .py file, or a package folder. Importing it may register environments with
gymnasium; one that has SCHEMA, build and rules (a folder: in env.py and rules.py, as in this package) is a problem family
of the name of its module, with presets in PRESETS or in yaml files of the folder.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from omegaconf import OmegaConf

from pointsman.errors import PointsmanError

_plugged: dict[str, ModuleType] = {}


def plug(name: str) -> None:
    """Import a plug-in; a second time nothing happens."""
    module = _import("plugins", name)
    _plugged.setdefault(stem(name), module)


def absolute(name: str) -> str:
    """The plug-in as it is named from any working directory."""
    return str(Path(name).resolve()) if _is_path(name) else name


def stem(name: str) -> str:
    """What a plug-in is known by: the last part of its path or dotted name."""
    return Path(name).stem if _is_path(name) else name.rpartition(".")[2]


def plugged() -> set[str]:
    """Stems of the plug-ins at hand."""
    return set(_plugged)


def modules() -> set[str]:
    """Full names of the modules of the plug-ins at hand."""
    return {module.__name__ for module in _plugged.values()}


def families() -> dict[str, ModuleType]:
    """Plug-ins that are problem families."""
    return {name: module for name, module in _plugged.items() if _has_problem(module)}


def part(family: str, name: str) -> ModuleType:
    """env, rules or exact of a plugged family: a module of the folder, or the one file that is everything."""
    module = _plugged[family]
    if not _in_folder(module):
        return module
    if importlib.util.find_spec(f"{module.__name__}.{name}") is None:
        raise PointsmanError(f"the plug-in {family} has no {name}.py")
    return importlib.import_module(f"{module.__name__}.{name}")


def presets(family: str) -> dict[str, dict[str, Any]]:
    """Presets of a plugged family by name, each with its id."""
    module = _plugged[family]
    found: dict[str, Mapping[str, Any]] = dict(getattr(module, "PRESETS", {}))
    if _in_folder(module):
        for file in sorted(Path(str(module.__file__)).parent.glob("*.yaml")):
            loaded: Any = OmegaConf.to_container(OmegaConf.load(file))
            found[file.stem] = loaded
    return {name: {"id": f"{family}/{name}"} | dict(keys) for name, keys in found.items()}


def function(what: str, name: str) -> Callable[[Any], Any]:
    """The function that package.module:function or file.py:function names."""
    module, _, attribute = name.rpartition(":")
    if not module:
        raise PointsmanError(f"{what}={name} must have the form package.module:function or file.py:function")
    found = getattr(_import(what, module), attribute, None)
    if not callable(found):
        raise PointsmanError(f"{what}={name}: {module} has no function {attribute}")
    return found


def _is_path(name: str) -> bool:
    return name.endswith(".py") or "/" in name or Path(name).is_dir()


def _import(what: str, name: str) -> ModuleType:
    """A module by name or path; errors name the key `what`."""
    try:
        return _from_path(Path(name)) if _is_path(name) else _from_name(name)
    except PointsmanError as error:
        raise PointsmanError(f"{what}={name}: {error}") from None
    except Exception as error:
        reason = " ".join(str(error).split()[:30])
        raise PointsmanError(f"{what}={name} cannot be imported: {type(error).__name__}: {reason}") from error


def _from_name(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


def _from_path(path: Path) -> ModuleType:
    file = path / "__init__.py" if path.is_dir() else path
    if path.is_dir() and not file.is_file():
        raise PointsmanError("the folder has no __init__.py")
    if not file.is_file():
        raise PointsmanError("no such file")
    known = sys.modules.get(path.stem)
    if known is not None:
        if Path(str(getattr(known, "__file__", ""))).resolve() == file.resolve():
            return known
        raise PointsmanError(f"another module is called {path.stem} already: rename it")
    folder = [str(path)] if path.is_dir() else None
    spec = importlib.util.spec_from_file_location(path.stem, file, submodule_search_locations=folder)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module


def _in_folder(module: ModuleType) -> bool:
    """Is it a folder with the parts of a problem?"""
    return hasattr(module, "__path__") and (Path(str(module.__file__)).parent / "env.py").is_file()


def _has_problem(module: ModuleType) -> bool:
    return _in_folder(module) or (hasattr(module, "SCHEMA") and hasattr(module, "build"))
