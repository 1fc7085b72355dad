"""The networks that all learners share, with the normalisation of what they see inside."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pointsman.agents.heads import Distribution, Gaussian, distribution
from pointsman.agents.policy import one_hot
from pointsman.envs.problem import Layout
from pointsman.errors import PointsmanError


class Normaliser(nn.Module):
    """Running mean and variance of the entries of x [N, width] (Chan, Golub and LeVeque 1983); saved with the network.

    Candidates share the statistics of their entries, counted where one is present; absent ones become zeros.
    """

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, layout: Layout):
        super().__init__()
        self.context, self.entries = len(layout.context), len(layout.candidates)
        features = self.context + self.entries
        self.register_buffer("mean", torch.zeros(features, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(features, dtype=torch.float64))
        self.register_buffer("count", torch.zeros(features, dtype=torch.float64))

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Take in a batch [N, width]."""
        self._update(slice(0, self.context), x[:, : self.context].double())
        if self.entries:
            rows = x[:, self.context :].reshape(-1, self.entries)
            self._update(slice(self.context, None), rows[rows[:, 0] > 0].double())

    def _update(self, part: slice, x: Tensor) -> None:
        n = x.shape[0]
        if n == 0:
            return
        mean, variance, count = self.mean[part], self.variance[part], self.count[part]
        total = count + n
        delta = x.mean(0) - mean
        spread = variance * count + x.var(0, correction=0) * n + delta**2 * count * n / total
        mean += delta * (n / total)
        variance.copy_(spread / total)
        count.copy_(total)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised values [N, width], cut at 10 standard deviations."""
        mean, scale = self.mean.float(), torch.rsqrt(self.variance.float() + 1e-8)
        context = (x[:, : self.context] - mean[: self.context]) * scale[: self.context]
        if not self.entries:
            return context.clamp(-10.0, 10.0)
        rows = x[:, self.context :].unflatten(1, (-1, self.entries))
        normal = (rows - mean[self.context :]) * scale[self.context :] * (rows[:, :, :1] > 0)
        # `present` has no spread where all places are taken: it stays what it is.
        normal[:, :, 0] = rows[:, :, 0]
        return torch.cat([context, normal.flatten(1)], 1).clamp(-10.0, 10.0)


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


class Pooled(nn.Module):
    """Context and a summary of the candidates [N, F + 2H]: mean and maximum of what shared weights make of each.

    The sizes of a network of sets (Zaheer et al. 2017) do not depend on M, so it serves any number of candidates.
    """

    def __init__(self, layout: Layout, width: int):
        super().__init__()
        self.context, self.entries = len(layout.context), len(layout.candidates)
        self.outputs = self.context + 2 * width
        self.each = nn.Sequential(_orthogonal(nn.Linear(self.entries, width), 2**0.5), nn.Tanh())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The summary [N, F + 2H], and what was made of each candidate [N, M, H]."""
        rows = x[:, self.context :].unflatten(1, (-1, self.entries))
        present = rows[:, :, :1]
        each = self.each(rows) * present
        mean = each.sum(1) / present.sum(1).clamp(min=1.0)
        most = torch.where(present > 0, each, -1.0).amax(1)
        return torch.cat([x[:, : self.context], mean, most], 1), each


class CandidateActor(nn.Module):
    """Logits [N, M + E]: every candidate scored with shared weights, and E further actions such as to wait."""

    def __init__(self, layout: Layout, hidden: list[int]):
        super().__init__()
        self.pooled, more = Pooled(layout, hidden[0]), layout.parts[0] - layout.window
        self.of_context = mlp(self.pooled.outputs, hidden[:-1], hidden[-1], 2**0.5)
        self.of_candidate = _orthogonal(nn.Linear(hidden[0], hidden[-1]), 2**0.5)
        self.score = _orthogonal(nn.Linear(hidden[-1], 1), 0.01)
        self.more = _orthogonal(nn.Linear(hidden[-1], more), 0.01) if more else None

    def forward(self, x: Tensor) -> Tensor:
        """Logits of normalised observations [N, width]."""
        summary, each = self.pooled(x)
        context = self.of_context(summary)
        score = self.score(torch.tanh(context[:, None] + self.of_candidate(each)))[:, :, 0]
        return score if self.more is None else torch.cat([score, self.more(torch.tanh(context))], 1)


class CandidateCritic(nn.Module):
    """A value [N, 1] from context and summary of the candidates."""

    def __init__(self, layout: Layout, hidden: list[int]):
        super().__init__()
        self.pooled = Pooled(layout, hidden[0])
        self.of_summary = mlp(self.pooled.outputs, hidden, 1, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Values of normalised observations [N, width]."""
        found: Tensor = self.of_summary(self.pooled(x)[0])
        return found


class QuadraticCritic(nn.Module):
    """A quadratic form of the observation and, on top, a network: waiting costs grow with the square of a queue.

    Entries [N, F] lie within 10 standard deviations, so values stay bounded.
    """

    def __init__(self, features: int, hidden: list[int]):
        super().__init__()
        self.rest = mlp(features, hidden, 1, 1.0)
        self.form = nn.Linear(2 * features, 1, bias=False)
        nn.init.zeros_(self.form.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Values of normalised observations."""
        found: Tensor = self.rest(x) + self.form(torch.cat([x, x.square()], 1))
        return found

    @property
    def last(self) -> list[nn.Linear]:
        """Layers whose weights scale the value."""
        return [layer for layer in self.rest if isinstance(layer, nn.Linear)][-1:] + [self.form]


class ActorCritic(nn.Module):
    """Two separate networks on normalised observations x [N, width]: logits [N, A], a value [N] in units of `value_scale`.

    Args:
        layout: of observation and action.
        hidden: widths of the layers.
        quadratic: give the critic the squares of the entries; not for candidates.
    """

    value_scale: Tensor
    middle: Tensor  # of bounded actions
    reach: Tensor

    def __init__(self, layout: Layout, hidden: list[int], quadratic: bool = False):
        super().__init__()
        self.layout, self.hidden, self.quadratic = layout, hidden, quadratic
        if quadratic and layout.window:
            raise PointsmanError("agent.quadratic must be false where candidates are scored")
        self.normaliser = Normaliser(layout)
        self.actor: nn.Module
        self.critic: nn.Module
        if layout.window:
            self.actor, self.critic = CandidateActor(layout, hidden), CandidateCritic(layout, hidden)
        else:
            features = len(layout.context)
            self.actor = mlp(features, hidden, len(layout.bounds) or sum(layout.parts), 0.01)
            self.critic = QuadraticCritic(features, hidden) if quadratic else mlp(features, hidden, 1, 1.0)
        self.register_buffer("value_scale", torch.ones(()))
        if layout.image:
            raise PointsmanError(
                "native networks take vectors, no images: train with agent=sb3_ppo or another of stable-baselines3"
            )
        if layout.bounds:
            low, high = torch.tensor(layout.bounds).T
            bounded = torch.isfinite(high - low)
            self.register_buffer("middle", torch.where(bounded, (low + high) / 2, 0.0), persistent=False)
            self.register_buffer("reach", torch.where(bounded, (high - low) / 2, 1.0), persistent=False)
            self.log_std = nn.Parameter(torch.zeros(len(low)))

    def policy(self, x: Tensor, mask: Tensor) -> Distribution:
        """Distribution over actions."""
        if self.layout.bounds:
            return Gaussian(self.middle + self.reach * self.actor(x), self.log_std + self.reach.log())
        return distribution(self.actor(x), mask, self.layout.parts)

    def value(self, x: Tensor) -> Tensor:
        """Values [N] in units of reward."""
        return self.critic(x)[:, 0] * self.value_scale

    @torch.no_grad()
    def rescale(self, scale: Tensor) -> None:
        """Change the value scale and leave all values as they are (van Hasselt et al. 2016, without the shift)."""
        layers = [layer for layer in self.critic.modules() if isinstance(layer, nn.Linear)][-1:]
        for layer in self.critic.last if isinstance(self.critic, QuadraticCritic) else layers:
            for parameter in layer.parameters():
                parameter.mul_(self.value_scale / scale)
        self.value_scale.copy_(scale)


class NetworkPolicy:
    """A trained actor as a Policy.

    Args:
        network: an ActorCritic; one that scores candidates serves any number of them.
        greedy: take the most probable action instead of drawing one.
    """

    def __init__(self, network: ActorCritic, greedy: bool = True):
        self.network, self.greedy = network, greedy

    @torch.no_grad()
    def _distribution(self, observation: Any, mask: NDArray[np.bool_]) -> Distribution:
        layout = self.network.layout
        flat = layout.flat(observation)
        layout.check(flat)
        return self.network.policy(self.network.normaliser(torch.from_numpy(flat)), torch.from_numpy(np.asarray(mask, bool)))

    def act(self, observation: Any, mask: NDArray[np.bool_], u: NDArray[np.float64]) -> NDArray[Any]:
        """Actions int64[N], or [N, K] where a decision has K parts; float32[N, K] where it is a vector of numbers."""
        found = self._distribution(observation, mask)
        actions: NDArray[Any] = (found.mode() if self.greedy else found.sample(torch.from_numpy(u))).numpy()
        return actions

    def probabilities(self, observation: Any, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Probabilities of joint actions [N, A]; of a greedy policy, 1 for the action it takes."""
        found = self._distribution(observation, mask)
        if isinstance(found, Gaussian):
            raise PointsmanError("a policy of vectors of numbers has a density, no probabilities")
        if self.greedy:
            return one_hot(found.mode().numpy(), self.network.layout.parts)
        return found.probabilities().double().numpy()

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the weights; shapes and names go into policy.json."""
        torch.save(self.network.state_dict(), folder / "network.pt")
        network = self.network
        facts = {"layout": network.layout._asdict(), "hidden": network.hidden, "quadratic": network.quadratic}
        return facts | {"greedy": self.greedy}

    @classmethod
    def load(cls, folder: Path, facts: dict[str, Any]) -> "NetworkPolicy":
        """Read what `save` has written; weights only, no code."""
        network = ActorCritic(Layout.of(facts["layout"]), facts["hidden"], facts.get("quadratic", False))
        network.load_state_dict(torch.load(folder / "network.pt", weights_only=True))
        return cls(network, facts["greedy"])
