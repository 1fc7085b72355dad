"""The run folder: the only thing that training hands over to evaluation."""

from datetime import datetime
from glob import glob
from json import dumps
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pointsman import envs
from pointsman.agents import policy
from pointsman.errors import PointsmanError
from pointsman.evaluation.provenance import provenance
from pointsman.files import write_whole

RUNS = Path("logs/runs")


class RunFolder:
    """Paths and contents of one run.

    config.yaml, made.json (versions, commit, command), rules/, optimum/, policy/, checkpoint.pt, tensorboard/, evaluation/.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.checkpoint = self.path / "checkpoint.pt"
        self.tensorboard = self.path / "tensorboard"
        self.evaluation = self.path / "evaluation"

    @classmethod
    def new(cls, path: str | None, config: Any, command: str | None = None) -> "RunFolder":
        """A folder for a run that begins now, with all that it takes to make it again; one that exists is not written over."""
        seed, name = config.seed, config.agent.get("name", "agent")
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S-%f")[:-3]
        run = cls(path or RUNS / config.env.id / name / f"{stamp}-seed{seed}")
        if (run.path / "config.yaml").exists():
            raise PointsmanError(f"run_dir={run.path} holds a run already; go on with resume={run.path}, or take another")
        run.path.mkdir(parents=True, exist_ok=True)
        write_whole(run.path / "made.json", dumps(provenance() | ({"command": command} if command else {}), indent=1) + "\n")
        write_whole(run.path / "config.yaml", OmegaConf.to_yaml(config))
        return run

    @classmethod
    def open(cls, path: str, key: str = "run") -> "RunFolder":
        """A run that exists; `latest` is the one finished last below logs/runs. Errors name the configuration's `key`."""
        if path == "latest":
            found = sorted(RUNS.glob("**/policy/policy.json"), key=lambda file: file.stat().st_mtime)
            if not found:
                raise PointsmanError(f"{key}=latest: no run below {RUNS} is finished yet; train one with pointsman-train")
            return cls(found[-1].parents[1])
        if not Path(path).is_dir():
            raise PointsmanError(f"{key}={path}: no such folder; pointsman-train prints the one that it writes")
        return cls(path)

    @classmethod
    def matching(cls, pattern: str) -> "list[RunFolder]":
        """Finished runs that a pattern such as logs/runs/dispatch/*/*/* matches, or the one run that it names."""
        if not any(mark in pattern for mark in "*?["):
            return [cls.open(pattern)]
        found = [cls(path) for path in sorted(glob(pattern, recursive=True)) if (Path(path) / "policy" / "policy.json").is_file()]
        if not found:
            raise PointsmanError(f"run={pattern}: no finished run matches")
        return found

    def config(self) -> Any:
        """The configuration as it was when the run began."""
        file = self.path / "config.yaml"
        if not file.is_file():
            raise PointsmanError(f"{file} is missing: {self.path} is not a run folder")
        damaged = PointsmanError(f"{file} is damaged: it does not hold a run's configuration")
        try:
            config = OmegaConf.load(file)
        except Exception as error:
            raise damaged from error
        if not isinstance(config, DictConfig) or not {"env", "agent", "seed"} <= set(config):
            raise damaged
        if missing := [name for name in config.get("plugins") or [] if envs.plugins.stem(name) not in envs.plugins.plugged()]:
            raise PointsmanError(
                f"{self.path} was made with plug-ins, and no code is loaded from a run: add plugins=[{','.join(missing)}]"
            )
        return config

    def save_policy(self, name: str, found: Any) -> None:
        """Keep a policy under `name`: policy, optimum, or rules/<rule>."""
        policy.save(found, self.path / name)

    def rules(self) -> list[str]:
        """Names of the tuned rules."""
        files = sorted((self.path / "rules").glob("*/policy.json"))
        if not files:
            raise PointsmanError(f"{self.path / 'rules'} holds no tuned rules: train with baselines=true to compare with them")
        return [file.parent.name for file in files]

    def learned(self) -> Any:
        """The policy that was learned."""
        return policy.load(self.path / "policy")

    def policies(self, learned: str) -> dict[str, Any]:
        """All that the run has to compare: tuned rules, the learned policy under its name, and the optimum if known."""
        found = {name: policy.load(self.path / "rules" / name) for name in self.rules()} | {learned: self.learned()}
        return found | ({"optimum": policy.load(self.path / "optimum")} if (self.path / "optimum").is_dir() else {})

    def frozen(self, problem: envs.Problem) -> dict[str, Any]:
        """The same policies as they are, under frozen/<name>, for another problem with the same observations and actions."""
        config = self.config()
        own = envs.build(envs.complete(config.env))
        if own.layout != problem.layout:
            raise PointsmanError(f"frozen={self.path}: {own.id} there has other observations or actions than {problem.id}")
        return {f"frozen/{name}": found for name, found in self.policies(str(config.agent.name)).items()}

    def optimal_cost(self) -> float | None:
        """Optimal cost per unit of time, if the problem has a known one."""
        file = self.path / "optimum" / "average_cost.txt"
        return float(file.read_text()) if file.is_file() else None

    def save_optimum(self, cost: float, found: Any) -> None:
        """Keep the exact solution."""
        self.save_policy("optimum", found)
        (self.path / "optimum" / "average_cost.txt").write_text(f"{cost!r}\n")
