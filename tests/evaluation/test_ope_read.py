"""Bad logs: refused or repaired as documented, with row numbers; nothing is dropped without a word."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.errors import PointsmanError
from pointsman.evaluation.ope.read import check, check_frame, read
from pointsman.evaluation.ope.schema import Sidecar
from pointsman.evaluation.ope.verdict import estimate
from pointsman.evaluation.ope.violations import EPISODE_OUT, NO_WEIGHTS, PENDING, REPAIRED

SIDE = Sidecar(("wait", "go"), context=("queue",))


def table(episodes=200, steps=2, p=0.75, seed=0):
    """Episodes of a policy that takes action 0 with probability p; going pays one."""
    rng, n = np.random.default_rng(seed), episodes * steps
    action = (rng.random(n) >= p).astype(int)
    step = np.tile(np.arange(steps), episodes)
    return pd.DataFrame(
        {
            "decision_id": [f"d{k}" for k in range(n)],
            "episode_id": [f"e{k}" for k in np.repeat(np.arange(episodes), steps)],
            "step": step,
            "ts": pd.Timestamp("2026-01-05", tz="UTC") + pd.to_timedelta(np.arange(n), unit="min"),
            "obs.queue": rng.integers(0, 3, n).astype(float),
            "action": action,
            "propensity": np.where(action == 0, p, 1 - p),
            "propensity_source": "logged",
            "action_probabilities": [[p, 1 - p]] * n,
            "mask": [[1, 1]] * n,
            "reward": action + rng.random(n),
            "elapsed": 1.0,
            "terminated": step == steps - 1,
            "truncated": False,
        }
    )


def found(frame, side=SIDE):
    """(row, column, effect) of every violation, and what is left."""
    checked = check_frame(frame, side)
    return {(v.row, v.column, v.effect) for v in checked.violations.itertuples()}, checked.log


def changed(frame, row, **values):
    """A copy with values put into the row of that number."""
    frame = frame.copy()
    for column, value in values.items():
        frame[column] = frame[column].astype(object) if not isinstance(value, list) else frame[column]
        frame.at[row - 1, column] = value
    return frame


def test_a_good_log_has_no_violations_and_keeps_every_number():
    frame = table()
    violations, log = found(frame)
    assert violations == set()
    assert len(log) == 400
    assert log.reward.tolist() == frame["reward"].tolist()
    assert log.propensity.tolist() == frame["propensity"].tolist()
    assert log.row.tolist() == list(range(1, 401))
    assert log.trouble == ()


@pytest.mark.parametrize(
    ("values", "column"),
    [
        ({"action": 7}, "action"),
        ({"action": "stop"}, "action"),
        ({"mask": [0, 0]}, "action"),
        ({"mask": [1]}, "mask"),
        ({"reward": "much"}, "reward"),
        ({"reward": np.inf}, "reward"),
        ({"obs.queue": np.nan}, "obs.queue"),
        ({"elapsed": -1.0}, "elapsed"),
        ({"step": 5}, "step"),
        ({"step": -1}, "step"),
        ({"ts": "yesterday"}, "ts"),
        ({"ts": "2020-01-01T00:00:00Z"}, "ts"),
        ({"terminated": False}, "terminated"),
        ({"truncated": True}, "terminated"),
        ({"episode_id": None}, "episode_id"),
    ],
)
def test_a_bad_row_takes_its_episode_out_and_is_named(values, column):
    """Row 20 is the last of the tenth episode."""
    frame = changed(table(), 20, **values)
    violations, log = found(frame)
    assert (20, column, EPISODE_OUT) in violations
    assert 19 not in log.row
    assert 20 not in log.row
    assert len(log) == 398
    assert any(f"row {20}" in note for note in log.notes)


@pytest.mark.parametrize(
    ("values", "column"),
    [
        ({"propensity": 0.0}, "propensity"),
        ({"propensity": 1.5}, "propensity"),
        ({"propensity": 0.3}, "propensity"),  # not the entry of action_probabilities
        ({"action_probabilities": [0.9, 0.3]}, "action_probabilities"),
        ({"action_probabilities": [1.2, -0.2]}, "action_probabilities"),
        ({"action_probabilities": [1.0]}, "action_probabilities"),
        ({"propensity_source": "guessed"}, "propensity_source"),
    ],
)
def test_one_bad_propensity_in_many_leaves_its_episode_out(values, column):
    violations, log = found(changed(table(), 20, **values))
    assert (20, column, NO_WEIGHTS) in violations
    if column != "propensity_source":
        assert 20 not in log.row
        assert log.trouble == ()


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_many_bad_propensities_refuse_weights(value):
    frame = table().drop(columns="action_probabilities")
    frame.loc[frame.index % 7 == 0, "propensity"] = value
    violations, log = found(frame)
    assert {row for row, _, effect in violations if effect == NO_WEIGHTS} == {k + 1 for k in range(0, 400, 7)}
    assert len(log) == 400
    answer = estimate(log, np.tile([0.5, 0.5], (400, 1)))
    assert answer.verdict == "refused"
    assert "58 of 400 rows have no propensity" in answer.reasons[0]
    assert set(answer.estimates) == {"dm"}


def test_no_propensities_at_all():
    violations, log = found(table().drop(columns=["propensity", "propensity_source", "action_probabilities"]))
    assert violations == {(0, "propensity", NO_WEIGHTS)}
    assert estimate(log, np.tile([0.5, 0.5], (400, 1))).verdict == "refused"


def test_an_overridden_decision_has_no_propensity():
    frame = table()
    frame["override_by"] = None
    violations, log = found(changed(frame, 20, override_by="ann"))
    assert violations == {(20, "override_by", NO_WEIGHTS)}
    assert 20 not in log.row


def test_repeated_rows_are_dropped_and_ids_of_two_rows_take_both_out():
    frame = table()
    violations, log = found(pd.concat([frame, frame.iloc[[4, 7]]], ignore_index=True))
    assert violations == {(401, "decision_id", REPAIRED), (402, "decision_id", REPAIRED)}
    assert log.row.tolist() == list(range(1, 401))
    violations, log = found(changed(frame, 20, decision_id="d0"))
    assert violations == {(1, "decision_id", EPISODE_OUT), (20, "decision_id", EPISODE_OUT)}
    assert set(range(1, 401)) - set(log.row) == {1, 2, 19, 20}


def test_unsorted_steps_are_put_in_order():
    frame = table()
    order = np.arange(400)
    order[[10, 11]] = [11, 10]  # steps of one episode
    violations, log = found(frame.iloc[order].reset_index(drop=True))
    assert violations == {(12, "step", REPAIRED)}
    assert log.reward.tolist() == frame["reward"].tolist()
    shuffled = frame.sample(frac=1.0, random_state=0).reset_index(drop=True)
    violations, log = found(shuffled)
    assert {effect for *_, effect in violations} == {REPAIRED}
    assert len(log) == 400
    assert sorted(log.reward) == sorted(frame["reward"])
    assert (np.diff(log.step)[np.diff(log.episode) == 0] == 1).all()


def test_pending_outcomes_are_censored_not_zero():
    frame = changed(table(), 20, reward=None)
    violations, log = found(frame)
    assert violations == {(20, "reward", PENDING)}
    assert len(log) == 398
    frame = table()
    frame["outcome_ts"] = frame["ts"]
    frame = changed(frame, 20, reward=0.0, outcome_ts=None)
    violations, log = found(frame)
    assert (20, "reward", PENDING) in violations
    assert len(log) == 398
    many = table()
    many.loc[many.index % 10 == 0, "reward"] = np.nan
    _, log = found(many)
    assert "wait for outcomes" in log.trouble[0]


def test_too_many_bad_rows_refuse_a_verdict():
    frame = table()
    frame.loc[:20, "action"] = 9
    _, log = found(frame)
    assert "21 of 400 rows are bad" in log.trouble[0]


def test_rewards_from_parts_and_from_the_ledger():
    frame = table()
    frame["reward.a"], frame["reward.b"] = frame["reward"] - 1.0, 1.0
    assert found(frame)[0] == set()
    assert found(changed(frame, 20, **{"reward.b": 2.0}))[0] == {(20, "reward", EPISODE_OUT)}
    frame["ledger.minutes"] = 2.0
    frame = frame.drop(columns=["reward", "reward.a", "reward.b"])
    _, log = found(frame, Sidecar(("wait", "go"), prices={"minutes": 1.5}))
    assert set(log.reward) == {-3.0}


def test_a_declared_range_holds():
    violations, _ = found(changed(table(), 20, reward=99.0), Sidecar(("wait", "go"), reward_range=(0.0, 2.0)))
    assert violations == {(20, "reward", EPISODE_OUT)}


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_files_whole_and_cut_off(tmp_path, kind):
    """Parquet does not open any more; of a CSV the last row is bad, and the hash gives it away."""
    frame, path = table(), tmp_path / f"log.{kind}"
    if kind == "csv":
        frame["mask"] = "1 1"
        frame["action_probabilities"] = "[0.75, 0.25]"
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    SIDE.write(path)
    whole = read(path)
    assert len(whole) == 400
    assert whole.reward == pytest.approx(table()["reward"].to_numpy(), abs=1e-12)
    path.write_bytes(path.read_bytes()[:-40])
    if kind == "parquet":
        with pytest.raises(PointsmanError, match=r"log\.parquet is not readable, it may be cut off"):
            check(path)
        return
    checked = check(path)
    rows = set(checked.violations["row"])
    assert {0, 400} <= rows
    assert "cut off or changed" in checked.log.trouble[0]
    assert len(checked.log) == 398
    assert estimate(checked.log, np.tile([0.5, 0.5], (398, 1))).verdict == "refused"


def test_a_csv_row_with_too_few_cells_is_named(tmp_path):
    path = tmp_path / "log.csv"
    frame = table().drop(columns=["mask", "action_probabilities"])
    lines = frame.to_csv(index=False).splitlines()
    lines[20] = lines[20][: len(lines[20]) // 2]
    path.write_text("\n".join(lines) + "\n")
    SIDE.write(path)
    checked = check(path)
    assert 20 in set(checked.violations["row"])
    assert len(checked.log) == 398
    assert set(range(1, 401)) - set(checked.log.row) == {19, 20}


@pytest.mark.parametrize(
    ("facts", "names"),
    [
        ({"actions": ["a"], "discunt": 0.9}, "discunt"),
        ({"actions": []}, "actions must be"),
        ({"actions": ["a", "b"], "discount": 2}, "discount must be"),
        ({"actions": ["a", "b"], "reward_range": [1, 0]}, "reward_range must be"),
        ({"actions": ["a", "b"], "schema_version": 9}, "schema_version"),
        ({}, "actions"),
    ],
)
def test_bad_sidecars(tmp_path, facts, names):
    (tmp_path / "log.csv").write_text("a\n1\n")
    (tmp_path / "log.csv.json").write_text(json.dumps(facts))
    with pytest.raises(PointsmanError, match=names):
        check(tmp_path / "log.csv")


@pytest.mark.parametrize("column", ["decision_id", "ts", "action", "terminated"])
def test_missing_columns_are_errors(column):
    with pytest.raises(PointsmanError, match=column):
        check_frame(table().drop(columns=column), SIDE)


BAD = {
    "step": [7, -1, 0], "action": [9, "stop", 1], "propensity": [0.0, None, 0.25], "reward": [None, "x", np.inf],
    "mask": [[0, 0], [1], [1, 1]], "terminated": [True, False, "perhaps"], "episode_id": ["e0", None],
    "decision_id": ["d0", None], "obs.queue": [np.nan, 1.0], "ts": ["never"],
}  # fmt: skip


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.sampled_from(sorted(BAD)), st.integers(0, 2)), max_size=6),
    st.lists(st.integers(0, 39), max_size=3),
    st.booleans(),
)
def test_whatever_is_missing_was_listed(changes, repeated, shuffled):
    """Any mixture of damages: a row that is not in the log is in an episode of which a row was named, or was named itself."""
    frame = table(20)
    for row, column, which in changes:
        frame = changed(frame, row, **{column: BAD[column][which % len(BAD[column])]})
    frame = pd.concat([frame, frame.iloc[repeated]], ignore_index=True)
    if shuffled:
        frame = frame.sample(frac=1.0, random_state=1).reset_index(drop=True)
    checked = check_frame(frame, SIDE)
    named = set(checked.violations["row"])
    kept = set() if checked.log is None else set(checked.log.row)
    missing = set(range(1, len(frame) + 1)) - kept
    episode = frame["episode_id"].astype(str)
    touched = {episode[row - 1] for row in named if row}
    assert all(row in named or episode[row - 1] in touched for row in missing)
    if checked.log is not None:
        assert (np.diff(checked.log.step)[np.diff(checked.log.episode) == 0] == 1).all()
        assert len(set(checked.log.row)) == len(checked.log)
