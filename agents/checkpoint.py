"""Checkpoints hold everything, so that an interrupted and resumed run ends as if nothing had happened."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pointsman.errors import PointsmanError


def write_checkpoint(path: Path, network: Any, optimiser: Any, generator: Any, env: Any, state: dict[str, Any]) -> None:
    """Weights, optimiser, random generator, environment arrays and counters, in one file that is never half-written."""
    arrays = {name: torch.from_numpy(array.copy()) for name, array in env.snapshot().items()}
    parts = {
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "generator": generator.get_state(),
        "env": arrays,
        "state": state,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    torch.save(parts, draft)
    os.replace(draft, path)


def read_checkpoint(path: Path, network: Any, optimiser: Any, generator: Any, env: Any) -> dict[str, Any]:
    """Put everything back, and return the counters; loads tensors only, no code."""
    try:
        parts = torch.load(path, weights_only=True)
        network.load_state_dict(parts["network"])
        optimiser.load_state_dict(parts["optimiser"])
        generator.set_state(parts["generator"])
        env.restore({name: np.asarray(array.numpy()) for name, array in parts["env"].items()})
    except Exception as error:
        raise PointsmanError(
            f"checkpoint {path} does not fit this run or is damaged: {' '.join(str(error).split()[:30])}"
        ) from error
    found: dict[str, Any] = parts["state"]
    return found
