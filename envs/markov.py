"""A problem as a finite Markov decision chain, for exact solution: the chain itself, and its enumeration from a kernel."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.core import BatchEnv
from pointsman.envs.problem import Problem
from pointsman.errors import PointsmanError

Floats = NDArray[np.float64]


class Chain(NamedTuple):
    """S states, A joint actions (the last part varying fastest), F features, C ledger columns.

    Where the mask forbids an action its entries are unused. A state in which a decision takes no time has elapsed 0.
    """

    transition: tuple[Any, ...]  # per action: scipy sparse [S, S], rows of legal actions sum to 1
    ledger: Floats  # [S, A, C] expected quantities until the next state; C is 0 where they were not kept
    cost: Floats  # [S, A] the ledger at the problem's prices
    elapsed: Floats  # [S, A] expected time until the next state
    observation: NDArray[np.float32]  # [S, F] flat
    mask: NDArray[np.bool_]  # [S, A]
    decision: NDArray[np.bool_]  # [S] False: only one action is legal, which stands for what happens anyway
    parts: tuple[int, ...] = ()  # of a decision; empty: one part
    part_mask: NDArray[np.bool_] | None = None  # [S, sum(parts)] as a policy sees it; None: `mask`


class Events(NamedTuple):
    """What may happen after a decision: E events with probabilities that may depend on the state before.

    probability(state) -> [N, E]; fill(record, rows, event) puts event[k] into row rows[k] of a record.
    """

    probability: Callable[[Any], Floats]
    fill: Callable[[Any, NDArray[np.int64], NDArray[np.int64]], None]


def enumerate_chain(
    problem: Problem,
    events: Events,
    encode: Callable[[Any], NDArray[np.int64]],
    keep_ledger: bool = True,
    most: int = 3_000_000,
    chunk: int = 1 << 18,
) -> Chain:
    """The chain of all states that can be reached, by feeding the kernel each event with its probability.

    The kernel's `apply(params, state, action, record, out, first, last)` carries out the decisions on rows whose records
    are given, and observes. `encode(state)` is a whole number that names a state, whatever its clock and its key.

    Raises PointsmanError beyond `most` states.
    """
    env = BatchEnv(problem, 1, autoreset=False)
    env.reset(seed=0)
    parts = env.layout.parts
    joint = np.stack(np.unravel_index(np.arange(int(np.prod(parts))), parts), 1)  # [A, K]
    offset = np.concatenate([[0], np.cumsum(parts)[:-1]])
    wide = BatchEnv(problem, chunk, autoreset=False)
    prices, columns = env.prices, len(problem.columns)
    known = np.zeros(0, np.int64)
    found: list[dict[str, Any]] = []
    fresh = {"state": _take(env.state, np.zeros(1, int)), "code": encode(env.state), "seen": env.out.observation.copy()}
    fresh["mask"] = env.out.mask.copy()
    while len(fresh["code"]):
        known = np.union1d(known, fresh["code"])
        if len(known) > most:
            raise PointsmanError(f"{problem.id} has more than {most:,} states: take a smaller size")
        legal = np.logical_and.reduce([fresh["mask"][:, offset[k] + joint[:, k]] for k in range(len(parts))])
        probability = events.probability(fresh["state"])
        part: dict[str, Any] = {key: fresh[key] for key in ("code", "seen", "mask")} | {"legal": legal}
        pair_state, pair_action = np.nonzero(legal)
        each = probability.shape[1]
        target = np.empty((len(pair_state), each), np.int64)
        ledger, elapsed = np.empty((len(pair_state), columns + 1)), np.empty(len(pair_state))
        news: list[dict[str, Any]] = []
        step = max(chunk // each, 1)
        for begin in range(0, len(pair_state), step):
            rows = np.repeat(pair_state[begin : begin + step], each)
            action = np.repeat(joint[pair_action[begin : begin + step]], each, 0)
            n = len(rows)
            if n > wide.num_envs:
                wide = BatchEnv(problem, n, autoreset=False)
            _put(wide.state, _take(fresh["state"], rows))
            event = np.tile(np.arange(each), n // each)
            events.fill(wide.record, np.arange(n), event)
            shaped = action if len(parts) > 1 else action[:, 0]
            problem.kernel.apply(problem.params, wide.state, np.ascontiguousarray(shaped), wide.record, wide.out, 0, n)
            weight = probability[rows, event].reshape(-1, each)
            code = encode(_take(wide.state, slice(0, n)))
            target[begin : begin + step] = code.reshape(-1, each)
            ledger[begin : begin + step] = np.einsum("ne,nec->nc", weight, wide.out.ledger[:n].reshape(-1, each, columns + 1))
            elapsed[begin : begin + step] = (weight * wide.out.elapsed[:n].reshape(-1, each)).sum(1)
            possible = np.flatnonzero((weight > 0).ravel())
            at = possible[np.unique(code[possible], return_index=True)[1]]
            at = at[~np.isin(code[at], known)]
            if len(at):
                seen, mask = wide.out.observation[at].copy(), wide.out.mask[at].copy()
                news.append({"state": _take(wide.state, at), "code": code[at], "seen": seen, "mask": mask})
        part |= {"pairs": (pair_state, pair_action), "target": target, "weight": probability[pair_state]}
        part |= {"cost": ledger @ prices, "elapsed": elapsed, "ledger": ledger[:, :columns] if keep_ledger else ledger[:, :0]}
        found.append(part)
        fresh = _merge(news) if news else {"code": np.zeros(0, np.int64)}
    return _assemble(found, parts, len(joint))


def _take(tree: Any, rows: Any) -> Any:
    """The same rows of every array of a nested NamedTuple."""
    return type(tree)(*(_take(part, rows) if hasattr(part, "_fields") else part[rows].copy() for part in tree))


def _put(tree: Any, rows: Any) -> None:
    """Write the rows of another one over the first rows."""
    for mine, given in zip(tree, rows, strict=True):
        if hasattr(mine, "_fields"):
            _put(mine, given)
        else:
            mine[: len(given)] = given


def _merge(news: list[dict[str, Any]]) -> dict[str, Any]:
    """Newly found states, each once."""
    code = np.concatenate([part["code"] for part in news])
    _, first = np.unique(code, return_index=True)

    def join(parts: list[Any]) -> Any:
        if hasattr(parts[0], "_fields"):
            return type(parts[0])(*(join(list(same)) for same in zip(*parts, strict=True)))
        return np.concatenate(parts)[first]

    return {key: join([part[key] for part in news]) for key in news[0]}


def _assemble(found: list[dict[str, Any]], parts: tuple[int, ...], actions: int) -> Chain:
    """Sparse matrices from the pieces; states in the order of their codes."""
    from scipy import sparse

    code = np.concatenate([part["code"] for part in found])
    order = np.argsort(code)
    place = np.empty(len(code), np.int64)
    place[order] = np.arange(len(code))
    before = np.concatenate([[0], np.cumsum([len(part["code"]) for part in found])[:-1]])
    states = len(code)
    cost, elapsed = np.zeros((states, actions)), np.zeros((states, actions))
    ledger = np.zeros((states, actions, found[0]["ledger"].shape[1]))
    entries: list[list[Any]] = [[] for _ in range(actions)]
    for first, part in zip(before, found, strict=True):
        row, action = place[first + part["pairs"][0]], part["pairs"][1]
        cost[row, action], elapsed[row, action], ledger[row, action] = part["cost"], part["elapsed"], part["ledger"]
        for a in range(actions):
            mine = action == a
            each = part["target"].shape[1]
            weight, target = part["weight"][mine].ravel(), part["target"][mine].ravel()
            keep = weight > 0
            column = np.searchsorted(code[order], target[keep])
            entries[a].append((np.repeat(row[mine], each)[keep], column, weight[keep]))
    transition = []
    for pieces in entries:
        row, column, weight = (np.concatenate([piece[k] for piece in pieces]) for k in range(3))
        transition.append(sparse.coo_array((weight, (row, column)), (states, states)).tocsr())
    mask, legal, seen = (np.concatenate([part[key] for part in found])[order] for key in ("mask", "legal", "seen"))
    decision = legal.sum(1) > 1
    return Chain(tuple(transition), ledger, cost, elapsed, seen, legal, decision, parts if len(parts) > 1 else (), mask)
