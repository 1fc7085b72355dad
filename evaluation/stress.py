"""Policies where the world, or what they see of it, is worse than the one that they were made for.

A pack is a yaml of stresses. Each `change`s parameters of the problem (notation: changes.py), together `with` others that
make room for that, or distorts what policies `observe`; policies are left as they are. A stress that changes nothing here,
such as another class mix where there is one class, is left out. Field names may hold wildcards; an observation is distorted by

    {delay: 10}                  the value of 10 decisions ago
    {missing: 0.3, reads: last}  in 3 of 10 decisions the value of the last one that came through, or a number; all at once
    {log_odds: 2}                a probability that claims more than it knows: its log-odds twice as far from even
"""

import math
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.table import Table

from pointsman import envs
from pointsman.envs.checks import number, require, whole
from pointsman.envs.problem import Layout
from pointsman.errors import PointsmanError, unknown
from pointsman.evaluation.changes import changed
from pointsman.evaluation.compare import Comparison
from pointsman.evaluation.rollout import run_all
from pointsman.shipped import load_yaml, shipped

PARTS = ("says", "change", "with", "observe")
"""Of a stress."""
DISTORTIONS = {"delay": set(), "missing": {"reads"}, "log_odds": set()}
"""Distortions of an observation, and what may stand beside each."""


def load_pack(name: str) -> dict[str, Any]:
    """A pack by the name of a shipped one, or by the path of a yaml file."""
    found = load_yaml("stress pack", name, "stress")
    if not isinstance(found, dict) or not all(isinstance(given, dict) for given in found.values()):
        raise PointsmanError(f"stress pack {name}: every entry must have change or observe below it")
    return {str(key): given for key, given in found.items()}


def family_pack(problem: envs.Problem) -> dict[str, Any]:
    """The shipped pack of the problem's family; empty where none is, as for gym and plug-ins."""
    family = envs.family(problem)
    return load_pack(family) if family in shipped("stress") else {}


class Stress(NamedTuple):
    """One stress of a problem."""

    name: str
    says: str
    problem: envs.Problem
    observe: dict[int, Mapping[str, Any]]  # distortion by the observation's position


def stresses(problem: envs.Problem, pack: Mapping[str, Any]) -> list[Stress]:
    """The stresses of a pack that change something here; errors name the stress and the key."""
    found = []
    for name, given in pack.items():
        for key in given:
            if key not in PARTS:
                raise unknown(f"part of stress {name}:", str(key), PARTS)
        for key in PARTS[1:]:
            if not isinstance(given.get(key, {}), Mapping):
                raise PointsmanError(f"stress {name}: {key} must hold keys and what becomes of them, got {given[key]!r}")
        try:
            overrides = changed(problem.config, given.get("change", {}))
            overrides |= changed(problem.config, given.get("with", {})) if overrides else {}
            harder = envs.build(envs.complete(problem.config, overrides)) if overrides else problem
        except PointsmanError as error:
            raise PointsmanError(f"stress {name}: {error}") from None
        if (harder.fields, harder.actions) != (problem.fields, problem.actions):
            raise PointsmanError(f"stress {name} changes what is observed or decided: no policy made for {problem.id} fits it")
        observe = _positions(problem, name, given.get("observe", {}))
        if overrides or observe:
            found.append(Stress(name, str(given.get("says", name.replace("_", " "))), harder, observe))
    return found


def _positions(problem: envs.Problem, name: str, observe: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    for pattern, how in observe.items():
        kind = next((kind for kind in DISTORTIONS if isinstance(how, Mapping) and kind in how), None)
        if kind is None:
            raise unknown(f"distortion in stress {name}: observe.{pattern}", str(how), DISTORTIONS)
        for key in how:
            if key != kind and key not in DISTORTIONS[kind]:
                raise unknown(f"part of stress {name}: observe.{pattern}.{kind},", str(key), DISTORTIONS[kind] or [kind])
        where, reads = f"stress {name}: observe.{pattern}", how.get("reads", "last")
        if kind == "delay":
            whole(f"{where}.delay", how["delay"])
        else:
            number(f"{where}.{kind}", how[kind], high=1.0 if kind == "missing" else math.inf)
        good = reads == "last" or (isinstance(reads, int | float) and not isinstance(reads, bool))
        require(good, f"{where}.reads", "last or a number", repr(reads))
    return {
        place: how
        for place, field in enumerate(problem.fields)
        for pattern, how in observe.items()
        if fnmatch(field.name, str(pattern))
    }


class Distorted:
    """A policy that sees its observations distorted; it remembers those of one rollout, so each needs a new one.

    Args:
        policy: what acts.
        layout: of the observations.
        observe: distortion by position of the flat observation, as in `Stress`.
    """

    def __init__(self, policy: Any, layout: Layout, observe: Mapping[int, Mapping[str, Any]]):
        self.policy, self.layout, self.observe = policy, layout, observe
        self._past: dict[int, list[NDArray[np.float32]]] = {place: [] for place in observe}

    def act(self, observation: Any, mask: NDArray[np.bool_], u: NDArray[np.float64]) -> NDArray[np.int64]:
        """The policy's actions on what it sees."""
        seen = self.layout.flat(observation).copy()
        # The lower half of the bits of a policy's own uniform: what it does with u itself hardly depends on them.
        v = u * 2.0**26 % 1.0
        for place, how in self.observe.items():
            seen[:, place] = self._distort(seen[:, place], how, self._past[place], v)
        actions: NDArray[np.int64] = self.policy.act(self.layout.shaped(seen), mask, u)
        return actions

    def _distort(self, true: Any, how: Mapping[str, Any], past: list[Any], v: NDArray[np.float64]) -> Any:
        if "log_odds" in how:
            p = np.clip(true.astype(np.float64), 1e-9, 1 - 1e-9)
            return 1.0 / (1.0 + ((1 - p) / p) ** how["log_odds"])
        if "delay" in how:
            past.append(true.copy())
            return past.pop(0) if len(past) > how["delay"] else past[0]
        last = past.pop() if past else true
        reads = how.get("reads", "last")
        come = np.where(v < how["missing"], last, true)
        past.append(come)
        return come if reads == "last" else np.where(v < how["missing"], reads, true)


def under_stress(
    stress: Stress, policies: Mapping[str, Any], learned: str, rules: list[str], episodes: int, seed: int,
    progress: Callable[[float], None] = lambda share: None,
) -> Comparison:  # fmt: skip
    """All policies under one stress, on the same episodes."""
    seen = dict(policies)
    if stress.observe:
        seen = {name: Distorted(policy, stress.problem.layout, stress.observe) for name, policy in policies.items()}
    return Comparison(stress.problem, run_all(stress.problem, seen, episodes, seed, progress), learned, rules)


def under_all(
    pack: list[Stress], policies: Mapping[str, Any], learned: str, rules: list[str], episodes: int, seed: int, progress: Any
) -> dict[str, Comparison]:
    """All policies under every stress, by its name."""
    found, task = {}, progress.add_task("stress", total=len(pack), note="")
    for stress in pack:
        progress.update(task, note=stress.name)
        found[stress.name] = under_stress(stress, policies, learned, rules, episodes, seed)
        progress.advance(task)
    return found


def stress_rows(found: Mapping[str, Comparison], baseline: str) -> pd.DataFrame:
    """One row per stress and policy: cost rate, and paired difference to the baseline as a share of its cost."""
    rows = []
    for stress, under in found.items():
        for name in under.rollouts:
            own, against = under.rate(name), under.relative(name, baseline)
            rows.append(
                {"stress": stress, "policy": name, "cost_rate": own.estimate, "low": own.low, "high": own.high}
                | {"relative": against.estimate, "relative_low": against.low, "relative_high": against.high}
                | {"illegal": under.illegal(name)}
            )
    return pd.DataFrame(rows)


def stress_table(found: Mapping[str, Comparison], names: list[str], baseline: str) -> Table:
    """The matrix for reading: cost of the baseline, and how much more or less each policy costs there."""
    shown = Table(title=f"Under stress, left as they are: cost beside that of {baseline}, paired", title_justify="left")
    shown.add_column("stress", no_wrap=True)
    shown.add_column(baseline, justify="right")
    others = [name for name in names if name != baseline]
    for name in others:
        shown.add_column(name, justify="right")
    for stress, under in found.items():
        cells = []
        for name in others:
            against = under.relative(name, baseline)
            sure = "" if against.low <= 0 <= against.high else "*"
            cells.append(f"{100 * against.estimate:+.1f} %{sure}")
        shown.add_row(stress.replace("_", " "), f"{under.rate(baseline).estimate:.4g}", *cells)
    shown.caption, shown.caption_justify = "* told from chance at 95 %", "left"
    return shown
