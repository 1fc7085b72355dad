"""Actions against the mask: the first that it forbids, why, and what stands in for it.

Actions are [N, K], a column per part of the decision; the mask [N, A] has the legality of one part after the other, and part k
begins at first[k] and ends before first[k + 1].
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.compiled import batched
from pointsman.envs.problem import Problem

ILLEGAL = "illegal"
"""Ledger column that counts actions which the mask forbids (only with illegal="fallback")."""


@batched
def first_illegal(action, mask, first):
    """(row, part) of the first illegal action, or (-1, 0) if there is none."""
    for i in range(action.shape[0]):
        for k in range(action.shape[1]):
            place = first[k] + action[i, k]
            if action[i, k] < 0 or place >= first[k + 1] or not mask[i, place]:
                return i, k
    return -1, 0


@batched
def _legalise(action, mask, first, fallen):
    """Put the first legal action wherever one is illegal, and mark the rows."""
    for i in range(action.shape[0]):
        for k in range(action.shape[1]):
            place = first[k] + action[i, k]
            if action[i, k] < 0 or place >= first[k + 1] or not mask[i, place]:
                fallen[i] = True
                action[i, k] = 0
                while not mask[i, first[k] + action[i, k]]:
                    action[i, k] += 1


def legalise(
    actions: NDArray[np.int64], mask: NDArray[np.bool_], parts: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Actions [N] or [N, K] with the first legal one wherever the mask [N, sum(parts)] forbids, and which rows had such."""
    fallen, by_part = np.zeros(len(actions), np.bool_), actions.reshape(len(actions), -1).copy()
    _legalise(by_part, mask, np.concatenate([[0], np.cumsum(parts, dtype=np.int64)]), fallen)
    return by_part.reshape(actions.shape), fallen


def why_illegal(problem: Problem, mask: NDArray[np.bool_], row: int, part: int, action: int) -> str:
    """What is wrong with an action of one part of one row, by name; mask [A] is the row's."""
    parts = problem.layout.parts
    first = sum(parts[:part])
    names, mask = problem.actions[first : first + parts[part]], mask[first : first + parts[part]]
    legal = ", ".join(f"{a} ({name})" for a, name in enumerate(names) if mask[a])
    where = f"environment {row}" + (f", part {part}," if len(parts) > 1 else "")
    if not 0 <= action < len(names):
        return f"action {action} in {where} does not exist; legal now: {legal}"
    return f"action {action} ({names[action]}) in {where} is masked in this state; legal now: {legal}"
