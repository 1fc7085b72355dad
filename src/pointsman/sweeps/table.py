"""What a sweep shows while it runs: jobs, their states, the best so far, time left."""

import sys
import time
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

SHOWN = 24
COLOURS = {"finished": "green", "failed": "red", "pruned": "yellow", "lost": "red", "running": "cyan", "interrupted": "yellow"}


class SweepTable:
    """A live table on stderr; where that is no terminal, a line for every job that ends.

    Args:
        total: how many jobs there will be in all.
    """

    def __init__(self, total: int):
        self._total, self._begun, self._rows = total, time.monotonic(), dict[str, dict[str, Any]]()
        self._console = Console(file=sys.stderr)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True, get_renderable=self._drawn)

    def __enter__(self) -> "SweepTable":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()
        self._console.print(self._drawn(every=True))

    def update(self, name: str, facts: dict[str, Any]) -> None:
        """Show what is known of a job."""
        row = self._rows.setdefault(name, {"begun": time.monotonic(), "state": "running"})
        ended = facts.get("state", "running") != "running" and row["state"] == "running"
        row |= facts
        if ended:
            row["took"] = time.monotonic() - row["begun"]
            if not self._console.is_terminal:
                cost = f", cost {row['cost']:.6g}" if "cost" in row else ""
                self._console.print(f"{row['state']}: {name}{cost}{_reason(row)}", soft_wrap=True, highlight=False)

    def best(self) -> tuple[str, float] | None:
        """The finished job of least cost."""
        done = [(row["cost"], name) for name, row in self._rows.items() if row["state"] == "finished" and "cost" in row]
        return (min(done)[1], min(done)[0]) if done else None

    def left(self) -> float | None:
        """Seconds that the rest will take at the pace so far, jobs under way counting by the share that is done."""
        work = sum(1.0 if row["state"] != "running" else row.get("share", 0.0) for row in self._rows.values())
        return (time.monotonic() - self._begun) * (self._total - work) / work if work else None

    def _drawn(self, every: bool = False) -> Any:
        table = Table(box=None, pad_edge=False)
        for heading in ("job", "state", "", "cost", "time"):
            table.add_column(heading, justify="right" if heading in ("cost", "time") else "left", overflow="fold")
        rows = list(self._rows.items())
        if not every and len(rows) > SHOWN:  # those under way, and the last of the others
            running = [row for row in rows if row[1]["state"] == "running"]
            rows = ([row for row in rows if row[1]["state"] != "running"] + running)[-SHOWN:]
        common = set.intersection(*(set(name.split("+")) for name in self._rows)) if len(self._rows) > 1 else set()
        for name, row in rows:
            name = " ".join(part for part in name.split("+") if part not in common)
            share, state = 1.0 if row["state"] == "finished" else row.get("share", 0.0), row["state"]
            cost = f"{row['cost']:.6g}" if "cost" in row else ""
            took = _clock(row.get("took", time.monotonic() - row["begun"]))
            label = Text(state, COLOURS.get(state, "")) + Text(_reason(row))
            table.add_row(name, label, ProgressBar(1.0, share, width=20), cost, took)
        count = {state: sum(row["state"] == state for row in self._rows.values()) for state in COLOURS}
        told = ", ".join(f"{n} {state}" for state, n in count.items() if n)
        best, left = self.best(), self.left()
        words = f"{len(self._rows)} of {self._total} jobs: {told or 'none yet'}"
        words += f"; least cost {best[1]:.6g}: {best[0]}" if best else ""
        words += f"; about {_clock(left)} left" if left and not every else ""
        return Group(table, Text(words, "bold"))


def _reason(row: dict[str, Any]) -> str:
    return f" ({row['error']})" if "error" in row else ""


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
