"""A finished small run, which the tests of the scripts share: starting a script costs seconds."""

import signal
import subprocess
import sys
from functools import partial

import pytest

SMALL = ["agent.num_envs=64", "agent.rollout_steps=32", "agent.minibatch=1024", "agent.hidden=[8]"]
SEARCH = ["search.rounds=2", "search.population=16", "search.episodes=4"]


def command(script, *arguments):
    """How a user starts a script."""
    return [sys.executable, "-m", f"pointsman.scripts.{script}", *arguments]


@pytest.fixture(scope="session")
def start():
    """start(folder, script, *arguments) -> the finished process, text captured."""

    def run(folder, script, *arguments):
        kept = {"cwd": folder, "capture_output": True, "text": True, "timeout": 200}
        return subprocess.run(command(script, *arguments), check=False, **kept)

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory, start):
    """Working directory, and run folder as the last line of stdout names it."""
    folder = tmp_path_factory.mktemp("scripts")
    done = start(folder, "train", "agent.total_steps=8192", "seed=4", *SMALL, *SEARCH)
    assert done.returncode == 0, done.stderr
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith("run: logs/runs/dispatch/mini/ppo/")
    return folder, folder / last.removeprefix("run: ")


@pytest.fixture(scope="session")
def begin():
    """begin(folder, script, *arguments) -> a process that runs on."""

    def popen(folder, script, *arguments):
        kept = {"cwd": folder, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        # A test run in the background ignores SIGINT, and so would its children.
        return subprocess.Popen(
            command(script, *arguments), **kept, preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        )

    return popen
