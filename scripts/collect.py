"""pointsman-collect: decision logs from the simulator, with the probabilities of what was done."""

from typing import Any

from pointsman.cli import launch, single_threaded


def collect(config: Any) -> None:
    """Write one log and its sidecar."""
    from pathlib import Path

    from pointsman import envs
    from pointsman.agents.log import bar
    from pointsman.errors import PointsmanError
    from pointsman.evaluation.ope import collect as ope
    from pointsman.evaluation.rollout import require_seed
    from pointsman.scripts.policies import numbers, open_policy

    single_threaded()
    require_seed(config.seed)
    settings, path, parameters = envs.complete(config.env), Path(config.output), numbers("parameters", config.parameters)
    if path.suffix not in (".parquet", ".csv"):
        raise PointsmanError(f"output={path} must end in .parquet or .csv")
    policy = open_policy("policy", config.policy, parameters, envs.without_warmup(settings))
    with bar() as progress:
        task = progress.add_task("collecting", total=1.0, note="")
        table = ope.collect(
            policy, settings, config.decisions, config.epsilon, config.seed, lambda share: progress.update(task, completed=share)
        )
    facts = {"policy": config.policy, "parameters": parameters, "seed": config.seed}
    ope.write(table, path, settings, config.epsilon, facts)
    print(f"{len(table)} decisions in {table['episode_id'].nunique()} episodes\nlog: {path}")


def main() -> None:
    """Entry point of the console script."""
    launch(collect, "collect")


if __name__ == "__main__":
    main()
