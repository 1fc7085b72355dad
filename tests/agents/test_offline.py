"""Learning from logs: against a problem whose best action is plain, masks, and exact values."""

import numpy as np
import pytest
from offline_coverage import case
from toy import problem as toy

from pointsman import envs
from pointsman.agents import policy as policies
from pointsman.agents.offline import BehaviourCloning, DiscreteCQL, FittedQEvaluation, FittedQIteration
from pointsman.envs.problem import Layout
from pointsman.errors import PointsmanError
from pointsman.evaluation.ope.collect import collect
from pointsman.evaluation.ope.log import Transitions
from pointsman.evaluation.ope.read import check_frame
from pointsman.evaluation.ope.schema import Sidecar
from pointsman.evaluation.ope.verdict import estimate


def chain(n=4000, seed=0):
    """Two states; action 1 moves to state 1, where one is paid, at a price of a half; there action 0 is often forbidden.

    With a discount of 0.9 it is worth to go there, and to pay again for staying.
    """
    rng = np.random.default_rng(seed)
    state, states, actions, masks, rewards = 0, [], [], [], []
    for _ in range(n):
        mask = np.array([not (state == 1 and rng.random() < 0.5), True, False])
        action = int(rng.choice(np.flatnonzero(mask)))
        states.append(state), actions.append(action), masks.append(mask)
        rewards.append(float(state == 1) - 0.5 * action)
        state = 1 if action == 1 else 0
    observation = np.eye(2, dtype=np.float32)[states]
    following = np.append(np.arange(1, n), -1)
    return Transitions(
        observation, np.array(masks), np.array(actions), np.array(rewards), np.ones(n), following, np.zeros(n, bool),
        np.zeros(n, np.int64), Layout(("here", "there"), (), 0, (3,)),
    )  # fmt: skip


@pytest.mark.parametrize("learner", [FittedQIteration, DiscreteCQL])
def test_q_learners_look_ahead_and_keep_to_the_mask(learner):
    """Paying a half now for one later: only who looks ahead goes to state 1; action 2 is never legal."""
    found = learner(steps=400, minibatch=256, learning_rate=5e-3, hidden=(16,), discount=0.9).fit(chain())
    every = np.ones((2, 3), bool)
    every[:, 2] = False
    assert found.act(np.eye(2, dtype=np.float32), every, np.zeros(2)).tolist() == [1, 1]
    only = np.array([[True, False, False], [False, False, True]])
    assert found.act(np.eye(2, dtype=np.float32), only, np.zeros(2)).tolist() == [0, 2]


def test_who_does_not_look_ahead_does_not_pay():
    found = FittedQIteration(steps=400, minibatch=256, learning_rate=5e-3, hidden=(16,), discount=0.0).fit(chain())
    every = np.array([[True, True, False]] * 2)
    assert found.act(np.eye(2, dtype=np.float32), every, np.zeros(2)).tolist() == [0, 0]


def test_strong_conservatism_is_cloning():
    """Action 0 in seven of ten decisions, and worth nothing: much conservatism does what was done."""
    data, rng = chain(), np.random.default_rng(0)
    action = (rng.random(len(data.action)) > 0.7).astype(int)
    data = data._replace(action=action, reward=action.astype(float), mask=np.ones((len(action), 3), bool))
    settings = {"steps": 300, "minibatch": 256, "learning_rate": 5e-3, "hidden": (16,), "discount": 0.0}
    for weight, wanted in ((0.0, 1), (50.0, 0)):
        found = DiscreteCQL(**settings, conservatism=weight).fit(data)
        mask = np.array([[True, True, False]] * 2)
        assert found.act(data.observation[:2], mask, np.zeros(2)).tolist() == [wanted] * 2


def test_cloning_gives_back_the_rule_of_an_exploring_log(tmp_path):
    """A threshold on dispatch/mini that explored in three of ten decisions; saved and loaded, it is the same."""
    config = envs.configure("dispatch/mini", horizon_minutes=60.0)
    problem = envs.build(config)
    rule = envs.rules(problem)["threshold"](problem, threshold=0.5)
    frame = collect(rule, config, 4000, 0.3, 0)
    log = check_frame(frame, Sidecar(problem.actions, context=problem.layout.context)).log
    found = BehaviourCloning(steps=500, minibatch=256, learning_rate=3e-3, hidden=(16,)).fit(log.transitions())
    u = np.zeros(len(log))
    agreement = (found.act(log.observation, log.mask, u) == rule.act(log.observation, log.mask, u)).mean()
    assert agreement > 0.99
    policies.save(found, tmp_path)
    again = policies.load(tmp_path)
    assert np.array_equal(again.act(log.observation, log.mask, u), found.act(log.observation, log.mask, u))


@pytest.mark.parametrize("learner", [BehaviourCloning, DiscreteCQL])
@pytest.mark.parametrize("problem", [toy(window=3), toy(signs=3)], ids=["candidates", "parts"])
def test_candidates_and_decisions_of_several_parts(learner, problem):
    """Both toys at random: cloning stays legal, and CQL finds out what is worth most."""
    layout, n = problem.layout, 400
    env = envs.BatchEnv(problem, n)
    observation, _ = env.reset(seed=0)
    rows, rng = [], np.random.default_rng(0)
    for _ in range(5):
        mask = env.action_masks()
        pieces = np.split(mask, np.cumsum(layout.parts)[:-1], 1)
        part = np.stack([np.where(piece, rng.random(piece.shape), -1).argmax(1) for piece in pieces], 1)
        seen = layout.flat(observation)
        observation, reward, *_ = env.step(part if len(layout.parts) > 1 else part[:, 0])
        rows.append((seen, mask, np.ravel_multi_index(tuple(part.T), layout.parts), reward))
    seen, mask, action, reward = (np.concatenate(column) for column in zip(*rows, strict=True))
    count = len(action)
    data = Transitions(
        seen, mask, action, reward, np.ones(count), np.full(count, -1), np.ones(count, bool), np.arange(count), layout
    )
    settings = {"steps": 300, "minibatch": 256, "learning_rate": 3e-3, "hidden": (32,)}
    found = learner(**settings).fit(data)
    env.reset(seed=1)
    u = env.action_uniforms()
    chosen = found.act(layout.shaped(env.out.observation), env.action_masks(), u)
    _, gained, *_ = env.step(chosen)
    if learner is DiscreteCQL:
        assert gained.mean() > reward.mean() + 0.1


@pytest.mark.long
def test_fitted_q_evaluation_agrees_with_the_exact_value():
    """A world of six states, horizon 5 with early ends: the mean of v over the first states against dynamic programming."""
    given = case(5, 0.5, 1500, stop=0.2)
    log, state = given.world.log(given.logging, 1500, np.random.default_rng(0))
    eye = np.eye(6, dtype=np.float32)[state]
    step = np.eye(5, dtype=np.float32)[log.step]
    from dataclasses import replace

    layout = Layout(tuple(f"s{k}" for k in range(11)), (), 0, (3,))
    log = replace(log, observation=np.hstack([eye, step]), layout=layout)
    target = given.target[state]
    model = FittedQEvaluation(steps=500, minibatch=256, learning_rate=3e-3, hidden=(32,))
    q = model(log, target, log.reward, np.ones(len(log)))
    value = (q * target).sum(1)[log.start[:-1]].mean()
    truth = given.world.value(given.target)
    assert value == pytest.approx(truth, rel=0.1)
    model.steps = 100
    found = estimate(log, target, ["dm", "dr", "wdr"], model=model).estimates
    assert found["dm"].interval is None
    assert "own error" in found["dm"].why
    assert found["wdr"].interval.low <= truth <= found["wdr"].interval.high


@pytest.mark.parametrize(
    ("learner", "settings", "names"),
    [
        (BehaviourCloning, {"steps": 0}, "steps"),
        (FittedQIteration, {"discount": 1.0}, "discount"),
        (DiscreteCQL, {"conservatism": -1.0}, "conservatism"),
        (DiscreteCQL, {"learning_rate": 0.0}, "learning_rate"),
    ],
)
def test_bad_settings_are_named(learner, settings, names):
    with pytest.raises(PointsmanError, match=names):
        learner(**settings)
