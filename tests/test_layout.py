"""The layout that packaging relies on, the walls between packages, and that every shipped config composes."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from data import marked
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

import pointsman.conf  # noqa: F401
from pointsman import envs
from pointsman.agents import build_learner

ROOT = Path(__file__).parents[1]
PARTS = ("envs", "agents", "evaluation", "conf", "scripts")


@pytest.mark.parametrize("part", PARTS)
def test_package_folders_are_relative_links_to_the_top(part):
    link = ROOT / "src" / "pointsman" / part
    assert link.is_symlink()
    assert link.readlink() == Path(f"../../{part}")


def test_wheel_holds_every_source_and_config(tmp_path):
    """Built from the files that git knows, as a release is."""
    copy = tmp_path / "copy"
    known = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in known.stdout.split():
        source, target = ROOT / name, copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(source.readlink())
        elif source.is_file():
            target.write_bytes(source.read_bytes())
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        str(copy),
    ]
    subprocess.run(command, check=True, capture_output=True)
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    for part in PARTS:
        for file in (ROOT / part).rglob("*"):
            if file.suffix in (".py", ".yaml") and "__pycache__" not in file.parts:
                assert f"pointsman/{file.relative_to(ROOT)}" in names, file
    assert "pointsman/py.typed" in names
    assert {f"hydra_plugins/pointsman/{file}.py" for file in ("launchers", "sweeper")} <= names
    assert all(name.startswith(("pointsman", "hydra_plugins/pointsman/")) for name in names)


def imports(file):
    """Names of all modules that a file imports, at any level."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


FORBIDDEN = {
    "envs": ("torch", "stable_baselines3", "pointsman.agents", "pointsman.evaluation", "pointsman.scripts"),
    "agents": ("pointsman.evaluation", "pointsman.scripts", *(f"pointsman.envs.{family}" for family in envs.FAMILIES)),
    "evaluation": (
        "torch",
        "stable_baselines3",
        "pointsman.scripts",
        *(f"pointsman.agents.{part}" for part in ("ppo", "sb3", "search", "rules", "networks", "log")),
    ),
}


@pytest.mark.parametrize("part", FORBIDDEN)
def test_walls(part):
    for file in (ROOT / part).rglob("*.py"):
        for name in imports(file):
            assert not name.startswith(FORBIDDEN[part]), f"{file} imports {name}"


def options(group):
    folder = ROOT / "conf" / group
    return sorted(str(file.relative_to(folder).with_suffix("")) for file in folder.rglob("*.yaml"))


@pytest.mark.parametrize("name", marked([name for name in options("env") if "/" in name]))
def test_every_problem_composes_and_builds(name):
    with initialize_config_module("pointsman.conf", version_base="1.3"):
        config = compose("train", [f"env={name}"])
    assert envs.build(envs.complete(config.env)).id == name
    assert envs.complete(config.env) == envs.configure(name)


def test_gym_composes_with_its_own_agent_unless_told_otherwise():
    with initialize_config_module("pointsman.conf", version_base="1.3"):
        own, other = compose("train", ["env=gym", "env.id=Acrobot-v1"]), compose("train", ["env=gym", "agent=sb3_dqn"])
    assert envs.build(envs.complete(own.env)).id == "Acrobot-v1"
    assert (own.agent.name, other.agent.name) == ("ppo_gym", "sb3_dqn")


@pytest.mark.parametrize("name", options("agent"))
def test_every_agent_composes_and_builds(name):
    with initialize_config_module("pointsman.conf", version_base="1.3"):
        config = compose("train", [f"agent={name}"])
    assert config.agent.name == name
    build_learner(OmegaConf.to_container(config.agent, resolve=True))


@pytest.mark.parametrize("name", options("learner"))
def test_every_learner_from_logs_composes_and_builds(name):
    with initialize_config_module("pointsman.conf", version_base="1.3"):
        config = compose("learn_offline", [f"learner={name}"])
    assert config.learner.name == name
    learner = build_learner(OmegaConf.to_container(config.learner, resolve=True))
    for key, value in config.learner.items():
        if key not in ("_target_", "name"):
            assert getattr(learner, key) == value


@pytest.mark.parametrize("name", options("experiment"))
def test_every_experiment_composes_and_builds(name):
    with initialize_config_module("pointsman.conf", version_base="1.3"):
        config = compose("train", [f"experiment={name}"])
    if name != "lunar_lander":  # which needs an extra
        envs.build(envs.complete(config.env))
    build_learner(OmegaConf.to_container(config.agent, resolve=True))


def test_shipped_ppo_config_states_the_defaults_of_the_class():
    """One fact in two places must be the same in both."""
    from inspect import signature

    from pointsman.agents.ppo import PPO

    given = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "agent" / "ppo.yaml"))
    defaults = {name: p.default for name, p in signature(PPO).parameters.items()}
    assert given.pop("device") == "${device}"  # said once, for every agent
    assert {k: v for k, v in given.items() if k not in ("_target_", "name")} == {
        k: list(v) if isinstance(v, tuple) else v for k, v in defaults.items() if k != "device"
    }
