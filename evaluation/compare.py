"""Sets policies beside each other on the same records: costs, differences, headroom, scores and summary."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pointsman import envs
from pointsman.evaluation.rollout import Rollout
from pointsman.evaluation.statistics import Interval, gap_closed, rate, sequential, verdict
from pointsman.evaluation.steady import diverges, growth


class Link(NamedTuple):
    """One link of the headroom: what it is, the policy's name, its cost rate, and that beside the best rule's."""

    role: str
    name: str
    cost: Interval
    relative: Interval


class Comparison:
    """Rollouts of several policies on the same episodes.

    Args:
        problem: what they were run on.
        rollouts: by policy name, or a list with one for each training seed; `learned` names the one that is compared with
            all others.
        rules: names of the rules among them.
        optimum: exact optimal cost per unit of time, if known; its policy is the one called "optimum".
        exact: exact long-run cost of the policies that the chain can tell.
        pilot: how many episodes decided how many there are (`run_until`); null: the number was fixed before.
    """

    def __init__(
        self,
        problem: envs.Problem,
        rollouts: Mapping[str, Rollout | list[Rollout]],
        learned: str,
        rules: list[str],
        optimum: float | None = None,
        exact: dict[str, float] | None = None,
        pilot: int | None = None,
    ):
        self.problem, self.learned, self.rules = problem, learned, rules
        self.rollouts = {name: found if isinstance(found, list) else [found] for name, found in rollouts.items()}
        self.optimum, self.exact, self.pilot = optimum, exact or {}, pilot
        self.env = envs.BatchEnv(problem)
        each = {name: np.stack([one.ledger @ self.env.prices for one in found]) for name, found in self.rollouts.items()}
        self.cost = {name: cost if len(cost) > 1 else cost[0] for name, cost in each.items()}
        """Per episode [E], or [S, E] where there are S training seeds."""
        self.elapsed = self.rollouts[learned][0].elapsed
        self.best_rule = min(rules, key=lambda name: self.cost[name].mean())

    def seeds(self, name: str) -> int:
        """Number of training seeds of a policy."""
        return len(self.rollouts[name])

    def ledger(self, name: str) -> NDArray[np.float64]:
        """Ledger rows [E, C] of a policy; of its seeds one after the other."""
        return np.concatenate([one.ledger for one in self.rollouts[name]])

    def course(self, name: str) -> NDArray[np.float64]:
        """Cost of a policy in the windows of every episode [E, W], warm-up included."""
        return np.concatenate([one.course for one in self.rollouts[name]])

    def scores(self) -> pd.DataFrame:
        """One row per policy, training seed (where there are several) and episode: cost, elapsed time and all ledger columns."""
        parts = []
        for name, found in self.rollouts.items():
            for k, one in enumerate(found):
                part = pd.DataFrame(one.ledger, columns=list(self.env.ledger.columns))
                first: dict[str, Any] = {"policy": name} | ({"run": k} if len(found) > 1 else {})
                first |= {"episode": np.arange(len(part)), "cost": one.ledger @ self.env.prices, "elapsed": one.elapsed}
                parts.append(pd.DataFrame(first).join(part))
        return pd.concat(parts, ignore_index=True)

    def kpis(self, name: str) -> dict[str, float | None]:
        """Key figures of a policy over all episodes; null where nothing happened that they could be taken from."""
        total = self.ledger(name).sum(0)
        values = {kpi: float(compute(self.env.ledger, total)) for kpi, compute in self.problem.kpis.items()}
        values[self.per_unit] = float(self.cost[name].sum() / self.env.ledger.total(total, self.problem.demand))
        return {kpi: value if np.isfinite(value) else None for kpi, value in values.items()}

    @property
    def per_unit(self) -> str:
        """Name of the key figure that divides the cost by the demand."""
        return f"cost_per_{self.problem.demand_unit}"

    def grows(self, name: str) -> bool:
        """Does a policy's cost grow without end, and not only as much as that of the best rule, which may follow the demand?"""
        if self.problem.episodic:
            return False
        best = self.course(self.best_rule)
        return diverges(self.course(name), 0.0 if diverges(best) else max(0.0, growth(best).estimate))

    def rate(self, name: str) -> Interval:
        """Cost per unit of time."""
        return rate(self.cost[name], self.elapsed)

    def difference(self, name: str, baseline: str) -> Interval:
        """Paired difference of cost rates, name - baseline."""
        return self._paired(name, baseline, self.elapsed)

    def relative(self, name: str, baseline: str) -> Interval:
        """The same as a share of the baseline's cost, or of its size where it is a gain."""
        base = self.cost[baseline]
        return self._paired(name, baseline, base if base.mean() > 0 else -base)

    def _paired(self, name: str, baseline: str, under: NDArray[np.float64]) -> Interval:
        difference = self.cost[name] - self.cost[baseline]
        if self.pilot and {name, baseline} == {self.learned, self.best_rule}:
            return sequential(difference, under, self.pilot)
        return rate(difference, under)

    def links(self) -> list[Link]:
        """The headroom from the worst rule over the best one and the learned policy to the optimum, if that is known."""
        worst = max(self.rules, key=lambda name: self.cost[name].mean())
        roles = [("worst rule", worst), ("best tuned rule", self.best_rule), ("learned policy", self.learned)]
        roles += [("optimum", "optimum")] if "optimum" in self.rollouts else []
        return [Link(role, name, self.rate(name), self.relative(name, self.best_rule)) for role, name in roles]

    def room(self) -> Interval | None:
        """Cost of the optimum beside the best rule's, if it is known."""
        return self.relative("optimum", self.best_rule) if "optimum" in self.rollouts else None

    def headroom(self) -> Interval | None:
        """Share of the gap between best rule and optimum that the learned policy closes; None without an optimum or a gap."""
        if "optimum" not in self.rollouts:
            return None
        rule, policy, best = (self.cost[name] for name in (self.best_rule, self.learned, "optimum"))
        found = gap_closed(rule, policy, best, np.random.default_rng(0))
        return found if np.isfinite(found).all() else None

    def exact_headroom(self) -> float | None:
        """The same share from the chain's long-run costs, without sampling error; the rule is the best one by the chain."""
        if "optimum" not in self.exact:
            return None
        rule, best = min(self.exact[name] for name in self.rules), self.exact["optimum"]
        return (rule - self.exact[self.learned]) / (rule - best) if rule - best > 1e-9 * abs(best) else None

    def illegal(self, name: str) -> int:
        """Number of illegal actions, each replaced by the first legal one."""
        return int(self.env.ledger.total(self.ledger(name), "illegal").sum())

    def summary(self) -> dict[str, Any]:
        """What summary.json holds; costs per unit of time."""
        gap = self.headroom()
        policies = {}
        for name in self.rollouts:
            found = self.rate(name)
            policies[name] = {"cost_rate": found.estimate, "ci": list(found[1:]), "kpis": self.kpis(name)}
            policies[name] |= {"illegal": self.illegal(name), "exact_cost_rate": self.exact.get(name)}
        comparisons = []
        for name in [other for other in self.rollouts if other != self.learned]:
            found = self.difference(self.learned, name)
            comparisons.append(
                {"policy": self.learned, "baseline": name, "difference": found.estimate, "ci": list(found[1:])}
                | {"verdict": verdict(found)}
            )
        return {
            "env": self.problem.id,
            "episodes": len(self.elapsed),
            "policies": policies,
            "best_rule": self.best_rule,
            "optimum": self.optimum,
            "headroom": {"gap_closed": gap and gap.estimate, "ci": gap and list(gap[1:]), "exact": self.exact_headroom()}
            | {"chain": [{"role": link.role, "policy": link.name, "cost_rate": link.cost.estimate} for link in self.links()]},
            "comparisons": comparisons,
        }

    def ordered(self) -> list[str]:
        """Names of the policies, dearest first, and the optimum last."""
        return sorted(self.rollouts, key=lambda name: (name == "optimum", -self.cost[name].mean()))

    def write(self, folder: Path) -> None:
        """scores.csv and summary.json."""
        folder.mkdir(parents=True, exist_ok=True)
        self.scores().to_csv(folder / "scores.csv", index=False)
        (folder / "summary.json").write_text(json.dumps(self.summary(), indent=1, allow_nan=False) + "\n")
