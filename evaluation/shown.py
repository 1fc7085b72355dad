"""A comparison in tables and in plain words, as commands print it and reports show it."""

from rich.table import Table

from pointsman.evaluation.compare import Comparison
from pointsman.evaluation.statistics import Interval, verdict


def cost_table(found: Comparison) -> Table:
    """Costs, dearest policy first and the optimum last; differences are paired."""
    best, unit = found.best_rule, found.problem.time_unit
    title = f"{found.problem.id}: {len(found.elapsed)} episodes, the same records for every policy"
    title += f"; {found.learned}: {found.seeds(found.learned)} training seeds" if found.seeds(found.learned) > 1 else ""
    headings = [f"cost per {unit}", "95 % interval", f"minus {best}", "95 % interval"]
    headings += (["exact"] if found.exact else []) + ["illegal"]
    shown = Table("policy", title=title, title_justify="left")
    for heading in headings:
        shown.add_column(heading, justify="right")
    for name in found.ordered():
        own, against = found.rate(name), found.difference(name, best)
        relative = ["", ""] if name == best else [f"{against.estimate:+.4f}", _span(against)]
        exact_cost = [f"{found.exact[name]:.5f}"] if found.exact else []
        cells = [name, f"{own.estimate:.4f}", _span(own), *relative, *exact_cost, str(found.illegal(name))]
        shown.add_row(*cells, style=_style(found, name))
    return shown


def kpi_table(found: Comparison) -> Table:
    """Key figures, a column per policy in the order of the costs."""
    kpis = {name: found.kpis(name) for name in found.ordered()}
    shown = Table(title="Key figures", title_justify="left")
    shown.add_column("")
    for name in kpis:
        shown.add_column(name, justify="right", style=_style(found, name), overflow="fold")
    for kpi in (found.per_unit, *found.problem.kpis):
        unit = getattr(found.problem.kpis.get(kpi), "unit", "")
        cells = [_short(values[kpi]) for values in kpis.values()]
        shown.add_row(kpi.replace("_", " ") + (f", {unit}" if unit else ""), *cells)
    return shown


def words(found: Comparison) -> list[str]:
    """The result in plain words, a sentence or two per line: the verdict and the headroom first."""
    return [verdict_of(found), headroom_of(found), *_in_the_long_run(found), *_without_end(found), _what_intervals_hold(found)]


def verdict_of(found: Comparison) -> str:
    """Does the learned policy beat the best tuned rule?"""
    learned, rule, beside = found.learned, found.best_rule, found.relative(found.learned, found.best_rule)
    percent = 100 * beside.estimate
    said = {
        "better": f"{learned} costs {-percent:.2f} % less than the best tuned rule, {rule}.",
        "worse": f"{learned} does not beat the best tuned rule: it costs {percent:.2f} % more than {rule}.",
        "inconclusive": f"{learned} is not shown to beat the best tuned rule, {rule}: "
        f"the difference of {percent:+.2f} % may be chance.",
    }
    return said[verdict(beside)]


def headroom_of(found: Comparison) -> str:
    """How much less than the best rule the optimum costs, and how much of that the learned policy gains."""
    room, gap = found.room(), found.headroom()
    if room is None:
        return "Headroom: the optimum of this problem is not known, so the share of the gap closed is not either."
    share = -100 * room.estimate
    if gap is None or room.high >= 0:
        return f"Headroom: {share:.2f} %, not told from none; a share of it closed would mean nothing."
    return (
        f"Headroom: the optimum costs {share:.2f} % less than {found.best_rule}; {found.learned} closes "
        f"{100 * gap.estimate:.0f} % of it (95 %: {100 * gap.low:.0f} to {100 * gap.high:.0f} %)."
    )


def _in_the_long_run(found: Comparison) -> list[str]:
    """What the exact chain says, where the optimum is known by it."""
    if "optimum" not in found.exact:
        return []
    rule, best, closed = min(found.rules, key=found.exact.__getitem__), found.exact["optimum"], found.exact_headroom()
    above = [f"{100 * (found.exact[name] - best) / abs(best):.2f} %" for name in (rule, found.learned)]
    line = f"By the exact chain, in the long run: {rule} costs {above[0]} more than the optimum, {found.learned} {above[1]}"
    return [line + ("." if closed is None else f"; it closes {100 * closed:.0f} % of that gap.")]


def _without_end(found: Comparison) -> list[str]:
    """A line per policy whose queues grow."""
    growing = [name for name in found.rollouts if found.grows(name)]
    return [f"The cost of {name} grows without end: its average only says how long the episodes are." for name in growing]


def _what_intervals_hold(found: Comparison) -> str:
    seeds = found.seeds(found.learned)
    if seeds > 1:
        return f"Intervals of {found.learned} are over {seeds} training seeds and the episodes."
    return f"All intervals are over episodes: they do not hold what another training seed of {found.learned} would do."


def _style(found: Comparison, name: str) -> str | None:
    return "bold" if name == found.learned else ("cyan" if name == "optimum" else None)


def _span(interval: Interval) -> str:
    return f"[{interval.low:.4f}, {interval.high:.4f}]"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
