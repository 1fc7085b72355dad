"""Rows of results as a table of csv, and the page whose tables are written from them."""

import csv
import re
from pathlib import Path

from pointsman.errors import PointsmanError
from pointsman.files import write_whole

COLUMNS = ["row", "optimum", "rule", "learned", "gap_closed", "costs", "took", "date", "commit", "versions", "machine", "command"]
HEADINGS = {"row": "preset", "optimum": "optimum or bound", "rule": "best tuned rule", "learned": "PPO"}
HEADINGS |= {"gap_closed": "gap closed", "took": "took", "date": "date", "command": "command"}

Row = dict[str, str]
"""Cells by column, as they are shown."""


def read(file: Path) -> dict[str, Row]:
    """The rows that are known, by name."""
    if not file.is_file():
        return {}
    with open(file, newline="", encoding="utf-8") as text:
        return {row["row"]: row for row in csv.DictReader(text)}


def write(docs: Path, rows: dict[str, Row]) -> None:
    """Keep the rows, and write the tables of the page from them."""
    with open(docs / "results.csv", "w", newline="", encoding="utf-8") as text:
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows.values())
    page = docs / "results.md"
    write_whole(page, filled(page.read_text(encoding="utf-8"), rows))


def filled(page: str, rows: dict[str, Row]) -> str:
    """The page with its tables: of a family after `<!-- rows FAMILY -->`, of policies' costs after `<!-- costs ROW ROW -->`."""
    lines, inside = [], False
    for line in page.splitlines():
        inside = inside and line.strip() != "<!-- end -->"
        if inside:
            continue
        lines.append(line)
        kind, *names = line.removeprefix("<!-- ").removesuffix(" -->").split() or [""]
        if line.startswith("<!-- ") and kind in ("rows", "costs"):
            inside = True
            lines += ["", *(table_of_rows(rows, names[0]) if kind == "rows" else table_of_costs(rows, names)), ""]
    if inside:
        raise PointsmanError("results.md: a table is not closed by a line <!-- end -->")
    return "\n".join(lines) + "\n"


def table_of_rows(rows: dict[str, Row], family: str) -> list[str]:
    """Markdown, a line per row of a family."""
    lines = [markdown(list(HEADINGS.values())), rule(len(HEADINGS))]
    for row in rows.values():
        if row["row"].split("/")[0] == family:
            shown = row | {"row": f"`{row['row']}`", "command": f"`{row['command']}`", "date": row["date"][:10]}
            lines.append(markdown([shown[key] if key in ("row", "command", "date") else minus(shown[key]) for key in HEADINGS]))
    return lines


def table_of_costs(rows: dict[str, Row], names: list[str]) -> list[str]:
    """Markdown, a line per policy and a column per row; the dearest policy of the last row first, and the optimum last."""
    costs = {name: dict(pair.rsplit(" ", 1) for pair in rows[name]["costs"].split("; ")) for name in names if name in rows}
    last = {policy: float(cost) for found in costs.values() for policy, cost in found.items()}
    every = sorted(last, key=lambda policy: (policy == "optimum", -last[policy]))
    lines = [markdown(["policy", *(f"`{name}`" for name in costs)]), rule(1 + len(costs))]
    return lines + [markdown([policy, *(minus(found.get(policy, "")) for found in costs.values())]) for policy in every]


def rule(columns: int) -> str:
    """The line under the headings of a table."""
    return "|---" * columns + "|"


def minus(cell: str) -> str:
    """With the sign that is as wide as a plus."""
    return re.sub(r"(?<![\w-])-(?=\d)", "\N{MINUS SIGN}", cell)


def markdown(cells: list[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"
