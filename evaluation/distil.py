"""A small decision tree that imitates a policy where it matters, and reads as rules."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor
from sklearn.tree import DecisionTreeClassifier

from pointsman import envs
from pointsman.agents.tree import LEAF, TreePolicy
from pointsman.envs.problem import Field
from pointsman.evaluation.visits import Visits, wrong_action_costs

LEAVES = 15


@dataclass(frozen=True)
class ReadableRule:
    """One leaf: when, what, and in how many of the decisions."""

    when: str
    action: str
    share: float

    def __str__(self) -> str:
        return f"{self.when}: {self.action} ({100 * self.share:.1f} % of the decisions)"


def distil(policy: Any, problem: envs.Problem, known: Visits, seed: int = 0, leaves: int = LEAVES) -> TreePolicy:
    """A tree of at most `leaves` leaves with the policy's actions, states weighted by visits and by what a wrong action costs.

    Weighting imitation by the cost of a wrong action is the idea of VIPER (Bastani, Pu and Solar-Lezama 2018). Here that
    cost is measured by branching, and smoothed by a forest; where the policy itself seems wrong it weighs nothing.
    """
    seen, cost = wrong_action_costs(policy, problem, known, seed)
    weight = np.zeros(len(known.choice))
    if len(cost):
        smooth = RandomForestRegressor(50, min_samples_leaf=20, random_state=seed).fit(seen, cost)
        weight = np.maximum(smooth.predict(known.observation), 0.0)
    if not weight.any():
        weight = np.ones_like(weight)
    grown = DecisionTreeClassifier(max_leaf_nodes=leaves, random_state=seed).fit(known.observation, known.choice, weight)
    return _policy(grown, problem, known)


def _policy(grown: Any, problem: envs.Problem, known: Visits) -> TreePolicy:
    """Arrays of a grown tree, with leaves of one parent that agree made one."""
    tree = grown.tree_
    weight = np.zeros((tree.node_count, len(known.choices)))
    weight[:, grown.classes_] = tree.value[:, 0]
    feature = np.where(tree.children_left < 0, LEAF, tree.feature)
    best = weight.argmax(1)
    for node in reversed(range(tree.node_count)):  # children come after their parents
        left, right = tree.children_left[node], tree.children_right[node]
        if feature[node] != LEAF and feature[left] == feature[right] == LEAF and best[left] == best[right]:
            feature[node] = LEAF
    return TreePolicy(problem.layout, feature, tree.threshold, tree.children_left, tree.children_right, known.choices, weight)


def readable(tree: TreePolicy, problem: envs.Problem, known: Visits) -> list[ReadableRule]:
    """The leaves as rules, in the order of the tree."""
    share = np.bincount(tree.leaf(known.observation), minlength=len(tree.feature)) / len(known.observation)
    found: list[ReadableRule] = []
    fields = problem.fields

    def values(k: int) -> int:
        return len(np.unique(known.observation[:, k]))

    def walk(node: int, bounds: dict[int, tuple[float, float]]) -> None:
        if (place := int(tree.feature[node])) == LEAF:
            parts = [_condition(fields[k], known.observation[:, k], *bounds[k]) for k in sorted(bounds, key=values)]
            found.append(ReadableRule(" and ".join(parts) or "always", known.names[tree.weight[node].argmax()], share[node]))
            return
        low, high = bounds.get(place, (-np.inf, np.inf))
        cut = float(tree.threshold[node])
        walk(int(tree.left[node]), bounds | {place: (low, min(high, cut))})
        walk(int(tree.right[node]), bounds | {place: (max(low, cut), high)})

    walk(0, {})
    return found


def _condition(field: Field, seen: NDArray[np.float32], low: float, high: float) -> str:
    """`low < field <= high` in the words of that field: whole numbers where only such were seen."""
    if field.unit == "indicator":
        kind, _, name = field.name.partition("/")
        return f"{kind} is {'not ' if high < np.inf else ''}{name}" if name else f"{'not ' if high < np.inf else ''}{kind}"
    below, least, most = "<", f"{low:.3g}", f"{high:.3g}"
    if (seen == np.round(seen)).all():
        first, last = max(np.floor(low) + 1, seen.min()), min(np.floor(high), seen.max())
        if first == last:
            return f"{field.name} = {first:.0f}"
        below, least, most = "\u2264", f"{first:.0f}", f"{last:.0f}"
    if np.isinf(low):
        return f"{field.name} \u2264 {most}"
    if np.isinf(high):
        return f"{field.name} {'>' if below == '<' else chr(0x2265)} {least}"
    return f"{least} {below} {field.name} \u2264 {most}"
