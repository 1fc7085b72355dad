"""pointsman-learn-offline: learn a policy from a log of decisions."""

from typing import Any

from pointsman.cli import launch, plain, single_threaded


def learn_offline(config: Any) -> None:
    """Learn, with several settings if asked, and keep the policy that held-out episodes speak for."""
    from pathlib import Path

    from pointsman.agents import build_learner
    from pointsman.agents.log import bar
    from pointsman.agents.policy import save
    from pointsman.evaluation.ope.read import read
    from pointsman.evaluation.ope.select import choose, split
    from pointsman.evaluation.rollout import require_seed

    single_threaded()
    require_seed(config.seed)
    log, settings, folder = read(config.log), plain(config.learner), Path(config.output)
    several = [settings]
    if config.conservatism:
        several = [settings | {"conservatism": float(value)} for value in config.conservatism]
    learning, held_out = split(log, config.held_out, config.seed) if len(several) > 1 else (log, log)
    candidates = {}
    with bar() as progress:
        for each in several:
            name = f"{each['name']} {each['conservatism']:g}" if config.conservatism else str(each["name"])
            task = progress.add_task(name, total=1.0, note="")
            show = lambda share, task=task: progress.update(task, completed=share)  # noqa: E731
            candidates[name] = build_learner(each).fit(learning.transitions(), config.seed, show)
            show(1.0)
    best = next(iter(candidates))
    if len(candidates) > 1:
        choice = choose(candidates, held_out)
        best = choice.best
        for name, gap in choice.differences.items():
            print(
                f"{name}: {gap.estimate:+.4g} beside the logging policy on held-out episodes, {gap.low:+.4g} to {gap.high:+.4g}"
            )
    save(candidates[best], folder)
    print(f"learned: {best}\npolicy: {folder}")


def main() -> None:
    """Entry point of the console script."""
    launch(learn_offline, "learn_offline")


if __name__ == "__main__":
    main()
