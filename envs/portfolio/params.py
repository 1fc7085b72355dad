"""From a configuration to the kernel's parameters; errors name the key."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pointsman.envs.checks import cumulative, number, numbers, require
from pointsman.envs.portfolio.kernel import Params


def params_from(config: Mapping[str, Any]) -> Params:
    """Parameters of a plain, complete configuration (PortfolioConfig as a dict)."""
    kinds, roles = config["kinds"], config["roles"]
    require(len(kinds) > 0, "kinds", "at least one kind of project", kinds)
    require(len(roles) > 0, "roles", "at least one role", roles)
    for key in ("slots", "window_weeks", "horizon_weeks"):
        require(config[key] >= 1, key, "a whole number of at least 1", config[key])
    for key in ("test_cases", "most_pilots"):
        require(config[key] >= 0, key, "a whole number of at least 0", config[key])
    deep = max(number(f"kinds.{k}.milestones", kind["milestones"], 1) for k, kind in kinds.items())
    levels = max(len(kind["hours_per_week"]) for kind in kinds.values())
    found: dict[str, list[Any]] = {name: [] for name in ("impact", "weights", "accuracy", "pace")}
    for name, kind in kinds.items():
        key = f"kinds.{name}"
        hours = numbers(f"{key}.hours_per_week", kind["hours_per_week"])
        weight = kind["hours_weight"] or [1.0] * len(hours)
        weights = numbers(f"{key}.hours_weight", weight, len(hours))
        found["impact"].append(np.pad(hours, (0, levels - len(hours)), mode="edge"))
        found["weights"].append(cumulative(f"{key}.hours_weight", np.pad(weights, (0, levels - len(weights)))))
        found["accuracy"].append(_accuracy(key, kind, int(deep)))
        pace = numbers(f"{key}.pace", kind["pace"], high=1.0)
        found["pace"].append(np.pad(pace, (0, max(int(deep) - len(pace), 0)), mode="edge")[: int(deep)])
    for name, role in roles.items():
        require(set(role["skill"]) <= set(kinds), f"roles.{name}.skill", f"by kind ({', '.join(kinds)})", role["skill"])
    skill = np.array([[number(f"roles.{n}.skill", r["skill"].get(kind, 1.0)) for kind in kinds] for n, r in roles.items()])
    people = [int(number(f"roles.{name}.people", role["people"], 0)) for name, role in roles.items()]
    require(sum(people) > 0, "roles.*.people", "at least one in all", sum(people))

    def each(key: str, low: float = 0.0, high: float = 1.0) -> Any:
        return np.array([number(f"kinds.{name}.{key}", kind[key], low, high=high) for name, kind in kinds.items()])

    start = each("start", high=np.inf).astype(np.int64)
    require(start.sum() <= config["slots"], "kinds.*.start", f"no more than slots={config['slots']} in all", start.sum())
    pilots = [numbers(f"kinds.{n}.pilot_good", kind["pilot_good"], 2, low=0.001, high=0.999) for n, kind in kinds.items()]
    return Params(
        arrival=each("proposals_per_week"),
        start=start,
        impact=np.array(found["impact"]),
        impact_cumulative=np.array(found["weights"]),
        hard_share=each("hard_share"),
        human=each("human_accuracy"),
        required=each("required_accuracy"),
        accuracy=np.array(found["accuracy"]),
        milestones=each("milestones", high=np.inf).astype(np.int64),
        pace=np.minimum(skill[:, :, None] * np.array(found["pace"])[None], 1.0),
        pilot_good=np.array(pilots),
        role=np.repeat(np.arange(len(roles)), people),
        pilots=np.array([bool(role["pilots"]) for role in roles.values()]),
        most_pilots=config["most_pilots"],
        slots=config["slots"],
        window=float(config["window_weeks"]),
        closes=config["window_closes"],
        withdrawn=number("withdrawn_per_week", config["withdrawn_per_week"], high=1.0),
        tests=config["test_cases"],
        impact_error=number("impact_error", config["impact_error"], high=1.0),
        log_effort=config["log_effort"],
        horizon=float(config["horizon_weeks"]),
    )


def _accuracy(key: str, kind: Mapping[str, Any], deep: int) -> Any:
    """Accuracy [2, deep + 1] by milestones g: top - (top - base) (1 + g / scale) ** -exponent, half of the way at `halfway`."""
    base = number(f"{key}.base_accuracy", kind["base_accuracy"], 0.001, high=0.999)
    top = numbers(f"{key}.top_accuracy", kind["top_accuracy"], 2, low=base, high=0.999)
    halfway = numbers(f"{key}.halfway", kind["halfway"], 2, strict=True)
    exponent = number(f"{key}.exponent", kind["exponent"], strict=True)
    scale = halfway / (2.0 ** (1.0 / exponent) - 1.0)
    return top[:, None] - (top - base)[:, None] * (1.0 + np.arange(deep + 1) / scale[:, None]) ** -exponent
