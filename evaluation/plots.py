"""Pictures of a comparison. Every function returns a figure, which `save` and `svg` write and close."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure

from pointsman.evaluation.curves import Band
from pointsman.evaluation.maps import ActionMap, Axis

LEARNED, RULE, BEST, OPTIMUM, INK, GRID = "#c8642b", "#8a97a6", "#2f5d8a", "#2e7d4f", "#1c2530", "#e4e8ec"
SEVERAL = ("#c8642b", "#7a4fa3", "#b08900", "#3b8ea5", "#a33b5c", "#5a7d2a")
"""Colours of several learners."""
_DIVERGING = LinearSegmentedColormap.from_list("difference", [OPTIMUM, "#f7f7f5", "#b3261e"])
_SHARE = LinearSegmentedColormap.from_list("share", ["#f3c9a8", "#f4f1ec", "#9dbbd8"])


def save(figure: Figure, file: Path) -> None:
    """Write a figure as PNG."""
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=140)


def svg(figure: Figure) -> str:
    """A figure as an SVG element that refers to nothing outside."""
    text = io.StringIO()
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": str(id(figure))}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    plt.close(figure)
    drawn = text.getvalue()
    return drawn[drawn.index("<svg") :]


def tidy(axes: Any, grid: str = "x") -> None:
    """Take away what frames the axes, and lay a grid behind what is drawn."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color=GRID, lw=0.8)
    axes.set_axisbelow(True)


def costs(found: Any) -> Figure:
    """Left: cost of every policy with its interval. Right: paired differences to the best rule, where chance is smaller."""
    names = found.ordered()
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 0.5 * len(names) + 1.9), sharey=True, layout="constrained")
    widest = 0.0
    for place, name in enumerate(reversed(names)):
        colour = {found.learned: LEARNED, found.best_rule: BEST, "optimum": OPTIMUM}.get(name, RULE)
        own = found.rate(name)
        left.barh(place, own.estimate, color=colour, height=0.62)
        left.plot(own[1:], [place, place], color=INK, lw=1.4)
        left.annotate(f"{own.estimate:.3f}", (own.high, place), (5, 0), textcoords="offset points", va="center", fontsize=9)
        gap = [100 * value for value in found.relative(name, found.best_rule)]
        # Policies far off would squeeze those that matter into one point: they are named at the edge.
        if name not in (found.learned, "optimum") and abs(gap[0]) >= 15:
            right.annotate(f"{gap[0]:+.0f} %  \u2192", (0.99, place), xycoords=("axes fraction", "data"), ha="right", va="center")
            continue
        widest = max(widest, *(abs(value) for value in gap))
        if name != found.best_rule:
            right.plot(gap[1:], [place, place], color=colour, lw=3, solid_capstyle="round")
        right.plot(gap[0], place, "o", color=colour, ms=7)
    left.set_yticks(range(len(names)), list(reversed(names)))
    left.set_xlabel(f"cost per {found.problem.time_unit}")
    left.set_xlim(right=left.get_xlim()[1] * 1.08)
    right.axvline(0, color=BEST, lw=1)
    right.set_xlim(-1.25 * widest - 0.1, 1.25 * widest + 0.1)
    right.set_xlabel(f"cost minus that of {found.best_rule}, %, paired")
    for axes in (left, right):
        tidy(axes)
    figure.suptitle(f"{found.problem.id}: {len(found.elapsed)} episodes, the same for every policy; lines: 95 %", fontsize=11)
    return figure


def headroom(found: Any) -> Figure:
    """The chain on one bar, to scale between the best rule, the policy and the optimum; the worst rule is named at the edge."""
    worst, *links = found.links()
    share = {link.role: 100 * link.relative.estimate for link in links}
    colours = {"best tuned rule": BEST, "learned policy": LEARNED, "optimum": OPTIMUM}
    figure, axes = plt.subplots(figsize=(11, 2.3), layout="constrained")
    left, right = min(share.values()), max(share.values())
    span = max(right - left, 0.5)
    axes.barh(0, -share.get("optimum", 0.0), left=share.get("optimum", 0.0), color="#d9e0e7", height=0.34)
    axes.barh(0, share["learned policy"], color=LEARNED, height=0.34, alpha=0.85)
    for link in links:
        at, below = share[link.role], link.role == "learned policy"
        axes.plot([at, at], [-0.3, 0.3], color=colours[link.role], lw=2.6, solid_capstyle="butt")
        label = f"{link.name}\n{link.cost.estimate:.4g}" + ("" if link.role == "best tuned rule" else f" ({at:+.2f} %)")
        axes.text(at, -0.36 if below else 0.36, label, ha="center", va="top" if below else "bottom", color=colours[link.role])
    axes.annotate(
        f"worst rule: {worst.name}\n{worst.cost.estimate:.4g} ({100 * worst.relative.estimate:+.0f} %)  \u2192",
        (0.995, 0.5), xycoords="axes fraction", ha="right", va="center", color=RULE,
    )  # fmt: skip
    axes.set_xlim(left - 0.18 * span, right + 0.45 * span)
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    axes.set_xlabel(f"cost beside {found.best_rule}, %")
    axes.spines[["left", "top", "right"]].set_visible(False)
    return figure


def differences(found: Any) -> Figure:
    """Every episode's paired difference to the best rule (mean over training seeds), in order, with mean and interval."""
    base = found.best_rule
    paired = np.sort(np.atleast_2d(found.cost[found.learned]).mean(0) - found.cost[base]) / found.elapsed.mean()
    mean = found.difference(found.learned, base)
    figure, axes = plt.subplots(figsize=(11, 3.2), layout="constrained")
    place = (np.arange(len(paired)) + 0.5) / len(paired)
    axes.bar(place, paired, width=1.0 / len(paired), color=np.where(paired < 0, OPTIMUM, "#b3261e"), alpha=0.55)
    axes.axhspan(mean.low, mean.high, color=LEARNED, alpha=0.35, lw=0)
    axes.axhline(mean.estimate, color=LEARNED, lw=2)
    axes.axhline(0, color=INK, lw=0.8)
    less = f"less in {100 * (paired < 0).mean():.0f} % of the episodes"
    axes.annotate(
        f"mean {mean.estimate:+.4g} [{mean.low:+.4g}, {mean.high:+.4g}]; {less}",
        (0.01, 0.93), xycoords="axes fraction", color=LEARNED, va="top",
    )  # fmt: skip
    axes.set_xlabel("share of the episodes")
    axes.set_ylabel(f"{found.learned} minus {base},\ncost per {found.problem.time_unit}")
    tidy(axes, "y")
    return figure


def learning(bands: Mapping[str, Band], levels: Mapping[str, float], label: str) -> Figure:
    """Cost over training: one band per learner, one level line per rule or optimum; far lines are named at the edge."""
    figure, axes = plt.subplots(figsize=(11, 3.8), layout="constrained")
    for (name, band), colour in zip(bands.items(), SEVERAL * len(bands), strict=False):
        axes.fill_between(band.steps, band.low, band.high, color=colour, alpha=0.25, lw=0)
        axes.plot(band.steps, band.mean, color=colour, lw=1.8, label=name)
    settled = np.concatenate([band.mean[len(band.mean) // 4 :] for band in bands.values()])
    near = [value for value in levels.values() if value < settled.max() + 0.25 * abs(settled.max())]
    low, high = min([*near, settled.min()]), max([*near, settled.max()])
    axes.set_ylim(low - 0.12 * (high - low), high + 0.25 * (high - low))
    bottom, top = axes.get_ylim()
    far, last = [], -1.0
    for name, value in sorted(levels.items(), key=lambda item: item[1]):
        if value > top:
            far.append(f"{name} {value:.3g}")
            continue
        colour = OPTIMUM if name == "optimum" else BEST
        axes.axhline(value, color=colour, lw=1.1, ls="--")
        last = max((value - bottom) / (top - bottom), last + 0.055)  # names keep a distance where lines do not
        axes.annotate(name, (1.005, last), xycoords="axes fraction", va="center", fontsize=9, color=colour)
    if far:
        axes.annotate("above: " + ", ".join(far), (0.99, 0.98), xycoords="axes fraction", ha="right", va="top", color=RULE)
    axes.legend(frameon=False, loc="upper center")
    axes.set_xlabel("training decisions")
    axes.set_ylabel(label)
    tidy(axes, "y")
    return figure


def stress_matrix(found: Mapping[str, Any], says: Mapping[str, str], names: list[str], baseline: str) -> Figure:
    """Cost of every policy beside the best rule's, under every stress; grey where it may be chance."""
    names = [name for name in names if name != baseline]
    figure, axes = plt.subplots(figsize=(11, 0.36 * len(found) + 1.4), layout="constrained")
    shown = np.array([[100 * under.relative(name, baseline).estimate for name in names] for under in found.values()])
    axes.imshow(np.clip(shown, -20, 20), cmap=_DIVERGING, vmin=-20, vmax=20, aspect="auto")
    for row, under in enumerate(found.values()):
        for column, name in enumerate(names):
            one = under.relative(name, baseline)
            sure = not one.low <= 0 <= one.high
            axes.text(column, row, f"{100 * one.estimate:+.1f} %", ha="center", va="center",
                      color=("white" if abs(one.estimate) > 0.14 else INK) if sure else RULE, fontsize=9)  # fmt: skip
    crowded = len(names) > 6
    axes.set_xticks(range(len(names)), names, rotation=25 if crowded else 0, ha="left" if crowded else "center")
    axes.set_yticks(range(len(found)), [says.get(stress, stress) for stress in found])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def action_maps(maps: list[ActionMap], actions: tuple[str, ...], reference: str) -> Figure:
    """Colour: what the policy does, by the share of its decisions. Line: where the reference changes its mind."""
    figure, places = plt.subplots(1, len(maps), figsize=(11, 4.0), layout="constrained", squeeze=False)
    for axes, found in zip(places[0], maps, strict=True):
        edges = [_edges(side) for side in (found.x, found.y)]
        seen = found.visits > 0
        if len(actions) == 2:
            drawn = axes.pcolormesh(*edges, np.where(seen, found.share[1], np.nan), cmap=_SHARE, vmin=0, vmax=1)
        else:
            favourite = np.where(seen, np.nan_to_num(found.share, nan=-1).argmax(0), np.nan)
            colours = ListedColormap([plt.get_cmap("tab20")(k % 20) for k in range(len(actions))])
            drawn = axes.pcolormesh(*edges, favourite, cmap=colours, vmin=-0.5, vmax=len(actions) - 0.5)
        if found.reference is not None:
            axes.add_collection(LineCollection(_borders(found.reference, seen, *edges), colors=INK, lw=2.2))
        _ticks(axes.xaxis, found.x)
        _ticks(axes.yaxis, found.y)
        axes.set_facecolor("#ffffff")
        axes.spines[["top", "right"]].set_visible(False)
    bar = figure.colorbar(drawn, ax=places[0].tolist(), fraction=0.04, pad=0.01)
    if len(actions) == 2:
        bar.set_ticks([0, 0.5, 1], labels=[actions[0], "half", actions[1]])
    else:
        bar.set_ticks(range(len(actions)), labels=list(actions))
    if any(found.reference is not None for found in maps):
        figure.suptitle(f"black: where {reference} changes its mind; white: never visited", fontsize=10)
    return figure


def _edges(side: Axis) -> Any:
    """Where cells are drawn: few values stand at equal distances, whatever they are."""
    return np.arange(len(side.labels) + 1) - 0.5 if side.labels else side.edges


def _ticks(axis: Any, side: Axis) -> None:
    unit = f", {side.field.unit}" if side.field.unit not in ("", "index", "indicator") else ""
    axis.set_label_text(side.field.name + unit)
    if side.labels:
        step = -(-len(side.labels) // 12)
        axis.set_ticks(range(0, len(side.labels), step), labels=side.labels[::step])


def _borders(share: Any, seen: Any, x: Any, y: Any) -> list[Any]:
    """Edges between visited neighbours in which another action is the most frequent."""
    favourite = np.where(seen, np.nan_to_num(share, nan=-1).argmax(0), -1)
    lines = []
    for row, column in np.ndindex(favourite.shape):
        here = favourite[row, column]
        if column and min(here, favourite[row, column - 1]) >= 0 and here != favourite[row, column - 1]:
            lines.append([(x[column], y[row]), (x[column], y[row + 1])])
        if row and min(here, favourite[row - 1, column]) >= 0 and here != favourite[row - 1, column]:
            lines.append([(x[column], y[row]), (x[column + 1], y[row])])
    return lines
