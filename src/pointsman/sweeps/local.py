"""Jobs in processes of this machine; what they report goes through small files in their folders."""

import json
import os
import time
from concurrent.futures import BrokenExecutor, Future
from pathlib import Path
from threading import Thread
from typing import Any

from pointsman.files import write_whole
from pointsman.sweeps.job import Job, work

EVERY = 0.2
"""Seconds between two reports of a job."""


class Local:
    """Runs up to `slots` jobs at a time; one whose process dies is started again, `retries` times, where it was left."""

    def __init__(self, slots: int, retries: int = 2):
        self.slots, self.retries = slots, retries
        self._pool: Any = None
        self._running: dict[str, tuple[Job, Future[Any]]] = {}
        self._starts: dict[str, int] = {}

    def start(self, job: Job) -> None:
        """Begin a job, or go on with it."""
        from joblib.externals.loky import ProcessPoolExecutor

        self._pool = self._pool or ProcessPoolExecutor(self.slots, timeout=None, initializer=_end_with_parent)
        self._starts[job.name] = self._starts.get(job.name, 0) + 1
        (Path(job.folder) / "stop").unlink(missing_ok=True)
        self._running[job.name] = (job, self._pool.submit(_work, job))

    def stop(self, job: Job) -> None:
        """Ask a job to end before its time."""
        (Path(job.folder) / "stop").touch()

    def poll(self) -> dict[str, dict[str, Any]]:
        """What is known of the running jobs, by name; an ended one is told once, with its `state`."""
        time.sleep(EVERY / 2)
        told, broken = {}, False
        for name, (job, future) in list(self._running.items()):
            if not future.done():
                told[name] = _reported(job)
                continue
            try:
                told[name] = _reported(job) | future.result()
            except BrokenExecutor:
                broken = True  # one process died, and the pool took all others down with it
                continue
            except Exception as error:  # the job itself never raises: it did not get through to the process
                told[name] = {"state": "failed", "error": f"{type(error).__name__}: {error}"}
            del self._running[name]
        if broken:
            told |= self._again()
        return told

    def _again(self) -> dict[str, dict[str, Any]]:
        """Start everything that was running once more, in new processes."""
        self._pool = None
        jobs, self._running = [job for job, _ in self._running.values()], {}
        given_up = {}
        for job in jobs:
            if self._starts[job.name] > self.retries:
                reason = f"its process died {self._starts[job.name]} times (out of memory, or killed)"
                given_up[job.name] = {"state": "failed", "error": reason}
            else:
                self.start(job)
        return given_up

    def close(self, kill: bool = False) -> None:
        """End the processes; with `kill`, whatever they do."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=kill)


def _end_with_parent() -> None:
    """In a new process: a sweep that is killed leaves none behind, as another may go on with its folders."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(EVERY)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _work(job: Job) -> dict[str, Any]:
    """In the process of a job."""
    folder, last = Path(job.folder), 0.0

    def listen(facts: dict[str, Any]) -> bool:
        nonlocal last
        if time.monotonic() - last >= EVERY or facts["share"] >= 1.0:
            last = time.monotonic()
            write_whole(folder / "progress.json", json.dumps(facts))
        return (folder / "stop").exists()

    return work(job, listen)


def _reported(job: Job) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((Path(job.folder) / "progress.json").read_text())
    except (OSError, ValueError):
        return {}
    return found
