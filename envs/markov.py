"""A problem as a finite Markov decision chain, for exact solution: the chain itself, and its enumeration from a kernel."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pointsman.envs.arrays import Floats
from pointsman.envs.compiled import batched
from pointsman.envs.core import BatchEnv
from pointsman.envs.noise import mix
from pointsman.envs.problem import Events, Problem
from pointsman.errors import PointsmanError


class Chain(NamedTuple):
    """S states, A joint actions (the last part varying fastest), F features, C ledger columns.

    Where the mask forbids an action its entries are unused. A state in which a decision takes no time has elapsed 0.
    """

    transition: tuple[Any, ...]  # per action: scipy sparse [S, S], rows of legal actions sum to 1
    ledger: Floats  # [S, A, C] expected quantities until the next state
    cost: Floats  # [S, A] the ledger at the problem's prices
    elapsed: Floats  # [S, A] expected time until the next state
    observation: NDArray[np.float32]  # [S, F] flat
    mask: NDArray[np.bool_]  # [S, A]
    decision: NDArray[np.bool_]  # [S] False: only one action is legal, which stands for what happens anyway
    parts: tuple[int, ...] = ()  # of a decision; empty: one part
    part_mask: NDArray[np.bool_] | None = None  # [S, sum(parts)] as a policy sees it; None: `mask`
    complete: bool = False  # nothing is cut off that an optimal policy could reach: a larger chain has the same optimum


def enumerate_chain(
    problem: Problem,
    encode: Callable[[Any], NDArray[np.int64]],
    most: int = 4_000_000,
    chunk: int = 1 << 18,
    choose: Callable[[Any, Any], Floats] | None = None,
) -> Chain:
    """The chain of all states that can be reached, by feeding the kernel each event with its probability.

    The kernel's `apply(params, state, action, record, out, first, last)` carries out the decisions on rows whose records
    are given, and observes. `encode(state)` is a whole number that names a state, whatever its clock and its key.
    With `choose(observation, mask) -> [S, A]`, a policy's probabilities of joint actions, only what this policy may do is
    legal, and only states that it reaches are found.

    Raises PointsmanError beyond `most` states.
    """
    events = events_of(problem)
    env = BatchEnv(problem, 1, autoreset=False)
    env.reset(seed=0)
    parts = env.layout.parts
    joint = np.stack(np.unravel_index(np.arange(int(np.prod(parts))), parts), 1)  # [A, K]
    offset = np.concatenate([[0], np.cumsum(parts)[:-1]])
    wide = BatchEnv(problem, 1, autoreset=False)
    prices, columns = env.prices, len(problem.columns)
    index = Index(most)
    index.place(encode(env.state))
    fresh: dict[str, Any] = {"state": _take(env.state, np.zeros(1, int)), "seen": env.out.observation.copy()}
    fresh["mask"] = env.out.mask.copy()
    found: list[dict[str, Any]] = []
    while len(fresh["mask"]):
        legal = np.logical_and.reduce([fresh["mask"][:, offset[k] + joint[:, k]] for k in range(len(parts))])
        if choose is not None:
            legal &= choose(fresh["seen"], fresh["mask"]) > 0
        probability = events.probability(fresh["state"])
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
            possible = np.flatnonzero(weight.ravel() > 0)
            code = encode(_take(wide.state, possible))
            places, first = index.place(code)
            if len(index) == most:
                raise PointsmanError(f"{problem.id} has more than {most:,} states: take a smaller size")
            here = np.zeros(n, np.int64)
            here[possible] = places
            target[begin : begin + step] = here.reshape(-1, each)
            ledger[begin : begin + step] = np.einsum("ne,nec->nc", weight, wide.out.ledger[:n].reshape(-1, each, columns + 1))
            elapsed[begin : begin + step] = (weight * wide.out.elapsed[:n].reshape(-1, each)).sum(1)
            at = possible[first]
            news.append({"state": _take(wide.state, at), "seen": wide.out.observation[at], "mask": wide.out.mask[at]})
        found.append(
            {
                "seen": fresh["seen"], "mask": fresh["mask"], "legal": legal, "action": pair_action, "target": target,
                "weight": probability[pair_state], "elapsed": elapsed, "cost": ledger @ prices,
                "ledger": ledger[:, :columns],
            }
        )  # fmt: skip
        fresh = {key: _join([part[key] for part in news]) for key in ("state", "seen", "mask")}
    return _assemble({key: np.concatenate([part[key] for part in found]) for key in found[0]}, parts)


class Lookahead:
    """Everything that may follow a decision in an environment, event by event, by the kernel itself."""

    def __init__(self, env: BatchEnv):
        self.env, self.events = env, events_of(env.problem)
        each = self.events.probability(env.state).shape[1]
        self._rows = np.repeat(np.arange(env.num_envs), each)
        self._wide = BatchEnv(env.problem, len(self._rows), autoreset=False)
        self.events.fill(self._wide.record, np.arange(len(self._rows)), np.tile(np.arange(each), env.num_envs))

    def after(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32], Floats]:
        """Observations [N * E, F] after actions [N] or [N, K], event by event of each row, their probabilities [N, E], and
        the expected reward [N].

        Observations are a view of a buffer that the next call overwrites. The environment itself stays as it is.
        """
        wide, problem, n = self._wide, self.env.problem, len(self._rows)
        _put(wide.state, _take(self.env.state, self._rows))
        problem.kernel.apply(problem.params, wide.state, actions[self._rows], wide.record, wide.out, 0, n)
        probability = self.events.probability(self.env.state)
        reward = -(wide.out.ledger @ self.env.prices).reshape(probability.shape)
        # A reward that no event changes is passed on as it is, not as a mean of equals, which would round it.
        mean = np.where(np.ptp(reward, 1) == 0.0, reward[:, 0], (reward * probability).sum(1))
        return wide.out.observation, probability.astype(np.float32), mean


def events_of(problem: Problem) -> Events:
    """The problem's list of events, or an error that says that it has none."""
    if problem.events is None:
        raise PointsmanError(f"{problem.id} has no finite list of events to look ahead at: set agent.lookahead=false")
    return problem.events


class Index:
    """Numbers whole-number codes in the order in which they are first met: a hash table of `most` places."""

    def __init__(self, most: int):
        self._codes = np.empty(most, np.int64)
        self._slots = np.full(1 << int(2 * most - 1).bit_length(), -1, np.int64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def place(self, code: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The number of each code, and where in `code` those stand that were not known; none is added once it is full."""
        places, first = np.empty(len(code), np.int64), np.empty(len(code), np.int64)
        before = self._count
        self._count = _place(code, self._codes, self._slots, before, places, first)
        return places, first[: self._count - before]


@batched
def _place(code, codes, slots, count, places, first):
    last, before = len(slots) - 1, count
    for k in range(len(code)):
        slot = np.int64(mix(np.uint64(code[k]), 0) >> np.uint64(1)) & last
        while slots[slot] >= 0 and codes[slots[slot]] != code[k]:
            slot = (slot + 1) & last
        if slots[slot] < 0 and count < len(codes):
            codes[count], slots[slot], first[count - before] = code[k], count, k
            count += 1
        places[k] = slots[slot]
    return count


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


def _join(pieces: list[Any]) -> Any:
    """Rows of one after rows of the other, in every array of a nested NamedTuple."""
    if hasattr(pieces[0], "_fields"):
        return type(pieces[0])(*(_join(list(same)) for same in zip(*pieces, strict=True)))
    return np.concatenate(pieces)


def _assemble(found: dict[str, Any], parts: tuple[int, ...]) -> Chain:
    """Sparse matrices of pairs of state and action that stand in the order of the states."""
    legal, action = found["legal"], found["action"]
    states, actions = legal.shape
    state = np.nonzero(legal)[0]

    def table(values: Any) -> Any:
        wide = np.zeros((states, actions, *values.shape[1:]))
        wide[state, action] = values
        return wide

    transition = []
    for a in range(actions):
        mine = action == a
        weight, target = found["weight"][mine], found["target"][mine]
        row = np.repeat(state[mine], weight.shape[1])
        entries = sparse.coo_array((weight.ravel(), (row, target.ravel())), (states, states)).tocsr()
        entries.eliminate_zeros()
        transition.append(entries)
    ledger, cost, elapsed = (table(found[key]) for key in ("ledger", "cost", "elapsed"))
    several = parts if len(parts) > 1 else ()
    return Chain(tuple(transition), ledger, cost, elapsed, found["seen"], legal, legal.sum(1) > 1, several, found["mask"])
