"""Writes decision logs from a simulator, with the probabilities of what was done."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pointsman import envs
from pointsman.agents.policy import probabilities
from pointsman.errors import PointsmanError
from pointsman.evaluation.ope.log import Floats, joint_mask
from pointsman.evaluation.ope.schema import Sidecar
from pointsman.evaluation.rollout import EVALUATION

BATCH = 32
"""Episodes side by side."""
SECONDS = {"minute": 60.0, "hour": 3600.0, "day": 86400.0, "week": 604800.0}
BEGIN = np.datetime64("2026-01-05T00:00:00", "ms")


def explored(policy: Any, epsilon: float, observation: Any, mask: NDArray[np.bool_], parts: tuple[int, ...]) -> Floats:
    """Probabilities [N, A] of a policy that takes any legal action alike with probability epsilon."""
    legal = joint_mask(mask, parts)
    return (1.0 - epsilon) * probabilities(policy, observation, mask, parts) + epsilon * legal / legal.sum(1, keepdims=True)


def collect(
    policy: Any, config: dict[str, Any], decisions: int, epsilon: float, seed: int,
    progress: Callable[[float], None] = lambda share: None,
) -> pd.DataFrame:  # fmt: skip
    """Whole episodes with at least so many decisions in all, as a table in the log format."""
    if not 0.0 <= epsilon <= 1.0:
        raise PointsmanError(f"epsilon must lie between 0 and 1, got {epsilon}")
    if not isinstance(decisions, int) or decisions < 1:
        raise PointsmanError(f"decisions must be an integer of at least 1, got {decisions}")
    problem, parts, first, total = envs.without_warmup(config), [], 0, 0
    while total < decisions:
        # As many episodes as are left to do, once it is known how long they are.
        size = BATCH if not total else int(np.clip(np.ceil((decisions - total) * first / total), 1, BATCH))
        parts.append(_episodes(policy, problem, first, size, epsilon, seed))
        first, total = first + size, total + len(parts[-1])
        progress(min(1.0, total / decisions))
    return pd.concat(parts, ignore_index=True)


def _episodes(policy: Any, problem: envs.Problem, first: int, episodes: int, epsilon: float, seed: int) -> pd.DataFrame:
    layout = problem.layout
    env = envs.BatchEnv(problem, episodes, indices=first + np.arange(episodes), autoreset=False)
    observation, _ = env.reset(seed=EVALUATION + seed)
    alive, clock, step, rows = np.ones(episodes, bool), np.zeros(episodes), 0, []
    while alive.any():
        mask = env.action_masks()
        chance = explored(policy, epsilon, observation, mask, layout.parts)
        # By inversion of one uniform per row, never an action of probability 0.
        bound = chance.cumsum(1)
        joint = np.minimum((bound <= env.action_uniforms()[:, None] * bound[:, -1:]).sum(1), chance.shape[1] - 1)
        split = np.stack(np.unravel_index(joint, layout.parts), 1)
        seen = layout.flat(observation)
        observation, reward, terminated, truncated, info = env.step(split if len(layout.parts) > 1 else joint)
        here = np.flatnonzero(alive)
        rows.append(
            {
                "episode_id": first + here, "step": np.full(len(here), step), "clock": clock[here], "action": joint[here],
                "propensity": chance[here, joint[here]], "reward": reward[here], "elapsed": info["elapsed"][here],
                "terminated": terminated[here], "truncated": truncated[here], "obs": seen[here], "chance": chance[here],
                "mask": mask[here],
            }
        )  # fmt: skip
        clock += info["elapsed"]
        alive &= ~(terminated | truncated)
        step += 1
    column = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    order = np.lexsort((column["step"], column["episode_id"]))
    return _table({name: values[order] for name, values in column.items()}, problem, epsilon)


def _table(column: dict[str, Any], problem: envs.Problem, epsilon: float) -> pd.DataFrame:
    """The columns of the format; every episode begins on a day of its own."""
    unit = SECONDS.get(problem.time_unit, 60.0)
    days = np.ceil(max(problem.horizon, 1.0) * unit / 86400.0)
    seconds = column["episode_id"] * days * 86400.0 + column["clock"] * unit
    moment = BEGIN + (seconds * 1000).astype("timedelta64[ms]")
    episode = pd.Series(column["episode_id"]).astype(str)
    table = pd.DataFrame(
        {
            "decision_id": episode + "-" + pd.Series(column["step"]).astype(str),
            "episode_id": episode,
            "step": column["step"],
            "ts": pd.Series(moment).dt.tz_localize("UTC"),
            "policy_id": "simulated",
        }
    )
    seen = {f"obs.{field.name}": column["obs"][:, k] for k, field in enumerate(problem.fields)}
    table = pd.concat([table, pd.DataFrame(seen)], axis=1)
    table["action"] = column["action"]
    table["propensity"] = column["propensity"]
    table["propensity_source"] = "logged" if epsilon > 0 else "deterministic"
    table["action_probabilities"] = list(column["chance"])
    table["mask"] = list(column["mask"].astype(np.int8))
    for name in ("reward", "elapsed", "terminated", "truncated"):
        table[name] = column[name]
    return table


def write(table: pd.DataFrame, path: Path, config: dict[str, Any], epsilon: float, facts: dict[str, Any]) -> None:
    """The log as parquet (or CSV, by the name), and its sidecar."""
    problem = envs.without_warmup(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    elif path.suffix == ".csv":
        lists = {name: [" ".join(f"{x:.12g}" for x in row) for row in table[name]] for name in ("action_probabilities", "mask")}
        table.assign(**lists).to_csv(path, index=False)
    else:
        raise PointsmanError(f"output={path} must end in .parquet or .csv")
    layout, joint = problem.layout, int(np.prod(problem.layout.parts))
    rule = "stream" if table["truncated"].any() else "episodes"
    Sidecar(
        problem.actions, parts=problem.parts, context=layout.context, candidates=layout.candidates, window=layout.window,
        propensity_floor=epsilon / joint if epsilon > 0 else None, episode_rule=rule,
        time_unit=problem.time_unit, simulator={"config": dict(config), "epsilon": epsilon} | facts,
    ).write(path)  # fmt: skip
