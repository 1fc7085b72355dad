"""What any environment can be compared with: actions at random."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.noise import spread
from pointsman.envs.problem import Problem
from pointsman.envs.rule import Rule


class Random(Rule):
    """Each action as likely as another; in a box, uniform between its bounds (standard normal where it has none)."""

    def act(self, observation: Any, mask: NDArray[np.bool_], u: NDArray[np.float64]) -> NDArray[Any]:
        """Actions from the policy's own uniforms, so that they repeat."""
        layout = self._layout
        parts = len(layout.bounds) or len(layout.parts)
        each = np.empty((len(u), parts))
        spread(u, each)
        if layout.bounds:
            from scipy.special import ndtri

            low, high = np.array(layout.bounds).T
            bounded = np.isfinite(high - low)
            span = np.where(bounded, high - low, 1.0)
            return np.where(bounded, np.where(bounded, low, 0.0) + span * each, ndtri(each))
        actions = (each * np.array(layout.parts)).astype(np.int64)
        return actions if parts > 1 else actions[:, 0]


def rules(problem: Problem) -> dict[str, Any]:
    """Rules that apply to a problem."""
    return {"random": Random}
