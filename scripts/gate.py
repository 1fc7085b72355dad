"""pointsman-gate: may the policy of a run be deployed? Status 0 or 1, and a reason per line."""

import sys
from typing import Any

from pointsman.cli import launch, single_threaded


def gate(config: Any) -> None:
    """Check one run folder against limits; status 1 if any is not kept."""
    from rich.console import Console

    from pointsman import envs
    from pointsman.agents.log import bar
    from pointsman.evaluation import gate
    from pointsman.evaluation.rollout import require_episodes, require_seed
    from pointsman.evaluation.runfolder import RunFolder
    from pointsman.evaluation.stress import family_pack

    single_threaded()
    run = RunFolder.open(config.run)
    trained = run.config()
    problem, learned = envs.build(envs.complete(trained.env)), str(trained.agent.name)
    require_episodes(config.episodes)
    require_seed(config.seed)
    limits = gate.load_limits(config.limits or envs.family(problem))
    rules, policies = run.rules(), run.policies(learned)
    policies.pop("optimum", None)
    out, checks = Console(soft_wrap=True, highlight=False), []
    if not limits.pack and not family_pack(problem):
        out.print(f"no stress pack is shipped for {problem.id}, and the limits name none: it is under no stress here")
    with bar() as progress:
        task = progress.add_task("gate", total=1.0, note="")
        show = lambda share, note: progress.update(task, completed=share, note=note)  # noqa: E731
        for check in gate.gate(problem, policies, learned, rules, limits, config.episodes, config.seed, show):
            out.print(str(check), style=None if check.passed else "bold red", markup=False)
            checks.append(check)
    failed = [check.name for check in checks if not check.passed]
    verdict = f"rejected, for {', '.join(failed)}" if failed else f"passed all {len(checks)} checks"
    out.print(f"gate: {learned} {verdict}", style="bold", markup=False)
    sys.exit(1 if failed else 0)


def main() -> None:
    """Entry point of the console script."""
    launch(gate, "gate")


if __name__ == "__main__":
    main()
