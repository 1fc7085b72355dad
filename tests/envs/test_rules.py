"""Rules on hand-made observations: what is automated, and which team gets the rest."""

import numpy as np
import pytest

from pointsman import envs
from pointsman.errors import PointsmanError

TWO_TEAMS = {"teams": {"people": {"staff": 3}, "others": {"staff": 2}}}


def decide(preset, rule, rows, mask=None, overrides=None, **values):
    """Actions of a rule for rows of {observation name: value}; what is not named is 0."""
    problem = envs.build(envs.configure(preset, **(overrides or {})))
    names = [field.name for field in problem.observation]
    observation = np.array([[row.get(name, 0.0) for name in names] for row in rows], np.float32)
    assert all(key in names for row in rows for key in row)
    mask = np.ones((len(rows), len(problem.actions)), bool) if mask is None else np.array(mask, bool)
    return envs.rules(problem)[rule](problem, **values).act(observation, mask, np.zeros(len(rows))).tolist()


def test_static_threshold_automates_from_the_threshold_up():
    assert decide("dispatch/mini", "threshold", [{"score": s} for s in (0.25, 0.5, 0.75)], threshold=0.5) == [1, 0, 0]


def test_extremes():
    rows = [{"score": 0.0}, {"score": 1.0}]
    assert decide("dispatch/mini", "all_people", rows) == [1, 1]
    assert decide("dispatch/mini", "all_automation", rows) == [0, 0]


def test_masks_win():
    rows = [{"score": 1.0}, {"score": 0.0}]
    assert decide("dispatch/mini", "threshold", rows, mask=[[0, 1], [1, 0]], threshold=0.5) == [1, 0]


def test_the_rest_goes_to_the_legal_team_with_the_fewest_requests():
    rows = [{"in_service/people": 3, "in_service/others": 2}, {"waiting/others": 4}, {"in_service/people": 1}]
    mask = [[1, 1, 1], [1, 1, 1], [1, 1, 0]]
    assert decide("dispatch/mini", "all_people", rows, mask, TWO_TEAMS) == [2, 1, 1]


SKILLED = {
    "classes": {"easy": {"handling_minutes": 2}, "rare": {"handling_minutes": 8}},
    "teams": {
        "people": {"staff": 3, "speed": {"easy": 1.0, "rare": None}},
        "others": {"staff": 1, "speed": {"easy": 2.0, "rare": 1.0}},
    },
}


def build(overrides, base="dispatch/mini"):
    config = envs.configure(base) | {"classes": {}, "teams": {}}
    return envs.build(envs.complete(config, overrides))


def choose(problem, rule, rows, mask=None, **values):
    names = [field.name for field in problem.observation]
    observation = np.array([[row.get(name, 0.0) for name in names] for row in rows], np.float32)
    mask = np.ones((len(rows), len(problem.actions)), bool) if mask is None else np.array(mask, bool)
    return envs.rules(problem)[rule](problem, **values).act(observation, mask, np.zeros(len(rows))).tolist()


def test_choice_between_teams():
    """Shortest queue counts requests; the fastest that is free wins; expected delay weighs people and their speed."""
    problem = build(SKILLED)
    easy, rare = {"class/easy": 1.0, "score": 0.0}, {"class/rare": 1.0, "score": 0.0}
    both_free = easy | {"in_service/people": 1}
    fast_one_busy = easy | {"in_service/people": 2, "in_service/others": 1}
    people_full = easy | {"in_service/people": 3, "waiting/people": 1, "in_service/others": 1, "waiting/others": 2}
    rows = [both_free, fast_one_busy, people_full]
    assert choose(problem, "shortest_queue", rows, threshold=0.5) == [2, 2, 2]
    assert choose(problem, "fastest_free", rows, threshold=0.5) == [2, 1, 2]
    # people: 2 waits of 1/3 and 1 of service; others: 3 waits of half a unit and half of service.
    assert choose(problem, "threshold", rows, threshold=0.5, team_choice=2) == [2, 1, 1]
    only_others = [[1, 0, 1]]
    assert choose(problem, "fastest_free", [rare | {"in_service/others": 1}], only_others, threshold=0.5) == [2]


def test_process_or_forward():
    problem = envs.build(envs.configure("dispatch/mini", pickup_decisions=True))
    rows = [{"score": 1.0, "pickup": 1.0, "waiting": w} for w in (0, 3, 4)]
    mask = [[0, 0, 1, 1]] * 3
    assert choose(problem, "process_always", rows, mask, threshold=0.5) == [2, 2, 2]
    assert choose(problem, "forward_always", rows, mask, threshold=0.5) == [3, 3, 3]
    assert choose(problem, "threshold", rows, mask, threshold=0.5, forward_from=4) == [2, 2, 3]


def test_index_rule_weighs_by_hand_made_marginal_costs():
    """Prices of mini: attempt 0.3, bounce 2, entry 1. With D = 2 at people the index is 2.3 / 5, with D = 0 it is 2.3 / 3."""
    problem = envs.build(envs.configure("dispatch/mini"))
    rule = envs.rules(problem)["index"](problem)
    rule.marginal = np.where(np.arange(50) >= 10, 2.0, 0.0) * np.ones((1, 1, 1, 11, 50))
    rows = np.array([[0.45, 10, 0], [0.47, 10, 0], [0.76, 9, 0], [0.77, 9, 0]], np.float32)
    assert rule.act(rows, np.ones((4, 2), bool), None).tolist() == [1, 0, 1, 0]


def test_index_rule_forwards_when_a_person_is_worth_more_than_an_attempt():
    """Forwarding an easy request costs 0.3; keeping it costs D."""
    problem = envs.build(envs.configure("dispatch/mini", pickup_decisions=True))
    rule = envs.rules(problem)["index"](problem)
    rule.marginal = np.where(np.arange(50) >= 10, 0.31, 0.29) * np.ones((1, 1, 1, 11, 50))
    rows = np.array([[1.0, 1.0, 9, 0], [1.0, 1.0, 9, 1]], np.float32)
    assert rule.act(rows, np.array([[0, 0, 1, 1]] * 2, bool), None).tolist() == [2, 3]


def test_queue_threshold_steps_down_beyond_the_people_on_duty():
    """mini has 10 people: 0.8 up to 8 requests, 0.5 up to 12, then 0.3."""
    values = {"threshold": 0.8, "first_step": 0.3, "second_step": 0.2, "busy": -2, "crowded": 2}
    rows = [{"score": 0.6, "in_service": n, "waiting": w} for n, w in ((8, 0), (9, 0), (10, 2), (10, 3))]
    assert decide("dispatch/mini", "queue_threshold", rows, **values) == [1, 0, 0, 0]
    rows = [row | {"score": 0.4} for row in rows]
    assert decide("dispatch/mini", "queue_threshold", rows, **values) == [1, 1, 1, 0]
    rows = [{"score": 0.6, "in_service": 3, "on_duty": on_duty} for on_duty in (6, 4)]
    assert decide("dispatch/call_centre", "queue_threshold", rows, **values) == [1, 0]


def test_regime_and_hour_thresholds_read_their_column():
    rows = [{"score": 0.5, "regime": r} for r in (0, 1)]
    assert decide("dispatch/surge", "regime_threshold", rows, threshold_0=0.6, threshold_1=0.4) == [1, 0]
    rows = [{"score": 0.5, "hour_of_week": h} for h in (3.0, 30.5, 13.0, 167.9)]
    values = {"from_0": 0.4, "from_6": 0.6, "from_12": 0.6, "from_18": 0.4}
    assert decide("dispatch/call_centre", "hour_threshold", rows, **values) == [0, 1, 1, 0]


def test_parameters_may_differ_by_row():
    rows = [{"score": 0.5}, {"score": 0.5}]
    assert decide("dispatch/mini", "threshold", rows, threshold=np.array([0.4, 0.6])) == [0, 1]


def test_unknown_parameter_and_missing_observation_are_named():
    with pytest.raises(PointsmanError, match="treshold.*did you mean threshold"):
        decide("dispatch/mini", "threshold", [{}], treshold=0.5)
    problem = envs.build(envs.configure("dispatch/mini"))
    surge = envs.build(envs.configure("dispatch/surge"))
    with pytest.raises(PointsmanError, match="needs the observation 'regime'"):
        envs.rules(surge)["regime_threshold"](problem).act(np.zeros((1, 3), np.float32), np.ones((1, 2), bool), np.zeros(1))


def test_rules_that_must_know_the_regime_are_left_out_where_it_is_hidden():
    shown, hidden = (envs.build(envs.configure("dispatch/surge", regime_observed=seen)) for seen in (True, False))
    assert set(envs.rules(shown)) - set(envs.rules(hidden)) == {"index", "regime_threshold"}
