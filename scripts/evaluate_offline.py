"""pointsman-evaluate-offline: would another policy have been better, as far as a log can tell?

Exit status: 0 better, 1 worse, 2 inconclusive, 3 refused; 4 on bad input.
"""

import sys
from typing import Any

from pointsman.cli import launch, single_threaded

BAD_INPUT = 4


def evaluate_offline(config: Any) -> None:
    """Evaluate one policy on one log, print the result and write the report."""
    from dataclasses import replace
    from pathlib import Path

    from rich.console import Console

    from pointsman import envs
    from pointsman.errors import PointsmanError
    from pointsman.evaluation.ope import deterministic, report
    from pointsman.evaluation.ope.read import read
    from pointsman.evaluation.ope.verdict import estimate
    from pointsman.evaluation.provenance import provenance
    from pointsman.evaluation.rollout import require_seed
    from pointsman.scripts.policies import numbers, open_policy
    from pointsman.shipped import load_yaml

    single_threaded()
    require_seed(config.seed)
    path, log = Path(config.log), read(config.log)
    if config.markov is not None:
        log = replace(log, sidecar=replace(log.sidecar, markov=config.markov))
    simulated = log.sidecar.simulator.get("config")
    problem = envs.without_warmup(simulated) if simulated else None
    policy = open_policy("policy", config.policy, numbers("parameters", config.parameters), problem)
    model = None
    if config.network:
        from pointsman.agents.offline import FittedQEvaluation

        model = FittedQEvaluation(seed=config.seed)
    target = log.target(policy)
    estimators = list(config.estimators) if config.estimators else None
    found = estimate(
        log, target, estimators, objective=config.objective, method=config.interval, block_days=config.block_days,
        truncate=config.truncate, model=model, seed=config.seed,
    )  # fmt: skip
    further: list[str] = []
    if found.verdict == "refused":
        spread = float(log.reward.std()) or 1.0
        plan = deterministic.logging_plan(log, target, config.half_width or 0.1 * spread)
        replayed, facts = None, log.sidecar.simulator
        given = config.simulator and envs.complete(load_yaml("simulator", config.simulator, "env"))
        chosen, name = given or simulated, config.logging or facts.get("policy")
        if chosen and name and log.source == "deterministic":
            parameters = numbers("logging_parameters", config.logging_parameters) or facts.get("parameters", {})
            logging = open_policy("logging", name, parameters, envs.without_warmup(chosen))
            replayed = deterministic.replay(log, chosen, logging, policy, seed=config.seed)
        elif config.simulator:
            raise PointsmanError("simulator= replays the log of a deterministic policy, which logging= or the sidecar names")
        further = report.without_weights(deterministic.one_step_bounds(log, target), plan, replayed, log.sidecar.time_unit)
    truth = None
    if simulated and config.truth and found.question.objective != "decision" and log.sidecar.discount == 1.0:
        facts, rule = log.sidecar.simulator, None
        if facts.get("policy"):
            rule = open_policy("the log's policy", facts["policy"], facts.get("parameters", {}), problem)
        shown = deterministic.truth(simulated, policy, rule, found.question.objective, config.truth_episodes, config.seed)
        truth = shown.value
        further += report.simulated(found, shown, facts.get("policy", ""))
    folder = Path(config.output or f"logs/offline/{path.name.split('.')[0]}")
    facts = {"log": str(path), "policy": config.policy, "decisions": f"{len(log)} in {log.episodes} episodes"} | provenance()
    file = report.write(folder, f"{config.policy} on {path.name}", found, facts, further, truth)
    out = Console(width=max(Console().width, 150), highlight=False)
    out.print(report.estimates_table(found, truth), report.diagnostics_table(found))
    for line in [*report.words(found), *further, f"report: {file}"]:
        out.print(line, soft_wrap=True, markup=False)
    sys.exit(found.status)


def main() -> None:
    """Entry point of the console script."""
    launch(evaluate_offline, "evaluate_offline", BAD_INPUT)


if __name__ == "__main__":
    main()
