"""docs/your-own-problem.md: its code and its commands as they stand, from a folder outside of the repository."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "your-own-problem.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.S)


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """A folder with ambulance.py, and the outcome of the page's commands there."""
    folder = tmp_path_factory.mktemp("outside")
    *pieces, use = blocks("python")
    (folder / "ambulance.py").write_text("\n\n".join(pieces))
    (folder / "use.py").write_text(use + "print(observation.shape)\n")
    done = []
    for line in [line for block in blocks("sh") for line in block.splitlines()]:
        script, *arguments = line.split()
        done.append(run(folder, "-m", f"pointsman.scripts.{script.removeprefix('pointsman-')}", *arguments))
    return folder, done


def run(folder, *arguments):
    kept = {"cwd": folder, "capture_output": True, "text": True, "timeout": 300}
    return subprocess.run([sys.executable, *arguments], check=False, **kept)


def test_commands_train_and_evaluate(outside):
    folder, done = outside
    assert [one.returncode for one in done] == [0, 0], done[-1].stderr
    summary = json.loads((folder / "first" / "evaluation" / "summary.json").read_text())
    costs = {name: found["cost_rate"] for name, found in summary["policies"].items()}
    assert set(costs) == {"nearest", "reserve", "ppo"}
    assert max(costs["reserve"], costs["ppo"]) < costs["nearest"]
    assert (folder / "first" / "evaluation" / "report.html").is_file()


def test_used_from_python(outside):
    folder, _ = outside
    done = run(folder, "use.py")
    assert done.stdout.strip() == "(64, 11)", done.stderr


def test_no_code_is_loaded_from_a_run_folder(outside):
    folder, _ = outside
    done = run(folder, "-m", "pointsman.scripts.evaluate", "run=first")
    assert done.returncode == 2
    assert "error: first was made with plug-ins" in done.stderr
    assert "plugins=[ambulance.py]" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_wrong_with_a_plug_in_is_one_line(outside):
    folder, _ = outside
    (folder / "broken.py").write_text("import nothing_of_that_name\n")
    (folder / "key.py").write_text((folder / "ambulance.py").read_text().replace('{"calls_per_hour"', '{"cals_per_hour"'))
    cases = {
        "broken.py": r"plugins=broken.py cannot be imported: ModuleNotFoundError: .*nothing_of_that_name",
        "nowhere.py": "plugins=nowhere.py: no such file",
        "key.py": "preset key/quiet: cals_per_hour",
    }
    code = "import sys\nfrom pointsman.scripts.train import main\nsys.argv = ['train', sys.argv[1]]\nmain()"
    for name, wanted in cases.items():
        done = run(folder, "-c", code, f"plugins=[{name}]")
        assert done.returncode == 2, done.stderr
        assert re.search(wanted, done.stderr), done.stderr
        assert "Traceback" not in done.stderr
