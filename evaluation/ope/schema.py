"""The format of a decision log: columns of the table, and the facts in its sidecar."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from pointsman.errors import PointsmanError, unknown

VERSION = 1
COLUMNS = {
    "decision_id": "names the decision; unique",
    "episode_id": "decisions that belong together",
    "step": "place in the episode, 0, 1, 2 ...",
    "ts": "time of the decision, UTC",
    "action": "index of the action taken, or its name",
    "terminated": "did the episode end here, by itself?",
    "truncated": "did the episode end here, because the time was up?",
}
"""Columns that every log has; and at least one `obs.<name>`, and `reward`, `reward.<part>` or `ledger.<column>`."""
SOURCES = ("logged", "estimated", "deterministic", "unknown")
EPISODE_RULES = ("episodes", "stream")
"""Episodes are independent of each other, or pieces of one coupled stream."""


@dataclass(frozen=True)
class Sidecar:
    """Facts about a log that no row tells; the file `<log>.json` beside it."""

    actions: tuple[str, ...]
    schema_version: int = VERSION
    parts: tuple[int, ...] = ()  # numbers of actions by part of a decision; empty: one part
    context: tuple[str, ...] = ()  # names of the observation's entries; empty: the obs.* columns in their order
    candidates: tuple[str, ...] = ()  # of a candidate's entries
    window: int = 0  # candidates of a decision
    reward_range: tuple[float, float] | None = None  # of a decision's reward, known before the data
    propensity_floor: float | None = None  # the least probability of any action that the logging policy takes
    discount: float = 1.0
    discount_per: str = "step"  # or time
    episode_rule: str = "episodes"
    time_unit: str = "step"
    markov: bool = False  # does the observation tell all that the future depends on?
    prices: dict[str, float] = field(default_factory=dict)  # of ledger columns, where there is no reward
    hashes: dict[str, str] = field(default_factory=dict)  # sha256 by file name
    simulator: dict[str, Any] = field(default_factory=dict)  # config, policy, epsilon, seed of a log that was simulated

    def write(self, path: Path) -> None:
        """Write it beside the log at `path`, with the hash of the log as it is now."""
        facts = asdict(self) | {"hashes": {path.name: sha256(path)}}
        sidecar_of(path).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Sidecar":
        """The sidecar of the log at `path`, checked."""
        file = sidecar_of(path)
        if not file.is_file():
            raise PointsmanError(f'{file}: no such sidecar; it must hold at least {{"schema_version": 1, "actions": [...]}}')
        try:
            facts = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise PointsmanError(f"{file}: is not JSON: {error}") from None
        known = [one.name for one in fields(cls)]
        if not isinstance(facts, dict):
            raise PointsmanError(f"{file}: must be an object with the keys {', '.join(known)}")
        for key in facts:
            if key not in known:
                raise unknown(f"key in {file}:", key, known)
        for key in ("actions", "parts", "context", "candidates", "reward_range"):
            if isinstance(facts.get(key), list):
                facts[key] = tuple(facts[key])
        try:
            found = cls(**facts)
        except TypeError as error:
            raise PointsmanError(f"{file}: {str(error).replace('Sidecar.__init__()', 'the sidecar')}") from None
        found.check(str(file))
        return found

    def check(self, file: str) -> None:
        """Raise the error of a bad value."""

        def require(holds: bool, key: str, wanted: str) -> None:
            if not holds:
                raise PointsmanError(f"{file}: {key} must be {wanted}, got {getattr(self, key)!r}")

        number = (int, float)
        require(self.schema_version == VERSION, "schema_version", str(VERSION))
        require(isinstance(self.actions, tuple) and len(self.actions) > 0, "actions", "a list of names")
        require(len(set(self.actions)) == len(self.actions), "actions", "a list of different names")
        require(not self.parts or sum(self.parts) == len(self.actions), "parts", f"numbers that sum to {len(self.actions)}")
        interval = self.reward_range
        good = interval is None or (
            len(interval) == 2 and all(isinstance(x, number) for x in interval) and interval[0] < interval[1]
        )
        require(good, "reward_range", "[lowest, highest]")
        floor = self.propensity_floor
        require(
            floor is None or (isinstance(floor, number) and 0 < floor <= 1), "propensity_floor", "a number above 0, at most 1"
        )
        require(isinstance(self.discount, number) and 0 < self.discount <= 1, "discount", "a number above 0, at most 1")
        require(self.discount_per in ("step", "time"), "discount_per", "step or time")
        require(self.episode_rule in EPISODE_RULES, "episode_rule", " or ".join(EPISODE_RULES))


def sidecar_of(path: Path) -> Path:
    """Where the sidecar of a log lies."""
    return path.with_name(path.name + ".json")


def sha256(path: Path) -> str:
    """Hash of a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            found.update(chunk)
    return found.hexdigest()
