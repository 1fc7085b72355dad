"""What is it worth to see the regime of dispatch/surge, and how much of that does a policy with rates of the recent past get?

    python -m pointsman.scripts.hidden_regime [run folder ...]

prints costs per minute of the optimum that sees the regime, of the best policy found that sees only the desk as it is
(by the exact chain), of a Bayesian filter of the gaps between requests, and of the policies of the runs, on the same records;
with more than one run, they count as seeds of one learner.
"""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from pointsman import envs
from pointsman.agents import exact
from pointsman.agents.table import TablePolicy
from pointsman.envs.arrays import Floats
from pointsman.envs.problem import Problem
from pointsman.evaluation.rollout import EVALUATION, rollout
from pointsman.evaluation.runfolder import RunFolder
from pointsman.evaluation.statistics import gap_closed, hierarchical_bootstrap

PRESET, SIZE = "dispatch/surge", 50
LONG: dict[str, Any] = {"horizon_minutes": 2400.0}
"""Several switches of the regime in every episode."""
RECORDS = EVALUATION + 1000
"""Seed of records on which no setting was chosen."""
OVER = 10.0
"""Time of the rate from which the filter reads the gaps, minutes."""


def memoryless(chain: Any, shown: int, starts: int = 6, seed: int = 0) -> tuple[float, TablePolicy]:
    """Cost and table of the best policy found that sees the first `shown` entries of the observation only, of two actions.

    Local search from policies at random and both constant ones, by exact costs. A flip is tried in the order of what it
    promises, d(s) A(s, a) summed over the states that look alike; at the end none is left that lowers the cost.
    """
    decision = np.flatnonzero(chain.decision)
    seen, alike = np.unique(chain.observation[decision, :shown], axis=0, return_inverse=True)

    def table(choice: NDArray[np.int64]) -> Floats:
        found = np.eye(2)[chain.mask.argmax(1)]
        found[decision] = np.eye(2)[choice[alike]]
        return found

    def promise(choice: NDArray[np.int64]) -> Floats:
        """First-order change of the cost by a flip, [O]."""
        rows, actions = table(choice), np.arange(2)
        gain, bias = exact.relative_values(chain, rows)
        ahead = np.stack([chain.cost[:, a] + chain.transition[a] @ bias - gain * chain.elapsed[:, a] for a in actions], 1)
        weighted = exact.evaluate(chain, rows).frequency * (ahead[:, 1] - ahead[:, 0])
        return np.asarray(np.bincount(alike, weighted[decision], len(seen)) * np.where(choice == 0, 1.0, -1.0))

    rng, best = np.random.default_rng(seed), (np.inf, np.zeros(len(seen), np.int64))
    for choice in [np.zeros_like(best[1]), np.ones_like(best[1]), *rng.integers(0, 2, (starts, len(seen)))]:
        cost, better = exact.evaluate(chain, table(choice)).average_cost, True
        while better:
            change = promise(choice)
            order = np.argsort(change)[: max((change < 0).sum(), 1)]
            better = False
            # First all flips that promise something at once, then fewer and fewer, then one by one.
            groups = [order[: len(order) >> k] for k in range(len(order).bit_length() - 1)]
            for flips in [*groups, *order[:, None]]:
                other = choice.copy()
                other[flips] = 1 - other[flips]
                if (found := exact.evaluate(chain, table(other)).average_cost) < cost - 1e-10:
                    choice, cost, better = other, found, True
                    break
        best = min(best, (cost, choice), key=lambda pair: pair[0])
    return best[0], TablePolicy(seen, best[1])


class Filter:
    """Weighs the optimum's costs-to-go by the probability of each regime, given the gaps so far (QMDP, Littman et al. 1995).

    It remembers those of one rollout, so each needs a new one; the last entry of its observation is the rate over OVER.
    """

    def __init__(self, problem: Problem, chain: Any, solution: exact.Solution):
        p, self._problem = problem.params, problem
        self._arrivals, self._scores = p.arrival_rate[:, 0], p.bin_score
        switching, regimes = p.switching_rate, len(p.switching_rate)
        stay = self._arrivals / switching
        self._start = stay / stay.sum()  # of the regime that an arrival meets
        away = np.roll(np.eye(regimes), 1, axis=1) - np.eye(regimes)
        self._root, basis = np.linalg.eig(switching[:, None] * away - np.diag(self._arrivals))
        self._basis, self._back = basis, np.linalg.inv(basis)
        ahead = np.stack([chain.cost[:, a] + P @ solution.bias for a, P in enumerate(chain.transition)], 1)
        ahead -= solution.average_cost * chain.elapsed
        self._ahead = ahead.reshape(regimes, -1, len(self._scores) + 1, 2)  # regime, requests at the people, event
        self.belief: Floats | None = None
        self._rate: Floats = np.zeros(0)

    def view(self, problem: Problem) -> Problem:
        """The problem with the rate that tells the gaps."""
        return envs.build(envs.complete(problem.config, {"recent.over": [OVER]}))

    def follow(self, gap: Floats) -> Floats:
        """Probabilities of the regimes [N, R] after a further gap [N]: nothing came in it, then a request did."""
        assert self.belief is not None
        ahead = ((self.belief @ self._basis) * np.exp(self._root * gap[:, None])) @ self._back
        belief = np.real(ahead) * self._arrivals
        return np.asarray(belief / belief.sum(1, keepdims=True))

    def act(self, observation: Any, mask: NDArray[np.bool_], u: Any) -> NDArray[np.int64]:
        """Actions [N]."""
        rate = observation[:, -1].astype(np.float64)
        if self.belief is None:
            self.belief = np.tile(self._start, (len(rate), 1))
        else:
            self.belief = self.follow(OVER * np.log((self._rate + 1.0 / OVER) / rate))
        self._rate = rate
        people = np.minimum(observation[:, 1] + observation[:, 2], self._ahead.shape[1] - 1).astype(int)
        event = 1 + np.abs(observation[:, :1] - self._scores).argmin(1)
        weighted = (self.belief.T[:, :, None] * self._ahead[:, people, event]).sum(0)
        return np.asarray(weighted.argmin(1))


def main() -> None:
    """Entry point."""
    runs = [RunFolder.open(path) for path in sys.argv[1:]]
    seeing = envs.build(envs.configure(PRESET, **LONG))
    hidden = envs.build(envs.configure(PRESET, **LONG, regime_observed=False))
    chain = envs.chain(seeing, SIZE)
    best = exact.solve(chain)
    blind, table = memoryless(chain, len(hidden.observation))
    entries: list[tuple[str, Any, Problem, str]] = [
        ("optimum, sees the regime", best.policy, seeing, f"{best.average_cost:.5f}"),
        ("best memoryless policy", table, hidden, f"{blind:.5f}"),
        ("Bayesian filter", Filter(seeing, chain, best), hidden, ""),
    ]
    for run in runs:
        config = run.config()
        problem = envs.build(envs.complete(config.env, LONG))
        entries.append((f"{config.agent.name}, seed {config.seed}", run.learned(), problem, ""))
    prices, costs = envs.BatchEnv(seeing).prices, []
    for _, policy, problem, _ in entries:
        totals = rollout(policy, problem, 400, RECORDS)
        costs.append(totals.ledger @ prices)
    rng, shown = np.random.default_rng(0), Table("cost per minute", "exact", "simulated, above the optimum", "share recovered")

    def row(name: str, told: str, cost: Any) -> None:
        above = hierarchical_bootstrap(cost - costs[0], np.broadcast_to(totals.elapsed, cost.shape), rng)
        share = gap_closed(costs[1], cost, costs[0], rng)
        cells = [f"{x.estimate:.{d}f} [{x.low:.{d}f}, {x.high:.{d}f}]" for x, d in ((above, 4), (share, 2))]
        shown.add_row(name, told, *cells)

    for (name, _, _, told), cost in zip(entries, costs, strict=True):
        row(name, told, cost)
    if len(runs) > 1:
        row(f"all {len(runs)} runs", "", np.stack(costs[3:]))
    Console(width=120).print(shown)


if __name__ == "__main__":
    main()
