"""The normaliser against numpy, and network policies that survive saving."""

import numpy as np
import pytest
import torch

from pointsman.agents import policy
from pointsman.agents.networks import ActorCritic, NetworkPolicy, Normaliser
from pointsman.errors import PointsmanError

NAMES = ("score", "in_service", "waiting")


def uneven_batches():
    """Batches of 1 to 1,000 rows, one entry far from 0 beside its spread, one constant."""
    rng = np.random.default_rng(0)
    batches = []
    for rows in (1, 2, 7, 1000, 1, 333):
        batches.append(np.stack([rng.random(rows), 1e4 + rng.normal(0, 0.5, rows), np.full(rows, 3.0)], 1).astype(np.float32))
    return batches


def test_normaliser_equals_numpy():
    normaliser, batches = Normaliser(3), uneven_batches()
    for k, batch in enumerate(batches):
        normaliser.update(torch.from_numpy(batch))
        seen = np.concatenate(batches[: k + 1]).astype(np.float64)
        assert float(normaliser.count) == len(seen)
        np.testing.assert_allclose(normaliser.mean, seen.mean(0), rtol=1e-12)
        np.testing.assert_allclose(normaliser.variance, seen.var(0), rtol=1e-9, atol=1e-12)


def test_normalised_values():
    """(x - mean) / sqrt(variance), cut at 10; an entry that never changes stays near 0."""
    normaliser, batches = Normaliser(3), uneven_batches()
    seen = np.concatenate(batches).astype(np.float64)
    normaliser.update(torch.from_numpy(seen))
    x = np.array([[0.2, 1e4 + 1, 3.0], [1e6, -1e6, 3.0]])
    wanted = ((x - seen.mean(0)) / np.sqrt(seen.var(0) + 1e-8)).clip(-10, 10)
    np.testing.assert_allclose(normaliser(torch.from_numpy(x).float()), wanted, atol=2e-3)
    assert normaliser(torch.from_numpy(x).float())[1].tolist()[:2] == [10.0, -10.0]


def network_policy(greedy):
    torch.manual_seed(0)
    network = ActorCritic(3, 4, [16, 8])
    network.actor[-1].weight.data *= 100  # far from uniform, so that actions differ by row
    network.normaliser.update(torch.randn(100, 3) * 5 + 2)
    return NetworkPolicy(network, NAMES, [16, 8], greedy)


def inputs(rows=500, seed=1):
    rng = np.random.default_rng(seed)
    mask = rng.random((rows, 4)) < 0.6
    mask[np.arange(rows), rng.integers(0, 4, rows)] = True
    return rng.normal(2, 5, (rows, 3)).astype(np.float32), mask, rng.random(rows)


@pytest.mark.parametrize("greedy", [True, False])
def test_save_and_load_round_trip(tmp_path, greedy):
    found, (observation, mask, u) = network_policy(greedy), inputs()
    policy.save(found, tmp_path / "policy")
    again = policy.load(tmp_path / "policy")
    np.testing.assert_array_equal(again.act(observation, mask, u), found.act(observation, mask, u))
    np.testing.assert_array_equal(again.probabilities(observation, mask), found.probabilities(observation, mask))
    assert (again.names, again.hidden, again.greedy) == (NAMES, [16, 8], greedy)


def test_actions_are_legal_and_frequencies_follow_probabilities():
    found, (observation, mask, _) = network_policy(greedy=False), inputs(rows=20)
    expected = found.probabilities(observation, mask)
    np.testing.assert_allclose(expected.sum(1), 1, atol=1e-6)
    assert (expected[~mask] == 0).all()
    u = np.tile((np.arange(2000) + 0.5) / 2000, 20)  # stratified uniforms: frequencies are exact to 1 / 2000
    drawn = found.act(observation.repeat(2000, 0), mask.repeat(2000, 0), u).reshape(20, 2000)
    share = np.stack([(drawn == a).mean(1) for a in range(4)], 1)
    np.testing.assert_allclose(share, expected, atol=1.5e-3)


def test_greedy_takes_the_most_probable_legal_action_whatever_the_batch():
    observation, mask, u = inputs()
    greedy, drawn = network_policy(True), network_policy(False)
    best = greedy.act(observation, mask, u)
    np.testing.assert_array_equal(best, drawn.probabilities(observation, mask).argmax(1))
    assert len(np.unique(best)) == 4
    alone = [int(greedy.act(observation[i : i + 1], mask[i : i + 1], u[i : i + 1])[0]) for i in range(50)]
    np.testing.assert_array_equal(alone, best[:50])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_named(bad):
    found, (observation, mask, u) = network_policy(True), inputs(rows=5)
    observation[3, 2] = bad
    with pytest.raises(PointsmanError, match=rf"^observation 'waiting' of row 3 is {bad}.*$") as caught:
        found.act(observation, mask, u)
    assert "\n" not in str(caught.value)


def test_damaged_weights_are_one_line(tmp_path):
    """Truncated or empty files and foreign shapes: one line with the path, never a traceback of torch."""
    policy.save(network_policy(True), tmp_path)
    whole = (tmp_path / "network.pt").read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"not a checkpoint"):
        (tmp_path / "network.pt").write_bytes(damaged)
        with pytest.raises(PointsmanError, match=str(tmp_path)) as caught:
            policy.load(tmp_path)
        assert "\n" not in str(caught.value)


def test_only_classes_of_this_package_are_loaded(tmp_path):
    (tmp_path / "policy.json").write_text('{"class": "os:system"}')
    with pytest.raises(PointsmanError, match=f"{tmp_path}/policy.json .*class os:system is not a policy of this package"):
        policy.load(tmp_path)
