"""The loop of every sweep: a new job starts when there is room, and what jobs report is shown and listened to."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from pointsman.errors import PointsmanError
from pointsman.sweeps.job import Job
from pointsman.sweeps.table import SweepTable

Outcomes = dict[str, dict[str, Any]]


class Executor(Protocol):
    """Where jobs run: processes of this machine, or a Ray cluster."""

    slots: int

    def start(self, job: Job) -> None:
        """Begin a job."""

    def stop(self, job: Job) -> None:
        """Ask a job to end before its time."""

    def poll(self) -> Outcomes:
        """What is known of running jobs; an ended one is told once, with its `state`."""

    def close(self, kill: bool = False) -> None:
        """Let go of everything."""


def run_all(
    jobs: Iterator[Job],
    total: int,
    executor: Executor,
    heard: Callable[[Job, dict[str, Any]], bool] = lambda job, facts: False,
) -> Outcomes:
    """Run jobs as they come and return their outcomes by name.

    The next job is asked for only when there is room for it. `heard` learns of every report, and may stop a job.
    """
    running: dict[str, Job] = {}
    outcomes: Outcomes = {}
    more, killed = True, True
    try:
        with SweepTable(total) as table:
            while more or running:
                while more and len(running) < executor.slots:
                    job = next(jobs, None)
                    if job is None:
                        more = False
                    else:
                        running[job.name] = job
                        executor.start(job)
                        table.update(job.name, {})
                for name, facts in (executor.poll() if running else {}).items():
                    table.update(name, facts)
                    ended = "state" in facts
                    if heard(running[name], facts) and not ended:
                        executor.stop(running[name])
                    if ended:
                        outcomes[name] = facts
                        del running[name]
        killed = False
    finally:
        executor.close(kill=killed)
    return outcomes


def require_success(outcomes: Outcomes, folder: str) -> None:
    """An error that counts and names the jobs that failed."""
    failed = {name: facts for name, facts in outcomes.items() if facts["state"] not in ("finished", "pruned")}
    if failed:
        name, facts = next(iter(failed.items()))
        reason = facts.get("error", facts["state"])
        raise PointsmanError(
            f"{len(failed)} of {len(outcomes)} jobs failed, {name} first: {reason}; their output is in "
            f"{folder}/<job>/output.txt, and the same command with sweep_dir={folder} tries again what is not finished"
        )
