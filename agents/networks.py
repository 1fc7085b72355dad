"""The networks that all learners share, with the normalisation of what they see inside."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pointsman.agents.heads import Categorical
from pointsman.envs.core import check_finite


class Normaliser(nn.Module):
    """Running mean and variance of the entries of x [N, F] (Chan, Golub and LeVeque 1983); saved with the network."""

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, features: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(features, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(features, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Take in a batch [N, F]."""
        x = x.double()
        n, total = float(x.shape[0]), float(self.count) + x.shape[0]
        delta = x.mean(0) - self.mean
        spread = self.variance * self.count + x.var(0, correction=0) * n + delta**2 * self.count * n / total
        self.mean += delta * (n / total)
        self.variance.copy_(spread / total)
        self.count.fill_(total)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised values, cut at 10 standard deviations."""
        return ((x - self.mean.float()) * torch.rsqrt(self.variance.float() + 1e-8)).clamp(-10.0, 10.0)


def mlp(inputs: int, hidden: list[int], outputs: int, gain: float) -> nn.Sequential:
    """Tanh network with orthogonal weights; `gain` scales the last layer."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [_orthogonal(nn.Linear(inputs, width), 2**0.5), nn.Tanh()]
        inputs = width
    return nn.Sequential(*layers, _orthogonal(nn.Linear(inputs, outputs), gain))


def _orthogonal(layer: nn.Linear, gain: float) -> nn.Linear:
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class ActorCritic(nn.Module):
    """Two separate networks on normalised observations x [N, F]: logits [N, A], and a value [N] in units of `value_scale`."""

    value_scale: Tensor

    def __init__(self, features: int, actions: int, hidden: list[int]):
        super().__init__()
        self.normaliser = Normaliser(features)
        self.actor = mlp(features, hidden, actions, 0.01)
        self.critic = mlp(features, hidden, 1, 1.0)
        self.register_buffer("value_scale", torch.ones(()))

    def value(self, x: Tensor) -> Tensor:
        """Values [N] in units of reward."""
        return self.critic(x)[:, 0] * self.value_scale

    @torch.no_grad()
    def rescale(self, scale: Tensor) -> None:
        """Change the value scale and leave all values as they are (van Hasselt et al. 2016, without the shift)."""
        for parameter in self.critic[-1].parameters():
            parameter.mul_(self.value_scale / scale)
        self.value_scale.copy_(scale)


class NetworkPolicy:
    """A trained actor as a Policy.

    Args:
        network: an ActorCritic.
        names: names of the observation's entries, for errors.
        greedy: take the most probable action instead of drawing one.
    """

    def __init__(self, network: ActorCritic, names: tuple[str, ...], hidden: list[int], greedy: bool = True):
        self.network, self.names, self.hidden, self.greedy = network, names, hidden, greedy

    @torch.no_grad()
    def _distribution(self, observation: Any, mask: NDArray[np.bool_]) -> Categorical:
        observation = np.asarray(observation, np.float32)
        check_finite(observation, self.names)
        network = self.network
        logits = network.actor(network.normaliser(torch.from_numpy(observation)))
        return Categorical(logits, torch.from_numpy(np.asarray(mask, bool)))

    def act(self, observation: Any, mask: NDArray[np.bool_], u: NDArray[np.float64]) -> NDArray[np.int64]:
        """Actions int64[N]."""
        found = self._distribution(observation, mask)
        return (found.mode() if self.greedy else found.sample(torch.from_numpy(u))).numpy()

    def probabilities(self, observation: Any, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Action probabilities [N, A]; of a greedy policy, 1 for the action it takes."""
        found = self._distribution(observation, mask)
        if self.greedy:
            return np.eye(mask.shape[1])[found.mode().numpy()]
        return found.log_probability.double().exp().numpy()

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the weights; shapes and names go into policy.json."""
        torch.save(self.network.state_dict(), folder / "network.pt")
        actions = self.network.actor[-1].out_features
        return {"names": list(self.names), "actions": actions, "hidden": self.hidden, "greedy": self.greedy}

    @classmethod
    def load(cls, folder: Path, facts: dict[str, Any]) -> "NetworkPolicy":
        """Read what `save` has written; weights only, no code."""
        network = ActorCritic(len(facts["names"]), facts["actions"], facts["hidden"])
        network.load_state_dict(torch.load(folder / "network.pt", weights_only=True))
        return cls(network, tuple(facts["names"]), facts["hidden"], facts["greedy"])
