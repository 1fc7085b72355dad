"""Where compiled kernels are kept: with the user, where NUMBA_CACHE_DIR says, or nowhere if nothing can be written."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
USE = """
import numpy as np
from pointsman.envs.noise import spread
out = np.zeros((1, 2))
spread(np.array([0.5]), out)
print(sum(spread.stats.cache_hits.values()), *out[0])
"""


def use(source, **environment):
    """Cache hits of a process of its own that calls one kernel, and what the kernel gave."""
    kept = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "NUMBA_DISABLE_JIT")}
    kept |= {"PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"} | {k: str(v) for k, v in environment.items()}
    done = subprocess.run([sys.executable, "-c", USE], env=kept, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    hits, *values = done.stdout.split()
    return int(hits), values


@pytest.fixture
def installed(tmp_path):
    """A copy of the package in which Numba cannot keep anything: a file lies where its folder would be."""
    copy = tmp_path / "site"
    shutil.copytree(SOURCE / "pointsman", copy / "pointsman", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "pointsman/envs/__pycache__").touch()
    return copy


def kept(folder):
    return sorted(folder.rglob("noise.spread*.nbi"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the user's folder has another name")
def test_a_second_process_finds_what_the_first_has_kept_with_the_user(tmp_path, installed):
    home = tmp_path / "cache"
    first, second = use(installed, XDG_CACHE_HOME=home), use(installed, XDG_CACHE_HOME=home)
    assert (first[0], second[0]) == (0, 1)
    assert first[1] == second[1]
    assert len(kept(home / "pointsman")) == 1

    # What every kernel has compiled into it changes with an upgrade, though not the kernel's own file.
    with open(installed / "pointsman/envs/compiled.py", "a") as file:
        file.write("# another version\n")
    assert use(installed, XDG_CACHE_HOME=home)[0] == 0
    assert len(kept(home / "pointsman")) == 2


def test_numbas_own_variable_comes_first(tmp_path, installed):
    given, home = tmp_path / "given", tmp_path / "cache"
    assert use(installed, NUMBA_CACHE_DIR=given, XDG_CACHE_HOME=home)[0] == 0
    assert len(kept(given)) == 1
    assert not home.exists()


def test_where_nothing_can_be_written_kernels_work_all_the_same(tmp_path, installed):
    (tmp_path / "file").touch()
    nowhere = {"XDG_CACHE_HOME": tmp_path / "file", "LOCALAPPDATA": tmp_path / "file", "HOME": tmp_path / "file"}
    assert use(installed, **nowhere)[0] == 0
    assert not kept(tmp_path)
