"""Shared by all tests: one thread for each process, and what is deselected without the real logs or a browser."""

import os
import shutil

import pytest
from data import DATA

# Tiny matrices gain nothing from threads, and lose much where processes share the cores; what tests start has one, too.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Tests marked `data` or `browser` are reported as deselected where ../shared/data or chromium is absent."""
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
