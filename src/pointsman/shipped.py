"""Yaml files that a user names: shipped ones by their name, own ones by their path."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from pointsman.errors import PointsmanError, unknown


def shipped(group: str) -> list[str]:
    """Names of what conf/<group> holds."""
    return sorted(file.name[:-5] for file in (files("pointsman") / "conf" / group).iterdir() if file.name.endswith(".yaml"))


def load_yaml(what: str, name: str, group: str, schema: type | None = None) -> Any:
    """The contents of conf/<group>/<name>.yaml, or of the yaml file at the path `name`, as an object of `schema` or plainly.

    `what` is the word for it in errors, which name the key. A group of the name of a command-line key would be Hydra's, which
    takes key=<path> for a choice from that group: hence mappings for mapping=, gates for limits=.
    """
    path, names = Path(name), shipped(group)
    if name in names:
        path = Path(str(files("pointsman") / "conf" / group / f"{name}.yaml"))
    elif path.suffix not in (".yaml", ".yml"):
        raise unknown(what, name, [*names, "<path of a .yaml file>"])
    elif not path.is_file():
        raise PointsmanError(f"{what}: no file at {name}")
    try:
        loaded = OmegaConf.load(path)
        if schema is None:
            return OmegaConf.to_container(loaded, resolve=True)
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), loaded))
    except (OmegaConfBaseException, YAMLError, UnicodeDecodeError, OSError) as error:
        key = getattr(error, "full_key", None)
        reason = " ".join(str(error).split()) if isinstance(error, YAMLError) else str(error).splitlines()[0]
        raise PointsmanError(f"{what} {name}: {f'{key}: ' if key else ''}{reason}") from None
