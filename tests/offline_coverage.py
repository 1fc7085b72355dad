"""Do the intervals of off-policy estimates cover the truth? Simulated logs of small worlds, whose truth is computed exactly.

    python tests/offline_coverage.py [logs per case]

prints bias, error and coverage of every estimator, by case, over the logs that got a verdict and over all.

    python tests/offline_coverage.py speed

reads and evaluates a log of one million decisions with all estimators, and prints the time of the processor and the memory.
"""

import sys
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pointsman.envs.arrays import Floats
from pointsman.envs.problem import Layout
from pointsman.evaluation.ope.log import DecisionLog
from pointsman.evaluation.ope.schema import Sidecar
from pointsman.evaluation.ope.verdict import REFUSED, estimate


class World(NamedTuple):
    """A Markov decision process of S states and A actions; an episode ends with probability `stop` after a step, or at T."""

    start: Floats  # [S]
    move: Floats  # [S, A, S]
    mean: Floats  # [S, A] of rewards, which are 0 or `size`, or normal around it
    size: float  # 0: normal with spread 1
    horizon: int
    stop: float

    @classmethod
    def random(
        cls, states: int, actions: int, horizon: int, size: float, seed: int, stop: float = 0.0, scale: float = 1.0
    ) -> "World":
        """Transitions and rewards at random; `scale` makes rewards rarer."""
        rng = np.random.default_rng([seed, 1])
        mean = rng.uniform(0.05, 0.5, (states, actions)) * (size or 2.0) * scale
        return cls(
            rng.dirichlet(np.ones(states)), rng.dirichlet(np.ones(states), (states, actions)), mean, size, horizon, stop
        )  # fmt: skip

    def value(self, policy: Floats) -> float:
        """Expected total reward of an episode."""
        v = np.zeros(len(self.start))
        for _ in range(self.horizon):
            v = (policy * (self.mean + (1.0 - self.stop) * self.move @ v)).sum(1)
        return float(self.start @ v)

    def log(self, policy: Floats, episodes: int, rng: np.random.Generator) -> tuple[DecisionLog, NDArray[np.int64]]:
        """Episodes under a policy [S, A], and the state of every decision."""

        def draw(p: Floats) -> NDArray[np.int64]:
            return np.minimum((rng.random(len(p))[:, None] > p.cumsum(1)).sum(1), p.shape[1] - 1)

        state = draw(np.tile(self.start, (episodes, 1)))
        alive, columns = np.arange(episodes), []
        for t in range(self.horizon):
            action = draw(policy[state])
            mean = self.mean[state, action]
            reward = self.size * (rng.random(len(state)) < mean / self.size) if self.size else rng.normal(mean)
            ends = (rng.random(len(state)) < self.stop) | (t == self.horizon - 1)
            columns.append(np.column_stack([alive, np.full(len(alive), t), state, action, reward, ends]))
            alive, state = alive[~ends], draw(self.move[state, action])[~ends]
        rows = np.concatenate(columns)
        rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
        episode, state, action = rows[:, 0].astype(int), rows[:, 2].astype(int), rows[:, 3].astype(int)
        actions = policy.shape[1]
        log = DecisionLog(
            state[:, None].astype(np.float32), np.ones((len(rows), actions), bool), action, policy[state, action],
            rows[:, 4], np.ones(len(rows)), rows[:, 5] > 0, np.concatenate([[0], np.cumsum(np.bincount(episode))]),
            Sidecar(tuple(f"a{k}" for k in range(actions))), policy[state], layout=Layout(("state",), (), 0, (actions,)),
        )  # fmt: skip
        return log, state


class Case(NamedTuple):
    """A world, how many episodes a log has, and how far the target is from the logging policy."""

    world: World
    episodes: int
    logging: Floats
    target: Floats


def case(
    horizon: int, apart: float, episodes: int, size: float = 1.0, stop: float = 0.0, scale: float = 1.0, seed: int = 0
) -> Case:
    """A case; `apart` of the target's probability is on a policy of its own, the rest as logged."""
    world = World.random(6, 3, horizon, size, seed, stop, scale)
    rng = np.random.default_rng([seed, 2])
    logging = rng.dirichlet(np.full(3, 3.0), 6) * 0.85 + 0.05
    own = rng.dirichlet(np.full(3, 0.5), 6)
    return Case(world, episodes, logging, (1.0 - apart) * logging + apart * own)


CASES: dict[str, dict[str, Any]] = {
    "one step, near": {"horizon": 1, "apart": 0.3, "episodes": 500},
    "one step, far": {"horizon": 1, "apart": 1.0, "episodes": 500},
    "one step, rare rewards": {"horizon": 1, "apart": 0.6, "episodes": 1000, "size": 20.0},
    "one step, rare clicks": {"horizon": 1, "apart": 0.8, "episodes": 5000, "scale": 0.02},
    "horizon 5, near": {"horizon": 5, "apart": 0.3, "episodes": 300},
    "horizon 5, a tenth": {"horizon": 5, "apart": 0.55, "episodes": 700},
    "horizon 5, far": {"horizon": 5, "apart": 0.7, "episodes": 500},
    "horizon 5, early ends": {"horizon": 5, "apart": 0.5, "episodes": 400, "stop": 0.2},
    "horizon 20, near": {"horizon": 20, "apart": 0.15, "episodes": 300},
    "horizon 20, a tenth": {"horizon": 20, "apart": 0.255, "episodes": 800},
    "horizon 20, middle": {"horizon": 20, "apart": 0.3, "episodes": 1000},
    "horizon 20, far": {"horizon": 20, "apart": 0.7, "episodes": 1000},
    "horizon 20, normal rewards": {"horizon": 20, "apart": 0.2, "episodes": 500, "size": 0.0},
}


def study(given: Case, logs: int, seed: int = 0, **options: Any) -> pd.DataFrame:
    """One row per log and estimator: value, interval and difference beside the truth, verdict and overlap."""
    truth, base = given.world.value(given.target), given.world.value(given.logging)
    rows = []
    for k in range(logs):
        log, state = given.world.log(given.logging, given.episodes, np.random.default_rng([seed, k]))
        found = estimate(log, given.target[state], **options)
        for name, one in found.estimates.items():
            if one.interval is None or one.difference is None:
                continue
            rows.append(
                {
                    "estimator": name,
                    "primary": name == found.primary,
                    "refused": found.verdict == REFUSED,
                    "ess_share": found.diagnostics.ess_share,
                    "error": one.value - truth,
                    "covered": one.interval.low <= truth <= one.interval.high,
                    "difference_covered": one.difference.low <= truth - base <= one.difference.high,
                    "width": one.interval.high - one.interval.low,
                    "truth": truth,
                }
            )
    return pd.DataFrame(rows)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Bias, root mean squared error and coverage by estimator; coverage of logs with a verdict, and of all."""
    found = []
    for name, group in rows.groupby("estimator", sort=False):
        given = group[~group["refused"]]
        found.append(
            {
                "estimator": name + (" *" if group["primary"].any() else ""),
                "truth": group["truth"].iloc[0],
                "bias": group["error"].mean(),
                "rmse": float(np.sqrt((group["error"] ** 2).mean())),
                "width": group["width"].mean(),
                "cover_verdict": given["covered"].mean(),
                "difference_verdict": given["difference_covered"].mean(),
                "cover_all": group["covered"].mean(),
                "verdicts": 1.0 - group["refused"].mean(),
                "ess_share": group["ess_share"].mean(),
            }
        )
    return pd.DataFrame(found)


def speed(episodes: int = 50_000) -> None:
    """One million decisions: reading, probabilities of all actions included, and every estimator in every form."""
    import resource
    import tempfile
    import time
    from pathlib import Path

    from pointsman.evaluation.ope.read import read

    given = case(20, 0.25, episodes)
    log, _ = given.world.log(given.logging, episodes, np.random.default_rng(0))
    assert log.distribution is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.parquet"
        columns: dict[str, Any] = {
            "decision_id": np.arange(len(log)), "episode_id": log.episode, "step": log.step, "obs.state": log.observation[:, 0],
            "ts": pd.Timestamp("2026-01-05", tz="UTC"), "action": log.action, "propensity": log.propensity, "reward": log.reward,
            "terminated": log.terminated, "truncated": False, "action_probabilities": list(log.distribution),
        }  # fmt: skip
        pd.DataFrame(columns).to_parquet(path)
        log.sidecar.write(path)
        del columns
        begun, wall = time.process_time(), time.perf_counter()
        log = read(path)
    print(f"read {len(log):,} decisions: {time.process_time() - begun:.1f} s of the processor")
    target = given.target[log.observation[:, 0].astype(int)]
    forms: list[dict[str, Any]] = [{}, {"method": "bootstrap"}, {"objective": "decision"}, {"objective": "rate"}]
    for options in forms:
        once = time.process_time()
        found = estimate(log, target, **options)
        print(f"{options or 'episodes'}: {', '.join(found.estimates)}: {time.process_time() - once:.1f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    spent = time.process_time() - begun
    print(f"in all {spent:.1f} s of the processor, {time.perf_counter() - wall:.1f} s by the clock; {peak:.2f} GB at most")


def main() -> None:
    """Print the tables."""
    if sys.argv[1:] == ["speed"]:
        speed()
        return
    logs = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    chosen = [name for name in CASES if len(sys.argv) < 3 or sys.argv[2] in name]
    with pd.option_context("display.width", 200, "display.max_columns", 20, "display.float_format", "{:.3f}".format):
        for name in chosen:
            rows = study(case(**CASES[name]), logs)
            print(f"\n{name} ({CASES[name]['episodes']} episodes, {logs} logs; * bears the verdict)")
            print(summary(rows).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
