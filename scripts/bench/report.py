"""The benchmark as markdown that a README can quote."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

from pointsman.scripts.bench.measure import Row

EXPLAINED = (
    "Times are processor time, in the race by the clock; medians, with the lowest and the highest of the trials in brackets."
)
LIBRARIES = ("numpy", "numba", "torch", "gymnasium", "stable-baselines3")


def machine() -> str:
    """Processor and versions, in one line."""
    from pointsman.evaluation.provenance import processor

    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    python = f"Python {platform.python_version()}"
    return f"{platform.machine()}, {os.cpu_count()} cores, {processor()}; pointsman {version('pointsman')}, {python}, {libraries}"


def markdown(rows: list[Row]) -> str:
    """Tables by part, each line with the median of its trials and their range."""
    lines = [machine(), "", EXPLAINED]
    for part in dict.fromkeys(row.part for row in rows):
        mine = [row for row in rows if row.part == part]
        lines += ["", f"| {part} | median | range | trials | |", "|---|---:|---:|---:|---|"]
        for row in mine:
            middle, low, high = (_shown(value) for value in (row.median, min(row.values), max(row.values)))
            lines.append(f"| {row.what} | {middle} {row.unit} | [{low}, {high}] | {len(row.values)} | {row.note} |")
    return "\n".join(lines) + "\n"


def write(rows: list[Row], folder: Path) -> Path:
    """benchmark.md and, where scaling was measured, scaling.png."""
    from pointsman.scripts.bench.scaling import draw

    folder.mkdir(parents=True, exist_ok=True)
    text = markdown(rows)
    if any(row.part == "scaling" for row in rows):
        draw(rows, folder / "scaling.png")
        text += "\n![time per batch step by doublings](scaling.png)\n"
    (folder / "benchmark.md").write_text(text)
    return folder / "benchmark.md"


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
