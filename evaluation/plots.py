"""Pictures of a comparison."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from pointsman.evaluation.statistics import rate

LEARNED, RULE, BEST, OPTIMUM = "#c8642b", "#8a97a6", "#2f5d8a", "#2e7d4f"


def headroom_plot(found: Any, file: Path) -> None:
    """Left: cost of every policy with its interval. Right: paired differences to the best rule, where chance is smaller."""
    names = found.ordered()
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 0.5 * len(names) + 1.9), sharey=True, layout="constrained")
    base = rate(found.cost[found.best_rule], found.elapsed).estimate
    widest = 0.0
    for place, name in enumerate(reversed(names)):
        colour = {found.learned: LEARNED, found.best_rule: BEST, "optimum": OPTIMUM}.get(name, RULE)
        own = rate(found.cost[name], found.elapsed)
        left.barh(place, own.estimate, color=colour, height=0.62)
        left.plot(own[1:], [place, place], color="#1c2530", lw=1.4)
        left.annotate(f"{own.estimate:.3f}", (own.high, place), (5, 0), textcoords="offset points", va="center", fontsize=9)
        gap = [100 * value / base for value in found.difference(name, found.best_rule)]
        if name != found.best_rule:
            right.plot(gap[1:], [place, place], color=colour, lw=3, solid_capstyle="round")
        right.plot(gap[0], place, "o", color=colour, ms=7)
        # Policies far off would squeeze those that matter into one point: they are named at the edge.
        if name in (found.learned, "optimum") or abs(gap[0]) < 15:
            widest = max(widest, *(abs(value) for value in gap))
        else:
            right.annotate(f"+{gap[0]:.0f} %  \u2192", (0.99, place), xycoords=("axes fraction", "data"), ha="right", va="center")
    left.set_yticks(range(len(names)), list(reversed(names)))
    left.set_xlabel(f"cost per {found.problem.time_unit}")
    left.set_xlim(right=left.get_xlim()[1] * 1.08)
    right.axvline(0, color=BEST, lw=1)
    right.set_xlim(-1.25 * widest - 0.1, 1.25 * widest + 0.1)
    right.set_xlabel(f"cost minus that of {found.best_rule}, %, paired")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", color="#e4e8ec", lw=0.8)
        axes.set_axisbelow(True)
    figure.suptitle(f"{found.problem.id}: {len(found.elapsed)} episodes, the same for every policy; lines: 95 %", fontsize=11)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=140)
    plt.close(figure)
