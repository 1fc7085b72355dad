"""pointsman-train: compose, tune the rules, find the optimum, learn, and leave a run folder."""

from collections.abc import Callable
from typing import Any

from pointsman.cli import launch, plain


def train(config: Any, around: Callable[[Any], Any] = lambda log: log, command: str | None = None) -> None:
    """One run; the last line printed is `run: <folder>`.

    `around` may put a Log of its own around that of the run; `command` is what made the run, if not this process's.
    """
    import torch

    from pointsman import envs
    from pointsman.agents import build_learner
    from pointsman.agents.log import RunLog
    from pointsman.errors import PointsmanError
    from pointsman.evaluation.rollout import require_counted, require_seed
    from pointsman.evaluation.runfolder import RunFolder
    from pointsman.scripts.baselines import keep_baselines

    resume = config.resume
    if resume:
        run = RunFolder.open(resume)
        config = run.config()
    settings = envs.complete(config.env)
    problem, training = envs.build(settings), envs.training(settings)
    require_counted(problem)
    if config.agent.name in (*envs.rules(problem), "optimum"):
        raise PointsmanError(f"agent.name={config.agent.name} is that of a policy it is compared with: take another")
    require_seed(config.seed)
    if config.threads is not None and config.threads < 1:
        raise PointsmanError(f"threads must be at least 1, got {config.threads}")
    learner = build_learner(plain(config.agent))
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    env = envs.BatchEnv(training, learner.num_envs, copy=False, threads=torch.get_num_threads())
    if not resume:
        run = RunFolder.new(config.run_dir, config, command)
    try:
        if config.baselines and not (run.path / "rules").is_dir():
            keep_baselines(run, problem, training, config.seed, plain(config.search), learner.total_steps)
        print(f"training {config.agent.name} on {problem.id}; curves: tensorboard --logdir {run.path}")
        chosen = {"env": problem.id, "seed": config.seed, "agent": plain(config.agent)}
        with RunLog(run.tensorboard / str(config.agent.name), env, str(config.agent.name), chosen) as log:
            policy = learner.fit(env, around(log), seed=config.seed, checkpoint=run.checkpoint)
    except KeyboardInterrupt:
        how = "go on" if run.checkpoint.is_file() else "begin the training again"
        print(f"interrupted; {how} with: pointsman-train resume={run.path}")
        raise
    run.save_policy("policy", policy)
    print(f"run: {run.path}")


def start(config: Any) -> None:
    """`train` as the command line asks for it; beside `resume` nothing but plugins has a say."""
    from hydra.core.hydra_config import HydraConfig

    from pointsman.errors import PointsmanError

    ignored = [given for given in HydraConfig.get().overrides.task if given.split("=")[0] not in ("resume", "plugins")]
    if config.resume and ignored:
        raise PointsmanError(f"resume={config.resume} goes on as that run was configured: leave out {' '.join(ignored)}")
    train(config)


def main() -> None:
    """Entry point of the console script."""
    launch(start, "train")


if __name__ == "__main__":
    main()
