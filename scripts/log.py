"""pointsman-log validate <file>: every violation of a decision log, with the number of its row."""

import argparse
import sys
from pathlib import Path

from pointsman.errors import PointsmanError


def validate(path: Path, output: Path | None) -> int:
    """Print every violation, or write all of them to a CSV file; status 0 if there are none, else 1."""
    from pointsman.evaluation.ope.read import check
    from pointsman.evaluation.ope.violations import summary

    checked = check(path)
    if output is not None:
        checked.violations.to_csv(output, index=False)
    else:
        for row, column, value, why, effect in checked.violations.itertuples(index=False):
            where = f"row {row}" if row else "file"
            print(f"{where}: {column} {why}; '{value}'; {effect}" if column else f"{where}: {why}; '{value}'; {effect}")
    kept = "no whole episode is left"
    if checked.log is not None:
        kept = f"{len(checked.log)} decisions in {checked.log.episodes} episodes can be used"
        for reason in checked.log.trouble:
            print(f"no verdict can rest on this log: {reason}")
    print(f"{path}: {checked.rows} rows; {kept}; {summary(checked.violations)}")
    return 0 if checked.sound else 1


def main() -> None:
    """Entry point of the console script."""
    parser = argparse.ArgumentParser(prog="pointsman-log", description="Check decision logs; the format is in docs/offline.md.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("validate", help="list every violation, with row numbers; status 0 none, 1 some, 2 not readable")
    one.add_argument("file", type=Path)
    one.add_argument("--output", type=Path, default=None, help="CSV file for the violations, instead of printing them")
    given = parser.parse_args()
    try:
        status = validate(given.file, given.output)
    except (PointsmanError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        status = 2
    sys.exit(status)


if __name__ == "__main__":
    main()
