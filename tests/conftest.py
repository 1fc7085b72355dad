"""Shared by all tests: where the real logs and the browser are, and what is deselected without them."""

import shutil

import pytest
from data import DATA


@pytest.fixture(scope="module")
def one_thread():
    """Tiny matrices gain nothing from threads, and lose much on busy cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Keeps the script tests of a file in one process, as what they share is long to set up, and leaves out what cannot run."""
    for item in items:
        if item.path.parent.name == "scripts":
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    deselect_absent(config, items)


def deselect_absent(config, items):
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
