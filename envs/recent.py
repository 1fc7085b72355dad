"""Rates of the recent past in the observation: by them a policy may tell what it is not shown, such as a regime.

A rate over T is the exponentially weighted one, the sum of quantity * exp(-age / T) / T over what the ledger has booked
in the episode, so that each policy stays a function of what it sees. An episode begins with rates of 0.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pointsman.envs.compiled import batched
from pointsman.envs.ledger import Ledger
from pointsman.envs.problem import Field, Outputs, Problem, Recent
from pointsman.errors import PointsmanError


def with_recent(problem: Problem, given: Mapping[str, Any] | None) -> Problem:
    """The problem with rates appended to its observation (`given`: RecentConfig as a mapping); without times, as it is."""
    if not given or not given["over"]:
        return problem
    over = [float(time) for time in given["over"]]
    if not all(0.0 < time < math.inf for time in over) or len(set(over)) < len(over):
        raise PointsmanError(f"recent.over must hold different positive times, got {given['over']}")
    names = [problem.demand] if given["of"] is None else list(given["of"])
    if not names or len(set(names)) < len(names):
        raise PointsmanError(f"recent.of must name different ledger columns, got {names}")
    if problem.window or problem.image:
        shown = "candidates" if problem.window else "an image"
        raise PointsmanError(f"recent.over={over}: {problem.id} shows {shown}, and rates go with vectors only: leave it empty")
    ledger = Ledger(problem.columns)
    try:
        columns = [ledger[name] for name in names]
    except PointsmanError as error:
        raise PointsmanError(f"recent.of: {error}") from None
    which = np.repeat(np.arange(len(names)), [len(column) for column in columns])
    fields = [Field(f"{name}_over_{time:g}", f"per {problem.time_unit}") for name in names for time in over]
    recent = Recent(np.concatenate(columns), which, np.array(over))
    return replace(problem, observation=(*problem.observation, *fields), recent=recent, events=None)


class Rates:
    """The rates of N rows, float64 [N, K * T], kept in the last entries of their observations."""

    def __init__(self, recent: Recent, n: int):
        self.recent = recent
        self.rate = np.zeros((n, (recent.which[-1] + 1) * len(recent.over)))

    def begin(self, out: Outputs) -> None:
        """All rows start episodes."""
        self.rate[:] = 0.0
        out.observation[:, -self.rate.shape[1] :] = 0.0

    def follow(self, out: Outputs, autoreset: bool) -> None:
        """Take in the step that was just made; rows that ended begin again, if they do so by themselves."""
        _follow(self.recent, self.rate, out, autoreset)


@batched
def _follow(recent, rate, out, autoreset):
    times = recent.over.shape[0]
    first = out.observation.shape[1] - rate.shape[1]
    for i in range(rate.shape[0]):
        for k in range(recent.column.shape[0]):
            for t in range(times):
                rate[i, recent.which[k] * times + t] += out.ledger[i, recent.column[k]] / recent.over[t]
        for place in range(rate.shape[1]):
            rate[i, place] *= math.exp(-out.elapsed[i] / recent.over[place % times])
        if autoreset and (out.terminated[i] or out.truncated[i]):
            for place in range(rate.shape[1]):
                out.final_observation[i, first + place] = rate[i, place]
                rate[i, place] = 0.0
        for place in range(rate.shape[1]):
            out.observation[i, first + place] = rate[i, place]
