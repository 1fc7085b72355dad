"""A picture of the desk at a decision: the request at hand, automation, and each team with its people and its queue."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.checks import UNLIMITED
from pointsman.envs.dispatch import kernel
from pointsman.envs.dispatch.params import DAYS

INK, FAINT, FREE, BUSY, OUT = "#1f2933", "#9aa5b1", "#ffffff", "#2a78b5", "#c0392b"
SHOWN = 24
"""Places of a queue, of a team or of automation that are drawn; of what lies beyond there is a count."""
OLD = 10.0
"""Minutes of waiting at which a request in a queue is drawn darkest."""


def render(problem: Any, view: Any) -> NDArray[np.uint8]:
    """The state of a row as uint8 [height, width, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    p, config, state = problem.params, problem.config, view.state
    classes, teams = list(config["classes"]), list(config["teams"])
    figure = Figure(figsize=(8.0, 1.8 + 0.9 * len(teams)), dpi=80)
    canvas = FigureCanvasAgg(figure)
    axis = figure.add_axes((0, 0, 1, 1))
    top = 1.9 + len(teams)
    axis.set(xlim=(0, 10), ylim=(0, top))
    axis.axis("off")
    picked = int(state.picked)
    clock = state.clock
    day, hour, minute = DAYS[int(clock // 1440) % 7], int(clock // 60) % 24, int(clock) % 60
    axis.text(0.2, top - 0.4, f"{day} {hour:02d}:{minute:02d}", fontsize=15, color=INK, weight="bold", va="center")
    axis.text(9.8, top - 0.4, problem.id, fontsize=10, color=FAINT, ha="right", va="center")
    _request(axis, top - 1.2, problem, state, picked, classes)
    _automation(axis, top - 1.2, p, state)
    for j, name in enumerate(teams):
        y = top - 2.3 - j
        people, busy, waiting = (int(x[j]) for x in (state.on_duty, state.busy, state.waiting))
        deciding = picked == 1 + j
        axis.text(0.2, y + 0.3, name.replace("_", " "), fontsize=10, color=INK, va="center")
        axis.text(
            0.2, y - 0.05, f"{busy + deciding} of {max(people, busy + deciding)} busy", fontsize=8, color=FAINT, va="center"
        )
        for k in range(min(max(people, busy + deciding), SHOWN)):
            colour = BUSY if k < busy else ("#f0b429" if deciding and k == busy else FREE)
            _dot(axis, 1.9 + 0.27 * (k % 12), y + 0.3 - 0.3 * (k // 12), colour)
        ages = clock - state.queue[j, : min(waiting, SHOWN), kernel.ENTERED]
        for k, age in enumerate(ages):
            _box(axis, 5.5 + 0.27 * (k % 14), y + 0.3 - 0.3 * (k // 14), min(max(age, 0.0) / OLD, 1.0))
        oldest = f", oldest {max(ages[0], 0.0):.0f} min" if waiting else ""
        axis.text(5.38, y - 0.32, f"{waiting} waiting{oldest}", fontsize=8, color=FAINT, va="center")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


def _request(axis: Any, y: float, problem: Any, state: Any, picked: int, classes: list[str]) -> None:
    """The request at hand: its class, and its score as a bar."""
    kind = int(state.held[kernel.HELD_KIND] if picked else state.request.kind)
    score = 1.0 if picked else float(state.request.score)
    what = f"picked up, easy: {problem.actions[picked]} decides" if picked else "arrives"
    name = f"{classes[kind]} " if len(classes) > 1 else "request "
    axis.text(0.2, y + 0.25, name.replace("_", " ") + what, fontsize=10, color=INK, va="center")
    axis.barh(y - 0.15, 3.0, 0.22, left=0.2, color="#e4e7eb")
    axis.barh(y - 0.15, 3.0 * score, 0.22, left=0.2, color="#3f9142")
    axis.text(3.3, y - 0.15, f"{score:.2f} easy", fontsize=8, color=FAINT, va="center")


def _automation(axis: Any, y: float, p: Any, state: Any) -> None:
    """Automation: what is in it, of what it holds, or that it is out."""
    inside, out = int(state.in_automation), bool(state.outages & 1)
    limited = p.automation_capacity < UNLIMITED
    places = min(p.automation_capacity if limited else inside, SHOWN)
    label = "automation: out" if out else f"automation: {inside}" + (f" of {p.automation_capacity}" if limited else "")
    axis.text(5.38, y + 0.25, label, fontsize=10, color=OUT if out else INK, va="center")
    for k in range(places):
        _dot(axis, 5.5 + 0.27 * (k % 14), y - 0.1 - 0.3 * (k // 14), OUT if out else (BUSY if k < inside else FREE))


def _dot(axis: Any, x: float, y: float, colour: str) -> None:
    axis.plot(x, y, "o", markersize=11, markerfacecolor=colour, markeredgecolor=INK, markeredgewidth=0.8)


def _box(axis: Any, x: float, y: float, age: float) -> None:
    """A waiting request, from pale yellow to dark red with its age."""
    pale, dark = np.array([255, 243, 196]) / 255, np.array([171, 9, 30]) / 255
    axis.plot(
        x, y, "s", markersize=10, markerfacecolor=tuple(pale + age * (dark - pale)), markeredgecolor=INK, markeredgewidth=0.8
    )
