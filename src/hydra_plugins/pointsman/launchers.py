"""`pointsman-train -m`: jobs in processes (hydra/launcher=pointsman_local), or on a Ray cluster (pointsman_ray)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher


@dataclass
class LocalConf:
    """Processes of this machine."""

    _target_: str = "hydra_plugins.pointsman.launchers.LocalLauncher"
    slots: int | None = None  # jobs at a time; null: one per core
    retries: int = 2  # of a job whose process dies


@dataclass
class RayConf:
    """A Ray cluster."""

    _target_: str = "hydra_plugins.pointsman.launchers.RayLauncher"
    address: str | None = None  # of an existing cluster; null: RAY_ADDRESS, or one of this machine's own
    slots: int | None = None  # jobs handed to the cluster at a time; null: all, Ray queues them
    cpus: float = 1.0  # that a job needs
    gpus: float = 0.0
    memory: float | None = None  # bytes
    retries: int = 3  # of a job whose worker or node is lost


class PointsmanLauncher(Launcher):
    """Runs jobs through an executor of pointsman.sweeps."""

    def __init__(self, **settings: Any):
        self.settings = settings

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        """Keep what Hydra hands over."""
        self.context, self.config = hydra_context, config

    def executor(self) -> Any:
        """Where jobs run."""
        raise NotImplementedError

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """All jobs of a sweep; an error in one does not stop the others."""
        from pointsman.errors import PointsmanError
        from pointsman.sweeps.jobs import compose
        from pointsman.sweeps.loop import require_success, run_all

        jobs = [compose(self.context, self.config, list(overrides)) for overrides in job_overrides]
        if len({job.name for job in jobs}) < len(jobs):
            raise PointsmanError("two jobs of this sweep are the same, or have the same name: their settings must differ")
        outcomes = run_all(iter(jobs), len(jobs), self.executor())
        require_success(outcomes, self.config.hydra.sweep.dir)
        costs = [outcomes[job.name].get("cost") for job in jobs]
        done = zip(job_overrides, costs, strict=True)
        return [JobReturn(overrides, status=JobStatus.COMPLETED, _return_value=cost) for overrides, cost in done]


class LocalLauncher(PointsmanLauncher):
    """Processes of this machine."""

    def executor(self) -> Any:
        """Processes."""
        from os import cpu_count

        from pointsman.sweeps.local import Local

        return Local(self.settings["slots"] or cpu_count() or 1, self.settings["retries"])


class RayLauncher(PointsmanLauncher):
    """A Ray cluster."""

    def executor(self) -> Any:
        """Tasks of the cluster."""
        from pointsman.sweeps.cluster import Cluster

        return Cluster(**self.settings)


ConfigStore.instance().store(group="hydra/launcher", name="pointsman_local", node=LocalConf)
ConfigStore.instance().store(group="hydra/launcher", name="pointsman_ray", node=RayConf)
