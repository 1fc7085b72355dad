"""Learning curves, read from the TensorBoard events of run folders."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from pointsman.evaluation.runfolder import RunFolder
from pointsman.evaluation.statistics import Floats

POINTS = 120


class Band(NamedTuple):
    """A curve over training steps [T]: mean over seeds, and a pointwise 95 % interval of it (NaN with one seed)."""

    steps: Floats
    mean: Floats
    low: Floats
    high: Floats


def run_curves(learners: Mapping[str, Sequence[RunFolder]], names: Sequence[str]) -> tuple[dict[str, Band], dict[str, float]]:
    """Cost over training by learner, a band over its runs, and the level lines of the other names, from the first run with rules.

    A learner's name may be followed by its settings.
    """
    bands = {}
    for name, runs in learners.items():
        curves = [
            (steps, -values) for steps, values in (scalars(run.tensorboard / name.split()[0], "reward_rate") for run in runs)
        ]
        if (found := band(curves)) is not None:
            bands[name] = found
    every = [run for runs in learners.values() for run in runs]
    levels, first = {}, next((run for run in every if (run.path / "rules").is_dir()), every[0])
    for name in names:
        if name not in learners and len(values := scalars(first.tensorboard / name, "reward_rate")[1]):
            levels[name] = float(-values[-1])
    return bands, levels


def scalars(folder: Path, tag: str) -> tuple[Floats, Floats]:
    """Steps and values of a tag in a folder of events; empty where it was never written."""
    if not folder.is_dir():
        return np.empty(0), np.empty(0)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    if tag not in events.Tags()["scalars"]:
        return np.empty(0), np.empty(0)
    found = events.Scalars(tag)
    return np.array([event.step for event in found], np.float64), np.array([event.value for event in found])


def band(curves: Sequence[tuple[Floats, Floats]]) -> Band | None:
    """One band of the curves (steps, values) of several seeds, over the steps that all of them have; None without any."""
    curves = [curve for curve in curves if len(curve[0])]
    if not curves:
        return None
    first, last = max(steps[0] for steps, _ in curves), min(steps[-1] for steps, _ in curves)
    if last < first:
        return None
    grid = np.linspace(first, last, POINTS)
    values = np.stack([_averaged(steps, value, grid) for steps, value in curves])
    half = np.full(POINTS, np.nan)
    if len(values) > 1:
        half = stats.t.ppf(0.975, len(values) - 1) * values.std(0, ddof=1) / np.sqrt(len(values))
    mean = values.mean(0)
    return Band(grid, mean, mean - half, mean + half)


def _averaged(steps: Floats, values: Floats, grid: Floats) -> Floats:
    """Values at the grid, each the mean over what was written within one spacing of it."""
    width = grid[1] - grid[0]
    total = np.concatenate([[0.0], values.cumsum()])
    low, high = np.searchsorted(steps, grid - width / 2), np.searchsorted(steps, grid + width / 2, side="right")
    with np.errstate(invalid="ignore"):
        mean = (total[high] - total[low]) / (high - low)
    return np.where(high > low, mean, np.interp(grid, steps, values))
