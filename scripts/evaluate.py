"""pointsman-evaluate: rules, learned policy and optimum on the same records; table, scores.csv, summary.json."""

from typing import Any

from pointsman.cli import launch


def evaluate(config: Any) -> None:
    """Evaluate one run folder, and print the result."""
    from rich.console import Console

    from pointsman import envs
    from pointsman.agents.log import bar
    from pointsman.errors import PointsmanError
    from pointsman.evaluation.assumptions import assumption_table, under_assumptions
    from pointsman.evaluation.compare import Comparison, exact_costs, run_all
    from pointsman.evaluation.plots import headroom_plot
    from pointsman.evaluation.runfolder import RunFolder

    if not isinstance(config.episodes, int) or config.episodes < 2:
        raise PointsmanError(f"episodes must be an integer of at least 2, got {config.episodes}")
    run = RunFolder.open(config.run)
    trained = run.config()
    problem, learned = envs.build(envs.complete(trained.env)), str(trained.agent.name)
    policies, best = run.policies(learned), run.optimal_cost()
    if config.frozen:
        policies |= RunFolder.open(config.frozen, "frozen").frozen(problem)
    with bar() as progress:
        task = progress.add_task("evaluating", total=1.0, note="")
        show = lambda share: progress.update(task, completed=share)  # noqa: E731
        rollouts = run_all(problem, policies, config.episodes, config.seed, show)
        found = Comparison(problem, rollouts, learned, list(run.rules()), best, exact_costs(problem, policies))
        found.write(run.evaluation)
        headroom_plot(found, run.evaluation / "headroom.png")
        if problem.config["assumptions"] and config.assumptions:
            changed = under_assumptions(found, policies, config.episodes, config.seed, progress)
            changed.to_csv(run.evaluation / "assumptions.csv", index=False)
    out = Console(width=max(Console().width, 120))
    out.print(found.table(), found.kpi_table())
    note = getattr(policies[learned], "note", None)
    for line in found.words() + ([f"{learned}: {note}."] if note else []):
        out.print(line, soft_wrap=True)
    if problem.config["assumptions"] and config.assumptions:
        out.print(assumption_table(changed, learned))
    out.print(f"scores.csv, summary.json, headroom.png: {run.evaluation}", soft_wrap=True)


def main() -> None:
    """Entry point of the console script."""
    launch(evaluate, "evaluate")


if __name__ == "__main__":
    main()
