"""make benchmark: how fast environments, training, evaluation and solver are here, beside their like, in one run.

Processor time is what counts, on one core, since others on the machine do not share it; speeds are of that core.
"""

import argparse
import sys
from datetime import datetime
from functools import partial
from pathlib import Path

from pointsman.scripts.bench.evaluation import evaluation
from pointsman.scripts.bench.measure import Budget
from pointsman.scripts.bench.race import compare
from pointsman.scripts.bench.report import write
from pointsman.scripts.bench.scaling import scaling
from pointsman.scripts.bench.steps import steps
from pointsman.scripts.bench.training import training

PARTS = {"steps": steps, "training": training, "scaling": scaling, "evaluation": evaluation, "race": compare}


def tell(part: str, what: str) -> None:
    """Say on stderr what is measured now, so that stdout holds results only."""
    print(f"{part}: {what}", file=sys.stderr)


def main() -> None:
    """Measure, print the tables, and leave them in a folder."""
    parser = argparse.ArgumentParser(description="Measure speed here; tables go to stdout and into a folder.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure; all unless said")
    parser.add_argument("--repeats", type=int, default=5, help="trials of each measurement")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual sizes; small ones only show that it runs")
    parser.add_argument("--output", type=Path, default=None, help="folder; logs/benchmark/<time> unless said")
    given = parser.parse_args()
    if given.repeats < 1 or not 0 < given.share <= 1:
        parser.error("--repeats must be at least 1, and --share above 0 and at most 1")
    rows = []
    for part in given.parts:
        rows += PARTS[part](Budget(given.repeats, given.share), partial(tell, part))
    file = write(rows, given.output or Path(f"logs/benchmark/{datetime.now():%Y%m%d-%H%M%S}"))
    print(file.read_text(), end="")
    print(f"tables and plot: {file.parent}")


if __name__ == "__main__":
    main()
