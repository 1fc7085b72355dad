"""Fits the score: how probable it is that automation, or the first person, would have solved a request.

A logistic regression on the features that were known at arrival, calibrated by a sigmoid (Platt 1999). Every labelled
request is scored by a model that has not seen it (cross-fitting), so that neither the area under the ROC curve nor the
calibration is flattered. The config gets bins: shares of the requests, and the observed probability of each.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from pointsman.envs.arrays import Floats
from pointsman.errors import PointsmanError

FOLDS = 5
ENOUGH = 50
"""Labelled requests of either kind without which no score is fitted."""
FEATURE = "feature:"
"""What the names of the features begin with in a log's table."""


class Area(NamedTuple):
    """Area under the ROC curve, with its 95 % interval."""

    estimate: float
    low: float
    high: float


class ScoreFit(NamedTuple):
    """What was fitted: the classifier's area and Brier score, its bins, and what remains unknown."""

    auc: Area
    roc: tuple[Floats, Floats]  # false and true positive rates
    brier: float
    bins: pd.DataFrame  # weight, score, labelled, solved, probability, low, high
    labelled: float  # share of the requests
    bounds: tuple[float, float]  # of the share solved: if none of the unlabelled ones were, if all were
    notes: list[str]

    @property
    def config(self) -> dict[str, Any]:
        """The part `score` of an env config."""
        return {
            "bins_easy_probability": [float(f"{p:.4g}") for p in self.bins["probability"]],
            "bins_weight": [float(f"{w:.4g}") for w in self.bins["weight"]],
        }


def fit_score(table: pd.DataFrame, bins: int = 8, seed: int = 0) -> ScoreFit:
    """Fit to a log's table (columns `solved`: 1, 0 or NaN, and those that begin with FEATURE)."""
    from sklearn.metrics import roc_curve
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from threadpoolctl import threadpool_limits

    features, known = table.filter(regex=f"^{FEATURE}"), table["solved"].notna().to_numpy()
    solved = table["solved"].to_numpy(np.float64)[known].astype(int)
    if min(solved.sum(), (1 - solved).sum()) < ENOUGH:
        counts = f"{solved.sum()} of {len(solved)} labelled requests are solved"
        raise PointsmanError(f"score: {counts}; {ENOUGH} of either kind are needed")
    model, score = _model(features), np.empty(len(table))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    with threadpool_limits(1):  # many small fits, which threads only slow down
        score[known] = cross_val_predict(model, features[known], solved, cv=folds, method="predict_proba")[:, 1]
        if not known.all():
            score[~known] = model.fit(features[known], solved).predict_proba(features[~known])[:, 1]
    found = _bins(score, known, solved, bins)
    unknown, share = 1.0 - known.mean(), solved.mean() * known.mean()
    notes = _notes(found, known, share)
    brier = float(np.mean((score[known] - solved) ** 2))
    roc = roc_curve(solved, score[known])[:2]
    return ScoreFit(auc_interval(score[known], solved), roc, brier, found, float(known.mean()), (share, share + unknown), notes)


def _model(features: pd.DataFrame) -> Any:
    """Logistic regression with a sigmoid on top; numbers are scaled, names become indicators, rare ones together."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numeric = [name for name in features if pd.api.types.is_numeric_dtype(features[name])]
    named = [name for name in features if name not in numeric]
    columns = make_column_transformer(
        (StandardScaler(), numeric), (OneHotEncoder(min_frequency=20, handle_unknown="infrequent_if_exist"), named)
    )
    return CalibratedClassifierCV(make_pipeline(columns, LogisticRegression(max_iter=2000)), method="sigmoid", cv=FOLDS)


def _bins(score: Floats, known: NDArray[np.bool_], solved: NDArray[np.int64], most: int) -> pd.DataFrame:
    """Bins of about as many requests each, fewer where scores repeat; probabilities rise with the score (isotonic)."""
    from sklearn.isotonic import IsotonicRegression

    edges = np.unique(np.quantile(score, np.linspace(0, 1, most + 1)[1:-1]))
    place = np.searchsorted(edges, score, "right")
    rows = []
    for b in np.unique(place):
        mine, own = place == b, solved[place[known] == b]
        rows.append((mine.mean(), score[mine].mean(), len(own), int(own.sum())))
    found = pd.DataFrame(rows, columns=["weight", "score", "labelled", "solved"])
    n, k = found["labelled"].to_numpy(float), found["solved"].to_numpy(float)
    raw = np.where(n > 0, k / np.maximum(n, 1), found["score"])
    found["probability"] = IsotonicRegression().fit_transform(np.arange(len(raw)), raw, sample_weight=np.maximum(n, 1e-9))
    found["low"], found["high"] = wilson(k, n)
    return found


def _notes(bins: pd.DataFrame, known: NDArray[np.bool_], share: float) -> list[str]:
    """What labels on some requests only leave open."""
    if known.all():
        return []
    missing = 1.0 - known.mean()
    thin = bins.index[bins["labelled"] < ENOUGH] + 1
    notes = [
        f"labels: {100 * missing:.0f} % of the requests have none (say, because only what people handled is labelled); each bin"
        " takes them to be like the labelled ones with the same score, which the log cannot confirm",
        f"share that would have been solved: between {100 * share:.0f} % and {100 * (share + missing):.0f} %, whatever the"
        " requests without a label are like",
    ]
    if len(thin):
        notes.append(f"score bins {', '.join(map(str, thin))} have fewer than {ENOUGH} labels: their probabilities are guesses")
    return notes


def wilson(k: Any, n: Any, level: float = 0.95) -> tuple[Any, Any]:
    """Interval of a share k / n (Wilson 1927); 0 to 1 without observations."""
    z, n = norm.ppf(0.5 + level / 2), np.maximum(np.asarray(n, float), 1e-9)
    centre, reach = (k + z**2 / 2) / (n + z**2), z / (n + z**2) * np.sqrt(k * (n - k) / n + z**2 / 4)
    return np.maximum(centre - reach, 0.0), np.minimum(centre + reach, 1.0)


def auc_interval(score: Sequence[float] | Floats, solved: Any, level: float = 0.95) -> Area:
    """Area under the ROC curve and its interval by DeLong, DeLong and Clarke-Pearson (1988), on the logit scale."""
    score, yes = np.asarray(score, float), np.asarray(solved) == 1
    m, n = int(yes.sum()), int((~yes).sum())
    everyone = rankdata(score)
    above, below = everyone[yes] - rankdata(score[yes]), everyone[~yes] - rankdata(score[~yes])
    area = float(above.mean() / n)
    spread = np.sqrt((above / n).var(ddof=1) / m + (1.0 - below / m).var(ddof=1) / n)
    inside = min(max(area, 1e-9), 1 - 1e-9)
    logit, reach = np.log(inside / (1 - inside)), norm.ppf(0.5 + level / 2) * spread / (inside * (1 - inside))
    low, high = (float(1 / (1 + np.exp(-(logit + sign * reach)))) for sign in (-1, 1))
    return Area(area, low, high)
