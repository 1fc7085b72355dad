"""The dispatch kernel against its slow twin, itself in plain Python, and the laws of conservation."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from naive import NaiveDesk, Request, whole_staff
from plain import plain_kernel

import pointsman
from pointsman import envs
from pointsman.envs import noise
from pointsman.envs.dispatch import kernel
from pointsman.envs.dispatch.params import staffing
from pointsman.envs.ledger import Ledger
from pointsman.errors import PointsmanError

HOURS = [(3, 5, 2, 0)[hour % 4] for hour in range(168)]
RICH = {
    "arrival_rate": None,
    "hourly_arrival_rates": [1.0 + (hour % 5) for hour in range(168)],
    "classes": {
        "request": {"share": 0.6, "handling_minutes": {"easy": 2, "hard": 5}, "patience_minutes": 4},
        "claim": {"share": 0.4, "handling_minutes": 3, "handling_cv": 1.3, "patience_minutes": 9, "target_minutes": 0.5},
    },
    "teams": {"people": {"staff": HOURS}, "experts": {"staff": 2, "queue_limit": 3}},
    "automation": {"capacity": 4, "latency_minutes": 1.5, "success_easy": 0.9, "success_hard": 0.1},
    "score": {"auc": 0.8, "easy_share": 0.4, "bins_easy_probability": None, "bins_weight": None},
    "start_minute": 30.0,
}
# Several come on duty at once, and what they forward may bounce while the others still choose.
PICKUPS = {"pickup_decisions": True, "places_shown": 3, "teams": {"people": {"staff": HOURS, "queue_limit": 12}}}
PICKUPS |= {"automation": {"success_easy": 0.6}, "arrival_rates": [0.5, 4.0], "switching_rates": [0.05, 0.05]}
# Everything at once: skills, shifts that begin at the same time as others end, outages, drift, pickups.
DESK = RICH | {
    "arrival_rate": 2.5,
    "hourly_arrival_rates": None,
    "teams": {
        "people": {
            "staff": None,
            "shifts": [
                {"days": "mon", "start": "0:00", "end": "1:30", "staff": 1},
                {"days": "mon,tue", "start": "1:30", "end": "3:15", "staff": 4},
                {"days": "mon", "start": "2:45", "end": "2:00", "staff": 2},
            ],
            "speed": {"request": 1.25, "claim": 0.5},
            "queue_limit": 9,
        },
        "experts": {"staff": 2, "queue_limit": 6, "speed": {"claim": 1.5, "request": None}},
    },
    "bounce_team": {"claim": "experts", "request": "people"},
    "pickup_decisions": True,
    "forward_minutes": 0.4,
    "places_shown": 2,
}
DESK["automation"] = RICH["automation"] | {
    "unnoticed_failures": 0.3,
    "bounce_handling_factor": 1.5,
    "outages": {"every_minutes": 15, "last_minutes": 5},
}
DESK["score"] = RICH["score"] | {"drift": {"remains": 0.5, "from_minute": 30, "until_minute": 90}}
WORLDS = {
    "mini": ("dispatch/mini", {}),
    "surge": ("dispatch/surge", {"horizon_minutes": 3000}),
    "rich": ("dispatch/mini", RICH),
    "pickups": ("dispatch/surge", PICKUPS),
    "desk": ("dispatch/mini", DESK),
}


def random_actions(mask, rng):
    """A legal action per row."""
    return np.where(mask, rng.random(mask.shape), -1.0).argmax(1)


def outage_clocks(env, most=400):
    """Clocks at which automation goes out and comes back, from the kernel's counters; an outage that lasts begins at -1."""
    mean, key = env.problem.params.outage, noise.mix(env.state.key[0], kernel.OUTAGES)
    if np.isinf(mean[0]):
        return []
    out = noise.uniform(key, 0) >= mean[0] / mean.sum()
    clock, found = env.state.origin[0], [-1.0] if out else []
    for k in range(int(out), most):
        clock += mean[k % 2] * noise.exponential(key, 1 + k)
        found.append(clock)
    return found


def request_of(env):
    """The request that has arrived, for the twin."""
    request, p = {field: array[0] for field, array in env.state.request._asdict().items()}, env.problem.params
    chance, u = p.success[request["easy"]], request["success"]
    fate = "solved" if u < chance else ("unnoticed" if (1.0 - u) <= p.unnoticed * (1.0 - chance) else "bounced")
    names = ("kind", "easy", "handling", "patience")
    return Request(*(request[name] for name in names), fate, request["latency"], request["score"])


@pytest.mark.parametrize("world", WORLDS)
def test_ledger_equals_the_slow_twin_in_every_step(world):
    """Same records, independent bookkeeping: every column but the wait buckets, and every observation of the desk."""
    name, overrides = WORLDS[world]
    env = pointsman.make(name, 1, autoreset=False, **overrides)
    config, teams = env.problem.config, list(env.problem.config["teams"])
    observation, _ = env.reset(seed=7)
    rng, desk, pickups = np.random.default_rng(1), None, 0
    for _ in range(1200 if config["pickup_decisions"] else 600):
        if desk is None:
            desk = NaiveDesk(config, env.state.clock[0], whole_staff(config), outage_clocks(env))
        picked, request = env.state.picked[0] > 0, request_of(env)
        pickups += picked
        action = random_actions(env.action_masks(), rng)
        observation, _, _, truncated, info = env.step(action)
        next_arrival = env.state.arrived[0] + (env.record.gap[0] if env.state.picked[0] > 0 else 0.0)
        expected = desk.decide(action[0], request, next_arrival)
        for column, found in zip(env.ledger.columns, info["ledger"][0], strict=True):
            if not column.startswith("wait_bucket"):
                assert found == pytest.approx(expected[column], abs=1e-8), column
        buckets = info["ledger"][0, env.ledger["wait_bucket"]].sum()
        assert buckets == sum(count for column, count in expected.items() if column.split("/")[0] == "answered")
        assert desk.clock == pytest.approx(env.state.clock[0], abs=1e-9)
        assert (desk.picked[0] + 1 if desk.picked else 0) == env.state.picked[0]
        seen = dict(zip(env.layout.context, observation[0], strict=True))
        for j, team in enumerate(teams):
            end = f"/{team}" if len(teams) > 1 else ""
            assert (seen[f"in_service{end}"], seen[f"waiting{end}"]) == (desk.busy[j], len(desk.queues[j]))
            for k in range(config["places_shown"]):
                waiting = desk.queues[j][k] if k < len(desk.queues[j]) else None
                score = 0.0 if waiting is None or waiting.tried else waiting.score
                assert seen[f"place_{k + 1}{end}"] == pytest.approx(score, abs=1e-6)
        assert seen.get("outage", 0.0) == desk.out
        assert seen.get("in_automation", 0.0) == len(desk.flying)
        if desk.picked:
            assert seen["score"] == 1.0
            assert seen.get(f"class/{desk.kinds[desk.picked[1].kind]}", 1.0) == 1.0
        if truncated[0]:
            env.reset()
            desk = None
    assert pickups > 100 or not config["pickup_decisions"]


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("world", WORLDS)
def test_compiled_equals_plain_python(world):
    name, overrides = WORLDS[world]
    fast, slow = (pointsman.make(name, 3, horizon_minutes=40, copy=False, **_without_horizon(overrides)) for _ in range(2))
    object.__setattr__(slow.problem, "kernel", plain_kernel(kernel))
    fast.reset(seed=5), slow.reset(seed=5)
    rng = np.random.default_rng(2)
    for _ in range(300):
        actions = random_actions(fast.out.mask, rng)
        fast.step(actions), slow.step(actions)
        for key, array in fast.snapshot().items():
            np.testing.assert_allclose(slow.snapshot()[key], array, rtol=1e-12, atol=1e-12, err_msg=key)


def _without_horizon(overrides):
    return {key: value for key, value in overrides.items() if key != "horizon_minutes"}


@pytest.mark.parametrize("world", WORLDS)
def test_trajectory_does_not_depend_on_the_batch(world):
    """Rows 0 and 5 of a batch of 7 equal batches of one, through several autoresets."""
    name, overrides = WORLDS[world]
    overrides = _without_horizon(overrides) | {"horizon_minutes": 25}
    batch = pointsman.make(name, 7, **overrides)
    batch.reset(seed=11)
    alone = {i: pointsman.make(name, 1, indices=[i], **overrides) for i in (0, 5)}
    for env in alone.values():
        env.reset(seed=11)
    rng, ends = np.random.default_rng(3), 0
    for _ in range(400):
        actions = random_actions(batch.action_masks(), rng)
        uniforms = batch.action_uniforms()
        observation, reward, terminated, truncated, info = batch.step(actions)
        ends += truncated[0]
        for i, env in alone.items():
            assert env.action_uniforms()[0] == uniforms[i]
            one = env.step(actions[i : i + 1])
            assert one[0][0].tolist() == observation[i].tolist()
            assert (one[1][0], one[2][0], one[3][0]) == (reward[i], terminated[i], truncated[i])
            assert one[4]["ledger"][0].tolist() == info["ledger"][i].tolist()
    assert ends >= 2


SHIFTS = st.lists(
    st.fixed_dictionaries(
        {
            "days": st.sampled_from(["mon", "sun", "mon-tue"]),
            "start": st.sampled_from(["0:00", "0:15", "1:30", "23:00"]),
            "end": st.sampled_from(["0:45", "2:00", "5:30"]),
            "staff": st.integers(1, 4),
        }
    ),
    min_size=1,
    max_size=3,
)
STAFFED = st.one_of(
    st.fixed_dictionaries({"staff": st.one_of(st.floats(0, 6), st.integers(0, 6), st.just(HOURS))}),
    st.fixed_dictionaries({"shifts": SHIFTS}),
)
worlds = st.fixed_dictionaries(
    {
        "arrival_rate": st.floats(0.1, 8.0),
        "horizon_minutes": st.floats(20, 400),
        "people": STAFFED,
        "others": STAFFED,
        "speed": st.sampled_from([None, 0.5, {"request": 2.0, "claim": 0.8}, {"claim": 1.3}]),
        "queue_limit": st.one_of(st.none(), st.integers(0, 4)),
        "automation": st.fixed_dictionaries(
            {"capacity": st.one_of(st.none(), st.integers(0, 5)), "latency_minutes": st.sampled_from([0.0, 0.5, 4.0])}
            | {"success_easy": st.floats(0, 1), "success_hard": st.floats(0, 1), "unnoticed_failures": st.floats(0, 1)}
            | {"bounce_handling_factor": st.floats(0.5, 2)}
            | {"outages": st.sampled_from([{}, {"every_minutes": 20, "last_minutes": 5}])}
        ),
        "pickup_decisions": st.booleans(),
        "forward_minutes": st.sampled_from([0.0, 0.5]),
        "handling": st.tuples(st.floats(0.2, 10), st.floats(0.2, 10)),
        "patience": st.one_of(st.floats(0.1, 20), st.none()),
        "even": st.booleans(),
    }
)


def config_of(world):
    """Overrides of dispatch/mini; in an even world everything that a person does to the end takes as long."""
    first, second = (world["handling"][0], world["handling"][0] if world["even"] else world["handling"][1])
    kinds = {"request": {"handling_minutes": first, "patience_minutes": world["patience"]}, "claim": {"handling_minutes": second}}
    if world["even"]:
        kinds = {name: kind | {"handling_cv": 1e-9} for name, kind in kinds.items()}
    teams = {"people": world["people"], "others": world["others"] | {"queue_limit": world["queue_limit"]}}
    teams = {name: {"staff": None, "shifts": None} | team for name, team in teams.items()}
    teams["others"]["speed"] = None if world["even"] else world["speed"]
    automation = world["automation"] | ({"bounce_handling_factor": 1.0} if world["even"] else {})
    same = {key: world[key] for key in ("arrival_rate", "horizon_minutes", "pickup_decisions", "forward_minutes")}
    return same | {"classes": kinds, "teams": teams, "automation": automation, "prices.outage_minutes": 0.0}


def check_conservation(world, seed, rows, steps):
    """After every step: where each request is, what people did with their minutes, and how long anybody waited."""
    overrides = config_of(world)
    env = pointsman.make("dispatch/mini", rows, queue_size=4000, automation_size=400, copy=False, **overrides)
    env.reset(seed=seed)
    ledger, state, rng = env.ledger, env.state, np.random.default_rng(seed)
    shift_table, parts = staffing(env.problem.config["teams"])
    whole = bool((shift_table % 1 == 0).all())
    total, begun = np.zeros((rows, len(ledger.columns))), state.clock.copy()
    for _ in range(steps):
        *_, terminated, truncated, info = env.step(random_actions(env.out.mask, rng))
        # Rows that end are reset in the same step: only what they booked can be seen, so they start anew.
        done = terminated | truncated
        total += info["ledger"]
        total[done], begun[done] = 0.0, state.clock[done]
        kept, sums = ~done, {name: ledger.total(total, name) for name in {column.split("/")[0] for column in ledger.columns}}
        assert (info["ledger"] >= -1e-9).all()
        away = ("abandoned", "automated", "turned_away", "undetected_errors")
        by_people = sums["answered"] - sums["forwards"]
        inside = state.waiting.sum(1) + state.in_automation
        # The arrival at hand has not been booked yet: it arrives with its decision.
        np.testing.assert_array_equal(sums["arrived"][kept], (by_people + sum(sums[name] for name in away) + inside)[kept])
        assert (sums["automation_attempts"] >= sums["automated"] + sums["bounces"] + sums["undetected_errors"]).all()
        in_flight = sums["automation_attempts"] - sums["automated"] - sums["bounces"] - sums["undetected_errors"]
        np.testing.assert_array_equal(in_flight[kept], state.in_automation[kept])
        for j, team in enumerate(("people", "others")):
            busy, paid = (total[:, ledger[f"{what}_minutes/{team}"][0]] for what in ("busy", "paid"))
            assert (busy <= paid + 1e-7).all()
            if whole:
                scheduled = np.subtract(*(minutes_on_duty(shift_table[j], parts, at) for at in (state.clock, begun)))
                assert (scheduled <= paid + 1e-6)[kept].all()
                assert (paid <= scheduled + busy + 1e-6)[kept].all()
        if world["even"]:
            started = world["handling"][0] * (by_people - (state.picked > 0)) + world["forward_minutes"] * sums["forwards"]
            ahead = np.arange(state.completion.shape[2]) < state.busy[:, :, None]
            left = np.where(ahead, state.completion - state.clock[:, None, None], 0.0).sum((1, 2))
            np.testing.assert_allclose((sums["busy_minutes"] + left)[kept], started[kept], rtol=1e-6, atol=1e-6)
        # Time in the queue is that of those who left it and of those who are in it still.
        deep = int(state.waiting.max())
        places, entered = np.arange(deep) < state.waiting[:, :, None], state.queue[:, :, :deep, kernel.ENTERED]
        inside_minutes = np.where(places, state.clock[:, None, None] - entered, 0.0).sum((1, 2))
        assert (inside_minutes + sums["answer_wait_minutes"] <= sums["waiting_minutes"] + 1e-6)[kept].all()
        if world["patience"] is None:
            np.testing.assert_allclose((inside_minutes + sums["answer_wait_minutes"])[kept], sums["waiting_minutes"][kept])


def minutes_on_duty(row, parts, clock):
    """Integral of a week's staffing from minute 0 to each clock; a single entry stands for the whole week."""
    width = 60.0 / parts
    edges = np.concatenate([[0.0], np.cumsum(np.resize(row, 168 * parts)) * width])
    weeks, rest = np.divmod(clock, 10080.0)
    return weeks * edges[-1] + np.interp(rest, np.arange(len(edges)) * width, edges)


@settings(max_examples=60, deadline=None, derandomize=True, phases=[Phase.generate])
@given(world=worlds, seed=st.integers(0, 1000))
def test_requests_and_minutes_are_conserved_in_every_state(world, seed):
    check_conservation(world, seed, 4, 100)


@pytest.mark.long
@settings(max_examples=100, deadline=None, derandomize=True, phases=[Phase.generate])
@given(world=worlds, seed=st.integers(0, 1000))
def test_requests_and_minutes_are_conserved_over_ten_million_steps(world, seed):
    check_conservation(world, seed, 1024, 100)


def test_full_buffer_names_its_key():
    env = pointsman.make("dispatch/mini", 2, queue_size=3, arrival_rate=60.0)
    env.reset(seed=0)
    with pytest.raises(PointsmanError, match=r"queue_size=3.*raise queue_size"):
        for _ in range(100):
            env.step(np.ones(2, int))


def test_trace_supplies_arrivals_and_its_gaps_are_drawn(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text(
        "arrival_minutes,class,handling_minutes,patience_minutes\n1.0,a,2.5,\n1.5,b,,7\n4.0,,3,\n4.0,a,1,1\n9.5,b,2,2\n"
    )
    classes = {"a": {"handling_minutes": 1}, "b": {"handling_minutes": 1}}
    config = envs.configure("dispatch/mini", arrival_rate=None, trace=str(path)) | {"classes": {}}
    config = envs.complete(config | {"classes": classes})
    env = envs.BatchEnv(envs.build(config), 2, autoreset=False)
    env.reset(seed=1)
    seen = []
    for _ in range(4):
        request = env.state.request
        seen.append((env.state.clock[0], request.kind[0], request.handling[0], request.patience[0]))
        *_, truncated, _ = env.step(np.zeros(2, int))
    assert [row[0] for row in seen] == [1.0, 1.5, 4.0, 4.0]
    assert [seen[k][1] for k in (0, 1, 3)] == [0, 1, 0]
    assert (seen[0][2], seen[2][2], seen[1][3]) == (2.5, 3.0, 7.0)
    assert seen[1][2] > 0
    assert truncated.all()


HEADER = "arrival_minutes,class,handling_minutes,patience_minutes\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "1,,,\nsoon,,,\n", r"line 3: arrival_minutes must be a number of at least 0, got 'soon'"),
        (HEADER + "1,,,\n,,,\n", "line 3: arrival_minutes"),
        (HEADER + "5,,,\n4,,,\n", "line 3: arrival_minutes must be in order"),
        (HEADER + "5,,-1,\n", "line 2: handling_minutes must be a number of at least 0, got '-1'"),
        (HEADER + "5,,,inf\n", "line 2: patience_minutes"),
        (HEADER + "5,claim,,\n", "line 2: class must be among request, got 'claim'"),
        ("minutes\n1\n", "needs rows and a column arrival_minutes"),
        (HEADER, "needs rows"),
        ("", "is not a CSV file"),
        ("a\n1,2,3\n1,2,3,4,5\n", "is not a CSV file"),
    ],
)
def test_a_bad_trace_is_named_by_its_line(tmp_path, text, message):
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(PointsmanError, match=message) as caught:
        pointsman.make("dispatch/mini", arrival_rate=None, trace=str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_binormal_scores_have_the_auc_and_are_calibrated():
    env = pointsman.make("dispatch/mini", 2000, **RICH)
    env.reset(seed=2)
    score, easy = [], []
    for _ in range(20):
        score.append(env.state.request.score.copy()), easy.append(env.state.request.easy.copy())
        env.step(env.action_masks().argmax(1))
    score, easy = np.concatenate(score), np.concatenate(easy)
    ranks = score.argsort().argsort() + 1.0
    positives = easy.sum()
    auc = (ranks[easy == 1].sum() - positives * (positives + 1) / 2) / (positives * (len(easy) - positives))
    assert auc == pytest.approx(0.8, abs=0.01)
    for low in np.arange(0.1, 0.9, 0.1):
        inside = (score >= low) & (score < low + 0.1)
        assert easy[inside].mean() == pytest.approx(score[inside].mean(), abs=4 * 0.5 / np.sqrt(inside.sum()))


def test_ledger_columns_are_unique():
    columns = Ledger(kernel.ledger_columns(["a", "b"], ["x", "y"])).columns
    assert len(set(columns)) == len(columns)
