"""Jobs of a sweep from Hydra's composition."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf, open_dict

from pointsman.envs import plugins
from pointsman.errors import PointsmanError
from pointsman.sweeps.job import Job, name_of


def compose(context: Any, config: Any, overrides: list[str], name: str | None = None) -> Job:
    """The job that overrides stand for, in a folder of its own in the sweep's; it trains on one thread if not told otherwise."""
    composed = context.config_loader.load_sweep_config(config, overrides)
    folder, name = Path(composed.hydra.sweep.dir), name or name_of(overrides)
    with open_dict(composed):
        del composed["hydra"]
        if composed.resume or composed.run_dir:
            raise PointsmanError(
                "a sweep's runs have folders of their own: leave out resume= and run_dir=; sweep_dir= names the sweep's"
            )
        del composed["sweep_dir"]
        composed.threads = composed.threads or 1
        composed.plugins = [plugins.absolute(name) for name in composed.plugins]  # a cluster's workers start elsewhere
    path = folder / name
    command = " ".join(["pointsman-train", *overrides, f"threads={composed.threads}"])
    return Job(name, str(path), OmegaConf.to_yaml(composed), command)
