"""Two problems of a few lines, whose optimum is plain: pick the best of the candidates, and match two signs."""

import sys
from typing import NamedTuple

import numpy as np

from pointsman.envs.compiled import batched, rests
from pointsman.envs.noise import episode_key, mix, uniform
from pointsman.envs.problem import Field, Problem

FULL: dict[int, str] = {}
PASS = 0.5
"""What it is worth to take none of the candidates."""


class Params(NamedTuple):
    window: int
    presence: float  # probability that a place holds a candidate
    signs: int  # 0: pick; else match two signs of so many values


class State(NamedTuple):
    key: np.ndarray  # [N]
    records: np.ndarray  # [N]
    value: np.ndarray  # [N, M] of candidates, or [N, 2] signs


@batched
def observe(params, state, i, observation, mask):
    """Draw what is shown next, and show it."""
    record = mix(state.key[i], state.records[i])
    observation[i, 0] = 1.0
    if params.signs > 0:
        for k in range(2):
            sign = int(uniform(record, k) * params.signs)
            state.value[i, k] = sign
            observation[i, k] = sign
            for a in range(params.signs):
                mask[i, k * params.signs + a] = a <= sign + 1
        return
    for m in range(params.window):
        here = uniform(record, 2 * m) < params.presence
        state.value[i, m] = uniform(record, 2 * m + 1)
        observation[i, 1 + 2 * m] = 1.0 if here else 0.0
        observation[i, 2 + 2 * m] = state.value[i, m] if here else 0.0
        mask[i, m] = here
    mask[i, params.window] = True


@batched
def restart(state, out, i):
    state.key[i] = episode_key(out.seed[i], out.stream[i], out.episode[i])
    state.records[i] = 0


@batched
def reset_rows(params, state, record, out, rows):
    for i in rows:
        restart(state, out, i)
        observe(params, state, i, out.observation, out.mask)


@batched
def advance(params, state, record, action, out, first, last, autoreset):
    for i in range(first, last):
        if rests(out, i, autoreset):
            continue
        parts = action.reshape((out.mask.shape[0], -1))
        if params.signs > 0:
            gain = 0.0
            for k in range(2):
                gain += 0.5 if parts[i, k] == int(state.value[i, k]) else 0.0
        else:
            gain = PASS if parts[i, 0] == params.window else state.value[i, parts[i, 0]]
        out.ledger[i, 0], out.ledger[i, 1] = gain, 0.0
        out.elapsed[i] = 1.0
        state.records[i] += 1
        out.truncated[i] = state.records[i] >= 10
        if autoreset and out.truncated[i]:
            observe(params, state, i, out.final_observation, out.final_mask)
            out.episode[i] += 1
            restart(state, out, i)
        observe(params, state, i, out.observation, out.mask)
    return -1, 0


def problem(window: int = 4, presence: float = 0.8, signs: int = 0) -> Problem:
    """Pick among `window` candidates, or, with `signs`, repeat two signs at once."""
    params = Params(window, presence, signs)

    def allocate(n):
        return State(np.zeros(n, np.uint64), np.zeros(n, np.int64), np.zeros((n, max(window, 2)))), None

    candidates = (Field("present", high=1.0), Field("value", high=1.0))
    context = tuple(Field(name, "", 0.0, float(signs)) for name in ("left", "right")) if signs else (Field("one"),)
    names = tuple(f"{side} {a}" for side in ("left", "right") for a in range(signs))
    return Problem(
        id="toy/signs" if signs else "toy/pick",
        config={},
        kernel=sys.modules[__name__],
        params=params,
        allocate=allocate,
        observation=context,
        actions=names if signs else (*(f"candidate {m}" for m in range(window)), "pass"),
        columns=("gained",),
        prices={"gained": -1.0},
        kpis={},
        demand="gained",
        demand_unit="unit",
        time_unit="step",
        horizon=10.0,
        warmup=0.0,
        parts=(signs, signs) if signs else (),
        candidates=() if signs else candidates,
        window=0 if signs else window,
    )
