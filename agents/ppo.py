"""Proximal policy optimisation (Schulman et al. 2017) for the average or the discounted reward.

With the average objective the advantage is that of the differential reward r - rho * elapsed, rho being the
reward rate (Zhang and Ross 2021, Ma et al. 2021), and values are centred, since only their differences matter.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pointsman.agents.adam import Adam, descend
from pointsman.agents.checkpoint import read_checkpoint, write_checkpoint
from pointsman.agents.log import Log
from pointsman.agents.networks import ActorCritic, NetworkPolicy
from pointsman.agents.ranges import (
    require_average,
    require_counts,
    require_device,
    require_objective,
    require_positive,
    require_shares,
    require_widths,
)
from pointsman.agents.surrogate import Autograd, Rows, WrittenOut
from pointsman.envs.problem import Layout
from pointsman.errors import PointsmanError


class PPO:
    """Learner; the constructor only stores hyperparameters.

    Args:
        total_steps: decisions in all, over all environments.
        num_envs: environments side by side.
        rollout_steps: decisions per environment between updates.
        epochs, minibatch: passes over a batch, and rows per gradient step.
        learning_rate: at the start; falls linearly to a tenth.
        objective: "average" (reward per unit of time) or "discounted" (by discount ** elapsed).
        discount: per unit of time; only with objective "discounted".
        gae_lambda: of the generalised advantage estimate (Schulman et al. 2016).
        clip: how far from 1 the ratio of an action's new to its old probability may go before it gains no more.
        entropy: weight of the actor's entropy, at the start; falls linearly to 0.
        value_weight: weight of the critic's squared error in the loss.
        max_gradient: the norm at which the gradient of a step is cut.
        rate_step: weight of the newest batch in the estimate of the reward rate.
        hidden: widths of the layers of actor and critic.
        quadratic: let the critic see squares, as fits costs of queues.
        lookahead: take the reward and the value of the next state in expectation over all events that may happen, which the
            problem's kernel works out one by one, instead of those of the one that did (Dai and Gluzman 2022, "Queueing
            network controls via deep reinforcement learning"); for problems whose events are few (`Problem.events`).
        forget: share of what was seen that the normalisation of observations forgets per batch; for problems where first
            attempts lead far away from where a good policy lives.
        value_epochs, value_minibatch: further passes over a batch for the critic alone, and rows per step of these.
        device: "cpu", or "cuda" for networks and batches on a GPU; environments stay on the processor.
    """

    def __init__(
        self,
        total_steps: int = 6_000_000,
        num_envs: int = 2048,
        rollout_steps: int = 16,
        epochs: int = 2,
        minibatch: int = 4096,
        learning_rate: float = 2e-3,
        objective: str = "average",
        discount: float = 0.99,
        gae_lambda: float = 0.95,
        clip: float = 0.2,
        entropy: float = 0.0,
        value_weight: float = 0.5,
        max_gradient: float = 0.5,
        rate_step: float = 0.1,
        hidden: tuple[int, ...] = (64, 64),
        quadratic: bool = False,
        lookahead: bool = False,
        forget: float = 0.0,
        value_epochs: int = 0,
        value_minibatch: int = 1024,
        device: str = "cpu",
    ):
        require_objective(objective)
        require_counts(
            total_steps=total_steps, num_envs=num_envs, rollout_steps=rollout_steps, epochs=epochs, minibatch=minibatch,
            value_minibatch=value_minibatch,
        )  # fmt: skip
        if value_epochs < 0:
            raise PointsmanError(f"agent.value_epochs must be at least 0, got {value_epochs}")
        require_shares(gae_lambda=gae_lambda, discount=discount, rate_step=rate_step, forget=forget)
        require_positive(learning_rate=learning_rate, clip=clip, max_gradient=max_gradient)
        require_widths(hidden)
        require_device(device)
        self.total_steps, self.num_envs, self.rollout_steps = total_steps, num_envs, rollout_steps
        self.epochs, self.minibatch, self.learning_rate = epochs, minibatch, learning_rate
        self.objective, self.discount, self.gae_lambda = objective, discount, gae_lambda
        self.clip, self.entropy, self.value_weight = clip, entropy, value_weight
        self.max_gradient, self.rate_step, self.hidden = max_gradient, rate_step, list(hidden)
        self.value_epochs, self.value_minibatch = value_epochs, value_minibatch
        self.quadratic, self.lookahead, self.forget = quadratic, lookahead, forget
        self.device = device

    def fit(self, env: Any, log: Log, seed: int = 0, checkpoint: Path | None = None) -> NetworkPolicy:
        """Train on a BatchEnv; with a checkpoint file, continue from it if it exists, and write to it as it goes."""
        require_average(self.objective, env.problem)
        env.copy = False
        torch.manual_seed(seed)
        network = ActorCritic(env.layout, self.hidden, self.quadratic).to(self.device)
        critic = Adam(network.critic.parameters())
        actor = Adam(part for name, part in network.named_parameters() if not name.startswith("critic."))
        shuffle = torch.Generator().manual_seed(seed)
        env.reset(seed=seed)
        holders = {"network": network, "actor": actor, "critic": critic, "shuffle": shuffle, "env": env}
        state = read_checkpoint(checkpoint, holders) if checkpoint else None
        state = state or {"batches": 0, "rate": 0.0}
        batches = max(1, self.total_steps // (self.num_envs * self.rollout_steps))
        batch = Batch(self.rollout_steps, env.num_envs, env.layout, self.device)
        lookahead = None
        if self.lookahead:
            from pointsman.envs.markov import Lookahead  # which imports scipy

            lookahead = Lookahead(env)
        while state["batches"] < batches:
            network.normaliser.count.mul_(1.0 - self.forget)
            ledger = batch.collect(env, network, lookahead)
            self._update_rate(state, batch)
            advantage, target = self._advantages(batch, network, state)
            left = 1.0 - state["batches"] / batches
            scalars = self._improve(network, (actor, critic), shuffle, batch, advantage, target, left)
            state["batches"] += 1
            steps = state["batches"] * self.num_envs * self.rollout_steps
            scalars |= {"learner/reward_rate_estimate": state["rate"], "learner/value_scale": float(network.value_scale)}
            log.update(steps, batches * self.num_envs * self.rollout_steps, ledger, float(batch.elapsed.sum()), scalars)
            if checkpoint is not None and (state["batches"] % 10 == 0 or state["batches"] == batches):
                log.flush()  # first, so that no curve has a gap where a resumed run goes on
                write_checkpoint(checkpoint, holders, state)
        return NetworkPolicy(network.cpu())

    def _update_rate(self, state: dict[str, Any], batch: "Batch") -> None:
        """Move the reward rate towards that of the newest batch."""
        rate = float(batch.reward.sum() / batch.elapsed.sum())
        state["rate"] += self._step(state) * (rate - state["rate"])

    def _step(self, state: dict[str, Any]) -> float:
        """Weight of the newest batch in running estimates: at first a plain mean."""
        return max(self.rate_step, 1.0 / (state["batches"] + 1))

    @torch.no_grad()
    def _advantages(self, batch: "Batch", network: ActorCritic, state: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Generalised advantages and value targets [T, N] (targets in units of the value scale, which follows their spread).

        A truncated episode goes on in the value of its last observation, a terminated one has none.
        """
        following = batch.expected
        if not self.lookahead:
            following = torch.cat([batch.value[1:], batch.last_value[None]])
            following = torch.where(batch.done, batch.final_value, following)
        if self.objective == "average":
            reward, keep = batch.reward - state["rate"] * batch.elapsed, torch.ones_like(batch.elapsed)
        else:
            reward, keep = batch.reward, self.discount**batch.elapsed
        delta = reward + keep * following - batch.value
        decay = self.gae_lambda * keep * (~batch.done)
        advantage, ahead = torch.empty_like(delta), torch.zeros_like(delta[0])
        for t in range(len(delta) - 1, -1, -1):
            ahead = delta[t] + decay[t] * ahead
            advantage[t] = ahead
        target = advantage + batch.value
        if self.objective == "average":
            target = target - target.mean()
        network.rescale(torch.lerp(network.value_scale, target.std() + 1e-8, self._step(state)))
        return advantage, target / network.value_scale

    def _improve(
        self,
        network: ActorCritic,
        groups: tuple[Adam, Adam],
        shuffle: Any,
        batch: "Batch",
        advantage: Tensor,
        target: Tensor,
        left: float,
    ) -> dict[str, float]:
        """Clipped surrogate, value regression and entropy over shuffled minibatches; `left` is the share of training ahead."""
        batch.advantage.copy_(advantage)
        batch.target.copy_(target)
        kind = WrittenOut if WrittenOut.fits(network) else Autograd
        gradient = kind(network, self.clip, self.value_weight)
        (actor, critic), rate = groups, self.learning_rate * (0.1 + 0.9 * left)
        sums, rounds = torch.zeros(4, device=advantage.device), 0
        for _ in range(self.epochs):
            for rows in batch.shuffled(shuffle, self.minibatch):
                # A rest of one row has no spread of its own.
                spread = rows.gain.std(correction=min(1, len(rows.gain) - 1))
                actor.zero()
                critic.zero()
                sums += gradient.loss(rows._replace(gain=(rows.gain - rows.gain.mean()) / (spread + 1e-8)), self.entropy * left)
                descend(groups, rate, self.max_gradient)
                rounds += 1
        for _ in range(self.value_epochs):
            for rows in batch.shuffled(shuffle, self.value_minibatch):
                critic.zero()
                gradient.value(rows.x, rows.aim)
                descend([critic], rate, self.max_gradient)
        names = ("surrogate", "value_loss", "entropy", "kl")
        return {f"learner/{name}": float(total) / rounds for name, total in zip(names, sums, strict=True)}


class Batch:
    """What one rollout of T decisions in N environments leaves behind, in preallocated tensors.

    What the update reads of a decision lies side by side in one row, so that a shuffled epoch is one pass over memory.
    """

    def __init__(self, steps: int, n: int, layout: Layout, device: str = "cpu"):
        self._whole = not layout.bounds
        self._single = self._whole and len(layout.parts) == 1
        widths = (layout.width, sum(layout.parts), len(layout.bounds) or len(layout.parts), 1, 1, 1)
        self._rows = torch.zeros(steps, n, sum(widths), device=device)
        self._shuffled = torch.zeros(steps * n, sum(widths), device=device)
        self._widths = widths
        self.normal, self.mask, self.action, *rest = self._rows.split(widths, 2)
        self.log_prob, self.advantage, self.target = (column[:, :, 0] for column in rest)
        self.value, self.reward, self.elapsed = torch.zeros(3, steps, n, device=device)
        self.done = torch.zeros(steps, n, dtype=torch.bool, device=device)
        self.final_value, self.expected = torch.zeros(2, steps, n, device=device)
        self.last_value = torch.zeros(n, device=device)
        self.seen = torch.zeros(steps, n, layout.width, device=device)

    def shuffled(self, generator: torch.Generator, rows: int) -> Iterator[Rows]:
        """All decisions once, in minibatches."""
        flat = self._rows.flatten(0, 1)
        order = torch.randperm(len(flat), generator=generator).to(flat.device)
        torch.index_select(flat, 0, order, out=self._shuffled)
        for part in self._shuffled.split(rows):
            x, mask, action, log_prob, gain, aim = part.split(self._widths, 1)
            action = action.long() if self._whole else action
            yield Rows(x, mask > 0, action[:, 0] if self._single else action, log_prob[:, 0], gain[:, 0], aim[:, 0])

    @torch.no_grad()
    def collect(self, env: Any, network: ActorCritic, lookahead: Any = None) -> Any:
        """Run the policy; returns ledger totals [C]. Observations are normalised as of the start of the rollout.

        With `lookahead`, an envs.markov.Lookahead, `reward` and `expected`, the value after each decision, are means over all
        that may happen.
        """
        ledger = np.zeros(len(env.ledger.columns))
        normalise, device = network.normaliser, self.done.device

        def there(array: Any) -> Tensor:
            return torch.from_numpy(array).to(device)

        if not normalise.count.any():
            normalise.update(there(env.out.observation))
        for t in range(len(self.reward)):
            self.seen[t] = there(env.out.observation)
            mask = there(env.out.mask)
            self.normal[t] = x = normalise(self.seen[t])
            found = network.policy(x, mask)
            action = found.sample(there(env.action_uniforms()))
            self.mask[t], self.action[t] = mask, action.view_as(self.action[t])
            self.log_prob[t], self.value[t] = found.log_prob(action), network.value(x)
            taken = action.cpu().numpy()
            if lookahead is not None:
                seen, probability, mean = lookahead.after(taken)
                value = network.value(normalise(there(seen))).view(probability.shape)
                self.expected[t] = (value * there(probability)).sum(1)
            _, reward, terminated, truncated, info = env.step(taken)
            self.reward[t] = there(reward if lookahead is None else mean)
            self.elapsed[t] = there(info["elapsed"])
            self.done[t] = there(terminated | truncated)
            ledger += info["ledger"].sum(0)
            if "final_obs" in info:
                last = network.value(normalise(there(env.out.final_observation)))
                self.final_value[t] = torch.where(there(terminated), 0.0, last)
        self.last_value = network.value(normalise(there(env.out.observation)))
        normalise.update(self.seen.flatten(0, 1))
        return ledger
