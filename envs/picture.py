"""render_mode="rgb_array": a decision as a picture - what is seen, what is legal, the clock, and the ledger so far."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pointsman.envs.problem import Problem

INK, FAINT, BAR, LEGAL = "#1c2530", "#8a97a6", "#2f5d8a", "#2e7d4f"


class View(NamedTuple):
    """One row of an environment at a decision."""

    state: Any  # the kernel's, every array without its batch axis
    observation: NDArray[np.float32]  # [F] flat
    mask: NDArray[np.bool_]  # [A]
    clock: float
    ledger: NDArray[np.float64]  # [C] so far in this episode
    columns: tuple[str, ...]
    cost: float  # so far


def picture(problem: "Problem", view: View) -> NDArray[np.uint8]:
    """The problem's own picture where it draws one, else the general one: uint8[height, width, 3]."""
    return problem.render(problem, view) if problem.render is not None else general(problem, view)


def canvas(figure: Any) -> NDArray[np.uint8]:
    """A matplotlib figure as pixels uint8[height, width, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    drawn = FigureCanvasAgg(figure)
    drawn.draw()
    return np.asarray(drawn.buffer_rgba())[..., :3].copy()


def general(problem: "Problem", view: View) -> NDArray[np.uint8]:
    """Bars of the observation by name, candidates as rows, legal actions, clock and ledger."""
    from matplotlib.figure import Figure

    names, context = problem.layout.context, len(problem.observation)
    rows = max(len(names), len(problem.actions), 8, problem.window)
    figure = Figure((10.0, 1.2 + 0.26 * min(rows, 40)), dpi=80, layout="constrained")
    seen, middle, booked = figure.subplots(1, 3, width_ratios=[1.3, 1.0, 1.1])
    figure.suptitle(f"{problem.id}   time {view.clock:,.2f}   cost so far {view.cost:,.4g}", color=INK, ha="center")
    _bars(seen, problem.observation, view.observation[:context])
    if problem.window:
        _candidates(middle, problem, view.observation[context:], view.mask)
    else:
        _actions(middle, problem.actions, view.mask)
    _ledger(booked, view)
    return canvas(figure)


def _bars(axes: Any, fields: Any, values: NDArray[np.float32]) -> None:
    """One bar per entry, as long as its share of the range; where that has no end, of the longest bar of its unit."""
    longest: dict[str, float] = {}
    for field, value in zip(fields, values, strict=True):
        longest[field.unit] = max(longest.get(field.unit, 1.0), abs(float(value)))
    for k, (field, value) in enumerate(zip(fields, values, strict=True)):
        span = max(abs(field.low), abs(field.high)) if np.isfinite([field.low, field.high]).all() else longest[field.unit]
        axes.barh(-k, float(value) / max(span, 1e-12), color=BAR, height=0.6)
        unit = f" {field.unit}" if field.unit not in ("", "indicator", "index", "probability") else ""
        axes.text(1.05, -k, f"{value:.3g}{unit}", va="center", fontsize=8, color=INK)
    axes.set_yticks([-k for k in range(len(fields))], [field.name for field in fields], fontsize=8)
    axes.set_xlim(min(0.0, *[float(patch.get_width()) for patch in axes.patches]), 1.0)
    axes.set_ylim(-max(len(fields), 8) + 0.5, 0.6)
    _bare(axes, "seen")


def _actions(axes: Any, names: tuple[str, ...], mask: NDArray[np.bool_]) -> None:
    for k, (name, legal) in enumerate(zip(names, mask, strict=True)):
        axes.text(0.06, -k, name, va="center", fontsize=8, color=INK if legal else FAINT)
        axes.plot(0.0, -k, "o", color=LEGAL if legal else "white", mec=LEGAL if legal else FAINT, ms=6)
    axes.set_xlim(-0.05, 1.0)
    axes.set_ylim(-max(len(names), 8) + 0.5, 0.6)
    axes.set_yticks([])
    _bare(axes, "legal actions")


def _candidates(axes: Any, problem: "Problem", flat: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:
    """A row per candidate, each entry shaded by its share of the largest; those that may be chosen have a dot."""
    entries = flat.reshape(problem.window, -1)
    shade = np.abs(entries) / np.maximum(np.abs(entries).max(0), 1e-12)
    axes.imshow(shade, cmap="Blues", vmin=0, vmax=1.3, aspect="auto")
    axes.set_xticks(range(entries.shape[1]), [field.name for field in problem.candidates], rotation=60, fontsize=7, ha="right")
    axes.set_yticks(range(problem.window), [f"{m} \u25cf" if mask[m] else f"{m}" for m in range(problem.window)], fontsize=7)
    others = [name for name, legal in zip(problem.actions[problem.window :], mask[problem.window :], strict=True) if legal]
    axes.set_title("candidates" + (f"; legal: {', '.join(others)}" if others else ""), fontsize=9, color=FAINT)


def _ledger(axes: Any, view: View, most: int = 14) -> None:
    """The largest quantities so far."""
    booked = [k for k in np.argsort(-np.abs(view.ledger), kind="stable") if view.ledger[k] != 0][:most]
    for line, k in enumerate(booked):
        axes.text(0.0, -line, view.columns[k].replace("_", " "), va="center", fontsize=8, color=INK)
        axes.text(1.0, -line, f"{view.ledger[k]:,.4g}", va="center", ha="right", fontsize=8, color=INK)
    axes.set_ylim(-max(len(booked), 8) + 0.5, 0.6)
    axes.set_yticks([])
    _bare(axes, "so far")


def _bare(axes: Any, title: str) -> None:
    axes.set_title(title, fontsize=9, color=FAINT, loc="left")
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
