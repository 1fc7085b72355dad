"""What an off-policy evaluation found, as a table, sentences, figures, and one HTML file."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from pointsman.evaluation import plots
from pointsman.evaluation.ope.deterministic import Bounds, Plan, Replay, Truth
from pointsman.evaluation.ope.estimators import ESTIMATORS
from pointsman.evaluation.ope.values import joint_names
from pointsman.evaluation.ope.verdict import REFUSED, Evaluation
from pointsman.evaluation.report import facts_list, table, write_page
from pointsman.evaluation.statistics import Interval

WORDS = {"decision": "reward per decision", "episode": "reward per episode"}


def measure(found: Evaluation) -> str:
    """What is estimated, in words."""
    side = found.question.log.sidecar
    if found.question.objective == "rate":
        return f"reward per {side.time_unit}"
    discounted = found.question.objective == "episode" and side.discount < 1
    return ("discounted " if discounted else "") + WORDS[found.question.objective]


def estimates_table(found: Evaluation, truth: Interval | None = None) -> Table:
    """All estimates with their intervals; the one that bears the verdict in bold."""
    shown = Table(title=f"{measure(found)}; 95 % intervals; differences to the logging policy are paired", title_justify="left")
    for column in ("estimator", "estimate", "95 %", "difference", "95 %", "bias by truncation", ""):
        shown.add_column(column, justify="left" if column in ("estimator", "") else "right")
    shown.add_row("logging policy", f"{found.logging.estimate:.4g}", _ends(found.logging), "", "", "", "as logged")
    refused = found.verdict == REFUSED
    for name, one in found.estimates.items():
        model = one.family == "model"
        note = one.why or ("extrapolation" if model and refused else "rests on its model" if model else "")
        if refused and not model:
            note = "not to be relied on"
        bears = name == found.primary and not refused
        shown.add_row(
            ESTIMATORS[name].says, f"{one.value:.4g}", _ends(one.interval),
            "" if one.difference is None else f"{one.difference.estimate:+.4g}", _ends(one.difference, "+"),
            "" if one.bias is None else f"{one.bias[0]:+.3g} to {one.bias[1]:+.3g}",
            "bears the verdict" if bears else note, style="bold" if bears else None,
        )  # fmt: skip
    if truth is not None:
        shown.add_row("truth, simulated", f"{truth.estimate:.4g}", _ends(truth), "", "", "", "", style="cyan")
    return shown


def _ends(interval: Interval | None, sign: str = "") -> str:
    return "" if interval is None else f"{interval.low:{sign}.4g} to {interval.high:{sign}.4g}"


def diagnostics_table(found: Evaluation) -> Table:
    """Figures of the weights, and what each must be."""
    d = found.diagnostics
    shown = Table(title="can the log tell?", title_justify="left")
    for column in ("", "value", "what it says"):
        shown.add_column(column, justify="right" if column == "value" else "left")
    rows = [
        ("independent units", f"{d.units}", "episodes, decisions or blocks"),
        (
            "effective sample size",
            f"{d.ess:.1f}",
            f"{100 * d.ess_share:.2g} % of the units, by the expected square of the weights",
        ),
        ("by the weights that occurred", f"{d.sample_ess:.1f}", "optimistic: a sample lacks the large weights that it missed"),
        ("mean weight", f"{d.mean_weight:.3f}", f"must be 1; {d.mean_weight_z:+.1f} standard errors off"),
        (
            "largest weight",
            f"{d.largest_weight:.4g}",
            f"the 1 % of units with the most hold {100 * d.top_share:.0f} % of all weight",
        ),
        (
            "never tried",
            f"{100 * d.unsupported:.3g} %",
            "of the policy's decisions are ones the logging policy never makes there",
        ),
        ("without a choice", f"{100 * d.deterministic:.3g} %", "of the logged decisions had a propensity of 1"),
        ("agreement", f"{100 * d.agreement:.3g} %", "mean probability of the logged action under the policy"),
        ("calibration", f"{d.calibration_z:.1f}", "standard errors between shares of actions and their propensities, the worst"),
        ("inverse propensities", f"{d.inverse_z:+.1f}", "standard errors between their mean and the number of legal actions"),
    ]
    for row in rows:
        shown.add_row(*row)
    return shown


def words(found: Evaluation) -> list[str]:
    """The verdict, its reasons, and what else should be known."""
    best, what = found.estimates.get(found.primary), measure(found)
    lines = [f"verdict: {found.verdict}"]
    if found.verdict == REFUSED:
        lines += [f"refused: {reason}" for reason in found.reasons]
    elif best is not None and best.difference is not None:
        gap = best.difference
        lines[0] += f": {what} {gap.estimate:+.4g} beside the logging policy, 95 %: {gap.low:+.4g} to {gap.high:+.4g}"
        lines[0] += f" ({ESTIMATORS[found.primary].says})"
    return lines + [f"note: {note}" for note in found.notes]


def without_weights(bounds: Bounds, plans: Sequence[Plan], replayed: Replay | None, time_unit: str) -> list[str]:
    """What a log without exploration still tells."""
    whose = "declared" if bounds.declared else "seen"
    lines = [
        f"agreement: the policy does what was done in {100 * bounds.agreement:.1f} % of the decisions",
        f"one-step bounds: {bounds.low:.4g} to {bounds.high:.4g} per decision in the states of the log, by the range of rewards "
        f"{whose}; what a decision does to later ones is left out",
    ]
    if replayed is not None and replayed.missed:
        missed = ", ".join(replayed.missed)
        lines.append(f"replay: the simulator does not reproduce the logging policy in {missed}: nothing is replayed")
    elif replayed is not None and replayed.policy is not None and replayed.difference is not None:
        gap = replayed.difference
        lines.append(
            f"replay: in the simulator, which reproduces the logging policy, {replayed.policy.estimate:.4g} per {time_unit}, "
            f"{gap.estimate:+.4g} beside it, 95 %: {gap.low:+.4g} to {gap.high:+.4g}; as good as the simulator is"
        )
    if plans:
        said = ", ".join(f"{100 * plan.epsilon:g} %: {plan.decisions:,} decisions" for plan in plans)
        lines.append(f"logging plan for +-{plans[0].half_width:.3g} per decision, exploring any legal action with {said}")
    return lines


def simulated(found: Evaluation, truth: Truth, logging: str) -> list[str]:
    """What the simulator says of the policy, beside the logging one without its exploration."""
    line = f"truth: {measure(found)} {truth.value.estimate:.4g} in the simulator"
    if truth.difference is not None:
        gap = truth.difference
        line += f", {gap.estimate:+.4g} beside {logging} without exploration, paired, 95 %: {gap.low:+.4g} to {gap.high:+.4g}"
    return [line]


def figures(found: Evaluation, truth: Interval | None = None) -> dict[str, Figure]:
    """The pictures by name."""
    drawn = {"estimates": _estimates(found, truth), "overlap": _overlap(found)}
    if np.isfinite(found.question.log.propensity).all():
        drawn["weights"] = _weights(found)
    return drawn


def _estimates(found: Evaluation, truth: Interval | None) -> Figure:
    names = [name for name, one in found.estimates.items() if np.isfinite(one.value)]
    figure, axes = plt.subplots(figsize=(11, 0.42 * len(names) + 1.7), layout="constrained")
    axes.axvspan(found.logging.low, found.logging.high, color=plots.BEST, alpha=0.12, lw=0)
    axes.axvline(found.logging.estimate, color=plots.BEST, lw=1.4, label="logging policy")
    if truth is not None:
        axes.axvline(truth.estimate, color=plots.OPTIMUM, lw=1.8, ls="--", label="truth, simulated")
    for place, name in enumerate(reversed(names)):
        one = found.estimates[name]
        colour = plots.LEARNED if name == found.primary else plots.RULE
        if one.interval is not None:
            axes.plot(one.interval[1:], [place, place], color=colour, lw=3, solid_capstyle="round")
        axes.plot(one.value, place, "o", color=colour, ms=7, mfc=colour if one.family != "model" else "white")
    axes.set_yticks(range(len(names)), [ESTIMATORS[name].says for name in reversed(names)])
    axes.set_xlabel(f"{measure(found)}; lines: 95 %; hollow: rests on its model alone")
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    plots.tidy(axes, "x")
    return figure


def _weights(found: Evaluation) -> Figure:
    """Left: how much of all weight how few episodes hold. Right: effective sample size over the steps."""
    q = found.question
    last = np.sort(q.cumulative[:, -1])[::-1]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.4), layout="constrained")
    share = np.cumsum(last) / max(last.sum(), 1e-300)
    place = np.unique(np.geomspace(1, len(last), 400).astype(int)) - 1
    left.plot((place + 1) / len(last), share[place], color=plots.LEARNED, lw=2)
    left.plot((place + 1) / len(last), (place + 1) / len(last), color=plots.RULE, lw=1, ls="--", label="if all weighed the same")
    left.set_xscale("log")
    left.set_xlabel("share of the episodes, heaviest first")
    left.set_ylabel("share of all weight")
    left.legend(frameon=False)
    by_step = found.diagnostics.ess_by_step
    if len(by_step) > 1:
        right.plot(np.arange(1, len(by_step) + 1), by_step, color=plots.LEARNED, lw=2)
        right.set_ylim(0, 1.02)
        right.set_xlabel("step")
        right.set_ylabel("effective share of the episodes")
    else:
        some = q.full_ratio > 0
        right.hist(np.log10(q.full_ratio[some]), bins=60, color=plots.LEARNED)
        right.set_xlabel(f"weight of a decision, power of ten; {100 * (~some).mean():.3g} % weigh nothing")
        right.set_ylabel("decisions")
    for axes in (left, right):
        plots.tidy(axes, "y")
    return figure


def _overlap(found: Evaluation, most: int = 40) -> Figure:
    """How often each action was taken, and how often the policy would take it, in the states of the log."""
    q = found.question
    logged = np.bincount(q.log.action, minlength=q.log.actions) / len(q.log)
    wanted = q.target.mean(0)
    shown = np.argsort(-(logged + wanted), kind="stable")[:most]
    names = joint_names(q.log.sidecar)
    figure, axes = plt.subplots(figsize=(11, 3.4), layout="constrained")
    place = np.arange(len(shown))
    axes.bar(place - 0.2, logged[shown], width=0.4, color=plots.BEST, label="logged")
    axes.bar(place + 0.2, wanted[shown], width=0.4, color=plots.LEARNED, label="policy, in the same states")
    axes.set_xticks(place, [names[a] for a in shown], rotation=60 if len(shown) > 8 else 0)
    axes.set_ylabel("share of the decisions")
    axes.legend(frameon=False)
    plots.tidy(axes, "y")
    return figure


def write(
    folder: Path,
    title: str,
    found: Evaluation,
    facts: Mapping[str, str],
    further: Sequence[str] = (),
    truth: Interval | None = None,
) -> Path:
    """report.html and every figure as PNG -> path of the report."""
    drawn = figures(found, truth)
    for name, figure in drawn.items():
        plots.save(figure, folder / f"{name}.png")
    pictures = {name: plots.svg(figure) for name, figure in drawn.items()}
    lead = "".join(f"<p>{escape(line)}</p>" for line in [*words(found), *further])
    parts = [f"<h1>{escape(title)}</h1>", f"<div class='lead'>{lead}</div>"]
    parts += ["<h2 id='estimates'>Estimates</h2>", table(estimates_table(found, truth)), pictures["estimates"]]
    parts += ["<h2 id='log'>Can the log tell?</h2>", table(diagnostics_table(found)), pictures.get("weights", "")]
    parts += ["<h2 id='overlap'>Overlap</h2>", pictures["overlap"], "<h2 id='provenance'>How this was obtained</h2>"]
    parts += [facts_list(facts)]
    return write_page(folder / "report.html", title, parts)
