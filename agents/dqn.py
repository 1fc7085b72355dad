"""Deep Q-learning (Mnih et al. 2015) with double targets, duelling networks, n steps and masks, for either objective.

With the average objective values are differential: targets are r - rho * elapsed + max Q, rho being the reward rate of the
newest decisions. An error in rho moves all values alike, which no decision minds.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pointsman.agents.adam import Adam, descend
from pointsman.agents.checkpoint import read_checkpoint, write_checkpoint
from pointsman.agents.heads import FORBIDDEN
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
from pointsman.errors import PointsmanError


class DQN:
    """Learner; the constructor only stores hyperparameters.

    Args:
        total_steps: decisions in all, over all environments.
        num_envs: environments side by side.
        replay: decisions that are remembered, over all environments.
        learning_starts: decisions at random before the first update.
        batch, updates: remembered decisions per update, and updates per decision of all environments.
        learning_rate: at the start; falls linearly to a tenth.
        objective: "average" (reward per unit of time) or "discounted" (by discount ** elapsed).
        discount: per unit of time; only with objective "discounted".
        steps: rewards that a target adds up before it takes a value.
        double: the network chooses the next action, and its copy says what that is worth (van Hasselt et al. 2016).
        duelling: a value plus what each action is better than the mean of the legal ones (Wang et al. 2016).
        copy_every: updates between two copies of the network.
        exploration, epsilon: the share of random decisions falls linearly from 1 to `epsilon` over this share of the training.
        rate_step: weight of the newest decisions in the estimate of the reward rate.
        max_gradient: the norm at which the gradient of a step is cut.
        hidden: widths of the layers.
        device: "cpu", or "cuda" for networks on a GPU; environments and memory stay on the processor.
    """

    def __init__(
        self,
        total_steps: int = 1_000_000,
        num_envs: int = 64,
        replay: int = 200_000,
        learning_starts: int = 10_000,
        batch: int = 512,
        updates: int = 1,
        learning_rate: float = 1e-3,
        objective: str = "average",
        discount: float = 0.99,
        steps: int = 4,
        double: bool = True,
        duelling: bool = True,
        copy_every: int = 250,
        exploration: float = 0.3,
        epsilon: float = 0.02,
        rate_step: float = 0.01,
        max_gradient: float = 10.0,
        hidden: tuple[int, ...] = (64, 64),
        device: str = "cpu",
    ):
        require_objective(objective)
        require_counts(
            total_steps=total_steps, num_envs=num_envs, replay=replay, batch=batch, updates=updates, steps=steps,
            copy_every=copy_every,
        )  # fmt: skip
        require_shares(discount=discount, exploration=exploration, epsilon=epsilon, rate_step=rate_step)
        require_positive(learning_rate=learning_rate, max_gradient=max_gradient)
        require_widths(hidden)
        require_device(device)
        if replay < num_envs * (steps + 1):
            raise PointsmanError(f"agent.replay must hold steps + 1 decisions of every environment, got {replay}")
        self.total_steps, self.num_envs, self.replay, self.learning_starts = total_steps, num_envs, replay, learning_starts
        self.batch, self.updates, self.learning_rate = batch, updates, learning_rate
        self.objective, self.discount, self.steps = objective, discount, steps
        self.double, self.duelling, self.copy_every = double, duelling, copy_every
        self.exploration, self.epsilon, self.rate_step = exploration, epsilon, rate_step
        self.max_gradient, self.hidden, self.device = max_gradient, list(hidden), device

    def fit(self, env: Any, log: Log, seed: int = 0, checkpoint: Path | None = None) -> NetworkPolicy:
        """Train on a BatchEnv; with a checkpoint file, continue from it if it exists, and write to it as it goes."""
        if len(env.layout.parts) != 1:
            raise PointsmanError("agent dqn chooses one of several actions: decisions of this problem are of another kind")
        require_average(self.objective, env.problem)
        env.copy = False
        torch.manual_seed(seed)
        network, copy = (ActorCritic(env.layout, self.hidden).to(self.device) for _ in range(2))
        copy.load_state_dict(network.state_dict())
        optimiser = Adam(network.parameters())
        memory = Replay(max(self.replay // env.num_envs, self.steps + 1), env.num_envs, env.layout)
        draw = torch.Generator().manual_seed(seed)
        env.reset(seed=seed)
        holders = {"network": network, "copy": copy, "optimiser": optimiser, "draw": draw, "replay": memory, "env": env}
        state = read_checkpoint(checkpoint, holders) if checkpoint else None
        state = state or {"rounds": 0, "updates": 0, "reward": 0.0, "elapsed": 0.0}
        rounds, often = max(1, self.total_steps // env.num_envs), max(1, 4096 // env.num_envs)
        ledger, elapsed, scalars = np.zeros(len(env.ledger.columns)), 0.0, {"learner/loss": 0.0}
        while state["rounds"] < rounds:
            done = state["rounds"] / rounds
            random = max(self.epsilon, 1.0 - (1.0 - self.epsilon) * done / max(self.exploration, 1e-9))
            learning = state["rounds"] * env.num_envs >= self.learning_starts
            reward, info = self._decide(env, network, memory, random if learning else 1.0)
            ledger, elapsed = ledger + info["ledger"].sum(0), elapsed + float(info["elapsed"].sum())
            step = max(self.rate_step, 1.0 / (state["rounds"] + 1))
            state["reward"] += step * (float(reward.sum()) - state["reward"])
            state["elapsed"] += step * (float(info["elapsed"].sum()) - state["elapsed"])
            state["rounds"] += 1
            if learning and memory.filled > self.steps:
                rate = self.learning_rate * (1.0 - 0.9 * done)
                for _ in range(self.updates):
                    sample = memory.sample(self.batch, self.steps, draw).to(self.device)
                    scalars = self._improve(network, copy, optimiser, rate, sample, state)
            if state["rounds"] % often == 0 or state["rounds"] == rounds:
                scalars |= {"learner/reward_rate_estimate": state["reward"] / state["elapsed"], "learner/epsilon": random}
                log.update(state["rounds"] * env.num_envs, rounds * env.num_envs, ledger, elapsed, scalars)
                ledger, elapsed = np.zeros_like(ledger), 0.0
                if checkpoint is not None and (state["rounds"] % (10 * often) == 0 or state["rounds"] == rounds):
                    log.flush()  # first, so that no curve has a gap where a resumed run goes on
                    write_checkpoint(checkpoint, holders, state)
        return NetworkPolicy(network.cpu())

    @torch.no_grad()
    def _decide(self, env: Any, network: ActorCritic, memory: "Replay", random: float) -> Any:
        """One decision in every environment, a share of them at random among the legal actions, all remembered."""
        seen, mask = env.out.observation.copy(), env.out.mask.copy()
        now, allowed = (torch.from_numpy(array).to(self.device) for array in (seen, mask))
        network.normaliser.update(now)
        best = self._values(network, now, allowed).argmax(1).cpu().numpy()
        u = env.action_uniforms()
        place = np.minimum((u / max(random, 1e-12) * mask.sum(1)).astype(np.int64), mask.sum(1) - 1)
        anything = (mask.cumsum(1) <= place[:, None]).sum(1)
        action = np.where(u < random, anything, best)
        _, reward, terminated, truncated, info = env.step(action)
        memory.add(seen, mask, action, reward, info["elapsed"], terminated, truncated)
        return reward, info

    def _values(self, network: ActorCritic, seen: Tensor, mask: Tensor) -> Tensor:
        """Values of actions [B, A] in units of the value scale; forbidden ones are worth nothing."""
        x = network.normaliser(seen)
        value = network.actor(x)
        if self.duelling:
            mean = (value * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
            value = network.critic(x) + value - mean
        return torch.where(mask, value, FORBIDDEN)

    def _improve(
        self, network: ActorCritic, copy: ActorCritic, optimiser: Adam, rate: float, batch: "Sample", state: dict[str, Any]
    ) -> dict[str, float]:
        """One step on the Huber loss of remembered decisions."""
        if state["updates"] == 0:
            # Values last longer than one decision: their unit is the spread of what a few of them bring.
            network.value_scale.fill_(float(batch.reward.std()) * 10.0 or 1.0)
        if state["updates"] % self.copy_every == 0:
            copy.load_state_dict(network.state_dict())
        with torch.no_grad():
            ahead = self._values(copy, batch.following, batch.following_mask)
            chosen = self._values(network, batch.following, batch.following_mask) if self.double else ahead
            ahead = ahead.gather(1, chosen.argmax(1, keepdim=True))[:, 0] * network.value_scale
            if self.objective == "average":
                target = batch.reward - state["reward"] / state["elapsed"] * batch.elapsed + batch.goes_on * ahead
            else:
                target = batch.discounted(self.discount) + batch.goes_on * self.discount**batch.elapsed * ahead
        value = self._values(network, batch.seen, batch.mask).gather(1, batch.action[:, None])[:, 0]
        error = target / network.value_scale - value
        loss = torch.nn.functional.huber_loss(error, torch.zeros_like(error))
        optimiser.zero()
        loss.backward()
        descend([optimiser], rate, self.max_gradient)
        state["updates"] += 1
        return {"learner/loss": float(loss.detach()), "learner/mean_value": float(value.detach().mean() * network.value_scale)}


class Sample:
    """B remembered decisions, each with what the next few brought and where they led."""

    seen: Tensor  # [B, F]
    mask: Tensor  # [B, A]
    action: Tensor  # [B]
    rewards: Tensor  # [B, steps], 0 after an end
    times: Tensor  # [B, steps] elapsed, 0 after an end
    following: Tensor  # [B, F]
    following_mask: Tensor  # [B, A]
    goes_on: Tensor  # [B] 0 where an episode has terminated

    def to(self, device: str) -> "Sample":
        """The same on a device."""
        for name, column in vars(self).items():
            setattr(self, name, column.to(device))
        return self

    @property
    def reward(self) -> Tensor:
        """Sum of rewards [B]."""
        return self.rewards.sum(1)

    @property
    def elapsed(self) -> Tensor:
        """Time [B] until `following`."""
        return self.times.sum(1)

    def discounted(self, discount: float) -> Tensor:
        """Sum of rewards [B], each counting at the start of its decision's time."""
        return (self.rewards * discount ** (self.times.cumsum(1) - self.times)).sum(1)


class Replay:
    """The last T decisions of N environments, the oldest written over first."""

    def __init__(self, steps: int, n: int, layout: Any):
        self._arrays = {
            "seen": np.zeros((steps, n, layout.width), np.float32),
            "mask": np.zeros((steps, n, sum(layout.parts)), np.bool_),
            "action": np.zeros((steps, n), np.int64),
            "reward": np.zeros((steps, n), np.float32),
            "elapsed": np.zeros((steps, n), np.float32),
            "terminated": np.zeros((steps, n), np.bool_),
            "truncated": np.zeros((steps, n), np.bool_),
        }
        self._added = np.zeros(1, np.int64)
        self.size, self.n = steps, n

    @property
    def filled(self) -> int:
        """Decisions remembered of every environment."""
        return min(int(self._added[0]), self.size)

    def add(self, *columns: NDArray[Any]) -> None:
        """Remember one decision of every environment; columns in the order of the arrays."""
        place = int(self._added[0]) % self.size
        for array, column in zip(self._arrays.values(), columns, strict=True):
            array[place] = column
        self._added += 1

    def sample(self, rows: int, steps: int, draw: torch.Generator) -> Sample:
        """Decisions at random, with the rewards until up to `steps` later, where `following` was seen.

        Observations after a truncation are not kept: sums end before it, and the value of the decision cut short stands for
        the rest. One that is cut short itself teaches nothing: its sum is empty and its target its own value.
        """
        filled, newest = self.filled, int(self._added[0])
        age = torch.randint(steps, filled, (rows,), generator=draw).numpy()  # the newest have no rewards ahead of them yet
        row = torch.randint(0, self.n, (rows,), generator=draw).numpy()
        places = (newest - 1 - age[:, None] + np.arange(steps + 1)) % self.size
        at = {name: array[places, row[:, None]] for name, array in self._arrays.items() if name not in ("seen", "mask")}
        cut, ended = at["truncated"][:, :steps] & ~at["terminated"][:, :steps], at["terminated"][:, :steps]
        counted = np.cumsum(cut, 1) == 0
        counted[:, 1:] &= np.cumsum(ended, 1)[:, :-1] == 0
        length = counted.sum(1)
        last = places[np.arange(rows), length]
        arrays, first, found = self._arrays, places[:, 0], Sample()
        found.seen, found.mask = torch.from_numpy(arrays["seen"][first, row]), torch.from_numpy(arrays["mask"][first, row])
        found.action = torch.from_numpy(at["action"][:, 0])
        found.rewards = torch.from_numpy(at["reward"][:, :steps] * counted)
        found.times = torch.from_numpy(at["elapsed"][:, :steps] * counted)
        found.following = torch.from_numpy(arrays["seen"][last, row])
        found.following_mask = torch.from_numpy(arrays["mask"][last, row])
        found.goes_on = torch.from_numpy(~(ended & counted).any(1)).float()
        return found

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """All arrays by name."""
        return self._arrays | {"added": self._added}

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from a snapshot."""
        for name, array in self.snapshot().items():
            array[...] = arrays[name]
