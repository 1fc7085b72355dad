"""The fleet's kernel against a day in plain Python, the laws of what arrives, and what holds whatever is decided."""

import numpy as np
import pytest
from naive_fleet import day

import pointsman
from pointsman import envs
from pointsman.envs.fleet import kernel
from pointsman.envs.fleet.bound import known
from pointsman.errors import PointsmanError
from pointsman.evaluation.rollout import rollout

NAMES = ("x", "y", "to_x", "to_y", "km", "value", "since", "deadline", "pace")
COLUMNS = {
    "arrived": "arrived", "served": "served", "lost/refused": "refused", "lost/abandoned": "abandoned",
    "lost/turned_away": "turned_away", "value": "value", "pickup_minutes": "pickup", "empty_km": "empty", "loaded_km": "loaded",
    "waiting_minutes": "waiting", "busy_minutes": "busy", "vehicle_minutes": "fleet",
}  # fmt: skip


def build(preset="fleet/busy", **overrides):
    return envs.build(envs.configure(preset, **overrides))


def records(problem, seed, index):
    """The requests of an episode up to and including the first from the horizon on, which ends it."""
    longer = envs.build(dict(problem.config) | {"horizon_minutes": problem.horizon + 60.0})
    rows, starts = known(longer, seed, index)
    last = int((rows[:, kernel.SINCE] >= problem.horizon).argmax())
    return [dict(zip(NAMES, row, strict=True)) for row in rows[: last + 1].tolist()], starts


@pytest.mark.parametrize("overrides", [{}, {"batch_minutes": 0}, {"waiting_limit": 8}, {"batch_minutes": 0, "waiting_limit": 8}])
@pytest.mark.parametrize("within", [np.inf, 5.0])
def test_a_day_is_that_of_plain_python(overrides, within):
    """Nearest vehicle within so many minutes, and of the others those are refused whose value is small."""
    problem = build(horizon_minutes=90.0, vehicles=6, **overrides)
    p = problem.params

    def choose(waiting, request, vehicles, now):
        def minutes(v):
            return p.detour * np.hypot(v["x"] - request["x"], v["y"] - request["y"]) * p.minutes_per_km

        idle = [v for v in vehicles if v["free"] <= now]
        best = min(idle, key=minutes, default=None)
        if best is not None and minutes(best) <= within:
            return best
        full = p.batch == 0 and len(waiting) > p.waiting_limit
        return "refuse" if full or (within < np.inf and request["value"] < 5.0) else "wait"

    class Same:
        def act(self, observation, mask, u):
            minutes = np.where(mask[:, :-2], observation["candidates"][:, :, 3], np.inf)
            refuse = mask[:, -1] & (~mask[:, -2] | ((within < np.inf) & (observation["context"][:, 5] < 5.0)))
            return np.where(minutes.min(1) <= min(within, 1e9), minutes.argmin(1), p.vehicles + refuse)

    totals = rollout(Same(), problem, 4, seed=3)
    for index in range(4):
        wanted = day(*records(problem, 3, index), p, choose)
        for place, column in enumerate(problem.columns):
            assert totals.ledger[index, place] == pytest.approx(wanted[COLUMNS[column]], abs=1e-6), column
        gone = wanted["served"] + wanted["refused"] + wanted["abandoned"] + wanted["turned_away"]
        assert wanted["arrived"] == gone + wanted["left"]


@pytest.mark.parametrize("preset", ["fleet/busy", "fleet/city", "fleet/zones"])
def test_every_policy_meets_the_same_world(preset):
    """Random and nearest: the same arrivals and the same time, and no request counted twice."""
    problem = build(preset, horizon_minutes=120.0, warmup_minutes=0.0)
    rng = np.random.default_rng(0)

    class Anything:
        def act(self, observation, mask, u):
            return (rng.random(mask.shape) * mask).argmax(1)

    one, other = (rollout(who, problem, 20, seed=1) for who in (Anything(), envs.rules(problem)["nearest"](problem)))
    column = {name: k for k, name in enumerate(problem.columns)}
    np.testing.assert_array_equal(one.elapsed, other.elapsed)
    for found in (one, other):
        np.testing.assert_array_equal(found.ledger[:, column["arrived"]], one.ledger[:, column["arrived"]])
        np.testing.assert_allclose(found.ledger[:, column["vehicle_minutes"]], problem.params.vehicles * found.elapsed)
        gone = sum(found.ledger[:, k] for name, k in column.items() if name == "served" or name.startswith("lost/"))
        left = found.ledger[:, column["arrived"]] - gone
        assert (left >= 0).all()
        assert (left <= problem.params.waiting_limit + 1).all()
    assert (one.ledger != other.ledger).any()


def test_what_arrives_follows_the_configuration():
    """Arrivals by slot, zones of origin and destination, patience and value: within five standard errors."""
    zones = {
        "a": {"x": 2, "y": 3, "spread_km": 0.1, "share": 3, "to": {"b": 1.0}},
        "b": {"x": 6, "y": 6, "spread_km": 0.0, "share": 1, "to": {"a": 1.0, "b": 3.0}},
    }
    config = envs.configure("fleet/busy", horizon_minutes=180.0, arrival_profile=[0.5, 2.0])
    problem = envs.build(envs.complete(config | {"zones": zones}))
    rows = np.concatenate([known(problem, 5, index)[0] for index in range(200)])
    slot = (rows[:, kernel.SINCE] // 60).astype(int) % 2
    expected = np.array([2 * 60 * 1.0, 60 * 4.0]) * 200  # slots 0 and 2, slot 1
    assert (np.abs(np.bincount(slot) - expected) < 5 * np.sqrt(expected)).all()
    at_b = rows[:, kernel.X] > 4
    to_b = rows[:, kernel.TO_X] > 4
    n = len(rows)
    assert abs(at_b.mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / n)
    assert to_b[~at_b].all()
    assert abs(to_b[at_b].mean() - 0.75) < 5 * np.sqrt(0.75 * 0.25 / at_b.sum())
    assert rows[at_b, kernel.X : kernel.Y + 1].tolist() == [[6.0, 6.0]] * int(at_b.sum())
    around = rows[~at_b, kernel.X : kernel.Y + 1] - [2, 3]
    assert np.abs(around.std(0) / 0.1 - 1).max() < 5 / np.sqrt(2 * len(around))
    assert np.abs(around.mean(0)).max() < 5 * 0.1 / np.sqrt(len(around))
    patience = rows[:, kernel.DEADLINE] - rows[:, kernel.SINCE]
    assert abs(patience.mean() - 6.0) < 5 * 6.0 / np.sqrt(n)
    assert abs((patience > 6.0).mean() - np.exp(-1)) < 5 * 0.5 / np.sqrt(n)
    km = 1.3 * np.hypot(rows[:, kernel.X] - rows[:, kernel.TO_X], rows[:, kernel.Y] - rows[:, kernel.TO_Y])
    np.testing.assert_allclose(rows[:, kernel.KM], km, atol=1e-9)
    factor = rows[:, kernel.WORTH_OF] / (3.0 + km)
    assert abs(factor.mean() - 1) < 5 * 0.3 / np.sqrt(3 * n)
    assert (np.abs(factor - 1) < 0.3 + 1e-9).all()


def test_the_observation_is_what_operations_would_see():
    """A state put together by hand: two vehicles, three requests of which the second is at hand in a batch."""
    problem = build(vehicles=2, places_shown=2)
    env = envs.BatchEnv(problem, 1)
    env.reset(seed=0)
    s, p = env.state, problem.params
    s.clock[:], s.waiting[:], s.hand[:], s.sweep[:] = 10.0, 3, 1, True
    s.x[0], s.y[0], s.free_at[0] = [0.0, 3.0], [0.0, 4.0], [10.0, 12.5]
    s.queue[0, 0], s.queue[0, 1], s.queue[0, 2] = (
        [0, 1, 0, 2, 1.3, 4.0, 8.0, 99, 1], [3, 4, 3, 0, 5.2, 7.0, 9.0, 99, 1], [3, 5, 6, 5, 3.9, 9.0, 9.5, 99, 1],
    )  # fmt: skip
    kernel.observe_rows(p, s, env.record, env.out)
    seen = env.layout.shaped(env.out.observation)
    by_name = dict(zip(env.layout.context, seen["context"][0].tolist(), strict=True))
    wanted = {"x": 3, "y": 4, "to_x": 3, "to_y": 0, "trip_minutes": 15, "value": 7, "waiting_per_vehicle": 1.5}
    wanted |= {"idle_share": 0.5, "waited_minutes": 1, "minute": 10, "other_0/present": 1, "other_0/x": 3, "other_0/y": 5}
    wanted |= {"other_0/to_x": 6, "other_0/trip_minutes": 11.75, "other_0/value": 9, "other_1/present": 0, "other_1/value": 0}
    for name, value in wanted.items():
        assert by_name[name] == pytest.approx(value), name
    entries = [dict(zip(env.layout.candidates, row, strict=True)) for row in seen["candidates"][0].tolist()]
    minute = 1.3 * 60 / 24  # of a kilometre by air
    first = {"present": 1, "idle": 1, "free_in": 0, "pickup_minutes": 5 * minute, "other_pickup_minutes": minute}
    first |= {"other_trip_minutes": 5.25, "other_value": 4}
    second = {"present": 1, "idle": 0, "free_in": 2.5, "pickup_minutes": 0, "other_pickup_minutes": minute, "other_value": 9}
    for entry, row in zip(entries, (first, second), strict=True):
        for name, value in row.items():
            assert entry[name] == pytest.approx(value, abs=1e-5), name
    assert env.action_masks()[0].tolist() == [True, False, True, True]


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"vehicles": 0}, "vehicles .*0"),
        ({"arrival_rate": -1.0}, "arrival_rate .*-1"),
        ({"patience_minutes": 0.0}, "patience_minutes .*0"),
        ({"speed_kmh": float("nan")}, "speed_kmh .*nan"),
        ({"zones": {"a": {"x": 9.0}}}, r"zones\.a\.x .*at most 8, got 9"),
        ({"zones": {"a": {"to": {"b": 1.0}}}}, "unknown zone in zones.a.to: 'b'"),
        ({"zones": {"a": {"to": {"a": 0.0}}}}, r"zones\.a\.to .*positive sum"),
        ({"zones": {"a": {"share": -1.0}}}, r"zones\.a\.share .*-1"),
        ({"zones": {"a": {"sharee": 1.0}}}, "sharee"),
        ({"batch_minutes": 500.0}, "batch_minutes .*500"),
        ({"exponential_times": True}, "batch_minutes .*exponential_times"),
        ({"places_shown": 99}, "places_shown .*99"),
        ({"arrival_profile": [0.0]}, "arrival_profile .*positive"),
        ({"arrival_profile": [1.0, -2.0]}, r"arrival_profile\[1\] .*-2"),
        ({"value_spread": 1.5}, "value_spread .*1.5"),
        ({"prices": {"revenue": 1.0}}, "revenue"),
        ({"detour_factor": 0.5}, "detour_factor .*0.5"),
        ({"service_minutes": 0.0, "zones": {"a": {"spread_km": 0.0}}}, "service_minutes"),
    ],
)
def test_bad_configuration_is_one_line_that_names_the_key(overrides, named):
    with pytest.raises(PointsmanError, match=named) as caught:
        pointsman.make("fleet/busy", **overrides)
    assert "\n" not in str(caught.value)
