"""`pointsman-train -m hydra/sweeper=pointsman_optuna`: a search for good settings with Optuna."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper


@dataclass
class OptunaConf:
    """A study; the search space comes from params and the command line, as Hydra's choice, interval, range, tag(log, …)."""

    _target_: str = "hydra_plugins.pointsman.sweeper.OptunaSweeper"
    trials: int = 40  # finished or pruned, of all processes that share the study
    study: str | None = None  # its name in a storage that holds several; null: study
    storage: str | None = None  # a journal file, or a database's URL; null: journal.log in the sweep's folder
    sampler: str = "tpe"  # or random
    seed: int = 0  # of the sampler
    pruner: str = "median"  # or hyperband, none
    params: dict[str, Any] = field(default_factory=dict)


class OptunaSweeper(Sweeper):
    """Asks Optuna for a trial whenever the launcher has room for one, and tells it what came of it."""

    def __init__(self, **settings: Any):
        self.settings = settings

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        """Keep what Hydra hands over."""
        self.context, self.config = hydra_context, config
        self.launcher: Any = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """The whole search."""
        from pointsman.sweeps.study import search

        return search(self.context, self.config, self.launcher, arguments, **self.settings)


ConfigStore.instance().store(group="hydra/sweeper", name="pointsman_optuna", node=OptunaConf)
