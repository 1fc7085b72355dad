"""Deep Q-learning: remembered rewards against a slow twin, values worked by hand, and the exact optimum of a small problem."""

import numpy as np
import pytest
import torch
import toy

import pointsman
from pointsman import envs
from pointsman.agents import exact
from pointsman.agents.dqn import DQN, Replay
from pointsman.agents.log import Log
from pointsman.agents.networks import ActorCritic
from pointsman.envs.problem import Layout
from pointsman.errors import PointsmanError
from pointsman.evaluation.exact_costs import tabulate

LAYOUT = Layout(("time", "row"), (), 0, (3,))
ROWS, STEPS = 3, 4


def filled(size, added):
    """A memory, and all that was ever added to it; what is seen names time and row."""
    rng = np.random.default_rng(0)
    memory, history = Replay(size, ROWS, LAYOUT), []
    for t in range(added):
        seen = np.stack([np.full(ROWS, t), np.arange(ROWS)], 1).astype(np.float32)
        mask = rng.random((ROWS, 3)) < 0.5
        mask[:, 0] = True
        terminated, truncated = rng.random(ROWS) < 0.1, rng.random(ROWS) < 0.1
        one = (seen, mask, rng.integers(0, 3, ROWS), rng.normal(size=ROWS), rng.exponential(size=ROWS), terminated, truncated)
        memory.add(*one)
        history.append(one)
    return memory, history


@pytest.mark.parametrize("added", [9, 20, 47])
def test_a_sample_adds_up_what_a_loop_adds_up(added):
    """Before and after the memory is written over, over truncations and terminations."""
    memory, history = filled(20, added)
    found = memory.sample(500, STEPS, torch.Generator().manual_seed(0))
    ends = 0
    for k in range(500):
        t, i = (int(x) for x in found.seen[k])
        assert added - min(added, 20) <= t < added - STEPS
        reward, discounted, elapsed, goes_on, length = 0.0, 0.0, 0.0, 1.0, 0
        for one in history[t : t + STEPS]:
            terminated, truncated = one[5][i], one[6][i]
            if truncated and not terminated:
                break
            reward, discounted = reward + one[3][i], discounted + 0.9**elapsed * one[3][i]
            elapsed, length = elapsed + one[4][i], length + 1
            if terminated:
                goes_on = 0.0
                break
        ends += length < STEPS
        assert found.reward[k] == pytest.approx(reward, abs=1e-5)
        assert found.elapsed[k] == pytest.approx(elapsed, abs=1e-5)
        assert found.discounted(0.9)[k] == pytest.approx(discounted, abs=1e-5)
        assert found.goes_on[k] == goes_on
        assert found.action[k] == history[t][2][i]
        assert found.following.tolist()[k] == [t + length, i]
        assert found.following_mask[k].tolist() == history[t + length][1][i].tolist()
    assert 50 < ends < 450


def test_duelling_values_by_hand():
    """Value 2 and advantages 1, 5, 3 of which the middle one is forbidden: the mean of the legal ones is 2."""
    network = ActorCritic(LAYOUT, [4])
    for layer, bias in ((network.actor[-1], [1.0, 5.0, 3.0]), (network.critic[-1], [2.0])):
        torch.nn.init.zeros_(layer.weight)
        layer.bias.data = torch.tensor(bias)
    mask = torch.tensor([[True, False, True]])
    values = DQN()._values(network, torch.zeros(1, 2), mask)
    assert values[0, [0, 2]].tolist() == [1.0, 3.0]
    assert values[0, 1] < -1e8
    plain = DQN(duelling=False)._values(network, torch.zeros(1, 2), mask)
    assert plain[0, [0, 2]].tolist() == [1.0, 3.0]


@pytest.mark.long
def test_small_budget_comes_near_the_exact_optimum():
    """100,000 decisions for the average reward per unit of time: within 6 % of the optimum by the exact chain."""
    problem = envs.build(envs.configure("dispatch/mini"))
    chain, best = envs.chain(problem, 100), pointsman.solve("dispatch/mini").average_cost
    learner = DQN(total_steps=100_000, num_envs=32, batch=128, learning_starts=4_000, hidden=(32, 32), replay=50_000)
    env = envs.BatchEnv(envs.training(envs.configure("dispatch/mini")), 32, copy=False)
    cost = exact.evaluate(chain, tabulate(learner.fit(env, Log(), seed=0), chain)).average_cost
    assert best <= cost + 1e-9 < 1.06 * best


def test_decisions_of_several_parts_are_refused():
    with pytest.raises(PointsmanError, match="dqn chooses one of several actions"):
        DQN().fit(envs.BatchEnv(toy.problem(signs=3), 4, copy=False), Log())


@pytest.mark.parametrize(
    ("key", "value"),
    [("objective", "avrage"), ("steps", 0), ("replay", 100), ("epsilon", 1.5), ("learning_rate", 0.0), ("hidden", [0])],
)
def test_bad_hyperparameters_are_named(key, value):
    with pytest.raises(PointsmanError, match=rf"^agent\.{key} must"):
        DQN(**{key: value})
