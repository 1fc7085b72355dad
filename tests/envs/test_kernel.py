"""The dispatch kernel against its slow twin, itself in plain Python, and the laws of conservation."""

import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import NaiveDesk, whole_staff

import pointsman
from pointsman import envs
from pointsman.envs import noise
from pointsman.envs.dispatch import kernel
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
WORLDS = {
    "mini": ("dispatch/mini", {}),
    "surge": ("dispatch/surge", {"horizon_minutes": 3000}),
    "rich": ("dispatch/mini", RICH),
}


def random_actions(mask, rng):
    """A legal action per row."""
    return np.where(mask, rng.random(mask.shape), -1.0).argmax(1)


@pytest.mark.parametrize("world", WORLDS)
def test_ledger_equals_the_slow_twin_in_every_step(world):
    """Same records, independent bookkeeping: every column but the wait buckets, 600 decisions."""
    name, overrides = WORLDS[world]
    env = pointsman.make(name, 1, **overrides)
    env.reset(seed=7)
    rng, p = np.random.default_rng(1), env.problem.params
    desk = NaiveDesk(env.problem.config, env.state.clock[0], whole_staff(env.problem.config))
    for _ in range(600):
        request = {field: array[0] for field, array in env.state.request._asdict().items()}
        ok = request["success"] < p.success[request["easy"]]
        action = random_actions(env.action_masks(), rng)
        *_, info = env.step(action)
        arguments = (request["kind"], request["handling"], request["patience"], ok, request["latency"])
        expected = desk.decide(action[0], *arguments, info["elapsed"][0])
        for column, found in zip(env.ledger.columns, info["ledger"][0], strict=True):
            if not column.startswith("wait_bucket"):
                assert found == pytest.approx(expected[column], abs=1e-8), column
        buckets = info["ledger"][0, env.ledger["wait_bucket"]].sum()
        assert buckets == sum(count for column, count in expected.items() if column.split("/")[0] == "answered")
        if env.state.records[0] == 1:
            desk = NaiveDesk(env.problem.config, env.state.clock[0], whole_staff(env.problem.config))


def plain_python(module):
    """A copy of a kernel module in which every compiled function is its plain Python original."""
    plain = {}
    for name, value in {**vars(noise), **vars(module)}.items():
        source = getattr(value, "py_func", None)
        plain[name] = types.FunctionType(source.__code__, plain, name, source.__defaults__) if source else value
    return plain


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("world", WORLDS)
def test_compiled_equals_plain_python(world):
    name, overrides = WORLDS[world]
    fast, slow = (pointsman.make(name, 3, horizon_minutes=40, copy=False, **_without_horizon(overrides)) for _ in range(2))
    plain = types.SimpleNamespace(**plain_python(kernel))
    object.__setattr__(slow.problem, "kernel", plain)
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


worlds = st.fixed_dictionaries(
    {
        "arrival_rate": st.floats(0.1, 8.0),
        "horizon_minutes": st.floats(20, 400),
        "teams": st.fixed_dictionaries(
            {
                "people": st.fixed_dictionaries({"staff": st.one_of(st.floats(0, 6), st.just(HOURS)), "queue_limit": st.none()}),
                "others": st.fixed_dictionaries({"staff": st.floats(0, 3), "queue_limit": st.integers(0, 4)}),
            }
        ),
        "automation": st.fixed_dictionaries(
            {"capacity": st.one_of(st.none(), st.integers(0, 5)), "latency_minutes": st.sampled_from([0.0, 0.5, 4.0])}
            | {"success_easy": st.floats(0, 1), "success_hard": st.floats(0, 1)}
        ),
        "classes": st.fixed_dictionaries(
            {
                "request": st.fixed_dictionaries(
                    {
                        "handling_minutes": st.floats(0.2, 10),
                        "patience_minutes": st.floats(0.1, 20),
                        "share": st.floats(0.1, 1),
                    }
                ),
                "claim": st.fixed_dictionaries({"handling_minutes": st.floats(0.2, 10), "patience_minutes": st.just(15.0)}),
            }
        ),
    }
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(world=worlds, seed=st.integers(0, 1000))
def test_requests_and_minutes_are_conserved_in_every_state(world, seed):
    """arrived = answered + abandoned + automated + turned away + inside; busy <= paid; Little's law as an identity."""
    env = pointsman.make("dispatch/mini", 4, autoreset=False, queue_size=400, automation_size=200, **world)
    env.reset(seed=seed)
    ledger, rng = env.ledger, np.random.default_rng(seed)
    total = np.zeros((4, len(ledger.columns)))
    inside_minutes = 0.0
    for _ in range(200):
        env_total = ledger.total(total, "waiting_minutes").sum()
        *_, info = env.step(random_actions(env.action_masks(), rng))
        total += info["ledger"]
        parts = sum(ledger.total(total, name) for name in ("answered", "abandoned", "automated", "turned_away"))
        inside = env.state.waiting.sum(1) + env.state.in_automation
        # The request at hand has not been booked yet: it arrives with its decision.
        assert (ledger.total(total, "arrived") == parts + inside).all()
        step = info["ledger"]
        assert (ledger.total(step, "busy_minutes") <= ledger.total(step, "paid_minutes") + 1e-9).all()
        waited = ledger.total(step, "waiting_minutes")
        assert (waited >= -1e-12).all()
        inside_minutes += waited.sum()
        assert ledger.total(total, "waiting_minutes").sum() >= env_total - 1e-9
        assert (env.state.busy >= 0).all()
        assert (info["ledger"] >= -1e-9).all()
    assert ledger.total(total, "waiting_minutes").sum() == pytest.approx(inside_minutes)


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
