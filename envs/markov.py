"""A problem as a finite Markov decision chain, for exact solution."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Chain(NamedTuple):
    """S states, A actions, F features, C ledger columns; where the mask forbids an action its entries are unused."""

    transition: tuple[Any, ...]  # per action: scipy sparse [S, S], rows sum to 1
    ledger: NDArray[np.float64]  # [S, A, C] expected quantities until the next state
    cost: NDArray[np.float64]  # [S, A] the ledger at the problem's prices
    elapsed: NDArray[np.float64]  # [S, A] expected time until the next state
    observation: NDArray[np.float32]  # [S, F]
    mask: NDArray[np.bool_]  # [S, A]
    decision: NDArray[np.bool_]  # [S] False: nothing is decided there, action 0 stands for what happens anyway
