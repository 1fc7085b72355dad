"""pointsman-evaluate: rules, learned policy and optimum on the same records; tables, scores.csv, summary.json, report.html."""

from typing import Any

from pointsman.cli import launch, plain, single_threaded


def evaluate(config: Any) -> None:
    """Evaluate one run folder, and print the result."""
    from omegaconf import OmegaConf
    from rich.console import Console

    from pointsman import envs
    from pointsman.agents.log import bar, write_report
    from pointsman.agents.policy import save
    from pointsman.agents.rules import FunctionPolicy
    from pointsman.envs.plugins import function
    from pointsman.errors import PointsmanError
    from pointsman.evaluation import report
    from pointsman.evaluation.assumptions import assumption_table, under_assumptions
    from pointsman.evaluation.compare import Comparison
    from pointsman.evaluation.curves import run_curves
    from pointsman.evaluation.exact_costs import exact_costs
    from pointsman.evaluation.provenance import provenance
    from pointsman.evaluation.rollout import require_episodes, require_seed
    from pointsman.evaluation.runfolder import RunFolder
    from pointsman.evaluation.shown import cost_table, kpi_table, words
    from pointsman.evaluation.stress import stress_rows, stress_table, stresses, under_all
    from pointsman.evaluation.understand import understand
    from pointsman.evaluation.until import run_until

    single_threaded()
    require_episodes(config.episodes)
    require_seed(config.seed)
    run = RunFolder.open(config.run)
    trained = run.config()
    problem, learned = envs.build(envs.complete(trained.env)), str(trained.agent.name)
    policies, rules = run.policies(learned), run.rules()
    for name in [config.rule] if isinstance(config.rule, str) else config.rule or []:
        own, short = FunctionPolicy(str(name), function("rule", str(name)), problem.layout), name.rpartition(":")[2]
        if short in policies:
            raise PointsmanError(f"rule={name}: there is a policy called {short} already, give the function another name")
        policies[short] = own
        rules.append(short)
    if config.frozen:
        policies |= RunFolder.open(config.frozen, "frozen").frozen(problem)
    pack = stresses(problem, plain(config.stress)) if config.stress else []
    tables, under = [], {}
    with bar() as progress:
        task = progress.add_task("evaluating", total=1.0, note="")
        rollouts, pilot = run_until(
            problem, policies, learned, rules, config.episodes, config.until, config.seed,
            lambda share: progress.update(task, completed=share),
        )  # fmt: skip
        exact = exact_costs(problem, policies, note=lambda text: progress.update(task, note=f"exact cost of {text}"))
        progress.update(task, note="")
        found = Comparison(problem, rollouts, learned, rules, run.optimal_cost(), exact, pilot)
        found.write(run.evaluation)
        if problem.config["assumptions"] and config.assumptions:
            changed = under_assumptions(found, policies, config.episodes, config.seed, progress)
            changed.to_csv(run.evaluation / "assumptions.csv", index=False)
            tables.append(assumption_table(changed, learned))
        if pack:
            under = under_all(pack, policies, learned, rules, config.episodes, config.seed, progress)
            stress_rows(under, found.best_rule).to_csv(run.evaluation / "stress.csv", index=False)
        if config.report:
            task = progress.add_task("report", total=None, note="distilling a tree")
            # What a wrong action costs is found by going back to a state, which episodes of other libraries do not allow.
            known = None if problem.episodic else understand(found, policies, config.seed)
            if known is not None:
                save(known.tree, run.evaluation / "tree")
            curves = run_curves({learned: [run]}, found.ordered())
            says = {stress.name: stress.says for stress in pack}
            evidence = report.Evidence(found, *curves, under, says, known, tables)
            facts = {"run": str(run.path), "training seed": str(trained.seed), "evaluation seed": str(config.seed)} | provenance()
            title = f"{learned} on {problem.id}"
            file = report.write(run.evaluation, title, [evidence], facts, OmegaConf.to_yaml(trained))
            write_report(run.tensorboard / "evaluation", run.evaluation, [str(rule) for rule in (known.rules if known else [])])
    out = Console(width=max(Console().width, 130))
    out.print(cost_table(found), kpi_table(found))
    note = getattr(policies[learned], "note", None)
    for line in words(found) + ([f"{learned}: {note}."] if note else []):
        out.print(line, soft_wrap=True)
    out.print(*tables, *([stress_table(under, found.ordered(), found.best_rule)] if pack else []))
    out.print(f"scores.csv, summary.json, figures: {run.evaluation}", soft_wrap=True)
    if config.report:
        out.print(f"report: {file}", soft_wrap=True)


def main() -> None:
    """Entry point of the console script."""
    launch(evaluate, "evaluate")


if __name__ == "__main__":
    main()
