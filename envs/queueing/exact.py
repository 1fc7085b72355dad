"""A queueing network as a finite chain, enumerated from its kernel: what is simulated is what is solved."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.markov import Chain, enumerate_chain
from pointsman.envs.problem import Problem
from pointsman.envs.queueing import kernel
from pointsman.errors import PointsmanError

LARGEST = 2_500_000
"""Numbers in the buffers that a chain may have; servers add little to them."""


def chain(problem: Problem, size: int) -> Chain:
    """The chain with at most `size` requests in the system: arrivals beyond are lost, which makes it optimistic."""
    p = problem.params
    if p.arrival_share.shape[0] > 1:
        raise PointsmanError(f"{problem.id} has no exact solution here: it has time-varying arrivals")
    if p.head_ages:
        raise PointsmanError(f"{problem.id} has no exact solution here: it has ages of requests in its observation")
    most = math.comb(size + p.service.shape[1], size) if p.capacity > size else 0
    if most > LARGEST:
        raise PointsmanError(
            f"{problem.id} has up to {most:,} states at size {size}, more than the {LARGEST:,} that can be solved"
        )
    params = p._replace(capacity=min(p.capacity, size), start=np.zeros_like(p.start))
    small = replace(problem, params=params, allocate=lambda n: kernel.allocate(params, n, 0))
    classes, servers, pools = p.service.shape[1], p.service.shape[0], len(p.pool_size)
    bases = [size + 2] * classes + [int(m) + 1 for m in p.pool_size for _ in range(classes)]
    bases += [pools + 1, int(p.pool_size.max()) + 1, classes + 1]
    if math.prod(bases) >= 2**63:
        raise PointsmanError(f"{problem.id} has too many classes and servers for an exact solution")

    def encode(state: kernel.State) -> NDArray[np.int64]:
        """Servers of a pool are alike: what counts is how many serve what, and how many are free and still to be decided for."""
        code = np.zeros(len(state.clock), np.int64)
        pool = np.append(p.pool, pools)[state.server]
        ahead = (np.arange(servers) >= state.server[:, None]) & (p.pool == pool[:, None]) & (state.serving < 0)
        counts = [(state.serving[:, p.pool == k] == c).sum(1) for k in range(pools) for c in range(classes)]
        parts = [*state.queue.T, *counts, pool, ahead.sum(1), state.arriving + 1]
        for part, base in zip(parts, bases, strict=True):
            code = code * base + part
        return code

    return enumerate_chain(small, encode)
