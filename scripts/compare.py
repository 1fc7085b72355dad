"""pointsman-compare: many runs, of several problems, learners and training seeds, in one report."""

from typing import Any

from pointsman.cli import launch, single_threaded


def compare(config: Any) -> None:
    """Compare run folders, and print the result."""
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from omegaconf import ListConfig
    from rich.console import Console

    from pointsman.agents.log import bar, write_bands
    from pointsman.errors import PointsmanError
    from pointsman.evaluation import many, report
    from pointsman.evaluation.curves import run_curves
    from pointsman.evaluation.provenance import provenance
    from pointsman.evaluation.rollout import require_episodes, require_seed
    from pointsman.evaluation.runfolder import RunFolder
    from pointsman.evaluation.shown import cost_table, headroom_of, verdict_of, words
    from pointsman.evaluation.stress import family_pack

    single_threaded()
    require_episodes(config.episodes)
    require_seed(config.seed)
    paths = list(config.run) if isinstance(config.run, ListConfig) else [config.run]
    if not paths:
        raise PointsmanError("run=[] names no run: give folders as run=[a,b,c], or a pattern as run='logs/runs/dispatch/*/*/*'")
    runs = [run for path in paths for run in RunFolder.matching(str(path))]
    found, several, folder = [], [], Path(config.output)
    with bar() as progress:
        for group in many.groups(runs):
            by_learner = many.compare(group, config.episodes, config.seed, progress)
            first, *others = by_learner.values()
            curves = run_curves(group.runs, first.ordered())
            write_bands(folder / "tensorboard" / group.problem.id.replace("/", "_"), *curves)
            depth = (
                many.in_depth(group, first, config.stresses, config.episodes, config.seed, progress)
                if config.details and not group.problem.episodic
                else {}
            )
            said = [line for one in others for line in (verdict_of(one), headroom_of(one))]
            if config.stresses and not family_pack(group.problem):
                said.append(f"No stress pack is shipped for {group.problem.id}: it is under no stress here.")
            several.append(report.Evidence(first, *curves, words=said, **depth))
            found.append(by_learner)
    tables = [many.per_problem(found), many.over_problems(found, np.random.default_rng(config.seed))]
    folder.mkdir(parents=True, exist_ok=True)
    scores = [next(iter(one.values())).scores().assign(problem=next(iter(one.values())).problem.id) for one in found]
    pd.concat(scores, ignore_index=True).to_csv(folder / "scores.csv", index=False)
    facts = {"runs": ", ".join(str(run.path) for run in runs), "evaluation seed": str(config.seed)} | provenance()
    text = "\n".join(f"# {run.path}\n{(run.path / 'config.yaml').read_text()}" for run in runs)
    file = report.write(folder, "Comparison of runs", several, facts, text, tables)
    out = Console(width=max(Console().width, 130))
    for evidence in several:
        out.print(cost_table(evidence.found))
        for line in [*words(evidence.found), *evidence.words]:
            out.print(line, soft_wrap=True)
    out.print(*tables)
    out.print(f"scores.csv, figures: {folder}\nreport: {file}", soft_wrap=True)


def main() -> None:
    """Entry point of the console script."""
    launch(compare, "compare")


if __name__ == "__main__":
    main()
