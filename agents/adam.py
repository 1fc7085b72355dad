"""Adam (Kingma and Ba 2015), with the gradient cut at a norm.

torch.optim has it too, and imports a compiler with it, which takes as long as the rest of torch at every start.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Adam:
    """One group of parameters, which become views of one flat vector, as their gradients do.

    Args:
        parameters: all on one device, where they must stay.
        eps: added to the root of the second moment.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], eps: float = 1e-5):
        mine, self.eps, self.steps = list(parameters), eps, 0
        self.value = torch.cat([parameter.detach().flatten() for parameter in mine])
        self.gradient, self.mean, self.square = (torch.zeros_like(self.value) for _ in range(3))
        sizes = [parameter.numel() for parameter in mine]
        for parameter, value, gradient in zip(mine, self.value.split(sizes), self.gradient.split(sizes), strict=True):
            parameter.data, parameter.grad = value.view_as(parameter), gradient.view_as(parameter)

    def zero(self) -> None:
        """Forget the gradient."""
        self.gradient.zero_()

    @torch.no_grad()
    def step(self, learning_rate: float, scale: Tensor) -> None:
        """Move along the gradient times `scale`."""
        gradient = self.gradient.mul_(scale)
        self.steps += 1
        self.mean.lerp_(gradient, 0.1)
        self.square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        spread = self.square.sqrt().div_((1 - 0.999**self.steps) ** 0.5).add_(self.eps)
        self.value.addcdiv_(self.mean, spread, value=-learning_rate / (1 - 0.9**self.steps))

    def state_dict(self) -> dict[str, Any]:
        """Moments and their age; the values are the network's."""
        return {"mean": self.mean, "square": self.square, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from such a state."""
        self.mean.copy_(state["mean"])
        self.square.copy_(state["square"])
        self.steps = state["steps"]


def descend(groups: Sequence[Adam], learning_rate: float, most: float) -> None:
    """One step of all groups, their gradient together cut at the norm `most`."""
    norm = torch.stack([group.gradient.norm() for group in groups]).norm()
    scale = (most / (norm + 1e-6)).clamp(max=1.0)
    for group in groups:
        group.step(learning_rate, scale)
