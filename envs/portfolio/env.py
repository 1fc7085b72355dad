"""A project portfolio as a Problem: names, units and ranges of what is observed, decided and booked."""

from collections.abc import Mapping
from typing import Any

from pointsman.envs.ledger import Kpi, Ratio
from pointsman.envs.portfolio import kernel
from pointsman.envs.portfolio.config import PortfolioConfig
from pointsman.envs.portfolio.params import params_from
from pointsman.envs.problem import Field, Problem

SCHEMA = PortfolioConfig

_ENTRIES = {
    "present": Field("present", "indicator", 0.0, 1.0),
    "reviewed": Field("reviewed", "indicator", 0.0, 1.0),
    "taken": Field("taken", "indicator", 0.0, 1.0),
    "piloting": Field("piloting", "indicator", 0.0, 1.0),
    "impact": Field("impact", "hours per week"),
    "human_accuracy": Field("human_accuracy", "probability", 0.0, 1.0),
    "milestones": Field("milestones", "milestones"),
    "expected_accuracy": Field("expected_accuracy", "probability", 0.0, 1.0),
    "hard_probability": Field("hard_probability", "probability", 0.0, 1.0),
    "measured_accuracy": Field("measured_accuracy", "probability", 0.0, 1.0),
    "pilots": Field("pilots", "pilots"),
    "kind": Field("kind", "indicator", 0.0, 1.0),
    "effort": Field("effort", "person-weeks"),
    "age": Field("age", "weeks"),
}
_CONTEXT = {
    "reviewing": Field("reviewing", "indicator", 0.0, 1.0),
    "asked": Field("asked", "indicator", 0.0, 1.0),
    "people_left": Field("people_left", "people"),
    "free_slots": Field("free_slots", "slots"),
}


def build(config: Mapping[str, Any]) -> Problem:
    """A problem from a plain, complete configuration (PortfolioConfig as a dict)."""
    params = params_from(config)
    kinds, roles = list(config["kinds"]), list(config["roles"])

    def named(names: list[str], ranges: Mapping[str, Field]) -> tuple[Field, ...]:
        found = [(name, ranges[name.split("/")[0]]) for name in names]
        return tuple(Field(name, f.unit, f.low, f.high) for name, f in found)

    return Problem(
        id=config["id"],
        config=config,
        kernel=kernel,
        params=params,
        allocate=lambda n: kernel.allocate(params, n),
        observation=named(kernel.context_names(roles), _CONTEXT),
        actions=(*[f"project {m}" for m in range(params.slots)], *kernel.REPLIES),
        columns=(*kernel.PLAIN, *[f"person_weeks/{role}" for role in roles]),
        prices=config["prices"],
        kpis=_kpis(),
        demand="proposed",
        demand_unit="proposal",
        time_unit="week",
        horizon=params.horizon,
        warmup=0.0,
        candidates=named(kernel.project_names(kinds, params.log_effort), _ENTRIES),
        window=params.slots,
    )


def _kpis() -> dict[str, Kpi]:
    return {
        "hours_saved_per_week": Ratio(("hours_saved",), ("weeks",), "hours", "over the rest of each project's window"),
        "shipped_share": Ratio(("shipped",), ("proposed",), "", "of the proposals"),
        "stopped_share": Ratio(("stopped",), ("proposed",), "", "of the proposals"),
        "withdrawn_share": Ratio(("withdrawn",), ("proposed",), "", "of the proposals"),
        "turned_away_share": Ratio(("turned_away",), ("proposed",), "", "the portfolio was full"),
        "excess_error_share": Ratio(("excess_errors",), ("hours_saved",), "", "cases wrong beyond what people get wrong"),
        "person_weeks_per_ship": Ratio(("person_weeks",), ("shipped",), "person-weeks"),
        "delay_share": Ratio(("delay_hours",), ("hours_saved", "delay_hours"), "", "of the window that passed before shipping"),
        "pilots_per_proposal": Ratio(("pilots",), ("proposed",)),
        "idle_share": Ratio(("idle_weeks",), ("idle_weeks", "person_weeks"), "", "of the team's time"),
    }
