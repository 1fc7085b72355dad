"""The wheel: what it holds, and that the quick start works from it in an empty environment away from the checkout."""

import json
import os
import re
import subprocess
import sys
import zipfile

import pytest
from data import ROOT
from test_layout import PARTS

SMALL = ["agent.total_steps=8192", "agent.num_envs=64", "agent.rollout_steps=32", "agent.hidden=[8]", "search.rounds=1"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from the files that git knows, as a release is."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "copy"
    known = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in known.stdout.split():
        source, target = ROOT / name, copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(source.readlink())
        elif source.is_file():
            target.write_bytes(source.read_bytes())
    build = ["-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), str(copy)]
    subprocess.run([sys.executable, *build], check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_wheel_holds_every_source_and_config(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for part in PARTS:
        for file in (ROOT / part).rglob("*"):
            if file.suffix in (".py", ".yaml") and "__pycache__" not in file.parts:
                assert f"pointsman/{file.relative_to(ROOT)}" in names, file
    assert "pointsman/py.typed" in names
    assert {f"hydra_plugins/pointsman/{file}.py" for file in ("launchers", "sweeper")} <= names
    assert all(name.startswith(("pointsman", "hydra_plugins/pointsman/")) for name in names)


@pytest.mark.long
def test_the_quick_start_works_in_an_empty_environment(wheel, tmp_path):
    """The commands and the code of docs/index.md as they stand, but for a small budget; every preset; the console scripts."""
    page = (ROOT / "docs" / "index.md").read_text()
    binaries, away = tmp_path / "environment" / "bin", tmp_path / "away"
    away.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

    def run(*command):
        done = subprocess.run(command, cwd=away, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(sys.executable, "-m", "venv", str(binaries.parent))
    run(binaries / "python", "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt"), str(wheel))
    train, evaluate = next(re.finditer(r"```sh\n(.*?)```", page, re.S))[1].splitlines()
    for line, small in ((train, SMALL), (evaluate, ["episodes=4"])):
        script, *given = line.split()
        run(binaries / script, *given, *small)
    summary = json.loads((away / "first" / "evaluation" / "summary.json").read_text())
    assert {"ppo", "optimum", "threshold"} <= set(summary["policies"])
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    shown = run(binaries / "python", "-c", f"{code}\nprint(len(pointsman.presets()), pointsman.__file__)").split()
    assert int(shown[0]) == len([file for file in (ROOT / "conf" / "env").rglob("*.yaml") if file.parent.name != "env"])
    assert str(ROOT) not in shown[1]
    for script in binaries.glob("pointsman-*"):
        assert "pointsman" in run(script, "--help")
