"""Writes the report of a calibration: report.md, predictions.csv and heldout.png in one folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pointsman.envs.dispatch.calibrate import ENOUGH, Fit
from pointsman.envs.dispatch.log import Log, summary
from pointsman.envs.dispatch.score import ScoreFit
from pointsman.envs.dispatch.staffing import Period
from pointsman.envs.dispatch.uncertainty import intervals
from pointsman.evaluation.heldout import DEFINITIONS, JUDGED, conclusions, errors

OBSERVED, FORECAST, REPLAY = "#1f2933", "#2a78b5", "#d9822b"


def write(folder: Path, name: str, log: Log, fitted: Fit, training: Period, heldout: Period | None, found: Any) -> Path:
    """Write everything that is known; `found` are the rows of heldout.predictions, or None. Returns the report's path."""
    lines = [f"# Calibration of {name}", ""]
    lines += [f"{log.rows} rows: {len(log.table)} requests for people, {log.excluded} that never reached them;"]
    lines += [f"{summary(log)} (all in bad_rows.csv). Fitted on {training}.", ""]
    if found is not None:
        assert heldout is not None
        found.to_csv(folder / "predictions.csv", index=False)
        figure(found, folder / "heldout.png", f"{name}: everyone to people, {heldout}")
        lines += [f"## Held out: {heldout}", "", *[f"- {line}" for line in conclusions(found)], ""]
        lines += [DEFINITIONS, "", *overall_table(found), "", "![observed and predicted](heldout.png)", ""]
        lines += ["## By class", "", *detail_table(found, "class"), ""]
        lines += ["The model serves first come first served, which gives every class nearly the same wait;"]
        lines += ["what the people do otherwise (skills, priorities) is not in it.", ""]
        lines += ["## By hour of the day", "", *detail_table(found, "hour"), ""]
    own = intervals(log.table, training, fitted.score.auc if fitted.score else None)
    own.to_csv(folder / "intervals.csv", index=False)
    lines += ["## Fitted, with 95 % intervals", "", *interval_table(own), "", "Arrivals by hour: intervals.csv.", ""]
    if fitted.score is not None:
        lines += score_lines(fitted.score)
        score_figure(fitted.score, folder / "score.png")
    if fitted.presence is None:
        return _finish(folder, [*lines, *[f"- {note}" for note in fitted.notes]])
    lines += ["## The presence rule's tolerance, chosen in-sample", ""]
    lines += ["| tolerance, s | pause after a request, s | error of mean wait | error of abandonment |", "|---|---|---|---|"]
    for row in fitted.trials.itertuples():
        mark = " (chosen)" if abs(row.tolerance_seconds - 60 * fitted.tolerance) < 1e-6 else ""
        cells = f"{row.tolerance_seconds:.0f}{mark} | {row.pause_seconds:.1f}"
        lines.append(f"| {cells} | {100 * row.wait_error:+.1f} % | {100 * row.abandonment_error:+.1f} % |")
    return _finish(folder, [*lines, "", *[f"- {note}" for note in fitted.notes]])


def _finish(folder: Path, lines: list[str]) -> Path:
    path = folder / "report.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def interval_table(found: pd.DataFrame) -> list[str]:
    """The intervals as markdown, without those of single hours."""
    lines = ["| parameter | of | estimate | 95 % interval |", "|---|---|---|---|"]
    for row in found[~found["of"].str.startswith("hour ")].itertuples():
        lines.append(f"| {row.parameter} | {row.of} | {row.estimate:.4g} | [{row.low:.4g}, {row.high:.4g}] |")
    return lines


def score_lines(score: ScoreFit) -> list[str]:
    """What the score is worth, bin by bin."""
    a = score.auc
    lines = ["## The score", "", f"Area under the ROC curve {a.estimate:.3f} [{a.low:.3f}, {a.high:.3f}], Brier score"]
    lines += [f"{score.brier:.3f}, both cross-fitted; {100 * score.labelled:.0f} % of the requests have a label.", ""]
    lines += ["| bin | requests | mean score | labels | solved, observed | 95 % interval | in the config |", "|" + "---|" * 7]
    for k, row in enumerate(score.bins.itertuples(), 1):
        share = f"{row.solved / row.labelled:.3f}" if row.labelled else "-"
        cells = f"{100 * row.weight:.1f} % | {row.score:.3f} | {row.labelled} | {share} | [{row.low:.3f}, {row.high:.3f}]"
        lines.append(f"| {k} | {cells} | {row.probability:.3f} |")
    return [*lines, "", "![ROC curve and calibration of the score](score.png)", ""]


def score_figure(score: ScoreFit, path: Path) -> None:
    """The ROC curve, and reliability: observed share against mean score, by bin, the size of a point being its weight."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(10, 4.8), layout="constrained")
    (curve, axis), bins = picture.subplots(1, 2), score.bins[score.bins["labelled"] > 0]
    curve.plot([0, 1], [0, 1], color="#9aa5b1", linewidth=1)
    curve.plot(*score.roc, color=FORECAST, linewidth=1.8)
    curve.set(xlim=(0, 1), ylim=(0, 1), xlabel="share of the others that score as high", ylabel="share of the solvable that do")
    curve.set_title(f"ROC curve: area {score.auc.estimate:.3f} [{score.auc.low:.3f}, {score.auc.high:.3f}]", fontsize=11)
    curve.spines[["top", "right"]].set_visible(False)
    observed = bins["solved"] / bins["labelled"]
    axis.plot([0, 1], [0, 1], color="#9aa5b1", linewidth=1, zorder=1)
    reach = [observed - bins["low"], bins["high"] - observed]
    axis.errorbar(bins["score"], observed, np.maximum(reach, 0), fmt="none", ecolor=FORECAST, capsize=3, zorder=2)
    axis.scatter(bins["score"], observed, s=600 * bins["weight"] + 10, color=FORECAST, zorder=3)
    axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="mean score of the bin (cross-fitted)", ylabel="share solved, 95 % interval")
    axis.set_title(f"Calibration: Brier score {score.brier:.3f}", fontsize=11)
    axis.spines[["top", "right"]].set_visible(False)
    picture.savefig(path, dpi=130)


def unit(found: pd.DataFrame) -> tuple[str, float]:
    """Seconds for short waits, minutes for long ones, and the factor from minutes."""
    short = found[(found["by"] == "overall") & (found["measure"] == "mean wait")]["observed"].iloc[0] < 2
    return ("s", 60.0) if short else ("min", 1.0)


def shown(value: float, measure: str, factor: float) -> str:
    """A wait in the report's unit, or a share in per cent."""
    if np.isnan(value):
        return "-"
    return f"{100 * value:.1f} %" if measure == "abandonment" else f"{factor * value:.1f}"


def cells(row: Any, factor: float, error: bool = True) -> str:
    """Predicted, interval and error of one row."""
    low, high = shown(row.low, row.measure, factor), shown(row.high, row.measure, factor)
    off = f", {100 * row.error:+.0f} %" if error and np.isfinite(row.error) else ""
    return f"{shown(row.predicted, row.measure, factor)} [{low.removesuffix(' %')}, {high}]{off}"


def overall(found: pd.DataFrame) -> list[list[str]]:
    """Rows of scenario and the three measures with their intervals; the first is what was observed."""
    rows, (_, factor) = found[found["by"] == "overall"], unit(found)
    first = rows[rows["scenario"] == rows["scenario"].iloc[0]]
    table = [["observed", *[shown(row.observed, row.measure, factor) for row in first.itertuples()]]]
    for name in rows["scenario"].unique():
        table.append([name, *[cells(row, factor) for row in rows[rows["scenario"] == name].itertuples()]])
    return table


def overall_table(found: pd.DataFrame) -> list[str]:
    """The overall results as markdown."""
    table, worst = overall(found), errors(found)["worst"]
    lines = [f"| | mean wait, {unit(found)[0]} | of the answered | abandonment | larger error |", "|---|---|---|---|---|"]
    for name, *values in table:
        larger = f"{100 * worst[name]:.0f} %" if name in worst else ""
        lines.append(f"| {name} | {' | '.join(values)} | {larger} |")
    return lines


def detail_table(found: pd.DataFrame, by: str) -> list[str]:
    """Observed, forecast and replay by class or hour as markdown, for those with arrivals."""
    name, factor = unit(found)
    titles = " | ".join(
        f"{what}, {kind}" for what in (f"wait {name}", "abandonment") for kind in ("observed", "forecast", "replay")
    )
    lines = [f"| {by} | arrivals | {titles} |", "|" + "---|" * 8]
    rows = found[(found["by"] == by) & (found["arrivals"] > 0)]
    for key in rows["key"].unique():
        line = []
        for measure in JUDGED:
            own = rows[(rows["key"] == key) & (rows["measure"] == measure)].set_index("scenario", drop=False)
            line.append(shown(own["observed"].iloc[0], measure, factor))
            line += [cells(row, factor, error=False) for row in own.loc[["forecast", "replay"]].itertuples(index=False)]
        arrivals = rows[rows["key"] == key]["arrivals"].iloc[0]
        lines.append(f"| {key} | {arrivals:.0f} | {' | '.join(line)} |")
    return lines


def figure(found: pd.DataFrame, path: Path, title: str) -> None:
    """Observed against forecast and replay with their intervals: by hour as lines and bands, by class as points."""
    from matplotlib.figure import Figure

    name, factor = unit(found)
    picture = Figure(figsize=(12, 7.5), layout="constrained")
    axes = picture.subplots(2, 2, width_ratios=[1.7, 1])
    for row, measure in enumerate(JUDGED):
        scale, label = (100.0, "%") if measure == "abandonment" else (factor, name)
        for column, by in enumerate(("hour", "class")):
            axis = axes[row, column]
            # An hour with a handful of requests would set the scale for all others.
            least = ENOUGH if by == "hour" else 1
            rows = found[(found["by"] == by) & (found["measure"] == measure) & (found["arrivals"] >= least)]
            seen = rows[rows["scenario"] == "forecast"]
            keys, at = list(seen["key"]), np.arange(len(seen))
            for shift, (scenario, colour) in ((-0.12, ("forecast", FORECAST)), (0.12, ("replay", REPLAY))):
                own = rows[rows["scenario"] == scenario]
                middle, low, high = (scale * own[part].to_numpy() for part in ("predicted", "low", "high"))
                if by == "hour":
                    axis.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0)
                    axis.plot(at, middle, color=colour, linewidth=1.8, label=scenario)
                else:
                    reach = np.abs(np.array([middle - low, high - middle]))
                    axis.errorbar(at + shift, middle, reach, fmt="o", color=colour, markersize=5, capsize=3, label=scenario)
            axis.plot(at, scale * seen["observed"], "D", color=OBSERVED, markersize=6, label="observed")
            counted = [f"{key}\n{arrivals:.0f}" for key, arrivals in zip(keys, seen["arrivals"], strict=True)]
            axis.set_xticks(at, keys if by == "hour" else counted)
            axis.set_ylim(bottom=0)
            axis.set_xlabel(f"hour of the day (with {ENOUGH} arrivals or more)" if by == "hour" else "class, and its arrivals")
            axis.set_ylabel(f"{measure}, {label}")
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(axis="y", color="#e4e7eb", linewidth=0.8)
            axis.set_axisbelow(True)
    axes[0, 0].legend(frameon=False, loc="upper left", ncols=3)
    picture.suptitle(f"{title}\nlines and points: mean; bands and bars: 95 % of simulated periods", fontsize=11)
    picture.savefig(path, dpi=130)
