"""Learning with what a simulator knows in training and nobody in operation: least squares to the values of a twin that sees more.

The twin is the same world with more shown; its exact optimum says what each decision costs in a state seen whole. Mean costs
given what the policy sees are fitted, and the least is chosen: QMDP (Littman, Cassandra and Kaelbling 1995) with a learnt
filter. It takes for granted that all is seen after the decision, so it never decides in order to find out. As in "learning by
cheating" (Chen et al. 2019) the teacher sees more than the pupil, and as in DAgger (Ross et al. 2011) the pupil soon acts.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from pointsman import envs
from pointsman.agents import exact
from pointsman.agents.adam import Adam, descend
from pointsman.agents.log import Log
from pointsman.agents.networks import ActorCritic, NetworkPolicy
from pointsman.agents.ranges import require_counts, require_device, require_positive, require_shares, require_widths
from pointsman.envs.arrays import Floats
from pointsman.envs.core import BatchEnv
from pointsman.errors import PointsmanError


class Privileged:
    """Learner; the constructor only stores hyperparameters.

    Args:
        sees: changes to the environment's configuration that show what it hides, such as {regime_observed: true}.
        size: where the twin's chain is truncated.
        total_steps: decisions in all, over all environments.
        num_envs: environments side by side.
        rounds: the twin's optimum acts in the first, the network in the others; after each the network is fitted to all so far.
        epsilon: share of decisions that are made at random.
        updates, minibatch: gradient steps per round, and decisions in each.
        learning_rate: of Adam, at the start of a round; falls linearly to a tenth.
        hidden: widths of the layers.
        device: "cpu", or "cuda" for the network on a GPU; environments stay on the processor.
    """

    def __init__(
        self,
        sees: dict[str, Any] | None = None,
        size: int = 50,
        total_steps: int = 3_000_000,
        num_envs: int = 2048,
        rounds: int = 3,
        epsilon: float = 0.1,
        updates: int = 2000,
        minibatch: int = 4096,
        learning_rate: float = 3e-3,
        hidden: tuple[int, ...] = (64, 64),
        device: str = "cpu",
    ):
        if not isinstance(sees, Mapping | None):
            raise PointsmanError(f"agent.sees must be keys of the environment with their values, got {sees!r}")
        require_counts(size=size, total_steps=total_steps, num_envs=num_envs, rounds=rounds, updates=updates, minibatch=minibatch)
        require_shares(epsilon=epsilon)
        require_positive(learning_rate=learning_rate)
        require_widths(hidden)
        require_device(device)
        self.sees, self.size, self.total_steps, self.num_envs, self.rounds = sees, size, total_steps, num_envs, rounds
        self.epsilon, self.updates, self.minibatch, self.learning_rate = epsilon, updates, minibatch, learning_rate
        self.hidden, self.device = list(hidden), device

    def fit(self, env: Any, log: Log, seed: int = 0, checkpoint: Path | None = None) -> NetworkPolicy:
        """Train on a BatchEnv. No checkpoint is kept: an interrupted run starts again."""
        twin = Twin(env, dict(self.sees or {}), self.size)
        env.copy = False
        torch.manual_seed(seed)
        network = ActorCritic(env.layout, self.hidden)
        rng, draw = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        env.reset(seed=seed)
        twin.env.reset(seed=seed)
        steps, loss = max(1, self.total_steps // (env.num_envs * self.rounds)), float("nan")
        data: list[Tensor] = []
        for turn in range(self.rounds):
            actor, rows = NetworkPolicy(network) if turn else None, []
            for step in range(turn * steps, (turn + 1) * steps):
                rows.append(self._decide(env, twin, actor, rng))
                ledger, elapsed, n = env.out.ledger.sum(0), float(env.out.elapsed.sum()), env.num_envs
                log.update((step + 1) * n, steps * self.rounds * n, ledger, elapsed, {"learner/loss": loss})
            fresh = [torch.from_numpy(np.concatenate(column)) for column in zip(*rows, strict=True)]
            data = [torch.cat(pair) for pair in zip(data, fresh, strict=True)] if turn else fresh
            if not len(data[0]):
                raise PointsmanError(f"{env.problem.id}: no decision had a choice, so there is nothing to learn")
            network.normaliser.update(fresh[0])
            loss = self._improve(network.to(self.device), draw, *data)
            network.cpu()
        return NetworkPolicy(network)

    def _decide(self, env: Any, twin: "Twin", actor: NetworkPolicy | None, rng: np.random.Generator) -> tuple[Any, Any, Any]:
        """One decision in every environment; those with a choice as rows: observation, mask, excess."""
        seen, mask, excess = env.out.observation.copy(), env.out.mask.copy(), twin.excess()
        best = actor.act(seen, mask, np.zeros(len(seen))) if actor else np.where(mask, excess, np.inf).argmin(1)
        anything = (rng.random(mask.shape) * mask).argmax(1)
        action = np.where(rng.random(len(seen)) < self.epsilon, anything, best)
        reward = env.step(action)[1]
        twin.follow(action, reward)
        choice = mask.sum(1) > 1
        return seen[choice], mask[choice], excess[choice].astype(np.float32)

    def _improve(self, network: ActorCritic, draw: torch.Generator, seen: Tensor, mask: Tensor, excess: Tensor) -> float:
        """Least squares over legal actions; returns the mean square error of the last steps, in squares of the spread."""
        scale = float(excess[mask].std()) or 1.0
        optimiser, loss = Adam(network.actor.parameters(), eps=1e-8), 0.0
        for step in range(self.updates):
            rows = torch.randint(len(seen), (self.minibatch,), generator=draw)
            x, legal, aim = (column[rows].to(self.device) for column in (seen, mask, excess))
            error = (network.actor(network.normaliser(x)) + aim / scale).where(legal, 0.0).square().sum() / legal.sum()
            optimiser.zero()
            error.backward()
            descend([optimiser], self.learning_rate * (1.0 - 0.9 * step / self.updates), 10.0)
            loss += 0.05 * (error.detach().item() - loss)
        return loss


class Twin:
    """The world of an environment with more shown, in step with it, and its optimum.

    Args:
        env: a BatchEnv.
        sees: changes to its configuration.
        size: where the chain is truncated.
    """

    def __init__(self, env: Any, sees: dict[str, Any], size: int):
        if len(env.layout.parts) != 1:
            raise PointsmanError("agent privileged chooses one of several actions: decisions of this problem are of another kind")
        without: dict[str, Any] = {} if env.problem.recent is None else {"recent.over": []}
        try:
            problem = envs.build(envs.complete(env.problem.config, sees | without))
        except PointsmanError as error:
            raise PointsmanError(f"agent.sees: {error}") from None
        hidden = {field.name for field in problem.fields} - {field.name for field in env.problem.fields}
        if not hidden:
            raise PointsmanError(f"agent.sees={sees} shows nothing that {env.problem.id} hides")
        chain = envs.chain(problem, size)
        solution = exact.solve(chain)
        ahead = np.stack([chain.cost[:, a] + P @ solution.bias for a, P in enumerate(chain.transition)], 1)
        ahead = np.where(chain.mask, ahead - solution.average_cost * chain.elapsed, np.inf)[chain.decision]
        self._excess = np.where(np.isfinite(ahead), ahead - ahead.min(1, keepdims=True), 0.0)
        self._states = cKDTree(chain.observation[chain.decision])
        self.sees, self.env = sees, BatchEnv(problem, env.num_envs, indices=env.out.stream, copy=False)

    def excess(self) -> Floats:
        """By how much each action costs more than the best in the present states [N, A]; beyond the chain, in the nearest."""
        found: Floats = self._excess[self._states.query(self.env.out.observation)[1]]
        return found

    def follow(self, action: NDArray[np.int64], reward: Floats) -> None:
        """Do the same [N]; an error if that does not bring the same [N]."""
        if not np.allclose(self.env.step(action)[1], reward):
            raise PointsmanError(f"agent.sees={self.sees} changes what {self.env.problem.id} does, not only what it shows")
