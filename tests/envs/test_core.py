"""The engine's faces: gymnasium's Env and VectorEnv, legality, autoreset, snapshots, prices, errors."""

import gymnasium
import numpy as np
import pytest

import pointsman
from pointsman.errors import PointsmanError

CAPPED = {"automation.capacity": 2, "automation.latency_minutes": 3.0}


def test_make_vec_gives_the_batch():
    env = gymnasium.make_vec(
        "pointsman:pointsman/Dispatch-v0", num_envs=5, vectorization_mode="vector_entry_point", preset="surge"
    )
    observation, info = env.reset(seed=1)
    assert observation.shape == (5, 4)
    assert env.observation_space.contains(observation)
    assert set(info) == {"elapsed", "ledger", "action_mask"}
    assert env.metadata["autoreset_mode"] == gymnasium.vector.AutoresetMode.SAME_STEP


def test_single_env_is_row_zero_of_the_batch():
    single = gymnasium.make("pointsman:pointsman/Dispatch-v0", preset="mini")
    batch = pointsman.make("dispatch/mini", 3)
    first, _ = single.reset(seed=4)
    rows, _ = batch.reset(seed=4)
    assert first.tolist() == rows[0].tolist()
    for action in (0, 1, 1, 0):
        one, many = single.step(action), batch.step(np.full(3, action))
        assert one[0].tolist() == many[0][0].tolist()
        assert one[1] == many[1][0]


def test_same_step_autoreset_keeps_the_last_observation():
    env = pointsman.make("dispatch/mini", 3, horizon_minutes=5.0)
    twin = pointsman.make("dispatch/mini", 3, horizon_minutes=5.0, autoreset=False)
    env.reset(seed=0), twin.reset(seed=0)
    done = np.zeros(3, bool)
    while not done.any():
        actions = np.ones(3, int)
        observation, _, _, truncated, info = env.step(actions)
        last, _, _, _, other = twin.step(actions)
        done = truncated
    row = int(done.argmax())
    assert info["final_obs"][row].tolist() == last[row].tolist()
    assert info["final_info"]["action_mask"][row].tolist() == other["action_mask"][row].tolist()
    assert info["final_info"]["elapsed"][row] == other["elapsed"][row]
    assert set(info["final_info"]) == set(other) == {"elapsed", "ledger", "action_mask"}
    assert observation[row, 1:].tolist() == [0.0, 0.0]
    assert env.out.episode[row] == 1
    assert env.out.episode[~done].tolist() == [0] * int((~done).sum())


def test_truncated_first_at_or_after_the_horizon_for_every_policy():
    """The time limit is on the records: whatever is done, an episode has the same number of decisions."""
    counts = []
    for action in (0, 1):
        env = pointsman.make("dispatch/mini", 50, horizon_minutes=60.0, autoreset=False)
        env.reset(seed=8)
        steps, alive = np.zeros(50, int), np.ones(50, bool)
        while alive.any():
            *_, truncated, _ = env.step(np.full(50, action))
            steps += alive
            assert (env.state.clock[alive & truncated] >= 60.0).all()
            alive &= ~truncated
        counts.append(steps.tolist())
    assert counts[0] == counts[1]


def test_illegal_action_is_one_line_that_names_it():
    env = pointsman.make("dispatch/mini", 2, **CAPPED)
    env.reset(seed=0)
    env.step(np.zeros(2, int)), env.step(np.zeros(2, int))
    with pytest.raises(PointsmanError, match=r"action 0 \(automation\) in environment 0 is masked.*1 \(people\)") as caught:
        for _ in range(20):
            env.step(np.zeros(2, int))
    assert "\n" not in str(caught.value)
    with pytest.raises(PointsmanError, match="action 7 in environment 1 does not exist"):
        env.step(np.array([1, 7]))


def test_fallback_takes_the_first_legal_action_and_counts_it():
    strict = pointsman.make("dispatch/mini", 1, **CAPPED)
    loose = pointsman.make("dispatch/mini", 1, illegal="fallback", **CAPPED)
    strict.reset(seed=0), loose.reset(seed=0)
    counted = 0
    for _ in range(50):
        legal = strict.action_masks()[0, 0]
        expected = strict.step(np.array([0 if legal else 1]))
        found = loose.step(np.array([0]))
        assert found[0].tolist() == expected[0].tolist()
        counted += found[4]["ledger"][0, -1]
        assert found[4]["ledger"][0, -1] == (not legal)
    assert counted > 0


@pytest.mark.parametrize("actions", [[0.5, 1.0], [[0], [1]], [0], [True, False]])
def test_actions_of_a_wrong_kind_are_an_error(actions):
    env = pointsman.make("dispatch/mini", 2)
    env.reset(seed=0)
    with pytest.raises(PointsmanError, match="actions must be integers of shape"):
        env.step(np.array(actions))


def test_step_before_reset_and_after_the_end_are_errors():
    with pytest.raises(PointsmanError, match="reset"):
        pointsman.make("dispatch/mini", 1).step(np.zeros(1, int))
    env = gymnasium.make("pointsman:pointsman/Dispatch-v0", horizon_minutes=1.0).unwrapped
    env.reset(seed=0)
    while not env.step(0)[3]:
        pass
    with pytest.raises(PointsmanError, match="ended"):
        env.step(0)


def test_a_snapshot_of_another_size_is_refused():
    with pytest.raises(PointsmanError, match="does not fit"):
        pointsman.make("dispatch/surge", 5).restore(pointsman.make("dispatch/surge", 6).snapshot())


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"arrival_rate": -1.0}, "arrival_rate"),
        ({"arival_rate": 1.0}, "arival_rate"),
        ({"arrival_rates": [1.0, 2.0]}, "arrivals"),
        ({"arrival_rate": None, "arrival_rates": [1.0, 2.0], "switching_rates": [1.0]}, "switching_rates"),
        ({"arrival_rate": None, "hourly_arrival_rates": [1.0] * 24}, "hourly_arrival_rates"),
        ({"teams.people.staff": -3}, "teams.people.staff"),
        ({"teams": {"people": {"staf": 3}}}, "staf"),
        ({"classes.request.handling_minutes": {"easy": 1}}, "classes.request.handling_minutes"),
        ({"automation.success_easy": 1.5}, "automation.success_easy"),
        ({"score.bins_weight": [1.0]}, "score.bins_weight"),
        ({"prices": {"bounce": 1.0}}, "bounce"),
        ({"bounce_team": "poeple"}, "poeple"),
        ({"horizon_minutes": 0.0}, "horizon_minutes"),
        ({"arrival_rate": float("nan")}, "arrival_rate"),
        ({"arrival_rate": None, "trace": "nowhere.csv"}, "nowhere.csv"),
    ],
)
def test_bad_configuration_names_the_key(overrides, named):
    with pytest.raises(PointsmanError) as caught:
        pointsman.make("dispatch/mini", **overrides)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_problem_suggests_a_known_one():
    with pytest.raises(PointsmanError, match="dispatch/mini"):
        pointsman.make("dispatch/mimi")
