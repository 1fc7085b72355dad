"""pointsman-calibrate: read a log, fit an env config, and set its predictions beside a held-out period."""

import sys
from typing import Any

from pointsman.cli import launch


def calibrate(config: Any) -> None:
    """One calibration; the last line printed is `report: <path>`."""
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from pointsman.envs.dispatch.calibrate import fit, provenance, to_yaml
    from pointsman.envs.dispatch.log import load_mapping, read, summary
    from pointsman.envs.dispatch.staffing import periods
    from pointsman.errors import PointsmanError
    from pointsman.evaluation import heldout, heldout_report
    from pointsman.evaluation.rollout import require_seed

    require_seed(config.seed)
    source, mapping, folder = str(config.log), load_mapping(str(config.mapping)), Path(str(config.output))
    if not isinstance(config.weeks, int) or config.weeks < 2:
        raise PointsmanError(f"weeks must be an integer of at least 2, got {config.weeks}")
    folder.mkdir(parents=True, exist_ok=True)
    log = read(source, mapping, config.max_bad_share, folder / "bad_rows.csv")
    training, held = periods(log.table["arrival"], config.fit_from, config.fit_until, config.heldout_until)
    out = Console(width=max(Console().width, 150), soft_wrap=True)
    out.print(f"{len(log.table)} requests for people; {summary(log)}", markup=False)
    with Console(stderr=True).status("fitting") as status:
        show = lambda stage: status.update(f"simulating: {stage}")  # noqa: E731
        fitted = fit(
            log.table, training, mapping.env, weeks=config.weeks, seed=config.seed, progress=show, score_bins=mapping.score.bins
        )
        found = None
        if held is not None and fitted.presence is not None:
            classes = list(fitted.config["classes"])
            table, notes = heldout.as_fitted(log.table, classes)
            fitted.notes.extend(notes)
            sides = heldout.scenarios(fitted, table, training, held, folder / "trace.csv", config.weeks, config.seed, show)
            found = heldout.predictions(heldout.observe(table, held, classes), sides, classes)
    command = " ".join(["pointsman-calibrate", *sys.argv[1:]])
    text = provenance(mapping.provenance, command, training, fitted, log)
    path = folder / "env.yaml"
    path.write_text(to_yaml(fitted.config | {"provenance": text}), encoding="utf-8")
    report = heldout_report.write(folder, fitted.config["id"], log, fitted, training, held, found)
    if fitted.score is not None:
        area = fitted.score.auc
        out.print(
            f"score: area under the ROC curve {area.estimate:.3f} [{area.low:.3f}, {area.high:.3f}], cross-fitted", markup=False
        )
    if held is not None and found is None:
        out.print("nothing is predicted: the log has no waits to compare with", markup=False)
    if found is not None:
        table = Table(title=f"everyone to people, {held}; 95 % prediction intervals, errors")
        for column in ("", f"mean wait, {heldout_report.unit(found)[0]}", "of the answered", "abandonment"):
            table.add_column(column)
        for row in heldout_report.overall(found):
            table.add_row(*row)
        out.print(table)
        for line in heldout.conclusions(found):
            out.print(line, markup=False)
    out.print(f"config: {path}\nreport: {report}", markup=False)


def main() -> None:
    """Entry point of the console script."""
    launch(calibrate, "calibrate")


if __name__ == "__main__":
    main()
