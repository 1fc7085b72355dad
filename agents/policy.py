"""The Policy protocol, and how policies are saved and loaded."""

import json
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pointsman.agents.named import named_class
from pointsman.envs.legality import legalise
from pointsman.errors import PointsmanError
from pointsman.files import write_whole

Actions = NDArray[np.int64]
Mask = NDArray[np.bool_]
Uniforms = NDArray[np.float64]


@runtime_checkable
class Policy(Protocol):
    """Anything that acts on what operations would see.

    `u` holds one uniform per row, keyed by (seed, episode, decision), so that rows never couple. A policy that
    knows the probabilities of its actions also has `probabilities(observation, mask) -> [N, A]`.
    """

    def act(self, observation: Any, mask: Mask, u: Uniforms) -> Actions:
        """Actions int64[N] for observation [N, F], mask bool[N, A], u float64[N]."""
        ...


def probabilities(policy: Policy, observation: Any, mask: Mask, parts: tuple[int, ...] = ()) -> NDArray[np.float64]:
    """Probabilities of joint actions [N, A]; a policy without any is taken to be deterministic.

    Where such a one knows no masks and takes what is forbidden, this is what the engine does instead: the first legal action.
    """
    if hasattr(policy, "probabilities"):
        found: NDArray[np.float64] = policy.probabilities(observation, mask)
        return found
    parts = parts or (mask.shape[1],)
    actions = np.asarray(policy.act(observation, mask, np.full(len(mask), 0.5)), np.int64)
    return one_hot(legalise(actions, mask, parts)[0], parts)


def one_hot(actions: Actions, parts: tuple[int, ...]) -> NDArray[np.float64]:
    """Probabilities [N, product of parts] of taking just these actions, [N] or [N, K], the last part varying fastest."""
    found = np.zeros((len(actions), int(np.prod(parts))))
    joint = np.ravel_multi_index(tuple(actions.reshape(len(actions), -1).T), parts)
    found[np.arange(len(actions)), joint] = 1.0
    return found


def save(policy: Any, folder: Path) -> None:
    """Write a policy to a folder: `policy.json` names the class, whose `save` adds what it needs."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = policy.save(folder)
    kind = f"{type(policy).__module__}:{type(policy).__qualname__}"
    write_whole(folder / "policy.json", json.dumps({"class": kind} | facts, indent=1) + "\n")  # last: it says all is there


def load(folder: Path) -> Any:
    """Read a policy that `save` has written; its class is one of this package or of a plug-in at hand."""
    path = folder / "policy.json"
    if not path.is_file():
        raise PointsmanError(f"no policy at {path}: is the run finished, and the path right?")
    try:
        facts = json.loads(path.read_text())
        return named_class(facts["class"].replace(":", ".")).load(folder, facts)
    except Exception as error:
        reason = " ".join(str(error).split()[:30])  # may be long, or empty
        kind = "" if isinstance(error, PointsmanError) else f"{type(error).__name__}: "
        raise PointsmanError(f"the policy at {path} does not load: {kind}{reason}") from error
