"""Shipped configuration, and the schemas that catch misspelt keys and values of a wrong type."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from pointsman.envs.dispatch.config import DispatchConfig
from pointsman.envs.fleet.config import FleetConfig
from pointsman.envs.queueing.config import QueueingConfig


@dataclass
class SearchConfig:
    """Budget of the search that tunes every rule (agents/search.py)."""

    population: int = 64
    rounds: int = 10
    episodes: int = 24


@dataclass
class TrainConfig:
    """pointsman-train."""

    env: Any = MISSING
    agent: Any = MISSING
    experiment: Any = None
    seed: int = 0
    run_dir: str | None = None  # where the run is kept; null: logs/runs/<problem>/<agent>/<time>-seed<seed>
    resume: str | None = None  # a run folder to go on with, as it was configured
    baselines: bool = True  # tune the rules and find the optimum, for comparison
    threads: int | None = None  # of torch; null: all cores
    search: SearchConfig = field(default_factory=SearchConfig)


@dataclass
class EvaluateConfig:
    """pointsman-evaluate."""

    run: str = MISSING  # a run folder as pointsman-train prints it, or latest
    frozen: str | None = None  # another run folder, whose policies are set beside those of this run, as they are
    episodes: int = 100
    seed: int = 0
    until: float | None = None  # more episodes until the main difference is known to +- this share of the cost
    assumptions: bool = True  # once more with each assumption of the problem changed
    stress: Any = None  # a pack of conf/stress: once more under each of its stresses
    report: bool = True  # report.html with figures, action maps and the distilled tree


@dataclass
class CompareConfig:
    """pointsman-compare."""

    run: Any = MISSING  # a list of run folders, or patterns such as 'logs/runs/dispatch/*/*/*'
    episodes: int = 100
    seed: int = 0
    output: str = "logs/compare"  # folder of report.html, scores.csv and the figures
    details: bool = True  # action maps and distilled tree of each problem's best learner (its first run)
    stresses: bool = False  # and its stress matrix, under the pack of the problem's family


@dataclass
class GateConfig:
    """pointsman-gate."""

    run: str = MISSING  # a run folder as pointsman-train prints it, or latest
    limits: str | None = None  # shipped ones by name, or the path of a yaml; null: those of the problem's family
    episodes: int = 200
    seed: int = 0


_store = ConfigStore.instance()
_store.store("train_schema", TrainConfig)
_store.store("evaluate_schema", EvaluateConfig)
_store.store("compare_schema", CompareConfig)
_store.store("gate_schema", GateConfig)
_store.store("schema", DispatchConfig, group="env/dispatch")
_store.store("schema", FleetConfig, group="env/fleet")
_store.store("schema", QueueingConfig, group="env/queueing")
