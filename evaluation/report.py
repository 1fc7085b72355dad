"""report.html: one self-contained file with what was found, how sure it is, and how it was obtained."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from rich.table import Table

from pointsman.evaluation import plots
from pointsman.evaluation.compare import Comparison
from pointsman.evaluation.curves import Band
from pointsman.evaluation.shown import cost_table, kpi_table, words
from pointsman.evaluation.understand import Understanding, in_words

STYLE = """
body { font: 15px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: #1c2530; background: #fff;
  max-width: 1080px; margin: 2.5rem auto; padding: 0 1.2rem }
h1 { font-size: 1.7rem; margin-bottom: .2rem } h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; border-bottom: 1px solid #e4e8ec }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem } .lead { font-size: 1.08rem } .lead p { margin: .25rem 0 } .note { color: #5c6875 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; margin: .6rem 0 }
th, td { padding: .22rem .8rem; text-align: right; border-bottom: 1px solid #e4e8ec } th { color: #5c6875; font-weight: 600 }
th:first-child, td:first-child { text-align: left } tr.bold td { font-weight: 700 } tr.cyan td { color: #2e7d4f }
ol.rules { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .86rem; line-height: 1.7 }
ol.rules b { color: #c8642b } svg { max-width: 100%; height: auto; display: block }
.scroll { overflow-x: auto } pre { background: #f6f7f8; padding: .8rem; font-size: .8rem; overflow-x: auto }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; font-size: .9rem }
dt { color: #5c6875 } dd { margin: 0 }
@media print { body { max-width: none; margin: 0 } h2 { break-after: avoid } svg, table { break-inside: avoid } }
"""


class Evidence(NamedTuple):
    """All that is shown of one problem; what is None or empty is left out."""

    found: Comparison
    bands: Mapping[str, Band] = {}  # cost over training, by learner
    levels: Mapping[str, float] = {}  # of the rules and the optimum in training
    stress: Mapping[str, Comparison] = {}
    says: Mapping[str, str] = {}
    understanding: Understanding | None = None
    tables: Sequence[Table] = ()  # further ones, such as that of the assumptions
    words: Sequence[str] = ()  # further conclusions


def figures(evidence: Evidence) -> dict[str, Figure]:
    """The pictures by name; each must be saved or closed by who asked for it."""
    found = evidence.found
    drawn = {"costs": plots.costs(found), "headroom": plots.headroom(found), "differences": plots.differences(found)}
    if evidence.bands:
        drawn["learning"] = plots.learning(evidence.bands, evidence.levels, f"cost per {found.problem.time_unit}")
    if evidence.stress:
        drawn["stress"] = plots.stress_matrix(evidence.stress, evidence.says, found.ordered(), found.best_rule)
    known = evidence.understanding
    if known is not None and known.maps:
        drawn["actions"] = plots.action_maps(known.maps, known.actions, known.reference)
    return drawn


def write(
    folder: Path, title: str, several: Sequence[Evidence], facts: Mapping[str, str], config: str, overview: Any = ()
) -> Path:
    """report.html and every figure as PNG (one folder per problem where there are several) -> path of the report."""
    parts = [f"<h1>{escape(title)}</h1>", _overview(overview)]
    for evidence in several:
        one = len(several) == 1
        drawn = figures(evidence)
        for name, figure in drawn.items():
            plots.save(figure, (folder if one else folder / evidence.found.problem.id.replace("/", "_")) / f"{name}.png")
        parts += _problem(evidence, {name: plots.svg(figure) for name, figure in drawn.items()}, one)
    parts += ["<h2 id='provenance'>How this was obtained</h2>", facts_list(facts)]
    parts += [f"<details><summary>Configuration</summary><pre>{escape(config)}</pre></details>"]
    return write_page(folder / "report.html", title, parts)


def write_page(file: Path, title: str, parts: Sequence[str]) -> Path:
    """An HTML file of these parts that refers to nothing outside -> its path."""
    text = f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title>"
    text += "<meta name='viewport' content='width=device-width'><link rel='icon' href='data:,'>"
    text += f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def _overview(overview: Iterable[Any]) -> str:
    """Tables and sentences that stand before the problems."""
    return "".join(table(part) if isinstance(part, Table) else f"<p class='lead'>{escape(str(part))}</p>" for part in overview)


def _problem(evidence: Evidence, drawn: Mapping[str, str], alone: bool) -> list[str]:
    """Sections of one problem; ids are prefixed by the problem where there are several."""
    found, known = evidence.found, evidence.understanding
    prefix = "" if alone else f"{found.problem.id}-"

    def section(name: str, heading: str, *content: str) -> str:
        return f"<h2 id='{escape(prefix + name)}'>{escape(heading)}</h2>" + "".join(content)

    lead = "".join(f"<p>{escape(line)}</p>" for line in [*words(found), *evidence.words])
    parts = [section("result", f"{found.problem.id}: the result", f"<div class='lead'>{lead}</div>", table(cost_table(found)))]
    parts += [drawn["costs"], section("headroom", "Headroom", drawn["headroom"])]
    parts += [section("differences", "Episode by episode, on the same records", drawn["differences"])]
    parts += [section("kpis", "Key figures", table(kpi_table(found), caption=False))]
    if "learning" in drawn:
        seeds = "; bands: 95 % over training seeds" if found.seeds(found.learned) > 1 else ""
        parts += [section("learning", f"Learning curves{seeds}", drawn["learning"])]
    if "stress" in drawn:
        note = f"Cost beside that of {found.best_rule} in the same world; policies left as they are. Grey: may be chance."
        parts += [section("stress", "Under stress", f"<p class='note'>{escape(note)}</p>", drawn["stress"])]
    parts += [table(extra) for extra in evidence.tables]
    if known is not None:
        if "actions" in drawn:
            parts += [section("actions", "What it does, where it goes", drawn["actions"])]
        lines = "".join(f"<p>{escape(line)}</p>" for line in in_words(known, found.learned, found.best_rule, found.problem))
        parts += [section("rules", "Nearly the same as rules", lines, _rules(known))]
    return parts


def _rules(known: Understanding) -> str:
    rows = [f"<li>{escape(r.when)}: <b>{escape(r.action)}</b> ({100 * r.share:.1f} %)</li>" for r in known.rules]
    return f"<ol class='rules'>{''.join(rows)}</ol><p class='note'>In brackets: share of the decisions.</p>"


def table(shown: Table, caption: bool = True) -> str:
    """A table for the terminal as one of HTML."""
    head = "".join(f"<th>{escape(str(column.header))}</th>" for column in shown.columns)
    cells = [[_plain(cell) for cell in column.cells] for column in shown.columns]
    rows = "".join(
        f"<tr class='{escape(str(row.style or ''))}'>" + "".join(f"<td>{escape(column[k])}</td>" for column in cells) + "</tr>"
        for k, row in enumerate(shown.rows)
    )
    title = f"<p class='note'>{escape(str(shown.title))}</p>" if shown.title and caption else ""
    return f"{title}<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"


def _plain(cell: Any) -> str:
    return getattr(cell, "plain", None) or str(cell)


def facts_list(facts: Mapping[str, str]) -> str:
    """Facts by name, as a list of HTML."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return f"<dl>{rows}</dl>"
