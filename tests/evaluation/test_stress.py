"""Stresses: the notation by hand, shipped packs on every problem, and distortions against what was asked of them."""

import numpy as np
import pytest
from data import marked

from pointsman import envs
from pointsman.errors import PointsmanError
from pointsman.evaluation.changes import changed
from pointsman.evaluation.rollout import rollout
from pointsman.evaluation.stress import Distorted, load_pack, stress_rows, stress_table, stresses, under_stress

CONFIG = {
    "rate": 3, "rates": [1.5, 6.0], "none": None, "share": 0.4, "staff": {"a": {"n": 10}, "b": {"n": 4}},
    "bins": [1.0, 0.5, 0.0], "weights": [2.0, 1.0, 1.0], "minutes": {"easy": 2.0, "hard": 4.0}, "name": "x",
    "shifts": [{"staff": 5, "days": "mon"}, {"staff": 3, "days": "tue"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"rate": 5}, {"rate": 5}),
        ({"rate": {"times": 2}}, {"rate": 6}),
        ({"rates": {"times": 2}}, {"rates": [3.0, 12.0]}),
        ({"staff.*.n": {"times": 0.7}}, {"staff.a.n": 7, "staff.b.n": pytest.approx(2.8)}),
        ({"staff.*.n": {"times": 0.7, "whole": True}}, {"staff.a.n": 7, "staff.b.n": 3}),
        ({"minutes": {"times": 1.5}}, {"minutes": {"easy": 3.0, "hard": 6.0}}),
        ({"share": {"towards": 0.5, "by": 2}}, {"share": pytest.approx(0.6)}),
        ({"bins": {"towards": "mean", "weights": "weights", "by": 0.5}}, {"bins": [0.8125, 0.5625, 0.3125]}),  # mean 0.625
        ({"weights": {"flip": True}}, {"weights": [1.0, 1.0, 2.0]}),
        ({"staff.*.n": {"flip": True}}, {"staff.a.n": 4, "staff.b.n": 10}),
        ({"none": {"times": 2}}, {}),
        ({"none.*.staff": {"times": 2}}, {}),
        ({"shifts.*.staff": {"times": 2}}, {"shifts.0.staff": 10, "shifts.1.staff": 6}),
        ({"none": {"times": 2, "fill": [1.0]}}, {"none": [2.0]}),
        ({"rate": {"times": 1, "fill": 7}}, {}),
        ({"rate": 3}, {}),
    ],
)
def test_notation_of_changes(change, wanted):
    assert changed(CONFIG, change) == wanted


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"raet": 1}, "raet.*did you mean rate"),
        ({"staff.c.n": 1}, "staff.c.n"),
        ({"rate": {"times": 2, "hwole": True}}, "hwole.*whole"),
        ({"rate": {"times": "two"}}, "rate.times must be a number, got 'two'"),
        ({"name": {"times": 2}}, "name: only numbers"),
        ({"rate": {"flip": True}}, "rate: this change needs a list"),
        ({"bins": {"towards": "mean", "weights": "wieghts"}}, "wieghts.*weights"),
        ({"rate": {"times": "mean"}}, "rate.times must be a number, got 'mean'"),
        ({"bins": {"towards": "mean", "by": "mean"}}, "bins.by must be a number, got 'mean'"),
        ({"bins": {"towards": "mean", "weights": "rates"}}, "rates must be 3 numbers with a positive sum"),
        ({"bins": {"towards": "mean", "weights": "none"}}, "none: .*list of numbers, got None"),
        ({"bins": {"flip": False}}, "bins.flip must be true"),
        ({"rate": {"times": 2, "whole": "yes"}}, "rate.whole must be true, or left out, got 'yes'"),
        ({"none": {"times": 2, "fill": ["x"]}}, "none.fill: .*got 'x'"),
        ({3: {"times": 2}}, "unknown key '3'"),
    ],
)
def test_mistakes_in_changes_are_named(change, named):
    with pytest.raises(PointsmanError, match=named):
        changed(CONFIG, change)


@pytest.mark.parametrize("preset", marked(envs.presets()))
def test_shipped_packs_fit_every_problem(preset):
    """Each stress that applies runs under a rule; the pack changes the world without changing what policies see."""
    short = {"horizon_minutes": 30.0, "horizon_time": 20.0, "horizon_weeks": 5, "warmup_minutes": 0.0, "warmup_time": 0.0}
    config = envs.configure(preset)
    problem = envs.build(envs.complete(config, {key: value for key, value in short.items() if key in config}))
    name, rule = next(iter(envs.rules(problem).items()))
    found = stresses(problem, load_pack(preset.split("/")[0]))
    assert len(found) >= 6
    if preset.startswith("dispatch"):
        assert {"staff_missing", "automation_off", "handling_longer"} <= {stress.name for stress in found}
    assert {stress.name for stress in found} >= {"observed_late", "observed_seldom"}
    if preset.startswith("portfolio"):  # where proposals have a chance, which cannot be four times as high
        assert {"work_slower", "people_better", "window_halved"} <= {stress.name for stress in found}
    else:
        assert {"arrivals_x2", "arrivals_x4"} <= {stress.name for stress in found}
    for stress in found:
        under = under_stress(stress, {name: rule(problem)}, name, [name], 2, 0)
        assert np.isfinite(under.rate(name).estimate)


def test_stresses_do_what_they_say():
    """On dispatch/mini, under a rule that automates half: quantities of the ledger beside those of the plain problem."""
    problem = envs.build(envs.configure("dispatch/mini", horizon_minutes=200.0))
    rule = envs.rules(problem)["threshold"](problem, threshold=0.6)
    found = {stress.name: stress for stress in stresses(problem, load_pack("dispatch"))}

    def total(problem, column):
        return rollout(rule, problem, 40, 0).ledger[:, problem.columns.index(column)].sum()

    for factor in (2, 4):
        more = found[f"arrivals_x{factor}"].problem
        assert total(more, "arrived") / total(problem, "arrived") == pytest.approx(factor, rel=0.05)
        assert more.config["queue_size"] == factor * problem.config["queue_size"]
    assert total(found["automation_off"].problem, "automation_attempts") == 0
    failing = found["automation_fails"].problem
    assert total(failing, "bounces") == total(failing, "automation_attempts") > 0
    assert total(found["staff_missing"].problem, "paid_minutes") == pytest.approx(0.7 * total(problem, "paid_minutes"))
    assert found["handling_longer"].problem.config["classes"]["request"]["handling_minutes"] == 7.5
    halved = found["classifier_halved"].problem.config["score"]
    weights, bins = np.array(halved["bins_weight"]), np.array(halved["bins_easy_probability"])
    before = np.array(problem.config["score"]["bins_easy_probability"])
    assert weights @ bins == pytest.approx(weights @ before)  # as many easy requests as before
    assert np.ptp(bins) == pytest.approx(np.ptp(before) / 2)
    assert found["mix_flipped"].problem.config["score"]["bins_weight"] == [0.1, 0.15, 0.15, 0.15, 0.2, 0.25]


class Recorder:
    def __init__(self):
        self.seen = []

    def act(self, observation, mask, u):
        self.seen.append(observation.copy())
        return np.zeros(len(mask), np.int64)


def distorted(how, column, draws=None):
    """What a policy sees in place of a column [T, N] of the second entry."""
    layout = envs.build(envs.configure("dispatch/mini")).layout
    recorder = Recorder()
    policy = Distorted(recorder, layout, {1: how})
    rng = np.random.default_rng(0)
    for t, values in enumerate(column):
        observation = np.stack([np.full(len(values), 0.5), values, np.full(len(values), 7.0)], 1).astype(np.float32)
        u = rng.random(len(values)) if draws is None else draws[t]
        policy.act(observation, np.ones((len(values), 2), bool), u)
        assert (recorder.seen[-1][:, [0, 2]] == observation[:, [0, 2]]).all()
    return np.array(recorder.seen)[:, :, 1]


def test_a_delay_shows_the_value_of_so_many_decisions_ago():
    seen = distorted({"delay": 3}, np.arange(8.0)[:, None])
    assert seen[:, 0].tolist() == [0, 0, 0, 0, 1, 2, 3, 4]


def test_missing_values_repeat_the_last_that_came_or_read_as_told():
    column = np.tile(np.arange(1.0, 401.0)[:, None], (1, 50))
    seen = distorted({"missing": 0.3}, column)
    assert (seen != column).mean() == pytest.approx(0.3, abs=0.02)
    assert (np.diff(seen, axis=0)[seen[1:] != column[1:]] == 0).all()
    empty = distorted({"missing": 0.3, "reads": 0}, column)
    assert set(np.unique(empty[empty != column])) == {0.0}
    assert ((empty == 0) == (seen != column))[1:].all()  # the same looks are missing


def test_overconfident_scores_are_further_from_even():
    """Odds 3 : 1 squared are 9 : 1."""
    seen = distorted({"log_odds": 2}, np.array([[0.75, 0.5, 0.25]]))
    assert seen[0].tolist() == pytest.approx([0.9, 0.5, 0.1])


def test_stress_rows_are_paired_by_hand():
    problem = envs.build(envs.configure("dispatch/mini", horizon_minutes=100.0))
    rules = envs.rules(problem)
    policies = {"threshold": rules["threshold"](problem, threshold=0.4), "all_people": rules["all_people"](problem)}
    pack = {"busy": {"says": "busy", "change": {"arrival_rate": {"times": 1.2}}}, "same": {"change": {"arrival_rate": 3.0}}}
    found = {s.name: under_stress(s, policies, "all_people", ["threshold"], 8, 3) for s in stresses(problem, pack)}
    assert list(found) == ["busy"]  # the other changes nothing
    rows = stress_rows(found, "threshold").set_index("policy")
    busy = found["busy"]
    assert busy.problem.config["arrival_rate"] == pytest.approx(3.6)
    assert rows["relative"]["threshold"] == 0.0
    share = busy.cost["all_people"].sum() / busy.cost["threshold"].sum() - 1
    assert rows["relative"]["all_people"] == pytest.approx(share)
    assert stress_table(found, list(policies), "threshold").row_count == 1


@pytest.mark.parametrize(
    ("pack", "named"),
    [
        ({"x": {"chang": {}}}, "stress x: 'chang'"),
        ({"x": {"change": {"arival_rate": 1}}}, "stress x: unknown key 'arival_rate'"),
        ({"x": {"change": {"arrival_rate": -1}}}, "stress x: arrival_rate"),
        ({"x": {"change": 3}}, "stress x: change must hold"),
        ({"x": {"observe": {"score": {"dealy": 3}}}}, "stress x: observe.score.*dealy"),
        ({"x": {"observe": {"score": {"delay": 1.5}}}}, "stress x: observe.score.delay"),
        ({"x": {"observe": {"score": {"log_odds": -1}}}}, "stress x: observe.score.log_odds"),
        ({"x": {"observe": {"score": {"missing": 30}}}}, "stress x: observe.score.missing must be .* at most 1, got 30"),
        ({"x": {"observe": {"score": {"missing": 0.3, "reads": "zero"}}}}, "score.reads must be last or a number, got 'zero'"),
        ({"x": {"change": {"arrival_rate": {"times": "mean"}}}}, "stress x: arrival_rate.times must be a number"),
        ({"x": {3: 1}}, "part of stress x: '3'"),
        (
            {"x": {"change": {"arrival_rate": None, "arrival_rates": [1, 2], "switching_rates": [1, 1]}}},
            "changes what is observed",
        ),
    ],
)
def test_mistakes_in_a_pack_are_named(pack, named):
    with pytest.raises(PointsmanError, match=named):
        stresses(envs.build(envs.configure("dispatch/mini")), pack)


def test_packs_are_found_by_name_or_path(tmp_path):
    assert "arrivals_x2" in load_pack("dispatch")
    with pytest.raises(PointsmanError, match="dispach.*dispatch"):
        load_pack("dispach")
    with pytest.raises(PointsmanError, match="no file at nowhere.yaml"):
        load_pack("nowhere.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(PointsmanError, match=r"bad\.yaml"):
        load_pack(str(tmp_path / "bad.yaml"))
    (tmp_path / "flat.yaml").write_text("a: 3")
    with pytest.raises(PointsmanError, match="every entry"):
        load_pack(str(tmp_path / "flat.yaml"))
