"""The fitted score and the intervals of a calibration: planted parameters come back as often as the intervals promise."""

import heapq

import numpy as np
import pandas as pd
import pytest
from numba import njit
from scipy.stats import binom, norm

from pointsman.envs.dispatch import calibrate, log
from pointsman.envs.dispatch.score import FEATURE, auc_interval, fit_score, wilson
from pointsman.envs.dispatch.staffing import Period
from pointsman.envs.dispatch.uncertainty import intervals, patience_interval, rate_interval
from pointsman.errors import PointsmanError

MONDAY = pd.Timestamp("2024-01-01")
RATE, STAFF, HANDLING, CV, PATIENCE, AUC, EASY = 0.8, 4, (4.0, 7.0), 1.1, (5.0, 12.0), 0.8, 0.4
DISTANCE = np.sqrt(2) * norm.ppf(AUC)


@njit
def waits(arrival, work, patience, staff):
    """First come first served: waiting times, and who left before they were served."""
    free = [0.0] * staff
    wait, left = np.zeros(len(arrival)), np.zeros(len(arrival), np.bool_)
    for i in range(len(arrival)):
        start = max(free[0], arrival[i])
        left[i] = start - arrival[i] > patience[i]
        wait[i] = min(start - arrival[i], patience[i])
        if not left[i]:
            heapq.heapreplace(free, start + work[i])
    return wait, left


def planted(weeks, seed):
    """A log's table: open from 8 to 18 h every day, two classes, a feature that is normal given what is easy."""
    rng = np.random.default_rng(seed)
    days = 7 * weeks
    counts = rng.poisson(RATE * 600, days)
    minute = np.concatenate([1440 * day + 480 + np.sort(rng.uniform(0, 600, count)) for day, count in enumerate(counts)])
    n = len(minute)
    kind, easy = rng.integers(0, 2, n), rng.random(n) < EASY
    variance = np.log1p(CV**2)
    work = np.array(HANDLING)[kind] * np.exp(np.sqrt(variance) * rng.standard_normal(n) - variance / 2)
    wait, left = waits(minute, work, rng.exponential(np.array(PATIENCE)[kind]), STAFF)
    return pd.DataFrame(
        {
            "arrival": MONDAY + pd.to_timedelta(minute, unit="min"),
            "class": np.array(["A", "B"])[kind],
            "wait_minutes": wait,
            "handling_minutes": np.where(left, np.nan, work),
            "outcome": np.where(left, "abandoned", "answered"),
            "solved": easy.astype(float),
            FEATURE + "evidence": rng.standard_normal(n) + DISTANCE * easy,
        }
    )


def covered(weeks, seed):
    """Which planted values lie in their intervals, by parameter; and the share of the single hours that do."""
    table, period = planted(weeks, seed), Period(MONDAY, MONDAY + pd.Timedelta(weeks=weeks))
    found = intervals(table, period, fit_score(table, seed=seed).auc)
    truth = {("arrivals per minute", "all hours"): RATE * 10 / 24, ("area under the ROC curve", "score"): AUC}
    for k, name in enumerate("AB"):
        truth[("mean handling, minutes", name)] = HANDLING[k]
        truth[("mean patience, minutes", name)] = PATIENCE[k]
    rows = found.set_index(["parameter", "of"])
    inside = {key: rows.loc[key, "low"] <= value <= rows.loc[key, "high"] for key, value in truth.items()}
    hours = found[found["of"].str.startswith("hour ")]
    hour = hours["of"].str.removeprefix("hour ").astype(int) % 24
    hours = hours[(hour >= 8) & (hour < 18)]
    return inside | {"hours": ((hours["low"] <= RATE) & (hours["high"] >= RATE)).mean()}


def test_planted_values_lie_in_their_intervals():
    """Eight short logs: as many misses as a chance of 5 % allows (99.99 %)."""
    found = pd.DataFrame([covered(2, seed) for seed in range(8)])
    hours = found.pop("hours")
    assert (~found.astype(bool)).to_numpy().sum() <= binom.ppf(0.9999, found.size, 0.05)
    assert 0.90 <= hours.mean() <= 0.99


@pytest.mark.long
def test_planted_values_lie_in_their_intervals_in_90_to_99_per_cent_of_200_logs_of_50_000_requests():
    assert len(planted(15, 0)) == pytest.approx(50_000, rel=0.02)
    found = pd.DataFrame([covered(15, 100 + seed) for seed in range(200)]).astype(float)
    share = found.mean()
    assert ((share >= 0.90) & (share <= 0.99)).all(), share.to_dict()


def test_the_score_is_calibrated_and_its_bins_are_what_was_observed():
    table = planted(6, 3)
    found = fit_score(table, bins=6)
    bins = found.bins
    assert bins["weight"].sum() == pytest.approx(1.0)
    assert bins["labelled"].sum() == len(table)
    assert bins["probability"].is_monotonic_increasing
    assert ((bins["low"] < bins["score"]) & (bins["score"] < bins["high"])).mean() >= 5 / 6
    # The Bayes-optimal score of two normals is logistic in the evidence.
    evidence = table[FEATURE + "evidence"]
    chance = 1 / (1 + np.exp(-(np.log(EASY / (1 - EASY)) + DISTANCE * (evidence - DISTANCE / 2))))
    assert found.brier == pytest.approx(((chance - table["solved"]) ** 2).mean(), rel=0.01)
    assert found.notes == []
    assert found.bounds[0] == found.bounds[1] == pytest.approx(table["solved"].mean())


def test_selective_labels_are_reported_for_what_they_leave_open():
    """Labels only where the score was low: the bins above have none, and the share is known up to the unlabelled ones."""
    table = planted(6, 4)
    hidden = table[FEATURE + "evidence"] > 1.0
    table.loc[hidden, "solved"] = np.nan
    found = fit_score(table)
    assert found.labelled == pytest.approx(1 - hidden.mean())
    known = table["solved"].sum() / len(table)
    assert found.bounds == (pytest.approx(known), pytest.approx(known + hidden.mean()))
    assert any("none" in note and f"{100 * hidden.mean():.0f} %" in note for note in found.notes)
    assert any("their probabilities are guesses" in note for note in found.notes)
    assert found.bins["labelled"].iloc[-1] == 0


def test_scores_from_names_alone():
    """A feature of three names with solved shares .2, .5, .8: three bins, with these shares."""
    rng = np.random.default_rng(0)
    name = rng.choice(["x", "y", "z"], 6000)
    solved = rng.random(6000) < np.select([name == "x", name == "y"], [0.2, 0.5], 0.8)
    found = fit_score(pd.DataFrame({"solved": solved.astype(float), FEATURE + "name": name}))
    observed = pd.Series(solved).groupby(name).mean()
    # Which model scores a request differs by fold, so a name may fall into neighbouring bins.
    assert found.auc.low < auc_interval(observed.loc[name].to_numpy(), solved).estimate < found.auc.high + 0.005
    assert found.bins["probability"].min() == pytest.approx(0.2, abs=0.04)
    assert found.bins["probability"].max() == pytest.approx(0.8, abs=0.04)


def test_area_counts_pairs_and_ties_by_half():
    """Six pairs of (solved, not): 4 in order, 1 tie -> 4.5 / 6."""
    assert auc_interval([0.9, 0.4, 0.4, 0.2, 0.6], [1, 1, 0, 0, 0]).estimate == pytest.approx(4.5 / 6)


def test_area_interval_covers_as_often_as_it_says():
    rng, inside = np.random.default_rng(5), 0
    for _ in range(400):
        solved = rng.random(300) < 0.4
        found = auc_interval(rng.standard_normal(300) + DISTANCE * solved, solved)
        inside += found.low <= AUC <= found.high
    assert 0.91 <= inside / 400 <= 0.985


def test_intervals_of_known_tables():
    """Garwood's for 10 events: 4.795 to 18.39; Wilson's for 3 of 10: 0.1078 to 0.6032; d = 10 events: T / 10 within."""
    assert rate_interval(10, 1.0) == (10.0, pytest.approx(4.795, abs=1e-3), pytest.approx(18.390, abs=1e-3))
    assert wilson(3, 10) == (pytest.approx(0.1078, abs=1e-4), pytest.approx(0.6032, abs=1e-4))
    assert rate_interval(0, 10.0)[:2] == (0.0, 0.0)
    estimate, low, high = patience_interval(10, 50.0)
    assert low < estimate == 5.0 < high


def test_too_few_labels_are_one_line():
    table = planted(1, 0).head(60)
    with pytest.raises(PointsmanError, match=r"^score: \d+ of 60 labelled requests are solved; 50 of either kind are needed$"):
        fit_score(table)


MAPPING = """
case: id
arrival: {columns: [opened]}
request_class: {column: kind}
outcome: {column: state, answered: [closed], abandoned: [], other: [open]}
score: {features: [topic, size], solved: {moves: ["0"]}, unlabelled: {state: [open]}}
env:
  id: dispatch/tickets
  handling_minutes: 10
  teams: {people: {staff: 3}}
"""


def test_a_log_of_events_gives_cases_with_features_of_the_first_row_and_labels_of_the_last(tmp_path):
    rows = ["id,opened,kind,state,topic,size,moves", "1,2024-01-01T08:00,A,open,mail,3,0", "2,2024-01-01T09:00,A,open,disk,5,0"]
    rows += ["1,2024-01-01T08:00,A,closed,other,3,2", "3,2024-01-02T09:00,B,closed,mail,1,0"]
    (tmp_path / "log.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "mapping.yaml").write_text(MAPPING)
    read = log.read(tmp_path / "log.csv", log.load_mapping(str(tmp_path / "mapping.yaml")))
    assert read.rows == 4
    assert read.table["line"].tolist() == [4, 3, 5]
    assert read.table["solved"].tolist()[::2] == [0.0, 1.0]
    assert np.isnan(read.table["solved"].iloc[1])
    assert read.table[FEATURE + "topic"].tolist() == ["mail", "disk", "mail"]
    assert read.table[FEATURE + "size"].tolist() == [3, 5, 1]
    assert read.table["wait_minutes"].isna().all()


def test_what_a_log_of_sojourns_cannot_tell_is_taken_from_the_mapping_and_said(tmp_path):
    table = planted(2, 7).assign(wait_minutes=np.nan, handling_minutes=np.nan, server=pd.NA)
    template = {"id": "dispatch/tickets", "handling_minutes": {"easy": 3, "hard": 9}, "teams": {"people": {"staff": 3}}}
    found = calibrate.fit(table, Period(MONDAY, MONDAY + pd.Timedelta(weeks=2)), template)
    assert found.presence is None
    assert "cannot be identified" in found.notes[0]
    assert found.config["classes"]["A"]["handling_minutes"] == {"easy": 3, "hard": 9}
    assert found.config["teams"]["people"]["staff"] == 3
    assert len(found.config["score"]["bins_easy_probability"]) == 8
    assert np.mean(found.config["hourly_arrival_rates"]) == pytest.approx(RATE * 10 / 24, rel=0.1)
