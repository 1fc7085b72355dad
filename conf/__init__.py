"""Shipped configuration, and the schemas that catch misspelt keys and values of a wrong type."""

from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pointsman.envs import FAMILIES, plugins
from pointsman.errors import PointsmanError


@dataclass
class SearchConfig:
    """Budget of the search that tunes every rule (agents/search.py)."""

    population: int = 64
    rounds: int = 10
    episodes: int = 24


@dataclass
class Command:
    """What every command takes."""

    plugins: list[str] = field(default_factory=list)  # modules, .py files or folders with problems or environments of your own


@dataclass
class TrainConfig(Command):
    """pointsman-train."""

    env: Any = MISSING
    agent: Any = MISSING
    experiment: Any = None
    seed: int = 0
    run_dir: str | None = None  # where the run is kept; null: logs/runs/<problem>/<agent>/<time>-seed<seed>
    resume: str | None = None  # a run folder to go on with, as it was configured
    sweep_dir: str | None = None  # with -m: where the sweep is kept, or one to go on with; null: logs/sweeps/<time>
    baselines: bool = True  # tune the rules and find the optimum, for comparison
    threads: int | None = None  # of networks and of large batches of environments; null: all cores
    device: str = "cpu"  # cuda: networks and their updates on a GPU
    search: SearchConfig = field(default_factory=SearchConfig)


@dataclass
class EvaluateConfig(Command):
    """pointsman-evaluate."""

    run: str = MISSING  # a run folder as pointsman-train prints it, or latest
    frozen: str | None = None  # another run folder, whose policies are set beside those of this run, as they are
    episodes: int = 100
    seed: int = 0
    until: float | None = None  # more episodes until the main difference is known to +- this share of the cost
    assumptions: bool = True  # once more with each assumption of the problem changed
    stress: Any = None  # a pack of conf/stress: once more under each of its stresses
    rule: Any = None  # package.module:function or file.py:function, or a list: observation -> action, set beside the others
    report: bool = True  # report.html with figures, action maps and the distilled tree


@dataclass
class CompareConfig(Command):
    """pointsman-compare."""

    run: Any = MISSING  # a list of run folders, or patterns such as 'logs/runs/dispatch/*/*/*'
    episodes: int = 100
    seed: int = 0
    output: str = "logs/compare"  # folder of report.html, scores.csv and the figures
    details: bool = True  # action maps and distilled tree of each problem's best learner (its first run)
    stresses: bool = False  # and its stress matrix, under the pack of the problem's family


@dataclass
class GateConfig(Command):
    """pointsman-gate."""

    run: str = MISSING  # a run folder as pointsman-train prints it, or latest
    limits: str | None = None  # shipped ones by name, or the path of a yaml; null: those of the problem's family
    episodes: int = 200
    seed: int = 0


@dataclass
class CollectConfig(Command):
    """pointsman-collect."""

    env: Any = MISSING
    policy: str = MISSING  # the name of a rule, a run folder, or the folder of a policy
    parameters: Any = None  # of a rule, as {threshold: 0.5}
    epsilon: float = 0.1  # probability of taking any legal action alike; 0: a log that no weighting can use
    decisions: int = 100_000  # at least so many, in whole episodes
    seed: int = 0
    output: str = "logs/decisions.parquet"  # or .csv; its sidecar is written beside it


@dataclass
class EvaluateOfflineConfig(Command):
    """pointsman-evaluate-offline."""

    log: str = MISSING  # .parquet, .csv or .csv.gz with its sidecar
    policy: str = MISSING  # a run folder, the folder of a policy, or the name of a rule of the simulator
    parameters: Any = None  # of a rule, as {threshold: 0.5}
    objective: str | None = None  # decision, episode or rate; null: decision where every episode has one, else episode
    estimators: list[str] | None = None  # null: all that fit
    interval: str = "t"  # or bootstrap, bernstein, hoeffding
    block_days: int | None = None  # days that make one unit; null: every episode is one
    truncate: float | None = None  # the largest weight of a decision
    markov: bool | None = None  # does the observation tell all that the future depends on? null: as the sidecar says
    network: bool = False  # fitted Q evaluation by a network instead of tables
    simulator: str | None = None  # calibrated env config (yaml) in which a log without exploration is replayed
    logging: str | None = None  # the logging policy, for the replay: as `policy`
    logging_parameters: Any = None
    half_width: float | None = None  # for the logging plan; null: a tenth of the reward's spread
    truth: bool = True  # simulate the policy where the log came from a simulator
    truth_episodes: int = 200
    seed: int = 0
    output: str | None = None  # folder of report.html and figures; null: logs/offline/<name of the log>


@dataclass
class LearnOfflineConfig(Command):
    """pointsman-learn-offline."""

    log: str = MISSING
    learner: Any = MISSING
    conservatism: list[float] | None = None  # of CQL: several are tried, and held-out episodes choose
    held_out: float = 0.3  # share of the episodes that choose, where there is a choice
    seed: int = 0
    output: str = "logs/offline/policy"  # folder of the policy


def _sweep_folder(given: str | None) -> str:
    return given or f"logs/sweeps/{datetime.now():%Y%m%d-%H%M%S}"


OmegaConf.register_new_resolver("sweep_folder", _sweep_folder, use_cache=True, replace=True)
_store = ConfigStore.instance()
# Hydra copies the store for every group that --help lists, 3 seconds in all, though what it hands out are copies anyway.
vars(_store)["__deepcopy__"] = lambda memo: _store
_store.store("train_schema", TrainConfig)
_store.store("evaluate_schema", EvaluateConfig)
_store.store("compare_schema", CompareConfig)
_store.store("gate_schema", GateConfig)
_store.store("collect_schema", CollectConfig)
_store.store("evaluate_offline_schema", EvaluateOfflineConfig)
_store.store("learn_offline_schema", LearnOfflineConfig)
for _family in FAMILIES:
    _config = import_module(f"pointsman.envs.{_family}.config")
    _store.store("schema", getattr(_config, f"{_family.capitalize()}Config"), group=f"env/{_family}")


def store_plugins() -> None:
    """Make problems that are plugged in known to Hydra, so that env=<family>/<preset> composes."""
    for family in plugins.families():
        schema = plugins.part(family, "env").SCHEMA
        for name, keys in plugins.presets(family).items():
            try:
                node = OmegaConf.merge(OmegaConf.structured(schema), keys)
            except OmegaConfBaseException as error:
                reason = str(error).splitlines()[0]
                raise PointsmanError(f"preset {family}/{name}: {error.full_key or 'keys'}: {reason}") from None
            _store.store(name, node, group=f"env/{family}")
