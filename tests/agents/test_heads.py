"""Masked heads against torch.distributions and sb3-contrib's, and sampling by inversion against exact frequencies."""

import numpy as np
import pytest
import torch
from sb3_contrib.common.maskable.distributions import MaskableCategorical, MaskableMultiCategoricalDistribution
from scipy.stats import chisquare

from pointsman.agents.heads import Categorical, MultiCategorical, invert

SIZES = [3, 2, 4]


def case(rows=200, actions=6, seed=0, scale=3.0):
    """Random logits and masks with at least one legal action per row."""
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(rows, actions, generator=generator)
    mask = torch.rand(rows, actions, generator=generator) < 0.6
    mask[torch.arange(rows), torch.randint(actions, (rows,), generator=generator)] = True
    return logits, mask


def legal_actions(mask, seed=1):
    return torch.multinomial(mask.double(), 1, generator=torch.Generator().manual_seed(seed))[:, 0]


def test_categorical_equals_torch_on_the_legal_actions_alone():
    """Row by row, a distribution built from the legal logits only gives the same log-probabilities and entropy."""
    logits, mask = case()
    found, action = Categorical(logits, mask), legal_actions(mask)
    for i in range(len(logits)):
        alone = torch.distributions.Categorical(logits=logits[i, mask[i]])
        place = torch.tensor(int(mask[i, : action[i]].sum()))
        assert torch.isclose(found.log_prob(action)[i], alone.log_prob(place), atol=1e-5)
        assert torch.isclose(found.entropy()[i], alone.entropy(), atol=1e-5)
        assert found.mode()[i] == torch.where(mask[i], logits[i], -torch.inf).argmax()
    assert (found.log_probability.exp()[~mask] == 0).all()


def test_categorical_equals_sb3_contrib():
    logits, mask = case(seed=2)
    theirs, ours, action = MaskableCategorical(logits=logits, masks=mask.numpy()), Categorical(logits, mask), legal_actions(mask)
    torch.testing.assert_close(ours.log_prob(action), theirs.log_prob(action))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())


def multi_case(seed):
    logits, mask = case(actions=sum(SIZES), seed=seed)
    for start in np.cumsum([0, *SIZES[:-1]]):
        mask[:, start] |= ~mask[:, start : start + 2].any(1)
    return logits, mask


def test_multi_categorical_equals_sb3_contrib():
    logits, mask = multi_case(3)
    theirs = MaskableMultiCategoricalDistribution(SIZES).proba_distribution(logits)
    theirs.apply_masking(mask.numpy())
    ours = MultiCategorical(logits, mask, SIZES)
    action = torch.stack([legal_actions(part, k) for k, part in enumerate(mask.split(SIZES, -1))], -1)
    torch.testing.assert_close(ours.log_prob(action), theirs.log_prob(action), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.entropy(), theirs.entropy(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.mode(), theirs.mode())


@pytest.mark.parametrize("seed", [4, 5, 6])
def test_sampling_frequencies(seed):
    """Chi-square of 100,000 draws against the probabilities of torch."""
    logits, mask = case(rows=1, seed=seed, scale=1.0)
    u = torch.from_numpy(np.random.default_rng(seed).random(100_000))
    drawn = Categorical(logits.expand(len(u), -1), mask.expand(len(u), -1)).sample(u)
    expected = torch.softmax(logits[0, mask[0]].double(), 0) * len(u)
    counts = np.bincount(drawn.numpy(), minlength=6)
    assert counts[~mask[0].numpy()].sum() == 0
    assert chisquare(counts[mask[0].numpy()], expected.numpy() * (counts.sum() / expected.sum().item())).pvalue > 1e-4


def test_joint_sampling_frequencies_from_one_uniform():
    """One uniform for all parts gives the product law: chi-square over all joint actions."""
    logits, mask = multi_case(7)
    logits, mask, draws = 0.3 * logits[:1], mask[:1], 200_000
    u = torch.from_numpy(np.random.default_rng(7).random(draws))
    drawn = MultiCategorical(logits.expand(draws, -1), mask.expand(draws, -1), SIZES).sample(u).numpy()
    joint = np.ones(1)
    for part, allowed in zip(logits.split(SIZES, -1), mask.split(SIZES, -1), strict=True):
        joint = np.outer(joint, torch.softmax(part.masked_fill(~allowed, -torch.inf), -1).double().numpy()).ravel()
    counts = np.bincount(np.ravel_multi_index(drawn.T, SIZES), minlength=len(joint))
    assert counts[joint == 0].sum() == 0
    expected = joint[joint > 0] / joint.sum() * draws
    assert chisquare(counts[joint > 0], expected).pvalue > 1e-4


@pytest.mark.parametrize("u", [0.0, 1e-300, 1e-16, 0.5, 1 - 1e-16, np.nextafter(1.0, 0.0), 1.0])
def test_masked_actions_are_never_drawn_at_the_ends(u):
    """Every mask of five actions, with extreme logits: a uniform at the very end never falls on a masked action."""
    masks = torch.tensor([[bool(code >> k & 1) for k in range(5)] for code in range(1, 32)])
    for logits in (torch.zeros(31, 5), torch.full((31, 5), 80.0), torch.linspace(-60, 60, 5).expand(31, 5)):
        rows, uniforms = torch.arange(31), torch.full((31,), u, dtype=torch.float64)
        drawn = Categorical(logits, masks).sample(uniforms)
        assert masks[rows, drawn].all()
        joint = MultiCategorical(torch.cat([logits, logits], 1), torch.cat([masks, masks], 1), [5, 5]).sample(uniforms)
        assert masks[rows, joint[:, 0]].all()
        assert masks[rows, joint[:, 1]].all()


def test_inversion_by_hand():
    probability = torch.tensor([[0.0, 0.25, 0.0, 0.5, 0.25, 0.0]]).expand(6, -1)
    u = torch.tensor([0.0, 0.2499, 0.2501, 0.7499, 0.7501, 1.0], dtype=torch.float64)
    assert invert(probability, u).tolist() == [1, 1, 3, 3, 4, 4]


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_gradients_are_finite_and_zero_on_masked_logits(scale):
    logits, mask = case(seed=8, scale=scale)
    logits.requires_grad_()
    found = Categorical(logits, mask)
    (found.log_prob(legal_actions(mask)).sum() + found.entropy().sum()).backward()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[~mask] == 0).all()
    assert logits.grad[mask].abs().sum() > 0
