"""Distributions over actions: masked categoricals, in which illegal ones have probability 0, and a Gaussian for vectors."""

import numpy as np
import torch
from torch import Tensor

from pointsman.envs.noise import spread

FORBIDDEN = -1e9
"""Logit of a masked action: its probability underflows to exactly 0, and gradients stay finite."""


class Categorical:
    """Distribution over A actions per row: logits [N, A], mask bool[N, A] with at least one legal action per row."""

    def __init__(self, logits: Tensor, mask: Tensor):
        self.log_probability = torch.log_softmax(torch.where(mask, logits, FORBIDDEN), -1)

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-probability [N] of actions int64[N]."""
        return self.log_probability.gather(-1, action[:, None])[:, 0]

    def entropy(self) -> Tensor:
        """Entropy [N] in nats."""
        return -(self.log_probability.exp() * self.log_probability).sum(-1)

    def sample(self, u: Tensor) -> Tensor:
        """Actions int64[N] by inversion of uniforms u [N]."""
        return invert(self.log_probability.exp(), u)

    def probabilities(self) -> Tensor:
        """Probabilities [N, A]."""
        return self.log_probability.exp()

    def mode(self) -> Tensor:
        """Most probable actions int64[N]."""
        return self.log_probability.argmax(-1)


class MultiCategorical:
    """Independent categoricals side by side: logits [N, sum(sizes)], mask likewise, actions int64[N, len(sizes)]."""

    def __init__(self, logits: Tensor, mask: Tensor, sizes: list[int]):
        pairs = zip(logits.split(sizes, -1), mask.split(sizes, -1), strict=True)
        self.parts = [Categorical(part, allowed) for part, allowed in pairs]

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-probability [N] of joint actions."""
        return torch.stack([part.log_prob(action[:, k]) for k, part in enumerate(self.parts)]).sum(0)

    def entropy(self) -> Tensor:
        """Joint entropy [N] in nats."""
        return torch.stack([part.entropy() for part in self.parts]).sum(0)

    def sample(self, u: Tensor) -> Tensor:
        """Joint actions by inversion; one uniform [N] serves all parts, each taking what the last left of it."""
        chosen = []
        for part in self.parts:
            probability = part.log_probability.exp()
            action = invert(probability, u)
            below = (probability.cumsum(-1) - probability).gather(-1, action[:, None])[:, 0]
            width = probability.gather(-1, action[:, None])[:, 0]
            u = ((u - below) / width).clamp(0.0, 1.0)
            chosen.append(action)
        return torch.stack(chosen, -1)

    def probabilities(self) -> Tensor:
        """Probabilities of joint actions [N, product of sizes], the last part varying fastest."""
        joint = self.parts[0].probabilities()
        for part in self.parts[1:]:
            joint = (joint[:, :, None] * part.probabilities()[:, None, :]).flatten(1)
        return joint

    def mode(self) -> Tensor:
        """Most probable joint actions."""
        return torch.stack([part.mode() for part in self.parts], -1)


class Gaussian:
    """Independent normals: mean [N, K], log_std [K]. Nothing is squashed: the environment cuts actions at its bounds.

    Densities are those of what was drawn, before the cut, as is usual.
    """

    def __init__(self, mean: Tensor, log_std: Tensor):
        self.mean, self.log_std = mean, log_std

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-density [N] of actions [N, K]."""
        z = (action - self.mean) * torch.exp(-self.log_std)
        return (-0.5 * z.square() - self.log_std - 0.5 * np.log(2 * np.pi)).sum(-1)

    def entropy(self) -> Tensor:
        """Differential entropy [N] in nats."""
        return (self.log_std + 0.5 * np.log(2 * np.pi * np.e)).sum().expand(len(self.mean))

    def sample(self, u: Tensor) -> Tensor:
        """Actions [N, K]; one uniform [N] serves all entries, hashed."""
        each = np.empty(self.mean.shape)
        spread(u.double().cpu().numpy(), each)
        return self.mean + torch.exp(self.log_std) * torch.special.ndtri(torch.from_numpy(each)).to(self.mean)

    def mode(self) -> Tensor:
        """Means [N, K]."""
        return self.mean


Distribution = Categorical | MultiCategorical | Gaussian


def distribution(logits: Tensor, mask: Tensor, parts: tuple[int, ...]) -> Categorical | MultiCategorical:
    """Categorical, or multi-categorical where a decision has several parts of the given numbers of actions."""
    return Categorical(logits, mask) if len(parts) == 1 else MultiCategorical(logits, mask, list(parts))


def invert(probability: Tensor, u: Tensor) -> Tensor:
    """Index of the first cumulative probability [N, A] above u [N], never one of probability 0."""
    cumulative = probability.cumsum(-1)
    index = (cumulative <= (u.to(cumulative.dtype) * cumulative[:, -1])[:, None]).sum(-1)
    last = probability.shape[-1] - 1 - (probability.flip(-1) > 0).to(torch.int8).argmax(-1)
    return torch.minimum(index, last)
