"""Where the real logs are, and which problems need them."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"


def marked(names):
    """Names of problems as parameters; those that replay a recorded trace carry the mark `data`."""
    traced = {name for name in names if "\ntrace:" in (ROOT / "conf" / "env" / f"{name}.yaml").read_text()}
    return [pytest.param(name, marks=pytest.mark.data) if name in traced else name for name in names]
