"""How a result was obtained: versions, commit and machine."""

import os
import platform
import subprocess
import sys
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("pointsman", "numpy", "scipy", "numba", "gymnasium", "torch", "stable-baselines3", "sb3-contrib", "scikit-learn")


def provenance() -> dict[str, str]:
    """Facts by name, all of them about this process and this machine."""
    return {
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "date": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %z"),
        "versions": ", ".join([f"Python {platform.python_version()}", *_versions()]),
        "commit": commit(),
        "machine": f"{platform.system()} {platform.machine()}, {processor()}, {os.cpu_count()} cores",
    }


def _versions() -> list[str]:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit of the source tree that runs, and whether it was changed since, docs/ aside; or that there is none."""
    here = Path(__file__).resolve().parent
    changed = ["status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)docs"]
    try:
        told = [
            subprocess.run(["git", "-C", str(here), *what], capture_output=True, text=True, check=True, timeout=10).stdout.strip()
            for what in (["rev-parse", "HEAD"], changed)
        ]
    except (OSError, subprocess.SubprocessError):
        return "not known: this is no checkout"
    return told[0] + (" with changes that are not committed" if told[1] else "")


def processor() -> str:
    """Name of the processor, where Linux tells it."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"
