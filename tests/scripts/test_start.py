"""A script imports what it uses and no more: asking for help brings none of the heavy libraries, training few of them."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

HEAVY = ("torch", "numba", "pandas", "scipy", "matplotlib", "sklearn", "stable_baselines3", "optuna", "tensorboard", "pyarrow")
DRIVER = """
import sys
from importlib import import_module
names, sys.argv = sys.argv[1].split(","), ["pointsman", *sys.argv[2:]]
for name in names:
    try:
        import_module(name).main()
    except SystemExit as leaving:
        assert not leaving.code, leaving.code
print("IMPORTED", *sys.modules)
"""


def modules(folder, *arguments):
    """Names of all modules that one process has imported in the end, and what it printed."""
    done = subprocess.run([sys.executable, "-c", DRIVER, *arguments], cwd=folder, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    printed, _, names = done.stdout.rpartition("IMPORTED ")
    return set(names.split()), printed


def test_help_of_every_command_comes_without_the_heavy_libraries(tmp_path):
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    names = [entry.removesuffix(":main") for entry in project["scripts"].values()]
    imported, printed = modules(tmp_path, ",".join(names), "--help")
    assert printed.count("Configuration groups") + printed.count("usage:") == len(names)
    assert not imported & set(HEAVY)


@pytest.mark.parametrize("problem", ["dispatch/mini", "dispatch/service_desk"])
def test_training_does_without_what_only_evaluation_and_others_use(tmp_path, problem):
    small = ["agent.total_steps=8", "agent.num_envs=2", "agent.rollout_steps=2", "agent.hidden=[4]"]
    imported, _ = modules(tmp_path, "pointsman.scripts.train", f"env={problem}", "baselines=false", "run_dir=run", *small)
    assert not imported & {"pandas", "scipy.stats", "scipy.optimize", "matplotlib", "sklearn", "stable_baselines3", "optuna"}
