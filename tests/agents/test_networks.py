"""The normaliser against numpy, and network policies that survive saving."""

import numpy as np
import pytest
import torch

from pointsman.agents import policy
from pointsman.agents.networks import ActorCritic, NetworkPolicy, Normaliser
from pointsman.envs.problem import Layout
from pointsman.errors import PointsmanError

LAYOUT = Layout(("score", "in_service", "waiting"), (), 0, (4,))
MANY = Layout(("clock", "load"), ("present", "size", "age"), 5, (7,))


def uneven_batches():
    """Batches of 1 to 1,000 rows, one entry far from 0 beside its spread, one constant."""
    rng = np.random.default_rng(0)
    batches = []
    for rows in (1, 2, 7, 1000, 1, 333):
        batches.append(np.stack([rng.random(rows), 1e4 + rng.normal(0, 0.5, rows), np.full(rows, 3.0)], 1).astype(np.float32))
    return batches


def test_normaliser_equals_numpy():
    normaliser, batches = Normaliser(LAYOUT), uneven_batches()
    for k, batch in enumerate(batches):
        normaliser.update(torch.from_numpy(batch))
        seen = np.concatenate(batches[: k + 1]).astype(np.float64)
        assert (normaliser.count == len(seen)).all()
        np.testing.assert_allclose(normaliser.mean, seen.mean(0), rtol=1e-12)
        np.testing.assert_allclose(normaliser.variance, seen.var(0), rtol=1e-9, atol=1e-12)


def test_normalised_values():
    """(x - mean) / sqrt(variance), cut at 10; an entry that never changes stays near 0."""
    normaliser, batches = Normaliser(LAYOUT), uneven_batches()
    seen = np.concatenate(batches).astype(np.float64)
    normaliser.update(torch.from_numpy(seen))
    x = np.array([[0.2, 1e4 + 1, 3.0], [1e6, -1e6, 3.0]])
    wanted = ((x - seen.mean(0)) / np.sqrt(seen.var(0) + 1e-8)).clip(-10, 10)
    np.testing.assert_allclose(normaliser(torch.from_numpy(x).float()), wanted, atol=2e-3)
    assert normaliser(torch.from_numpy(x).float())[1].tolist()[:2] == [10.0, -10.0]


def network_policy(greedy):
    torch.manual_seed(0)
    network = ActorCritic(LAYOUT, [16, 8])
    network.actor[-1].weight.data *= 100  # far from uniform, so that actions differ by row
    network.normaliser.update(torch.randn(100, 3) * 5 + 2)
    return NetworkPolicy(network, greedy)


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
    assert (again.network.layout, again.network.hidden, again.greedy) == (LAYOUT, [16, 8], greedy)


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


def crowd(rows=6, window=5, seed=3):
    """Flat observations and masks with some candidates absent."""
    rng = np.random.default_rng(seed)
    candidates = rng.normal(2, 3, (rows, window, 3)).astype(np.float32)
    present = rng.random((rows, window)) < 0.6
    present[:, 0] = True
    candidates[:, :, 0] = 1
    candidates[~present] = 0
    mask = np.concatenate([present, np.ones((rows, 2), bool)], 1)
    return {"context": rng.normal(0, 1, (rows, 2)).astype(np.float32), "candidates": candidates}, mask


def candidate_policy(greedy=False):
    torch.manual_seed(1)
    network = ActorCritic(MANY, [16, 8])
    network.actor.score.weight.data *= 500
    network.normaliser.update(torch.from_numpy(MANY.flat(crowd(500)[0])))
    return NetworkPolicy(network, greedy)


def test_candidates_are_normalised_by_the_statistics_of_those_present():
    normaliser, seen = Normaliser(MANY), crowd(400)[0]
    for half in (slice(0, 100), slice(100, 400)):
        normaliser.update(torch.from_numpy(MANY.flat({key: rows[half] for key, rows in seen.items()})))
    rows = seen["candidates"][seen["candidates"][:, :, 0] > 0].astype(np.float64)
    np.testing.assert_allclose(normaliser.mean[2:], rows.mean(0), rtol=1e-9)
    np.testing.assert_allclose(normaliser.variance[2:], rows.var(0), rtol=1e-9, atol=1e-12)
    x = normaliser(torch.from_numpy(MANY.flat(seen)))[:, 2:].reshape(400, 5, 3).numpy()
    assert (x[seen["candidates"][:, :, 0] == 0] == 0).all()
    np.testing.assert_allclose(x[:, :, 1:][seen["candidates"][:, :, 0] > 0].std(0), 1, atol=1e-3)


def test_scores_move_with_the_candidates_and_ignore_empty_places():
    """Candidates in another order: the same probabilities in that order; more empty places change nothing, nor the value."""
    found, (seen, mask) = candidate_policy(), crowd()
    before = found.probabilities(seen, mask)
    order = np.array([3, 0, 4, 2, 1])
    moved = {"context": seen["context"], "candidates": seen["candidates"][:, order]}
    after = found.probabilities(moved, np.concatenate([mask[:, order], mask[:, 5:]], 1))
    np.testing.assert_allclose(after, np.concatenate([before[:, order], before[:, 5:]], 1), atol=1e-6)
    wide = {"context": seen["context"], "candidates": np.concatenate([seen["candidates"], np.zeros((6, 4, 3), np.float32)], 1)}
    gap = np.zeros((6, 4), bool)
    widened = found.probabilities(wide, np.concatenate([mask[:, :5], gap, mask[:, 5:]], 1))
    np.testing.assert_allclose(widened, np.concatenate([before[:, :5], 0.0 * gap, before[:, 5:]], 1), atol=1e-6)
    network = found.network
    value = [network.value(network.normaliser(torch.from_numpy(MANY.flat(part)))) for part in (seen, moved, wide)]
    torch.testing.assert_close(value[0], value[1])
    torch.testing.assert_close(value[0], value[2])
    assert before.max() > 0.5  # far from uniform


def test_candidate_policy_survives_saving_and_names_what_is_not_finite(tmp_path):
    found, (seen, mask) = candidate_policy(), crowd()
    policy.save(found, tmp_path)
    np.testing.assert_array_equal(policy.load(tmp_path).probabilities(seen, mask), found.probabilities(seen, mask))
    seen["candidates"][2, 3, 1] = np.nan
    with pytest.raises(PointsmanError, match="'size of candidate 3' of row 2"):
        found.act(seen, mask, np.zeros(6))


def test_greedy_and_drawn_probabilities_of_several_parts_are_joint():
    layout = Layout(("a", "b"), (), 0, (3, 2))
    torch.manual_seed(2)
    network = ActorCritic(layout, [8])
    network.actor[-1].weight.data *= 100
    x, mask = torch.randn(50, 2).numpy(), np.ones((50, 5), bool)
    mask[::2, 1] = False
    drawn, greedy = (NetworkPolicy(network, flag).probabilities(x, mask) for flag in (False, True))
    logits = network.actor(network.normaliser(torch.from_numpy(x))).detach().masked_fill(~torch.from_numpy(mask), -np.inf)
    first, second = torch.softmax(logits[:, :3], 1), torch.softmax(logits[:, 3:], 1)
    np.testing.assert_allclose(drawn, (first[:, :, None] * second[:, None, :]).reshape(50, 6), atol=1e-6)
    np.testing.assert_array_equal(greedy.argmax(1), drawn.argmax(1))
    actions = NetworkPolicy(network).act(x, mask, np.zeros(50))
    np.testing.assert_array_equal(actions[:, 0] * 2 + actions[:, 1], drawn.argmax(1))
