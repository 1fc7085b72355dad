"""make results: the tables of docs/results.md made afresh, row by row.

    python scripts/results.py [row or family ...]

docs/results.yaml lists the rows. What a row found and took is kept in docs/results.csv, from which the tables are written.
Runs are below logs/results; those that are finished are not made again, so what was interrupted goes on where it was.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pointsman.errors import PointsmanError
from pointsman.files import write_whole
from pointsman.scripts.results_page import Row, read, write

ROOT = Path(__file__).resolve().parents[1]
RUNS = Path("logs/results")


@dataclass
class Wanted:
    """A row as docs/results.yaml lists it."""

    train: str = MISSING  # arguments of pointsman-train
    seeds: int = 1  # of training: 0, 1, ...
    episodes: int = 100
    times: float = 1.0  # by which costs are multiplied: 60 gives those per hour where the problem's are per minute


def processor_seconds() -> float:
    """Of this process and of those that it has started and seen to their end."""
    return sum(os.times()[:4])


def train(name: str, wanted: Wanted) -> list[Path]:
    """Run folders of a row, one per training seed; rules are tuned and the optimum is found in the first alone."""
    folders = []
    for seed in range(wanted.seeds):
        folder = RUNS / name / str(seed)
        arguments = [*shlex.split(wanted.train), "threads=1", f"seed={seed}", f"run_dir={folder}"]
        arguments += ["baselines=false"] if seed else []
        folders.append(folder)
        if finished(folder, arguments):
            continue
        print(f"{name}: training seed {seed}, of {wanted.seeds}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)  # begun again rather than resumed, so that the time is that of the whole
        begun = processor_seconds()
        command = [sys.executable, "-m", "pointsman.scripts.train", *arguments]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise PointsmanError(f"pointsman-train {' '.join(arguments)} ended with status {done.returncode}: {last}")
        write_whole(folder / "seconds", f"{processor_seconds() - begun:.1f}\n")
    return folders


def finished(folder: Path, arguments: list[str]) -> bool:
    """Does the folder hold a finished run of this very command?"""
    if not (folder / "seconds").is_file():
        return False
    return bool(made(folder)["command"] == " ".join(["train.py", *arguments]))


def made(folder: Path) -> dict[str, str]:
    """What a run's made.json says."""
    found: dict[str, str] = json.loads((folder / "made.json").read_text())
    return found


def score(folders: list[Path], episodes: int, times: float) -> Row:
    """What the runs of a row found, all seeds together, as pointsman-compare finds it; costs are `times` those of the problem."""
    from pointsman.agents.log import bar
    from pointsman.cli import single_threaded
    from pointsman.evaluation import many
    from pointsman.evaluation.runfolder import RunFolder

    single_threaded()
    (group,) = many.groups([RunFolder(folder) for folder in folders])
    with bar() as progress:
        (found,) = many.compare(group, episodes, 0, progress).values()
    return cells(found, times)


def cells(found: Any, times: float = 1.0) -> Row:
    """A comparison in the cells of a row: exact long-run costs where they are known, else simulated ones."""
    names, learned, episodes = found.ordered(), found.learned, len(found.elapsed)
    exact = found.exact
    costs = exact or {name: found.rate(name).estimate for name in names}
    rule, best = min(found.rules, key=costs.__getitem__), costs.get("optimum")
    seeds = f"{found.seeds(learned)} seeds" if found.seeds(learned) > 1 else "seed 0"
    if best is None:
        beside, room, gap = found.relative(learned, rule), None, "not known"
        percent = [f", {100 * beside.estimate:+.1f} % beside the rule [{100 * beside.low:.1f}, {100 * beside.high:.1f}]", ""]
    else:
        room, gap = (None, found.exact_headroom()) if exact else (found.room(), found.headroom())
        above = {name: round(100 * (costs[name] - best) / abs(best), 3) + 0.0 for name in (learned, rule)}  # no -0.000
        percent = [f", {above[name]:+.3f} % above" for name in (learned, rule)]
        if above[rule] < 0.005 or (room is not None and room.high >= 0) or gap is None:
            gap = "none to close"
        else:
            share = gap if exact else gap.estimate
            gap = f"{100 * share:.0f} %" if share > 0 else "negative"
    shown = {name: f"{times * costs[name]:.6g}" for name in names}
    how = f"{seeds}, {'exact' if exact else f'{episodes} episodes'}"
    cell = {"rule": f"{rule}, {shown[rule]}{percent[1]}", "learned": f"{shown[learned]}{percent[0]} ({how})", "gap_closed": gap}
    cell["costs"] = "; ".join(f"{name} {shown[name]}" for name in names)
    return cell | ({"optimum": f"{times * found.optimum:.6g}"} if found.optimum is not None else {})


def remake(name: str, wanted: Wanted, before: Row) -> Row:
    """A row made afresh, or as it was if its runs are finished and scored; a bound, which no run finds, is kept."""
    folders = train(name, wanted)
    facts = made(folders[0])
    command = f"pointsman-train {wanted.train} threads=1 seed=0" + (f" … {wanted.seeds - 1}" if wanted.seeds > 1 else "")
    if (before.get("date"), before.get("command")) == (facts["date"], command):
        print(f"{name}: was there", file=sys.stderr)
        return before
    begun = processor_seconds()
    found = {"row": name, "optimum": before.get("optimum") or "not known"}
    found |= score(folders, wanted.episodes, wanted.times)
    seconds = sum(float((folder / "seconds").read_text()) for folder in folders) + processor_seconds() - begun
    print(f"{name}: {found['learned']}; {seconds:.0f} s of processor time", file=sys.stderr)
    kept = {key: facts[key] for key in ("date", "commit", "versions", "machine")}
    return found | kept | {"took": f"{seconds:.0f} s", "command": command}


def load(file: Path) -> dict[str, Any]:
    """The rows that are listed, by name, each with the keys of Wanted."""
    return {str(name): OmegaConf.merge(OmegaConf.structured(Wanted), row) for name, row in OmegaConf.load(file).items()}


def chosen(rows: Any, names: list[str]) -> list[str]:
    """Rows that are named, each by its name or by the beginning of it up to a slash; all of them if none is."""
    unknown = [name for name in names if not any(f"{row}/".startswith(f"{name}/") for row in rows)]
    if unknown:
        raise PointsmanError(f"no row {unknown[0]}; there are {', '.join(rows)}")
    return [row for row in rows if not names or any(f"{row}/".startswith(f"{name}/") for name in names)]


def main() -> None:
    """Make the rows that are asked for, and write the tables after each; status 2 if one failed."""
    parser = argparse.ArgumentParser(description="Train, score and write down the rows of docs/results.md.")
    parser.add_argument("rows", nargs="*", help="names of docs/results.yaml, or families such as dispatch; all unless said")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder of results.yaml, results.csv and results.md")
    given = parser.parse_args()
    status = 0
    try:
        listed, rows = load(given.docs / "results.yaml"), read(given.docs / "results.csv")
        for name in chosen(listed, given.rows):
            try:
                rows[name] = remake(name, listed[name], rows.get(name, {}))
                write(given.docs, rows)
            except Exception as error:  # hours of other rows must not be lost for one
                print(f"{name}: failed: {error}", file=sys.stderr)
                status = 2
    except (PointsmanError, OmegaConfBaseException, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        status = 130
    sys.exit(status)


if __name__ == "__main__":
    main()
