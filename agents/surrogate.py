"""The gradient of PPO's loss, in two ways that give the same numbers: by autograd, and written out for plain networks.

The loss is value_weight * (value - aim)^2 / 2 - clipped surrogate - bonus * entropy, a mean over rows.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pointsman.agents.heads import FORBIDDEN
from pointsman.agents.networks import ActorCritic, QuadraticCritic

CHUNK = 2048
"""Rows at a time on a processor: the activations of so many stay in its cache."""


class Rows(NamedTuple):
    """B decisions, one a row."""

    x: Tensor  # [B, width] normalised observations
    mask: Tensor  # bool[B, A]
    action: Tensor  # int64[B] or [B, K]; numbers [B, K]
    log_prob: Tensor  # [B] when the decision was taken
    gain: Tensor  # [B] normalised advantages
    aim: Tensor  # [B] value targets in units of the value scale


class Autograd:
    """The reference, for every network. Gradients are added to the parameters' `grad`, which must be there."""

    def __init__(self, network: ActorCritic, clip: float, value_weight: float):
        self.network, self.clip, self.value_weight = network, clip, value_weight

    def loss(self, rows: Rows, bonus: float) -> Tensor:
        """Add the gradient; returns the means of surrogate, value loss, entropy and divergence [4]."""
        found = self.network.policy(rows.x, rows.mask)
        log_ratio = found.log_prob(rows.action) - rows.log_prob
        ratio = log_ratio.exp()
        surrogate = torch.min(ratio * rows.gain, ratio.clamp(1 - self.clip, 1 + self.clip) * rows.gain).mean()
        value_loss, entropy = self._value_loss(rows.x, rows.aim), found.entropy().mean()
        (self.value_weight * value_loss - surrogate - bonus * entropy).backward()
        return torch.stack([surrogate, value_loss, entropy, (ratio - 1 - log_ratio).mean()]).detach()

    def value(self, x: Tensor, aim: Tensor) -> None:
        """Add the gradient of the value loss alone."""
        (self.value_weight * self._value_loss(x, aim)).backward()

    def _value_loss(self, x: Tensor, aim: Tensor) -> Tensor:
        return 0.5 * (self.network.critic(x)[:, 0] - aim).square().mean()


class WrittenOut:
    """For networks of plain layers and categorical decisions: fewer operations, no graph to keep."""

    def __init__(self, network: ActorCritic, clip: float, value_weight: float):
        self.network, self.clip, self.value_weight = network, clip, value_weight
        self.actor, self.critic = Layers(network.actor), Layers(network.critic)

    @staticmethod
    def fits(network: ActorCritic) -> bool:
        """Is this network one of those?"""
        return not network.layout.bounds and not network.layout.window

    def loss(self, rows: Rows, bonus: float) -> Tensor:
        """As Autograd's."""
        return self._in_chunks(rows, lambda part: self._loss(part, bonus, len(rows.x)))

    def value(self, x: Tensor, aim: Tensor) -> None:
        """As Autograd's."""
        for lo in range(0, len(x), self._chunk(x)):
            part = slice(lo, lo + self._chunk(x))
            self._value(x[part], aim[part], len(x))

    def _in_chunks(self, rows: Rows, job: Callable[[Rows], Tensor]) -> Tensor:
        size = self._chunk(rows.x)
        parts = [job(Rows(*(column[lo : lo + size] for column in rows))) for lo in range(0, len(rows.x), size)]
        return torch.stack(parts).sum(0)

    @staticmethod
    def _chunk(x: Tensor) -> int:
        return CHUNK if x.device.type == "cpu" else len(x)

    @torch.no_grad()
    def _loss(self, rows: Rows, bonus: float, total: int) -> Tensor:
        """Of some of `total` rows."""
        logits = torch.where(rows.mask, self.actor.forward(rows.x), FORBIDDEN)
        sizes, actions = self.network.layout.parts, rows.action.view(len(rows.x), -1)
        parts = [torch.log_softmax(part, 1) for part in logits.split(sizes, 1)]
        log_prob = sum(part.gather(1, actions[:, k : k + 1])[:, 0] for k, part in enumerate(parts))
        log_ratio = log_prob - rows.log_prob
        ratio = log_ratio.exp()
        free, clipped = ratio * rows.gain, ratio.clamp(1 - self.clip, 1 + self.clip) * rows.gain
        weight = torch.where(free <= clipped, free, 0.0).div_(total)  # d surrogate / d log_prob
        slopes, entropy = [], torch.zeros_like(ratio)
        for k, part in enumerate(parts):
            p = part.exp()
            own = -(p * part).sum(1)
            slope = p * weight[:, None]
            slope.scatter_add_(1, actions[:, k : k + 1], -weight[:, None])
            if bonus:
                slope.addcmul_(p, part + own[:, None], value=bonus / total)
            slopes.append(slope)
            entropy += own
        self.actor.backward(slopes[0] if len(slopes) == 1 else torch.cat(slopes, 1))
        value_loss = self._value(rows.x, rows.aim, total)
        means = [torch.min(free, clipped).sum(), value_loss, entropy.sum(), (ratio - 1 - log_ratio).sum()]
        return torch.stack(means) / total

    @torch.no_grad()
    def _value(self, x: Tensor, aim: Tensor, total: int) -> Tensor:
        error = self.critic.forward(x)[:, 0] - aim
        self.critic.backward(error[:, None] * (self.value_weight / total))
        return 0.5 * error.square().sum()


class Layers:
    """Linear layers with tanh between them, and a quadratic form beside where the critic has one."""

    def __init__(self, network: nn.Module):
        self.form = network.form if isinstance(network, QuadraticCritic) else None
        plain = network.rest if isinstance(network, QuadraticCritic) else network
        self.layers = [layer for layer in plain.modules() if isinstance(layer, nn.Linear)]
        self._activation: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """Outputs [B, O]; keeps what `backward` needs."""
        self._activation = [x]
        for layer in self.layers[:-1]:
            x = torch.addmm(layer.bias, x, layer.weight.T).tanh_()
            self._activation.append(x)
        y = torch.addmm(self.layers[-1].bias, x, self.layers[-1].weight.T)
        if self.form is not None:
            self._squares = torch.cat([self._activation[0], self._activation[0].square()], 1)
            y += self._squares @ self.form.weight.T
        return y

    def backward(self, slope: Tensor) -> None:
        """Add the gradients of the last `forward`, given that of its outputs [B, O]."""
        if self.form is not None:
            _gradient(self.form.weight).addmm_(slope.T, self._squares)
        for i in range(len(self.layers) - 1, -1, -1):
            layer, given = self.layers[i], self._activation[i]
            _gradient(layer.weight).addmm_(slope.T, given)
            _gradient(layer.bias).add_(slope.sum(0))
            if i:
                slope = torch.ops.aten.tanh_backward(slope @ layer.weight, given)


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad
