"""Shared by all tests: where the real logs are, and what is deselected without them."""

from pathlib import Path

DATA = Path(__file__).parents[2] / "shared" / "data"


def pytest_collection_modifyitems(config, items):
    """Tests marked `data` are reported as deselected where ../shared/data is absent."""
    if DATA.is_dir():
        return
    absent = [item for item in items if item.get_closest_marker("data")]
    if absent:
        config.hook.pytest_deselected(items=absent)
        items[:] = [item for item in items if not item.get_closest_marker("data")]
