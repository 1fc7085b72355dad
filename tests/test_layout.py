"""The layout that packaging relies on, and the walls between packages."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pointsman import envs

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
