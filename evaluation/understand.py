"""What a policy does, for people: action maps, where it is not monotone, and a small tree that says nearly the same."""

from typing import Any, NamedTuple

import pandas as pd

from pointsman import envs
from pointsman.agents.tree import TreePolicy
from pointsman.evaluation.compare import Comparison
from pointsman.evaluation.distil import ReadableRule, distil, readable
from pointsman.evaluation.maps import ActionMap, action_map, monotonicity, telling_pairs
from pointsman.evaluation.rollout import EVALUATION, rollout
from pointsman.evaluation.statistics import Interval
from pointsman.evaluation.visits import visits


class Understanding(NamedTuple):
    """What is known of a policy's decisions; costs are paired, on the episodes of a comparison."""

    maps: list[ActionMap]
    actions: tuple[str, ...]
    reference: str  # whose changes of mind are drawn over the maps
    monotone: pd.DataFrame
    tree: TreePolicy
    rules: list[ReadableRule]
    beside_policy: Interval  # cost of the tree, as a share of the policy's
    beside_rule: Interval  # and of the best tuned rule's


def understand(found: Comparison, policies: dict[str, Any], seed: int) -> Understanding:
    """Maps, monotonicity and distilled tree of the learned policy; the reference is the optimum, or else the best rule."""
    problem, policy, name = found.problem, policies[found.learned], found.learned
    known = visits(policy, problem, seed)
    reference = "optimum" if "optimum" in policies else found.best_rule
    maps = [action_map(problem, known, x, y, policies[reference]) for x, y in telling_pairs(known)]
    tree = distil(policy, problem, known, seed)
    totals = rollout(tree, problem, len(found.elapsed), EVALUATION + seed)
    rollouts = {other: found.rollouts[other][0] for other in (name, found.best_rule)} | {"tree": totals}
    beside = Comparison(problem, rollouts, "tree", [found.best_rule])
    return Understanding(
        maps, known.names, reference, monotonicity(policy, problem, known), tree, readable(tree, problem, known),
        beside.relative("tree", name), beside.relative("tree", found.best_rule),
    )  # fmt: skip


def in_words(found: Understanding, learned: str, baseline: str, problem: envs.Problem) -> list[str]:
    """Cost of the tree and violations of monotonicity, in plain words."""
    lines = [
        f"A tree of {len(found.rules)} rules costs {_percent(found.beside_policy)} beside {learned}, which it imitates, "
        f"and {_percent(found.beside_rule)} beside {baseline}."
    ]
    for row in found.monotone.itertuples():
        if row.not_monotone:
            share = f"{row.not_monotone} of {row.lines}"
            lines.append(f"{learned} is not monotone in {row.observation} on {share} lines, for example {row.example}.")
    if not found.monotone["not_monotone"].any():
        lines.append(f"{learned} is monotone in every observation, as far as it was looked at.")
    return lines


def _percent(share: Interval) -> str:
    return f"{100 * share.estimate:+.2f} % (95 %: {100 * share.low:+.2f} to {100 * share.high:+.2f} %)"
