"""The layout that packaging relies on, and the walls between packages."""

import ast
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


def imports(file):
    """Names of all modules that a file imports, at any level."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


FORBIDDEN = {
    "envs": ("torch", "stable_baselines3", "pointsman.agents", "pointsman.evaluation", "pointsman.scripts", "pointsman.sweeps"),
    "agents": (
        "pointsman.evaluation",
        "pointsman.scripts",
        "pointsman.sweeps",
        *(f"pointsman.envs.{family}" for family in envs.FAMILIES),
    ),
    "evaluation": (
        "torch",
        "stable_baselines3",
        "pointsman.scripts",
        "pointsman.sweeps",
        *(f"pointsman.agents.{part}" for part in ("ppo", "sb3", "search", "rules", "networks", "log")),
    ),
}


@pytest.mark.parametrize("part", FORBIDDEN)
def test_walls(part):
    for file in (ROOT / part).rglob("*.py"):
        for name in imports(file):
            assert not name.startswith(FORBIDDEN[part]), f"{file} imports {name}"


def test_the_reference_shows_every_configuration():
    """Code blocks that a formatter takes for Python are rewritten, and no longer found by the site."""
    shown = {line for file in (ROOT / "docs" / "reference").iterdir() for line in file.read_text().splitlines()}
    wanted = ["conf/__init__.py", *(f"envs/{family}/config.py" for family, preset in envs.FAMILIES.items() if preset)]
    assert {f'--8<-- "{name}"' for name in wanted} <= shown
