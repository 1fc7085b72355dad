"""Adam against torch's, with clipping, and what a start must not import."""

import subprocess
import sys

import torch
from torch import nn

from pointsman.agents.adam import Adam, descend


def networks():
    torch.manual_seed(0)
    one = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    other = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    other.load_state_dict(one.state_dict())
    return one, other


def loss_of(network, k):
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(k))
    return (100.0 if k % 2 else 0.01) * (network(x) - x.sum(1, keepdim=True)).square().mean()


def test_forty_steps_equal_those_of_torch():
    """Two groups, cut together where the loss is large; in every third step the second group alone moves, and ages."""
    mine, theirs = networks()
    groups = [Adam(mine[0].parameters()), Adam(mine[2].parameters())]
    reference = torch.optim.Adam(theirs.parameters(), eps=1e-5)
    for k in range(40):
        rate, alone = 0.01 / (k + 1), k % 3 == 2
        for group in groups:
            group.zero()
        loss_of(mine, k).backward()
        descend(groups[1:] if alone else groups, rate, 0.5)
        reference.zero_grad()
        loss_of(theirs, k).backward()
        if alone:
            for parameter in theirs[0].parameters():
                parameter.grad = None
        nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        reference.param_groups[0]["lr"] = rate
        reference.step()
    for one, other in zip(mine.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_a_kept_state_continues_as_if_nothing_had_happened():
    mine, other = networks()
    groups = [Adam(mine.parameters()), Adam(other.parameters())]
    for k in range(10):
        if k == 5:
            other.load_state_dict(mine.state_dict())
            groups[1].load_state_dict(groups[0].state_dict())
        for network, group in zip((mine, other), groups, strict=True):
            if network is mine or k >= 5:
                group.zero()
                loss_of(network, k).backward()
                descend([group], 0.01, 0.5)
    assert all(torch.equal(one, two) for one, two in zip(mine.parameters(), other.parameters(), strict=True))


def test_training_imports_no_compiler():
    """torch's optimisers would import torch._dynamo, as long again as torch itself."""
    code = """
import sys, pointsman
from pointsman.agents.log import Log
from pointsman.agents.ppo import PPO
PPO(total_steps=64, num_envs=4, rollout_steps=8, minibatch=16).fit(pointsman.make("dispatch/mini", 4), Log())
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
