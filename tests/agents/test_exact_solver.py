"""Policy iteration against brute force and by hand; evaluation against dense linear algebra; tables as policies."""

import itertools

import numpy as np
import pytest
from scipy import sparse

from pointsman.agents import exact, iteration, policy
from pointsman.agents.table import TablePolicy
from pointsman.envs.markov import Chain
from pointsman.errors import PointsmanError


def chain_of(transition, cost, elapsed, mask=None):
    """A chain of dense parts: transition [A, S, S], cost and elapsed [S, A]."""
    states, actions = cost.shape
    mask = np.ones((states, actions), bool) if mask is None else mask
    return Chain(
        transition=tuple(sparse.csr_array(P) for P in transition),
        ledger=np.stack([cost, elapsed], 2),
        cost=cost,
        elapsed=elapsed,
        observation=np.arange(states, dtype=np.float32)[:, None],
        mask=mask,
        decision=mask.sum(1) > 1,
    )


def random_chain(seed, states=5, actions=3):
    """Dense transitions, so that every policy has one recurrent class; some actions masked, sojourns uneven."""
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.full(states, 0.3), (actions, states)) * 0.98 + 0.02 / states
    mask = rng.random((states, actions)) < 0.75
    mask[np.arange(states), rng.integers(0, actions, states)] = True
    return chain_of(transition, rng.normal(0, 2, (states, actions)), rng.uniform(0.2, 3.0, (states, actions)), mask)


def dense_average(chain, choice):
    """Cost per unit of time and visit shares of a randomised policy [S, A], by the eigenvector of eigenvalue 1."""
    P = sum(choice[:, [a]] * chain.transition[a].toarray() for a in range(choice.shape[1]))
    values, vectors = np.linalg.eig(P.T)
    share = np.real(vectors[:, np.argmin(abs(values - 1))])
    share /= share.sum()
    return float(share @ (choice * chain.cost).sum(1) / (share @ (choice * chain.elapsed).sum(1))), share


@pytest.fixture
def large(monkeypatch):
    """Every chain counts as too large to be factorised."""
    monkeypatch.setattr(exact, "WORK", 0)
    monkeypatch.setattr(exact, "PLANAR", 0)


@pytest.mark.parametrize("seed", range(12))
def test_large_chains_are_solved_to_the_same(seed, request):
    """Sweeps with extrapolation against policy iteration and factorised equations: cost, actions, bias, shares."""
    chain = random_chain(seed)
    found, choice = exact.solve(chain), np.random.default_rng(seed).dirichlet(np.ones(3), 5)
    score = exact.evaluate(chain, choice)
    request.getfixturevalue("large")
    swept = exact.solve(chain, tolerance=1e-9)
    assert swept.average_cost == pytest.approx(found.average_cost, rel=1e-8)
    assert swept.lower - 1e-9 <= found.average_cost <= swept.upper + 1e-9
    np.testing.assert_array_equal(swept.actions, found.actions)
    np.testing.assert_allclose(swept.bias - swept.bias[0], found.bias, atol=1e-6)
    again = exact.evaluate(chain, choice)
    np.testing.assert_allclose(again.frequency, score.frequency, atol=1e-9)
    assert again.average_cost == pytest.approx(score.average_cost)


def test_a_chain_of_two_halves_is_reported(large):
    """Two pairs of states that never meet: no rate is that of all, so the bounds stay apart."""
    chain = chain_of([np.eye(4)[[1, 0, 3, 2]]], np.array([[1.0], [1.0], [2.0], [2.0]]), np.ones((4, 1)))
    with pytest.raises(PointsmanError, match="does not settle"):
        exact.solve(chain)


@pytest.mark.parametrize("seed", range(12))
def test_policy_iteration_equals_brute_force(seed):
    """The least average cost over all deterministic legal policies of a random semi-Markov chain."""
    chain = random_chain(seed)
    legal = [np.flatnonzero(row) for row in chain.mask]
    costs = {choice: dense_average(chain, np.eye(3)[list(choice)])[0] for choice in itertools.product(*legal)}
    found = exact.solve(chain)
    assert found.average_cost == pytest.approx(min(costs.values()), abs=1e-9)
    assert costs[tuple(found.actions)] == pytest.approx(min(costs.values()), abs=1e-9)
    assert max(costs.values()) > min(costs.values()) + 0.1
    assert found.lower - 1e-9 <= found.average_cost <= found.upper + 1e-9
    assert found.upper - found.lower < 1e-8


@pytest.mark.parametrize("seed", range(3))
def test_bias_solves_the_optimality_equation(seed):
    """h(s) = min over a of c - g tau + P h, h(0) = 0."""
    chain, found = random_chain(seed), exact.solve(random_chain(seed))
    ahead = np.stack([chain.cost[:, a] + chain.transition[a] @ found.bias for a in range(3)], 1)
    ahead = np.where(chain.mask, ahead - found.average_cost * chain.elapsed, np.inf)
    np.testing.assert_allclose(ahead.min(1), found.bias, atol=1e-9)
    assert found.bias[0] == 0


@pytest.mark.parametrize(("repair", "cost", "action"), [(2.0, -3 / 15, 1), (4.0, -2 / 16, 0)])
def test_two_state_semi_markov_case_by_hand(repair, cost, action):
    """A machine works for 10 minutes and earns 5, then is down until it is patched or repaired.

    A patch takes 2 minutes, costs 1 and holds with probability 1/3: 3 patches a cycle, g = (-5 + 3) / (10 + 6).
    A repair takes 5 minutes and always holds: g = (-5 + repair) / (10 + 5).
    """
    costs, elapsed = np.array([[-5.0, 0.0], [1.0, repair]]), np.array([[10.0, 1.0], [2.0, 5.0]])
    transition = np.array([[[0.0, 1.0], [1 / 3, 2 / 3]], [[0.0, 1.0], [1.0, 0.0]]])
    found = exact.solve(chain_of(transition, costs, elapsed, np.array([[True, False], [True, True]])))
    assert found.average_cost == pytest.approx(cost)
    assert found.actions[1] == action
    if action == 1:  # state 0 is the working machine: h(down) = repair - g * 5 + h(0)
        assert found.bias[1] == pytest.approx(repair - cost * 5)


@pytest.mark.parametrize("seed", range(6))
def test_evaluate_equals_dense_linear_algebra(seed):
    """Randomised policies: cost, visit shares and ledger rates from an eigenvector."""
    chain = random_chain(100 + seed)
    choice = np.random.default_rng(seed).dirichlet(np.ones(3), 5) * chain.mask
    choice /= choice.sum(1, keepdims=True)
    cost, share = dense_average(chain, choice)
    found = exact.evaluate(chain, choice)
    assert found.average_cost == pytest.approx(cost, abs=1e-10)
    np.testing.assert_allclose(found.frequency, share, atol=1e-10)
    np.testing.assert_allclose(found.ledger, [cost, 1.0], atol=1e-10)  # elapsed per unit of time is 1


def test_transient_states_do_not_count():
    """State 0 is left for good: its cost is irrelevant."""
    transition = np.array([[[0.5, 0.5, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]])
    chain = chain_of(transition, np.array([[1e6], [1.0], [3.0]]), np.array([[1.0], [1.0], [3.0]]))
    assert exact.evaluate(chain, np.ones((3, 1))).average_cost == pytest.approx(1.0)
    assert exact.solve(chain).average_cost == pytest.approx(1.0)


def table():
    """A table over scores .2 .5 .9 and n = 0 .. 3, without an entry at (.5, 2)."""
    observation = np.array(list(itertools.product([0.2, 0.5, 0.9], range(4))), np.float32)
    actions = np.random.default_rng(0).integers(0, 3, 12)
    keep = ~((observation[:, 0] == np.float32(0.5)) & (observation[:, 1] == 2))
    return TablePolicy.from_states(observation, actions, keep), observation, actions, keep


def test_table_policy_returns_what_was_tabulated_and_survives_saving(tmp_path):
    found, observation, actions, keep = table()
    policy.save(found, tmp_path)
    for one in (found, policy.load(tmp_path)):
        mask = np.ones((12, 3), bool)
        np.testing.assert_array_equal(one.act(observation, mask, np.zeros(12))[keep], actions[keep])
        missing = one.act(observation, mask, np.zeros(12))[~keep]
        assert missing.tolist() == [actions[2]]  # no entry at (.5, 2): that of (.2, 2), the nearest
        mask[np.arange(12), actions] = False
        again = one.act(observation, mask, np.zeros(12))
        np.testing.assert_array_equal(again, mask.argmax(1))  # an entry that is illegal: likewise


def test_table_policy_takes_the_nearest_value():
    """Off the grid and beyond its ends, each entry goes to the nearest of its axis, and where that has none, the row does."""
    found, observation, actions, keep = table()
    rng = np.random.default_rng(1)
    asked = np.stack([rng.uniform(-1, 2, 500), rng.uniform(-5, 9, 500)], 1).astype(np.float32)
    got = found.act(asked, np.ones((500, 3), bool), np.zeros(500))
    score, n = np.array([0.2, 0.5, 0.9], np.float32), np.arange(4)
    for (s, m), action in zip(asked, got, strict=True):
        place = 4 * abs(score - s).argmin() + abs(n - m).argmin()
        if not keep[place]:
            distance = np.hypot(*(observation - [s, m]).T)
            place = np.flatnonzero(keep)[distance[keep].argmin()]
        assert action == actions[place]


def even(chain, span=0.5):
    """The same chain with all steps as long."""
    return chain._replace(elapsed=np.full_like(chain.elapsed, span))


@pytest.mark.parametrize("seed", range(6))
def test_plain_value_iteration_finds_the_same_where_all_steps_are_as_long(seed):
    chain = even(random_chain(seed))
    found = exact.solve(chain)
    bias, low, high = exact._plain(iteration.pairs_of(chain), 1e-10)
    assert low - 1e-8 <= found.average_cost <= high + 1e-8
    np.testing.assert_allclose(bias - bias[0], found.bias, atol=1e-6)


def test_plain_value_iteration_settles_on_a_periodic_chain_and_gives_up_on_a_slow_one():
    """A ring of three states costs their mean; two states that are left once in 100,000 steps take too long."""
    ring = chain_of(np.roll(np.eye(3), 1, axis=1)[None], np.array([[1.0], [2.0], [6.0]]), np.ones((3, 1)))
    _, low, high = exact._plain(iteration.pairs_of(ring), 1e-9)
    assert low == pytest.approx(3.0)
    assert high == pytest.approx(3.0)
    stay = np.array([[[1 - 1e-5, 1e-5], [1e-5, 1 - 1e-5]]])
    slow = chain_of(stay, np.array([[0.0], [1.0]]), np.ones((2, 1)))
    assert exact._plain(iteration.pairs_of(slow), 1e-9) is None
    assert exact.solve(slow).average_cost == pytest.approx(0.5)
