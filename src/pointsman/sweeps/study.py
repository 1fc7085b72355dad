"""A search for good settings: Optuna asks and is told, jobs run wherever the launcher runs them.

Processes that share a storage share the study. A trial carries the process that runs it, so that one which died with its
process is found, given up, and asked for once more; its run folder is gone on with.
"""

import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from pointsman.errors import PointsmanError, unknown
from pointsman.files import write_whole
from pointsman.sweeps.job import RUNGS, Job
from pointsman.sweeps.jobs import compose
from pointsman.sweeps.loop import require_success, run_all

Space = dict[str, BaseDistribution]
HERE = f"{platform.node()}:{os.getpid()}"
SILENCE = 600.0
"""Seconds without a sign of life after which a process on another machine is taken to be dead."""
SAMPLERS = ("tpe", "random")
PRUNERS = ("median", "hyperband", "none")


def search(
    context: Any, config: Any, launcher: Any, arguments: list[str], *, trials: int, study: str | None, storage: str | None,
    sampler: str, seed: int, pruner: str, params: dict[str, Any],
) -> float | None:  # fmt: skip
    """Run trials until the study has `trials` of them; prints the best and returns its cost."""
    if not hasattr(launcher, "executor"):
        raise PointsmanError("hydra/sweeper=pointsman_optuna needs hydra/launcher=pointsman_local or pointsman_ray")
    parser = OverridesParser.create(config_loader=context.config_loader)
    overrides = parser.parse_overrides([f"{key}={value}" for key, value in params.items()] + arguments)
    space, fixed = split(overrides)
    if not space:
        raise PointsmanError(
            "nothing to search: give a sweep=<space>, or ranges such as 'agent.learning_rate=tag(log, interval(1e-4, 1e-2))'"
        )
    folder = Path(config.hydra.sweep.dir)
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found = optuna.create_study(
        study_name=study or "study", storage=opened(storage, folder), load_if_exists=True, direction="minimize",
        sampler=sampled(sampler, seed, 0), pruner=pruned(pruner),
    )  # fmt: skip
    give_up_the_dead(found)
    running: dict[str, Trial] = {}
    reported: dict[str, int] = {}

    def jobs() -> Iterator[Job]:
        while (trial := ask(found, trials)) is not None:
            found.sampler = sampled(sampler, seed, trial.number)  # whoever asks, a trial of this number is drawn like this
            chosen = [f"{key}={suggest(trial, key, values)}" for key, values in space.items()]
            name = trial.user_attrs.get("folder", f"trial-{trial.number:04d}")
            trial.set_user_attr("folder", name)
            running[name], reported[name] = trial, 0
            yield compose(context, config, fixed + chosen, name)

    def heard(job: Job, facts: dict[str, Any]) -> bool:
        trial, costs = running[job.name], facts.get("rungs", [])
        for rung in range(reported[job.name], len(costs)):
            trial.report(costs[rung], rung + 1)
        if len(costs) > reported[job.name]:
            reported[job.name] = len(costs)
            trial.set_user_attr("seen", time.time())
        if facts.get("state") == "finished":
            found.tell(trial, facts["cost"])
        elif facts.get("state") == "pruned":
            found.tell(trial, state=TrialState.PRUNED)
        elif "state" in facts:
            trial.set_user_attr("error", facts.get("error", facts["state"]))
            found.tell(trial, state=TrialState.FAIL)
        return bool(costs) and "state" not in facts and trial.should_prune()

    outcomes = run_all(jobs(), trials - len(used(found)), launcher.executor(), heard)
    require_success(outcomes, str(folder))
    return conclude(found, folder)


def split(overrides: list[Override]) -> tuple[Space, list[str]]:
    """The search space, and the overrides that are the same for all trials."""
    space: Space = {}
    fixed = []
    for override in overrides:
        key, found = override.get_key_element(), override.value()
        if not override.is_sweep_override():
            fixed.append(f"{key}={override.get_value_element_as_str()}")
        elif isinstance(found, IntervalSweep):
            log, kind = (
                "log" in found.tags,
                IntDistribution if isinstance(found.start, int) and isinstance(found.end, int) else None,
            )
            space[key] = (kind or FloatDistribution)(found.start, found.end, log=log)  # type: ignore[arg-type]
        elif isinstance(found, RangeSweep) and isinstance(found.start, int) and isinstance(found.step, int):
            last = found.start + (int(found.stop or 0) - 1 - found.start) // found.step * found.step
            space[key] = IntDistribution(found.start, last, step=found.step)
        else:
            space[key] = CategoricalDistribution(list(override.sweep_string_iterator()))
    return space, fixed


def suggest(trial: Trial, key: str, values: BaseDistribution) -> Any:
    """A value of a key for a trial; of one asked for once more, what it was before."""
    if isinstance(values, FloatDistribution):
        return trial.suggest_float(key, values.low, values.high, log=values.log)
    if isinstance(values, IntDistribution):
        return trial.suggest_int(key, values.low, values.high, step=values.step, log=values.log)
    assert isinstance(values, CategoricalDistribution)
    return trial.suggest_categorical(key, values.choices)


def ask(study: optuna.Study, trials: int) -> Trial | None:
    """A new trial, or None if the study has as many as it shall have, whoever asks at the same time."""
    if len(used(study)) >= trials:
        return None
    trial = study.ask()
    trial.set_user_attr("process", HERE)
    trial.set_user_attr("seen", time.time())
    if sum(one.number < trial.number for one in used(study)) >= trials:
        withdraw(study, trial)
        return None
    return trial


def used(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that count: all but those that wait, and those withdrawn."""
    every = study.get_trials(deepcopy=False)
    return [one for one in every if one.state != TrialState.WAITING and not one.user_attrs.get("withdrawn")]


def withdraw(study: optuna.Study, trial: Trial) -> None:
    """Take back a trial: it says nothing."""
    trial.set_user_attr("withdrawn", True)
    study.tell(trial, state=TrialState.FAIL)


def give_up_the_dead(study: optuna.Study) -> None:
    """Withdraw trials whose process is no more, and ask for the same settings again, in the same folders."""
    for one in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if not alive(one.user_attrs.get("process", ""), one.user_attrs.get("seen", 0.0)):
            withdraw(study, Trial(study, one._trial_id))
            if "folder" in one.user_attrs:
                study.enqueue_trial(one.params, {"folder": one.user_attrs["folder"]})


def alive(process: str, seen: float) -> bool:
    """Whether the process host:pid runs: known on this machine, elsewhere taken from its last sign of life."""
    host, _, pid = process.rpartition(":")
    if host != platform.node():
        return time.time() - seen < SILENCE
    try:
        os.kill(int(pid), 0)
    except (OSError, ValueError):
        return False
    return True


def opened(storage: str | None, folder: Path) -> Any:
    """A database by its URL, or a journal file, which several processes and machines may share."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    if storage and "://" in storage:
        try:
            return optuna.storages.get_storage(storage)
        except Exception as error:
            raise PointsmanError(f"hydra.sweeper.storage={storage}: {' '.join(str(error).split()[:30])}") from error
    return JournalStorage(JournalFileBackend(storage or str(folder / "journal.log")))


def sampled(name: str, seed: int, number: int) -> Any:
    """The sampler of one trial."""
    if name not in SAMPLERS:
        raise unknown("hydra.sweeper.sampler", name, SAMPLERS)
    kind = optuna.samplers.TPESampler if name == "tpe" else optuna.samplers.RandomSampler
    return kind(seed=(seed * 1_000_003 + number) % 2**31)


def pruned(name: str) -> Any:
    """What ends trials before their time."""
    if name not in PRUNERS:
        raise unknown("hydra.sweeper.pruner", name, PRUNERS)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=RUNGS, reduction_factor=3)
    return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2) if name == "median" else optuna.pruners.NopPruner()


def conclude(study: optuna.Study, folder: Path) -> float | None:
    """Print the best settings, and keep them as best.yaml; their cost."""
    from omegaconf import OmegaConf

    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not done:
        print("no trial has been finished")
        return None
    best, cut = study.best_trial, len(study.get_trials(deepcopy=False, states=(TrialState.PRUNED,)))
    settings = OmegaConf.create()
    for key, value in best.params.items():
        OmegaConf.update(settings, key, OmegaConf.create(f"x: {value}").x if isinstance(value, str) else value)
    write_whole(
        folder / "best.yaml",
        f"# @package _global_\n# cost {best.value} in {best.user_attrs['folder']}\n{OmegaConf.to_yaml(settings)}",
    )
    print(f"{len(done)} trials finished, {cut} pruned; least cost {best.value:.6g} in {folder / best.user_attrs['folder']}:")
    print(
        "  "
        + " ".join(f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in best.params.items())
    )
    return best.value
