"""Jobs as tasks of a Ray cluster. No disk is shared: a run folder travels to the node with its task, and home with the result."""

import io
import logging
import socket
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pointsman.errors import PointsmanError
from pointsman.sweeps.job import Job, work


class Cluster:
    """Runs jobs on a Ray cluster, which starts them as it has room and again, `retries` times, if a worker or node is lost.

    Args:
        address: of the cluster, as for ray.init; null: RAY_ADDRESS, or a cluster of this machine's own.
        slots: jobs handed to the cluster at a time; null: all, and Ray queues them.
        cpus, gpus, memory: what a job needs (memory in bytes; null: whatever).
        retries: of a lost job.
    """

    def __init__(self, address: str | None, slots: int | None, cpus: float, gpus: float, memory: float | None, retries: int):
        try:
            import ray
        except ImportError:
            raise PointsmanError("hydra/launcher=pointsman_ray needs Ray: pip install 'pointsman[ray]'") from None
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray, self.slots = ray, slots or 1_000_000
        require_reachable(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=True)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise PointsmanError(f"hydra.launcher.address={address}: {' '.join(str(error).split()[:40])}") from None
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._board: Any = ray.remote(Board).options(num_cpus=0, scheduling_strategy=here).remote()
        needs = {"memory": memory} if memory else {}
        self._task: Any = ray.remote(_task).options(num_cpus=cpus, num_gpus=gpus, max_retries=retries, **needs)
        self._running: dict[Any, Job] = {}

    def start(self, job: Job) -> None:
        """Hand a job to the cluster, with the run folder if there is one already."""
        self._running[self._task.remote(job, pack(Path(job.folder)), self._board)] = job

    def stop(self, job: Job) -> None:
        """Ask a job to end before its time."""
        self._board.stop.remote(job.name)

    def poll(self) -> dict[str, dict[str, Any]]:
        """What is known of the running jobs, by name; an ended one is told once, with its `state`."""
        ray = self._ray
        done, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=0.2)
        told: dict[str, dict[str, Any]] = ray.get(self._board.all.remote())
        names = {job.name for job in self._running.values()}
        told = {name: facts for name, facts in told.items() if name in names}
        for reference in done:
            job = self._running.pop(reference)
            try:
                outcome, packed = ray.get(reference)
                unpack(packed, Path(job.folder))
            except ray.exceptions.RayError as error:
                outcome = {"state": "failed", "error": f"lost by the cluster: {' '.join(str(error).split()[:30])}"}
            told[job.name] = told.get(job.name, {}) | outcome
        return told

    def close(self, kill: bool = False) -> None:
        """Leave the cluster; tasks under way are cancelled."""
        self._ray.shutdown()


def require_reachable(address: str | None) -> None:
    """An error if nobody listens at host:port, where Ray itself would try for many minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdigit() and "/" not in host:
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise PointsmanError(f"hydra.launcher.address={address}: no Ray cluster answers there ({error})") from None


class Board:
    """Where jobs report to, an actor beside the driver, so that no lost node takes it along."""

    def __init__(self) -> None:
        self._facts: dict[str, dict[str, Any]] = {}
        self._stopped: set[str] = set()

    def tell(self, name: str, facts: dict[str, Any]) -> bool:
        """Take a report, and say whether the job shall stop."""
        self._facts[name] = facts
        return name in self._stopped

    def all(self) -> dict[str, dict[str, Any]]:
        """The last report of every job."""
        return self._facts

    def stop(self, name: str) -> None:
        """A job shall stop at its next report."""
        self._stopped.add(name)


def _task(job: Job, packed: bytes, board: Any) -> tuple[dict[str, Any], bytes]:
    """On a node of the cluster."""
    import time

    import ray

    last, stop = 0.0, False

    def listen(facts: dict[str, Any]) -> bool:
        nonlocal last, stop
        if time.monotonic() - last >= 0.5 or facts["share"] >= 1.0:
            last = time.monotonic()
            stop = ray.get(board.tell.remote(job.name, facts | {"node": ray.get_runtime_context().get_node_id()[:6]}))
        return stop

    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        unpack(packed, folder)
        return work(job._replace(folder=str(folder)), listen), pack(folder)


def pack(folder: Path) -> bytes:
    """A folder's files as a compressed archive; of a folder that is not there, an empty one."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz", compresslevel=1) as archive:
        if folder.is_dir():
            archive.add(folder, ".")
    return memory.getvalue()


def unpack(packed: bytes, folder: Path) -> None:
    """Put an archive's files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
