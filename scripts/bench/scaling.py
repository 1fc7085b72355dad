"""How the time of a batch step grows when classes, servers or environments double, each by itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pointsman.scripts.bench.measure import Budget, Progress, Row, stepper

LIMIT = 2.3
"""A doubling may take at most so many times the time."""


def desk(classes: int = 2, staff: int = 10, teams: int = 1) -> dict[str, Any]:
    """A dispatch problem with as many classes, teams, and people per team; the load per person stays the same."""
    kinds = {f"c{k}": {"handling_minutes": 6, "patience_minutes": 8} for k in range(classes)}
    people = {f"t{j}": {"staff": staff} for j in range(teams)}
    return {"arrival_rate": 0.15 * staff * teams, "classes": kinds, "teams": people}


def network(classes: int = 3, servers: int = 1) -> dict[str, Any]:
    """A queueing network of as many classes and identical servers; the load per server stays the same."""
    each = 0.7 * servers / classes
    names = [str(k) for k in range(classes)]
    return {
        "network": "custom",
        **dict.fromkeys(("arrival_rates", "service_rates", "holding_costs")),
        "classes": {name: {"arrival_rate": each} for name in names},
        "pools": {"server": {"servers": servers, "rates": dict.fromkeys(names, 1.0)}},
        "prices": {"in_system": 1.0},
    }


AXES: dict[str, tuple[list[int], Callable[[int], tuple[str, int, dict[str, Any]]]]] = {
    "environments of dispatch/mini": ([512, 1024, 2048, 4096, 8192], lambda n: ("dispatch/mini", n, {})),
    "classes of a dispatch desk": ([2, 4, 8, 16, 32], lambda k: ("dispatch/mini", 512, desk(classes=k))),
    "people of a dispatch desk": ([10, 20, 40, 80, 160], lambda n: ("dispatch/mini", 512, desk(staff=n))),
    "teams of a dispatch desk": ([1, 2, 4, 8, 16], lambda j: ("dispatch/mini", 512, desk(teams=j))),
    "classes of a queueing network": ([2, 4, 8, 16, 32], lambda k: ("queueing/multiclass", 512, network(classes=k))),
    "servers of a queueing network": ([2, 4, 8, 16, 32], lambda n: ("queueing/multiclass", 512, network(servers=n))),
}
"""What is doubled: its sizes, and size -> (problem, environments, overrides)."""


def scaling(budget: Budget, progress: Progress) -> list[Row]:
    """Milliseconds per batch step by axis and size; sizes take turns, so that all meet the machine as it is."""
    rows = []
    for axis, (sizes, setting) in AXES.items():
        progress(axis)
        sizes = sizes[: max(2, budget.of(len(sizes)))]
        clocks = {}
        for size in sizes:
            name, num_envs, overrides = setting(size)
            clocks[size] = stepper(name, max(2, budget.of(num_envs)), random=True, **overrides)
            clocks[size](budget.of(2000))  # until queues are as long as they will be
        times: dict[int, list[float]] = {size: [] for size in sizes}
        steps = budget.of(60)
        for _ in range(budget.repeats):
            for size in sizes:
                times[size].append(1000 * clocks[size](steps) / steps)
        for before, size in zip([None, *sizes], sizes, strict=False):
            grown = [b / a for a, b in zip(times[before], times[size], strict=True)] if before else []
            note = f"{np.median(grown):.2f} times the one before" if grown else ""
            rows.append(Row("scaling", f"{axis}: {size}", times[size], "ms", note))
    return rows


def draw(rows: list[Row], file: Path) -> None:
    """Time per batch step over size, one line per axis, beside what the limit allows."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5))
    for axis in AXES:
        mine = [row for row in rows if row.part == "scaling" and row.what.startswith(f"{axis}: ")]
        if mine:
            heights = [row.median / mine[0].median for row in mine]
            axes.plot(range(len(mine)), heights, marker="o", label=axis)
    doublings = range(5)
    axes.plot(doublings, [LIMIT**k for k in doublings], "k--", label=f"{LIMIT} times per doubling")
    axes.set(yscale="log", xlabel="doublings", ylabel="time per batch step, times the smallest", xticks=list(doublings))
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    plt.close(figure)
