"""PPO's loss and gradient: the form written out against autograd's, and autograd's loss against one worked by hand."""

import copy
import math

import pytest
import torch

from pointsman import envs
from pointsman.agents import surrogate
from pointsman.agents.log import Log
from pointsman.agents.networks import ActorCritic
from pointsman.agents.ppo import PPO
from pointsman.agents.surrogate import Autograd, Rows, WrittenOut
from pointsman.envs.problem import Layout

PARTS = [(2,), (5,), (3, 2, 4)]


def network_of(parts, quadratic=False):
    torch.manual_seed(0)
    network = ActorCritic(Layout(("a", "b", "c"), (), 0, parts), [16, 8], quadratic)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return network


def rows_of(network, n):
    """Decisions of another policy, so that some ratios are clipped and some are not; a third of the actions is forbidden."""
    parts = network.layout.parts
    x, mask = torch.randn(n, 3), torch.rand(n, sum(parts)) > 0.3
    start = 0
    for size in parts:
        mask[torch.arange(n), start + torch.randint(0, size, (n,))] = True
        start += size
    action = network.policy(x, mask).sample(torch.rand(n))
    log_prob = network.policy(x, mask).log_prob(action).detach() + 0.3 * torch.randn(n)
    return Rows(x, mask, action, log_prob, torch.randn(n), torch.randn(n))


def gradients(network):
    return {name: parameter.grad.clone() for name, parameter in network.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("quadratic", [False, True])
@pytest.mark.parametrize("bonus", [0.0, 0.05])
@pytest.mark.parametrize("parts", PARTS)
def test_both_forms_give_the_same_numbers(parts, bonus, quadratic, monkeypatch):
    """300 rows in chunks of 128, so that the last chunk is a rest: means and every gradient to 1e-6 of autograd's."""
    monkeypatch.setattr(surrogate, "CHUNK", 128)
    network = network_of(parts, quadratic)
    rows, other = rows_of(network, 300), copy.deepcopy(network)
    means = [form.loss(rows, bonus) for form in (Autograd(network, 0.2, 0.5), WrittenOut(other, 0.2, 0.5))]
    torch.testing.assert_close(means[1], means[0], rtol=1e-5, atol=1e-6)
    mine, reference = gradients(other), gradients(network)
    assert mine.keys() == reference.keys() == dict(network.named_parameters()).keys()
    for name in reference:
        torch.testing.assert_close(mine[name], reference[name], rtol=1e-4, atol=1e-6)
    assert WrittenOut.fits(network)


@pytest.mark.parametrize("quadratic", [False, True])
def test_both_forms_give_the_same_gradient_of_the_critic(quadratic):
    network = network_of((2,), quadratic)
    rows, other = rows_of(network, 50), copy.deepcopy(network)
    Autograd(network, 0.2, 0.5).value(rows.x, rows.aim)
    WrittenOut(other, 0.2, 0.5).value(rows.x, rows.aim)
    mine, reference = gradients(other), gradients(network)
    assert mine.keys() == reference.keys()
    assert all(name.startswith("critic") for name in reference)
    for name in reference:
        torch.testing.assert_close(mine[name], reference[name], rtol=1e-4, atol=1e-6)


def test_the_loss_of_two_decisions_by_hand():
    """Uniform over two actions. Ratios 0.5 / 0.25 = 2, cut to 1.2 where the gain is positive and not where it is negative."""
    network = network_of((2,))
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    everything = torch.ones(2, 2, dtype=torch.bool)
    old, gain, aim = torch.full((2,), math.log(0.25)), torch.tensor([1.0, -3.0]), torch.tensor([2.0, 4.0])
    rows = Rows(torch.zeros(2, 3), everything, torch.tensor([0, 1]), old, gain, aim)
    found = Autograd(network, 0.2, 0.5).loss(rows, 0.0)
    expected = [(1.2 - 3.0 * 2.0) / 2, (2.0 + 8.0) / 2, math.log(2.0), 2 - 1 - math.log(2.0)]
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.parametrize("name", ["dispatch/mini", "queueing/criss_cross"])
def test_a_training_ends_the_same_by_either_form(name, monkeypatch):
    """Twelve updates from the same seed: the same weights but for rounding."""
    settings = {
        "num_envs": 32,
        "rollout_steps": 16,
        "minibatch": 128,
        "total_steps": 12 * 512,
        "quadratic": True,
        "value_epochs": 1,
    }
    problem = envs.training(envs.configure(name))
    ends = []
    for written_out in (True, False):
        monkeypatch.setattr(WrittenOut, "fits", staticmethod(lambda network, it=written_out: it))
        ends.append(PPO(**settings, entropy=0.01).fit(envs.BatchEnv(problem, 32, copy=False), Log(), seed=2).network.state_dict())
    for key, value in ends[1].items():
        torch.testing.assert_close(ends[0][key], value, rtol=1e-3, atol=1e-4)
