"""How the answer changes with what no log can tell: everything once more, one assumption changed at a time."""

from typing import Any

import pandas as pd
from rich.table import Table

from pointsman import envs
from pointsman.evaluation.compare import Comparison
from pointsman.evaluation.rollout import run_all
from pointsman.evaluation.statistics import rate, verdict


def under_assumptions(shipped: Comparison, policies: dict[str, Any], episodes: int, seed: int, progress: Any) -> pd.DataFrame:
    """One row per assumption and value: cost rates of the best rule and of the learned policy, both left as they are.

    The first row is the problem as shipped; `difference` is paired, learned minus rule, with a 95 % interval.
    """
    config, names = shipped.problem.config, (shipped.best_rule, shipped.learned)
    changes = [(a["key"], value) for a in config["assumptions"] for value in a["values"]]
    rows = [_row("as shipped", shipped)]
    task = progress.add_task("assumptions", total=len(changes), note="")
    for key, value in changes:
        problem = envs.build(envs.complete(config, {key: value}))
        progress.update(task, note=f"{key} = {value:g}")
        rollouts = run_all(problem, {name: policies[name] for name in names}, episodes, seed, lambda share: None)
        rows.append(_row(f"{key} = {value:g}", Comparison(problem, rollouts, shipped.learned, [shipped.best_rule])))
        progress.advance(task)
    return pd.DataFrame(rows)


def _row(label: str, found: Comparison) -> dict[str, Any]:
    rule, learned = (rate(found.cost[name], found.elapsed).estimate for name in (found.best_rule, found.learned))
    difference = found.difference(found.learned, found.best_rule)
    return {
        "assumption": label, "rule": found.best_rule, "rule_cost": rule, "learned_cost": learned,
        "difference": difference.estimate, "low": difference.low, "high": difference.high, "verdict": verdict(difference),
    }  # fmt: skip


def assumption_table(rows: pd.DataFrame, learned: str) -> Table:
    """The rows for reading."""
    rule = rows["rule"].iloc[0]
    shown = Table(title="What no log can tell: the same policies where an assumption is wrong", title_justify="left")
    for heading in ("assumption", rule, learned, "difference", "95 % interval", f"{learned} is"):
        shown.add_column(heading, justify="left" if heading == "assumption" else "right")
    for row in rows.itertuples():
        numbers = [f"{row.rule_cost:.4g}", f"{row.learned_cost:.4g}", f"{row.difference:+.4g}"]
        shown.add_row(row.assumption, *numbers, f"[{row.low:.3g}, {row.high:.3g}]", row.verdict)
    return shown
