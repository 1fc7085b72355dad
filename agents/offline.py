"""Learning from a log of decisions: behaviour cloning, fitted Q iteration, discrete CQL, and fitted Q evaluation.

Data are transitions as arrays (evaluation.ope.log.Transitions): observation [N, F], mask, joint action [N], reward, elapsed,
following (row of the next decision, -1 without), terminated, episode, layout. Where a decision has several parts, its Q value
is a sum over the parts. Values are of the reward above the log's own rate, discounted by discount ** elapsed: leaving the rate
out changes no choice where episodes do not terminate by themselves, and keeps values small.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pointsman.agents.adam import Adam, descend
from pointsman.agents.heads import FORBIDDEN
from pointsman.agents.networks import ActorCritic, NetworkPolicy
from pointsman.errors import PointsmanError

Progress = Callable[[float], None]


class _Learner:
    """What all share: a network of the right shape, minibatches, and a rate that falls to a tenth.

    Args:
        steps: gradient steps.
        minibatch: decisions per step.
        learning_rate: of Adam, at the start.
        hidden: widths of the layers.
    """

    def __init__(self, steps: int = 6000, minibatch: int = 1024, learning_rate: float = 1e-3, hidden: tuple[int, ...] = (64, 64)):
        for key, value in {"steps": steps, "minibatch": minibatch}.items():
            if value < 1:
                raise PointsmanError(f"learner.{key} must be at least 1, got {value}")
        if not 0.0 < learning_rate < float("inf"):
            raise PointsmanError(f"learner.learning_rate must be positive, got {learning_rate}")
        self.steps, self.minibatch, self.learning_rate, self.hidden = steps, minibatch, learning_rate, list(hidden)

    def _network(self, data: Any, seed: int) -> ActorCritic:
        torch.manual_seed(seed)
        network = ActorCritic(data.layout, self.hidden)
        network.normaliser.update(torch.from_numpy(data.observation))
        return network

    def _descend(self, network: ActorCritic, rows: int, seed: int, loss: Callable[[Tensor, int], Tensor], show: Progress) -> None:
        """Gradient steps on loss(row numbers, step)."""
        draw = torch.Generator().manual_seed(seed)
        optimiser = Adam(network.actor.parameters(), eps=1e-8)
        for step in range(self.steps):
            optimiser.zero()
            loss(torch.randint(rows, (self.minibatch,), generator=draw), step).backward()
            descend([optimiser], self.learning_rate * (1.0 - 0.9 * step / self.steps), 10.0)
            if step % 50 == 0:
                show(step / self.steps)


class BehaviourCloning(_Learner):
    """Does what was done most often in states such as this."""

    def fit(self, data: Any, seed: int = 0, progress: Progress = lambda share: None) -> NetworkPolicy:
        """Maximum likelihood of the logged actions."""
        network = self._network(data, seed)
        x, mask, part = _inputs(network, data)

        def loss(rows: Tensor, step: int) -> Tensor:
            action = part[rows] if part.shape[1] > 1 else part[rows, 0]
            return -network.policy(x[rows], mask[rows]).log_prob(action).mean()

        self._descend(network, len(x), seed, loss, progress)
        return NetworkPolicy(network)


class FittedQIteration(_Learner):
    """Fitted Q iteration (Ernst, Geurts and Wehenkel 2005) with networks: double Q targets from a slower copy.

    Args:
        discount: per unit of time.
        refresh: gradient steps between copies of the network to the one that makes the targets.
        conservatism: weight of CQL's regulariser; 0: none.
    """

    def __init__(
        self, steps: int = 6000, minibatch: int = 1024, learning_rate: float = 1e-3, hidden: tuple[int, ...] = (64, 64),
        discount: float = 0.95, refresh: int = 100, conservatism: float = 0.0,
    ):  # fmt: skip
        super().__init__(steps, minibatch, learning_rate, hidden)
        if not 0.0 <= discount < 1.0:
            raise PointsmanError(f"learner.discount must be at least 0 and below 1, got {discount}")
        if refresh < 1 or conservatism < 0:
            raise PointsmanError(f"learner.refresh must be at least 1 and conservatism at least 0, got {refresh}, {conservatism}")
        self.discount, self.refresh, self.conservatism = discount, refresh, conservatism

    def fit(self, data: Any, seed: int = 0, progress: Progress = lambda share: None) -> NetworkPolicy:
        """The greedy policy of the last Q."""
        network = self._network(data, seed)
        x, mask, part = _inputs(network, data)
        reward, keep, following = _targets(data, self.discount)
        known = torch.from_numpy(np.flatnonzero((data.following >= 0) | data.terminated))
        slow = _copy(network)

        def loss(draw: Tensor, step: int) -> Tensor:
            rows = known[draw]
            if step % self.refresh == 0:
                slow.load_state_dict(network.state_dict())
            ahead = following[rows].clamp(min=0)
            with torch.no_grad():
                best = _best(network, network.actor(x[ahead]), mask[ahead])
                value = _q(network, slow.actor(x[ahead]), best)
                aim = reward[rows] + keep[rows] * torch.where(following[rows] >= 0, value, 0.0)
            logits = network.actor(x[rows])
            q = _q(network, logits, part[rows])
            error = 0.5 * (q - aim).square().mean()
            if not self.conservatism:
                return error
            # Values of all legal actions go down, that of the logged one up (Kumar et al. 2020).
            return error + self.conservatism * (_soft(network, logits, mask[rows]) - q).mean()

        self._descend(network, len(known), seed, loss, progress)
        return NetworkPolicy(network)


class DiscreteCQL(FittedQIteration):
    """Conservative Q-learning (Kumar et al. 2020) for finitely many actions: distrusts what was rarely done."""

    def __init__(
        self, steps: int = 6000, minibatch: int = 1024, learning_rate: float = 1e-3, hidden: tuple[int, ...] = (64, 64),
        discount: float = 0.95, refresh: int = 100, conservatism: float = 0.1,
    ):  # fmt: skip
        super().__init__(steps, minibatch, learning_rate, hidden, discount, refresh, conservatism)


class FittedQEvaluation(_Learner):
    """Values of a policy's actions by a network, cross-fitted: every episode's come from the other episodes.

    Args:
        folds: parts of the episodes.
        refresh: as in fitted Q iteration.
    """

    def __init__(
        self, steps: int = 3000, minibatch: int = 1024, learning_rate: float = 1e-3, hidden: tuple[int, ...] = (64, 64),
        folds: int = 2, refresh: int = 100, seed: int = 0,
    ):  # fmt: skip
        super().__init__(steps, minibatch, learning_rate, hidden)
        self.folds, self.refresh, self.seed = folds, refresh, seed

    def __call__(self, log: Any, target: NDArray[np.float64], reward: NDArray[np.float64], keep: NDArray[np.float64]) -> Any:
        """q [N, A] of a log, for target probabilities [N, A], rewards [N] and discounts to the next decision [N]."""
        data, found = log.transitions(), np.zeros(target.shape)
        scale = float(reward.std()) or 1.0
        fold = log.units[log.episode] % self.folds
        for k in range(self.folds):
            network = self._fitted(data, np.flatnonzero(fold != k), target, reward / scale, keep)
            x, mine = _inputs(network, data)[0], np.flatnonzero(fold == k)
            with torch.no_grad():
                for rows in np.array_split(mine, max(1, len(mine) // 50_000)):
                    found[rows] = scale * _joint_q(network, network.actor(x[torch.from_numpy(rows)])).numpy()
        return found

    def _fitted(self, data: Any, rows: NDArray[np.int64], target: Any, reward: Any, keep: Any) -> ActorCritic:
        """The network fitted to these rows alone."""
        network = self._network(data, self.seed)
        slow = _copy(network)
        x, _, part = _inputs(network, data)
        aim_reward, aim_keep = (torch.from_numpy(np.asarray(v, np.float32)) for v in (reward, keep))
        following, used = torch.from_numpy(data.following), torch.from_numpy(rows)
        probability = torch.from_numpy(target.astype(np.float32))

        def loss(draw: Tensor, step: int) -> Tensor:
            rows = used[draw]
            if step % self.refresh == 0:
                slow.load_state_dict(network.state_dict())
            ahead = following[rows].clamp(min=0)
            with torch.no_grad():
                value = (_joint_q(slow, slow.actor(x[ahead])) * probability[ahead]).sum(1)
                aim = aim_reward[rows] + aim_keep[rows] * torch.where(following[rows] >= 0, value, 0.0)
            return 0.5 * (_q(network, network.actor(x[rows]), part[rows]) - aim).square().mean()

        self._descend(network, len(used), self.seed, loss, lambda share: None)
        return network


def _inputs(network: ActorCritic, data: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Normalised observations [N, F], masks [N, sum of parts], actions by part [N, K]."""
    with torch.no_grad():
        x = network.normaliser(torch.from_numpy(data.observation))
    part = np.stack(np.unravel_index(data.action, data.layout.parts), 1)
    return x, torch.from_numpy(data.mask), torch.from_numpy(part)


def _targets(data: Any, discount: float) -> tuple[Tensor, Tensor, Tensor]:
    """Rewards in units of their spread, above the log's own rate where episodes go on; discounts; rows of what follows."""
    reward = data.reward.astype(np.float64)
    if not data.terminated.any() and data.elapsed.sum() > 0:
        reward = reward - data.reward.sum() / data.elapsed.sum() * data.elapsed
    reward = reward / (reward.std() or 1.0)
    keep = discount**data.elapsed
    return (
        torch.from_numpy(reward.astype(np.float32)),
        torch.from_numpy(keep.astype(np.float32)),
        torch.from_numpy(data.following),
    )


def _copy(network: ActorCritic) -> ActorCritic:
    found = ActorCritic(network.layout, network.hidden, network.quadratic)
    found.load_state_dict(network.state_dict())
    return found


def _split(network: ActorCritic, values: Tensor) -> tuple[Tensor, ...]:
    return values.split(list(network.layout.parts), -1)


def _q(network: ActorCritic, values: Tensor, part: Tensor) -> Tensor:
    """Q [N] of actions by part [N, K]."""
    pieces = [piece.gather(1, part[:, k : k + 1])[:, 0] for k, piece in enumerate(_split(network, values))]
    return torch.stack(pieces).sum(0)


def _best(network: ActorCritic, values: Tensor, mask: Tensor) -> Tensor:
    """Legal actions of the highest Q, by part [N, K]."""
    return torch.stack([piece.argmax(1) for piece in _split(network, torch.where(mask, values, FORBIDDEN))], 1)


def _soft(network: ActorCritic, values: Tensor, mask: Tensor) -> Tensor:
    """log sum exp of Q over the legal actions [N]."""
    return torch.stack([torch.logsumexp(piece, 1) for piece in _split(network, torch.where(mask, values, FORBIDDEN))]).sum(0)


def _joint_q(network: ActorCritic, values: Tensor) -> Tensor:
    """Q of all joint actions [N, A], the last part varying fastest."""
    first, *others = _split(network, values)
    for piece in others:
        first = (first[:, :, None] + piece[:, None, :]).flatten(1)
    return first
