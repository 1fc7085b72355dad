"""Reads the Open Bandit Dataset (Saito, Aihara, Matsutani and Narita 2021): items shown at random or by Thompson sampling."""

from pathlib import Path

import numpy as np
import pandas as pd

from pointsman.errors import PointsmanError, unknown
from pointsman.evaluation.ope.log import DecisionLog, Floats
from pointsman.evaluation.ope.read import Checked, check_frame
from pointsman.evaluation.ope.schema import Sidecar

NAMES = {"timestamp": "ts", "item_id": "action", "click": "reward", "position": "obs.position"}


def read_open_bandit(path: str | Path, items: int | None = None) -> DecisionLog:
    """One of its CSV files (or .gz of one) as a log of single decisions; propensities are the true ones.

    `items` is how many there are to choose from; null: the largest that was shown.
    """
    log = check_open_bandit(path, items).log
    if log is None:
        raise PointsmanError(f"{path}: no decision is left")
    return log


def check_open_bandit(path: str | Path, items: int | None = None) -> Checked:
    """The same, with what is wrong in it."""
    try:
        raw = pd.read_csv(path)
    except (OSError, EOFError, ValueError) as error:
        raise PointsmanError(f"log: {path} is not readable: {' '.join(str(error).split())[:200]}") from None
    score = "propensity_score" if "propensity_score" in raw else "action_prob"
    for name in (*NAMES, score):
        if name not in raw:
            raise unknown(f"column in {path}:", name, raw.columns)
    frame = raw.rename(columns=NAMES | {score: "propensity"})
    users = [name for name in raw if name.startswith("user_feature_")]
    for name in users:
        frame[f"obs.{name}"] = pd.factorize(raw[name], sort=True)[0].astype(float)
    number = np.arange(len(raw))
    frame = frame.assign(decision_id=number, episode_id=number, step=0, terminated=True, truncated=False)
    kept = [name for name in frame if not name.startswith(("user", "Unnamed"))]
    count = items or int(raw["item_id"].max()) + 1
    names = tuple(f"item {k}" for k in range(count))
    context = ("position", *users)
    return check_frame(frame[kept], Sidecar(names, reward_range=(0.0, 1.0), context=context))


def uniform(log: DecisionLog) -> Floats:
    """Probabilities [N, A] of showing any item alike."""
    return np.full((len(log), log.actions), 1.0 / log.actions)


def frozen(thompson: DecisionLog) -> Floats:
    """Thompson sampling held still: mean propensity per position and item, normalised, [positions, A]; an approximation.

    The policy went on learning, so there is no one policy to evaluate. And the propensities are known of items that were shown
    only, and more often when they were high: the mean is that over showings.
    """
    place = _position(thompson)
    table = np.zeros((place.max() + 1, thompson.actions))
    shown = np.zeros_like(table)
    np.add.at(table, (place, thompson.action), thompson.propensity)
    np.add.at(shown, (place, thompson.action), 1.0)
    table /= np.maximum(shown, 1.0)
    found: Floats = table / table.sum(1, keepdims=True)
    return found


def at_positions(table: Floats, log: DecisionLog) -> Floats:
    """Probabilities [N, A] of a policy [positions, A] on a log."""
    return table[_position(log)]


def _position(log: DecisionLog) -> np.ndarray:
    return log.observation[:, log.layout.context.index("position")].astype(int) - 1
