"""Tunes a rule by the cross-entropy method on common random numbers: the learner of the rules.

Rubinstein and Kroese, The Cross-Entropy Method (2004). All candidates of a round are simulated in one batch,
each on the same episodes. The first rounds spend the budget on many candidates with few episodes each, or a search
in five dimensions closes in on the wrong corner. The best of the later ones, and the values that a rule has unless told, meet
once more on fresh episodes, and the best quarter of them on four times as many, twice: else chance picks among near equals.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.errors import PointsmanError

Simulate = Callable[[Any, int, int, int], NDArray[np.float64]]
"""(rule with parameters by row, copies, episodes, seed) -> cost rates [copies, episodes]."""


class RuleSearch:
    """Learner that returns a rule with the parameters of least cost.

    Args:
        rule: the class; it is built as rule(problem, **values).
        population: candidates per round; the first three rounds have up to 8, 4 and 2 times as many.
        rounds: rounds of the search.
        episodes: episodes per candidate and round; in the first rounds so many fewer that the budget is the same.
        elite: share of the candidates that shape the next round.
    """

    def __init__(self, rule: Any, population: int = 64, rounds: int = 8, episodes: int = 24, elite: float = 0.1):
        for key, value in {"population": population, "rounds": rounds, "episodes": episodes}.items():
            if value < 1:
                raise PointsmanError(f"search.{key} must be at least 1, got {value}")
        self.rule, self.population, self.rounds = rule, population, rounds
        self.episodes, self.elite = episodes, elite

    def fit(self, problem: Any, simulate: Simulate, seed: int, progress: Callable[[], None] = lambda: None) -> Any:
        """The tuned rule, built with plain numbers."""
        space = self.rule.space_for(problem)
        if not space:
            return self.rule(problem)
        low, high = (np.array([getattr(p, side) for p in space.values()]) for side in ("low", "high"))
        integer = np.array([p.integer for p in space.values()])
        rng = np.random.default_rng([seed, 0])
        points = low + (high - low) * rng.random((self.population * self._wider(0), len(space)))
        keep = max(2, int(self.elite * self.population))
        finalists = [np.where(integer, np.round((low + high) / 2), (low + high) / 2)[None]]
        for round_ in range(self.rounds):
            points = np.where(integer, np.round(points), points)
            cost = self._cost(problem, simulate, space, points, seed + round_, self.episodes // self._wider(round_))
            best = np.argsort(cost, kind="stable")[:keep]
            if self._wider(round_) == 1 or round_ == self.rounds - 1:
                finalists.append(points[best[: keep // 2 + 1]])
            centre, spread = points[best].mean(0), points[best].std(0)
            # A floor that shrinks keeps the search from closing in on a first guess.
            spread = np.maximum(spread, (high - low) * 0.15 * 0.6**round_)
            size = (self.population * self._wider(round_ + 1), len(space))
            points = np.clip(rng.normal(centre, spread, size), low, high)
            points[0] = centre
            progress()
        last = np.unique(np.concatenate(finalists), axis=0)
        for final, times in enumerate((2, 8, 32)):
            if len(last) == 1:
                break
            cost = self._cost(problem, simulate, space, last, seed + self.rounds + final, times * self.episodes)
            last = last[np.argsort(cost, kind="stable")[: len(last) // 4 + 1]]
        return self.rule(problem, **{name: float(value) for name, value in zip(space, last[0], strict=True)})

    def _wider(self, round_: int) -> int:
        """How many times more candidates a round has, on as many times fewer episodes."""
        return min(max(8 >> round_, 1), self.episodes)

    def _cost(self, problem: Any, simulate: Simulate, space: Any, points: Any, seed: int, episodes: int) -> Any:
        """Mean cost rate of every point [P]."""
        values = {name: np.repeat(points[:, k], episodes) for k, name in enumerate(space)}
        return simulate(self.rule(problem, **values), len(points), episodes, seed).mean(1)
