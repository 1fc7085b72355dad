"""PPO: its advantages against a slow twin, resumption bit for bit, and the exact optimum of a small problem."""

import copy

import numpy as np
import pytest
import torch
import toy

import pointsman
from pointsman import envs
from pointsman.agents import exact
from pointsman.agents.log import Log
from pointsman.agents.networks import ActorCritic
from pointsman.agents.ppo import PPO, Batch
from pointsman.envs.problem import Layout
from pointsman.errors import PointsmanError
from pointsman.evaluation.exact_costs import own_cost, tabulate
from pointsman.evaluation.rollout import rollout

TINY = {"num_envs": 16, "rollout_steps": 8, "minibatch": 50, "epochs": 2, "hidden": (8,), "total_steps": 16 * 8 * 30}

LAYOUT = Layout(("score", "in_service", "waiting"), (), 0, (2,))


def mini(n, **overrides):
    return envs.BatchEnv(envs.training(envs.configure("dispatch/mini", **overrides)), n, copy=False)


class Recorder(Log):
    """Keeps what it is told; interrupts after `most` batches."""

    def __init__(self, most=10**9):
        self.most, self.seen = most, []

    def update(self, steps, total, ledger, elapsed, scalars):
        self.seen.append((steps, ledger.tolist(), elapsed, scalars))
        if len(self.seen) == self.most:
            raise KeyboardInterrupt


def weights(policy):
    return {name: value.clone() for name, value in policy.network.state_dict().items()}


def slow_advantages(batch, objective, discount, lam, rate, lookahead=False):
    """Forward sums over one environment's steps at a time; an episode's end cuts the sum after bootstrapping."""
    steps, n = batch.reward.shape
    found = np.zeros((steps, n))
    for i in range(n):
        for t in range(steps):
            weight = 1.0
            for k in range(t, steps):
                r, e = float(batch.reward[k, i]), float(batch.elapsed[k, i])
                keep = 1.0 if objective == "average" else discount**e
                r -= rate * e if objective == "average" else 0.0
                if lookahead:
                    after = float(batch.expected[k, i])
                elif batch.done[k, i]:
                    after = float(batch.final_value[k, i])
                elif k + 1 < steps:
                    after = float(batch.value[k + 1, i])
                else:
                    after = float(batch.last_value[i])
                found[t, i] += weight * (r + keep * after - float(batch.value[k, i]))
                if batch.done[k, i]:
                    break
                weight *= lam * keep
    return found


@pytest.mark.parametrize(("quadratic", "lookahead"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("objective", ["average", "discounted"])
def test_advantages_equal_a_slow_twin(objective, quadratic, lookahead):
    """Random rewards, times, truncations (value of the final observation) and terminations (0), value scale 2.5."""
    torch.manual_seed(0)
    batch = Batch(12, 9, LAYOUT)
    for part in (batch.reward, batch.value, batch.final_value, batch.last_value, batch.expected):
        part.normal_()
    batch.elapsed.exponential_(1.0)
    batch.done = torch.rand(12, 9) < 0.15
    batch.final_value[torch.rand(12, 9) < 0.3] = 0.0
    assert batch.done[-1].any()
    network, state = ActorCritic(LAYOUT, [4], quadratic), {"batches": 5, "rate": -0.7}
    if quadratic:
        torch.nn.init.normal_(network.critic.form.weight)
    network.rescale(torch.tensor(2.5))
    x = torch.randn(20, 3)
    before = network.value(x)
    learner = PPO(objective=objective, discount=0.9, gae_lambda=0.7, rate_step=0.1, lookahead=lookahead)
    advantage, target = learner._advantages(batch, network, state)
    wanted = slow_advantages(batch, objective, 0.9, 0.7, -0.7, lookahead)
    np.testing.assert_allclose(advantage, wanted, atol=2e-5)
    goal = wanted + batch.value.numpy()
    goal -= goal.mean() if objective == "average" else 0.0
    scale = 2.5 + (goal.std(ddof=1) - 2.5) / 6  # a sixth: the larger of 0.1 and 1 / (5 + 1)
    assert float(network.value_scale) == pytest.approx(scale, rel=1e-5)
    np.testing.assert_allclose(target, goal / scale, atol=2e-5)
    torch.testing.assert_close(network.value(x), before, rtol=1e-4, atol=1e-5)


def test_a_batch_holds_what_happened():
    """Its actions, replayed in a fresh environment, give its rewards, times, ends and the values of final observations."""
    env, twin = mini(6, horizon_minutes=4.0), mini(6, horizon_minutes=4.0)
    twin.copy = True
    torch.manual_seed(1)
    network = ActorCritic(LAYOUT, [8])
    first, second = Batch(5, 6, LAYOUT), Batch(25, 6, LAYOUT)
    env.reset(seed=4)
    first.collect(env, network)
    frozen = copy.deepcopy(network)  # values are those of the network and the normaliser as the rollout began
    ledger = second.collect(env, network)
    observation, info = twin.reset(seed=4)
    for action in first.action[:, :, 0].long():
        observation, *_, info = twin.step(action.numpy())
    total = 0.0

    def value(x):
        return frozen.value(frozen.normaliser(torch.from_numpy(x))).detach().numpy()

    for t in range(25):
        np.testing.assert_array_equal(second.mask[t], info["action_mask"].astype(bool))
        np.testing.assert_allclose(second.value[t], value(observation), atol=1e-6)
        observation, reward, terminated, truncated, info = twin.step(second.action[t, :, 0].long().numpy())
        np.testing.assert_array_equal(second.reward[t], reward.astype(np.float32))
        np.testing.assert_array_equal(second.elapsed[t], info["elapsed"].astype(np.float32))
        np.testing.assert_array_equal(second.done[t], terminated | truncated)
        for i in np.flatnonzero(truncated):
            assert second.final_value[t, i] == pytest.approx(value(info["final_obs"])[i], abs=1e-6)
        total = total + info["ledger"].sum(0)
    assert second.done.sum() >= 6
    np.testing.assert_allclose(second.last_value, value(observation), atol=1e-6)
    np.testing.assert_allclose(ledger, total)


@pytest.mark.parametrize("stop", [10, 27])
def test_resumed_run_is_bit_identical(tmp_path, stop):
    """Stopped before the first checkpoint (every 10 batches) and between two, then resumed: the same weights and curves."""
    whole_log, resumed_log, path = Recorder(), Recorder(), tmp_path / "checkpoint.pt"
    whole = weights(PPO(**TINY).fit(mini(16, horizon_minutes=5.0), whole_log, seed=3, checkpoint=tmp_path / "whole.pt"))
    with pytest.raises(KeyboardInterrupt):
        PPO(**TINY).fit(mini(16, horizon_minutes=5.0), Recorder(stop), seed=3, checkpoint=path)
    resumed = weights(PPO(**TINY).fit(mini(16, horizon_minutes=5.0), resumed_log, seed=3, checkpoint=path))
    assert len(whole_log.seen) == 30
    done = 10 * ((stop - 1) // 10)  # the batch at which it stops is not kept yet
    assert resumed_log.seen == whole_log.seen[done:]
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_seed_decides_the_result():
    runs = [weights(PPO(**TINY).fit(mini(16), Log(), seed=seed)) for seed in (5, 5, 6)]
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert not torch.equal(runs[0]["actor.0.weight"], runs[2]["actor.0.weight"])


@pytest.mark.parametrize("seed", [0])
def test_small_budget_comes_near_the_exact_optimum(seed):
    """100,000 decisions: within 6 % of the optimum by the exact chain (an untrained network is far above)."""
    problem = envs.build(envs.configure("dispatch/mini"))
    chain, best = envs.chain(problem, 100), pointsman.solve("dispatch/mini").average_cost
    budget = {"total_steps": 100_000, "num_envs": 128, "rollout_steps": 16, "minibatch": 1024, "hidden": (32, 32)}
    untrained = PPO(**budget | {"total_steps": 1, "learning_rate": 1e-9}).fit(mini(128), Log(), seed)
    trained = PPO(**budget).fit(mini(128), Log(), seed)
    cost = [exact.evaluate(chain, tabulate(policy, chain)).average_cost for policy in (untrained, trained)]
    assert cost[0] > 1.25 * best
    assert best <= cost[1] + 1e-9 < 1.06 * best


@pytest.mark.long
def test_looking_ahead_learns_a_queue_from_few_decisions():
    """200,000 decisions on the N-model at load 0.8: within 3 % of the optimum by the exact chain."""
    settings = envs.configure("queueing/n_model", rho=0.8)
    chain = envs.chain(envs.build(settings), 60)
    learner = PPO(
        total_steps=200_000, num_envs=128, rollout_steps=64, minibatch=1024, hidden=(32, 32), entropy=0.03,
        quadratic=True, lookahead=True, value_epochs=2,
    )  # fmt: skip
    found = learner.fit(envs.BatchEnv(envs.training(settings), 128, copy=False), Log(), seed=0)
    assert exact.evaluate(chain, tabulate(found, chain)).average_cost < 1.03 * exact.solve(chain).average_cost


@pytest.mark.parametrize(("forget", "kept"), [(0.0, 1 + 3 * 8), (1.0, 1 + 8), (0.5, (1 + 8) / 4 + 8 / 2 + 8)])
def test_the_normalisation_forgets_as_it_is_told(forget, kept):
    """Three batches of 8 decisions in 16 environments, after one look at the start; what is left of each is its share."""
    learner = PPO(total_steps=3 * 8 * 16, num_envs=16, rollout_steps=8, minibatch=64, hidden=(8,), forget=forget)
    found = learner.fit(mini(16), Log(), seed=0)
    np.testing.assert_allclose(found.network.normaliser.count.numpy(), 16 * kept)


@pytest.mark.long
def test_looking_ahead_learns_lost_sales_from_few_decisions():
    """150,000 decisions at penalty 4: below the best base-stock level, by the exact chain of what was learnt."""
    settings = envs.configure("inventory/lost_sales", max_order=9)
    learner = PPO(
        total_steps=150_000, num_envs=64, rollout_steps=32, minibatch=512, hidden=(32, 32), gae_lambda=0.9, entropy=0.03,
        quadratic=True, lookahead=True, forget=0.1,
    )  # fmt: skip
    found = learner.fit(envs.BatchEnv(envs.training(settings), 64, copy=False), Log(), seed=0)
    assert own_cost(envs.build(settings), found) < 4.63


def toy_gain(policy, **shape):
    """Mean gain per step on fresh episodes of a toy."""
    totals = rollout(policy, toy.problem(**shape), 300, seed=99, illegal="raise")
    return totals.ledger[:, 0].sum() / totals.elapsed.sum()


def test_decisions_of_two_parts_are_learnt():
    learner = PPO(total_steps=150_000, num_envs=64, minibatch=256, hidden=(32,), objective="discounted", discount=0.0)
    found = learner.fit(envs.BatchEnv(toy.problem(signs=3), 64, copy=False), Log(), seed=0)
    assert toy_gain(found, signs=3) > 0.99


def test_a_last_minibatch_of_one_row_keeps_weights_finite():
    learner = PPO(num_envs=3, rollout_steps=11, minibatch=16, total_steps=99, hidden=(4,))
    assert all(torch.isfinite(value).all() for value in weights(learner.fit(mini(3), Log())).values())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("objective", "avrage"), ("total_steps", 0), ("num_envs", -1), ("rollout_steps", 0), ("epochs", 0),
        ("minibatch", 0), ("value_epochs", -1), ("value_minibatch", 0),
        ("learning_rate", 0.0), ("learning_rate", float("nan")), ("gae_lambda", 1.2),
        ("discount", -0.1), ("rate_step", 2.0), ("clip", -0.1), ("max_gradient", 0.0), ("hidden", [0]), ("hidden", "64"),
    ],
)  # fmt: skip
def test_bad_hyperparameters_are_named(key, value):
    with pytest.raises(PointsmanError, match=rf"^agent\.{key} must .*{value if key != 'hidden' else ''}") as caught:
        PPO(**{key: value})
    assert "\n" not in str(caught.value)


def test_a_foreign_checkpoint_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    PPO(**TINY | {"total_steps": 1}).fit(mini(16), Log(), checkpoint=path)
    with pytest.raises(PointsmanError, match=str(path)):
        PPO(**TINY | {"hidden": (9,)}).fit(mini(16), Log(), checkpoint=path)
