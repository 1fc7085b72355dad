"""One job of a sweep: a training run in a folder of its own, which goes on where it was left, and its score."""

import contextlib
import json
import re
import traceback
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from pointsman.errors import PointsmanError
from pointsman.files import write_whole

UNNAMED = ("hydra.", "hydra/", "sweep_dir", "sweep=", "threads", "baselines", "+")
"""Overrides that do not go into a job's name."""
RUNGS = 27
"""Parts of a training; the cost in each is what pruning compares (three halvings by three)."""

Listener = Callable[[dict[str, Any]], bool]
"""Told {"share": of the training, "cost": since the last rung, "rungs": costs so far}; True asks the job to stop."""


class Job(NamedTuple):
    """What to train, and where the run is kept."""

    name: str
    folder: str
    config: str  # the configuration of pointsman-train as yaml
    command: str  # what would make this run alone


class PrunedError(Exception):
    """The sweep has seen enough of this job."""


def name_of(overrides: Sequence[str]) -> str:
    """A folder's name for overrides such as agent.discount=0.9, which the command line takes without quotes."""
    told = [part.removeprefix("agent.").removeprefix("env.") for part in overrides if not part.startswith(UNNAMED)]
    parts = [re.sub(r"[^\w.+=-]", "_", part).replace("=", "-") for part in told]
    name = "+".join(parts)
    return name if len(name) <= 120 else f"{name[:100]}+{sha256(name.encode()).hexdigest()[:12]}"


def work(job: Job, listen: Listener = lambda facts: False) -> dict[str, Any]:
    """Train, or go on training, and score: {"state": finished, pruned or failed, "cost", "error"}; never raises."""
    folder = Path(job.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if (known := finished(job)) is not None:
            return known
        with open(folder / "output.txt", "a") as output, contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            try:
                return _train(job, folder, listen)
            except Exception:
                traceback.print_exc()
                raise
    except PrunedError:
        return {"state": "pruned"}
    except KeyboardInterrupt:
        return {"state": "interrupted"}
    except Exception as error:
        reason = " ".join(str(error).split()[:60])
        return {"state": "failed", "error": reason if isinstance(error, PointsmanError) else f"{type(error).__name__}: {reason}"}


def finished(job: Job) -> dict[str, Any] | None:
    """The outcome of a job that an earlier sweep has finished in this folder; an error if another job's run is there."""
    from omegaconf import OmegaConf

    folder = Path(job.folder)
    if (folder / "config.yaml").is_file():
        there, here = (_essence(OmegaConf.create(text)) for text in ((folder / "config.yaml").read_text(), job.config))
        if there != here:
            key = next(key for key in (*there, *here) if there.get(key) != here.get(key))
            raise PointsmanError(f"{folder} holds a run with another {key}: take another sweep_dir, or remove that folder")
    file = folder / "score.json"
    return {"state": "finished"} | json.loads(file.read_text()) if file.is_file() else None


def _essence(config: Any) -> dict[str, Any]:
    """What decides the result of a run."""
    return {key: config.get(key) for key in ("env", "agent", "seed", "search", "baselines")}


def _train(job: Job, folder: Path, listen: Listener) -> dict[str, Any]:
    from omegaconf import OmegaConf

    from pointsman.agents.log import Log
    from pointsman.envs.plugins import plug
    from pointsman.scripts.train import train

    config = OmegaConf.create(job.config)
    for name in config.plugins:  # of the command line, which this process has not seen
        plug(name)
    config.run_dir = job.folder
    if (folder / "config.yaml").is_file():
        config = OmegaConf.create({"resume": job.folder})

    class Listened(Log):
        """Hands on what a run reports, and stops it if the sweep says so."""

        def __init__(self, inner: Any):
            self.inner, self.reward, self.elapsed = inner, 0.0, 0.0
            self.rungs: list[float] = []

        def update(self, steps: int, total: int, ledger: Any, elapsed: float, scalars: dict[str, float]) -> None:
            self.inner.update(steps, total, ledger, elapsed, scalars)
            self.reward, self.elapsed = self.reward - float(ledger @ self.inner.prices), self.elapsed + elapsed
            cost = -self.reward / self.elapsed
            if steps * RUNGS >= (len(self.rungs) + 1) * total:
                self.rungs.append(cost)
                self.reward = self.elapsed = 0.0
            if listen({"share": steps / total, "cost": cost, "rungs": self.rungs}):
                raise PrunedError

        def flush(self) -> None:
            self.inner.flush()

    train(config, Listened, job.command)
    score = held_out(job.folder)
    write_whole(folder / "score.json", json.dumps(score) + "\n")
    return {"state": "finished"} | score


def held_out(path: str, episodes: int = 64) -> dict[str, float]:
    """Cost per unit of time of a run's policy, with its standard error, on records that neither training nor evaluation meets."""
    import numpy as np

    from pointsman import envs, load
    from pointsman.evaluation.rollout import SELECTION, rollout
    from pointsman.evaluation.runfolder import RunFolder

    problem = envs.build(envs.complete(RunFolder.open(path).config().env))
    totals = rollout(load(path), problem, episodes, SELECTION)
    cost = totals.ledger @ envs.BatchEnv(problem).prices
    rate = cost.sum() / totals.elapsed.sum()
    error = np.std(cost - rate * totals.elapsed, ddof=1) / totals.elapsed.mean() / episodes**0.5
    return {"cost": float(rate), "standard_error": float(error)}
