"""Rules for fleets on hand-made situations, and one learnt policy for fleets of any size."""

import numpy as np
import pytest

import pointsman
from pointsman import envs
from pointsman.agents import policy
from pointsman.agents.log import Log
from pointsman.agents.ppo import PPO
from pointsman.errors import PointsmanError
from pointsman.evaluation.rollout import rollout
from pointsman.evaluation.statistics import rate
from pointsman.evaluation.stress import load_pack, stresses

MINUTE = 1.3 * 60 / 24
"""Minutes for a kilometre by air."""
WAIT, REFUSE = 3, 4


def situation(problem, vehicles, idle, hand, others=(), minute=0.0, waiting=0.0, mask=None):
    """Observation and mask of one row: places of vehicles, and (x, y, trip minutes, value) of requests."""
    layout = problem.layout
    context = dict.fromkeys(layout.context, 0.0)
    context |= dict(zip(("x", "y", "trip_minutes", "value"), hand, strict=True))
    context["waiting_per_vehicle"] = waiting
    if "minute" in context:
        context["minute"] = minute
    for k, other in enumerate(others):
        context[f"other_{k}/present"] = 1.0
        context |= {f"other_{k}/{name}": value for name, value in zip(("x", "y", "trip_minutes", "value"), other, strict=True)}
    rows = []
    for (x, y), free in zip(vehicles, idle, strict=True):
        entry = dict.fromkeys(layout.candidates, 0.0) | {"present": 1.0, "idle": float(free), "x": x, "y": y}
        rows.append(list((entry | {"pickup_minutes": MINUTE * np.hypot(x - hand[0], y - hand[1])}).values()))
    seen = {"context": np.array([list(context.values())], np.float32), "candidates": np.array([rows], np.float32)}
    return seen, np.array([[*idle, *(mask or (True, True))]], bool)


def decide(name, overrides=None, values=None, **facts):
    problem = envs.build(envs.configure("fleet/busy", **({"vehicles": 3} | (overrides or {}))))
    rule = envs.rules(problem)[name](problem, **(values or {}))
    return int(rule.act(*situation(problem, **facts), np.zeros(1))[0])


THREE = {"vehicles": [(0, 0), (2, 0), (5, 0)], "idle": [True, True, True], "hand": (3, 0, 10, 5)}


def test_nearest():
    assert decide("nearest", **THREE) == 1
    assert decide("nearest", **(THREE | {"idle": [True, False, False]})) == 0
    assert decide("nearest", **(THREE | {"idle": [False] * 3})) == WAIT
    assert decide("nearest", **(THREE | {"idle": [False] * 3, "mask": (False, True)})) == REFUSE


def test_nearest_within_waits_for_a_nearer_one_and_refuses_when_too_many_wait():
    values = {"within": 2 * MINUTE, "most_waiting": 1.0}
    assert decide("nearest_within", values=values, **THREE) == 1
    far = THREE | {"idle": [True, False, False]}
    assert decide("nearest_within", values=values, waiting=1.0, **far) == WAIT
    assert decide("nearest_within", values=values, waiting=1.5, **far) == REFUSE
    assert decide("nearest_within", values=values, waiting=1.5, mask=(True, False), **far) == WAIT


def test_matching_leaves_the_nearest_vehicle_to_who_has_no_other():
    """The request at hand, at 3, could have the vehicle at 2; but then the other, at 0, stays alone.

    Both served at 2 km each gain 2 (within - 2), one at 1 km gains within - 1: the first is more from 3 km on.
    """
    values = {"interval": 1, "within": 3.1 * MINUTE, "most_waiting": 2.0}
    crossing = THREE | {"vehicles": [(9, 0), (2, 0), (5, 0)], "others": [(0, 0, 10, 5)]}
    assert decide("nearest", **crossing) == 1
    assert decide("batched", values=values, **crossing) == 2
    assert decide("batched", values=values | {"within": 2.9 * MINUTE}, **crossing) == 1


def test_intervals_are_kept():
    """Batches of 15 seconds, every fourth: at whole minutes."""
    values = {"interval": 4, "within": 9.0, "most_waiting": 0.0}
    assert decide("batched", values=values, minute=2.0, **THREE) == 1
    assert decide("batched", values=values, minute=2.25, waiting=3.0, **THREE) == WAIT
    # With decisions at events there is nothing to wait for, and no interval to set.
    assert decide("batched", {"batch_minutes": 0.0}, {"within": 9.0}, **THREE) == 1
    with pytest.raises(PointsmanError, match="interval"):
        decide("batched", {"batch_minutes": 0.0}, {"interval": 4}, **THREE)


def test_value_decides_who_gets_the_only_vehicle_and_who_is_refused():
    """At prices 1 per value, 0.3 per km, 0.1 per pickup minute and 1 lost: trips of 10 minutes, 8 of them 3.2 km of driving."""
    values = {"interval": 1, "minute_worth": 0.2, "most_waiting": 9.0}
    alone = THREE | {"vehicles": [(0, 0), (3, 1), (9, 9)], "idle": [False, True, False]}
    assert decide("batched_value", values=values, **alone) == 1
    assert decide("batched_value", values=values, others=[(3, 1, 10, 9)], **alone) == WAIT
    # 1 + v - 0.96 - 0.2 * 10 - 1 km by air * (0.39 + 3.25 * 0.3) = v - 3.325 for the one at hand.
    for value, wanted in ((3.35, 1), (3.3, WAIT), (1.97, WAIT), (1.95, REFUSE)):
        assert decide("batched_value", values=values, **(alone | {"hand": (3, 0, 10, value)})) == wanted, value


def test_the_search_may_let_as_many_wait_as_there_are_places():
    """A third of a request per vehicle, which float32 rounds up, is not too many; the search gives values by row, in float64."""
    overrides = {"vehicles": 3, "waiting_limit": 1, "places_shown": 1}
    problem = envs.build(envs.configure("fleet/busy", **overrides))
    most = envs.rules(problem)["nearest_within"].space_for(problem)["most_waiting"].high
    far = THREE | {"idle": [True, False, False], "waiting": 1 / 3}
    assert decide("nearest_within", overrides, {"within": MINUTE, "most_waiting": np.array([most])}, **far) == WAIT


def test_parameters_may_differ_by_row():
    problem = envs.build(envs.configure("fleet/busy", vehicles=3))
    one, mask = situation(problem, **THREE)
    two = {key: np.repeat(rows, 2, 0) for key, rows in one.items()}
    for name, values in (("batched", {"within": [1.0, 9.0]}), ("batched_value", {"minute_worth": [0.45, 0.1]})):
        rule = envs.rules(problem)[name](problem, interval=np.ones(2), **{k: np.array(v) for k, v in values.items()})
        assert rule.act(two, np.repeat(mask, 2, 0), None).tolist() == [WAIT, 1], name


def test_batched_assignment_beats_nearest_on_the_busy_preset():
    """Paired, on the same records; nearest decides at once, when a request or a vehicle is there."""
    problem, at_once = (envs.build(envs.configure("fleet/busy", horizon_minutes=120.0, batch_minutes=b)) for b in (0.25, 0.0))
    batched = envs.rules(problem)["batched"](problem, interval=1, within=7.2, most_waiting=1.1)
    prices = envs.BatchEnv(problem).prices
    found = rollout(batched, problem, 12, seed=7)
    for other in (problem, at_once):
        nearest = rollout(envs.rules(other)["nearest"](other), other, 12, seed=7)
        np.testing.assert_array_equal(found.elapsed, nearest.elapsed)
        assert rate((found.ledger - nearest.ledger) @ prices, found.elapsed, level=0.999).high < 0


def test_a_policy_trained_with_20_vehicles_runs_with_100(tmp_path):
    """Unchanged, saved and loaded; vehicles in another order get the same scores in that order."""
    learner = PPO(total_steps=2048, num_envs=16, rollout_steps=64, minibatch=512, epochs=1, hidden=(16, 16))
    env = pointsman.make("fleet/city", 16)
    trained = learner.fit(env, Log(), seed=0)
    assert env.problem.params.vehicles == 20
    policy.save(trained, tmp_path)
    again = policy.load(tmp_path)
    large = envs.build(envs.configure("fleet/city", vehicles=100, arrival_rate=7.0, horizon_minutes=20.0))
    totals = rollout(again, large, 2, seed=0, illegal="raise")
    served = totals.ledger[:, large.columns.index("served")]
    assert (served > 30).all()
    rows = envs.BatchEnv(large, 4)
    rows.reset(seed=1)
    observation, *_ = rows.step(np.full(4, 100))
    mask, order = rows.action_masks(), np.random.default_rng(0).permutation(100)
    moved = {"context": observation["context"], "candidates": observation["candidates"][:, order]}
    before = again.network.actor(again.network.normaliser(_tensor(rows.layout.flat(observation)))).detach().numpy()
    after = again.network.actor(again.network.normaliser(_tensor(rows.layout.flat(moved)))).detach().numpy()
    np.testing.assert_allclose(after[:, :100], before[:, order], atol=1e-5)
    assert mask[:, 100:].all()


def _tensor(rows):
    import torch

    return torch.from_numpy(rows)


@pytest.mark.parametrize("preset", ["fleet/busy", "fleet/city"])
def test_stresses_of_the_pack_apply(preset):
    problem = envs.build(envs.configure(preset, horizon_minutes=20.0))
    found = {stress.name: stress for stress in stresses(problem, load_pack("fleet"))}
    assert len(found) == 7
    assert found["traffic_slower"].problem.params.minutes_per_km == pytest.approx(60 / (24 * 0.8))
    assert len(found["observed_late"].observe) == 20 * 4  # x, y and both pickup minutes of each vehicle
    assert rollout(envs.rules(problem)["batched"](problem), found["arrivals_x4"].problem, 2, seed=0).elapsed.min() >= 20.0
