"""The shipped configurations: their names, and how a script composes them."""

from data import ROOT
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

import pointsman.conf  # noqa: F401  (registers the schemas)


def options(group):
    """Names of the shipped configurations of a group."""
    folder = ROOT / "conf" / group
    return sorted(str(file.relative_to(folder).with_suffix("")) for file in folder.rglob("*.yaml"))


def composed(script, *overrides):
    """The configuration of a script as a plain dict."""
    with initialize_config_module("pointsman.conf", version_base="1.3"):
        return OmegaConf.to_container(compose(script, list(overrides)), resolve=True)
