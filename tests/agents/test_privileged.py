"""The learner that is taught by a twin that sees more: its teacher's values, what it makes of them, and its errors."""

import numpy as np
import pytest
import torch

from pointsman import envs
from pointsman.agents import exact
from pointsman.agents.log import Log
from pointsman.agents.privileged import Privileged, Twin
from pointsman.errors import PointsmanError
from pointsman.evaluation.exact_costs import tabulate
from pointsman.scripts.hidden_regime import memoryless

TINY = {"teams.people.staff": 1, "score.bins_easy_probability": [0.9, 0.2], "score.bins_weight": [0.5, 0.5]}
FAST = {"arrival_rates": [0.05, 0.8], "switching_rates": [0.01, 0.02], "warmup_minutes": 0.0}
SEES = {"regime_observed": True}
SHORT = {"sees": SEES, "size": 30, "total_steps": 60_000, "num_envs": 256, "rounds": 2, "updates": 300, "minibatch": 512}


def hidden(**changes):
    return envs.build(envs.configure("dispatch/surge", **TINY | FAST | {"regime_observed": False} | changes))


@pytest.fixture(scope="module")
def seeing():
    return envs.chain(hidden(**SEES), 30)


def learnt(problem, **changes):
    learner = Privileged(**SHORT | changes)
    return learner.fit(envs.BatchEnv(problem, learner.num_envs), Log(), seed=0)


def test_the_twin_knows_what_a_decision_costs_beyond_the_best(seeing):
    """Against relative value iteration on dense matrices."""
    matrices, value = [P.toarray() for P in seeing.transition], np.zeros(len(seeing.cost))
    for _ in range(30_000):
        ahead = np.stack([seeing.cost[:, a] + P @ value for a, P in enumerate(matrices)], 1)
        best = np.where(seeing.mask, ahead, np.inf).min(1)
        value = best - best[0]
    twin = Twin(envs.BatchEnv(hidden(**{"recent.over": [2.0]}), 64), SEES, 30)
    twin.env.reset(seed=1)
    for _ in range(40):
        at = [np.flatnonzero((seeing.observation == row).all(1) & seeing.decision)[0] for row in twin.env.out.observation]
        np.testing.assert_allclose(twin.excess(), ahead[at] - best[at, None], atol=1e-6)
        twin.env.step(np.arange(64) % 2)


def test_where_hiding_loses_nothing_it_ends_at_the_optimum():
    """Both regimes are the same."""
    problem = hidden(arrival_rates=[0.3, 0.3])
    chain = envs.chain(hidden(arrival_rates=[0.3, 0.3], **SEES), 30)
    chain = chain._replace(observation=chain.observation[:, :3])
    cost = exact.evaluate(chain, tabulate(learnt(problem), chain)).average_cost
    assert cost == pytest.approx(exact.solve(chain).average_cost, rel=1e-3)


def regret(policy, problem, size):
    """Cost per minute above the optimum that sees the regime, as what its decisions cost beyond the best adds up."""
    env, lost, minutes = envs.BatchEnv(problem, 1000), 0.0, 0.0
    twin, (seen, _) = Twin(env, SEES, size), env.reset(seed=7)
    twin.env.reset(seed=7)
    for step in range(500):
        action = policy.act(seen, env.action_masks(), env.action_uniforms())
        excess = twin.excess()[np.arange(len(action)), action]
        seen, reward, _, _, info = env.step(action)
        twin.follow(action, reward)
        if step >= 100:  # begun at an empty desk
            lost, minutes = lost + excess.sum(), minutes + info["elapsed"].sum()
    return lost / minutes


def test_with_rates_it_recovers_half_of_what_hiding_costs():
    busy = {"teams.people.staff": 4, "arrival_rates": [0.6, 2.4], "switching_rates": [0.004, 0.016], "horizon_minutes": 1e6}
    chain = envs.chain(hidden(**busy, **SEES), 25)
    least, table = memoryless(chain, 3, starts=1)
    loss = least - exact.solve(chain).average_cost
    assert regret(table, hidden(**busy), 25) == pytest.approx(loss, rel=0.1)
    rated = hidden(**busy, **{"recent.over": [3.0, 6.0]})
    assert regret(learnt(rated), rated, 25) < loss / 2


def test_the_same_seed_makes_the_same_policy():
    problem, few = hidden(**{"recent.over": [4.0]}), {"total_steps": 2000, "updates": 20}
    one, two = (learnt(problem, **few).network.state_dict() for _ in range(2))
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize(
    ("problem", "sees", "said"),
    [
        (("dispatch/surge", {}), SEES, "shows nothing that dispatch/surge hides"),
        (("dispatch/surge", {"regime_observed": False, "recent.over": [2.0]}), {}, "shows nothing that dispatch/surge hides"),
        (("dispatch/surge", {"regime_observed": False}), {"regime_observd": True}, "agent.sees: .*regime_observd"),
        (("dispatch/surge", {"regime_observed": False, "automation.latency_minutes": 1.0}), SEES, "latency"),
        (("dispatch/surge", {"regime_observed": False}), SEES | {"prices.bounces": 9.0}, "changes what dispatch/surge does"),
        (("inventory/dual_sourcing", {}), {}, "one of several actions"),
    ],
)
def test_errors_say_what_is_wrong(problem, sees, said):
    name, changes = problem
    learner = Privileged(sees=sees, size=25, num_envs=16, total_steps=3200)
    with pytest.raises(PointsmanError, match=said):
        learner.fit(envs.BatchEnv(envs.build(envs.configure(name, **changes)), 16), Log())


def test_hyperparameters_are_checked():
    with pytest.raises(PointsmanError, match="agent.sees must be"):
        Privileged(sees="regime_observed")
    with pytest.raises(PointsmanError, match="agent.rounds"):
        Privileged(rounds=0)
