"""Autoscaling one request at a time as a finite chain, enumerated from its kernel: what is simulated is what is solved."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.autoscaling import kernel
from pointsman.envs.markov import Chain, enumerate_chain
from pointsman.envs.problem import Problem
from pointsman.errors import PointsmanError


def chain(problem: Problem, size: int) -> Chain:
    """The chain with at most `size` requests in the system: arrivals beyond are lost."""
    if not problem.params.markov:
        raise PointsmanError(f"{problem.id} has no exact solution: only model=markov has a finite chain")
    params = problem.params._replace(queue_limit=min(problem.params.queue_limit, size))
    small = replace(problem, params=params, allocate=lambda n: kernel.allocate(params, n))
    base = params.most + 1

    def encode(state: kernel.State) -> NDArray[np.int64]:
        code: NDArray[np.int64] = (state.queue.astype(np.int64) * base + state.ready) * base + state.starting
        return code

    return enumerate_chain(small, encode)
