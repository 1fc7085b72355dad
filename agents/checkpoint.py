"""Checkpoints hold everything, so that an interrupted and resumed run ends as if nothing had happened."""

import hashlib
import io
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pointsman.errors import PointsmanError

DIGEST = 32
"""A file begins with the SHA-256 digest of what follows, by which a damaged one is known."""


def before(path: Path) -> Path:
    """Where the checkpoint before the newest is kept."""
    return path.with_suffix(".before.pt")


def write_checkpoint(path: Path, holders: Mapping[str, Any], state: dict[str, Any]) -> None:
    """Keep holders (networks, optimisers, generators, whatever has a `snapshot`) and counters; the last two are kept.

    At every moment one of the two files is whole: the draft is on the disk before it takes its name.
    """
    memory = io.BytesIO()
    torch.save({name: _state_of(holder) for name, holder in holders.items()} | {"state": state}, memory)
    payload = memory.getbuffer()
    draft = path.with_suffix(".draft")
    try:
        with open(draft, "wb") as file:
            file.write(hashlib.sha256(payload).digest())
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            os.replace(path, before(path))
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        last = next((file for file in (path, before(path)) if file.is_file()), None)
        kept = f"the last good one is {last}" if last else "there is none from before"
        raise PointsmanError(f"checkpoint {path} cannot be written ({error.strerror}); {kept}") from error


def read_checkpoint(path: Path, holders: Mapping[str, Any]) -> dict[str, Any] | None:
    """Put everything back and return the counters, from the newest checkpoint that is whole; None if there was never one."""
    files = [file for file in (path, before(path)) if file.is_file()]
    for file in files:
        parts = contents(file)
        if parts is None:
            warnings.warn(f"checkpoint {file} is damaged and left out", stacklevel=2)
            continue
        try:
            for name, holder in holders.items():
                _put_back(holder, parts[name])
        except Exception as error:
            raise PointsmanError(f"checkpoint {file} does not fit this run: {' '.join(str(error).split()[:30])}") from error
        state: dict[str, Any] = parts["state"]
        return state
    if files:
        raise PointsmanError(
            f"every checkpoint is damaged ({', '.join(map(str, files))}): delete them to begin the training again"
        )
    return None


def contents(file: Path) -> dict[str, Any] | None:
    """What a checkpoint holds, or None if it is damaged; loads tensors only, no code."""
    written = file.read_bytes()
    if hashlib.sha256(written[DIGEST:]).digest() != written[:DIGEST]:
        return None
    found: dict[str, Any] = torch.load(io.BytesIO(written[DIGEST:]), weights_only=True, map_location="cpu")
    return found


def _state_of(holder: Any) -> Any:
    if isinstance(holder, torch.Generator):
        return holder.get_state()
    if hasattr(holder, "snapshot"):
        return {name: torch.from_numpy(np.array(array)) for name, array in holder.snapshot().items()}
    return holder.state_dict()


def _put_back(holder: Any, state: Any) -> None:
    if isinstance(holder, torch.Generator):
        holder.set_state(state)
    elif hasattr(holder, "snapshot"):
        holder.restore({name: array.numpy() for name, array in state.items()})
    else:
        holder.load_state_dict(state)
