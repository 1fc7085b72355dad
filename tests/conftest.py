"""Shared by all tests: one thread for each process, and what is deselected without the real logs or a browser."""

import os
import shutil
from pathlib import Path

import pytest
from data import DATA

# Tiny matrices gain nothing from threads, and lose much where processes share the cores; what tests start has one, too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

FIRST = (
    *("test_problem_contract", "test_statistics", "test_steady", "test_ope_read", "test_ope_truth", "test_ope_coverage"),
    *("test_curves", "test_networks", "test_heads", "test_configs", "test_calibrate", "autoscaling", "cluster", "scripts"),
    "test_tutorial",
)
"""Parts of the names of files that come first, in this order. Two processes share the tests: while one compiles every kernel, the
other does what needs none, and then what is compiled by then; and what takes long is not left to the end."""


def place(item):
    """Where the file of a test stands in FIRST; the others come behind."""
    path = str(item.path.relative_to(Path(__file__).parent))
    return next((k for k, part in enumerate(FIRST) if part in path), len(FIRST))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Tests marked `data` or `browser` are reported as deselected where ../shared/data or chromium is absent."""
    items.sort(key=place)
    missing = {mark for mark, there in {"data": DATA.is_dir(), "browser": shutil.which("chromium")}.items() if not there}
    absent = [item for item in items if any(item.get_closest_marker(mark) for mark in missing)]
    if absent:
        config.hook.pytest_deselected(items=absent)
        items[:] = [item for item in items if item not in absent]


def pytest_report_header(config):
    """Says which tests cannot run here."""
    if not shutil.which("chromium"):
        return "chromium is absent: tests marked browser are deselected"
    return None
