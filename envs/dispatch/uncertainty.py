"""How sure the fitted numbers are: 95 % intervals of arrival rates, handling times, patience and the score's area."""

import numpy as np
import pandas as pd
from scipy.stats import chi2, t

from pointsman.envs.dispatch.calibrate import ENOUGH, hour_of_week
from pointsman.envs.dispatch.params import WEEK_HOURS
from pointsman.envs.dispatch.score import Area
from pointsman.envs.dispatch.staffing import Period


def rate_interval(count: float, minutes: float, level: float = 0.95) -> tuple[float, float, float]:
    """Rate of a Poisson process, with its exact interval (Garwood 1936)."""
    tail = (1 - level) / 2
    low = chi2.ppf(tail, 2 * count) / 2 if count > 0 else 0.0
    return count / minutes, low / minutes, chi2.ppf(1 - tail, 2 * count + 2) / 2 / minutes


def mean_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """Mean, with Student's interval: the samples are large."""
    reach = t.ppf(0.5 + level / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return values.mean(), values.mean() - reach, values.mean() + reach


def patience_interval(events: int, waited: float, level: float = 0.95) -> tuple[float, float, float]:
    """Mean of an exponential of which `events` were seen to end in `waited` minutes, the others being censored (Cox 1953)."""
    tail = (1 - level) / 2
    return waited / events, 2 * waited / chi2.ppf(1 - tail, 2 * events + 1), 2 * waited / chi2.ppf(tail, 2 * events + 1)


def intervals(table: pd.DataFrame, period: Period, auc: Area | None = None) -> pd.DataFrame:
    """One row per parameter that the log tells: parameter, class or hour, estimate, low, high."""
    rows: list[tuple[str, str, float, float, float]] = []
    own = period.of(table)
    counts = np.bincount(hour_of_week(own["arrival"]), minlength=WEEK_HOURS)
    observed = 60.0 * np.bincount(period.hours_of_week(), minlength=WEEK_HOURS)
    rows.append(("arrivals per minute", "all hours", *rate_interval(len(own), period.minutes)))
    for hour in np.flatnonzero(observed):
        rows.append(("arrivals per minute", f"hour {hour}", *rate_interval(counts[hour], observed[hour])))
    for name, part in own.groupby("class"):
        handled = part.loc[part["handling_minutes"] > 0, "handling_minutes"].to_numpy()
        if len(handled) >= ENOUGH:
            rows.append(("mean handling, minutes", str(name), *mean_interval(handled)))
        left = int((part["outcome"] == "abandoned").sum())
        if left >= ENOUGH:
            rows.append(("mean patience, minutes", str(name), *patience_interval(left, float(part["wait_minutes"].sum()))))
    if auc is not None:
        rows.append(("area under the ROC curve", "score", *auc))
    return pd.DataFrame(rows, columns=["parameter", "of", "estimate", "low", "high"])
