"""Learned policies near saturation: ten training seeds, a million events each, at load 0.95."""

import numpy as np
import pytest

from pointsman import envs
from pointsman.agents.log import Log
from pointsman.agents.ppo import PPO

SEEDS, EVENTS, STRETCHES, IDLE = 10, 1_000_000, 20, 2
SHAPE = (600, 200, 3, 3, 2)  # what is tabulated: requests of either class waiting and in service, and the server that decides


def tabulated(policy, problem):
    """Its actions at every decision [*SHAPE]: a million decisions one by one are too slow for a network."""
    seen = np.stack([grid.ravel() for grid in np.indices(SHAPE)], 1).astype(np.float32)
    server = seen[:, 4].astype(int)
    observation = np.concatenate([seen[:, :4], np.eye(2, dtype=np.float32)[server]], 1)
    possible = (observation[:, :2] > 0) & (problem.params.service[server] > 0)
    idle = ~possible.any(1) | (not problem.config["work_conserving"])
    mask = np.concatenate([possible, idle[:, None]], 1)
    pieces = zip(np.array_split(observation, 60), np.array_split(mask, 60), strict=True)
    actions = [policy.act(seen, legal, np.full(len(seen), 0.5)) for seen, legal in pieces]
    return np.concatenate(actions).reshape(SHAPE)


@pytest.mark.long
@pytest.mark.parametrize("work_conserving", [True, False])
def test_queues_do_not_grow_over_a_million_events(work_conserving):
    """The optimum keeps some 24 requests in the system: no 50,000 events may average 150, nor the later ones many more."""
    network = {"rho": 0.95, "work_conserving": work_conserving}
    training = envs.training(envs.configure("queueing/n_model", **network))
    endless = envs.build(envs.configure("queueing/n_model", **network, horizon_time=1e9, warmup_time=0))
    settings = {"total_steps": 4_000_000, "num_envs": 512, "rollout_steps": 64, "gae_lambda": 0.95, "entropy": 0.03}
    learner = PPO(**settings, quadratic=True, lookahead=True, value_epochs=2)
    env = envs.BatchEnv(endless, SEEDS, autoreset=False, copy=False)
    env.reset(seed=1000)
    tables = []
    for seed in range(SEEDS):
        policy = learner.fit(envs.BatchEnv(training, learner.num_envs, copy=False), Log(), seed=seed)
        tables.append(tabulated(policy, endless))
    table, row = np.stack(tables), np.arange(SEEDS)
    queues = [[] for _ in range(STRETCHES)]
    seen = env.out.observation
    while (done := int(env.state.records.min())) < EVENTS:
        queues[done * STRETCHES // EVENTS].append(seen[:, :2].sum(1))
        place = np.minimum(seen[:, :4].astype(int), np.array(SHAPE[:4]) - 1)
        chosen = table[row, *place.T, (seen[:, 5] > 0).astype(int)]
        env.step(np.where(seen[:, 4:].any(1), chosen, IDLE))
    means = np.stack([np.mean(stretch, 0) for stretch in queues])  # [STRETCHES, SEEDS]
    assert means.max() < 150
    assert means[STRETCHES // 2 :].mean() < 1.5 * means[: STRETCHES // 2].mean()
    print(means.mean(0).round(1), means.max(0).round(1))
